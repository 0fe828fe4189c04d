/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_OBS_H
#define SLIM_OBS_H

#include "slim/score/score.h"

#define PARTIAL_FLOPS 2e11 /* what the inverses of a layer may take, about: some seconds */
#define OBS_DAMPING 0.01 /* added to the diagonal of H, in units of its mean diagonal */

/* Optimal Brain Surgeon, a row at a time (Hassibi and Stork 1993; layer-wise: Dong, Chen, Pan 2017): what a row's
 * squared error grows by when a weight goes and the others make up for it,
 *
 *     score(w_od) = gain_o (scale w_od)^2 / [H^-1]_dd,   H = Cov(u_S) + damping I,
 *
 * S the inputs whose weight in row o is not zero. Covariances rather than second moments, because the bias is fitted
 * too. 0 for constant inputs. Layers without layer_score.covariance are taken to have uncorrelated inputs.
 * TAMIS_E_MEMORY. O(|S|^3) for each distinct S of neighbouring rows, 8 fan_in^2 bytes. */
enum tamis_status obs_score(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed, float *out,
                            struct tamis_error *err);

/* Where a row's survivors are fitted anew afterwards: what the others can take over does not count, and of the rest not how much
 * the outputs depend on the signal, but how surely,
 *
 *     score(w_od) = gain_o (scale w_od)^2 sqrt(R_d / Var u_d) / [H^-1]_dd,
 *
 * between pii, which takes R_d for the last two, and obs, which leaves out the root; weights of copies count together. cov:
 * groups x fan_in x fan_in; NULL: inputs are taken to be uncorrelated. From the first row of a group on
 * for which outs |S|^3 exceeds `flops`, PARTIAL_FLOPS unless a test says otherwise, S is what any row of the group reads: one
 * inverse for all that follow. TAMIS_E_MEMORY. 8 fan_in^2 bytes. */
enum tamis_status partial_score(const struct layer *l, const struct layer_score *s, const double *cov, double flops,
                                const float *w, float *out, struct tamis_error *err);

#endif
