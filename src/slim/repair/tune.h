/* SPDX-License-Identifier: Apache-2.0 */
/* What fitting layer by layer leaves wrong with the outputs, made up for by all layers together: a scale and a shift for each of
 * their channels. */
#ifndef SLIM_TUNE_H
#define SLIM_TUNE_H

#include "slim/repair/refit.h"
#include "slim/repair/refit_kept.h"

#define TUNE_WORK 3         /* passes of a refit that take as long as one over the same items here; so told to job->progress */
#define TUNE_STEPS 3        /* a refit */
#define TUNE_WANTED 0.7     /* of what a state may spend: one that spends less is not tuned, */
#define TUNE_HOPELESS 1.5   /* nor one that spends more: it rarely takes a third away */
#define TUNE_ITEMS 16384    /* that a step looks at, at most */
#define TUNE_OWN 0.01       /* damping, of the curvature of each scale or shift, */
#define TUNE_MEAN 0.1       /* and of the mean of all */
#define TUNE_SOLVED 1e-3    /* conjugate gradients end when the residual has fallen by this factor, */
#define TUNE_SOLVING 60     /* or after so many steps */

/* Of the chunks that are not compared on (every REFIT_APART-th), those that a step looks at: `every`-th; 0 = none, as there is
 * nothing to tune or too little room for gradients (job->tune). */
int64_t tune_every(const struct refit_job *job);

/* Passes over all items that the steps take, those of TUNE_WORK. */
double tune_passes(const struct refit_job *job);

/* Scales and shifts of all layers that are fitted; channels of all of them, twice. */
int64_t tune_width(const struct layers *l);

/* One step of Gauss and Newton: z becomes m + (1 + a) (z - m) + s b for each channel of each layer, m and s its mean and
 * deviation on the items. a and b, of all layers, are x in

 *     (F + TUNE_OWN diag F + TUNE_MEAN mean(diag F) I) x = - gradient

 * of the divergence from the original's classes, or of the squared error of anything else; F is the Fisher information, a mean
 * over the items from one probe each (head_seed). Weights and biases of job->graph then hold the whole of the step; how far to
 * go the caller finds out. Where there is nothing to tune nothing changes.
 *
 * After Kwon, Kim, Mahoney, Hassoun, Keutzer, Gholami, A Fast Post-Training Pruning Framework for Transformers (NeurIPS 2022),
 * who tune scales layer by layer. A forward pass
 * (at first of the original, too) and two reverse passes an item; 4 tune_width bytes an item. The original's outputs are the last
 * part of `kept`: used where whole, else filled. */
enum tamis_status tune_step(const struct refit_job *job, const struct program *original, struct refit_kept *kept,
                            struct tamis_error *err);

#endif
