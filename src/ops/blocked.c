/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/blocked.h"

#include <math.h>
#include <string.h>

#include "base/eight.h"
#include "base/error.h"
#include "ops/blocked_back.h"
#include "ops/broadcast.h"
#include "ops/family.h"
#include "ops/pool.h"

enum { MOST = 16 }; /* channels a block */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---- in and out ------------------------------------------------------------------------------------------------ */

static enum tamis_status pack_shape(struct op_call *c)
{
	const int64_t *d = c->in[0]->dims, b = blocked_width();

	return op_set_out(c, 0, c->in[0]->type, 5, (int64_t[]){d[0], (d[1] + b - 1) / b, d[2], d[3], b});
}

/* Lanes `lanes`.. of the last block are zero. */
static void pack_block(const float *from, int64_t size, int64_t lanes, int64_t width, float *to)
{
	if (lanes < width)
		memset(to, 0, (size_t)(size * width) * sizeof *to);
	for (int64_t p = 0; p < size; p++)
		for (int64_t i = 0; i < lanes; i++)
			to[p * width + i] = from[i * size + p];
}

static enum tamis_status pack_run(struct op_call *c)
{
	const struct tensor *x = c->in[0], *y = c->out[0];
	int64_t size = x->dims[2] * x->dims[3], width = y->dims[4], blocks = y->dims[1];

	for (int64_t i = 0; i < y->dims[0] * blocks; i++) {
		int64_t n = i / blocks, first = i % blocks * width;

		pack_block((const float *)x->data + (n * x->dims[1] + first) * size, size, least(width, x->dims[1] - first),
		           width, (float *)y->data + i * size * width);
	}
	return TAMIS_OK;
}

static enum tamis_status unpack_shape(struct op_call *c)
{
	const int64_t *d = c->in[0]->dims, *channels = c->node->attr;

	return op_set_out(c, 0, c->in[0]->type, 4, (int64_t[]){d[0], *channels, d[2], d[3]});
}

static void unpack_block(const float *from, int64_t size, int64_t lanes, int64_t width, float *to)
{
	for (int64_t i = 0; i < lanes; i++)
		for (int64_t p = 0; p < size; p++)
			to[i * size + p] = from[p * width + i];
}

static enum tamis_status unpack_run(struct op_call *c)
{
	const struct tensor *x = c->in[0], *y = c->out[0];
	int64_t size = x->dims[2] * x->dims[3], width = x->dims[4], blocks = x->dims[1];

	for (int64_t i = 0; i < x->dims[0] * blocks; i++) {
		int64_t n = i / blocks, first = i % blocks * width;

		unpack_block((const float *)x->data + i * size * width, size, least(width, y->dims[1] - first), width,
		             (float *)y->data + (n * y->dims[1] + first) * size);
	}
	return TAMIS_OK;
}

/* ---- pooling ----------------------------------------------------------------------------------------------------- */

static enum tamis_status resolve(const struct op_call *c, struct window *w)
{
	const struct pool_attr *a = c->node->attr;
	const int64_t *d = c->in[0]->dims;
	const struct tensor image = {.type = DT_FLOAT, .rank = 4, .dims = {d[0], d[1] * d[4], d[2], d[3]}};

	return window_resolve(&a->window, &image, NULL, w, c->err);
}

static enum tamis_status pool_shape(struct op_call *c)
{
	const int64_t *d = c->in[0]->dims;
	struct window w;
	enum tamis_status s = resolve(c, &w);

	return s ? s : op_set_out(c, 0, DT_FLOAT, 5, (int64_t[]){d[0], d[1], w.out[1], w.out[2], d[4]});
}

/* What lies under an output row or column: positions of the image, and how many count in an average. */
struct span { int64_t from, to, count; };

static struct span find_span(const struct window *w, int axis, int64_t o, bool include_pad)
{
	int64_t start = o * w->stride[axis] - w->begin[axis], d = w->dilation[axis];
	int64_t end = start + w->kernel[axis] * d, room = w->in[axis] + w->end[axis];
	struct span s = {start < 0 ? start + (-start + d - 1) / d * d : start, least(end, w->in[axis]), 0};

	if (include_pad)
		s.count = (least(end, room) - start + d - 1) / d;
	else if (s.to > s.from)
		s.count = (s.to - s.from + d - 1) / d;
	return s;
}

static struct span *find_spans(const struct op_call *c, const struct window *w, int axis)
{
	const struct pool_attr *a = c->node->attr;
	struct span *s = scratch_alloc(c->scratch, (size_t)w->out[axis], sizeof *s);

	for (int64_t o = 0; s && o < w->out[axis]; o++)
		s[o] = find_span(w, axis, o, a->include_pad);
	return s;
}

/* One image, of which `width`, a constant where these are called, is a block. A NaN under the window is the maximum, as
 * in the plain layout. */
#define OVER(name, start, step, end) \
	static inline __attribute__((always_inline)) void name(const struct window *w, const struct span *down, \
		const struct span *across, const float *image, float *to, int width) \
	{ \
		for (int64_t o = 0; o < w->out_size; o++, to += width) { \
			const struct span *rows = &down[o / w->out[2]], *cols = &across[o % w->out[2]]; \
			int64_t count = rows->count * cols->count; \
 \
			(void)count; \
			for (int part = 0; part < width; part += LANES) { \
				eight sum = (eight){0} + start, v; \
 \
				for (int64_t y = rows->from; y < rows->to; y += w->dilation[1]) \
					for (int64_t x = cols->from; x < cols->to; x += w->dilation[2]) { \
						memcpy(&v, image + (y * w->in[2] + x) * width + part, sizeof v); \
						sum = step; \
					} \
				v = end; \
				memcpy(to + part, &v, sizeof v); \
			} \
		} \
	}
#define CHOOSE(which, yes, no) (eight)(((mask)(yes) & (which)) | ((mask)(no) & ~(which)))
OVER(max_over, -INFINITY, CHOOSE((v > sum) | (v != v), v, sum), sum)
OVER(average_over, 0, sum + v, count ? sum / (float)count : (eight){0})

#define BY_WIDTH(name, over) \
	LOOP_VERSIONS static void name(const struct window *w, const struct span *down, const struct span *across, \
	                               const float *image, float *to, int64_t width) \
	{ \
		if (width == 8) \
			over(w, down, across, image, to, 8); \
		else \
			over(w, down, across, image, to, MOST); \
	}
BY_WIDTH(max_of_image, max_over)
BY_WIDTH(average_of_image, average_over)

static enum tamis_status run_pool(struct op_call *c, bool average)
{
	const struct tensor *x = c->in[0], *y = c->out[0];
	int64_t width = x->dims[4];
	struct window w;
	enum tamis_status s = resolve(c, &w);
	struct span *down = s ? NULL : find_spans(c, &w, 1), *across = s ? NULL : find_spans(c, &w, 2);

	if (s || !down || !across)
		return s ? s : tm_no_memory(c->err, "pooling");
	for (int64_t i = 0; i < x->dims[0] * x->dims[1]; i++) {
		const float *image = (const float *)x->data + i * w.in_size * width;
		float *to = (float *)y->data + i * w.out_size * width;

		if (average)
			average_of_image(&w, down, across, image, to, width);
		else
			max_of_image(&w, down, across, image, to, width);
	}
	return TAMIS_OK;
}

static enum tamis_status run_max_pool(struct op_call *c)
{
	return run_pool(c, false);
}

static enum tamis_status run_average_pool(struct op_call *c)
{
	return run_pool(c, true);
}

/* Both together at one output position. */
struct under { int64_t y, y_end, x, x_end, count; };

static struct under find_under(const struct window *w, int64_t oy, int64_t ox, bool include_pad)
{
	struct span rows = find_span(w, 1, oy, include_pad), cols = find_span(w, 2, ox, include_pad);

	return (struct under){rows.from, rows.to, cols.from, cols.to, rows.count * cols.count};
}

/* The first of the largest takes the gradient, in each lane; of NaNs the last, as in the maximum itself. */
LOOP_VERSIONS
static void max_back(const struct window *w, const struct under *u, const float *image, int64_t width, const float *gy,
                     float *gx)
{
	for (int64_t part = 0; part < width; part += LANES) {
		eight most = (eight){0} - INFINITY, v;
		mask at = (mask){0} - 1;

		for (int64_t y = u->y; y < u->y_end; y += w->dilation[1])
			for (int64_t x = u->x; x < u->x_end; x += w->dilation[2]) {
				int32_t pixel = (int32_t)(y * w->in[2] + x);
				mask more;

				memcpy(&v, image + pixel * width + part, sizeof v);
				more = (v > most) | (v != v) | (at < 0);
				most = CHOOSE(more, v, most);
				at = (more & pixel) | (~more & at);
			}
		for (int64_t i = 0; i < LANES; i++)
			if (at[i] >= 0)
				gx[at[i] * width + part + i] += gy[part + i];
	}
}

static void average_back(const struct window *w, const struct under *u, int64_t width, const float *gy, float *gx)
{
	for (int64_t y = u->y; y < u->y_end; y += w->dilation[1])
		for (int64_t x = u->x; x < u->x_end; x += w->dilation[2])
			for (int64_t i = 0; i < width; i++)
				gx[(y * w->in[2] + x) * width + i] += gy[i] / (float)u->count;
}

static enum tamis_status reverse_pool(struct op_grad *g, bool average)
{
	const struct op_call *c = g->call;
	const struct pool_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *gy = g->gout[0];
	int64_t width = x->dims[4];
	struct window w;
	enum tamis_status s = gy && g->gin[0] ? resolve(c, &w) : TAMIS_OK;

	if (s != TAMIS_OK || !gy || !g->gin[0])
		return s;
	for (int64_t i = 0; i < x->dims[0] * x->dims[1]; i++) {
		const float *image = (const float *)x->data + i * w.in_size * width;
		float *gx = (float *)g->gin[0]->data + i * w.in_size * width;

		for (int64_t o = 0; o < w.out_size; o++) {
			const struct under u = find_under(&w, o / w.out[2], o % w.out[2], a->include_pad);
			const float *from = (const float *)gy->data + (i * w.out_size + o) * width;

			if (average)
				average_back(&w, &u, width, from, gx);
			else
				max_back(&w, &u, image, width, from, gx);
		}
	}
	return TAMIS_OK;
}

enum tamis_status blocked_max_pool_reverse(struct op_grad *g)
{
	return reverse_pool(g, false);
}

enum tamis_status blocked_average_pool_reverse(struct op_grad *g)
{
	return reverse_pool(g, true);
}

static enum tamis_status global_shape(struct op_call *c)
{
	const int64_t *channels = c->node->attr;

	return op_set_out(c, 0, DT_FLOAT, 4, (int64_t[]){c->in[0]->dims[0], *channels, 1, 1});
}

static enum tamis_status global_run(struct op_call *c)
{
	const int64_t *channels = c->node->attr, *d = c->in[0]->dims, size = d[2] * d[3], width = d[4];
	const float *x = c->in[0]->data;
	float *y = c->out[0]->data;

	for (int64_t i = 0; i < d[0] * d[1]; i++, x += size * width) {
		int64_t n = i / d[1], first = i % d[1] * width, lanes = least(width, *channels - first);
		float sum[MOST] = {0};

		for (int64_t p = 0; p < size; p++)
			for (int64_t k = 0; k < width; k++)
				sum[k] += x[p * width + k];
		for (int64_t k = 0; k < lanes; k++)
			y[n * *channels + first + k] = sum[k] / (float)size;
	}
	return TAMIS_OK;
}

#define ROW(op_name, s, r, back, bits) \
	{.name = op_name, .domain = "tamis.blocked", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1, \
	 .max_out = 1, .flags = bits, .shape = s, .run = r, .reverse = back}

const struct op blocked_pack = ROW("Pack", pack_shape, pack_run, blocked_pack_reverse, OP_BLIND_REVERSE);
const struct op blocked_unpack = ROW("Unpack", unpack_shape, unpack_run, blocked_unpack_reverse, OP_BLIND_REVERSE);
const struct op blocked_max_pool = ROW("MaxPool", pool_shape, run_max_pool, blocked_max_pool_reverse, 0);
const struct op blocked_average_pool = ROW("AveragePool", pool_shape, run_average_pool, blocked_average_pool_reverse, OP_BLIND_REVERSE);
const struct op blocked_global_average = ROW("GlobalAveragePool", global_shape, global_run, blocked_global_reverse, OP_BLIND_REVERSE);
