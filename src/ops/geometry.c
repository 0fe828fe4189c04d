/* SPDX-License-Identifier: Apache-2.0 */
/* AffineGrid, Col2Im and Det. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/family.h"
#include "ops/reals.h"

/* ---- AffineGrid: the positions of an image's pixels under an affine map ---- */

static enum tamis_status grid_parse(struct op_parse *p, void **attr)
{
	bool *corners = *attr = args_alloc(p, sizeof *corners);

	return corners ? attr_bool(p, "align_corners", false, corners) : TAMIS_E_MEMORY;
}

static enum tamis_status grid_shape(struct op_call *c)
{
	const struct tensor *theta = c->in[0];
	int64_t size[5], dims[5];
	int n = 0, space;
	enum tamis_status s;

	if (!dtype_is_float((int)theta->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "AffineGrid of %s is not supported",
		               dtype_name((int)theta->type));
	if (!op_needs(c, 1))
		return TAMIS_OK;
	s = args_ints(c, 1, "the size of AffineGrid", 5, size, &n);
	if (s)
		return s;
	space = n - 2;
	if (n < 4 || theta->rank != 3 || theta->dims[0] != size[0] || theta->dims[1] != space ||
	    theta->dims[2] != space + 1)
		return tm_fail(c->err, TAMIS_E_INVALID, "an image of %d axes needs a map [batch, %d, %d]", n, space,
		               space + 1);
	dims[0] = size[0];
	for (int i = 0; i < space; i++)
		dims[1 + i] = size[2 + i];
	dims[space + 1] = space;
	return op_set_out(c, 0, theta->type, n, dims);
}

/* Homogeneous coordinates of pixel i, innermost axis first and 1 at the end. */
static void pixel(const struct tensor *grid, bool corners, int64_t i, double *at)
{
	int space = grid->rank - 2;

	for (int axis = 0; axis < space; axis++) {
		int64_t d = grid->dims[space - axis], k = i % d;

		if (corners)
			at[axis] = d > 1 ? -1 + 2 * (double)k / (double)(d - 1) : -1;
		else
			at[axis] = -1 + (2 * (double)k + 1) / (double)d;
		i /= d;
	}
	at[space] = 1;
}

static enum tamis_status grid_run(struct op_call *c)
{
	struct tensor *y = c->out[0];
	int space = y ? y->rank - 2 : 1;

	for (int64_t i = 0; y && i < y->count / space; i++) {
		int64_t pixels = tensor_extent(y, 1, y->rank - 1);
		double at[4];

		pixel(y, *(const bool *)c->node->attr, i % pixels, at);
		for (int row = 0; row < space; row++) {
			double sum = 0;

			for (int k = 0; k <= space; k++)
				sum += real_get(c->in[0], (i / pixels * space + row) * (space + 1) + k) * at[k];
			real_set(y, i * space + row, sum);
		}
	}
	return TAMIS_OK;
}

static enum tamis_status grid_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0];
	int space = gy ? gy->rank - 2 : 1;

	for (int64_t i = 0; gy && g->gin[0] && i < gy->count / space; i++) {
		int64_t pixels = tensor_extent(gy, 1, gy->rank - 1);
		double at[4];

		pixel(gy, *(const bool *)g->call->node->attr, i % pixels, at);
		for (int k = 0; k < space * (space + 1); k++)
			real_add(g->gin[0], i / pixels * space * (space + 1) + k,
			         real_get(gy, i * space + k / (space + 1)) * at[k % (space + 1)]);
	}
	return TAMIS_OK;
}

/* ---- Col2Im: blocks summed into the image they were cut from ---- */

struct blocks_attr { const int64_t *dilations, *pads, *strides; int n_dilations, n_pads, n_strides; };

static enum tamis_status blocks_parse(struct op_parse *p, void **attr)
{
	struct blocks_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	s = attr_ints(p, "dilations", &a->dilations, &a->n_dilations);
	if (!s)
		s = attr_ints(p, "pads", &a->pads, &a->n_pads);
	return s ? s : attr_ints(p, "strides", &a->strides, &a->n_strides);
}

#define MOST_SPACE 8

struct blocks {
	int space;
	int64_t batch, channels, block, positions, pixels; /* elements a block, blocks, elements an image */
	int64_t image[MOST_SPACE], size[MOST_SPACE], steps[MOST_SPACE], dilation[MOST_SPACE], stride[MOST_SPACE],
		pad[MOST_SPACE];
};

/* Blocks along an axis; false where there are none or the numbers make no sense. */
static bool find_axis(const struct blocks_attr *a, struct blocks *b, int i)
{
	int64_t reach, span, end = a->n_pads < 0 ? 0 : a->pads[b->space + i];
	const int64_t most = INT32_MAX;

	b->dilation[i] = a->n_dilations < 0 ? 1 : a->dilations[i];
	b->stride[i] = a->n_strides < 0 ? 1 : a->strides[i];
	b->pad[i] = a->n_pads < 0 ? 0 : a->pads[i];
	if (b->image[i] < 1 || b->size[i] < 1 || b->dilation[i] < 1 || b->stride[i] < 1 || b->pad[i] < 0 ||
	    end < 0 ||
	    b->image[i] > most || b->size[i] > most || b->dilation[i] > most || b->pad[i] > most || end > most)
		return false;
	reach = b->dilation[i] * (b->size[i] - 1) + 1;
	span = b->image[i] + b->pad[i] + end;
	b->steps[i] = span < reach ? 0 : (span - reach) / b->stride[i] + 1;
	return b->steps[i] > 0;
}

static enum tamis_status find_blocks(const struct op_call *c, struct blocks *b)
{
	const struct blocks_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int n = 0;
	enum tamis_status s = args_ints(c, 1, "the shape of the image", MOST_SPACE, b->image, &b->space);
	bool fits;

	if (!s)
		s = args_ints(c, 2, "the shape of a block", MOST_SPACE, b->size, &n);
	if (s)
		return s;
	fits = n == b->space && n > 0 && x->rank == 3 && (a->n_dilations < 0 || a->n_dilations == n) &&
	       (a->n_strides < 0 || a->n_strides == n) && (a->n_pads < 0 || a->n_pads == 2 * n);
	for (int i = 0; fits && i < n; i++)
		fits = find_axis(a, b, i);
	fits = fits && tm_product(b->size, n, &b->block) && tm_product(b->steps, n, &b->positions) &&
	       tm_product(b->image, n, &b->pixels) && x->dims[1] % b->block == 0 && x->dims[2] == b->positions;
	if (!fits)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "the blocks of Col2Im, their number and the image do not fit together");
	b->batch = x->dims[0];
	b->channels = x->dims[1] / b->block;
	return TAMIS_OK;
}

static enum tamis_status blocks_shape(struct op_call *c)
{
	struct blocks b;
	int64_t dims[MOST_SPACE + 2];
	enum tamis_status s;

	if (!dtype_is_float((int)c->in[0]->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "Col2Im of %s is not supported",
		               dtype_name((int)c->in[0]->type));
	if (!op_needs(c, 1) || !op_needs(c, 2))
		return TAMIS_OK;
	s = find_blocks(c, &b);
	if (s)
		return s;
	dims[0] = b.batch;
	dims[1] = b.channels;
	memcpy(dims + 2, b.image, (size_t)b.space * sizeof *dims);
	return op_set_out(c, 0, c->in[0]->type, b.space + 2, dims);
}

/* Pixel that element k of the block at a position is; -1 in the padding. */
static int64_t pixel_of(const struct blocks *b, int64_t position, int64_t k)
{
	int64_t at = 0, scale = 1;

	for (int i = b->space - 1; i >= 0; i--) {
		int64_t x = position % b->steps[i] * b->stride[i] + k % b->size[i] * b->dilation[i] - b->pad[i];

		if (x < 0 || x >= b->image[i])
			return -1;
		at += x * scale;
		scale *= b->image[i];
		position /= b->steps[i];
		k /= b->size[i];
	}
	return at;
}

/* Sums columns into images, or back: column element j and the image element it belongs to. */
static void walk_blocks(const struct blocks *b, const struct tensor *from, struct tensor *to, bool back)
{
	for (int64_t row = 0; row < b->batch * b->channels * b->block; row++)
		for (int64_t position = 0; position < b->positions; position++) {
			int64_t at = pixel_of(b, position, row % b->block), column = row * b->positions + position;
			int64_t image = row / b->block * b->pixels + at;

			if (at >= 0)
				real_add(to, back ? column : image, real_get(from, back ? image : column));
		}
}

static enum tamis_status blocks_run(struct op_call *c)
{
	struct blocks b;
	enum tamis_status s = find_blocks(c, &b);

	if (s || !c->out[0])
		return s;
	memset(c->out[0]->data, 0, tensor_bytes(c->out[0]));
	walk_blocks(&b, c->in[0], c->out[0], false);
	return TAMIS_OK;
}

static enum tamis_status blocks_reverse(struct op_grad *g)
{
	struct blocks b;
	enum tamis_status s = find_blocks(g->call, &b);

	if (!s && g->gout[0] && g->gin[0])
		walk_blocks(&b, g->gout[0], g->gin[0], true);
	return s;
}

/* ---- Det ---- */

static enum tamis_status det_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];

	if (!dtype_is_float((int)x->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "Det of %s is not supported", dtype_name((int)x->type));
	if (x->rank < 2 || x->dims[x->rank - 1] != x->dims[x->rank - 2])
		return tm_fail(c->err, TAMIS_E_INVALID, "Det needs square matrices in the last two axes");
	return op_set_out(c, 0, x->type, x->rank - 2, x->dims);
}

/* By elimination with partial pivoting, which uses up a. O(n^3). */
static double determinant(double *a, int64_t n)
{
	double det = 1;

	for (int64_t k = 0; k < n; k++) {
		int64_t pivot = k;

		for (int64_t i = k + 1; i < n; i++)
			if (fabs(a[i * n + k]) > fabs(a[pivot * n + k]))
				pivot = i;
		if (a[pivot * n + k] == 0)
			return 0;
		for (int64_t j = k; pivot != k && j < n; j++) {
			double t = a[k * n + j];

			a[k * n + j] = a[pivot * n + j];
			a[pivot * n + j] = t;
		}
		det *= pivot == k ? a[k * n + k] : -a[k * n + k];
		for (int64_t i = k + 1; i < n; i++) {
			double factor = a[i * n + k] / a[k * n + k];

			for (int64_t j = k; j < n; j++)
				a[i * n + j] -= factor * a[k * n + j];
		}
	}
	return det;
}

static enum tamis_status det_run(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t n = x->dims[x->rank - 1];
	double *a = scratch_alloc(c->scratch, (size_t)(n * n), sizeof *a);

	if (!a)
		return tm_no_memory(c->err, "computing determinants");
	for (int64_t m = 0; c->out[0] && m < c->out[0]->count; m++) {
		for (int64_t k = 0; k < n * n; k++)
			a[k] = real_get(x, m * n * n + k);
		real_set(c->out[0], m, determinant(a, n));
	}
	return TAMIS_OK;
}

/* The gradient is the matrix of cofactors, which exists for singular matrices too. O(n^5) a matrix:
 * determinants in
 * networks are of a few rows. */
static enum tamis_status det_reverse(struct op_grad *g)
{
	const struct tensor *x = g->call->in[0];
	int64_t n = x->dims[x->rank - 1];
	double *a = scratch_alloc(g->call->scratch, (size_t)(n * n), sizeof *a);

	if (!a)
		return tm_no_memory(g->call->err, "reversing determinants");
	for (int64_t at = 0; g->gout[0] && g->gin[0] && at < x->count; at++) {
		int64_t row = at / n % n, col = at % n, matrix = at / (n * n), k = 0;

		for (int64_t i = 0; i < n * n; i++)
			if (i / n != row && i % n != col)
				a[k++] = real_get(x, matrix * n * n + i);
		real_add(g->gin[0], at, real_get(g->gout[0], matrix) * determinant(a, n - 1) * ((row + col) % 2 ?
		                                                                                -1 : 1));
	}
	return TAMIS_OK;
}

const struct op ops_geometry[] = {
	{.name = "AffineGrid", .domain = "", .since = 20, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out =
	 1,
	 .max_out = 1, .parse = grid_parse, .shape = grid_shape, .run = grid_run, .reverse = grid_reverse},
	{.name = "Col2Im", .domain = "", .since = 18, .until = OP_LATEST, .min_in = 3, .max_in = 3, .min_out = 1,
	 .max_out = 1, .parse = blocks_parse, .shape = blocks_shape, .run = blocks_run, .reverse =
	 blocks_reverse},
	{.name = "Det", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 1, .shape = det_shape, .run = det_run, .reverse = det_reverse},
	{0},
};
