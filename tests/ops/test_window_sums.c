/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of what each kernel element meets against their definition, on random windows biased to corners: kernels of one element,
 * strides, padding, plain planes and interleaved channels. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/rng.h"
#include "ops/window_sums.h"

enum { CASES = 500, KERNEL = 27 };

static struct window random_window(struct rng *r)
{
	struct window w = { .rank = 3, .in_size = 1, .out_size = 1, .kernel_size = 1 };
	bool pointwise = rng_below(r, 3) == 0;

	for (int i = 0; i < 3; i++) {
		w.kernel[i] = pointwise ? 1 : 1 + (int64_t)rng_below(r, 3);
		w.stride[i] = pointwise ? 1 : 1 + (int64_t)rng_below(r, 2);
		w.dilation[i] = 1 + (int64_t)rng_below(r, 2);
		w.begin[i] = pointwise ? 0 : (int64_t)rng_below(r, (uint64_t)w.kernel[i]);
		w.end[i] = pointwise ? 0 : (int64_t)rng_below(r, (uint64_t)w.kernel[i]);
		w.in[i] = (w.kernel[i] - 1) * w.dilation[i] + 1 + (int64_t)rng_below(r, 5);
		w.out[i] = (w.in[i] + w.begin[i] + w.end[i] - (w.kernel[i] - 1) * w.dilation[i] - 1) / w.stride[i] + 1;
		w.in_size *= w.in[i];
		w.out_size *= w.out[i];
		w.kernel_size *= w.kernel[i];
	}
	return w;
}

/* Where position `at` of the outputs meets kernel element k in the image; negative: in the padding. */
static int64_t met(const struct window *w, int64_t at, int64_t k)
{
	int64_t place[3], index = 0;

	for (int i = 2; i >= 0; i--) {
		place[i] = at % w->out[i] * w->stride[i] - w->begin[i] + k % w->kernel[i] * w->dilation[i];
		at /= w->out[i];
		k /= w->kernel[i];
		if (place[i] < 0 || place[i] >= w->in[i])
			return -1;
	}
	for (int i = 0; i < 3; i++)
		index = index * w->in[i] + place[i];
	return index;
}

static void define(const struct window *w, const struct planes *p, int lane, int64_t k, double *sum, double *square)
{
	for (int64_t i = 0; i < p->n; i++)
		for (int64_t at = 0; at < w->out_size; at++) {
			int64_t m = met(w, at, k);
			double v = m < 0 ? 0 : (double)p->first[i * p->pitch + m * p->lanes + lane];

			*sum += v;
			*square += v * v;
		}
}

static void compare(const struct window *w, const struct planes *p, const double *sum, const double *square, int seed)
{
	for (int lane = 0; lane < p->lanes; lane++)
		for (int64_t k = 0; k < w->kernel_size; k++) {
			double s = 1, q = 2; /* what was there is added to */

			define(w, p, lane, k, &s, &q);
			cr_assert_float_eq(sum[lane * KERNEL + k], s, 1e-9, "seed %d, lane %d, element %lld", seed, lane, (long long)k);
			cr_assert_float_eq(square[lane * KERNEL + k], q, 1e-9, "seed %d, lane %d, element %lld", seed, lane, (long long)k);
		}
}

Test(window_sums, the_definition)
{
	for (int seed = 1; seed <= CASES; seed++) {
		struct rng r = rng_make((uint64_t)seed, 0);
		struct window w = random_window(&r);
		struct planes p = { .n = 1 + (int64_t)rng_below(&r, 3), .lanes = (int[]){ 1, 8, 16 }[rng_below(&r, 3)] };
		double sum[WINDOW_LANES * KERNEL], square[WINDOW_LANES * KERNEL];
		float *x;
		double *room;

		p.pitch = w.in_size * p.lanes + (int64_t)rng_below(&r, 3);
		x = tm_array((size_t)(p.n * p.pitch), sizeof *x);
		room = tm_array((size_t)(4 * w.in[2] * p.lanes), sizeof *room);
		p.first = x;
		for (int64_t i = 0; i < p.n * p.pitch; i++)
			x[i] = (float)rng_normal(&r);
		for (int i = 0; i < WINDOW_LANES * KERNEL; i++) {
			sum[i] = 1;
			square[i] = 2;
		}
		window_sums(&w, false, &p, room, sum, square, KERNEL);
		compare(&w, &p, sum, square, seed);
		free(x);
		free(room);
	}
}
