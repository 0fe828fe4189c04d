/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/match.h"

#include <math.h>
#include <stdlib.h>

#define LEAST 1e-30 /* probabilities are taken as no smaller */

static bool takes_part(const struct head *h, const struct runner *r, int o)
{
	return h->kind == HEAD_GENERAL ? dtype_is_float((int)runner_output(r, o)->type) : o == h->output;
}

int64_t match_target_size(const struct head *h, const struct runner *r, int64_t items)
{
	int64_t n = 0;

	for (int o = 0; o < h->graph->n_outputs; o++)
		n += takes_part(h, r, o) ? runner_output(r, o)->count / items : 0;
	return n;
}

void match_target(const struct head *h, const struct runner *r, int64_t items, int64_t i, float *out)
{
	for (int o = 0; o < h->graph->n_outputs; o++) {
		const struct tensor *t = runner_output(r, o);
		int64_t each = t->count / items;

		for (int64_t k = 0; takes_part(h, r, o) && k < each; k++)
			*out++ = (float)tensor_get(t, i * each + k);
	}
}

/* ---- classes -------------------------------------------------------------------------------------------------- */

/* Rows of one item and what they are compared with, in double. */
struct rows {
	const struct match *match;
	double *z, *t, *q; /* classes: logits; softened probabilities of the original and of the model */
	double weight;     /* of a row: 1 / rows of an item */
};

static double logit(const struct head *h, double v)
{
	return h->kind == HEAD_LOGITS ? v : log(fmax(v, LEAST));
}

/* softmax(z / temperature); returns log of the sum of exponentials of z / temperature. */
static double soften(const double *z, int64_t n, double temperature, double *p)
{
	double top = z[0], sum = 0;

	for (int64_t c = 1; c < n; c++)
		top = z[c] > top ? z[c] : top;
	for (int64_t c = 0; c < n; c++) {
		p[c] = exp((z[c] - top) / temperature);
		sum += p[c];
	}
	for (int64_t c = 0; c < n; c++)
		p[c] /= sum;
	return top / temperature + log(sum);
}

/* KL of the softened rows, times T^2; d/dz = T (q - t). */
static double soft_row(struct rows *w, const float *target, double share, double *slope)
{
	const struct head *h = w->match->head;
	double log_t, log_q, kl = 0, temperature = MATCH_TEMPERATURE;

	log_q = soften(w->z, h->classes, temperature, w->q);
	for (int64_t c = 0; c < h->classes; c++)
		slope[c] = logit(h, target[c]);
	log_t = soften(slope, h->classes, temperature, w->t);
	for (int64_t c = 0; c < h->classes; c++) {
		if (w->t[c] > 0)
			kl += w->t[c] * (slope[c] / temperature - log_t - w->z[c] / temperature + log_q);
		slope[c] = share * temperature * (w->q[c] - w->t[c]);
	}
	return share * temperature * temperature * kl;
}

/* Cross-entropy with a label; d/dz = softmax(z) - [label]. */
static double hard_row(struct rows *w, int64_t label, double share, double *slope)
{
	int64_t n = w->match->head->classes;
	double log_sum = soften(w->z, n, 1, w->q);

	for (int64_t c = 0; c < n; c++)
		slope[c] += share * (w->q[c] - (c == label));
	return share * (log_sum - w->z[label]);
}

/* Through log p where the output holds probabilities. */
static void store_slope(const struct rows *w, const double *slope, const struct tensor *y, int64_t at, float *out)
{
	const struct head *h = w->match->head;

	for (int64_t c = 0; c < h->classes; c++) {
		double by = h->kind == HEAD_LOGITS ? 1 : 1 / fmax(tensor_get(y, at + c), LEAST);

		out[at + c] = (float)(w->weight * slope[c] * by);
	}
}

static double match_row(struct rows *w, const struct tensor *y, int64_t at, const float *target, int64_t label,
                        double *slope, float *seed)
{
	const struct head *h = w->match->head;
	double share = label >= 0 && label < h->classes ? MATCH_LABELS : 0, loss;

	for (int64_t c = 0; c < h->classes; c++)
		w->z[c] = logit(h, tensor_get(y, at + c));
	loss = soft_row(w, target, 1 - share, slope);
	if (share > 0)
		loss += hard_row(w, label, share, slope);
	if (seed)
		store_slope(w, slope, y, at, seed);
	return w->weight * loss;
}

static enum tamis_status match_classes(const struct match *m, const struct runner *r, const float *const *target,
                                       const int64_t *label, int64_t items, struct tensor *seed, double *loss,
                                       struct tamis_error *err)
{
	const struct tensor *y = runner_output(r, m->head->output);
	int64_t n = m->head->classes, rows = y->count / n / items;
	double *room = tm_array_uninit((size_t)(4 * n), sizeof *room);
	struct rows w = { .match = m, .z = room, .t = room + n, .q = room + 2 * n, .weight = 1 / (double)rows };

	if (!room)
		return tm_no_memory(err, "distilling");
	for (int64_t i = 0; i < items; i++)
		for (int64_t k = 0; k < rows; k++)
			*loss += match_row(&w, y, (i * rows + k) * n, target[i] + k * n, label && rows == 1 ? label[i] : -1,
			                   room + 3 * n, seed ? seed[m->head->output].data : NULL);
	free(room);
	return TAMIS_OK;
}

/* ---- anything else ------------------------------------------------------------------------------------------- */

static void match_general(const struct match *m, const struct runner *r, const float *const *target, int64_t items,
                          struct tensor *seed, double *loss)
{
	const struct head *h = m->head;
	int64_t before = 0;

	for (int o = 0; o < h->graph->n_outputs; o++) {
		const struct tensor *y = runner_output(r, o);
		int64_t each = y->count / items;

		if (!takes_part(h, r, o))
			continue;
		for (int64_t k = 0; k < each * items; k++) {
			double d = tensor_get(y, k) - target[k / each][before + k % each];

			*loss += d * d / m->energy;
			if (seed)
				((float *)seed[o].data)[k] = (float)(2 * d / m->energy);
		}
		before += each;
	}
}

/* ---- both ----------------------------------------------------------------------------------------------------- */

static enum tamis_status make_seeds(const struct head *h, const struct runner *r, struct tensor *seed,
                                    struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int o = 0; o < h->graph->n_outputs; o++)
		seed[o] = (struct tensor){ .type = DT_UNDEFINED };
	for (int o = 0; s == TAMIS_OK && o < h->graph->n_outputs; o++) {
		if (!takes_part(h, r, o))
			continue;
		seed[o] = *runner_output(r, o);
		seed[o].type = DT_FLOAT;
		seed[o].data = NULL;
		s = tensor_alloc(&seed[o], err);
	}
	return s;
}

enum tamis_status match_outputs(const struct match *m, const struct runner *r, const float *const *target, int64_t floats,
                                const int64_t *label, int64_t items, struct tensor *seed, double *loss,
                                struct tamis_error *err)
{
	enum tamis_status s = seed ? make_seeds(m->head, r, seed, err) : TAMIS_OK;

	*loss = 0;
	if (s == TAMIS_OK && (match_target_size(m->head, r, items) != floats
	                      || (m->head->kind != HEAD_GENERAL && floats < m->head->classes)))
		s = tm_fail(err, TAMIS_E_INVALID, "the outputs of an item are not as many as the original's");
	if (s != TAMIS_OK)
		return s;
	if (m->head->kind != HEAD_GENERAL)
		return match_classes(m, r, target, label, items, seed, loss, err);
	match_general(m, r, target, items, seed, loss);
	return TAMIS_OK;
}
