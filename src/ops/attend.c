/* SPDX-License-Identifier: Apache-2.0 */
/* One head at a time: products by BLAS, the rows between them in double. */
#include "ops/attend.h"

#include <math.h>
#include <string.h>

#include "ops/blas.h"
#include "ops/reals.h"

/* Memory of one head: scores and their gradient [queries, keys], and rows of `keys`. */
struct work {
	struct tensor scores, slope;
	double *row, *capped, *probability;
};

static int64_t view_at(const struct attend_view *v, int64_t batch, int64_t head)
{
	return batch * v->batch + head * v->head;
}

static enum tamis_status make_work(const struct attend *a, struct scratch *scratch, struct work *w,
                                   struct tamis_error *err)
{
	int64_t dims[] = {a->queries, a->keys};
	enum tamis_status s;

	*w = (struct work){.row = scratch_alloc(scratch, (size_t)a->keys, sizeof *w->row)};
	w->capped = scratch_alloc(scratch, (size_t)a->keys, sizeof *w->capped);
	w->probability = scratch_alloc(scratch, (size_t)a->keys, sizeof *w->probability);
	s = tensor_shape(&w->scores, a->type, 2, dims, err);
	if (s != TAMIS_OK)
		return s;
	w->slope = w->scores;
	w->scores.data = scratch_alloc(scratch, tensor_bytes(&w->scores), 1);
	w->slope.data = scratch_alloc(scratch, tensor_bytes(&w->scores), 1);
	if (!w->row || !w->capped || !w->probability || !w->scores.data || !w->slope.data)
		return tm_no_memory(err, "attending");
	return TAMIS_OK;
}

/* Heads of the whole batch that have a query: without any, there may be as many heads as one likes. */
static int64_t heads_of(const struct attend *a)
{
	return a->queries ? a->batch * a->heads : 0;
}

static void raw_scores(const struct attend *a, const void *q, const void *k, int64_t batch, int64_t head,
                       struct work *w)
{
	int64_t shared = head / (a->heads / a->kv_heads);

	blas_gemm(a->type, false, true, a->queries, a->keys, a->size, a->scale,
	          blas_at(a->type, q, view_at(&a->q, batch, head)), a->q.row,
	          blas_at(a->type, k, view_at(&a->k, batch, shared)), a->k.row, 0, w->scores.data, a->keys);
}

/* row becomes its softmax; zeros where nothing is left. */
static void softmax(double *row, int64_t n, bool any)
{
	double most = -INFINITY, sum = 0;

	for (int64_t j = 0; j < n; j++)
		most = row[j] > most ? row[j] : most;
	any = any && most > -INFINITY;
	for (int64_t j = 0; j < n; j++) {
		row[j] = any ? exp(row[j] - most) : 0;
		sum += row[j];
	}
	for (int64_t j = 0; any && j < n; j++)
		row[j] /= sum;
}

static void put_row(const struct attend *a, void *to, int64_t at, const double *row)
{
	struct tensor t = {.type = a->type, .data = to};

	for (int64_t j = 0; to && j < a->keys; j++)
		real_set(&t, at + j, row[j]);
}

/* One row of scores through cap, bias and softmax: w->capped holds the capped scores, w->probability the
 * result. */
static void find_row(const struct attend *a, struct work *w, int64_t batch, int64_t head, int64_t i,
                     void *tap)
{
	int64_t at = ((batch * a->heads + head) * a->queries + i) * a->keys;
	bool any = true;

	for (int64_t j = 0; j < a->keys; j++) {
		w->row[j] = real_get(&w->scores, i * a->keys + j);
		w->capped[j] = a->softcap > 0 ? a->softcap * tanh(w->row[j] / a->softcap) : w->row[j];
	}
	memcpy(w->probability, w->capped, (size_t)a->keys * sizeof *w->probability);
	if (a->bias)
		any = a->bias(a->ctx, batch, head, i, w->probability);
	if (a->tap == TAP_BIASED)
		put_row(a, tap, at, w->probability);
	softmax(w->probability, a->keys, any);
	if (a->tap != TAP_BIASED)
		put_row(a, tap, at, a->tap == TAP_RAW ? w->row : a->tap == TAP_CAPPED ? w->capped : w->probability);
}

enum tamis_status attend_run(const struct attend *a, const void *q, const void *k, const void *v, void *y,
                             void *tap,
                             struct scratch *scratch, struct tamis_error *err)
{
	struct work w;
	enum tamis_status s = make_work(a, scratch, &w, err);

	for (int64_t n = 0; s == TAMIS_OK && n < heads_of(a); n++) {
		int64_t batch = n / a->heads, head = n % a->heads, shared = head / (a->heads / a->kv_heads);

		raw_scores(a, q, k, batch, head, &w);
		for (int64_t i = 0; i < a->queries; i++) {
			find_row(a, &w, batch, head, i, tap);
			put_row(a, w.scores.data, i * a->keys, w.probability);
		}
		blas_gemm(a->type, false, false, a->queries, a->v_size, a->keys, 1, w.scores.data, a->keys,
		          blas_at(a->type, v, view_at(&a->v, batch, shared)), a->v.row, 0,
		          blas_at(a->type, y, view_at(&a->y, batch, head)), a->y.row);
	}
	return s;
}

/* w->slope, the gradient of the probabilities, becomes that of the raw scores; w->scores, those of the head,
 * become
 * the probabilities. */
static void rows_back(const struct attend *a, struct work *w, int64_t batch, int64_t head, const void *gtap)
{
	const struct tensor tap = {.type = a->type, .data = (void *)gtap};

	for (int64_t i = 0; i < a->queries; i++) {
		int64_t row = i * a->keys, at = ((batch * a->heads + head) * a->queries) * a->keys + row;
		double sum = 0;

		find_row(a, w, batch, head, i, NULL);
		put_row(a, w->scores.data, row, w->probability);
		for (int64_t j = 0; j < a->keys; j++) {
			w->row[j] = real_get(&w->slope, row + j);
			if (gtap && a->tap == TAP_PROBABILITY)
				w->row[j] += real_get(&tap, at + j);
			sum += w->row[j] * w->probability[j];
		}
		for (int64_t j = 0; j < a->keys; j++) {
			w->row[j] = w->probability[j] * (w->row[j] - sum);
			if (gtap && a->tap == TAP_BIASED)
				w->row[j] += real_get(&tap, at + j);
		}
		if (a->bias_back)
			a->bias_back(a->ctx, batch, head, i, w->row);
		for (int64_t j = 0; j < a->keys; j++) {
			double level = a->softcap > 0 ? w->capped[j] / a->softcap : 0;

			if (gtap && a->tap == TAP_CAPPED)
				w->row[j] += real_get(&tap, at + j);
			w->row[j] *= 1 - level * level;
			if (gtap && a->tap == TAP_RAW)
				w->row[j] += real_get(&tap, at + j);
		}
		put_row(a, w->slope.data, row, w->row);
	}
}

enum tamis_status attend_reverse(const struct attend *a, const void *q, const void *k, const void *v,
                                 const struct attend_gradients *g, struct scratch *scratch,
                                 struct tamis_error *err)
{
	enum dtype type = a->type;
	struct work w;
	enum tamis_status s = make_work(a, scratch, &w, err);

	for (int64_t n = 0; s == TAMIS_OK && n < heads_of(a); n++) {
		int64_t batch = n / a->heads, head = n % a->heads, shared = head / (a->heads / a->kv_heads);
		int64_t at_q = view_at(&a->q, batch, head), at_k = view_at(&a->k, batch, shared);
		int64_t at_v = view_at(&a->v, batch, shared), at_y = view_at(&a->y, batch, head);

		raw_scores(a, q, k, batch, head, &w);
		if (g->gy)
			blas_gemm(type, false, true, a->queries, a->keys, a->v_size, 1, blas_at(type, g->gy, at_y),
			          a->y.row,
			          blas_at(type, v, at_v), a->v.row, 0, w.slope.data, a->keys);
		else
			memset(w.slope.data, 0, tensor_bytes(&w.slope));
		rows_back(a, &w, batch, head, g->gtap);
		if (g->gq)
			blas_gemm(type, false, false, a->queries, a->size, a->keys, a->scale, w.slope.data, a->keys,
			          blas_at(type, k, at_k), a->k.row, 1, blas_at(type, g->gq, at_q), a->q.row);
		if (g->gk)
			blas_gemm(type, true, false, a->keys, a->size, a->queries, a->scale, w.slope.data, a->keys,
			          blas_at(type, q, at_q), a->q.row, 1, blas_at(type, g->gk, at_k), a->k.row);
		if (g->gv && g->gy)
			blas_gemm(type, true, false, a->keys, a->v_size, a->queries, 1, w.scores.data, a->keys,
			          blas_at(type, g->gy, at_y), a->y.row, 1, blas_at(type, g->gv, at_v), a->v.row);
	}
	return s;
}
