/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXEC_NOMINAL_H
#define EXEC_NOMINAL_H

#include "exec/plan.h"

/* A plan for inputs of the declared shapes, open axes filled in: what is decided before any item is seen. *out, the
 * caller's (plan_free), stays NULL when an input declares no shape or the model does not take these. TAMIS_E_MEMORY.
 * O(steps). */
enum tamis_status nominal_plan(const struct program *p, struct plan **out, struct tamis_error *err);

#endif
