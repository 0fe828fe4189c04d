/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/interpolate.h"

#include <math.h>
#include <string.h>

double interpolation_at(const struct interpolation *rule, const struct axis_map *axis, int64_t o)
{
	double x = (double)o, last = (double)(axis->in - 1), half = (x + 0.5) / axis->scale - 0.5;

	switch (rule->coordinates) {
	case COORD_HALF_PIXEL_SYMMETRIC:
		return (double)axis->in / 2 * (1 - (double)axis->out / axis->length) + half;
	case COORD_PYTORCH_HALF_PIXEL:
		return axis->out > 1 ? half : 0;
	case COORD_ALIGN_CORNERS:
		return axis->length == 1 ? 0 : x * last / (axis->length - 1);
	case COORD_ASYMMETRIC:
		return x / axis->scale;
	case COORD_TF_HALF_PIXEL:
		return (x + 0.5) / axis->scale;
	case COORD_TF_CROP:
		if (axis->length == 1)
			return 0.5 * (axis->roi_start + axis->roi_end) * last;
		return axis->roi_start * last + x * (axis->roi_end - axis->roi_start) * last / (axis->length - 1);
	default:
		return half;
	}
}

double interpolation_cubic(double x, double a)
{
	x = fabs(x);
	if (x <= 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2)
		return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
	return 0;
}

static double kernel_at(const struct interpolation *rule, double x)
{
	if (rule->kernel == KERNEL_CUBIC)
		return interpolation_cubic(x, (double)rule->cubic_a);
	return fabs(x) < 1 ? 1 - fabs(x) : 0;
}

static double nearest_to(int mode, double x)
{
	switch (mode) {
	case NEAREST_PREFER_CEIL: return floor(x + 0.5);
	case NEAREST_FLOOR: return floor(x);
	case NEAREST_CEIL: return ceil(x);
	default: return ceil(x - 0.5);
	}
}

static int64_t clamped(double x, int64_t n)
{
	return !(x > 0) ? 0 : x >= (double)n ? n - 1 : (int64_t)x;
}

static void add_tap(struct taps *t, int64_t *at, int64_t index, double weight)
{
	t->index[*at] = index;
	t->weight[(*at)++] = weight;
}

/* Taps of one position x: all integers within the kernel's reach. They sum to one by themselves unless the
 * kernel was widened or positions were left out. */
static void taps_around(const struct interpolation *rule, const struct axis_map *axis, double x,
                        double shrink, struct taps *t, int64_t *at)
{
	double reach = (rule->kernel == KERNEL_CUBIC ? 2 : 1) / shrink, sum = 0;
	int64_t first = *at;

	for (double p = ceil(x - reach); p <= x + reach; p++) {
		double weight = kernel_at(rule, (p - x) * shrink);
		bool outside = p < 0 || p >= (double)axis->in;

		if (weight == 0 || (outside && rule->exclude_outside))
			continue;
		sum += weight;
		add_tap(t, at, clamped(p, axis->in), weight);
	}
	if (!rule->exclude_outside && !rule->antialias)
		return;
	for (int64_t k = first; sum != 0 && k < *at; k++)
		t->weight[k] /= sum;
}

static double bounded(double x, int64_t n)
{
	double far = 2 * (double)n + 2;

	return x < -far ? -far : x > far ? far : x == x ? x : 0;
}

enum tamis_status interpolation_taps(struct op_call *c, const struct interpolation *rule,
                                     const struct axis_map *axis, struct taps *t)
{
	double shrink = rule->antialias && axis->scale < 1 ? axis->scale : 1;
	double reach = rule->kernel == KERNEL_CUBIC ? 2 : 1;
	double width = rule->kernel == KERNEL_NEAREST ? 1 : 2 * reach / shrink + 2;
	size_t n = (size_t)axis->out;
	int64_t at = 0;

	t->n = axis->out;
	if (width * (double)axis->out > 0x1p48)
		return tm_no_memory(c->err, "resizing");
	t->start = scratch_alloc(c->scratch, n + 1, sizeof *t->start);
	t->index = scratch_alloc(c->scratch, n, (size_t)width * sizeof *t->index);
	t->weight = scratch_alloc(c->scratch, n, (size_t)width * sizeof *t->weight);
	if (!t->start || !t->index || !t->weight)
		return tm_no_memory(c->err, "resizing");
	for (int64_t o = 0; o < axis->out; o++) {
		double x = interpolation_at(rule, axis, o);

		t->start[o] = at;
		if (rule->coordinates == COORD_TF_CROP && !(x >= 0 && x <= (double)(axis->in - 1)))
			continue;
		x = bounded(x, axis->in);
		if (rule->kernel == KERNEL_NEAREST)
			add_tap(t, &at, clamped(nearest_to(rule->nearest, x), axis->in), 1);
		else
			taps_around(rule, axis, x, shrink, t, &at);
	}
	t->start[axis->out] = at;
	return TAMIS_OK;
}

#define APPLY(real) \
	static void apply_row_##real(const struct taps *t, const real *restrict from, real *restrict to) \
	{ \
		for (int64_t o = 0; o < t->n; o++) { \
			double sum = 0; \
			for (int64_t k = t->start[o]; k < t->start[o + 1]; k++) \
				sum += t->weight[k] * (double)from[t->index[k]]; \
			to[o] = (real)sum; \
		} \
	} \
	static void apply_rows_##real(const struct taps *t, int64_t inner, const real *restrict from, \
	                              real *restrict to) \
	{ \
		for (int64_t o = 0; o < t->n; o++) { \
			real *restrict row = to + o * inner; \
			memset(row, 0, (size_t)inner * sizeof *row); \
			for (int64_t k = t->start[o]; k < t->start[o + 1]; k++) { \
				const real *restrict source = from + t->index[k] * inner; \
				const real weight = (real)t->weight[k]; \
				for (int64_t i = 0; i < inner; i++) \
					row[i] += weight * source[i]; \
			} \
		} \
	} \
	static void transpose_##real(const struct taps *t, int64_t inner, const real *restrict gto, \
	                             real *restrict gfrom) \
	{ \
		for (int64_t o = 0; o < t->n; o++) \
			for (int64_t k = t->start[o]; k < t->start[o + 1]; k++) { \
				real *restrict row = gfrom + t->index[k] * inner; \
				const real weight = (real)t->weight[k]; \
				for (int64_t i = 0; i < inner; i++) \
					row[i] += weight * gto[o * inner + i]; \
			} \
	}

APPLY(float)
APPLY(double)

void taps_apply(const struct taps *t, enum dtype type, int64_t outer, int64_t in, int64_t inner,
                const void *from, void *to)
{
	for (int64_t u = 0; u < outer; u++) {
		int64_t source = u * in * inner, target = u * t->n * inner;

		if (type == DT_FLOAT && inner == 1)
			apply_row_float(t, (const float *)from + source, (float *)to + target);
		else if (type == DT_FLOAT)
			apply_rows_float(t, inner, (const float *)from + source, (float *)to + target);
		else if (inner == 1)
			apply_row_double(t, (const double *)from + source, (double *)to + target);
		else
			apply_rows_double(t, inner, (const double *)from + source, (double *)to + target);
	}
}

void taps_transpose(const struct taps *t, enum dtype type, int64_t outer, int64_t in, int64_t inner,
                    const void *gto, void *gfrom)
{
	for (int64_t u = 0; u < outer; u++) {
		int64_t source = u * in * inner, target = u * t->n * inner;

		if (type == DT_FLOAT)
			transpose_float(t, inner, (const float *)gto + target, (float *)gfrom + source);
		else
			transpose_double(t, inner, (const double *)gto + target, (double *)gfrom + source);
	}
}
