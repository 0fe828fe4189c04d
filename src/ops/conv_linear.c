/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions as rows of signals times weights. Features of all groups in order are (channel, kernel
 * element), for both operators: Conv reads image channels, ConvTranspose map channels. */
#include "base/error.h"
#include "ops/conv.h"
#include "ops/window_sums.h"

static enum tamis_status describe(const struct node *n, const struct tensor *const *in, int n_in,
                                  struct linear_view *view, struct tamis_error *err)
{
	const struct conv_attr *a = n->attr;
	struct correlation c;
	enum tamis_status s = conv_resolve(a, in[0], in[1], n_in > 2 ? in[2] : NULL, &c, err);
	int64_t readers, makers;

	if (s)
		return s;
	readers = a->transposed ? c.maps : c.channels;
	makers = a->transposed ? c.channels : c.maps;
	if (readers == 0 || makers == 0)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "a convolution without channels makes no connections");
	*view = (struct linear_view){
		.data = 0, .weight = 1, .bias = 2, .can_bias = true,
		.groups = c.groups, .inner = c.win.kernel_size, .fan_in = readers * c.win.kernel_size,
		.outs = c.groups * makers,
		.stride_group = c.maps * c.channels * c.win.kernel_size,
		.stride_out = a->transposed ? c.win.kernel_size : c.channels * c.win.kernel_size,
		.stride_channel = a->transposed ? c.channels * c.win.kernel_size : c.win.kernel_size,
		.in_axis = 1, .out_axis = 1, .weight_scale = 1, .bias_scale = 1,
		.exact_mean = a->transposed ? c.win.in_size == 1 || window_is_identity(&c.win)
		                            : c.win.out_size == 1 || window_inside(&c.win),
	};
	return TAMIS_OK;
}

/* The call's products, with the positions of one batch row and the batch rows an item; 0 rows when they do
 * not divide. */
struct frame {
	struct correlation c;
	int64_t size, rows;
};

static enum tamis_status open_frame(const struct op_call *call, int64_t items, struct frame *f)
{
	const struct conv_attr *a = call->node->attr;
	enum tamis_status s = conv_resolve(a, call->in[0], call->in[1], op_in(call, 2), &f->c, call->err);

	if (s)
		return s;
	f->size = a->transposed ? f->c.win.in_size : f->c.win.out_size;
	f->rows = items > 0 && f->c.items % items == 0 ? f->c.items / items : 0;
	return TAMIS_OK;
}

static int64_t positions(const struct op_call *call, const struct linear_view *v, int64_t items)
{
	struct frame f;

	(void)v;
	return open_frame(call, items, &f) ? 0 : f.rows * f.size;
}

/* Offset on the feature side of the element that kernel element k (three axes) meets at output position
 * `at`; -1 for padding. */
static int64_t meets_image(const struct window *w, const int64_t *at, const int64_t *k)
{
	int64_t line = window_line(w, at[0], at[1], k[0], k[1]);
	int64_t x = at[2] * w->stride[2] - w->begin[2] + k[2] * w->dilation[2];

	return line < 0 || x < 0 || x >= w->in[2] ? -1 : line + x;
}

/* The other way round: which map position's window has kernel element k on image element `at`. */
static int64_t meets_map(const struct window *w, const int64_t *at, const int64_t *k)
{
	int64_t offset = 0;

	for (int i = 0; i < WINDOW_AXES; i++) {
		int64_t o = at[i] + w->begin[i] - k[i] * w->dilation[i];

		if (o < 0 || o % w->stride[i] || o / w->stride[i] >= w->out[i])
			return -1;
		offset = offset * w->out[i] + o / w->stride[i];
	}
	return offset;
}

/* Splits a position or a kernel element into its three axes. */
static void split(int64_t flat, const int64_t *dims, int64_t *axes)
{
	axes[2] = flat % dims[2];
	axes[1] = flat / dims[2] % dims[1];
	axes[0] = flat / dims[2] / dims[1];
}

enum { PART = 64 }; /* kernel elements whose offsets are kept at a time */

/* The offsets of kernel elements k .. k+n-1 at one position. */
static void find_offsets(const struct window *w, bool transposed, int64_t position, int64_t k, int64_t n,
                         int64_t *offsets)
{
	int64_t at[WINDOW_AXES], element[WINDOW_AXES];

	split(position, transposed ? w->in : w->out, at);
	for (int64_t i = 0; i < n; i++) {
		split(k + i, w->kernel, element);
		offsets[i] = transposed ? meets_map(w, at, element) : meets_image(w, at, element);
	}
}

/* One batch row, float or double, seen as planes: n elements of each channel's plane, side by side,
 * `pitch` apart. */
static void gather_row(const struct tensor *x, int64_t first, int64_t channels, int64_t plane,
                       const int64_t *offsets, int64_t n, float *u, int64_t pitch)
{
	const float *f = (const float *)x->data + first;
	const double *d = (const double *)x->data + first;

	if (x->type == DT_FLOAT)
		for (int64_t c = 0; c < channels; c++, f += plane, u += pitch)
			for (int64_t i = 0; i < n; i++)
				u[i] = offsets[i] < 0 ? 0 : f[offsets[i]];
	else
		for (int64_t c = 0; c < channels; c++, d += plane, u += pitch)
			for (int64_t i = 0; i < n; i++)
				u[i] = offsets[i] < 0 ? 0 : (float)d[offsets[i]];
}

static void gather_position(const struct frame *f, bool transposed, const struct tensor *x, int64_t items,
                            int64_t position, float *u, int64_t item_pitch)
{
	const struct window *w = &f->c.win;
	int64_t channels = x->dims[1], plane = transposed ? w->out_size : w->in_size, offsets[PART];

	for (int64_t k = 0; k < w->kernel_size; k += PART) {
		int64_t n = w->kernel_size - k < PART ? w->kernel_size - k : PART;

		find_offsets(w, transposed, position % f->size, k, n, offsets);
		for (int64_t i = 0; i < items; i++)
			gather_row(x, (i * f->rows + position / f->size) * channels * plane, channels, plane, offsets, n,
			           u + i * item_pitch + k, w->kernel_size);
	}
}

static enum tamis_status gather(const struct op_call *call, const struct linear_view *v, int64_t items,
                                const int64_t *pos, int64_t n_pos, float *u)
{
	const struct conv_attr *a = call->node->attr;
	int64_t features = v->groups * v->fan_in;
	struct frame f;
	enum tamis_status s = open_frame(call, items, &f);

	for (int64_t p = 0; !s && p < n_pos; p++)
		gather_position(&f, a->transposed, call->in[0], items, pos[p], u + p * features, n_pos * features);
	return s;
}

/* A channel's planes as floats, in `copy`, one after the other, where they have to be converted. */
static struct planes planes_of(const struct tensor *x, int64_t channel, int64_t plane, float *copy)
{
	int64_t pitch = x->dims[1] * plane;
	const double *d = (const double *)x->data + channel * plane;

	if (x->type == DT_FLOAT)
		return (struct planes){(const float *)x->data + channel * plane, x->dims[0], pitch, 1};
	for (int64_t i = 0; i < x->dims[0]; i++)
		for (int64_t k = 0; k < plane; k++)
			copy[i * plane + k] = (float)d[i * pitch + k];
	return (struct planes){copy, x->dims[0], plane, 1};
}

static enum tamis_status sums(const struct op_call *call, const struct linear_view *v, int64_t items, double *sum,
                              double *square)
{
	const struct conv_attr *a = call->node->attr;
	const struct tensor *x = call->in[0];
	int64_t channels = x->dims[1], plane, kernel = v->inner;
	struct frame f;
	enum tamis_status s = open_frame(call, items, &f);
	double *room;
	float *copy;

	if (s)
		return s;
	plane = a->transposed ? f.c.win.out_size : f.c.win.in_size;
	room = scratch_alloc(call->scratch, 4 * (size_t)plane, sizeof *room);
	copy = scratch_alloc(call->scratch, x->type == DT_FLOAT ? 1 : (size_t)(x->dims[0] * plane), sizeof *copy);
	if (!room || !copy)
		return tm_no_memory(call->err, "adding up signals");
	for (int64_t c = 0; c < channels; c++) {
		const struct planes p = planes_of(x, c, plane, copy);

		window_sums(&f.c.win, a->transposed, &p, room, sum + c * kernel, square + c * kernel, 0);
	}
	return TAMIS_OK;
}

static enum tamis_status gather_out(const struct op_call *call, const struct linear_view *v,
                                    const struct tensor *z, int64_t items, const int64_t *pos, int64_t n_pos,
                                    float *out)
{
	static const int64_t whole = 0;
	struct frame f;
	enum tamis_status s = open_frame(call, items, &f);

	for (int64_t i = 0; !s && i < items; i++)
		for (int64_t p = 0; p < n_pos; p++, out += v->outs)
			gather_row(z, (i * f.rows + pos[p] / f.size) * v->outs * f.size + pos[p] % f.size, v->outs, f.size,
			           &whole, 1, out, 1);
	return s;
}

const struct linear_op conv_linear = {describe, positions, gather, sums, gather_out};
const struct linear_op conv_transpose_linear = {describe, positions, gather, sums, gather_out};
