/* SPDX-License-Identifier: Apache-2.0 */
/* Single elements of FLOAT and DOUBLE tensors, for operators that are too irregular for rows: computed in
 * double,
 * kept in the tensor's type. */
#ifndef OPS_REALS_H
#define OPS_REALS_H

#include "base/tensor.h"

static inline double real_get(const struct tensor *t, int64_t i)
{
	return t->type == DT_FLOAT ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static inline void real_set(struct tensor *t, int64_t i, double v)
{
	if (t->type == DT_FLOAT)
		((float *)t->data)[i] = (float)v;
	else
		((double *)t->data)[i] = v;
}

static inline void real_add(struct tensor *t, int64_t i, double v)
{
	if (t->type == DT_FLOAT)
		((float *)t->data)[i] += (float)v;
	else
		((double *)t->data)[i] += v;
}

#endif
