/* SPDX-License-Identifier: Apache-2.0 */
/* Where: three inputs broadcast together. */
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"

enum { CONDITION, X, Y, INPUTS };

/* The output's axes, collapsed, with each input's strides (0 where it is broadcast). */
struct walk {
	int rank;
	int64_t dims[TENSOR_MAX_RANK], step[INPUTS][TENSOR_MAX_RANK];
};

/* Dimension i of `rank`, aligned at the last axis; 1 where the tensor has none. */
static int64_t aligned(const struct tensor *t, int rank, int i)
{
	int at = i - (rank - t->rank);

	return at < 0 ? 1 : t->dims[at];
}

static enum tamis_status where_shape(struct op_call *c)
{
	int64_t dims[TENSOR_MAX_RANK];
	int rank = 0;
	enum tamis_status status = args_movable(c, X);

	if (status)
		return status;
	if (c->in[CONDITION]->type != DT_BOOL || c->in[X]->type != c->in[Y]->type)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "Where takes a bool and two inputs of one type, not %s, %s and %s",
		               dtype_name((int)c->in[CONDITION]->type), dtype_name((int)c->in[X]->type),
		               dtype_name((int)c->in[Y]->type));
	for (int k = 0; k < INPUTS; k++)
		rank = c->in[k]->rank > rank ? c->in[k]->rank : rank;
	for (int i = 0; i < rank; i++) {
		dims[i] = 1;
		for (int k = 0; k < INPUTS; k++) {
			int64_t d = aligned(c->in[k], rank, i);

			if (d != 1 && dims[i] != 1 && d != dims[i])
				return tm_fail(c->err, TAMIS_E_INVALID,
				               "lengths %lld and %lld of axis %d cannot be broadcast", (long long)dims[i],
				               (long long)d, i);
			dims[i] = d != 1 ? d : dims[i];
		}
	}
	return op_set_out(c, 0, c->in[X]->type, rank, dims);
}

static bool continues(const struct walk *w, const int64_t *step, int64_t dim)
{
	for (int k = 0; k < INPUTS; k++)
		if (w->step[k][w->rank - 1] != step[k] * dim)
			return false;
	return true;
}

/* Axes of length one go, and neighbours that every input steps through as one are merged. */
static void walk_of(const struct op_call *c, const struct tensor *y, struct walk *w)
{
	int64_t stride[INPUTS][TENSOR_MAX_RANK];

	for (int k = 0; k < INPUTS; k++)
		args_strides(c->in[k]->rank, c->in[k]->dims, stride[k]);
	w->rank = 0;
	for (int i = 0; i < y->rank; i++) {
		int64_t step[INPUTS], dim = y->dims[i];

		if (dim == 1)
			continue;
		for (int k = 0; k < INPUTS; k++)
			step[k] = aligned(c->in[k], y->rank, i) == 1 ? 0 : stride[k][i - (y->rank - c->in[k]->rank)];
		if (w->rank && continues(w, step, dim))
			w->dims[--w->rank] *= dim;
		else
			w->dims[w->rank] = dim;
		for (int k = 0; k < INPUTS; k++)
			w->step[k][w->rank] = step[k];
		w->rank++;
	}
	if (w->rank == 0) {
		w->dims[0] = 1;
		for (int k = 0; k < INPUTS; k++)
			w->step[k][0] = 0;
		w->rank = 1;
	}
}

/* One row of the innermost axis: offsets of the inputs in elements, and their steps. */
struct row { int64_t n, at[INPUTS], step[INPUTS]; };

typedef void row_fn(const struct row *r, int64_t out, void *ctx);

static void each_row(const struct walk *w, row_fn *fn, void *ctx)
{
	int last = w->rank - 1, axis;
	int64_t at[TENSOR_MAX_RANK] = {0}, out = 0;
	struct row r = {.n = w->dims[last]};

	for (int k = 0; k < INPUTS; k++)
		r.step[k] = w->step[k][last];
	do {
		fn(&r, out, ctx);
		out += r.n;
		for (axis = last - 1; axis >= 0; axis--) {
			bool carry = ++at[axis] == w->dims[axis];

			for (int k = 0; k < INPUTS; k++)
				r.at[k] += w->step[k][axis] * (carry ? 1 - w->dims[axis] : 1);
			if (!carry)
				break;
			at[axis] = 0;
		}
	} while (axis >= 0);
}

struct choice { const uint8_t *condition; const char *x, *y; char *out; };

typedef uint8_t word1 __attribute__((may_alias));
typedef uint16_t word2 __attribute__((may_alias));
typedef uint32_t word4 __attribute__((may_alias));
typedef uint64_t word8 __attribute__((may_alias));
typedef struct { uint64_t low, high; } __attribute__((may_alias)) word16;

/* Steps are 1 or 0; the forms of a mask, where one side is a single value, have loops of their own. Both
 * sides are read before the choice, which lets the compiler blend whole vectors. */
#define CHOOSE_LOOP(word, c, from_x, from_y) \
	for (int64_t i = 0; i < n; i++) { \
		const word a = (from_x), b = (from_y); \
		to[i] = (c) ? a : b; \
	}
#define CHOOSE(word) \
	static void choose_##word(const struct row *r, int64_t out, void *ctx) \
	{ \
		const struct choice *s = ctx; \
		const uint8_t *restrict condition = s->condition + r->at[CONDITION]; \
		const word *restrict x = (const word *)s->x + r->at[X]; \
		const word *restrict y = (const word *)s->y + r->at[Y]; \
		word *restrict to = (word *)s->out + out; \
		const int64_t n = r->n, sc = r->step[CONDITION], sx = r->step[X], sy = r->step[Y]; \
		const word x0 = *x, y0 = *y; \
		if (sc == 1 && sx == 1 && sy == 1) \
			CHOOSE_LOOP(word, condition[i], x[i], y[i]) \
		else if (sc == 1 && sx == 1) \
			CHOOSE_LOOP(word, condition[i], x[i], y0) \
		else if (sc == 1 && sy == 1) \
			CHOOSE_LOOP(word, condition[i], x0, y[i]) \
		else \
			CHOOSE_LOOP(word, condition[i * sc], x[i * sx], y[i * sy]) \
	}

CHOOSE(word1)
CHOOSE(word2)
CHOOSE(word4)
CHOOSE(word8)
CHOOSE(word16)

static row_fn *chooser(size_t size)
{
	switch (size) {
	case 1: return choose_word1;
	case 2: return choose_word2;
	case 4: return choose_word4;
	case 8: return choose_word8;
	default: return choose_word16;
	}
}

static enum tamis_status where_run(struct op_call *c)
{
	struct choice a = {c->in[CONDITION]->data, c->in[X]->data, c->in[Y]->data, NULL};
	struct walk w;

	if (!c->out[0] || c->out[0]->count == 0)
		return TAMIS_OK;
	a.out = c->out[0]->data;
	walk_of(c, c->out[0], &w);
	each_row(&w, chooser(args_element(c->in[X]->type)), &a);
	return TAMIS_OK;
}

/* The gradient goes where the element came from. */
struct share { const uint8_t *condition; const void *gy; void *gx[INPUTS]; };

#define SHARE(real) \
	static void share_##real(const struct row *r, int64_t out, void *ctx) \
	{ \
		const struct share *a = ctx; \
		const real *gy = (const real *)a->gy + out; \
		for (int k = X; k <= Y; k++) { \
			real *gx = a->gx[k]; \
			if (!gx) \
				continue; \
			gx += r->at[k]; \
			for (int64_t i = 0; i < r->n; i++) \
				if ((a->condition[r->at[CONDITION] + i * r->step[CONDITION]] != 0) == (k == X)) \
					gx[i * r->step[k]] += gy[i]; \
		} \
	}

SHARE(float)
SHARE(double)

static enum tamis_status where_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0];
	struct share a = {g->call->in[CONDITION]->data, NULL, {NULL}};
	struct walk w;

	if (!gy || gy->count == 0)
		return TAMIS_OK;
	a.gy = gy->data;
	for (int k = X; k <= Y; k++)
		a.gx[k] = g->gin[k] ? g->gin[k]->data : NULL;
	walk_of(g->call, gy, &w);
	each_row(&w, gy->type == DT_FLOAT ? share_float : share_double, &a);
	return TAMIS_OK;
}

const struct op ops_select[] = {
	{.name = "Where", .domain = "", .channels = channels_elementwise, .since = 9, .until = OP_LATEST, .min_in = 3, .max_in = 3,
	 .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, .shape = where_shape, .run = where_run, .reverse = where_reverse},
	{0},
};
