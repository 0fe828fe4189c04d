/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_FOLD_STEP_H
#define SLIM_FOLD_STEP_H

#include "exec/plan.h"

#define STEP_BROADCAST_OPSET 7 /* from here on sums and products repeat what is of extent 1 */

/* The input of a sum or product with one FLOAT number that is not that number; GRAPH_NONE = the node is none. The node makes
 * *a x + *b of it, *a not 0. plan: shapes, so that the number gives no axis to what it meets. */
int step_data(const struct graph *g, const struct plan *plan, int node, double *a, double *b);

/* One node reads the value, and no caller does. */
bool step_read_once(const struct graph *g, int value);

#endif
