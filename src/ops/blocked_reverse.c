/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients through changes of layout and through activations, over blocks. */
#include <math.h>
#include <string.h>

#include "base/eight.h"
#include "base/loop.h"
#include "ops/blocked_back.h"

enum { MOST = 16, TILE = 256 /* pixels at a time: they stay in the cache from one pass to the next */ };

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---- layout ---------------------------------------------------------------------------------------------------- */

/* Where one block of one item lies in either layout. */
struct piece { int64_t lanes, width, size, blocks, plain; };

static struct piece piece_at(const struct tensor *t, int64_t channels, int64_t i)
{
	int64_t width = t->dims[4], size = t->dims[2] * t->dims[3], first = i % t->dims[1] * width;

	return (struct piece){least(width, channels - first), width, size, i * size * width,
	                      (i / t->dims[1] * channels + first) * size};
}

static void add_to_plain(const struct tensor *blocks, int64_t channels, float *plain)
{
	for (int64_t i = 0; i < blocks->dims[0] * blocks->dims[1]; i++) {
		const struct piece p = piece_at(blocks, channels, i);
		const float *from = (const float *)blocks->data + p.blocks;

		for (int64_t k = 0; k < p.lanes; k++)
			for (int64_t at = 0; at < p.size; at++)
				plain[p.plain + k * p.size + at] += from[at * p.width + k];
	}
}

void blocked_to_plain(const struct tensor *blocks, int64_t channels, float *plain)
{
	for (int64_t i = 0; i < blocks->dims[0] * channels * blocks->dims[2] * blocks->dims[3]; i++)
		plain[i] = 0;
	add_to_plain(blocks, channels, plain);
}

void blocked_add_plain(const float *plain, int64_t channels, struct tensor *blocks)
{
	for (int64_t i = 0; i < blocks->dims[0] * blocks->dims[1]; i++) {
		const struct piece p = piece_at(blocks, channels, i);
		float *to = (float *)blocks->data + p.blocks;

		for (int64_t at = 0; at < p.size; at++)
			for (int64_t k = 0; k < p.lanes; k++)
				to[at * p.width + k] += plain[p.plain + k * p.size + at];
	}
}

enum tamis_status blocked_pack_reverse(struct op_grad *g)
{
	if (g->gout[0] && g->gin[0])
		add_to_plain(g->gout[0], g->gin[0]->dims[1], g->gin[0]->data);
	return TAMIS_OK;
}

enum tamis_status blocked_unpack_reverse(struct op_grad *g)
{
	if (g->gout[0] && g->gin[0])
		blocked_add_plain(g->gout[0]->data, g->gout[0]->dims[1], g->gin[0]);
	return TAMIS_OK;
}

enum tamis_status blocked_global_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0];
	struct tensor *gx = g->gin[0];

	if (!gy || !gx)
		return TAMIS_OK;
	for (int64_t i = 0; i < gx->dims[0] * gx->dims[1]; i++) {
		const struct piece p = piece_at(gx, gy->dims[1], i);
		const float *from = (const float *)gy->data + p.plain / p.size;
		float *to = (float *)gx->data + p.blocks, share[MOST] = {0};

		for (int64_t k = 0; k < p.lanes; k++)
			share[k] = from[k] / (float)p.size;
		for (int64_t at = 0; at < p.size; at++)
			for (int64_t k = 0; k < p.width; k++)
				to[at * p.width + k] += share[k];
	}
	return TAMIS_OK;
}

/* ---- activations ----------------------------------------------------------------------------------------------- */

enum { BITS = 32, SUMS = 4 };

bool blocked_has_mask(const struct blocked_after *after)
{
	return after->kind == BLOCKED_RELU || after->kind == BLOCKED_CLIP;
}

size_t blocked_mask_words(int64_t count)
{
	return (size_t)((count + LANES * BITS - 1) / (LANES * BITS)) * LANES;
}

/* Bit i of lane k is that of element 8 i + k: so many vectors a vector of words. */
LOOP_VERSIONS
static void mask_between(const float *y, int64_t count, float low, float high, uint32_t *bits)
{
	for (int64_t i = 0; i < count; i += LANES * BITS, bits += LANES) {
		mask all = {0}, bit = {1, 1, 1, 1, 1, 1, 1, 1};
		int64_t n = least(BITS, (count - i) / LANES);

		for (int64_t k = 0; k < n; k++) {
			eight v;

			memcpy(&v, y + i + k * LANES, sizeof v);
			all |= (mask)((v > low) & (v < high)) & bit;
			bit <<= 1;
		}
		memcpy(bits, &all, sizeof all);
	}
}

void blocked_mask(const struct blocked_after *after, const struct tensor *y, uint32_t *bits)
{
	bool relu = after->kind == BLOCKED_RELU;

	mask_between(y->data, y->count, relu ? 0 : after->a, relu ? INFINITY : after->b, bits);
}

/* g times 1 where the bit is set and `off` elsewhere, from vector `first` of the mask on. */
LOOP_VERSIONS
static void undo_masked(const uint32_t *bits, int64_t first, int64_t n, float off, float *g)
{
	for (int64_t i = first, end = first + n; i < end;) {
		int64_t run = least(BITS - i % BITS, end - i);
		mask all, bit = {1, 1, 1, 1, 1, 1, 1, 1};

		memcpy(&all, bits + i / BITS * LANES, sizeof all);
		bit <<= (int32_t)(i % BITS);
		i += run;
		for (; run > 0; run--, g += LANES, bit <<= 1) {
			eight v;
			mask m = (all & bit) != 0;

			memcpy(&v, g, sizeof v);
			v = (eight)(((mask)v & m) | ((mask)(v * off) & ~m));
			memcpy(g, &v, sizeof v);
		}
	}
}

LOOP_VERSIONS
static void undo_sigmoid(const float *y, int64_t n, float *restrict g)
{
	for (int64_t i = 0; i < n; i++)
		g[i] *= y[i] * (1 - y[i]);
}

LOOP_VERSIONS
static void undo_tanh(const float *y, int64_t n, float *restrict g)
{
	for (int64_t i = 0; i < n; i++)
		g[i] *= 1 - y[i] * y[i];
}

/* Elements at .. at + n - 1. */
static void undo(const struct blocked_undo *u, int64_t at, int64_t n, float *g)
{
	const float *y = u->y->data;

	if (blocked_has_mask(u->after))
		undo_masked(u->mask, at / LANES, n / LANES, u->after->kind == BLOCKED_RELU ? u->after->a : 0, g + at);
	else if (u->after->kind == BLOCKED_SIGMOID)
		undo_sigmoid(y + at, n, g + at);
	else
		undo_tanh(y + at, n, g + at);
}

/* Squares by lane over a tile: floats, since a tile is short. Several sums, which need not wait for one another. */
LOOP_VERSIONS
static void add_tile(const float *g, int64_t pixels, int64_t width, double *energy)
{
	eight sum[SUMS] = {{0}, {0}, {0}, {0}}, v;
	int64_t n = pixels * width / LANES, i = 0;

	for (; i + SUMS <= n; i += SUMS)
		for (int k = 0; k < SUMS; k++) {
			memcpy(&v, g + (i + k) * LANES, sizeof v);
			sum[k] += v * v;
		}
	for (int k = 0; i + k < n; k++) {
		memcpy(&v, g + (i + k) * LANES, sizeof v);
		sum[k] += v * v;
	}
	for (int k = 0; k < SUMS; k++)
		for (int lane = 0; lane < LANES; lane++)
			energy[(width > LANES ? k % 2 * LANES : 0) + lane] += (double)sum[k][lane];
}

void blocked_undo(const struct blocked_undo *u, struct tensor *g)
{
	int64_t width = g->dims[4], size = g->dims[2] * g->dims[3];

	for (int64_t i = 0; i < g->dims[0] * g->dims[1]; i++) {
		double sum[MOST] = {0};
		int64_t first = i % g->dims[1] * width;

		for (int64_t p = 0; p < size; p += TILE) {
			int64_t at = (i * size + p) * width, n = least(TILE, size - p);

			if (u->after)
				undo(u, at, n * width, g->data);
			if (u->energy)
				add_tile((const float *)g->data + at, n, width, sum);
		}
		for (int64_t k = 0; u->energy && k < least(width, u->channels - first); k++)
			u->energy[first + k] += sum[k] * (u->scale ? (double)u->scale[first + k] * u->scale[first + k] : 1);
	}
}
