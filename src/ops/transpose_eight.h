/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPS_TRANSPOSE_EIGHT_H
#define OPS_TRANSPOSE_EIGHT_H

#include <stdbool.h>
#include <stdint.h>

/* Eight rows of eight floats become eight columns: to[i * pitch + k] = from[k][i], or += with `add`. What is read must not
 * overlap what is written. */
void transpose_eight(const float *const from[8], float *to, int64_t pitch, bool add);

#endif
