/* SPDX-License-Identifier: Apache-2.0 */
/* What the outputs of a model are: classes with probabilities, or anything else. Decides what the test looks at, what
 * the Fisher probe draws, and what the gate compares. */
#ifndef SLIM_HEAD_H
#define SLIM_HEAD_H

#include "base/rng.h"
#include "exec/runner.h"
#include "stat/features.h"

#define HEAD_MAX_WIDTH 4096 /* values an item that the kernel features see; larger outputs are sampled on a grid */

struct head {
	enum head_kind kind;
	int output;          /* HEAD_LOGITS, HEAD_PROBABILITIES: the graph output that holds classes on its last axis */
	int64_t classes;     /* HEAD_GENERAL: 0 */
	int64_t rows;        /* class rows an item that the features see; HEAD_GENERAL: 1 */
	int64_t width;       /* values an item that the features see: rows * classes */
	const struct graph *graph;
};

/* Decides from the graph and one run over `items` items. `wanted`: "auto", "logits", "probabilities" or "general" (all
 * float outputs). Auto: a single float output whose last axis comes from Softmax, or sums to one, holds probabilities;
 * one from LogSoftmax, or of rank 2 with two columns or more, holds logits; all else is general. TAMIS_E_UNSUPPORTED
 * when no output is of a float type or the wanted kind does not fit. */
enum tamis_status head_detect(const struct graph *g, const struct runner *r, int64_t items, const char *wanted,
                              struct head *out, struct tamis_error *err);

/* The values of the last run that the features see: items x width floats. Outputs whose extent differs from item to
 * item are sampled on a grid relative to their length. */
enum tamis_status head_values(const struct head *h, const struct runner *r, int64_t items, float *y,
                              struct tamis_error *err);

/* Seeds of the Fisher probe for the last run: A e with A A' the Fisher information of each row of classes, about its
 * probabilities, and e random signs; or e * scale (HEAD_GENERAL; scale from the feature map, may be NULL = 1). Mean zero, and the
 * mean of squares of what a reverse pass makes of them is the diagonal of the information of whatever it reaches, with less
 * variance than the derivative of log p of a label that is drawn: that is nearly always zero where the network is sure of itself.
 * seed: one tensor per graph output; those with gradients get fresh data (tensor_free each), the others data NULL.
 * item: indices of the items, which alone fix the signs. */
enum tamis_status head_seed(const struct head *h, const struct runner *r, const struct feature_map *map,
                            const int64_t *item, int64_t items, uint64_t seed, struct tensor *out,
                            struct tamis_error *err);

/* How far the outputs of one item moved. */
struct head_loss {
	double loss;     /* classes: mean over rows of p(argmax before) - p(argmax after) under the probabilities before, in
	                    [0, 1]; general: sum of squared differences */
	double tempered; /* classes: the same under them at a temperature, p^(1/T) normalised; general: as loss */
	double energy;   /* general: sum of squares of the outputs before, about `mean`; classes: 0 */
	double disagree; /* classes: share of rows whose argmax changed; general: NAN */
	int64_t before, after; /* classes, one row an item: the argmax; -1 otherwise */
};

/* Reference outputs of a run, to be compared with another model's later: what head_compare needs, and no more. */
int64_t head_reference_size(const struct head *h, const struct runner *r, int64_t items); /* floats in all */
void head_reference(const struct head *h, const struct runner *r, float *out);

/* HEAD_GENERAL: adds each output value of an item, summed over the items of the last run, to sum: at most
 * head_reference_size / items doubles, the mean of head_compare times the items. */
void head_sums(const struct head *h, const struct runner *r, int64_t items, double *sum);

/* Compares the last run of `r` with a reference of the same items: items structs. TAMIS_E_INVALID when the extents
 * differ. NaN outputs count as a full loss. temperature > 0. mean (HEAD_GENERAL, may be NULL): of every output value of an
 * item. */
enum tamis_status head_compare(const struct head *h, const float *reference, const struct runner *r, int64_t items,
                               double temperature, const double *mean, struct head_loss *out, struct tamis_error *err);

#endif
