/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_OBS_H
#define SLIM_OBS_H

#include "slim/score/score.h"

#define OBS_DAMPING 0.01 /* added to the diagonal of H, in units of its mean diagonal */

/* Optimal Brain Surgeon, a row at a time (Hassibi and Stork 1993; layer-wise: Dong, Chen, Pan 2017): what a row's
 * squared error grows by when a weight goes and the others make up for it,
 *
 *     score(w_od) = gain_o (scale w_od)^2 / [H^-1]_dd,   H = Cov(u_S) + damping I,
 *
 * S the inputs whose weight in row o is not zero. Covariances rather than second moments, because the bias is fitted
 * too. 0 for constant inputs. Layers without layer_score.covariance are taken to have uncorrelated inputs.
 * TAMIS_E_MEMORY. O(|S|^3) for each distinct S of neighbouring rows, 16 fan_in^2 bytes. */
enum tamis_status obs_score(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed, float *out,
                            struct tamis_error *err);

#endif
