/* SPDX-License-Identifier: Apache-2.0 */
/* A pass of the refit over the items: what each layer is fitted on, and how far the outputs are from the original's. */
#ifndef SLIM_REFIT_PASS_H
#define SLIM_REFIT_PASS_H

#include "slim/repair/refit.h"
#include "slim/repair/refit_sums.h"

/* By layer, from refit_sums_of: of all chunks, and of every REFIT_APART-th alone (moments only; NULL = not wanted). */
struct refit_pass { struct refit_sums *total, *apart; };

/* Empty sums of every layer that is fitted; refit_sums_free each. */
enum tamis_status refit_sums_of(const struct refit_job *job, struct arena *arena, struct refit_sums **out,
                                struct tamis_error *err);

/* Gathers, and centres. `original` is a training program of job->reference. alone: the layers' inputs are those that it
 * gives them, and nothing else runs; else those that job->graph gives them, while both run. *mismatch (NULL = not wanted):
 * as from refit_mismatch. */
enum tamis_status refit_pass(const struct refit_job *job, const struct program *original, bool alone,
                             const struct refit_pass *out, double *mismatch, struct tamis_error *err);

/* Squared error over energy, summed over the outputs and every REFIT_APART-th chunk. */
enum tamis_status refit_mismatch(const struct refit_job *job, const struct program *original, double *mismatch,
                                 struct tamis_error *err);

#endif
