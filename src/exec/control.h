/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop and Scan. Their bodies are programs with runners of their own, made when a step first runs and kept for
 * the runs that follow; what a body reads from around it comes in as one more input. */
#ifndef EXEC_CONTROL_H
#define EXEC_CONTROL_H

#include "exec/program.h"

#define CONTROL_MAX_TRIPS (1 << 18) /* through bodies, in one run of a model: those inside bodies count too */

/* Runs a step whose operator is OP_CONTROL. in: the step's inputs with their data, NULL where absent; out: gets type,
 * shape and memory of its own, NULL where nobody wants it. *state is NULL at first and released by control_free. *trips
 * grows by those made. TAMIS_E_INVALID on inputs that do not fit the bodies, TAMIS_E_UNSUPPORTED beyond CONTROL_MAX_TRIPS,
 * TAMIS_E_MEMORY beyond the document's max_memory. The depth of calls is that of the graphs, at most
 * DOC_MAX_SUBGRAPHS. */
enum tamis_status control_run(const struct program *p, const struct step *s, const struct tensor *const *in,
                              struct tensor *const *out, void **state, int64_t *trips, struct tamis_error *err);
void control_free(const struct step *s, void *state); /* NULL state is fine */

/* Reverse of a step's last run (OP_CONTROL_REVERSE), in a program made with `training`: adds to gin[i] (NULL: not
 * wanted) what reaches input i from gout (by output, NULL = zero). in: as the run had it. no_reverse, NULL or called with
 * ctx and s->graph_node, is told where a gradient stops inside the branch. */
enum tamis_status control_reverse(const struct step *s, const struct tensor *const *in,
                                  const struct tensor *const *gout, struct tensor *const *gin, void *state,
                                  void (*no_reverse)(void *ctx, int graph_node), void *ctx, struct tamis_error *err);

#endif
