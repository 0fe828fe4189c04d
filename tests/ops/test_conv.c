/* SPDX-License-Identifier: Apache-2.0 */
/* Conv and ConvTranspose against loops that follow the definition, reverse against differences, the linear
 * view against run, hostile attributes. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "harness.h"
#include "ops/family.h"

/* One convolution, always with three spatial axes (1 where there are fewer). */
struct conv {
	bool transposed;
	int rank;
	int64_t items, groups, channels, maps; /* of the weight, a group: channels its second axis, maps its first */
	int64_t image[3], kernel[3], stride[3], dilation[3], begin[3], end[3], padding[3];
	int64_t grid[3]; /* extent of the maps */
	bool bias;
};

static int64_t pick(struct rng *r, int n, const int64_t *from)
{
	return from[rng_below(r, (uint64_t)n)];
}

#define PICK(r, ...) pick(r, RANK(__VA_ARGS__), DIMS(__VA_ARGS__))

/* A random convolution, biased to corners; false when its kernel does not fit. */
static bool draw(struct rng *r, bool transposed, struct conv *c)
{
	*c = (struct conv){.transposed = transposed, .rank = (int)PICK(r, 1, 2, 2, 2, 3),
	                   .items = PICK(r, 1, 1, 2, 3), .groups = PICK(r, 1, 1, 1, 2, 3, 7),
	                   .channels = PICK(r, 1, 1, 2, 3, 5),
	                   .maps = PICK(r, 1, 1, 2, 5), .bias = rng_below(r, 2)};
	for (int i = 0; i < 3; i++) {
		bool used = i >= 3 - c->rank;

		c->kernel[i] = used ? PICK(r, 1, 1, 2, 3, 3, 5) : 1;
		c->stride[i] = used ? PICK(r, 1, 1, 1, 2, 3) : 1;
		c->dilation[i] = used ? PICK(r, 1, 1, 1, 2, 3) : 1;
		c->begin[i] = used ? PICK(r, 0, 0, 1, 2, 4) : 0;
		c->end[i] = used ? PICK(r, 0, 0, 1, 2, 4) : 0;
		c->padding[i] = used && transposed && c->stride[i] > 1 ? PICK(r, 0, 0, 1) : 0;
		if (transposed)
			c->grid[i] = used ? PICK(r, 1, 2, 3, 6) : 1;
		else
			c->image[i] = used ? PICK(r, 1, 2, 3, 5, 8, 13) : 1;
	}
	return true;
}

static bool complete(struct conv *c)
{
	for (int i = 0; i < 3; i++) {
		int64_t span = (c->kernel[i] - 1) * c->dilation[i] + 1, pads = c->begin[i] + c->end[i];

		if (c->transposed)
			c->image[i] = (c->grid[i] - 1) * c->stride[i] + span + c->padding[i] - pads;
		else if (c->image[i] + pads >= span)
			c->grid[i] = (c->image[i] + pads - span) / c->stride[i] + 1;
		if (c->image[i] < 1 || c->grid[i] < 1)
			return false;
	}
	return true;
}

static struct op_case *open_case(const struct conv *c, enum dtype type)
{
	struct op_case *o = case_new(ops_conv, c->transposed ? "ConvTranspose" : "Conv", 11);
	const int64_t *space = (c->transposed ? c->grid : c->image) + 3 - c->rank;
	int64_t x[5] = {c->items, c->groups * (c->transposed ? c->maps : c->channels)}, pads[6];
	int64_t w[5] = {c->groups * c->maps, c->channels};
	int64_t outs = c->groups * (c->transposed ? c->channels : c->maps);

	for (int i = 0; i < c->rank; i++) {
		x[2 + i] = space[i];
		w[2 + i] = c->kernel[3 - c->rank + i];
		pads[i] = c->begin[3 - c->rank + i];
		pads[c->rank + i] = c->end[3 - c->rank + i];
	}
	case_int(o, "group", c->groups);
	case_ints(o, "kernel_shape", c->rank, c->kernel + 3 - c->rank);
	case_ints(o, "strides", c->rank, c->stride + 3 - c->rank);
	case_ints(o, "dilations", c->rank, c->dilation + 3 - c->rank);
	case_ints(o, "pads", 2 * c->rank, pads);
	if (c->transposed)
		case_ints(o, "output_padding", c->rank, c->padding + 3 - c->rank);
	case_in(o, type, 2 + c->rank, x, NULL);
	case_in(o, type, 2 + c->rank, w, NULL);
	if (c->bias)
		case_in(o, type, 1, &outs, NULL);
	return o;
}

static int64_t product(const int64_t *dims)
{
	return dims[0] * dims[1] * dims[2];
}

/* Where kernel element k at map position p lies in the image; -1 outside. Flat indices. */
static int64_t meets(const struct conv *c, int64_t p, int64_t k)
{
	int64_t flat = 0;

	for (int i = 0; i < 3; i++) {
		int64_t tail = i == 0 ? c->grid[1] * c->grid[2] : i == 1 ? c->grid[2] : 1;
		int64_t kernel_tail = i == 0 ? c->kernel[1] * c->kernel[2] : i == 1 ? c->kernel[2] : 1;
		int64_t at = p / tail % c->grid[i] * c->stride[i] - c->begin[i] +
		             k / kernel_tail % c->kernel[i] * c->dilation[i];

		if (at < 0 || at >= c->image[i])
			return -1;
		flat = flat * c->image[i] + at;
	}
	return flat;
}

/* Calls `visit` for every multiplication of the definition: indices into image, weight and maps. */
typedef void (*visitor)(void *ctx, int64_t image, int64_t weight, int64_t map);

static void visit_all(const struct conv *c, visitor visit, void *ctx)
{
	int64_t size = product(c->grid), kernel = product(c->kernel), area = product(c->image);

	for (int64_t n = 0; n < c->items * c->groups; n++)
		for (int64_t m = 0; m < c->maps; m++)
			for (int64_t ch = 0; ch < c->channels; ch++)
				for (int64_t p = 0; p < size; p++)
					for (int64_t k = 0; k < kernel; k++) {
						int64_t at = meets(c, p, k), w = (n % c->groups * c->maps + m) * c->channels + ch;

						if (at >= 0)
							visit(ctx, (n * c->channels + ch) * area + at, w * kernel + k,
							      (n * c->maps + m) * size + p);
					}
}

struct naive { const struct op_case *o; bool transposed; double *y; };

static void multiply(void *ctx, int64_t image, int64_t weight, int64_t map)
{
	struct naive *n = ctx;
	double w = tensor_get(&n->o->in[1], weight);

	if (n->transposed)
		n->y[image] += w * tensor_get(&n->o->in[0], map);
	else
		n->y[map] += w * tensor_get(&n->o->in[0], image);
}

static double *reference(const struct conv *c, struct op_case *o, int64_t *dims)
{
	const int64_t *space = c->transposed ? c->image : c->grid;
	int64_t outs = c->groups * (c->transposed ? c->channels : c->maps), count = c->items * outs * product(space);
	double *y = arena_array(&o->arena, (size_t)count + 1, sizeof *y);

	dims[0] = c->items;
	dims[1] = outs;
	for (int i = 0; i < c->rank; i++)
		dims[2 + i] = space[3 - c->rank + i];
	for (int64_t i = 0; c->bias && i < count; i++)
		y[i] = tensor_get(&o->in[2], i / product(space) % outs);
	visit_all(c, multiply, &(struct naive){o, c->transposed, y});
	return y;
}

static void compare(const struct conv *c, enum dtype type)
{
	double terms = (double)(c->transposed ? c->maps : c->channels) * (double)product(c->kernel);
	struct op_case *o = open_case(c, type);
	int64_t dims[5];
	double *y = reference(c, o, dims);

	case_run(o);
	case_expect(o, 0, type, 2 + c->rank, dims, y,
	            type == DT_FLOAT ? 1e-5 + 1e-6 * terms : 1e-12 * terms + 1e-12);
	case_free(o);
}

static struct rng seeded(uint64_t stream)
{
	const char *text = getenv("TAMIS_SEED");

	cr_log_info("seed %s", text ? text : "7");
	return rng_make(text ? strtoull(text, NULL, 0) : 7, stream);
}

static void compare_many(bool transposed, uint64_t stream)
{
	struct rng r = seeded(stream);
	int done = 0;

	for (int i = 0; i < 600; i++) {
		struct conv c;

		draw(&r, transposed, &c);
		if (!complete(&c))
			continue;
		compare(&c, i % 2 ? DT_FLOAT : DT_DOUBLE);
		done++;
	}
	cr_assert_geq(done, 300);
}

Test(conv, random_shapes)
{
	compare_many(false, 1);
}

Test(conv, transposed_random_shapes)
{
	compare_many(true, 2);
}

/* Shapes that are cut into several tiles, put several items in one, or take the 1x1 path. */
Test(conv, tiles)
{
	struct conv cases[] = {
		{.rank = 2, .items = 2, .groups = 1, .channels = 64, .maps = 3, .image = {1, 41, 39}, .kernel = {1, 3, 3}},
		{.rank = 2, .items = 5, .groups = 2, .channels = 33, .maps = 4, .image = {1, 7, 7}, .kernel = {1, 3, 3}},
		{.rank = 2, .items = 3, .groups = 1, .channels = 20, .maps = 6, .image = {1, 16, 16}, .kernel = {1, 1, 1}},
		{.rank = 2, .items = 5, .groups = 1, .channels = 20, .maps = 6, .image = {1, 4, 4}, .kernel = {1, 1, 1}},
		{.rank = 3, .items = 2, .groups = 1, .channels = 40, .maps = 2, .image = {9, 11, 13}, .kernel = {3, 3, 3}},
		{.rank = 1, .items = 2, .groups = 3, .channels = 50, .maps = 2, .image = {1, 1, 5000}, .kernel = {1, 1, 9}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int t = 0; t < 2; t++) {
			struct conv c = cases[i];

			c.transposed = t;
			for (int k = 0; k < 3; k++) {
				c.stride[k] = c.dilation[k] = 1;
				c.begin[k] = c.end[k] = c.kernel[k] / 2;
				c.grid[k] = c.image[k];
			}
			cr_assert(complete(&c));
			compare(&c, DT_FLOAT);
			compare(&c, DT_DOUBLE);
		}
}

static void reverse_many(bool transposed, uint64_t stream)
{
	struct rng r = seeded(stream);

	for (int done = 0; done < 40;) {
		struct op_case *o;
		struct conv c;

		draw(&r, transposed, &c);
		if (!complete(&c) || c.groups * c.channels * c.maps > 30 || product(c.image) > 80 || product(c.grid) > 80)
			continue;
		o = open_case(&c, DT_DOUBLE);
		check_reverse(o, c.bias ? 7 : 3);
		case_free(o);
		done++;
	}
}

Test(conv, reverse)
{
	reverse_many(false, 3);
}

Test(conv, transposed_reverse)
{
	reverse_many(true, 4);
}

/* The adjoint identity: <gy, conv(x)> = <gx, x> = <gw, w> for a convolution without bias. */
static void check_adjoint(struct conv c)
{
	struct tensor gx, gw;
	double forward = 0, by_x = 0, by_w = 0;
	struct op_case *o;

	cr_assert(complete(&c));
	o = open_case(&c, DT_DOUBLE);
	case_run(o);
	gx = o->in[0];
	gw = o->in[1];
	gx.data = arena_alloc(&o->arena, tensor_bytes(&gx));
	gw.data = arena_alloc(&o->arena, tensor_bytes(&gw));
	struct op_call call = {.node = &o->node, .n_in = 2, .n_out = 1,
	                       .in = (const struct tensor *[]){&o->in[0], &o->in[1]},
	                       .out = (struct tensor *[]){&o->out[0]}, .scratch = &o->scratch, .err = &o->err};
	struct op_grad g = {&call, (const struct tensor *[]){&o->out[0]}, (struct tensor *[]){&gx, &gw}};
	cr_assert_eq(o->node.op->reverse(&g), TAMIS_OK);
	for (int64_t i = 0; i < o->out[0].count; i++)
		forward += pow(tensor_get(&o->out[0], i), 2);
	for (int64_t i = 0; i < gx.count; i++)
		by_x += tensor_get(&gx, i) * tensor_get(&o->in[0], i);
	for (int64_t i = 0; i < gw.count; i++)
		by_w += tensor_get(&gw, i) * tensor_get(&o->in[1], i);
	cr_assert_float_eq(by_x / forward, 1, 1e-12);
	cr_assert_float_eq(by_w / forward, 1, 1e-12);
	case_free(o);
}

Test(conv, reverse_of_tiles)
{
	struct conv c = {.rank = 2, .items = 3, .groups = 1, .channels = 64, .maps = 5, .image = {1, 45, 45},
	                 .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .begin = {0, 1, 1}};

	check_adjoint(c);
	c.image[1] = c.image[2] = 6;
	check_adjoint(c);
}

/* One channel a group: several planes by strides, more taps than go back at once, gaps wider than the rows. */
Test(conv, depthwise)
{
	static const struct conv cases[] = {
		{.image = {1, 28, 28}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .begin = {0, 1, 1}, .end = {0, 1, 1}},
		{.image = {1, 15, 14}, .kernel = {1, 5, 5}, .stride = {1, 2, 2}, .dilation = {1, 1, 1}, .begin = {0, 2, 2}, .end = {0, 1, 2}},
		{.image = {1, 13, 5}, .kernel = {1, 3, 7}, .stride = {1, 1, 1}, .dilation = {1, 4, 2}, .begin = {0, 4, 6}, .end = {0, 4, 6}},
		{.image = {1, 40, 33}, .kernel = {1, 7, 7}, .stride = {1, 3, 2}, .dilation = {1, 2, 3}, .begin = {0, 6, 9}, .end = {0, 6, 9}},
		{.image = {9, 8, 7}, .kernel = {3, 3, 3}, .stride = {2, 1, 3}, .dilation = {2, 1, 1}, .begin = {2, 1, 1}, .end = {2, 1, 1}},
		{.image = {1, 1, 300}, .kernel = {1, 1, 31}, .stride = {1, 1, 4}, .dilation = {1, 1, 5}, .begin = {0, 0, 75}, .end = {0, 0, 75}},
		{.image = {1, 7, 7}, .kernel = {1, 7, 7}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int maps = 1; maps <= 4; maps += 3) {
			struct conv c = cases[i];

			c.rank = c.image[0] > 1 ? 3 : c.image[1] > 1 ? 2 : 1;
			c.items = 2;
			c.groups = 5;
			c.channels = 1;
			c.maps = maps;
			cr_assert(complete(&c));
			compare(&c, DT_FLOAT);
			compare(&c, DT_DOUBLE);
			check_adjoint(c);
		}
}

/* z recomputed from gathered signals and the weight through the view's strides. */
static void check_linear(const struct conv *c, enum dtype type, int64_t items, struct rng *r)
{
	struct op_case *o = open_case(c, type);
	const struct tensor *in[3] = {&o->in[0], &o->in[1], c->bias ? &o->in[2] : NULL};
	struct tensor *out[1] = {&o->out[0]};
	struct op_call call = {.node = &o->node, .n_in = o->node.n_in, .n_out = 1, .in = in, .out = out,
	                       .err = &o->err};
	const struct linear_op *l = o->node.op->linear;
	struct linear_view v;
	int64_t n, pos[4], row;
	float *u, *z;

	case_run(o);
	call.scratch = &o->scratch;
	cr_assert_eq(l->describe(&o->node, in, o->node.n_in, &v, &o->err), TAMIS_OK, "%s", o->err.message);
	n = l->positions(&call, &v, items);
	cr_assert_eq(n, o->out[0].count / v.outs / items);
	row = v.groups * v.fan_in;
	for (int i = 0; i < 4; i++)
		pos[i] = (int64_t)rng_below(r, (uint64_t)n);
	u = arena_array(&o->arena, (size_t)(items * 4 * row), sizeof *u);
	z = arena_array(&o->arena, (size_t)(items * 4 * v.outs), sizeof *z);
	cr_assert_eq(l->gather(&call, &v, items, pos, 4, u), TAMIS_OK);
	cr_assert_eq(l->gather_out(&call, &v, &o->out[0], items, pos, 4, z), TAMIS_OK);
	for (int64_t i = 0; i < items * 4 * v.outs; i++) {
		int64_t out_channel = i % v.outs, each = v.outs / v.groups, g = out_channel / each;
		const float *signal = u + i / v.outs * row + g * v.fan_in;
		double sum = c->bias ? v.bias_scale * tensor_get(in[v.bias], out_channel) : 0;

		for (int64_t d = 0; d < v.fan_in; d++)
			sum += v.weight_scale * signal[d] *
			       tensor_get(in[v.weight], g * v.stride_group + out_channel % each * v.stride_out +
			                                d / v.inner * v.stride_channel + d % v.inner);
		cr_assert_float_eq(z[i], sum, 1e-4, "output %lld is %g, signals give %g", (long long)i, z[i], sum);
	}
	cr_assert_eq(l->positions(&call, &v, c->items + 1), 0);
	check_sums(o, &call, &v, items);
	case_free(o);
}

static void linear_many(bool transposed, uint64_t stream)
{
	struct rng r = seeded(stream);

	for (int done = 0; done < 150;) {
		struct conv c;

		draw(&r, transposed, &c);
		if (!complete(&c))
			continue;
		check_linear(&c, done % 3 ? DT_FLOAT : DT_DOUBLE, c.items == 2 && done % 2 ? 1 : c.items, &r);
		done++;
	}
}

Test(conv, linear)
{
	linear_many(false, 5);
}

Test(conv, transposed_linear)
{
	linear_many(true, 6);
}

/* exact_mean promises that no signal ever reads padding: with data all 1 every signal is then 1. */
Test(conv, exact_mean)
{
	struct rng r = seeded(7);
	int exact = 0;

	for (int i = 0; i < 1000; i++) {
		struct linear_view v;
		struct op_case *o;
		struct conv c;
		bool padded = false;

		draw(&r, false, &c);
		if (!complete(&c))
			continue;
		for (int64_t p = 0; p < product(c.grid); p++)
			for (int64_t k = 0; k < product(c.kernel); k++)
				padded = padded || meets(&c, p, k) < 0;
		o = open_case(&c, DT_FLOAT);
		case_run(o);
		const struct tensor *in[3] = {&o->in[0], &o->in[1], c.bias ? &o->in[2] : NULL};
		cr_assert_eq(o->node.op->linear->describe(&o->node, in, o->node.n_in, &v, &o->err), TAMIS_OK);
		cr_assert_eq(v.exact_mean, !padded || product(c.grid) == 1);
		exact += v.exact_mean;
		case_free(o);
	}
	cr_assert_gt(exact, 20);
}

/* auto_pad: output extents of every stride, and SAME_UPPER equals explicit pads computed here. */
Test(conv, auto_pad)
{
	static const char *const kinds[] = {"SAME_UPPER", "SAME_LOWER", "VALID"};
	static const double input[] = {1, 2, 3, 4, 5, 6, 7}, kernel[] = {1, 10, 100};

	for (int64_t stride = 1; stride <= 4; stride++)
		for (int kind = 0; kind < 3; kind++) {
			struct op_case *o = case_new(ops_conv, "Conv", 11);
			int64_t out = kind == 2 ? (7 - 2) / stride : (7 + stride - 1) / stride, total, begin;
			double want[7];

			out = kind == 2 ? (7 - 3) / stride + 1 : out;
			total = kind == 2 ? 0 : (out - 1) * stride + 3 - 7 > 0 ? (out - 1) * stride + 3 - 7 : 0;
			begin = kind == 1 ? total - total / 2 : total / 2;
			for (int64_t p = 0; p < out; p++) {
				want[p] = 0;
				for (int64_t k = 0; k < 3; k++)
					if (p * stride - begin + k >= 0 && p * stride - begin + k < 7)
						want[p] += kernel[k] * input[p * stride - begin + k];
			}
			case_string(o, "auto_pad", kinds[kind]);
			case_ints(o, "strides", 1, &stride);
			case_in(o, DT_DOUBLE, SHAPE(1, 1, 7), input);
			case_in(o, DT_DOUBLE, SHAPE(1, 1, 3), kernel);
			case_run(o);
			case_expect(o, 0, DT_DOUBLE, SHAPE(1, 1, out), want, 1e-12);
			case_free(o);
		}
}

/* output_shape beyond what the kernel reaches is bias alone; SAME gives input * stride. */
Test(conv, transposed_output_shape)
{
	struct op_case *o = case_new(ops_conv, "ConvTranspose", 11);

	case_ints(o, "output_shape", RANK(5), DIMS(5));
	case_in(o, DT_FLOAT, SHAPE(1, 1, 3), VALUES(1, 2, 3));
	case_in(o, DT_FLOAT, SHAPE(1, 1, 1), VALUES(10));
	case_in(o, DT_FLOAT, SHAPE(1), VALUES(0.5));
	case_run(o);
	case_expect(o, 0, DT_FLOAT, SHAPE(1, 1, 5), VALUES(10.5, 20.5, 30.5, 0.5, 0.5), 1e-6);
	case_free(o);
	o = case_new(ops_conv, "ConvTranspose", 11);
	case_string(o, "auto_pad", "SAME_UPPER");
	case_ints(o, "strides", RANK(2), DIMS(2));
	case_in(o, DT_FLOAT, SHAPE(1, 1, 3), VALUES(1, 2, 3));
	case_in(o, DT_FLOAT, SHAPE(1, 1, 3), VALUES(1, 1, 1));
	case_run(o);
	case_expect(o, 0, DT_FLOAT, SHAPE(1, 1, 6), VALUES(1, 1, 3, 2, 5, 3), 1e-6);
	case_free(o);
}

Test(conv, empty_batch)
{
	struct op_case *o = case_new(ops_conv, "Conv", 11);

	case_in(o, DT_FLOAT, SHAPE(0, 2, 4), NULL);
	case_in(o, DT_FLOAT, SHAPE(3, 2, 3), NULL);
	case_run(o);
	case_expect(o, 0, DT_FLOAT, SHAPE(0, 3, 2), NULL, 0);
	case_free(o);
}

/* One attribute list, hostile, on a 1x2x5x5 input and a 4x2x3x3 weight. */
struct hostile {
	const char *op, *name;
	int n; /* -1: an integer attribute */
	int64_t values[6];
	enum tamis_status status;
};

static const struct hostile hostile[] = {
	{"Conv", "pads", 6, {1, 1, 1, 1, 1, 1}, TAMIS_E_INVALID},
	{"Conv", "pads", 3, {1, 1, 1}, TAMIS_E_INVALID},
	{"Conv", "pads", 0, {0}, TAMIS_E_INVALID},
	{"Conv", "pads", 4, {-1, 0, 0, 0}, TAMIS_E_INVALID},
	{"Conv", "pads", 4, {INT64_MAX, 0, INT64_MAX, 0}, TAMIS_E_UNSUPPORTED},
	{"Conv", "pads", 4, {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX}, TAMIS_E_UNSUPPORTED},
	{"Conv", "strides", 2, {0, 1}, TAMIS_E_INVALID},
	{"Conv", "strides", 2, {INT64_MIN, 1}, TAMIS_E_INVALID},
	{"Conv", "strides", 1, {1}, TAMIS_E_INVALID},
	{"Conv", "strides", 3, {1, 1, 1}, TAMIS_E_INVALID},
	{"Conv", "strides", 2, {INT64_MAX, 1}, TAMIS_E_UNSUPPORTED},
	{"Conv", "strides", 2, {INT32_MAX, 1}, TAMIS_OK},
	{"Conv", "dilations", 2, {0, 1}, TAMIS_E_INVALID},
	{"Conv", "dilations", 2, {3, 3}, TAMIS_E_INVALID},
	{"Conv", "dilations", 2, {INT32_MAX, INT32_MAX}, TAMIS_E_INVALID},
	{"Conv", "kernel_shape", 2, {3, 4}, TAMIS_E_INVALID},
	{"Conv", "kernel_shape", 3, {3, 3, 3}, TAMIS_E_INVALID},
	{"Conv", "group", -1, {0}, TAMIS_E_INVALID},
	{"Conv", "group", -1, {-1}, TAMIS_E_INVALID},
	{"Conv", "group", -1, {2}, TAMIS_E_INVALID},
	{"Conv", "group", -1, {3}, TAMIS_E_INVALID},
	{"Conv", "group", -1, {INT64_MAX}, TAMIS_E_INVALID},
	{"ConvTranspose", "output_padding", 2, {1, 1}, TAMIS_E_INVALID},
	{"ConvTranspose", "output_padding", 2, {-1, 0}, TAMIS_E_INVALID},
	{"ConvTranspose", "output_padding", 1, {0}, TAMIS_E_INVALID},
	{"ConvTranspose", "output_shape", 2, {0, 5}, TAMIS_E_INVALID},
	{"ConvTranspose", "output_shape", 4, {1, 1, 7, 7}, TAMIS_E_INVALID},
	{"ConvTranspose", "output_shape", 2, {INT64_MAX, 7}, TAMIS_E_UNSUPPORTED},
	{"ConvTranspose", "pads", 4, {9, 9, 9, 9}, TAMIS_E_INVALID},
	{"ConvTranspose", "strides", 2, {INT32_MAX, INT32_MAX}, TAMIS_E_UNSUPPORTED},
	{"ConvTranspose", "dilations", 2, {INT32_MAX, INT32_MAX}, TAMIS_E_UNSUPPORTED},
};

Test(conv, hostile_attributes)
{
	for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
		const struct hostile *h = &hostile[i];
		struct op_case *o = case_new(ops_conv, h->op, 11);
		enum tamis_status status;

		if (h->n < 0)
			case_int(o, h->name, h->values[0]);
		else
			case_ints(o, h->name, h->n, h->values);
		case_in(o, DT_FLOAT, SHAPE(1, 2, 5, 5), NULL);
		case_in(o, DT_FLOAT, SHAPE(h->op[4] ? 2 : 4, 2, 3, 3), NULL);
		status = case_status(o);
		cr_assert_eq(status, h->status, "row %zu (%s %s): status %d: %s", i, h->op, h->name, status,
		             o->err.message);
		case_free(o);
	}
}

/* A weight of no channels has kernels of any size, and connects nothing. */
Test(conv, without_channels_is_not_linear)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *o = case_new(ops_conv, k ? "ConvTranspose" : "Conv", 11);
		const struct tensor *in[] = {&o->in[0], &o->in[1]};
		struct linear_view v;
		int64_t side = INT32_MAX;

		case_ints(o, "pads", 4, DIMS(side - 1, side - 1, 0, 0));
		case_in(o, DT_FLOAT, SHAPE(1, k ? 4 : 0, 1, 1), NULL);
		case_in(o, DT_FLOAT, SHAPE(4, 0, side, side), NULL);
		cr_assert_eq(case_status(o), TAMIS_OK, "%s", o->err.message);
		cr_expect_eq(o->node.op->linear->describe(&o->node, in, 2, &v, &o->err), TAMIS_E_UNSUPPORTED);
		case_free(o);
	}
}

Test(conv, hostile_shapes)
{
	static const struct {
		int x_rank;
		int64_t x[6];
		int w_rank;
		int64_t w[6];
		enum dtype type;
		enum tamis_status status;
	} rows[] = {
		{2, {1, 2}, 2, {4, 2}, DT_FLOAT, TAMIS_E_INVALID},
		{3, {1, 2, 5}, 4, {4, 2, 3, 3}, DT_FLOAT, TAMIS_E_INVALID},
		{6, {1, 1, 1, 1, 1, 1}, 6, {1, 1, 1, 1, 1, 1}, DT_FLOAT, TAMIS_E_UNSUPPORTED},
		{3, {1, 3, 5}, 3, {4, 2, 3}, DT_FLOAT, TAMIS_E_INVALID},
		{3, {1, 2, 5}, 3, {4, 2, 0}, DT_FLOAT, TAMIS_E_INVALID},
		{3, {1, 2, 0}, 3, {4, 2, 1}, DT_FLOAT, TAMIS_E_INVALID},
		{3, {1, 2, 2}, 3, {4, 2, 3}, DT_FLOAT, TAMIS_E_INVALID},
		{3, {1, 2, 5}, 3, {4, 2, 3}, DT_INT32, TAMIS_E_UNSUPPORTED},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op_case *o = case_new(ops_conv, "Conv", 11);

		case_in(o, rows[i].type, rows[i].x_rank, rows[i].x, NULL);
		case_in(o, rows[i].type, rows[i].w_rank, rows[i].w, NULL);
		cr_assert_eq(case_status(o), rows[i].status, "row %zu: %s", i, o->err.message);
		case_free(o);
	}
}

Test(conv, vectors)
{
	check_vectors(ops_conv, 14, NULL);
}
