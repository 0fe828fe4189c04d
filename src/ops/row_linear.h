/* SPDX-License-Identifier: Apache-2.0 */
/* The linear view of operators whose data are rows of features and whose result is rows of outputs (Gemm,
 * MatMul). */
#ifndef OPS_ROW_LINEAR_H
#define OPS_ROW_LINEAR_H

#include "graph/linear.h"

/* As struct linear_op says, for packed rows of v->fan_in > 0 features and v->outs outputs; an item is as many
 * consecutive rows as divide evenly. */
int64_t row_linear_positions(const struct op_call *c, const struct linear_view *v, int64_t items);
enum tamis_status row_linear_gather(const struct op_call *c, const struct linear_view *v, int64_t items,
                                    const int64_t *pos, int64_t n_pos, float *u);
enum tamis_status row_linear_sums(const struct op_call *c, const struct linear_view *v, int64_t items, double *sum,
                                  double *square);
enum tamis_status row_linear_gather_out(const struct op_call *c, const struct linear_view *v,
                                        const struct tensor *z, int64_t items, const int64_t *pos,
                                        int64_t n_pos, float *out);

#endif
