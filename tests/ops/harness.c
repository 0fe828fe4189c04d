/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>


static void *take(struct op_case *c, size_t n, size_t size)
{
	void *p = arena_array(&c->arena, n, size);

	cr_assert(p, "out of memory");
	return p;
}

static const struct op *row_of(const struct op *rows, const char *name, int opset)
{
	const char *colon = strchr(name, ':');
	size_t n = colon ? (size_t)(colon - name) : 0;

	for (; rows->name; rows++)
		if (strcmp(rows->name, colon ? colon + 1 : name) == 0 && strlen(rows->domain) == n &&
		    memcmp(rows->domain, name, n) == 0 && rows->since <= opset && opset <= rows->until)
			return rows;
	return NULL;
}

struct op_case *case_new(const struct op *rows, const char *name, int opset)
{
	struct op_case *c = calloc(1, sizeof *c);

	cr_assert(c, "out of memory");
	c->proto = (Onnx__NodeProto)ONNX__NODE_PROTO__INIT;
	c->proto.attribute = c->attributes;
	c->node.proto = &c->proto;
	c->node.op = row_of(rows, name, opset);
	c->node.name = name;
	c->node.opset = opset;
	c->node.in = take(c, CASE_MAX, sizeof *c->node.in);
	c->node.out = take(c, CASE_MAX, sizeof *c->node.out);
	c->seed = getenv("TAMIS_SEED") ? strtoull(getenv("TAMIS_SEED"), NULL, 0) : 7;
	c->rng = rng_make(c->seed, 1);
	cr_assert(c->node.op, "no row serves %s at opset %d", name, opset);
	case_outputs(c, 1);
	return c;
}

void case_free(struct op_case *c)
{
	arena_free(&c->arena);
	scratch_free(&c->scratch);
	free(c);
}

static Onnx__AttributeProto *attribute(struct op_case *c, const char *name,
                                       Onnx__AttributeProto__AttributeType type)
{
	Onnx__AttributeProto *a = take(c, 1, sizeof *a);

	cr_assert(c->proto.n_attribute < CASE_MAX, "too many attributes");
	*a = (Onnx__AttributeProto)ONNX__ATTRIBUTE_PROTO__INIT;
	a->name = arena_strdup(&c->arena, name);
	a->has_type = 1;
	a->type = type;
	c->attributes[c->proto.n_attribute++] = a;
	return a;
}

void case_int(struct op_case *c, const char *name, int64_t value)
{
	Onnx__AttributeProto *a = attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);

	a->has_i = 1;
	a->i = value;
}

void case_float(struct op_case *c, const char *name, double value)
{
	Onnx__AttributeProto *a = attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);

	a->has_f = 1;
	a->f = (float)value;
}

void case_string(struct op_case *c, const char *name, const char *value)
{
	Onnx__AttributeProto *a = attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);

	a->has_s = 1;
	a->s.len = strlen(value);
	a->s.data = (uint8_t *)arena_strdup(&c->arena, value);
}

void case_ints(struct op_case *c, const char *name, int n, const int64_t *values)
{
	Onnx__AttributeProto *a = attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);

	a->n_ints = (size_t)n;
	a->ints = take(c, (size_t)n + 1, sizeof *a->ints);
	for (int i = 0; i < n; i++)
		a->ints[i] = values[i];
}

void case_floats(struct op_case *c, const char *name, int n, const double *values)
{
	Onnx__AttributeProto *a = attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);

	a->n_floats = (size_t)n;
	a->floats = take(c, (size_t)n + 1, sizeof *a->floats);
	for (int i = 0; i < n; i++)
		a->floats[i] = (float)values[i];
}

void case_tensor(struct op_case *c, const char *name, const struct tensor *value)
{
	Onnx__AttributeProto *a = attribute(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
	Onnx__TensorProto *t = take(c, 1, sizeof *t);

	*t = (Onnx__TensorProto)ONNX__TENSOR_PROTO__INIT;
	t->has_data_type = 1;
	t->data_type = (int32_t)value->type;
	t->n_dims = (size_t)value->rank;
	t->dims = take(c, (size_t)value->rank + 1, sizeof *t->dims);
	memcpy(t->dims, value->dims, (size_t)value->rank * sizeof *t->dims);
	t->has_raw_data = 1;
	t->raw_data.len = tensor_bytes(value);
	t->raw_data.data = take(c, t->raw_data.len + 1, 1);
	memcpy(t->raw_data.data, value->data, t->raw_data.len);
	a->t = t;
}

/* Memory of the arena for the shape that t has. */
static void give_data(struct op_case *c, struct tensor *t)
{
	t->data = take(c, tensor_bytes(t) + 1, 1);
}

static struct tensor *next_input(struct op_case *c, enum dtype type, int rank, const int64_t *dims)
{
	struct tensor *t = &c->in[c->node.n_in];

	cr_assert(c->node.n_in < CASE_MAX, "too many inputs");
	c->node.in[c->node.n_in] = c->node.n_in;
	c->node.n_in++;
	cr_assert_eq(tensor_shape(t, type, rank, dims, &c->err), TAMIS_OK, "%s", c->err.message);
	give_data(c, t);
	return t;
}

/* In (-2, 2), at least 1e-2 from every multiple of 1/2. */
static double random_value(struct op_case *c, enum dtype type)
{
	if (!dtype_is_float((int)type))
		return (double)rng_below(&c->rng, type == DT_BOOL ? 2 : 4);
	return (double)rng_below(&c->rng, 8) * 0.5 - 2 + 0.01 + 0.48 * rng_uniform(&c->rng);
}

struct tensor *case_in(struct op_case *c, enum dtype type, int rank, const int64_t *dims,
                       const double *values)
{
	struct tensor *t = next_input(c, type, rank, dims);

	for (int64_t i = 0; i < t->count; i++)
		tensor_set(t, i, values ? values[i] : random_value(c, type));
	return t;
}

struct tensor *case_in_range(struct op_case *c, enum dtype type, int rank, const int64_t *dims, double from,
                             double to)
{
	struct tensor *t = next_input(c, type, rank, dims);

	for (int64_t i = 0; i < t->count; i++)
		tensor_set(t, i, from + (to - from) * rng_uniform(&c->rng));
	return t;
}

void case_absent(struct op_case *c)
{
	cr_assert(c->node.n_in < CASE_MAX, "too many inputs");
	c->node.in[c->node.n_in++] = GRAPH_NONE;
}

void case_outputs(struct op_case *c, int n)
{
	cr_assert(n <= CASE_MAX, "too many outputs");
	c->node.n_out = c->n_out = n;
	for (int i = 0; i < n; i++)
		c->node.out[i] = CASE_MAX + i;
}

void case_drop_output(struct op_case *c, int i)
{
	c->node.out[i] = GRAPH_NONE;
}

/* The arguments of one call: pointers into two arrays of tensors. */
struct bound {
	const struct tensor *in[CASE_MAX];
	struct tensor *out[CASE_MAX];
	struct op_call call;
};

static void bind(struct op_case *c, struct tensor *in, struct tensor *out, struct bound *b)
{
	for (int i = 0; i < CASE_MAX; i++) {
		b->in[i] = i < c->node.n_in && c->node.in[i] != GRAPH_NONE ? &in[i] : NULL;
		b->out[i] = i < c->node.n_out && c->node.out[i] != GRAPH_NONE ? &out[i] : NULL;
	}
	b->call = (struct op_call){.node = &c->node, .n_in = c->node.n_in, .n_out = c->node.n_out, .in = b->in,
	                           .out = b->out, .scratch = &c->scratch, .err = &c->err};
}

static enum tamis_status parse(struct op_case *c)
{
	struct op_parse p = {.node = &c->node, .arena = &c->arena, .err = &c->err};

	if (c->node.attr || !c->node.op->parse)
		return TAMIS_OK;
	return c->node.op->parse(&p, &c->node.attr);
}

static bool is_half(enum dtype type)
{
	return type == DT_FLOAT16 || type == DT_BFLOAT16;
}

/* from in another type; the data of `to` are made in the arena. */
static void convert(struct op_case *c, const struct tensor *from, struct tensor *to, enum dtype type)
{
	*to = *from;
	to->type = type;
	give_data(c, to);
	cr_assert_eq(tensor_convert(from, to, &c->err), TAMIS_OK, "%s", c->err.message);
}

/* run on tensors whose shapes are set; halves go through float unless the row moves any bits. */
static enum tamis_status run(struct op_case *c, struct tensor *in, struct tensor *out)
{
	struct tensor in_f[CASE_MAX], out_f[CASE_MAX];
	bool widen = !(c->node.op->flags & OP_ANY_BITS);
	struct bound b;
	enum tamis_status status;

	scratch_reset(&c->scratch);
	for (int i = 0; i < c->node.n_in; i++) {
		in_f[i] = in[i];
		if (widen && c->node.in[i] != GRAPH_NONE && is_half(in[i].type))
			convert(c, &in[i], &in_f[i], DT_FLOAT);
	}
	for (int i = 0; i < c->node.n_out; i++) {
		out_f[i] = out[i];
		if (widen && c->node.out[i] != GRAPH_NONE && is_half(out[i].type)) {
			out_f[i].type = DT_FLOAT;
			give_data(c, &out_f[i]);
		}
	}
	bind(c, in_f, out_f, &b);
	status = c->node.op->run(&b.call);
	for (int i = 0; status == TAMIS_OK && i < c->node.n_out; i++)
		if (out_f[i].data != out[i].data)
			status = tensor_convert(&out_f[i], &out[i], &c->err);
	return status;
}

enum tamis_status case_forward(struct op_case *c)
{
	struct bound b;
	enum tamis_status status = parse(c);

	bind(c, c->in, c->out, &b);
	if (status == TAMIS_OK)
		status = c->node.op->shape(&b.call);
	if (status != TAMIS_OK || b.call.unknown)
		return status;
	for (int i = 0; i < c->node.n_out; i++)
		if (c->node.out[i] != GRAPH_NONE)
			give_data(c, &c->out[i]);
	if (!(c->node.op->flags & OP_VIEW))
		return run(c, c->in, c->out);
	memcpy(c->out[0].data, c->in[0].data, tensor_bytes(&c->in[0]));
	return TAMIS_OK;
}

enum tamis_status case_status(struct op_case *c)
{
	struct bound b;
	enum tamis_status status = parse(c);

	bind(c, c->in, c->out, &b);
	if (status == TAMIS_OK)
		status = c->node.op->shape(&b.call);
	cr_assert(status == TAMIS_OK || c->err.message[0], "%s fails without a message", c->node.name);
	return status;
}

/* Shape without data: unknown, or the same shapes as with data. */
static void check_blind_shape(struct op_case *c)
{
	struct tensor in[CASE_MAX], out[CASE_MAX] = {{0}};
	struct bound b;
	enum tamis_status status;

	memcpy(in, c->in, sizeof in);
	for (int i = 0; i < CASE_MAX; i++)
		in[i].data = NULL;
	bind(c, in, out, &b);
	status = c->node.op->shape(&b.call);
	cr_assert_eq(status, TAMIS_OK, "%s: shape without data: %s", c->node.name, c->err.message);
	for (int i = 0; !b.call.unknown && i < c->node.n_out; i++)
		cr_assert(!b.out[i] || (tensor_same_shape(&out[i], &c->out[i]) && out[i].type == c->out[i].type),
		          "%s: output %d has another shape without data", c->node.name, i);
}

static void check_in_place(struct op_case *c)
{
	struct tensor in[CASE_MAX], out[CASE_MAX];

	if (!(c->node.op->flags & OP_INPLACE) || c->node.out[0] == GRAPH_NONE ||
	    c->in[0].type != c->out[0].type || c->in[0].count != c->out[0].count || is_half(c->in[0].type))
		return;
	memcpy(in, c->in, sizeof in);
	memcpy(out, c->out, sizeof out);
	convert(c, &c->in[0], &in[0], c->in[0].type);
	out[0].data = in[0].data;
	for (int i = 1; i < c->node.n_out; i++)
		if (c->node.out[i] != GRAPH_NONE)
			give_data(c, &out[i]);
	cr_assert_eq(run(c, in, out), TAMIS_OK, "%s", c->err.message);
	cr_assert_eq(memcmp(out[0].data, c->out[0].data, tensor_bytes(&out[0])), 0, "%s differs in place",
	             c->node.name);
}

void case_run(struct op_case *c)
{
	enum tamis_status status = case_forward(c);

	cr_assert_eq(status, TAMIS_OK, "%s: %s (seed %llu)", c->node.name, c->err.message,
	             (unsigned long long)c->seed);
	check_blind_shape(c);
	check_in_place(c);
}

static bool close_to(double got, double want, double tolerance)
{
	if (isnan(want) || isinf(want))
		return isnan(want) ? isnan(got) : got == want;
	return fabs(got - want) <= tolerance * (1 + fabs(want));
}

void case_expect(struct op_case *c, int i, enum dtype type, int rank, const int64_t *dims,
                 const double *values, double tolerance)
{
	struct tensor want = {0}, *out = &c->out[i];
	char got_text[128], want_text[128];

	cr_assert_eq(tensor_shape(&want, type, rank, dims, &c->err), TAMIS_OK);
	cr_assert(out->type == type && tensor_same_shape(out, &want), "%s: output %d is %s, expected %s",
	          c->node.name, i, tensor_describe(out, got_text, sizeof got_text),
	          tensor_describe(&want, want_text, sizeof want_text));
	for (int64_t k = 0; values && k < out->count; k++)
		cr_assert(close_to(tensor_get(out, k), values[k], tolerance),
		          "%s: output %d element %lld is %.9g, expected %.9g", c->node.name, i, (long long)k,
		          tensor_get(out, k), values[k]);
}

/* Gradient seeds of a functional L = sum over float outputs of <seed, out>. */
struct seeds {
	struct tensor g[CASE_MAX];
	bool used[CASE_MAX];
};

static void make_seeds(struct op_case *c, struct seeds *s)
{
	for (int i = 0; i < c->node.n_out; i++) {
		s->used[i] = c->node.out[i] != GRAPH_NONE && c->out[i].type == DT_DOUBLE;
		if (!s->used[i])
			continue;
		s->g[i] = c->out[i];
		give_data(c, &s->g[i]);
		for (int64_t k = 0; k < s->g[i].count; k++)
			((double *)s->g[i].data)[k] = rng_normal(&c->rng);
	}
}

static double functional(struct op_case *c, const struct seeds *s, const struct tensor *out)
{
	double sum = 0;

	for (int i = 0; i < c->node.n_out; i++)
		for (int64_t k = 0; s->used[i] && k < out[i].count; k++)
			sum += ((const double *)s->g[i].data)[k] * ((const double *)out[i].data)[k];
	return sum;
}

static void check_against_differences(struct op_case *c, const struct seeds *s, int input,
                                      const struct tensor *gin)
{
	struct tensor out[CASE_MAX];
	double *x = c->in[input].data, largest = 1;

	memcpy(out, c->out, sizeof out);
	for (int i = 0; i < c->node.n_out; i++)
		if (c->node.out[i] != GRAPH_NONE)
			give_data(c, &out[i]);
	for (int64_t k = 0; k < gin->count; k++)
		largest = fmax(largest, fabs(((const double *)gin->data)[k]));
	for (int64_t k = 0; k < gin->count; k++) {
		double at = x[k], h = 1e-5 * fmax(1, fabs(at)), up, got = ((const double *)gin->data)[k], slope;

		x[k] = at + h;
		cr_assert_eq(run(c, c->in, out), TAMIS_OK, "%s", c->err.message);
		up = functional(c, s, out);
		x[k] = at - h;
		cr_assert_eq(run(c, c->in, out), TAMIS_OK, "%s", c->err.message);
		slope = (up - functional(c, s, out)) / (2 * h);
		x[k] = at;
		cr_assert(fabs(got - slope) <= 1e-6 * largest,
		          "%s: d/d input %d [%lld] is %.12g, differences say %.12g (seed %llu)", c->node.name, input,
		          (long long)k, got, slope, (unsigned long long)c->seed);
	}
}

/* One reverse call; gradients start at `start`, and only inputs of the mask are wanted. */
static void reverse(struct op_case *c, struct tensor *in, struct tensor *out, const struct seeds *s,
                    unsigned inputs, double start, struct tensor *gin)
{
	const struct tensor *gout[CASE_MAX];
	struct tensor *wanted[CASE_MAX];
	struct op_grad g;
	struct bound b;

	scratch_reset(&c->scratch);
	bind(c, in, out, &b);
	for (int i = 0; i < CASE_MAX; i++) {
		gout[i] = i < c->node.n_out && s->used[i] ? &s->g[i] : NULL;
		wanted[i] = inputs >> i & 1 ? &gin[i] : NULL;
		if (!wanted[i])
			continue;
		gin[i] = in[i];
		give_data(c, &gin[i]);
		for (int64_t k = 0; k < gin[i].count; k++)
			tensor_set(&gin[i], k, start);
	}
	g = (struct op_grad){.call = &b.call, .gout = gout, .gin = wanted};
	cr_assert_eq(c->node.op->reverse(&g), TAMIS_OK, "%s: reverse: %s", c->node.name, c->err.message);
}

/* Largest distance of two gradients, relative to the largest entry or 1, after taking `start` off the
 * second. */
static double distance(const struct tensor *a, const struct tensor *b, double start)
{
	double far = 0, largest = 1;

	for (int64_t k = 0; k < a->count; k++) {
		far = fmax(far, fabs(tensor_get(a, k) - (tensor_get(b, k) - start)));
		largest = fmax(largest, fabs(tensor_get(a, k)));
	}
	return far / largest;
}

static void check_float(struct op_case *c, const struct seeds *s, unsigned inputs, const struct tensor *gin)
{
	struct tensor in[CASE_MAX], out[CASE_MAX] = {{0}}, gin_f[CASE_MAX];
	struct seeds s_f = *s;

	memcpy(in, c->in, sizeof in);
	for (int i = 0; i < c->node.n_in; i++)
		if (c->node.in[i] != GRAPH_NONE && in[i].type == DT_DOUBLE)
			convert(c, &c->in[i], &in[i], DT_FLOAT);
	for (int i = 0; i < c->node.n_out; i++) {
		if (c->node.out[i] == GRAPH_NONE)
			continue;
		convert(c, &c->out[i], &out[i], c->out[i].type == DT_DOUBLE ? DT_FLOAT : c->out[i].type);
		if (s->used[i])
			convert(c, &s->g[i], &s_f.g[i], DT_FLOAT);
	}
	cr_assert_eq(run(c, in, out), TAMIS_OK, "%s", c->err.message);
	for (int i = 0; i < c->node.n_out; i++)
		cr_assert(!s->used[i] || distance(&c->out[i], &out[i], 0) <= 1e-4,
		          "%s: float and double outputs differ by %g", c->node.name,
		          distance(&c->out[i], &out[i], 0));
	reverse(c, in, out, &s_f, inputs, 0, gin_f);
	for (int i = 0; i < c->node.n_in; i++)
		cr_assert(!(inputs >> i & 1) || distance(&gin[i], &gin_f[i], 0) <= 1e-4,
		          "%s: float and double gradients of input %d differ by %g (seed %llu)", c->node.name, i,
		          distance(&gin[i], &gin_f[i], 0), (unsigned long long)c->seed);
}

void check_reverse(struct op_case *c, unsigned inputs)
{
	struct tensor gin[CASE_MAX], other[CASE_MAX];
	struct seeds s = {0}, none = {0};

	cr_assert(c->node.op->reverse, "%s has no reverse", c->node.name);
	case_run(c);
	make_seeds(c, &s);
	reverse(c, c->in, c->out, &s, inputs, 0, gin);
	for (int i = 0; i < c->node.n_in; i++) {
		if (!(inputs >> i & 1))
			continue;
		check_against_differences(c, &s, i, &gin[i]);
		reverse(c, c->in, c->out, &s, 1U << i, 3, other);
		cr_assert_lt(distance(&gin[i], &other[i], 3), 1e-12, "%s: reverse does not add to input %d",
		             c->node.name, i);
		reverse(c, c->in, c->out, &none, 1U << i, 0, other);
		for (int64_t k = 0; k < other[i].count; k++)
			cr_assert_eq(tensor_get(&other[i], k), 0, "%s: a gradient without any source", c->node.name);
	}
	check_float(c, &s, inputs, gin);
}

void check_sums(const struct op_case *o, const struct op_call *call, const struct linear_view *v, int64_t items)
{
	const struct linear_op *l = o->node.op->linear;
	int64_t n = l->positions(call, v, items), d = v->groups * v->fan_in;
	double *got = calloc((size_t)(4 * d), sizeof *got), *want = got + 2 * d;
	float *u = malloc((size_t)(items * d) * sizeof *u);

	cr_assert(got && u);
	cr_assert_eq(l->sums(call, v, items, got, got + d), TAMIS_OK);
	for (int64_t p = 0; p < n; p++) {
		cr_assert_eq(l->gather(call, v, items, &p, 1, u), TAMIS_OK);
		for (int64_t i = 0; i < items * d; i++) {
			want[i % d] += (double)u[i];
			want[d + i % d] += (double)u[i] * (double)u[i];
		}
	}
	for (int64_t i = 0; i < 2 * d; i++)
		cr_assert_float_eq(got[i], want[i], 1e-9 * (1 + fabs(want[i])), "%s of feature %lld is %.17g, not %.17g",
		                   i < d ? "the sum" : "the square", (long long)(i % d), got[i], want[i]);
	free(u);
	free(got);
}
