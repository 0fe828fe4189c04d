/* SPDX-License-Identifier: Apache-2.0 */
/* Two programs of one graph must give the same outputs. A test ends at the first thing that fails here. */
#ifndef TESTS_EXEC_PROGRAMS_H
#define TESTS_EXEC_PROGRAMS_H

#include "exec/runner.h"

struct program *program_of(const struct graph *g, struct program_options options);

/* items: numbers of items to run one after the other, n of them; dims: shape of one item of the only input, rank dimensions.
 * The input is drawn from the seed. tolerance: of the largest element of each output. */
struct programs_check { const int64_t *items; int n; const int64_t *dims; int rank; double tolerance; uint64_t seed; };
void programs_compare(const struct graph *g, const struct program *plain, const struct program *fast,
                      const struct programs_check *c);

#endif
