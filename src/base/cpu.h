/* SPDX-License-Identifier: Apache-2.0 */
/* What the processor can do that others' kernels adapt to. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

/* Floats in a vector of the widest kind that kernels of onnxruntime and oneDNN are written for: 16 with AVX-512, else 8.
 * Both lay channels of images out in blocks of so many, and fill up the last. */
int cpu_vector_floats(void);

#endif
