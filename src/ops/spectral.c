/* SPDX-License-Identifier: Apache-2.0 */
/* DFT, STFT, the windows of Hann, Hamming and Blackman, and MelWeightMatrix. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/family.h"
#include "ops/fourier.h"
#include "ops/reals.h"

#define PI 3.14159265358979323846

/* ---- DFT ---- */

struct dft_attr {
	int64_t axis; /* before opset 20 */
	bool inverse, onesided;
};

static enum tamis_status dft_parse(struct op_parse *p, void **attr)
{
	struct dft_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	s = attr_int(p, "axis", p->node->opset < 20 ? 1 : -2, &a->axis);
	if (!s)
		s = attr_bool(p, "inverse", false, &a->inverse);
	return s ? s : attr_bool(p, "onesided", false, &a->onesided);
}

/* Lines along the axis: the signal is [outer, from, inner, parts], the result [outer, to, inner, results]. */
struct lines {
	int axis;
	int64_t outer, inner, from, n, to, parts, results;
	bool real_result; /* one-sided spectrum back to a real signal */
};

static enum tamis_status find_lines(const struct op_call *c, struct lines *l)
{
	const struct dft_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int64_t axis = a->axis;
	enum tamis_status s = op_in(c, 2) ? args_int(c, 2, "the axis of DFT", &axis) : TAMIS_OK;

	if (!s)
		s = args_axis(c->err, axis, x->rank, &l->axis);
	if (s)
		return s;
	if (l->axis == x->rank - 1 || x->rank < 2 || (x->dims[x->rank - 1] != 1 && x->dims[x->rank - 1] != 2))
		return tm_fail(c->err, TAMIS_E_INVALID, "DFT along axis %d needs a last axis of 1 or 2 behind it",
		               l->axis);
	l->parts = x->dims[x->rank - 1];
	l->from = x->dims[l->axis];
	l->outer = tensor_extent(x, 0, l->axis);
	l->inner = tensor_extent(x, l->axis + 1, x->rank - 1);
	l->real_result = a->inverse && a->onesided;
	l->n = l->from;
	if (l->real_result && !tm_mul(l->from - 1, (int64_t)2, &l->n))
		return tm_fail(c->err, TAMIS_E_INVALID, "a spectrum of %lld values is longer than any signal's",
		               (long long)l->from);
	if (op_in(c, 1))
		s = args_int(c, 1, "dft_length", &l->n);
	if (!s && l->n < 1)
		s = tm_fail(c->err, TAMIS_E_INVALID, "a transform of %lld values is not possible", (long long)l->n);
	l->to = a->onesided && !a->inverse ? l->n / 2 + 1 : l->n;
	l->results = l->real_result ? 1 : 2;
	return s;
}

static enum tamis_status dft_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK];
	struct lines l;
	enum tamis_status s;

	if (!dtype_is_float((int)x->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "DFT of %s is not supported", dtype_name((int)x->type));
	for (int i = 1; i < 3; i++)
		if (op_in(c, i) && !op_needs(c, i))
			return TAMIS_OK;
	s = find_lines(c, &l);
	if (s)
		return s;
	memcpy(dims, x->dims, sizeof dims);
	dims[l.axis] = l.to;
	dims[x->rank - 1] = l.results;
	return op_set_out(c, 0, x->type, x->rank, dims);
}

/* A line of complex values of length `count`, cut or padded with zeros to l->n pairs. */
static void read_line(const struct tensor *t, int64_t line, int64_t inner, int64_t count, int64_t parts,
                      int64_t n,
                      double *z)
{
	memset(z, 0, (size_t)(2 * n) * sizeof(double));
	for (int64_t k = 0; k < count && k < n; k++)
		for (int64_t part = 0; part < parts; part++)
			z[2 * k + part] = real_get(t, ((line / inner * count + k) * inner + line % inner) * parts + part);
}

static void write_line(struct tensor *t, int64_t line, int64_t inner, int64_t count, int64_t parts, int64_t n,
                       const double *z, double scale, bool add)
{
	for (int64_t k = 0; k < count && k < n; k++)
		for (int64_t part = 0; part < parts; part++) {
			int64_t at = ((line / inner * count + k) * inner + line % inner) * parts + part;

			if (add)
				real_add(t, at, z[2 * k + part] * scale);
			else
				real_set(t, at, z[2 * k + part] * scale);
		}
}

/* The upper half of a spectrum from its lower half. */
static void mirror(double *z, int64_t n)
{
	z[1] = 0;
	if (n % 2 == 0)
		z[n + 1] = 0;
	for (int64_t k = n / 2 + 1; k < n; k++) {
		z[2 * k] = z[2 * (n - k)];
		z[2 * k + 1] = -z[2 * (n - k) + 1];
	}
}

static enum tamis_status open_lines(const struct op_call *c, struct lines *l, struct fourier *f, double **z)
{
	enum tamis_status s = find_lines(c, l);

	if (!s)
		s = fourier_open(f, l->n, c->scratch, c->err);
	if (s)
		return s;
	*z = scratch_alloc(c->scratch, (size_t)l->n, 2 * sizeof(double));
	return *z ? TAMIS_OK : tm_no_memory(c->err, "transforming a signal");
}

static enum tamis_status dft_run(struct op_call *c)
{
	const struct dft_attr *a = c->node->attr;
	struct lines l;
	struct fourier f;
	double *z;
	enum tamis_status s = open_lines(c, &l, &f, &z);

	for (int64_t i = 0; !s && c->out[0] && i < l.outer * l.inner; i++) {
		read_line(c->in[0], i, l.inner, l.from, l.parts, l.n, z);
		if (l.real_result)
			mirror(z, l.n);
		fourier_transform(&f, z, a->inverse);
		write_line(c->out[0], i, l.inner, l.to, l.results, l.n, z, a->inverse ? 1 / (double)l.n : 1, false);
	}
	return s;
}

/* The adjoint of a transform is the transform of the other sign. What mirroring doubled counts twice. */
static enum tamis_status dft_reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	const struct dft_attr *a = c->node->attr;
	struct lines l;
	struct fourier f;
	double *z;
	enum tamis_status s = open_lines(c, &l, &f, &z);

	for (int64_t i = 0; !s && g->gout[0] && g->gin[0] && i < l.outer * l.inner; i++) {
		read_line(g->gout[0], i, l.inner, l.to, l.results, l.n, z);
		fourier_transform(&f, z, !a->inverse);
		for (int64_t k = 0; l.real_result && k < l.n; k++) {
			bool alone = k == 0 || 2 * k == l.n;

			z[2 * k] *= 2 * k > l.n ? 0 : alone ? 1 : 2;
			z[2 * k + 1] *= 2 * k > l.n || alone ? 0 : 2;
		}
		write_line(g->gin[0], i, l.inner, l.from, l.parts, l.n, z, a->inverse ? 1 / (double)l.n : 1, true);
	}
	return s;
}

/* ---- STFT ---- */

static enum tamis_status stft_parse(struct op_parse *p, void **attr)
{
	bool *onesided = *attr = args_alloc(p, sizeof *onesided);

	return onesided ? attr_bool(p, "onesided", true, onesided) : TAMIS_E_MEMORY;
}

struct frames { int64_t batch, length, parts, step, n, count, bins; };

static enum tamis_status find_frames(const struct op_call *c, struct frames *f)
{
	const struct tensor *x = c->in[0], *window = op_in(c, 2);
	enum tamis_status s = args_int(c, 1, "frame_step", &f->step);

	if (!s && (x->rank < 2 || x->rank > 3 || (x->rank == 3 && x->dims[2] != 1 && x->dims[2] != 2)))
		s = tm_fail(c->err, TAMIS_E_INVALID, "a signal must be [batch, length, 1 or 2]; it has rank %d",
		            x->rank);
	if (s)
		return s;
	f->batch = x->dims[0];
	f->length = x->dims[1];
	f->parts = x->rank == 3 ? x->dims[2] : 1;
	f->n = window && window->rank == 1 ? window->dims[0] : 0;
	if (op_in(c, 3))
		s = args_int(c, 3, "frame_length", &f->n);
	if (!s && (f->n < 1 || f->n > f->length || f->step < 1 ||
	    (window && (window->type != x->type || window->rank != 1 || window->dims[0] != f->n))))
		s = tm_fail(c->err, TAMIS_E_INVALID,
		            "frames of %lld every %lld of a signal of %lld, with a window of that "
		            "length and the signal's type, are expected", (long long)f->n, (long long)f->step,
		            (long long)f->length);
	if (s)
		return s;
	f->count = 1 + (f->length - f->n) / f->step;
	f->bins = *(const bool *)c->node->attr && f->parts == 1 ? f->n / 2 + 1 : f->n;
	return TAMIS_OK;
}

static enum tamis_status stft_shape(struct op_call *c)
{
	struct frames f;
	enum tamis_status s;

	if (!dtype_is_float((int)c->in[0]->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "STFT of %s is not supported",
		               dtype_name((int)c->in[0]->type));
	if (!op_needs(c, 1) || (op_in(c, 3) && !op_needs(c, 3)))
		return TAMIS_OK;
	s = find_frames(c, &f);
	return s ? s : op_set_out(c, 0, c->in[0]->type, 4, (int64_t[]){f.batch, f.count, f.bins, 2});
}

static double window_at(const struct op_call *c, int64_t k)
{
	return op_in(c, 2) ? real_get(c->in[2], k) : 1;
}

static enum tamis_status open_frames(const struct op_call *c, struct frames *f, struct fourier *t, double **z)
{
	enum tamis_status s = find_frames(c, f);

	if (!s)
		s = fourier_open(t, f->n, c->scratch, c->err);
	if (s)
		return s;
	*z = scratch_alloc(c->scratch, (size_t)f->n, 2 * sizeof(double));
	return *z ? TAMIS_OK : tm_no_memory(c->err, "transforming a signal");
}

/* Element of the signal that value k of frame i is. */
static int64_t signal_at(const struct frames *f, int64_t i, int64_t k)
{
	return (i / f->count * f->length + i % f->count * f->step + k) * f->parts;
}

static enum tamis_status stft_run(struct op_call *c)
{
	struct frames f;
	struct fourier t;
	double *z;
	enum tamis_status s = open_frames(c, &f, &t, &z);

	for (int64_t i = 0; !s && c->out[0] && i < f.batch * f.count; i++) {
		for (int64_t k = 0; k < f.n; k++)
			for (int64_t part = 0; part < 2; part++)
				z[2 * k + part] = part < f.parts ? window_at(c, k) * real_get(c->in[0], signal_at(&f, i,
				                                                                                  k) + part) : 0;
		fourier_transform(&t, z, false);
		for (int64_t k = 0; k < 2 * f.bins; k++)
			real_set(c->out[0], i * 2 * f.bins + k, z[k]);
	}
	return s;
}

static enum tamis_status stft_reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	struct tensor *by_window = c->n_in > 2 ? g->gin[2] : NULL;
	struct frames f;
	struct fourier t;
	double *z;
	enum tamis_status s = open_frames(c, &f, &t, &z);

	for (int64_t i = 0; !s && g->gout[0] && i < f.batch * f.count; i++) {
		for (int64_t k = 0; k < 2 * f.n; k++)
			z[k] = k < 2 * f.bins ? real_get(g->gout[0], i * 2 * f.bins + k) : 0;
		fourier_transform(&t, z, true);
		for (int64_t k = 0; k < f.n * f.parts; k++) {
			int64_t at = signal_at(&f, i, k / f.parts) + k % f.parts;
			double slope = z[2 * (k / f.parts) + k % f.parts];

			if (g->gin[0])
				real_add(g->gin[0], at, slope * window_at(c, k / f.parts));
			if (by_window)
				real_add(by_window, k / f.parts, slope * real_get(c->in[0], at));
		}
	}
	return s;
}

/* ---- Windows: sums of three cosines ---- */

struct window_attr {
	int64_t type;
	bool periodic;
	double level, first, second; /* level + first cos(2 pi k / n) + second cos(4 pi k / n) */
};

static enum tamis_status window_parse(struct op_parse *p, double level, double first, double second,
                                      void **attr)
{
	struct window_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	*a = (struct window_attr){.level = level, .first = first, .second = second};
	s = attr_int(p, "output_datatype", DT_FLOAT, &a->type);
	if (!s)
		s = attr_bool(p, "periodic", true, &a->periodic);
	if (!s && (a->type < 0 || a->type >= DT_COUNT || !(dtype_is_float((int)a->type) ||
	                                                   dtype_is_integer((int)a->type))))
		s = tm_fail(p->err, TAMIS_E_INVALID, "output_datatype is %lld, which is not a type of numbers",
		            (long long)a->type);
	return s;
}

static enum tamis_status hann_parse(struct op_parse *p, void **attr)
{
	return window_parse(p, 0.5, -0.5, 0, attr);
}

static enum tamis_status hamming_parse(struct op_parse *p, void **attr)
{
	return window_parse(p, 25.0 / 46, -21.0 / 46, 0, attr);
}

static enum tamis_status blackman_parse(struct op_parse *p, void **attr)
{
	return window_parse(p, 0.42, -0.5, 0.08, attr);
}

static enum tamis_status window_shape(struct op_call *c)
{
	const struct window_attr *a = c->node->attr;
	int64_t n = 0;
	enum tamis_status s = args_index_type(c, 0);

	if (s || !op_needs(c, 0))
		return s;
	s = args_int(c, 0, "the length of a window", &n);
	if (!s && n < 0)
		s = tm_fail(c->err, TAMIS_E_INVALID, "a window of %lld values is not possible", (long long)n);
	return s ? s : op_set_out(c, 0, (enum dtype)a->type, 1, &n);
}

static enum tamis_status window_run(struct op_call *c)
{
	const struct window_attr *a = c->node->attr;
	struct tensor *y = c->out[0];
	double n = y ? (double)(a->periodic || y->count < 2 ? y->count : y->count - 1) : 0;

	for (int64_t k = 0; y && k < y->count; k++) {
		double angle = 2 * PI * (double)k / n;

		tensor_set(y, k, a->level + a->first * cos(angle) + a->second * cos(2 * angle));
	}
	return TAMIS_OK;
}

/* ---- MelWeightMatrix ---- */

static enum tamis_status mel_parse(struct op_parse *p, void **attr)
{
	return window_parse(p, 0, 0, 0, attr);
}

struct mel { int64_t bins, length, rate, rows; };

static enum tamis_status find_mel(const struct op_call *c, struct mel *m)
{
	enum tamis_status s = args_int(c, 0, "num_mel_bins", &m->bins);

	if (!s)
		s = args_int(c, 1, "dft_length", &m->length);
	if (!s)
		s = args_int(c, 2, "sample_rate", &m->rate);
	for (int i = 3; !s && i < 5; i++)
		if (!dtype_is_float((int)c->in[i]->type) || c->in[i]->count != 1)
			s = tm_fail(c->err, TAMIS_E_INVALID, "input %d of MelWeightMatrix must be one float", i);
	if (!s && (m->bins < 0 || m->length < 0 || m->rate < 1))
		s = tm_fail(c->err, TAMIS_E_INVALID,
		            "%lld bins of a transform of %lld values at a rate of %lld are not possible",
		            (long long)m->bins, (long long)m->length, (long long)m->rate);
	m->rows = s ? 0 : m->length / 2 + 1;
	return s;
}

static enum tamis_status mel_shape(struct op_call *c)
{
	const struct window_attr *a = c->node->attr;
	struct mel m;
	enum tamis_status s;

	for (int i = 0; i < 3; i++)
		if (!op_needs(c, i))
			return TAMIS_OK;
	s = find_mel(c, &m);
	return s ? s : op_set_out(c, 0, (enum dtype)a->type, 2, (int64_t[]){m.rows, m.bins});
}

/* Row of the spectrum where edge k of the filters lies: edges are evenly spaced in mel. */
static double edge_at(const struct op_call *c, const struct mel *m, int64_t k)
{
	double low = log1p(tensor_get(c->in[3], 0) / 700), high = log1p(tensor_get(c->in[4], 0) / 700);
	double hertz = 700 * expm1(low + (high - low) / (double)(m->bins + 2) * (double)k);

	return floor((double)(m->length + 1) * hertz / (double)m->rate);
}

/* Triangles from one edge over the next to the one after. */
static double mel_at(double row, double left, double centre, double right)
{
	if (row >= centre && row < right)
		return (right - row) / (right - centre);
	if (row >= left && row <= centre)
		return centre > left ? (row - left) / (centre - left) : 1;
	return 0;
}

static enum tamis_status mel_run(struct op_call *c)
{
	struct mel m;
	enum tamis_status s = find_mel(c, &m);

	for (int64_t k = 0; !s && c->out[0] && k < m.bins; k++) {
		double left = edge_at(c, &m, k), centre = edge_at(c, &m, k + 1), right = edge_at(c, &m, k + 2);

		for (int64_t row = 0; row < m.rows; row++)
			tensor_set(c->out[0], row * m.bins + k, mel_at((double)row, left, centre, right));
	}
	return s;
}

#define WINDOW(op_name, parser) \
	{.name = op_name, .domain = "", .since = 17, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1, \
	 .max_out = 1, .flags = OP_ANY_BITS, .parse = parser, .shape = window_shape, .run = window_run}

const struct op ops_spectral[] = {
	WINDOW("BlackmanWindow", blackman_parse),
	{.name = "DFT", .domain = "", .since = 17, .until = OP_LATEST, .min_in = 1, .max_in = 3, .min_out = 1,
	 .max_out = 1,
	 .parse = dft_parse, .shape = dft_shape, .run = dft_run, .reverse = dft_reverse},
	WINDOW("HammingWindow", hamming_parse),
	WINDOW("HannWindow", hann_parse),
	{.name = "MelWeightMatrix", .domain = "", .since = 17, .until = OP_LATEST, .min_in = 5, .max_in = 5,
	 .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .parse = mel_parse, .shape = mel_shape, .run = mel_run},
	{.name = "STFT", .domain = "", .since = 17, .until = OP_LATEST, .min_in = 2, .max_in = 4, .min_out = 1,
	 .max_out = 1, .parse = stft_parse, .shape = stft_shape, .run = stft_run, .reverse = stft_reverse},
	{0},
};
