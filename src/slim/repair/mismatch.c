/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/mismatch.h"

#include <math.h>

#define LEAST 1e-30 /* probabilities are taken as no smaller */

static double at(const struct tensor *t, int64_t i)
{
	return t->type == DT_FLOAT ? ((const float *)t->data)[i] : tensor_get(t, i);
}

/* A comparison that lets NaN through. */
static double probability(const struct tensor *t, int64_t i)
{
	double p = at(t, i);

	return p < LEAST ? LEAST : p;
}

static double sum_of(const struct tensor *t, int64_t row, int64_t n)
{
	double sum = 0;

	for (int64_t c = row; c < row + n; c++)
		sum += probability(t, c);
	return sum;
}

/* log sum_c exp z_c */
static double log_sum(const struct tensor *t, int64_t row, int64_t n)
{
	double top = -INFINITY, sum = 0;

	for (int64_t c = row; c < row + n; c++)
		top = at(t, c) > top ? at(t, c) : top;
	for (int64_t c = row; c < row + n; c++)
		sum += exp(at(t, c) - top);
	return top + log(sum);
}

/* sum p log p / q, where both need not sum to one: as logits log p and log q, without their exponentials. */
static double of_probabilities(const struct tensor *now, const struct tensor *before, int64_t row, int64_t n)
{
	double all_now = sum_of(now, row, n), all = sum_of(before, row, n), sum = 0;

	for (int64_t c = row; c < row + n; c++) {
		double p = probability(before, c);

		sum += p * log(p / probability(now, c));
	}
	return sum / all + log(all_now / all);
}

static double of_logits(const struct tensor *now, const struct tensor *before, int64_t row, int64_t n)
{
	double all_now = log_sum(now, row, n), all = log_sum(before, row, n), sum = 0;

	for (int64_t c = row; c < row + n; c++) {
		double p = exp(at(before, c) - all);

		if (!(p == 0))
			sum += p * (at(before, c) - at(now, c));
	}
	return sum - all + all_now;
}

static double divergence(const struct head *h, const struct tensor *now, const struct tensor *before)
{
	double sum = 0;

	if (now->count != before->count || before->count < h->classes)
		return 0;
	for (int64_t row = 0; row + h->classes <= before->count; row += h->classes)
		sum += h->kind == HEAD_LOGITS ? of_logits(now, before, row, h->classes)
		                              : of_probabilities(now, before, row, h->classes);
	return sum * (double)h->classes / (double)before->count;
}

static double relative_error(const struct tensor *now, const struct tensor *before)
{
	bool numbers = now->count == before->count && (dtype_is_float((int)now->type) || dtype_is_integer((int)now->type));
	double error = 0, energy = 0;

	for (int64_t k = 0; numbers && k < before->count; k++) {
		double want = at(before, k), off = at(now, k) - want;

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

static float or_zero(double x)
{
	return isfinite(x) ? (float)x : 0;
}

/* q - p at the logits; through log q, -p / q at probabilities, up to what a Softmax before them takes away. */
static void slope_of_row(const struct head *h, const struct tensor *now, const struct tensor *before, int64_t row, float *out)
{
	bool logits = h->kind == HEAD_LOGITS;
	int64_t n = h->classes;
	double all_now = logits ? log_sum(now, row, n) : sum_of(now, row, n);
	double all = logits ? log_sum(before, row, n) : sum_of(before, row, n);

	for (int64_t c = row; c < row + n; c++)
		out[c] = or_zero(logits ? exp(at(now, c) - all_now) - exp(at(before, c) - all)
		                        : -probability(before, c) / all * (all_now / probability(now, c)));
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
