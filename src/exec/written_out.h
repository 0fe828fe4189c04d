/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXEC_WRITTEN_OUT_H
#define EXEC_WRITTEN_OUT_H

#include "exec/program.h"

/* Replaces operators that exporters write out in simpler ones, of which every step goes through memory: layer
 * normalisation in nine steps, Gelu in five and HardSwish in four or two become one step each. The values between are
 * gone, and results differ from the plain program's by rounding alone. O(steps). */
enum tamis_status join_written_out(struct program *p, struct tamis_error *err);

#endif
