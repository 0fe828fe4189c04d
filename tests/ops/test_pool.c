/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling against loops that follow the definition, reverse against differences, hostile attributes. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "harness.h"
#include "ops/family.h"

enum kind { MAX, AVERAGE, LP };
static const char *const names[] = {"MaxPool", "AveragePool", "LpPool"};

/* One pooling, always with three spatial axes (1 where there are fewer). */
struct pool {
	enum kind kind;
	int rank;
	int64_t items, channels, in[3], out[3], kernel[3], stride[3], dilation[3], begin[3], end[3];
	bool ceil_mode, include_pad, column_major;
	int64_t p;
};

#define PICK(r, ...) (DIMS(__VA_ARGS__)[rng_below(r, RANK(__VA_ARGS__))])

/* Biased to corners; false when the kernel does not fit or a window would hold nothing but padding. */
static bool draw(struct rng *r, enum kind kind, struct pool *c)
{
	*c = (struct pool){.kind = kind, .rank = (int)PICK(r, 1, 2, 2, 2, 3), .items = PICK(r, 1, 1, 2),
	                   .channels = PICK(r, 1, 2, 3), .ceil_mode = rng_below(r, 2),
	                   .include_pad = rng_below(r, 2), .column_major = rng_below(r, 2),
	                   .p = PICK(r, 1, 2, 2, 3)};
	for (int i = 0; i < 3; i++) {
		bool used = i >= 3 - c->rank;
		int64_t span, room;

		c->in[i] = used ? PICK(r, 1, 2, 3, 5, 8, 13) : 1;
		c->kernel[i] = used ? PICK(r, 1, 2, 2, 3, 5) : 1;
		c->stride[i] = used ? PICK(r, 1, 1, 2, 3, 4) : 1;
		c->dilation[i] = used ? PICK(r, 1, 1, 1, 2, 3) : 1;
		c->begin[i] = used ? PICK(r, 0, 0, 1, 2) : 0;
		c->end[i] = used ? PICK(r, 0, 0, 1, 2) : 0;
		span = (c->kernel[i] - 1) * c->dilation[i] + 1;
		room = c->in[i] + c->begin[i] + c->end[i] - span;
		if (room < 0)
			return false;
		c->out[i] = (room + (c->ceil_mode ? c->stride[i] - 1 : 0)) / c->stride[i] + 1;
		if (c->ceil_mode && (c->out[i] - 1) * c->stride[i] >= c->in[i] + c->begin[i])
			c->out[i]--;
	}
	return true;
}

static struct op_case *open_case(const struct pool *c, enum dtype type)
{
	struct op_case *o = case_new(ops_pool, names[c->kind], 22);
	int64_t dims[5] = {c->items, c->channels}, pads[6];
	int skip = 3 - c->rank;

	for (int i = 0; i < c->rank; i++) {
		dims[2 + i] = c->in[skip + i];
		pads[i] = c->begin[skip + i];
		pads[c->rank + i] = c->end[skip + i];
	}
	case_ints(o, "kernel_shape", c->rank, c->kernel + skip);
	case_ints(o, "strides", c->rank, c->stride + skip);
	case_ints(o, "dilations", c->rank, c->dilation + skip);
	case_ints(o, "pads", 2 * c->rank, pads);
	case_int(o, "ceil_mode", c->ceil_mode);
	if (c->kind == AVERAGE)
		case_int(o, "count_include_pad", c->include_pad);
	if (c->kind == MAX)
		case_int(o, "storage_order", c->column_major);
	if (c->kind == LP)
		case_int(o, "p", c->p);
	case_in(o, type, 2 + c->rank, dims, NULL);
	return o;
}

/* What one window holds. */
struct found { double max, sum, power; int64_t index, count, padded; };

/* Looks at kernel element k of the window at output position p of image `plane`. */
static void look(const struct pool *c, const struct tensor *x, int64_t plane, const int64_t *p,
                 const int64_t *k, struct found *f)
{
	int64_t at[3], flat = plane;
	bool inside = true, padded = true;
	double v;

	for (int i = 0; i < 3; i++) {
		at[i] = p[i] * c->stride[i] - c->begin[i] + k[i] * c->dilation[i];
		inside = inside && at[i] >= 0 && at[i] < c->in[i];
		padded = padded && at[i] < c->in[i] + c->end[i];
		flat = flat * c->in[i] + at[i];
	}
	f->padded += padded;
	if (!inside)
		return;
	v = tensor_get(x, flat);
	if (f->count++ == 0 || v > f->max) {
		f->max = v;
		f->index = c->column_major ? ((plane * c->in[2] + at[2]) * c->in[1] + at[1]) * c->in[0] + at[0] : flat;
	}
	f->sum += v;
	f->power += pow(fabs(v), (double)c->p);
}

static struct found search(const struct pool *c, const struct tensor *x, int64_t plane, int64_t o)
{
	int64_t p[3] = {o / c->out[2] / c->out[1], o / c->out[2] % c->out[1], o % c->out[2]}, k[3];
	struct found f = {.max = -INFINITY, .index = -1};

	for (k[0] = 0; k[0] < c->kernel[0]; k[0]++)
		for (k[1] = 0; k[1] < c->kernel[1]; k[1]++)
			for (k[2] = 0; k[2] < c->kernel[2]; k[2]++)
				look(c, x, plane, p, k, &f);
	return f;
}

static double value_of(const struct pool *c, const struct found *f)
{
	int64_t n = c->include_pad ? f->padded : f->count;

	if (c->kind == MAX)
		return f->max;
	if (c->kind == LP)
		return pow(f->power, 1 / (double)c->p);
	return n ? f->sum / (double)n : 0;
}

static void compare(const struct pool *c, enum dtype type)
{
	struct op_case *o = open_case(c, type);
	int64_t size = c->out[0] * c->out[1] * c->out[2], count = c->items * c->channels * size, dims[5];
	double *y = arena_array(&o->arena, (size_t)count, sizeof *y);
	double *index = arena_array(&o->arena, (size_t)count, sizeof *index);
	double lowest = type == DT_UINT8 ? 0 : type == DT_INT8 ? -128 : -INFINITY;

	for (int64_t i = 0; i < count; i++) {
		struct found f = search(c, &o->in[0], i / size, i % size);

		y[i] = f.count || c->kind != MAX ? value_of(c, &f) : lowest;
		index[i] = (double)f.index;
	}
	dims[0] = c->items;
	dims[1] = c->channels;
	for (int i = 0; i < c->rank; i++)
		dims[2 + i] = c->out[3 - c->rank + i];
	if (c->kind == MAX)
		case_outputs(o, 2);
	case_run(o);
	case_expect(o, 0, type, 2 + c->rank, dims, y, type == DT_DOUBLE ? 1e-12 : 1e-5);
	if (c->kind == MAX)
		case_expect(o, 1, DT_INT64, 2 + c->rank, dims, index, 0);
	case_free(o);
}

static struct rng seeded(uint64_t stream)
{
	const char *text = getenv("TAMIS_SEED");

	cr_log_info("seed %s", text ? text : "7");
	return rng_make(text ? strtoull(text, NULL, 0) : 7, stream);
}

Test(pool, random_shapes)
{
	static const enum dtype types[] = {DT_FLOAT, DT_DOUBLE, DT_INT8, DT_UINT8};
	struct rng r = seeded(1);
	int done = 0;

	for (int i = 0; i < 1500; i++) {
		struct pool c;

		if (!draw(&r, (enum kind)(i % 3), &c))
			continue;
		compare(&c, types[rng_below(&r, c.kind == MAX ? 4 : 2)]);
		done++;
	}
	cr_assert_geq(done, 500);
}

Test(pool, reverse)
{
	struct rng r = seeded(2);

	for (int done = 0; done < 90;) {
		struct op_case *o;
		struct pool c;

		if (!draw(&r, (enum kind)(done % 3), &c) || c.in[0] * c.in[1] * c.in[2] > 100)
			continue;
		o = open_case(&c, DT_DOUBLE);
		if (c.kind == MAX) {
			o->in[0] = *case_in_range(o, DT_DOUBLE, o->in[0].rank, o->in[0].dims, -2, 2);
			o->node.n_in = 1;
		}
		case_run(o);
		for (int64_t k = 0; k < o->out[0].count; k++)
			if (isinf(tensor_get(&o->out[0], k))) /* a window of padding alone */
				goto next;
		check_reverse(o, 1);
		done++;
	next:
		case_free(o);
	}
}

/* Small whole numbers make ties, and a NaN is a maximum: gradients go where Indices says. */
static void check_ties(const struct pool *c, uint64_t seed)
{
	struct op_case *o = open_case(c, DT_FLOAT);
	struct rng r = rng_make(seed, 3);
	struct tensor gy, gx = o->in[0];
	const struct tensor *gout[2] = {&gy, NULL}, *in[1] = {&o->in[0]}, *out[2];
	struct tensor *gin[1] = {&gx}, *outs[2];
	struct op_call call = {.node = &o->node, .n_in = 1, .n_out = 2, .in = in, .out = outs, .scratch = &o->scratch, .err = &o->err};
	struct op_grad g = {&call, gout, gin};
	float *want;

	case_outputs(o, 2);
	for (int64_t i = 0; i < o->in[0].count; i++)
		((float *)o->in[0].data)[i] = rng_below(&r, 20) ? (float)rng_below(&r, 3) : NAN;
	case_run(o);
	for (int i = 0; i < 2; i++)
		out[i] = outs[i] = &o->out[i];
	gy = *out[0];
	gy.data = arena_alloc(&o->arena, tensor_bytes(&gy) + 1);
	gx.data = arena_array(&o->arena, (size_t)gx.count + 1, sizeof(float));
	want = arena_array(&o->arena, (size_t)gx.count + 1, sizeof *want);
	for (int64_t k = 0; k < gy.count; k++) {
		int64_t at = (int64_t)tensor_get(out[1], k);

		((float *)gy.data)[k] = (float)rng_below(&r, 100);
		if (at >= 0)
			want[at] += ((float *)gy.data)[k];
	}
	cr_assert_eq(o->node.op->reverse(&g), TAMIS_OK);
	for (int64_t i = 0; i < gx.count; i++)
		cr_assert_eq(((float *)gx.data)[i], want[i], "seed %llu, element %lld", (unsigned long long)seed, (long long)i);
	case_free(o);
}

Test(pool, gradients_go_to_the_first_maximum)
{
	struct rng r = seeded(4);

	for (uint64_t done = 0; done < 200;) {
		struct pool c;

		if (!draw(&r, MAX, &c))
			continue;
		c.column_major = false;
		check_ties(&c, done++);
	}
}

static const char *const global_names[] = {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"};

static double global_value(const struct tensor *x, int64_t plane, int64_t n, int kind, int p)
{
	double sum = 0, max = -INFINITY, power = 0;

	for (int64_t i = 0; i < n; i++) {
		double v = tensor_get(x, plane * n + i);

		sum += v;
		max = fmax(max, v);
		power += pow(fabs(v), p);
	}
	return kind == 0 ? sum / (double)n : kind == 1 ? max : pow(power, 1 / (double)p);
}

Test(pool, global)
{
	static const struct { int rank; int64_t dims[6]; } shapes[] = {
		{3, {2, 3, 1}}, {3, {1, 2, 17}}, {4, {2, 3, 4, 5}}, {5, {1, 2, 2, 3, 4}}, {6, {1, 2, 2, 2, 2, 3}},
		{2, {2, 3}},
	};

	for (size_t i = 0; i < 6 * 3 * 3; i++) {
		int kind = (int)(i % 3), p = 1 + (int)(i / 3 % 3), rank = shapes[i / 9].rank;
		const int64_t *dims = shapes[i / 9].dims;
		struct op_case *o = case_new(ops_pool, global_names[kind], 22);
		int64_t out[6] = {dims[0], dims[1], 1, 1, 1, 1};
		double want[6];

		if (kind == 2)
			case_int(o, "p", p);
		case_in_range(o, DT_DOUBLE, rank, dims, -2, 2);
		for (int64_t k = 0; k < dims[0] * dims[1]; k++)
			want[k] = global_value(&o->in[0], k, o->in[0].count / dims[0] / dims[1], kind, p);
		case_run(o);
		case_expect(o, 0, DT_DOUBLE, rank, out, want, 1e-12);
		check_reverse(o, 1);
		case_free(o);
	}
}

/* ceil_mode drops a last window that would start in the padding at the end. */
Test(pool, ceil_mode_ignores_windows_in_the_padding)
{
	struct op_case *o = case_new(ops_pool, "AveragePool", 22);

	case_ints(o, "kernel_shape", RANK(1), DIMS(1));
	case_ints(o, "strides", RANK(2), DIMS(2));
	case_ints(o, "pads", RANK(0, 1), DIMS(0, 1));
	case_int(o, "ceil_mode", 1);
	case_in(o, DT_DOUBLE, SHAPE(1, 1, 2), VALUES(1, 2));
	case_run(o);
	case_expect(o, 0, DT_DOUBLE, SHAPE(1, 1, 1), VALUES(1), 0);
	case_free(o);
}

Test(pool, nan_is_the_maximum)
{
	struct op_case *o = case_new(ops_pool, "MaxPool", 22);

	case_ints(o, "kernel_shape", RANK(2), DIMS(2));
	case_in(o, DT_FLOAT, SHAPE(1, 1, 4), VALUES(NAN, 2, 3, NAN));
	case_outputs(o, 2);
	case_run(o);
	case_expect(o, 0, DT_FLOAT, SHAPE(1, 1, 3), VALUES(NAN, 3, NAN), 0);
	case_expect(o, 1, DT_INT64, SHAPE(1, 1, 3), VALUES(0, 2, 3), 0);
	case_free(o);
}

Test(pool, hostile)
{
	static const struct { const char *op, *name; int n; int64_t values[6]; enum tamis_status status; } rows[] = {
		{"MaxPool", "kernel_shape", 1, {2}, TAMIS_E_INVALID},
		{"MaxPool", "kernel_shape", 3, {2, 2, 2}, TAMIS_E_INVALID},
		{"MaxPool", "kernel_shape", 2, {0, 2}, TAMIS_E_INVALID},
		{"MaxPool", "kernel_shape", 2, {6, 2}, TAMIS_E_INVALID},
		{"MaxPool", "kernel_shape", 2, {INT64_MAX, INT64_MAX}, TAMIS_E_UNSUPPORTED},
		{"MaxPool", NULL, 0, {0}, TAMIS_E_INVALID},
		{"MaxPool", "pads", 6, {1, 1, 1, 1, 1, 1}, TAMIS_E_INVALID},
		{"AveragePool", "pads", 4, {0, 0, -1, 0}, TAMIS_E_INVALID},
		{"AveragePool", "strides", 2, {0, 1}, TAMIS_E_INVALID},
		{"AveragePool", "dilations", 2, {-1, 1}, TAMIS_E_INVALID},
		{"LpPool", "p", -1, {0}, TAMIS_E_INVALID},
		{"LpPool", "p", -1, {-3}, TAMIS_E_INVALID},
		{"LpPool", "strides", 0, {0}, TAMIS_E_INVALID},
		{"GlobalLpPool", "p", -1, {0}, TAMIS_E_INVALID},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op_case *o = case_new(ops_pool, rows[i].op, 22);

		if (rows[i].name && rows[i].n >= 0)
			case_ints(o, rows[i].name, rows[i].n, rows[i].values);
		else if (rows[i].name)
			case_int(o, rows[i].name, rows[i].values[0]);
		if (rows[i].name && (rows[i].name[0] != 'k'))
			case_ints(o, "kernel_shape", RANK(2, 2), DIMS(2, 2));
		case_in(o, DT_FLOAT, SHAPE(1, 1, 5, 5), NULL);
		cr_assert_eq(case_status(o), rows[i].status, "row %zu: %s", i, o->err.message);
		case_free(o);
	}
}

/* Kernels of far more elements than their image, all but one of them over padding. */
Test(pool, hostile_kernels)
{
	static const char *const ops[] = {"MaxPool", "AveragePool", "LpPool"};
	const int64_t k = INT32_MAX;

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		struct op_case *o = case_new(ops_pool, ops[i], 22);

		case_ints(o, "kernel_shape", 3, DIMS(k, k, 1));
		case_ints(o, "pads", 6, DIMS(k - 1, k - 1, 0, 0, 0, 0));
		case_in(o, DT_FLOAT, SHAPE(1, 1, 1, 1, 1), NULL);
		cr_expect_eq(case_status(o), TAMIS_E_UNSUPPORTED, "%s: %s", ops[i], o->err.message);
		case_free(o);
	}
}

/* A small kernel may be larger than its image, and a large one as large. */
Test(pool, kernels_over_the_edge)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *o = case_new(ops_pool, "MaxPool", 22);

		case_ints(o, "kernel_shape", 1, DIMS(k ? 70000 : 13));
		if (!k)
			case_ints(o, "pads", 2, DIMS(6, 6));
		case_in(o, DT_FLOAT, SHAPE(1, 1, k ? 70000 : 1), NULL);
		case_run(o);
		case_expect(o, 0, DT_FLOAT, SHAPE(1, 1, 1), NULL, 0);
		case_free(o);
	}
}

Test(pool, hostile_shapes)
{
	static const struct {
		const char *op;
		int rank;
		int64_t dims[6];
		enum dtype type;
		enum tamis_status status;
	} rows[] = {
		{"MaxPool", 2, {1, 1}, DT_FLOAT, TAMIS_E_INVALID},
		{"MaxPool", 3, {1, 1, 0}, DT_FLOAT, TAMIS_E_INVALID},
		{"MaxPool", 6, {1, 1, 1, 1, 1, 1}, DT_FLOAT, TAMIS_E_UNSUPPORTED},
		{"MaxPool", 3, {1, 1, 4}, DT_INT32, TAMIS_E_UNSUPPORTED},
		{"AveragePool", 3, {1, 1, 4}, DT_INT8, TAMIS_E_UNSUPPORTED},
		{"GlobalMaxPool", 1, {1}, DT_FLOAT, TAMIS_E_INVALID},
		{"GlobalAveragePool", 4, {1, 1, 0, 3}, DT_FLOAT, TAMIS_E_INVALID},
		{"GlobalAveragePool", 4, {0, 1, INT64_MAX, 3}, DT_FLOAT, TAMIS_E_INVALID},
		{"GlobalAveragePool", 4, {0, INT64_MAX, 2, 3}, DT_FLOAT, TAMIS_OK},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op_case *o = case_new(ops_pool, rows[i].op, 22);

		if (rows[i].op[0] != 'G')
			case_ints(o, "kernel_shape", RANK(1), DIMS(1));
		case_in(o, rows[i].type, rows[i].rank, rows[i].dims, NULL);
		cr_assert_eq(case_status(o), rows[i].status, "row %zu: %s", i, o->err.message);
		case_free(o);
	}
}

/* The one left out gives its expected values to four digits only; ceil_mode of that kind is tested above. */
Test(pool, vectors)
{
	static const char *const skip[] = {"test_averagepool_2d_ceil_last_window_starts_on_pad", NULL};

	check_vectors(ops_pool, 30, skip);
}

/* ---- MaxUnpool ---- */

static struct op_case *unpool(const double *values, const double *indices, const double *shape)
{
	struct op_case *c = case_new(ops_unpool, "MaxUnpool", 22);

	case_ints(c, "kernel_shape", 2, (const int64_t[]){2, 2});
	case_ints(c, "strides", 2, (const int64_t[]){2, 2});
	case_in(c, DT_DOUBLE, SHAPE(1, 2, 1, 2), values);
	case_in(c, DT_INT64, SHAPE(1, 2, 1, 2), indices);
	if (shape)
		case_in(c, DT_INT64, SHAPE(4), shape);
	return c;
}

Test(unpool, vectors)
{
	check_vectors(ops_unpool, 0, NULL);
}

/* Two places are one: the last value is there. The stated shape has a row and a column more. */
Test(unpool, places)
{
	struct op_case *c = unpool(VALUES(1, 2, 3, 4), VALUES(1, 6, 15, 15), NULL);

	case_run(c);
	case_expect(c, 0, DT_DOUBLE, SHAPE(1, 2, 2, 4), VALUES(0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4), 0);
	case_free(c);
	c = unpool(VALUES(1, 2, 3, 4), VALUES(1, 6, 8, 15), VALUES(1, 2, 3, 5));
	case_run(c);
	case_expect(c, 0, DT_DOUBLE, SHAPE(1, 2, 3, 5),
	            VALUES(0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0), 0);
	case_free(c);
}

Test(unpool, reverse)
{
	struct op_case *c = unpool(NULL, VALUES(1, 6, 15, 15), VALUES(1, 2, 3, 5));

	check_reverse(c, 1);
	case_free(c);
}

Test(unpool, refuses)
{
	struct op_case *c = unpool(NULL, VALUES(1, 6, 8, 16), NULL);

	cr_expect_eq(case_status(c), TAMIS_OK);
	cr_expect_eq(case_forward(c), TAMIS_E_INVALID, "an index outside");
	case_free(c);
	c = unpool(NULL, VALUES(1, 6, 8, 15), VALUES(1, 2, 1, 4));
	cr_expect_eq(case_status(c), TAMIS_E_INVALID, "a shape too small");
	case_free(c);
}
