/* SPDX-License-Identifier: Apache-2.0 */
/* Eight floats in a register or two: compilers do not find them in loops of several running sums by themselves. They are
 * loaded and stored by memcpy, which knows no alignment. */
#ifndef BASE_EIGHT_H
#define BASE_EIGHT_H

#include <stdint.h>

enum { LANES = 8 };

typedef float eight __attribute__((vector_size(32)));
typedef double four __attribute__((vector_size(32))); /* doubles */
typedef double eight_doubles __attribute__((vector_size(64))); /* in a register or two */
typedef float four_floats __attribute__((vector_size(16)));
typedef int32_t mask __attribute__((vector_size(32))); /* what comparing two of them gives: -1 where true */

#endif
