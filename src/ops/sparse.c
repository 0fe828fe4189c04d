/* SPDX-License-Identifier: Apache-2.0 */
/* Items are laid side by side within each channel, padding included, so that every entry of the weight is one multiple of
 * a long row added to another. At stride 1 a kernel element is a shift of the row; what a row holds between the
 * lines of an output is never read. */
#include "ops/sparse.h"

#include <string.h>

#include "base/eight.h"
#include "base/error.h"
#include "base/loop.h"
#include "ops/conv.h"
#include "ops/transpose_eight.h"

enum {
	WIDTH = 128, /* floats of a row at a time, or one item: all rows stay in the caches */
	FOUR = 4,
};

static inline __attribute__((always_inline)) void load(const float *x, eight *v)
{
	memcpy(v, x, sizeof *v);
}

/* ---- one call's geometry ----------------------------------------------------------------------------------------- */

/* A plane is one channel of one item with its padding; axes are those of struct window. */
struct frame {
	const struct sparse_attr *attr;
	int64_t items, tile;      /* tile: of them at a time */
	int64_t in[WINDOW_AXES], out[WINDOW_AXES], begin[WINDOW_AXES], pitch[WINDOW_AXES];
	int64_t plane, shift_max;
	int64_t *shift;           /* by tap */
};

static enum tamis_status no_memory(const struct op_call *call)
{
	return tm_no_memory(call->err, "a sparse product");
}

static void set_pitches(struct frame *f, const struct window *w)
{
	f->plane = 1;
	for (int i = WINDOW_AXES - 1; i >= 0; i--) {
		f->in[i] = w->in[i];
		f->out[i] = w->out[i];
		f->begin[i] = w->begin[i];
		f->pitch[i] = f->plane;
		f->plane *= w->in[i] + w->begin[i] + w->end[i];
	}
}

static void set_shifts(struct frame *f, const struct window *w)
{
	for (int64_t k = 0; k < f->attr->taps; k++) {
		int64_t rest = k;

		f->shift[k] = 0;
		for (int i = WINDOW_AXES - 1; i >= 0; rest /= w->kernel[i], i--)
			f->shift[k] += rest % w->kernel[i] * w->dilation[i] * f->pitch[i];
	}
	f->shift_max = f->shift[f->attr->taps - 1];
}

static enum tamis_status open_frame(const struct op_call *call, struct frame *f)
{
	const struct sparse_attr *a = call->node->attr;
	struct window one = {.rank = 1, .in = {1, 1, 1}, .out = {1, 1, 1}, .kernel = {1, 1, 1}}, *w = &one;
	struct correlation c;
	enum tamis_status s;

	*f = (struct frame){.attr = a, .items = call->in[0]->count / a->by_channel.rows};
	f->shift = scratch_alloc(call->scratch, (size_t)a->taps, sizeof *f->shift);
	if (!f->shift)
		return no_memory(call);
	if (strcmp(a->plain->op->name, "Conv") == 0) {
		s = conv_resolve(a->plain->attr, call->in[0], call->in[1], op_in(call, 2), &c, call->err);
		if (s)
			return s;
		w = &c.win;
		f->items = c.items;
	}
	set_pitches(f, w);
	set_shifts(f, w);
	f->tile = f->plane < WIDTH ? WIDTH / f->plane : 1;
	f->tile = f->tile < f->items ? f->tile : f->items;
	return TAMIS_OK;
}

/* ---- laying out -------------------------------------------------------------------------------------------------- */

/* Rows of a layout: `width` floats of n items each, and before each `lead` zeros. */
struct rows { float *data; int64_t count, pitch, lead; };

static float *row_of(const struct rows *r, int64_t i)
{
	return r->data + i * r->pitch + r->lead;
}

static bool make_rows(const struct frame *f, struct scratch *scratch, int64_t count, int64_t lead, struct rows *r)
{
	*r = (struct rows){.count = count, .pitch = lead + f->tile * f->plane, .lead = lead};
	r->data = scratch_alloc(scratch, (size_t)(count * r->pitch), sizeof *r->data);
	return r->data;
}

/* Between the boxes of what is moved in nothing else is written. */
static void clear_rows(const struct rows *r)
{
	memset(r->data, 0, (size_t)(r->count * r->pitch) * sizeof *r->data);
}

enum move { IN, OUT, ADD_OUT };

static void move_line(enum move what, float *restrict plain, float *restrict row, int64_t n)
{
	if (what == IN)
		memcpy(row, plain, (size_t)n * sizeof *row);
	else if (what == OUT)
		memcpy(plain, row, (size_t)n * sizeof *row);
	else
		for (int64_t i = 0; i < n; i++)
			plain[i] += row[i];
}

/* One by one: what eights leave over. */
static void transpose_rest(enum move what, float *restrict plain, const struct rows *r, int64_t from, int64_t to,
                           int64_t channel)
{
	for (int64_t c = channel; c < r->count; c++)
		for (int64_t i = from; i < to; i++) {
			float *x = row_of(r, c) + i, *y = plain + i * r->count + c;

			if (what == IN)
				*x = *y;
			else
				*y = what == ADD_OUT ? *y + *x : *x;
		}
}

/* Rows `pitch` floats apart. */
static void transpose_block(const float *from, int64_t pitch, float *to, int64_t to_pitch, bool add)
{
	const float *rows[LANES];

	for (int i = 0; i < LANES; i++)
		rows[i] = from + i * pitch;
	transpose_eight(rows, to, to_pitch, add);
}

/* plain: n x rows. */
static void transpose(enum move what, float *plain, const struct rows *r, int64_t n)
{
	int64_t rows = n - n % LANES, channels = r->count - r->count % LANES;

	for (int64_t i = 0; i < rows; i += LANES)
		for (int64_t c = 0; c < channels; c += LANES) {
			float *x = row_of(r, c) + i, *y = plain + i * r->count + c;

			if (what == IN)
				transpose_block(y, r->count, x, r->pitch, false);
			else
				transpose_block(x, r->pitch, y, r->count, what == ADD_OUT);
		}
	transpose_rest(what, plain, r, 0, rows, channels);
	transpose_rest(what, plain, r, rows, n, 0);
}

/* Between plain: n x rows x box, and rows, where the box begins at `begin` in each plane. */
static void move_boxes(const struct frame *f, enum move what, float *plain, const int64_t *box, const int64_t *begin,
                       const struct rows *r, int64_t n)
{
	int64_t at = begin[0] * f->pitch[0] + begin[1] * f->pitch[1] + begin[2];

	if (f->plane == 1) {
		transpose(what, plain, r, n);
		return;
	}
	for (int64_t i = 0; i < n; i++)
		for (int64_t c = 0; c < r->count; c++)
			for (int64_t z = 0; z < box[0]; z++)
				for (int64_t y = 0; y < box[1]; y++, plain += box[2])
					move_line(what, plain, row_of(r, c) + i * f->plane + at + z * f->pitch[0] + y * f->pitch[1], box[2]);
}

static const int64_t corner[WINDOW_AXES] = {0};

static void move_image(const struct frame *f, enum move what, float *plain, const struct rows *r, int64_t n)
{
	move_boxes(f, what, plain, f->in, f->begin, r, n);
}

static void move_maps(const struct frame *f, enum move what, float *plain, const struct rows *r, int64_t n)
{
	move_boxes(f, what, plain, f->out, corner, r, n);
}

static int64_t image_floats(const struct frame *f)
{
	return f->attr->by_channel.rows * f->in[0] * f->in[1] * f->in[2];
}

static int64_t map_floats(const struct frame *f)
{
	return f->attr->by_out.rows * f->out[0] * f->out[1] * f->out[2];
}

/* ---- the products ------------------------------------------------------------------------------------------------ */

LOOP_VERSIONS static void add_four(float *restrict y, const float *const *x, const float *w, int64_t n)
{
	const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
	float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];

	for (int64_t i = 0; i < n; i++)
		y[i] += (w0 * x0[i] + w1 * x1[i]) + (w2 * x2[i] + w3 * x3[i]);
}

static inline __attribute__((always_inline)) float total(const eight *s)
{
	const eight v = *s;

	return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}

LOOP_VERSIONS static void dot_four(const float *g, const float *const *x, int64_t n, float *sum)
{
	const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
	eight s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, v, u;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		load(g + i, &v);
		load(x0 + i, &u);
		s0 += v * u;
		load(x1 + i, &u);
		s1 += v * u;
		load(x2 + i, &u);
		s2 += v * u;
		load(x3 + i, &u);
		s3 += v * u;
	}
	sum[0] = total(&s0);
	sum[1] = total(&s1);
	sum[2] = total(&s2);
	sum[3] = total(&s3);
	for (; i < n; i++)
		for (int j = 0; j < FOUR; j++)
			sum[j] += g[i] * x[j][i];
}

/* The next entries of a list, at most four; the missing ones weigh nothing. */
static int64_t take_four(const struct frame *f, const struct sparse_side *s, int64_t from, int64_t end, const float *w,
                         const struct rows *other, int sign, const float **x, float *weight)
{
	int64_t n = end - from < FOUR ? end - from : FOUR;

	for (int64_t k = 0; k < FOUR; k++) {
		const struct sparse_entry *e = &s->entry[from + (k < n ? k : 0)];

		x[k] = row_of(other, e->other) + sign * f->shift[e->tap];
		weight[k] = k < n ? w[e->at] : 0;
	}
	return n;
}

/* to[row] += sum over the row's entries of weight times other[entry], shifted forwards or back. */
static void multiply(const struct frame *f, const struct sparse_side *s, const float *w, const struct rows *other,
                     int sign, const struct rows *to, int64_t width)
{
	const float *x[FOUR];
	float weight[FOUR];

	for (int64_t r = 0; r < s->rows; r++)
		for (int64_t k = s->first[r]; k < s->first[r + 1];) {
			k += take_four(f, s, k, s->first[r + 1], w, other, sign, x, weight);
			add_four(row_of(to, r), x, weight, width);
		}
}

static void collect_weight(const struct frame *f, const float *w, const struct rows *image, const struct rows *maps,
                           int64_t width, float *gw)
{
	const struct sparse_side *s = &f->attr->by_out;
	const float *x[FOUR];
	float weight[FOUR], sum[FOUR];

	for (int64_t r = 0; r < s->rows; r++)
		for (int64_t k = s->first[r]; k < s->first[r + 1];) {
			int64_t n = take_four(f, s, k, s->first[r + 1], w, image, 1, x, weight);

			dot_four(row_of(maps, r), x, width, sum);
			for (int64_t i = 0; i < n; i++)
				gw[s->entry[k + i].at] += sum[i];
			k += n;
		}
}

static void collect_bias(const struct frame *f, const float *gy, float *gb)
{
	int64_t size = f->out[0] * f->out[1] * f->out[2], outs = f->attr->by_out.rows;

	for (int64_t i = 0; i < f->items; i++)
		for (int64_t o = 0; o < outs; o++, gy += size) {
			double sum = 0;

			for (int64_t p = 0; p < size; p++)
				sum += gy[p];
			gb[o] += (float)sum;
		}
}

/* ---- the operator ------------------------------------------------------------------------------------------------ */

static enum tamis_status shape(struct op_call *call)
{
	const struct sparse_attr *a = call->node->attr;
	struct op_call plain = *call;
	enum tamis_status s;

	plain.node = a->plain;
	s = a->plain->op->shape(&plain);
	call->unknown = plain.unknown;
	return s;
}

static int64_t tile_items(const struct frame *f, int64_t from)
{
	return f->items - from < f->tile ? f->items - from : f->tile;
}

/* Positions of a row from which every kernel element stays within it. */
static int64_t width_of(const struct frame *f, int64_t n)
{
	return n * f->plane - f->shift_max;
}

static void start_maps(const struct rows *maps, const float *bias)
{
	for (int64_t o = 0; o < maps->count; o++)
		for (int64_t i = 0; i < maps->pitch; i++)
			row_of(maps, o)[i] = bias ? bias[o] : 0;
}

static enum tamis_status run(struct op_call *call)
{
	const struct sparse_attr *a = call->node->attr;
	const struct tensor *bias = op_in(call, 2);
	struct tensor *y = call->out[0];
	struct rows image, maps;
	struct frame f;
	enum tamis_status s;

	if (!y || y->count == 0 || (s = open_frame(call, &f)))
		return !y || y->count == 0 ? TAMIS_OK : s;
	if (!make_rows(&f, call->scratch, a->by_channel.rows, 0, &image)
	    || !make_rows(&f, call->scratch, a->by_out.rows, 0, &maps))
		return no_memory(call);
	if (f.plane > 1)
		clear_rows(&image);
	for (int64_t i = 0; i < f.items; i += f.tile) {
		int64_t n = tile_items(&f, i);

		move_image(&f, IN, (float *)call->in[0]->data + i * image_floats(&f), &image, n);
		start_maps(&maps, bias ? bias->data : NULL);
		multiply(&f, &a->by_out, call->in[1]->data, &image, 1, &maps, width_of(&f, n));
		move_maps(&f, OUT, (float *)y->data + i * map_floats(&f), &maps, n);
	}
	return TAMIS_OK;
}

struct reversing {
	const struct op_grad *grad;
	struct frame frame;
	struct rows image, maps, back;
};

static enum tamis_status make_all(struct reversing *r)
{
	const struct op_call *call = r->grad->call;
	const struct sparse_attr *a = r->frame.attr;
	bool made = make_rows(&r->frame, call->scratch, a->by_out.rows, r->frame.shift_max, &r->maps)
		&& make_rows(&r->frame, call->scratch, a->by_channel.rows, 0, &r->image)
		&& make_rows(&r->frame, call->scratch, a->by_channel.rows, 0, &r->back);

	if (!made)
		return no_memory(call);
	if (r->frame.plane > 1) {
		clear_rows(&r->maps);
		clear_rows(&r->image);
	}
	return TAMIS_OK;
}

static void reverse_tile(const struct reversing *r, int64_t from)
{
	const struct frame *f = &r->frame;
	const struct op_grad *g = r->grad;
	const float *w = g->call->in[1]->data;
	int64_t n = tile_items(f, from), at = from * image_floats(f);

	move_maps(f, IN, (float *)g->gout[0]->data + from * map_floats(f), &r->maps, n);
	if (g->gin[1]) {
		move_image(f, IN, (float *)g->call->in[0]->data + at, &r->image, n);
		collect_weight(f, w, &r->image, &r->maps, width_of(f, n), g->gin[1]->data);
	}
	if (g->gin[0]) {
		clear_rows(&r->back);
		multiply(f, &f->attr->by_channel, w, &r->maps, -1, &r->back, n * f->plane);
		move_image(f, ADD_OUT, (float *)g->gin[0]->data + at, &r->back, n);
	}
}

static enum tamis_status reverse(struct op_grad *g)
{
	struct reversing r = {.grad = g};
	enum tamis_status s;

	if (!g->gout[0] || g->gout[0]->count == 0)
		return TAMIS_OK;
	s = open_frame(g->call, &r.frame);
	if (s == TAMIS_OK)
		s = make_all(&r);
	if (s != TAMIS_OK)
		return s;
	if (op_in(g->call, 2) && g->gin[2])
		collect_bias(&r.frame, g->gout[0]->data, g->gin[2]->data);
	for (int64_t i = 0; i < r.frame.items; i += r.frame.tile)
		reverse_tile(&r, i);
	return TAMIS_OK;
}

const struct op sparse_product = {
	.name = "SparseProduct", .domain = "tamis.sparse", .since = 1, .until = OP_LATEST, .min_in = 2, .max_in = 3,
	.min_out = 1, .max_out = 1, .shape = shape, .run = run, .reverse = reverse};
