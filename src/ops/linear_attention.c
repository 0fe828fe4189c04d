/* SPDX-License-Identifier: Apache-2.0 */
/* LinearAttention: a matrix for each head that every position decays, corrects and adds to, and then reads. With
 * S of d_k x d_v, key k, value v, query q, decay g and rate beta of a position:
 *
 *     S <- exp(g) S,   u = beta (v - S' k) or v,   S <- S + k u',   y = scale q' S
 *
 * Yang et al., Gated Delta Networks, 2025. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/family.h"
#include "ops/reals.h"

enum { QUERY, KEY, VALUE, PAST, DECAY, BETA, INPUTS };
enum { Y, PRESENT };
#define HEAD_MOST 65536 /* elements: a state has their product */

struct linear_attr {
	int64_t queries, heads; /* query heads share those of keys and values in equal runs */
	double scale;           /* 0: 1 / sqrt(d_k) */
	bool gated, corrected;  /* decay; the difference to what the state holds for the key is added */
};

static enum tamis_status linear_parse(struct op_parse *p, void **attr)
{
	static const char *const rules[] = {"linear", "gated", "delta", "gated_delta", NULL};
	struct linear_attr *a = *attr = args_alloc(p, sizeof *a);
	float scale = 0;
	int rule = 0;
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	if ((s = attr_required(p, "q_num_heads")) || (s = attr_int(p, "q_num_heads", 1, &a->queries)) ||
	    (s = attr_required(p, "kv_num_heads")) || (s = attr_int(p, "kv_num_heads", 1, &a->heads)) ||
	    (s = attr_float(p, "scale", 0, &scale)) || (s = attr_choice(p, "update_rule", rules, 3, &rule)))
		return s;
	a->scale = (double)scale;
	a->gated = rule & 1;
	a->corrected = rule & 2;
	if (a->heads < 1 || a->queries < 1 || a->queries % a->heads)
		return tm_fail(p->err, TAMIS_E_INVALID, "%lld query heads cannot share %lld heads of keys and values",
		               (long long)a->queries, (long long)a->heads);
	return TAMIS_OK;
}

/* ---- Shapes ---- */

struct linear {
	const struct op_call *c;
	const struct linear_attr *a;
	int64_t batch, length, dk, dv, decays, rates; /* decays, rates: elements a position of those inputs */
	double scale;
};

static enum tamis_status check_gates(const struct linear *z)
{
	const struct tensor *x = z->c->in[QUERY];
	const bool wanted[] = {[DECAY] = z->a->gated, [BETA] = z->a->corrected};

	for (int i = DECAY; i <= BETA; i++) {
		const struct tensor *t = op_in(z->c, i);

		if ((t != NULL) != wanted[i])
			return tm_fail(z->c->err, TAMIS_E_INVALID, "the update rule %s input %d, which is %s",
			               wanted[i] ? "needs" : "has no use for", i, t ? "there" : "missing");
		if (t && (t->rank != 3 || t->dims[0] != x->dims[0] || t->dims[1] != x->dims[1]))
			return tm_fail(z->c->err, TAMIS_E_INVALID, "input %d must have the batch and length of the queries", i);
	}
	if (z->a->gated && z->decays != z->a->heads && z->decays != z->a->heads * z->dk)
		return tm_fail(z->c->err, TAMIS_E_INVALID, "the decay must have one element a head, or one a key dimension");
	if (z->a->corrected && z->rates != z->a->heads && z->rates != 1)
		return tm_fail(z->c->err, TAMIS_E_INVALID, "beta must have one element a head, or one a position");
	return TAMIS_OK;
}

static enum tamis_status check_state(const struct linear *z)
{
	const struct tensor *past = op_in(z->c, PAST);
	const int64_t dims[] = {z->batch, z->a->heads, z->dk, z->dv};

	if (past && (past->rank != 4 || memcmp(past->dims, dims, sizeof dims) != 0))
		return tm_fail(z->c->err, TAMIS_E_INVALID, "the past state must have the shape [%lld, %lld, %lld, %lld]",
		               (long long)z->batch, (long long)z->a->heads, (long long)z->dk, (long long)z->dv);
	return TAMIS_OK;
}

static enum tamis_status resolve(const struct op_call *c, struct linear *z)
{
	const struct tensor *q = c->in[QUERY], *k = c->in[KEY], *v = c->in[VALUE];
	const struct linear_attr *a = c->node->attr;
	enum tamis_status s;

	for (int i = QUERY; i <= VALUE; i++)
		if (c->in[i]->rank != 3 || c->in[i]->dims[0] != q->dims[0] || c->in[i]->dims[1] != q->dims[1])
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "queries, keys and values must be [batch, length, heads * size] of one batch and length");
	if (q->dims[2] % a->queries || v->dims[2] % a->heads || k->dims[2] % a->heads ||
	    q->dims[2] / a->queries != k->dims[2] / a->heads)
		return tm_fail(c->err, TAMIS_E_INVALID, "%lld query heads and %lld others do not divide %lld, %lld and %lld elements",
		               (long long)a->queries, (long long)a->heads, (long long)q->dims[2], (long long)k->dims[2],
		               (long long)v->dims[2]);
	*z = (struct linear){c, a, q->dims[0], q->dims[1], k->dims[2] / a->heads, v->dims[2] / a->heads, 0, 0, a->scale};
	if (z->dk > HEAD_MOST || z->dv > HEAD_MOST)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "heads of more than %d elements are not supported", HEAD_MOST);
	z->decays = op_in(c, DECAY) && op_in(c, DECAY)->rank == 3 ? op_in(c, DECAY)->dims[2] : 0;
	z->rates = op_in(c, BETA) && op_in(c, BETA)->rank == 3 ? op_in(c, BETA)->dims[2] : 0;
	if (z->scale == 0 && z->dk > 0)
		z->scale = 1 / sqrt((double)z->dk);
	s = check_gates(z);
	return s ? s : check_state(z);
}

/* The state alone may have a type of its own. */
static enum tamis_status linear_shape(struct op_call *c)
{
	const struct tensor *past = op_in(c, PAST);
	enum dtype type = c->in[QUERY]->type;
	struct linear z;
	enum tamis_status s;
	int64_t row;

	for (int i = 0; i < INPUTS; i++)
		if (op_in(c, i) && (!dtype_is_float((int)op_in(c, i)->type) || (i != PAST && op_in(c, i)->type != type)))
			return tm_fail(c->err, TAMIS_E_INVALID, "LinearAttention takes floats of one type; input %d is %s", i,
			               dtype_name((int)op_in(c, i)->type));
	s = resolve(c, &z);
	if (s == TAMIS_OK && !tm_mul(z.a->queries, z.dv, &row))
		s = tm_fail(c->err, TAMIS_E_INVALID, "%lld heads of %lld elements overflow", (long long)z.a->queries,
		            (long long)z.dv);
	if (s == TAMIS_OK)
		s = op_set_out(c, Y, type, 3, (const int64_t[]){z.batch, z.length, row});
	if (s != TAMIS_OK || c->n_out <= PRESENT)
		return s;
	return op_set_out(c, PRESENT, past ? past->type : type, 4, (const int64_t[]){z.batch, z.a->heads, z.dk, z.dv});
}

/* ---- One head ---- */

/* Where the elements of a head begin at one position. */
struct place { int64_t query, key, value, decay, rate, out; };

static struct place place_at(const struct linear *z, int64_t item, int64_t head, int64_t t)
{
	int64_t position = item * z->length + t, shared = z->a->queries / z->a->heads;

	return (struct place){
		.query = (position * z->a->queries + head * shared) * z->dk, .key = (position * z->a->heads + head) * z->dk,
		.value = (position * z->a->heads + head) * z->dv,
		.decay = position * z->decays + head * (z->decays / z->a->heads),
		.rate = position * z->rates + (z->rates > 1 ? head : 0),
		.out = (position * z->a->queries + head * shared) * z->dv,
	};
}

/* Element of the decay that rules row i of the state. */
static int64_t decay_of(const struct linear *z, const struct place *p, int64_t i)
{
	return p->decay + (z->decays > z->a->heads ? i : 0);
}

/* S <- exp(g) S in place. */
static void decay_state(const struct linear *z, const struct place *p, double *state)
{
	for (int64_t i = 0; z->a->gated && i < z->dk; i++) {
		double keep = exp(real_get(z->c->in[DECAY], decay_of(z, p, i)));

		for (int64_t j = 0; j < z->dv; j++)
			state[i * z->dv + j] *= keep;
	}
}

/* v - S' k where the state is corrected, else v. */
static double missing(const struct linear *z, const struct place *p, const double *state, int64_t j)
{
	double v = real_get(z->c->in[VALUE], p->value + j);

	for (int64_t i = 0; z->a->corrected && i < z->dk; i++)
		v -= state[i * z->dv + j] * real_get(z->c->in[KEY], p->key + i);
	return v;
}

static double rate_of(const struct linear *z, const struct place *p)
{
	return z->a->corrected ? real_get(z->c->in[BETA], p->rate) : 1;
}

/* The decayed state takes in a position; u is what was added for its key. */
static void take_in(const struct linear *z, const struct place *p, double *state, double *u)
{
	for (int64_t j = 0; j < z->dv; j++)
		u[j] = rate_of(z, p) * missing(z, p, state, j);
	for (int64_t i = 0; i < z->dk; i++)
		for (int64_t j = 0; j < z->dv; j++)
			state[i * z->dv + j] += real_get(z->c->in[KEY], p->key + i) * u[j];
}

static void read_state(const struct linear *z, const struct place *p, const double *state, struct tensor *y)
{
	for (int64_t h = 0; h < z->a->queries / z->a->heads; h++)
		for (int64_t j = 0; j < z->dv; j++) {
			double sum = 0;

			for (int64_t i = 0; i < z->dk; i++)
				sum += real_get(z->c->in[QUERY], p->query + h * z->dk + i) * state[i * z->dv + j];
			real_set(y, p->out + h * z->dv + j, z->scale * sum);
		}
}

static void first_state(const struct linear *z, int64_t number, double *state)
{
	const struct tensor *past = op_in(z->c, PAST);

	for (int64_t i = 0; i < z->dk * z->dv; i++)
		state[i] = past ? real_get(past, number * z->dk * z->dv + i) : 0;
}

static enum tamis_status linear_run(struct op_call *c)
{
	struct tensor *y = c->out[Y], *present = c->n_out > PRESENT ? c->out[PRESENT] : NULL;
	struct linear z;
	enum tamis_status s = resolve(c, &z);
	double *state;

	if (s != TAMIS_OK)
		return s;
	state = scratch_alloc(c->scratch, (size_t)(z.dk * z.dv + z.dv) + 1, sizeof *state);
	if (!state)
		return tm_no_memory(c->err, "running an attention");
	for (int64_t number = 0; number < z.batch * z.a->heads; number++) {
		first_state(&z, number, state);
		for (int64_t t = 0; t < z.length; t++) {
			struct place p = place_at(&z, number / z.a->heads, number % z.a->heads, t);

			decay_state(&z, &p, state);
			take_in(&z, &p, state, state + z.dk * z.dv);
			if (y)
				read_state(&z, &p, state, y);
		}
		for (int64_t i = 0; present && i < z.dk * z.dv; i++)
			real_set(present, number * z.dk * z.dv + i, state[i]);
	}
	return TAMIS_OK;
}

/* ---- Reverse ---- */

/* Of one position: `decayed` and `made` are its state before and after what it added, u is that, gs the gradient of
 * `made`, which becomes that of the state before the position. */
struct back { const double *decayed, *made, *u; double *gs, *gu; };

static void give(struct tensor *t, int64_t i, double v)
{
	if (t)
		real_add(t, i, v);
}

/* y = scale q' S, for every query head. */
static void reverse_read(const struct op_grad *g, const struct linear *z, const struct place *p, const struct back *b)
{
	for (int64_t h = 0; g->gout[Y] && h < z->a->queries / z->a->heads; h++)
		for (int64_t i = 0; i < z->dk; i++) {
			double q = real_get(z->c->in[QUERY], p->query + h * z->dk + i), sum = 0;

			for (int64_t j = 0; j < z->dv; j++) {
				double gy = z->scale * real_get(g->gout[Y], p->out + h * z->dv + j);

				sum += gy * b->made[i * z->dv + j];
				b->gs[i * z->dv + j] += gy * q;
			}
			give(g->gin[QUERY], p->query + h * z->dk + i, sum);
		}
}

/* S + k u', and u = beta (v - S' k) or v. */
static void reverse_take(const struct op_grad *g, const struct linear *z, const struct place *p, const struct back *b)
{
	double beta = rate_of(z, p), by_rate = 0;

	for (int64_t j = 0; j < z->dv; j++) {
		b->gu[j] = 0;
		for (int64_t i = 0; i < z->dk; i++)
			b->gu[j] += b->gs[i * z->dv + j] * real_get(z->c->in[KEY], p->key + i);
		give(g->gin[VALUE], p->value + j, beta * b->gu[j]);
		if (z->a->corrected)
			by_rate += b->gu[j] * missing(z, p, b->decayed, j);
	}
	if (z->a->corrected)
		give(g->gin[BETA], p->rate, by_rate);
	for (int64_t i = 0; i < z->dk; i++) {
		double k = real_get(z->c->in[KEY], p->key + i), sum = 0;

		for (int64_t j = 0; j < z->dv; j++) {
			sum += b->gs[i * z->dv + j] * b->u[j];
			if (z->a->corrected) {
				sum -= beta * b->gu[j] * b->decayed[i * z->dv + j];
				b->gs[i * z->dv + j] -= beta * b->gu[j] * k;
			}
		}
		give(g->gin[KEY], p->key + i, sum);
	}
}

static void reverse_decay(const struct op_grad *g, const struct linear *z, const struct place *p, const struct back *b)
{
	for (int64_t i = 0; z->a->gated && i < z->dk; i++) {
		double keep = exp(real_get(z->c->in[DECAY], decay_of(z, p, i))), sum = 0;

		for (int64_t j = 0; j < z->dv; j++) {
			sum += b->gs[i * z->dv + j] * b->decayed[i * z->dv + j];
			b->gs[i * z->dv + j] *= keep;
		}
		give(g->gin[DECAY], decay_of(z, p, i), sum);
	}
}

/* A head's tape: for each position the decayed state, the state it made, and what was added. */
struct tape { double *all; int64_t size, stride; };

static struct back at_position(const struct tape *tape, int64_t t)
{
	double *at = tape->all + t * tape->stride;

	return (struct back){.decayed = at, .made = at + tape->size, .u = at + 2 * tape->size};
}

static void record(const struct linear *z, const struct tape *tape, int64_t number)
{
	double *before = tape->all + z->length * tape->stride;

	first_state(z, number, before);
	for (int64_t t = 0; t < z->length; t++) {
		struct place p = place_at(z, number / z->a->heads, number % z->a->heads, t);
		double *at = tape->all + t * tape->stride;

		memcpy(at, before, (size_t)tape->size * sizeof *at);
		decay_state(z, &p, at);
		before = at + tape->size;
		memcpy(before, at, (size_t)tape->size * sizeof *at);
		take_in(z, &p, before, at + 2 * tape->size);
	}
}

static void reverse_head(const struct op_grad *g, const struct linear *z, const struct tape *tape, int64_t number)
{
	const struct tensor *present = g->call->n_out > PRESENT ? g->gout[PRESENT] : NULL;
	double *gs = tape->all + z->length * tape->stride;

	record(z, tape, number);
	for (int64_t i = 0; i < tape->size; i++)
		gs[i] = present ? real_get(present, number * tape->size + i) : 0;
	for (int64_t t = z->length - 1; t >= 0; t--) {
		struct place p = place_at(z, number / z->a->heads, number % z->a->heads, t);
		struct back b = at_position(tape, t);

		b.gs = gs;
		b.gu = gs + tape->size;
		reverse_read(g, z, &p, &b);
		reverse_take(g, z, &p, &b);
		reverse_decay(g, z, &p, &b);
	}
	for (int64_t i = 0; op_in(z->c, PAST) && i < tape->size; i++)
		give(g->gin[PAST], number * tape->size + i, gs[i]);
}

static enum tamis_status linear_reverse(struct op_grad *g)
{
	struct linear z;
	struct tape tape;
	int64_t doubles;
	enum tamis_status s = resolve(g->call, &z);

	if (s != TAMIS_OK)
		return s;
	tape.size = z.dk * z.dv;
	tape.stride = 2 * tape.size + z.dv;
	tape.all = tm_mul(z.length + 1, tape.stride + 1, &doubles) ?
		scratch_alloc(g->call->scratch, (size_t)doubles, sizeof *tape.all) : NULL;
	if (!tape.all)
		return tm_no_memory(g->call->err, "reversing an attention");
	for (int64_t number = 0; number < z.batch * z.a->heads; number++)
		reverse_head(g, &z, &tape, number);
	return TAMIS_OK;
}

const struct op ops_linear_attention[] = {
	{.name = "LinearAttention", .domain = "", .since = 27, .until = OP_LATEST, .min_in = 3, .max_in = INPUTS,
	 .min_out = 1, .max_out = 2, .parse = linear_parse, .shape = linear_shape, .run = linear_run,
	 .reverse = linear_reverse},
	{0},
};
