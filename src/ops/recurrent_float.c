/* SPDX-License-Identifier: Apache-2.0 */
/* The usual recurrent layers forward in float: usual activations, no clip, no peepholes, sequences of one length. The
 * inputs of all steps are one product, the recurrent weight is transposed once, and gates are vector loops. */
#include <math.h>
#include <string.h>

#include "ops/blas.h"
#include "ops/broadcast.h"
#include "ops/recurrent.h"
#include "ops/vector_math.h"

/* One direction. Matrices of gates have a row an item and time, `pitch` floats from item to item. */
struct lane {
	const struct op_call *call;
	const struct recurrent_attr *attr;
	struct recurrent_sizes z;
	int k;
	bool backward;
	int64_t cols, pitch;
	float *in;      /* x W' + biases; arguments of the gates after a step */
	float *r;       /* [hidden, cols] */
	float *h, *c;   /* [batch, hidden]; c is zeros but of an LSTM */
	float *reset;   /* [batch, hidden]: GRU, R h of the candidate, or what R is multiplied with */
};

bool recurrent_fits_float(const struct op_call *c)
{
	const struct recurrent_attr *a = c->node->attr;

	return c->in[IN_X]->type == DT_FLOAT && a->usual && isinf(a->clip) && !a->input_forget && !op_in(c, IN_LENGTHS)
		&& !op_in(c, IN_P);
}

/* ---- gates ---- */

static inline float sigmoid(float x)
{
	return 1 / (1 + vector_expf(-x));
}

LOOP_VERSIONS static void lstm_gates(const float *restrict pre, int64_t n, float *restrict h, float *restrict c)
{
	for (int64_t j = 0; j < n; j++) {
		c[j] = sigmoid(pre[2 * n + j]) * c[j] + sigmoid(pre[j]) * vector_tanhf(pre[3 * n + j]);
		h[j] = sigmoid(pre[n + j]) * vector_tanhf(c[j]);
	}
}

/* reset becomes r h, whose product with R is still to be added to the candidate's argument. */
LOOP_VERSIONS static void gru_reset(const float *restrict pre, int64_t n, const float *restrict h, float *restrict reset)
{
	for (int64_t j = 0; j < n; j++)
		reset[j] = sigmoid(pre[n + j]) * h[j];
}

/* The candidate's argument gets r (R h + bias). */
LOOP_VERSIONS static void gru_add_reset(float *restrict pre, int64_t n, const float *restrict reset,
                                        const float *restrict bias)
{
	for (int64_t j = 0; j < n; j++)
		pre[2 * n + j] += sigmoid(pre[n + j]) * (reset[j] + bias[j]);
}

LOOP_VERSIONS static void gru_gates(const float *restrict pre, int64_t n, float *restrict h)
{
	for (int64_t j = 0; j < n; j++) {
		float z = sigmoid(pre[j]);

		h[j] = (1 - z) * vector_tanhf(pre[2 * n + j]) + z * h[j];
	}
}

LOOP_VERSIONS static void rnn_gates(const float *restrict pre, int64_t n, float *restrict h)
{
	for (int64_t j = 0; j < n; j++)
		h[j] = vector_tanhf(pre[j]);
}

/* ---- steps ---- */

/* Columns [first, first + n) of C += A times the recurrent weight. */
static void multiply(const struct lane *l, const float *a, int64_t first, int64_t n, float beta, float *c, int64_t pitch)
{
	blas_gemm(DT_FLOAT, false, false, l->z.batch, n, l->z.hidden, 1, a, l->z.hidden, l->r + first, l->cols, (double)beta,
	          c, pitch);
}

static void gru_step(const struct lane *l, float *pre)
{
	int64_t n = l->z.hidden;
	const struct tensor *b = op_in(l->call, IN_B);
	const float *bias = b ? (const float *)b->data + (2 * l->k + 1) * l->cols + 2 * n : NULL;

	multiply(l, l->h, 0, 2 * n, 1, pre, l->pitch);
	if (l->attr->linear_before_reset)
		multiply(l, l->h, 2 * n, n, 0, l->reset, n);
	for (int64_t i = 0; i < l->z.batch; i++)
		if (l->attr->linear_before_reset)
			gru_add_reset(pre + i * l->pitch, n, l->reset + i * n, bias ? bias : l->c);
		else
			gru_reset(pre + i * l->pitch, n, l->h + i * n, l->reset + i * n);
	if (!l->attr->linear_before_reset)
		multiply(l, l->reset, 2 * n, n, 1, pre + 2 * n, l->pitch);
	for (int64_t i = 0; i < l->z.batch; i++)
		gru_gates(pre + i * l->pitch, n, l->h + i * n);
}

static void step(const struct lane *l, int64_t t)
{
	int64_t n = l->z.hidden;
	float *pre = l->in + (l->attr->batch_first ? t : t * l->z.batch) * l->cols;
	struct tensor *y = l->call->out[0];

	if (l->attr->cell == CELL_GRU)
		gru_step(l, pre);
	else
		multiply(l, l->h, 0, l->cols, 1, pre, l->pitch);
	for (int64_t i = 0; i < l->z.batch; i++) {
		if (l->attr->cell == CELL_LSTM)
			lstm_gates(pre + i * l->pitch, n, l->h + i * n, l->c + i * n);
		else if (l->attr->cell == CELL_RNN)
			rnn_gates(pre + i * l->pitch, n, l->h + i * n);
		if (y)
			memcpy((float *)y->data + recurrent_at_y(l->attr, &l->z, t, i, l->k), l->h + i * n, (size_t)n * sizeof(float));
	}
}

/* ---- a direction ---- */

/* in = x W' + Wb + Rb; of a GRU that resets after the product, without Rb of the candidate. */
static void find_in(const struct lane *l)
{
	const struct recurrent_sizes *z = &l->z;
	const struct tensor *b = op_in(l->call, IN_B);
	const float *bias = b ? (const float *)b->data + 2 * l->k * l->cols : NULL;
	const float *w = (const float *)l->call->in[IN_W]->data + l->k * l->cols * z->inputs;
	int64_t rows = z->steps * z->batch, kept = l->attr->linear_before_reset ? 2 * z->hidden : l->cols;

	for (int64_t i = 0; bias && i < rows; i++)
		for (int64_t j = 0; j < l->cols; j++)
			l->in[i * l->cols + j] = bias[j] + (j < kept ? bias[l->cols + j] : 0);
	blas_gemm(DT_FLOAT, false, true, rows, l->cols, z->inputs, 1, l->call->in[IN_X]->data, z->inputs, w, z->inputs,
	          bias ? 1 : 0, l->in, l->cols);
}

static void transpose(const float *r, int64_t cols, int64_t n, float *to)
{
	for (int64_t i = 0; i < cols; i++)
		for (int64_t j = 0; j < n; j++)
			to[j * cols + i] = r[i * n + j];
}

/* Between a state of the layer and the one of this direction. */
static void get_state(const struct lane *l, int input, float *to)
{
	const struct tensor *t = op_in(l->call, input);
	size_t bytes = (size_t)l->z.hidden * sizeof *to;

	for (int64_t i = 0; i < l->z.batch; i++, to += l->z.hidden)
		if (t)
			memcpy(to, (const float *)t->data + recurrent_at_state(l->attr, &l->z, i, l->k), bytes);
		else
			memset(to, 0, bytes);
}

static void put_state(const struct lane *l, int output, const float *from)
{
	struct tensor *t = output < l->call->n_out ? l->call->out[output] : NULL;

	for (int64_t i = 0; t && i < l->z.batch; i++, from += l->z.hidden)
		memcpy((float *)t->data + recurrent_at_state(l->attr, &l->z, i, l->k), from, (size_t)l->z.hidden * sizeof *from);
}

static float *floats(const struct op_call *c, int64_t n)
{
	return scratch_alloc(c->scratch, (size_t)n, sizeof(float));
}

static enum tamis_status run_lane(struct lane *l)
{
	const struct op_call *c = l->call;
	const struct recurrent_sizes *z = &l->z;
	int64_t state = z->batch * z->hidden, least = state > z->hidden ? state : z->hidden;

	l->in = floats(c, z->steps * z->batch * l->cols);
	l->r = floats(c, z->hidden * l->cols);
	l->h = floats(c, state);
	l->c = floats(c, least);
	l->reset = floats(c, state);
	if (!l->in || !l->r || !l->h || !l->c || !l->reset)
		return tm_no_memory(c->err, "running a recurrent layer");
	find_in(l);
	transpose((const float *)c->in[IN_R]->data + l->k * l->cols * z->hidden, l->cols, z->hidden, l->r);
	get_state(l, IN_H, l->h);
	memset(l->c, 0, (size_t)least * sizeof *l->c);
	if (l->attr->cell == CELL_LSTM)
		get_state(l, IN_C, l->c);
	for (int64_t i = 0; i < z->steps; i++)
		step(l, l->backward ? z->steps - 1 - i : i);
	put_state(l, 1, l->h);
	if (l->attr->cell == CELL_LSTM)
		put_state(l, 2, l->c);
	return TAMIS_OK;
}

enum tamis_status recurrent_run_float(const struct op_call *c, const struct recurrent_sizes *z)
{
	const struct recurrent_attr *a = c->node->attr;
	enum tamis_status s = TAMIS_OK;

	for (int k = 0; s == TAMIS_OK && k < a->directions; k++) {
		struct lane l = {.call = c, .attr = a, .z = *z, .k = k, .backward = k == 1 || a->backward,
		                 .cols = z->gates * z->hidden};

		l.pitch = (a->batch_first ? z->steps : 1) * l.cols;
		s = run_lane(&l);
	}
	return s;
}
