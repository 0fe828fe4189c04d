/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes of Gemm, for programs that prepare its weight. */
#ifndef OPS_GEMM_H
#define OPS_GEMM_H

#include <stdbool.h>

struct gemm_attr {
	bool ta, tb;
	float alpha, beta;
};

#endif
