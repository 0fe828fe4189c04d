/* SPDX-License-Identifier: Apache-2.0 */
/* What a pass of the refit gathers of one layer, over rows: one an item and position. */
#ifndef SLIM_REFIT_SUMS_H
#define SLIM_REFIT_SUMS_H

#include "slim/repair/refit.h"
#include "slim/repair/refit_rows.h"

struct refit_sums {
	double *u, *z;   /* features, outs: sums; means once centred */
	double *uu, *uz; /* groups x fan_in x fan_in (lower triangle until centred), groups x fan_in x outs/groups; NULL on items */
	float *chunk_uu, *chunk_uz; /* the same of one chunk, as they were multiplied; uu and uz are NULL then */
	float *item_u, *item_z; /* rows x features, rows x outs; with moments those that are not in them yet */
	size_t cap_u, cap_z;
	int64_t rows, waiting;  /* so many of them; those not in the moments yet */
};

/* Whether a layer is fitted, on how many positions of an item, and on the items themselves: where it has more inputs than rows
 * they are smaller than their moments, and no sum of squares is needed. */
bool refit_fits(const struct layer *l);
int refit_positions(const struct layer *l);
bool refit_keeps_items(const struct refit_job *j, const struct layer *l);

/* What the sums are of: moments of many chunks or of one, or the rows themselves. */
enum refit_sums_kind { REFIT_OF_ALL, REFIT_OF_CHUNK, REFIT_OF_ROWS };

/* Memory from `arena`. */
enum tamis_status refit_sums_make(const struct layer *l, enum refit_sums_kind kind, struct arena *arena,
                                  struct refit_sums *out, struct tamis_error *err);
void refit_sums_free(struct refit_sums *a); /* what grew */

/* Whether a chunk of so many rows comes as rows: their products would be larger, and of less than full rank. */
bool refit_few_rows(const struct layer *l, int64_t rows);

/* Adds a chunk to moments, or appends its rows while they take at most REFIT_MAX_BYTES. Rows that come to moments wait until there
 * are REFIT_TOGETHER of them, so that adding a product to the moments is worth reading and writing them. */
enum tamis_status refit_sums_add(const struct layer *l, struct refit_sums *to, const struct refit_sums *from,
                                 struct tamis_error *err);

/* Rows that wait go into the moments. TAMIS_E_MEMORY. */
enum tamis_status refit_sums_settle(const struct layer *l, struct refit_sums *a, struct tamis_error *err);
/* Products of the rows, u and z, as floats: the lower triangles of groups x fan_in x fan_in, and groups x fan_in x outs/groups. */
void refit_sums_multiply(const struct layer *l, int64_t rows, const float *u, const float *z, float *uu, float *uz);

/* Sums to means, moments and items to centred ones. */
void refit_sums_centre(const struct layer *l, struct refit_sums *a);
/* *rest: centred moments of the rows of `all` that are not among those of `part` (Chan, Golub, LeVeque 1979, solved for the
 * other part). rest->rows > 0. */
void refit_sums_part(const struct layer *l, const struct refit_sums *all, const struct refit_sums *part,
                     struct refit_sums *rest);

struct refit_data refit_sums_data(const struct refit_sums *a);

#endif
