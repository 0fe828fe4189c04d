/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/transpose_eight.h"

#include <string.h>

#include "base/eight.h"
#include "base/loop.h"

#define HALVES(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

LOOP_VERSIONS void transpose_eight(const float *const from[LANES], float *to, int64_t pitch, bool add)
{
	eight a[LANES], b[LANES];

	for (int i = 0; i < LANES; i++)
		memcpy(&a[i], from[i], sizeof a[i]);
	for (int i = 0; i < LANES / 2; i++) {
		b[2 * i] = HALVES(a[i], a[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
		b[2 * i + 1] = HALVES(a[i], a[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
	}
	for (int i = 0; i < LANES / 2; i++) {
		a[2 * i] = HALVES(b[i], b[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
		a[2 * i + 1] = HALVES(b[i], b[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
	}
	for (int i = 0; i < LANES / 2; i++) {
		b[2 * i] = HALVES(a[i], a[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
		b[2 * i + 1] = HALVES(a[i], a[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
	}
	for (int i = 0; i < LANES; i++) {
		if (add) {
			memcpy(&a[i], to + i * pitch, sizeof a[i]);
			b[i] += a[i];
		}
		memcpy(to + i * pitch, &b[i], sizeof b[i]);
	}
}
