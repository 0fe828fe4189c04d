/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients through changes of layout and through activations, over blocks. */
#include <math.h>

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

LOOP_VERSIONS
static void undo_relu(const float *y, int64_t n, float a, float *restrict g)
{
	for (int64_t i = 0; i < n; i++)
		g[i] *= y[i] > 0 ? 1.0f : a;
}

LOOP_VERSIONS
static void undo_clip(const float *y, int64_t n, float low, float high, float *restrict g)
{
	for (int64_t i = 0; i < n; i++)
		g[i] = y[i] > low && y[i] < high ? g[i] : 0.0f;
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

static void undo(const struct blocked_after *f, const float *y, int64_t n, float *g)
{
	if (f->kind == BLOCKED_RELU)
		undo_relu(y, n, f->a, g);
	else if (f->kind == BLOCKED_CLIP)
		undo_clip(y, n, f->a, f->b, g);
	else if (f->kind == BLOCKED_SIGMOID)
		undo_sigmoid(y, n, g);
	else
		undo_tanh(y, n, g);
}

/* Squares by lane over a tile: floats, since a tile is short. */
LOOP_VERSIONS
static void add_tile(const float *g, int64_t pixels, int64_t width, double *energy)
{
	float low[8] = {0}, high[8] = {0};

	for (int64_t p = 0; p < pixels; p++, g += width) {
		for (int k = 0; k < 8; k++)
			low[k] += g[k] * g[k];
		for (int k = 0; width == 16 && k < 8; k++)
			high[k] += g[8 + k] * g[8 + k];
	}
	for (int k = 0; k < 8; k++) {
		energy[k] += low[k];
		energy[8 + k] += high[k];
	}
}

void blocked_undo(const struct blocked_after *after, const struct tensor *y, const float *scale, int64_t channels,
                  struct tensor *g, double *energy)
{
	int64_t width = g->dims[4], size = g->dims[2] * g->dims[3];

	for (int64_t i = 0; i < g->dims[0] * g->dims[1]; i++) {
		double sum[MOST] = {0};
		int64_t first = i % g->dims[1] * width;

		for (int64_t p = 0; p < size; p += TILE) {
			int64_t at = (i * size + p) * width, n = least(TILE, size - p);

			if (after)
				undo(after, (const float *)y->data + at, n * width, (float *)g->data + at);
			if (energy)
				add_tile((const float *)g->data + at, n, width, sum);
		}
		for (int64_t k = 0; energy && k < least(width, channels - first); k++)
			energy[first + k] += sum[k] * (scale ? (double)scale[first + k] * scale[first + k] : 1);
	}
}
