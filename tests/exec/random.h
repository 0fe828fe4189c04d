/* SPDX-License-Identifier: Apache-2.0 */
/* Random models that use every way a value can live: views, folded shapes, values read twice, outputs that are
 * inputs, constants or views, shapes that depend on data, nodes nobody needs. */
#ifndef TESTS_EXEC_RANDOM_H
#define TESTS_EXEC_RANDOM_H

#include "model.h"

/* A model of about `nodes` nodes with the inputs x [N,3,6,6] and v [N,5], of type FLOAT or DOUBLE. smooth: only what
 * can be differentiated and has no kink. */
struct document *random_model(uint64_t seed, int nodes, enum dtype type, bool smooth);

/* Inputs of it for `items` items; tensor_free each. */
void random_inputs(uint64_t seed, enum dtype type, int64_t items, struct tensor in[2]);

/* One element of what a node makes is moved a little before others read it. */
struct nudge { int value; int64_t element; double by; };

/* Every value of the graph, node by node through node_eval, by value id. Values that are no node's belong to the graph
 * or to `in`: `owned` (by value id) tells. nudge may be NULL. Both results go to evaluated_free. */
struct tensor *evaluate(const struct graph *g, const struct tensor *in, const struct nudge *nudge, bool **owned);
void evaluated_free(const struct graph *g, struct tensor *values, bool *owned);

#endif
