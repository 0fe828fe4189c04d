/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/correlate.h"

#include <string.h>

#include "base/error.h"
#include "ops/blas.h"
#include "ops/columns.h"
#include "ops/depthwise.h"

enum {
	TILE_BYTES = 2 << 20, /* of columns at a time */
	TILE_LEAST = 64       /* columns a product should have: fewer leave BLAS packing more than multiplying */
};

/* The columns at hand: positions from..to-1 of each of `items` items, one item after the other. Either a
 * part of one item or all of several. */
struct tile { int64_t item, items, from, to, width; };

/* Buffers of one call, and how it goes through the columns. */
struct plan {
	const struct correlation *c;
	int64_t fan_in;      /* channels * kernel_size: rows of columns */
	int64_t width, items; /* largest tile */
	bool identity;       /* columns are the image: no buffer */
	void *col, *stage;   /* fan_in x width; maps x width where tiles hold several items, else NULL */
};

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

static enum tamis_status make_plan(const struct correlation *c, struct plan *p)
{
	int64_t size = c->win.out_size, fan_in = c->channels * c->win.kernel_size;
	int64_t room = TILE_BYTES / (int64_t)blas_size(c->type) / (fan_in ? fan_in : 1);

	*p = (struct plan){.c = c, .fan_in = fan_in};
	room = room < TILE_LEAST ? TILE_LEAST : room;
	p->items = clamp(room / size, 1, c->items);
	p->width = p->items > 1 ? p->items * size : clamp(room, 1, size);
	p->identity = window_is_identity(&c->win) && (size >= 2 * TILE_LEAST || c->items == 1);
	if (p->identity) {
		p->items = 1;
		p->width = size;
		return TAMIS_OK;
	}
	p->col = scratch_alloc(c->scratch, (size_t)(fan_in * p->width), blas_size(c->type));
	if (p->items > 1)
		p->stage = scratch_alloc(c->scratch, (size_t)(c->maps * p->width), blas_size(c->type));
	return p->col && (p->stage || p->items == 1) ? TAMIS_OK : tm_no_memory(c->err, "convolving");
}

/* The tile after *t ({0} before the first); false when there is none. */
static bool next_tile(const struct plan *p, struct tile *t)
{
	int64_t size = p->c->win.out_size;

	if (t->width && t->to < size) {
		t->from = t->to;
	} else {
		t->item += t->items;
		t->from = 0;
	}
	t->items = clamp(p->c->items - t->item, 0, p->items);
	t->to = clamp(t->from + (p->items > 1 ? size : p->width), 0, size);
	t->width = t->items * (t->to - t->from);
	return t->items > 0;
}

/* Group g of item i in the image and in the maps. */
static void *image_at(const struct correlation *c, const void *image, int64_t i, int64_t g)
{
	return blas_at(c->type, image, (i * c->groups + g) * c->channels * c->win.in_size);
}

static void *maps_at(const struct correlation *c, const void *maps, int64_t i, int64_t g, int64_t position)
{
	return blas_at(c->type, maps, (i * c->groups + g) * c->maps * c->win.out_size + position);
}

/* The tile's columns as a matrix; the buffer is filled from the image where it has to be. */
static void *columns(const struct plan *p, const struct tile *t, int64_t g, const void *image, int64_t *pitch)
{
	const struct correlation *c = p->c;
	int64_t each = t->to - t->from;

	*pitch = p->identity ? c->win.in_size : t->width;
	if (p->identity)
		return blas_at(c->type, image_at(c, image, t->item, g), t->from);
	for (int64_t i = 0; i < t->items; i++)
		columns_gather(c->type, &c->win, c->channels, image_at(c, image, t->item + i, g), t->from, t->to,
		               blas_at(c->type, p->col, i * each), t->width);
	return p->col;
}

/* The tile's maps as a matrix: in place, or put side by side in the stage. */
static void *staged(const struct plan *p, const struct tile *t, int64_t g, const void *maps, int64_t *pitch)
{
	const struct correlation *c = p->c;
	int64_t size = c->win.out_size;

	*pitch = p->stage ? t->width : size;
	if (!p->stage)
		return maps_at(c, maps, t->item, g, t->from);
	for (int64_t i = 0; i < t->items; i++)
		for (int64_t m = 0; m < c->maps; m++)
			memcpy(blas_at(c->type, p->stage, m * t->width + i * size), maps_at(c, maps, t->item + i, g, m * size),
			       (size_t)size * blas_size(c->type));
	return p->stage;
}

static void forward_tile(const struct plan *p, const struct tile *t, int64_t g, const void *image,
                         const void *weight, void *maps)
{
	const struct correlation *c = p->c;
	int64_t pitch, size = c->win.out_size;
	void *col = columns(p, t, g, image, &pitch);
	void *to = p->stage ? p->stage : maps_at(c, maps, t->item, g, t->from);
	void *w = blas_at(c->type, weight, g * c->maps * p->fan_in);

	blas_gemm(c->type, false, false, c->maps, t->width, p->fan_in, 1, w, p->fan_in, col, pitch, p->stage ? 0 : 1,
	          to, p->stage ? t->width : size);
	for (int64_t i = 0; p->stage && i < t->items; i++)
		blas_add_rows(c->type, c->maps, size, blas_at(c->type, p->stage, i * size), t->width,
		              maps_at(c, maps, t->item + i, g, 0), size);
}

static void back_tile(const struct plan *p, const struct tile *t, int64_t g, const void *maps,
                      const void *weight, void *image)
{
	const struct correlation *c = p->c;
	int64_t pitch, each = t->to - t->from;
	void *from = staged(p, t, g, maps, &pitch);
	void *w = blas_at(c->type, weight, g * c->maps * p->fan_in);

	if (p->identity) {
		blas_gemm(c->type, true, false, p->fan_in, t->width, c->maps, 1, w, p->fan_in, from, pitch, 1,
		          blas_at(c->type, image_at(c, image, t->item, g), t->from), c->win.in_size);
		return;
	}
	blas_gemm(c->type, true, false, p->fan_in, t->width, c->maps, 1, w, p->fan_in, from, pitch, 0, p->col,
	          t->width);
	for (int64_t i = 0; i < t->items; i++)
		columns_scatter(c->type, &c->win, c->channels, blas_at(c->type, p->col, i * each), t->width, t->from, t->to,
		                image_at(c, image, t->item + i, g));
}

static void weight_tile(const struct plan *p, const struct tile *t, int64_t g, const void *image,
                        const void *maps, void *weight)
{
	const struct correlation *c = p->c;
	int64_t pitch, from_pitch;
	void *col = columns(p, t, g, image, &pitch);
	void *from = staged(p, t, g, maps, &from_pitch);

	blas_gemm(c->type, false, true, c->maps, p->fan_in, t->width, 1, from, from_pitch, col, pitch, 1,
	          blas_at(c->type, weight, g * c->maps * p->fan_in), p->fan_in);
}

enum tamis_status correlate(const struct correlation *c, const void *image, const void *weight, void *maps)
{
	struct plan p;
	enum tamis_status s;

	if (depthwise_fits(c))
		return depthwise(c, image, weight, maps);
	if ((s = make_plan(c, &p)))
		return s;
	for (int64_t g = 0; g < c->groups; g++)
		for (struct tile t = {0}; next_tile(&p, &t);)
			forward_tile(&p, &t, g, image, weight, maps);
	return TAMIS_OK;
}

enum tamis_status correlate_back(const struct correlation *c, const void *maps, const void *weight,
                                 void *image)
{
	struct plan p;
	enum tamis_status s;

	if (depthwise_fits(c))
		return depthwise_back(c, maps, weight, image);
	if ((s = make_plan(c, &p)))
		return s;
	for (int64_t g = 0; g < c->groups; g++)
		for (struct tile t = {0}; next_tile(&p, &t);)
			back_tile(&p, &t, g, maps, weight, image);
	return TAMIS_OK;
}

enum tamis_status correlate_weight(const struct correlation *c, const void *image, const void *maps,
                                   void *weight)
{
	struct plan p;
	enum tamis_status s;

	if (depthwise_fits(c))
		return depthwise_weight(c, image, maps, weight);
	if ((s = make_plan(c, &p)))
		return s;
	for (int64_t g = 0; g < c->groups; g++)
		for (struct tile t = {0}; next_tile(&p, &t);)
			weight_tile(&p, &t, g, image, maps, weight);
	return TAMIS_OK;
}
