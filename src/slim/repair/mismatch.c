/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/mismatch.h"

#include <math.h>

#define LEAST 1e-30 /* probabilities are taken as no smaller */

/* A comparison that lets NaN through. */
static double logit(const struct head *h, const struct tensor *t, int64_t at)
{
	double v = tensor_get(t, at);

	return h->kind == HEAD_LOGITS ? v : log(v < LEAST ? LEAST : v);
}

/* log sum_c exp z_c */
static double log_sum(const struct head *h, const struct tensor *t, int64_t row)
{
	double top = -INFINITY, sum = 0;

	for (int64_t c = 0; c < h->classes; c++)
		top = fmax(top, logit(h, t, row + c));
	for (int64_t c = 0; c < h->classes; c++)
		sum += exp(logit(h, t, row + c) - top);
	return top + log(sum);
}

static double divergence_of_row(const struct head *h, const struct tensor *now, const struct tensor *before, int64_t row)
{
	double all_now = log_sum(h, now, row), all_before = log_sum(h, before, row), sum = 0;

	for (int64_t c = 0; c < h->classes; c++) {
		double log_p = logit(h, before, row + c) - all_before, p = exp(log_p);

		if (!(p == 0))
			sum += p * (log_p - logit(h, now, row + c) + all_now);
	}
	return sum;
}

static double divergence(const struct head *h, const struct tensor *now, const struct tensor *before)
{
	double sum = 0;

	if (now->count != before->count || before->count < h->classes)
		return 0;
	for (int64_t row = 0; row < before->count; row += h->classes)
		sum += divergence_of_row(h, now, before, row);
	return sum * (double)h->classes / (double)before->count;
}

static double relative_error(const struct tensor *now, const struct tensor *before)
{
	bool numbers = now->count == before->count && (dtype_is_float((int)now->type) || dtype_is_integer((int)now->type));
	double error = 0, energy = 0;

	for (int64_t k = 0; numbers && k < before->count; k++) {
		double want = tensor_get(before, k), off = tensor_get(now, k) - want;

		error += off * off;
		energy += want * want;
	}
	return energy > 0 ? error / energy : 0;
}

double mismatch_of(const struct head *head, int output, const struct tensor *now, const struct tensor *before)
{
	if (!head || head->kind == HEAD_GENERAL)
		return relative_error(now, before);
	return output == head->output ? divergence(head, now, before) : 0;
}

/* ---- its slope -------------------------------------------------------------------------------------------------- */

/* q - p at the logits; through log q, -p / q at probabilities, up to what a Softmax before them takes away. */
static void slope_of_row(const struct head *h, const struct tensor *now, const struct tensor *before, int64_t row, float *out)
{
	double all_now = log_sum(h, now, row), all_before = log_sum(h, before, row);

	for (int64_t c = 0; c < h->classes; c++) {
		double p = exp(logit(h, before, row + c) - all_before), log_q = logit(h, now, row + c) - all_now;
		double slope = h->kind == HEAD_LOGITS ? exp(log_q) - p : -p * exp(-log_q);

		out[row + c] = isfinite(slope) ? (float)slope : 0;
	}
}

static void slope_of_numbers(const struct tensor *now, const struct tensor *before, float *out)
{
	for (int64_t k = 0; k < now->count; k++) {
		double d = tensor_get(now, k) - tensor_get(before, k);

		out[k] = isfinite(d) ? (float)d : 0;
	}
}

enum tamis_status mismatch_slope(const struct head *head, int output, const struct tensor *now, const struct tensor *before,
                                 struct tensor *seed, struct tamis_error *err)
{
	bool general = head->kind == HEAD_GENERAL;
	enum tamis_status s;

	*seed = (struct tensor){ .type = DT_UNDEFINED };
	if (now->count != before->count || (general ? !dtype_is_float((int)now->type) : output != head->output))
		return TAMIS_OK;
	*seed = *now;
	seed->type = DT_FLOAT;
	seed->data = NULL;
	s = tensor_alloc(seed, err);
	for (int64_t row = 0; s == TAMIS_OK && !general && row + head->classes <= now->count; row += head->classes)
		slope_of_row(head, now, before, row, seed->data);
	if (s == TAMIS_OK && general)
		slope_of_numbers(now, before, seed->data);
	return s;
}
