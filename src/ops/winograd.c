/* SPDX-License-Identifier: Apache-2.0 */
/* Images are cut into tiles of 4 x 4 that overlap by two, one for each 2 x 2 results. Every tile is transformed, each of its
 * 16 positions is a product of matrices (tiles x channels by channels x maps), and the sums are transformed back on their
 * way to y. A group of tiles goes through all three at a time, so that what lies between stays in the cache. */
#include <string.h>

#include "ops/winograd_kernel.h"

enum {
	PLACES = WINOGRAD_PLACES,
	GROUP_FLOATS = 64 * 1024, /* of transformed tiles, about */
	LEAST_GROUP = 48,         /* tiles, so that a weight is used often enough for its way from memory */
	LEAST_CHANNELS = 16
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

static int64_t whole(int64_t n, int64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

size_t winograd_weight_size(int64_t lanes, int64_t channels, int64_t maps, bool back)
{
	int64_t from = back ? maps : channels, to = back ? channels : maps;

	return (size_t)(PLACES * whole(from, lanes) * whole(to, 2 * lanes));
}

/* G g G^T, in double. */
static void transform_kernel(const float *g, bool back, double *to)
{
	double half[4][3];

	for (int x = 0; x < 3; x++) {
		double k[3];

		for (int y = 0; y < 3; y++)
			k[y] = (double)g[back ? (2 - y) * 3 + 2 - x : y * 3 + x];
		half[0][x] = k[0];
		half[1][x] = (k[0] + k[1] + k[2]) / 2;
		half[2][x] = (k[0] - k[1] + k[2]) / 2;
		half[3][x] = k[2];
	}
	for (int y = 0; y < 4; y++) {
		to[4 * y] = half[y][0];
		to[4 * y + 1] = (half[y][0] + half[y][1] + half[y][2]) / 2;
		to[4 * y + 2] = (half[y][0] - half[y][1] + half[y][2]) / 2;
		to[4 * y + 3] = half[y][2];
	}
}

/* [pair of blocks of maps][place][channel][map of the pair] */
void winograd_weight(int64_t lanes, const float *w, int64_t channels, int64_t maps, bool back, float *into)
{
	int64_t from = back ? maps : channels, to = back ? channels : maps, depth = whole(from, lanes), pair = 2 * lanes;
	double u[PLACES];

	memset(into, 0, winograd_weight_size(lanes, channels, maps, back) * sizeof *into);
	for (int64_t o = 0; o < to; o++)
		for (int64_t c = 0; c < from; c++) {
			transform_kernel(w + 9 * (back ? c * channels + o : o * channels + c), back, u);
			for (int p = 0; p < PLACES; p++)
				into[((o / pair * PLACES + p) * depth + c) * pair + o % pair] = (float)u[p];
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
