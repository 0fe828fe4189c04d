/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of gradients, kept from one step and one run to the next: fresh pages cost as much as using them. */
#ifndef EXEC_GRADIENTS_H
#define EXEC_GRADIENTS_H

#include "exec/runner_state.h"

/* The gradient of value v, made where there is none yet: zero, or (zero false) of any content. */
enum tamis_status gradient_make(struct runner *r, int v, bool zero, struct tamis_error *err);
void gradient_drop(struct runner *r, int v); /* none is fine */
void gradients_free(struct runner *r);

/* After a step with `fused` (exec/program.h) has run: keeps what its reverse needs. TAMIS_E_MEMORY. */
enum tamis_status fused_remember(struct runner *r, int step, struct tamis_error *err);
/* Reverses it, whose gradient in blocks is complete; tells its energy on the way. */
enum tamis_status fused_reverse(struct runner *r, int step, const struct run_hooks *h, struct tamis_error *err);

/* Tells the energy of what the step hides, from the gradient of its output. Nothing where nobody watches it. */
enum tamis_status hidden_energy(struct runner *r, const struct step *s, const struct run_hooks *h,
                                struct tamis_error *err);
bool hidden_watched(const struct step *s, const struct run_hooks *h);

#endif
