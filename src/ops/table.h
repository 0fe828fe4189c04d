/* SPDX-License-Identifier: Apache-2.0 */
/* The operator table: one row an operator and opset range, gathered from the families. */
#ifndef OPS_TABLE_H
#define OPS_TABLE_H

#include "graph/op.h"

/* Every operator that tamis runs. Constant. */
extern const struct op_table op_table;

#endif
