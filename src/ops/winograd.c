/* SPDX-License-Identifier: Apache-2.0 */
/* Images are cut into tiles of 4 x 4 that overlap by two, one for each 2 x 2 results. Every tile is transformed, each of its
 * 16 positions is a product of matrices (tiles x channels by channels x maps), and the sums are transformed back on their
 * way to y. A group of tiles goes through all three at a time, so that what lies between stays in the cache. */
#include <string.h>

#include "base/loop.h"
#include "ops/winograd_kernel.h"

enum {
	PLACES = WINOGRAD_PLACES,
	GROUP_FLOATS = 64 * 1024, /* of transformed tiles, about */
	LEAST_GROUP = 48,         /* tiles, so that a weight is used often enough for its way from memory */
	LEAST_CHANNELS = 16,
	MOST_PAIR = 32            /* maps of two blocks */
};

static const struct winograd_kernel *kernel_for(int64_t lanes)
{
	return lanes == winograd_avx512.lanes ? &winograd_avx512 : &winograd_avx2;
}

bool winograd_runs(int64_t lanes)
{
	const struct winograd_kernel *k = kernel_for(lanes);

	return k->lanes == lanes && k->runs && k->runs();
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t whole(int64_t n, int64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

size_t winograd_weight_size(int64_t lanes, int64_t channels, int64_t maps, bool back)
{
	int64_t from = back ? maps : channels, to = back ? channels : maps;

	return (size_t)(PLACES * whole(from, lanes) * whole(to, 2 * lanes));
}

/* Kernel elements, or places, of a pair of blocks of maps. */
typedef double maps_of_pair[MOST_PAIR];

/* G k of three elements. */
LOOP_VERSIONS
static void transform_three(const maps_of_pair *k, int step, maps_of_pair *to, int to_step)
{
	for (int i = 0; i < MOST_PAIR; i++) {
		double a = k[0][i], b = k[step][i], c = k[2 * step][i];

		to[0][i] = a;
		to[to_step][i] = (a + b + c) / 2;
		to[2 * to_step][i] = (a - b + c) / 2;
		to[3 * to_step][i] = c;
	}
}

/* G g G^T, in double: 9 elements to 16 places. */
static void transform_kernels(const maps_of_pair *g, maps_of_pair *to)
{
	maps_of_pair half[12];

	for (int x = 0; x < 3; x++)
		transform_three(g + x, 3, half + x, 3);
	for (int y = 0; y < 4; y++)
		transform_three(half + 3 * y, 1, to + 4 * y, 1);
}

/* The kernels from a channel to n maps, zero beyond. first: of the first map; step: to the next. */
static void gather_kernels(const float *first, int64_t step, int64_t n, bool back, maps_of_pair *g)
{
	memset(g, 0, 9 * sizeof *g);
	for (int64_t i = 0; i < n; i++)
		for (int k = 0; k < 9; k++)
			g[k][i] = (double)first[i * step + (back ? 8 - k : k)];
}

/* [pair of blocks of maps][place][channel][map of the pair] */
void winograd_weight(int64_t lanes, const float *w, int64_t channels, int64_t maps, bool back, float *into)
{
	int64_t from = back ? maps : channels, to = back ? channels : maps, depth = whole(from, lanes), pair = 2 * lanes;
	int64_t step = back ? 9 : 9 * channels, next = back ? 9 * channels : 9;
	maps_of_pair g[9], u[PLACES];

	for (int64_t o = 0; o < to; o += pair, into += PLACES * depth * pair)
		for (int64_t c = 0; c < depth; c++) {
			gather_kernels(w + o * step + c * next, step, c < from ? least(pair, to - o) : 0, back, g);
			transform_kernels(g, u);
			for (int p = 0; p < PLACES; p++)
				for (int64_t i = 0; i < pair; i++)
					into[(p * depth + c) * pair + i] = (float)u[p][i];
		}
}

bool winograd_can_follow(const struct blocked_after *after, int n_after)
{
	for (int i = 0; i < n_after; i++)
		if (after[i].kind == BLOCKED_SIGMOID || after[i].kind == BLOCKED_TANH || after[i].kind == BLOCKED_SWISH)
			return false;
	return true;
}

static int64_t group_size(const struct winograd *w, int64_t strip)
{
	int64_t most = GROUP_FLOATS / (winograd_row(w) * PLACES), all = tiles_of(w);

	most = most > LEAST_GROUP ? most : LEAST_GROUP;
	return whole(most < all ? most : all, strip);
}

size_t winograd_room(const struct winograd *w)
{
	return (size_t)(group_size(w, kernel_for(w->lanes)->strip) * PLACES * (winograd_row(w) + 2 * w->lanes));
}

void winograd_run(const struct winograd *w, float *room)
{
	const struct winograd_kernel *k = kernel_for(w->lanes);

	k->run(w, group_size(w, k->strip), room);
}

/* Tiles may hold up to two fifths more results than there are. */
bool winograd_fits(int64_t lanes, const struct window *w, int64_t groups, int64_t channels, int64_t maps,
                   const int64_t *made)
{
	bool kind = groups == 1 && w->rank == 2 && w->kernel[1] == 3 && w->kernel[2] == 3 && w->stride[1] == 1
	            && w->stride[2] == 1 && w->dilation[1] == 1 && w->dilation[2] == 1;

	return kind && winograd_runs(lanes) && channels >= LEAST_CHANNELS && maps >= LEAST_CHANNELS
	       && 10 * 4 * half(made[0]) * half(made[1]) <= 14 * made[0] * made[1];
}
