/* SPDX-License-Identifier: Apache-2.0 */
/* IEEE binary16 and bfloat16 against float, round to nearest even, infinities and NaN kept (NaN stays NaN). */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stddef.h>
#include <stdint.h>

float half_to_float(uint16_t h);
uint16_t half_from_float(float f);
float bf16_to_float(uint16_t b);
uint16_t bf16_from_float(float f);

void half_to_floats(const uint16_t *h, float *f, size_t n);
void half_from_floats(const float *f, uint16_t *h, size_t n);
void bf16_to_floats(const uint16_t *b, float *f, size_t n);
void bf16_from_floats(const float *f, uint16_t *b, size_t n);

#endif
