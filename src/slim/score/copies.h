/* SPDX-License-Identifier: Apache-2.0 */
/* Channels that are copies of one another, of which the effects of one alone say nothing: two with outgoing weights +v and
 * -v do nothing together, though each moves the outputs. What counts is the effect of all copies.
 *
 * Output channels whose rows of weights are equal carry one value s = w u. By the chain rule the outputs' derivative in s
 * is the sum of theirs in the copies, whatever follows and whatever their biases. Features that are equal (to
 * rounding) on every item carry one signal, of which a row uses the sum of its weights for them. */
#ifndef SLIM_COPIES_H
#define SLIM_COPIES_H

#include "slim/layers.h"

#define COPIES_TOLERANCE 1e-5f /* of a signal's largest magnitude: kernels round channels at the edge of a block otherwise */

/* Classes of equal things: each one's first, itself where it is alone. */
struct copies {
	int64_t *first, *size; /* n each; NULL: nothing has a copy */
	float *tolerance;      /* n: how far signals may lie apart */
	int64_t n;
};

/* Classes of the `outs` rows of a layer's weight that are equal, bit by bit, and not all zero; rows of one group only.
 * TAMIS_E_MEMORY. O(outs (outs + fan_in)) at worst, outs^2 unless rows are much alike. */
enum tamis_status copies_of_rows(const struct layer *l, const struct tensor *weight, struct arena *a, struct copies *out,
                                 struct tamis_error *err);

/* Classes of the features, within each group, that are equal to the tolerance in all `rows` rows of u (rows x features),
 * and not constant there. O(rows features + features log features) unless many means agree. */
enum tamis_status copies_of_signals(const struct layer *l, const float *u, int64_t rows, struct arena *a,
                                    struct copies *out, struct tamis_error *err);

/* Marks in `broken` (features) what differs from its first in these rows; then takes them out of their classes. */
void copies_check(const struct copies *c, const float *u, int64_t rows, bool *broken);
void copies_split(struct copies *c, const bool *broken);

/* Keeps what both call copies: those of two shards, whose first items were the same. */
void copies_meet(struct copies *c, const struct copies *other);
enum tamis_status copies_copy(const struct copies *c, struct arena *a, struct copies *out, struct tamis_error *err);

/* Adds sum over items and positions of (sum of the class's delta)^2 / size to each member's gain; a sum that
 * is nothing but rounding counts as zero. delta: a gradient of the layer's output. joint: 2 outs doubles of scratch. */
void copies_add_gain(const struct copies *c, const struct layer *l, const struct tensor *delta, double *joint,
                     double *gain);

#endif
