/* SPDX-License-Identifier: Apache-2.0 */
/* What distilling makes small: the distance of the outputs from the original's, and its gradient at the outputs. */
#ifndef SLIM_MATCH_H
#define SLIM_MATCH_H

#include "slim/score/head.h"

#define MATCH_TEMPERATURE 4.0 /* both distributions are softened by it (Hinton, Vinyals, Dean 2015) */
#define MATCH_LABELS 0.5      /* share of the cross-entropy with labels, where there are any */

/* Classes, a mean over the rows of an item, z the logits (log p of probabilities), t and q the softmax of the original's
 * and of these logits divided by T:   T^2 sum_c t_c log(t_c / q_c); with a label (1 - a) times that plus a times the
 * cross-entropy. Anything else: sum (y - y_original)^2 / energy. */
struct match {
	const struct head *head;
	double energy;  /* HEAD_GENERAL: of the original's outputs, mean of an item; > 0 */
};

/* Outputs of item i of the last run over `items` items: match_target_size floats, class rows or one float output after the
 * other. */
int64_t match_target_size(const struct head *h, const struct runner *r, int64_t items);
void match_target(const struct head *h, const struct runner *r, int64_t items, int64_t i, float *out);

/* Losses of the last run: target[i] and label[i] (label NULL = none, negative = none for that item) belong to item i; *loss is
 * the sum over items. seed (NULL = only the loss): one tensor per graph output as runner_reverse takes it; tensor_free
 * each, also after a failure. TAMIS_E_INVALID when the outputs of an item are not `floats` in number. */
enum tamis_status match_outputs(const struct match *m, const struct runner *r, const float *const *target, int64_t floats,
                                const int64_t *label, int64_t items, struct tensor *seed, double *loss,
                                struct tamis_error *err);

#endif
