/* SPDX-License-Identifier: Apache-2.0 */
/* A pass of the refit over the items: what each layer is fitted on, and how far the outputs are from the original's. */
#ifndef SLIM_REFIT_PASS_H
#define SLIM_REFIT_PASS_H

#include "slim/repair/refit_kept.h"
#include "slim/repair/refit_legs.h"
#include "slim/repair/refit_sums.h"

struct refit_pass {
	struct refit_leg leg;       /* whose sums; of the others there are none */
	struct refit_sums *total;   /* by layer, from refit_sums_of */
	struct refit_sums *apart;   /* of every REFIT_APART-th chunk alone (moments only); NULL = not wanted */
	struct refit_kept *kept;    /* results of layers in the original: filled where `alone`, else used where whole */
	struct refit_held *from;    /* what crossed leg.from; dropped where leg.to is not NULL */
	struct refit_held *to;      /* filled with what crosses leg.to */
};

/* Empty sums of the leg's layers that are fitted, of one chunk or of all; refit_sums_free each of the job's layers. */
enum tamis_status refit_sums_of(const struct refit_job *job, const struct refit_leg *leg, bool chunk, struct arena *arena,
                                struct refit_sums **out, struct tamis_error *err);

/* Gathers, and centres. `original` is a training program of job->reference. alone: the layers' inputs are those that it
 * gives them, and nothing else runs; else those that job->graph gives them, and the original runs beside it where a layer's results in
 * it are not kept. */
enum tamis_status refit_pass(const struct refit_job *job, const struct program *original, bool alone,
                             const struct refit_pass *out, struct tamis_error *err);

/* How far the outputs are from the original's (mismatch_of), summed over them and every REFIT_APART-th chunk. The last part kept is
 * the original's outputs, used where whole, else filled. */
enum tamis_status refit_mismatch(const struct refit_job *job, const struct program *original, struct refit_kept *kept,
                                 double *mismatch, struct tamis_error *err);

#endif
