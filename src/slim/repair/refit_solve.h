/* SPDX-License-Identifier: Apache-2.0 */
/* Solving the rows of all layers on what a pass gathered. */
#ifndef SLIM_REFIT_SOLVE_H
#define SLIM_REFIT_SOLVE_H

#include "slim/repair/refit_pass.h"

/* ridge: by layer. The job's, or of a few the one whose rows, fitted without the chunks that lie apart, err least on those;
 * REFIT_LAMBDA where nothing lies apart. The same for any pool. */
enum tamis_status refit_choose_ridges(const struct refit_job *job, const struct refit_pass *on, double *ridge,
                                      struct tamis_error *err);

/* Fits every row of job->graph that `total` has rows of. The same bits for any pool. */
enum tamis_status refit_solve(const struct refit_job *job, const struct refit_sums *total, const double *ridge,
                              struct tamis_error *err);

#endif
