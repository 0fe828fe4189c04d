/* SPDX-License-Identifier: Apache-2.0 */
/* Signals of convolutions whose images are in blocks: b channels of a pixel lie side by side. */
#include "ops/blocked_linear.h"

#include <string.h>

#include "base/eight.h"
#include "base/error.h"
#include "ops/conv.h"
#include "ops/transpose_eight.h"
#include "ops/window_sums.h"

/* The call's window; channels of all groups, and the batch rows an item (0: they do not divide). */
struct frame {
	struct window win;
	int64_t channels, rows;
};

static enum tamis_status open_frame(const struct op_call *call, int64_t items, struct frame *f)
{
	const struct conv_attr *a = call->node->attr;
	const int64_t *d = call->in[0]->dims;
	const struct tensor image = {.type = DT_FLOAT, .rank = 4, .dims = {d[0], call->in[1]->dims[1] * a->group, d[2], d[3]}};
	struct correlation c;
	enum tamis_status s = conv_resolve(a, &image, call->in[1], NULL, &c, call->err);

	if (s)
		return s;
	*f = (struct frame){c.win, image.dims[1], items > 0 && d[0] % items == 0 ? d[0] / items : 0};
	return TAMIS_OK;
}

static int64_t positions(const struct op_call *call, const struct linear_view *v, int64_t items)
{
	struct frame f;

	(void)v;
	return open_frame(call, items, &f) ? 0 : f.rows * f.win.out_size;
}

/* Pixel that kernel element k meets at a position; -1: padding. */
static int64_t pixel(const struct window *w, int64_t position, int64_t k)
{
	int64_t line = window_line(w, 0, position / w->out[2], 0, k / w->kernel[2]);
	int64_t x = position % w->out[2] * w->stride[2] - w->begin[2] + k % w->kernel[2] * w->dilation[2];

	return line < 0 || x < 0 || x >= w->in[2] ? -1 : line + x;
}

enum { PART = 64 }; /* kernel elements at a time. LANES is the least width of blocks, and divides all others */

/* Elements at[0 .. n-1] of LANES channels, side by side for each channel, `pitch` from one to the next. */
static void gather_lanes(const float *from, int64_t width, const int64_t *at, int64_t n, float *u, int64_t pitch)
{
	static const float padding[LANES];
	const float *pixel[LANES];
	int64_t k = 0;

	if (n == 1 && pitch == 1 && at[0] >= 0) {
		memcpy(u, from + at[0] * width, LANES * sizeof *u);
		return;
	}
	for (; k + LANES <= n; k += LANES) {
		for (int i = 0; i < LANES; i++)
			pixel[i] = at[k + i] < 0 ? padding : from + at[k + i] * width;
		transpose_eight(pixel, u + k, pitch, false);
	}
	for (; k < n; k++) {
		pixel[0] = at[k] < 0 ? padding : from + at[k] * width;
		for (int i = 0; i < LANES; i++)
			u[i * pitch + k] = pixel[0][i];
	}
}

/* n kernel elements of every channel of one batch row. */
static void gather_row(const struct frame *f, const struct tensor *x, int64_t row, const int64_t *at, int64_t n, float *u)
{
	int64_t width = x->dims[4], kernel = f->win.kernel_size;
	const float *from = (const float *)x->data + row * x->dims[1] * f->win.in_size * width;
	float rest[LANES * PART];

	for (int64_t c = 0; c < f->channels; c += LANES) {
		const float *block = from + c / width * f->win.in_size * width + c % width;

		if (c + LANES <= f->channels) {
			gather_lanes(block, width, at, n, u + c * kernel, kernel);
			continue;
		}
		gather_lanes(block, width, at, n, rest, n);
		for (int64_t i = c; i < f->channels; i++)
			memcpy(u + i * kernel, rest + (i - c) * n, (size_t)n * sizeof *u);
	}
}

static enum tamis_status gather(const struct op_call *call, const struct linear_view *v, int64_t items,
                                const int64_t *pos, int64_t n_pos, float *u)
{
	int64_t features = v->groups * v->fan_in;
	struct frame f;
	enum tamis_status s = open_frame(call, items, &f);

	for (int64_t p = 0; !s && p < n_pos; p++)
		for (int64_t k = 0; k < f.win.kernel_size; k += PART) {
			int64_t at[PART], n = f.win.kernel_size - k < PART ? f.win.kernel_size - k : PART;

			for (int64_t i = 0; i < n; i++)
				at[i] = pixel(&f.win, pos[p] % f.win.out_size, k + i);
			for (int64_t i = 0; i < items; i++)
				gather_row(&f, call->in[0], i * f.rows + pos[p] / f.win.out_size, at, n,
				           u + (i * n_pos + p) * features + k);
		}
	return s;
}

/* Lanes beyond the channels are summed aside. */
static enum tamis_status sums(const struct op_call *call, const struct linear_view *v, int64_t items, double *sum,
                              double *square)
{
	const struct tensor *x = call->in[0];
	int64_t width = x->dims[4], kernel = v->inner, blocks = x->dims[1], padded = blocks * width * kernel;
	struct frame f;
	enum tamis_status s = open_frame(call, items, &f);
	double *room, *all;

	if (s)
		return s;
	room = scratch_alloc(call->scratch, 4 * (size_t)(f.win.in[2] * width), sizeof *room);
	all = scratch_alloc(call->scratch, 2 * (size_t)padded, sizeof *all);
	if (!room || !all)
		return tm_no_memory(call->err, "adding up signals");
	for (int64_t i = 0; i < 2 * padded; i++)
		all[i] = 0;
	for (int64_t i = 0; i < blocks; i++) {
		const struct planes p = {(const float *)x->data + i * f.win.in_size * width, x->dims[0],
		                         blocks * f.win.in_size * width, (int)width};

		window_sums(&f.win, false, &p, room, all + i * width * kernel, all + padded + i * width * kernel, kernel);
	}
	for (int64_t i = 0; i < f.channels * kernel; i++) {
		sum[i] += all[i];
		square[i] += all[padded + i];
	}
	return TAMIS_OK;
}

const struct linear_op blocked_conv_linear = {.positions = positions, .gather = gather, .sums = sums};
