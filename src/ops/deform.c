/* SPDX-License-Identifier: Apache-2.0 */
/* DeformConv: a convolution whose kernel elements are read at shifted positions, between pixels if need be, and
 * weighted by a mask. Dai et al., Deformable Convolutional Networks, 2017; Zhu et al., Deformable ConvNets v2, 2019. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/blas.h"
#include "ops/family.h"
#include "ops/reals.h"
#include "ops/window.h"

enum { X, WEIGHT, OFFSET, BIAS, MASK, INPUTS };
#define CORNERS 8 /* of a cell in three axes of space */

struct deform_attr {
	struct window_attr window;
	int64_t group, offset_group;
};

static enum tamis_status deform_parse(struct op_parse *p, void **attr)
{
	struct deform_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	if ((s = window_parse(p, &a->window)) || (s = attr_int(p, "group", 1, &a->group)) ||
	    (s = attr_int(p, "offset_group", 1, &a->offset_group)))
		return s;
	if (a->group < 1 || a->offset_group < 1)
		return tm_fail(p->err, TAMIS_E_INVALID, "group is %lld and offset_group %lld; at least 1 is expected",
		               (long long)a->group, (long long)a->offset_group);
	return TAMIS_OK;
}

/* ---- Sizes ---- */

/* channels and maps: input and output channels of one group; taps: kernel elements of all its channels. */
struct deform {
	const struct op_call *c;
	struct window w;
	int64_t groups, channels, maps, taps, shifted; /* shifted: channels that share one offset */
	enum dtype type;
};

/* A list of shape [items, channels, output space], as offsets and masks are. */
static bool beside_output(const struct deform *d, const struct tensor *t, int64_t channels)
{
	bool fits = t->rank == d->w.rank + 2 && t->dims[0] == d->c->in[X]->dims[0] && t->dims[1] == channels;

	for (int i = 0; fits && i < d->w.rank; i++)
		fits = t->dims[2 + i] == d->w.out[WINDOW_AXES - d->w.rank + i];
	return fits;
}

static enum tamis_status check_shifts(const struct deform *d)
{
	const struct deform_attr *a = d->c->node->attr;
	const struct tensor *mask = op_in(d->c, MASK), *bias = op_in(d->c, BIAS);
	int64_t shifts, moves;

	if (!tm_mul(a->offset_group, d->w.kernel_size, &shifts) || !tm_mul(shifts, (int64_t)d->w.rank, &moves))
		return tm_fail(d->c->err, TAMIS_E_INVALID, "%lld offset groups of %lld kernel elements overflow",
		               (long long)a->offset_group, (long long)d->w.kernel_size);
	if (!beside_output(d, d->c->in[OFFSET], moves))
		return tm_fail(d->c->err, TAMIS_E_INVALID, "the offsets do not have the items, %lld channels and space of the output",
		               (long long)moves);
	if (mask && !beside_output(d, mask, shifts))
		return tm_fail(d->c->err, TAMIS_E_INVALID, "the mask does not have the items, %lld channels and space of the output",
		               (long long)shifts);
	if (bias && (bias->rank != 1 || bias->dims[0] != d->groups * d->maps))
		return tm_fail(d->c->err, TAMIS_E_INVALID, "the bias does not have one element a channel, %lld",
		               (long long)(d->groups * d->maps));
	return TAMIS_OK;
}

static enum tamis_status resolve(const struct op_call *c, struct deform *d)
{
	const struct deform_attr *a = c->node->attr;
	const struct tensor *x = c->in[X], *w = c->in[WEIGHT];
	enum tamis_status s;

	if (x->rank < 3 || w->rank != x->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "the input has rank %d and the weight %d; the same of at least 3 is expected",
		               x->rank, w->rank);
	if (x->dims[1] % a->group || w->dims[1] != x->dims[1] / a->group || w->dims[0] % a->group ||
	    x->dims[1] % a->offset_group)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "%lld groups and %lld offset groups of %lld channels do not fit a weight of [%lld, %lld, ...]",
		               (long long)a->group, (long long)a->offset_group, (long long)x->dims[1],
		               (long long)w->dims[0], (long long)w->dims[1]);
	s = window_resolve(&a->window, x, w->dims + 2, &d->w, c->err);
	if (s != TAMIS_OK)
		return s;
	d->c = c;
	d->type = x->type;
	d->groups = a->group;
	d->channels = w->dims[1];
	d->maps = w->dims[0] / a->group;
	d->shifted = x->dims[1] / a->offset_group;
	if (!tm_mul(d->channels, d->w.kernel_size, &d->taps) || !blas_fits(d->taps) || !blas_fits(d->w.out_size))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "an image or a kernel exceeds %d elements", INT32_MAX);
	return check_shifts(d);
}

static enum tamis_status deform_shape(struct op_call *c)
{
	int64_t dims[TENSOR_MAX_RANK];
	struct deform d;
	enum tamis_status s;

	for (int i = 0; i < INPUTS; i++)
		if (op_in(c, i) && (!dtype_is_float((int)op_in(c, i)->type) || op_in(c, i)->type != c->in[X]->type))
			return tm_fail(c->err, TAMIS_E_INVALID, "DeformConv takes floats of one type; input %d is %s, input 0 %s", i,
			               dtype_name((int)op_in(c, i)->type), dtype_name((int)c->in[X]->type));
	s = resolve(c, &d);
	if (s != TAMIS_OK)
		return s;
	dims[0] = c->in[X]->dims[0];
	dims[1] = c->in[WEIGHT]->dims[0];
	for (int i = 0; i < d.w.rank; i++)
		dims[2 + i] = d.w.out[WINDOW_AXES - d.w.rank + i];
	return op_set_out(c, 0, d.type, d.w.rank + 2, dims);
}

/* ---- One reading: kernel element k at output position o, for channels of one offset group ---- */

/* Corners of the cell around the position: offsets within a channel, weights, and the derivative of each weight by the
 * coordinate of each axis. Corners outside of the image read zero and are left out. */
struct cell {
	int n;
	int64_t at[CORNERS];
	double weight[CORNERS], slope[WINDOW_AXES][CORNERS];
	int64_t offset[WINDOW_AXES]; /* element of the offset input that moves an axis */
	int64_t mask;                /* element of the mask */
};

/* Corner b: bit i of b says which side on axis i. */
static void add_corner(const struct window *w, const double *position, int b, struct cell *s)
{
	double part[WINDOW_AXES], sign[WINDOW_AXES], weight = 1;
	int64_t at = 0;

	for (int i = 0; i < WINDOW_AXES; i++) {
		double low = floor(position[i]), pixel = low + (b >> i & 1), beyond = position[i] - low;

		if (!(pixel >= 0 && pixel < (double)w->in[i]))
			return;
		at = at * w->in[i] + (int64_t)pixel;
		part[i] = b >> i & 1 ? beyond : 1 - beyond;
		sign[i] = b >> i & 1 ? 1 : -1;
		weight *= part[i];
	}
	s->at[s->n] = at;
	s->weight[s->n] = weight;
	for (int i = 0; i < WINDOW_AXES; i++)
		s->slope[i][s->n] = sign[i] * part[(i + 1) % WINDOW_AXES] * part[(i + 2) % WINDOW_AXES];
	s->n++;
}

/* Coordinate i of a row-major index over three extents. */
static int64_t coordinate(const int64_t *extent, int64_t index, int i)
{
	for (int k = WINDOW_AXES - 1; k > i; k--)
		index /= extent[k];
	return index % extent[i];
}

static void find_cell(const struct deform *d, int64_t item, int64_t channel, int64_t k, int64_t o, struct cell *s)
{
	const struct window *w = &d->w;
	const struct deform_attr *a = d->c->node->attr;
	int64_t shift = (item * a->offset_group + channel / d->shifted) * w->kernel_size + k;
	int first = WINDOW_AXES - w->rank;
	double position[WINDOW_AXES];

	s->n = 0;
	s->mask = shift * w->out_size + o;
	for (int i = 0; i < WINDOW_AXES; i++) {
		int64_t whole = coordinate(w->out, o, i) * w->stride[i] - w->begin[i] +
			coordinate(w->kernel, k, i) * w->dilation[i];

		s->offset[i] = (shift * w->rank + (i - first)) * w->out_size + o;
		position[i] = (double)whole + (i < first ? 0 : real_get(d->c->in[OFFSET], s->offset[i]));
	}
	for (int b = 0; b < CORNERS; b++)
		add_corner(w, position, b, s);
}

static double read_cell(const struct tensor *x, int64_t base, const struct cell *s, const double *weight)
{
	double sum = 0;

	for (int i = 0; i < s->n; i++)
		sum += weight[i] * real_get(x, base + s->at[i]);
	return sum;
}

/* ---- All readings of one item and group: a matrix of taps x output positions ---- */

typedef void reading_fn(const struct deform *d, int64_t base, const struct cell *s, struct tensor *columns, int64_t at,
                        void *ctx);

/* Channels of one offset group read the same cells, so each cell is found once for all of them. */
static void each_reading(const struct deform *d, int64_t item, int64_t group, struct tensor *columns, reading_fn *fn,
                         void *ctx)
{
	int64_t first = group * d->channels, of_item = item * d->c->in[X]->dims[1];
	struct cell s;

	for (int64_t k = 0; k < d->w.kernel_size; k++)
		for (int64_t o = 0; o < d->w.out_size; o++)
			for (int64_t c = first; c < first + d->channels; c++) {
				if (c == first || c % d->shifted == 0)
					find_cell(d, item, c, k, o, &s);
				fn(d, (of_item + c) * d->w.in_size, &s, columns,
				   ((c - first) * d->w.kernel_size + k) * d->w.out_size + o, ctx);
			}
}

static void read_column(const struct deform *d, int64_t base, const struct cell *s, struct tensor *columns, int64_t at,
                        void *ctx)
{
	const struct tensor *mask = op_in(d->c, MASK);

	(void)ctx;
	real_set(columns, at, (mask ? real_get(mask, s->mask) : 1) * read_cell(d->c->in[X], base, s, s->weight));
}

/* The gradient of one reading, to the pixels it read, to where it read, and to its weight. */
static void give_column(const struct deform *d, int64_t base, const struct cell *s, struct tensor *columns, int64_t at,
                        void *ctx)
{
	const struct op_grad *g = ctx;
	const struct tensor *mask = op_in(d->c, MASK), *x = d->c->in[X];
	double gradient = real_get(columns, at), scaled = gradient * (mask ? real_get(mask, s->mask) : 1);

	for (int i = 0; g->gin[X] && i < s->n; i++)
		real_add(g->gin[X], base + s->at[i], scaled * s->weight[i]);
	for (int i = WINDOW_AXES - d->w.rank; g->gin[OFFSET] && i < WINDOW_AXES; i++)
		real_add(g->gin[OFFSET], s->offset[i], scaled * read_cell(x, base, s, s->slope[i]));
	if (mask && g->gin[MASK])
		real_add(g->gin[MASK], s->mask, gradient * read_cell(x, base, s, s->weight));
}

static enum tamis_status make_columns(const struct deform *d, struct tensor *columns)
{
	enum tamis_status s = tensor_shape(columns, d->type, 2, (const int64_t[]){d->taps, d->w.out_size}, d->c->err);

	if (s != TAMIS_OK)
		return s;
	columns->data = scratch_alloc(d->c->scratch, tensor_bytes(columns), 1);
	return columns->data ? TAMIS_OK : tm_no_memory(d->c->err, "reading the columns of a convolution");
}

/* ---- The products ---- */

/* Row-major matrices of one item and group within the weight and the output. */
static void *weight_of(const struct deform *d, const struct tensor *w, int64_t group)
{
	return blas_at(d->type, w->data, group * d->maps * d->taps);
}

static void *output_of(const struct deform *d, const struct tensor *y, int64_t item, int64_t group)
{
	return blas_at(d->type, y->data, (item * d->groups + group) * d->maps * d->w.out_size);
}

static enum tamis_status deform_run(struct op_call *c)
{
	const struct tensor *bias = op_in(c, BIAS);
	struct tensor *y = c->out[0], columns = {0};
	struct deform d;
	enum tamis_status s = resolve(c, &d);

	if (s == TAMIS_OK)
		s = make_columns(&d, &columns);
	if (s != TAMIS_OK || y->count == 0)
		return s;
	blas_fill_rows(d.type, y->dims[0] * y->dims[1], d.w.out_size, bias ? bias->data : NULL, y->dims[1], y->data);
	for (int64_t item = 0; item < y->dims[0]; item++)
		for (int64_t group = 0; group < d.groups; group++) {
			each_reading(&d, item, group, &columns, read_column, NULL);
			blas_gemm(d.type, false, false, d.maps, d.w.out_size, d.taps, 1, weight_of(&d, c->in[WEIGHT], group),
			          d.taps, columns.data, d.w.out_size, 1, output_of(&d, y, item, group), d.w.out_size);
		}
	return TAMIS_OK;
}

static void reverse_group(struct op_grad *g, const struct deform *d, struct tensor *columns, int64_t item, int64_t group)
{
	const struct op_call *c = g->call;
	const void *gy = output_of(d, g->gout[0], item, group);

	if (g->gin[WEIGHT]) {
		each_reading(d, item, group, columns, read_column, NULL);
		blas_gemm(d->type, false, true, d->maps, d->taps, d->w.out_size, 1, gy, d->w.out_size, columns->data,
		          d->w.out_size, 1, weight_of(d, g->gin[WEIGHT], group), d->taps);
	}
	if (!g->gin[X] && !g->gin[OFFSET] && !(op_in(c, MASK) && g->gin[MASK]))
		return;
	blas_gemm(d->type, true, false, d->taps, d->w.out_size, d->maps, 1, weight_of(d, c->in[WEIGHT], group), d->taps, gy,
	          d->w.out_size, 0, columns->data, d->w.out_size);
	each_reading(d, item, group, columns, give_column, g);
}

static enum tamis_status deform_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0];
	struct tensor columns = {0};
	struct deform d;
	enum tamis_status s = resolve(g->call, &d);

	if (s == TAMIS_OK)
		s = make_columns(&d, &columns);
	if (s != TAMIS_OK || !gy || gy->count == 0)
		return s;
	for (int64_t item = 0; item < gy->dims[0]; item++) {
		int64_t at = item * gy->dims[1] * d.w.out_size;

		if (op_in(g->call, BIAS) && g->gin[BIAS])
			blas_row_sums(d.type, gy->dims[1], d.w.out_size, blas_at(d.type, gy->data, at), d.w.out_size, 1,
			              g->gin[BIAS]->data);
		for (int64_t group = 0; group < d.groups; group++)
			reverse_group(g, &d, &columns, item, group);
	}
	return TAMIS_OK;
}

const struct op ops_deform[] = {
	{.name = "DeformConv", .domain = "", .since = 19, .until = OP_LATEST, .min_in = 3, .max_in = INPUTS, .min_out = 1,
	 .max_out = 1, .parse = deform_parse, .shape = deform_shape, .run = deform_run, .reverse = deform_reverse},
	{0},
};
