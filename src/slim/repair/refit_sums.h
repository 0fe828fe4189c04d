/* SPDX-License-Identifier: Apache-2.0 */
/* What a sweep of the refit gathers of one layer, over rows: one an item and position. */
#ifndef SLIM_REFIT_SUMS_H
#define SLIM_REFIT_SUMS_H

#include "slim/repair/refit_rows.h"

struct refit_sums {
	double *u, *z;   /* features, outs: sums; means once centred */
	double *uu, *uz; /* groups x fan_in x fan_in (lower triangle until centred), groups x fan_in x outs/groups; NULL on items */
	float *item_u, *item_z; /* rows x features, rows x outs; NULL with moments */
	size_t cap_u, cap_z;
	int64_t rows;
};

/* Memory from `arena`; items: the rows themselves will be kept instead of moments. */
enum tamis_status refit_sums_make(const struct layer *l, bool items, struct arena *arena, struct refit_sums *out,
                                  struct tamis_error *err);
void refit_sums_free(struct refit_sums *a); /* what grew */

/* Adds moments, or appends rows while they take at most REFIT_MAX_BYTES. */
enum tamis_status refit_sums_add(const struct layer *l, struct refit_sums *to, const struct refit_sums *from,
                                 struct tamis_error *err);

/* Sums to means, moments and items to centred ones. */
void refit_sums_centre(const struct layer *l, struct refit_sums *a);
/* Joins centred moments (Chan, Golub, LeVeque 1979). */
void refit_sums_join(const struct layer *l, struct refit_sums *to, const struct refit_sums *from);

struct refit_data refit_sums_data(const struct refit_sums *a);

#endif
