/* SPDX-License-Identifier: Apache-2.0 */
/* Pad in every mode. Negative pads crop first; the mode then continues what is left. */
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/blocks.h"
#include "ops/family.h"
#include "ops/strided.h"

enum mode { MODE_CONSTANT, MODE_REFLECT, MODE_EDGE, MODE_WRAP };

/* Up to opset 10 pads (opset 1: paddings) and value are attributes; then inputs. */
struct pad_attr { int mode; const int64_t *pads; int n; float value; };

/* Pads of every axis of the input. */
struct pads { int64_t before[TENSOR_MAX_RANK], after[TENSOR_MAX_RANK]; };

static enum tamis_status pad_parse(struct op_parse *p, void **attr)
{
	static const char *const modes[] = {"constant", "reflect", "edge", "wrap", NULL};
	const char *name = p->node->opset == 1 ? "paddings" : "pads";
	struct pad_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	a->n = -1;
	status = attr_choice(p, "mode", modes, MODE_CONSTANT, &a->mode);
	if (status || p->node->opset >= 11)
		return status;
	status = attr_required(p, name);
	if (!status)
		status = attr_ints(p, name, &a->pads, &a->n);
	return status ? status : attr_float(p, "value", 0, &a->value);
}

/* Pads as the input of this version lists them: first all beginnings, then all ends, of the listed axes. */
static enum tamis_status pads_of_inputs(const struct op_call *c, struct pads *pads)
{
	int64_t list[2 * TENSOR_MAX_RANK], axes[TENSOR_MAX_RANK];
	int n = 0, n_axes = c->in[0]->rank;
	enum tamis_status status = args_ints(c, 1, "pads", 2 * TENSOR_MAX_RANK, list, &n);

	for (int i = 0; i < n_axes; i++)
		axes[i] = i;
	if (!status && op_in(c, 3))
		status = args_ints(c, 3, "axes", TENSOR_MAX_RANK, axes, &n_axes);
	if (!status)
		status = args_axes(c->err, axes, n_axes, c->in[0]->rank);
	if (!status && n != 2 * n_axes)
		status = tm_fail(c->err, TAMIS_E_INVALID, "pads has %d elements for %d axes; two an axis are needed",
		                 n, n_axes);
	for (int i = 0; !status && i < n_axes; i++) {
		pads->before[axes[i]] = list[i];
		pads->after[axes[i]] = list[n_axes + i];
	}
	return status;
}

static enum tamis_status pads_of(const struct op_call *c, struct pads *pads)
{
	const struct pad_attr *a = c->node->attr;
	int rank = c->in[0]->rank;

	memset(pads, 0, sizeof *pads);
	if (a->n < 0)
		return pads_of_inputs(c, pads);
	if (a->n != 2 * rank)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "pads has %d elements for a tensor of rank %d; two an axis are needed", a->n, rank);
	for (int i = 0; i < rank; i++) {
		pads->before[i] = a->pads[i];
		pads->after[i] = a->pads[rank + i];
	}
	return TAMIS_OK;
}

/* Elements [*low, *high) of an axis of length d are what cropping leaves. */
static void kept(int64_t d, int64_t before, int64_t after, int64_t *low, int64_t *high)
{
	*low = before < 0 ? (-before > d ? d : -before) : 0;
	*high = after < 0 ? (-after > d - *low ? *low : d + after) : d;
}

/* Length of an axis after padding; only a constant can pad an axis of which nothing is left. */
static enum tamis_status padded(const struct op_call *c, int axis, int64_t before, int64_t after,
                                int64_t *length)
{
	const struct pad_attr *a = c->node->attr;
	int64_t d = c->in[0]->dims[axis], low, high;

	if (before < -INT64_MAX || after < -INT64_MAX || !tm_add(d, before, length) ||
	    !tm_add(*length, after, length) || *length < 0)
		return tm_fail(c->err, TAMIS_E_INVALID, "axis %d of length %lld cannot be padded by %lld and %lld",
		               axis, (long long)d, (long long)before, (long long)after);
	kept(d, before, after, &low, &high);
	if (a->mode != MODE_CONSTANT && *length > 0 && low >= high)
		return tm_fail(c->err, TAMIS_E_INVALID, "axis %d has no elements that its padding could repeat",
		               axis);
	return TAMIS_OK;
}

static enum tamis_status pad_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0], *value = op_in(c, 2);
	int64_t dims[TENSOR_MAX_RANK];
	struct pads pads;
	enum tamis_status status = args_movable(c, 0);

	if (!status && value && (value->type != x->type || value->count != 1))
		status = tm_fail(c->err, TAMIS_E_INVALID, "the padding value must be one %s, as the data",
		                 dtype_name((int)x->type));
	if (status || (op_in(c, 1) && !op_needs(c, 1)) || (op_in(c, 3) && !op_needs(c, 3)))
		return status;
	status = pads_of(c, &pads);
	for (int i = 0; !status && i < x->rank; i++)
		status = padded(c, i, pads.before[i], pads.after[i], &dims[i]);
	return status ? status : op_set_out(c, 0, x->type, x->rank, dims);
}

/* ---- Constant: the output is filled, and what is left of the input copied into it ---- */

/* Walk of the kept elements from input to output, and where it begins on both sides. */
static void inside(const struct tensor *x, const struct tensor *y, const struct pads *pads, struct strided *s,
                   int64_t *from, int64_t *to)
{
	int64_t sx[TENSOR_MAX_RANK], sy[TENSOR_MAX_RANK];

	args_strides(x->rank, x->dims, sx);
	args_strides(y->rank, y->dims, sy);
	s->rank = 0;
	*from = *to = 0;
	for (int i = 0; i < x->rank; i++) {
		int64_t low, high, end, shift = pads->before[i];

		kept(x->dims[i], shift, pads->after[i], &low, &high);
		end = y->dims[i] - shift; /* one past the last input element that has a place */
		high = end < high ? end : high;
		strided_axis(s, high > low ? high - low : 0, sx[i], sy[i]);
		if (high > low) {
			*from += low * sx[i];
			*to += (low + shift) * sy[i];
		}
	}
}

static void pad_constant(const struct op_call *c, const struct pads *pads)
{
	const struct pad_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *value = op_in(c, 2);
	struct tensor *y = c->out[0];
	size_t size = args_element(x->type);
	uint64_t word[2] = {0};
	struct tensor fill = {.type = x->type, .count = 1, .data = word};
	struct strided s;
	int64_t from, to;

	if (value)
		memcpy(word, value->data, size);
	else if (a->value != 0)
		tensor_set(&fill, 0, (double)a->value);
	strided_fill(y->data, y->count, size, word);
	inside(x, y, pads, &s, &from, &to);
	strided_copy(&s, size, (const char *)x->data + from * (int64_t)size,
	             (char *)y->data + to * (int64_t)size);
}

/* The constant's gradient is what falls outside: the sum of all less the sum inside. */
static void constant_back(const struct op_grad *g, const struct pads *pads)
{
	const struct op_call *c = g->call;
	const struct tensor *gy = g->gout[0];
	struct tensor *gx = g->gin[0], *gvalue = c->n_in > 2 ? g->gin[2] : NULL;
	int64_t from, to, size = (int64_t)args_element(gy->type);
	struct strided s;

	inside(c->in[0], gy, pads, &s, &from, &to);
	strided_swap(&s);
	if (gx)
		strided_add(&s, gy->type, (char *)gy->data + to * size, (char *)gx->data + from * size);
	if (gvalue) {
		double within = 0, all = 0;

		memset(s.to, 0, sizeof s.to);
		if (gy->type == DT_FLOAT) {
			float sum = 0;

			strided_add(&s, DT_FLOAT, (float *)gy->data + to, &sum);
			within = (double)sum;
		} else {
			strided_add(&s, DT_DOUBLE, (double *)gy->data + to, &within);
		}
		for (int64_t i = 0; i < gy->count; i++)
			all += tensor_get(gy, i);
		tensor_set(gvalue, 0, tensor_get(gvalue, 0) + all - within);
	}
}

/* ---- The other modes: every output index of an axis comes from one input index ---- */

/* Index i, which may lie outside [0, n), n > 0, as the mode continues the axis. */
static int64_t continued(enum mode mode, int64_t i, int64_t n)
{
	int64_t period = mode == MODE_WRAP ? n : 2 * (n - 1);

	if (mode == MODE_EDGE)
		return i < 0 ? 0 : i >= n ? n - 1 : i;
	if (n == 1)
		return 0;
	i %= period;
	if (i < 0)
		i += period;
	return i < n ? i : period - i;
}

/* Blocks of the padded axes first .. last: leading axes without pads are looped over, trailing ones are
 * one block. */
struct middle { int first, last; int64_t outer, from_step, to_step; };

static struct middle middle_of(const struct tensor *x, const struct tensor *y, const struct pads *pads)
{
	struct middle m = {x->rank, -1, 1, 0, 0};

	for (int i = 0; i < x->rank; i++)
		if (pads->before[i] || pads->after[i]) {
			m.first = i < m.first ? i : m.first;
			m.last = i;
		}
	m.outer = tensor_extent(x, 0, m.first);
	m.from_step = tensor_extent(x, m.first, x->rank);
	m.to_step = tensor_extent(y, m.first, y->rank);
	return m;
}

/* Where each block of one leading index comes from: an odometer over the padded axes of the output. */
static enum tamis_status continued_blocks(struct op_call *c, const struct tensor *y, const struct pads *pads,
                                          const struct middle *m, struct blocks *b)
{
	const struct pad_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int64_t inner = tensor_extent(x, m->last + 1, x->rank), step = inner, run = 1;
	enum tamis_status status = blocks_make(c, b, m->to_step / inner, inner);

	if (status)
		return status;
	b->offset[0] = 0;
	for (int axis = m->last; axis >= m->first; axis--) {
		int64_t low, high, n = y->dims[axis];

		kept(x->dims[axis], pads->before[axis], pads->after[axis], &low, &high);
		for (int64_t o = n - 1; o >= 0; o--) { /* downwards: the pattern of the inner axes stands at o = 0 */
			int64_t i = o - (pads->before[axis] > 0 ? pads->before[axis] : 0);
			int64_t base = (low + continued((enum mode)a->mode, i, high - low)) * step;

			for (int64_t k = 0; k < run; k++)
				b->offset[o * run + k] = b->offset[k] + base;
		}
		run *= n;
		step *= x->dims[axis];
	}
	return TAMIS_OK;
}

static enum tamis_status pad_continued(struct op_call *c, const struct pads *pads)
{
	const struct tensor *x = c->in[0];
	struct tensor *y = c->out[0];
	struct middle m = middle_of(x, y, pads);
	size_t size = args_element(x->type);
	struct blocks b;
	enum tamis_status status;

	if (m.last < 0) {
		memcpy(y->data, x->data, tensor_bytes(y));
		return TAMIS_OK;
	}
	status = continued_blocks(c, y, pads, &m, &b);
	for (int64_t o = 0; !status && o < m.outer; o++)
		blocks_gather(&b, size, (const char *)x->data + o * m.from_step * (int64_t)size,
		              (char *)y->data + o * m.to_step * (int64_t)size);
	return status;
}

static enum tamis_status continued_back(struct op_grad *g, const struct pads *pads)
{
	const struct tensor *gy = g->gout[0];
	struct tensor *gx = g->gin[0];
	struct middle m = middle_of(gx, gy, pads);
	int64_t size = (int64_t)args_element(gy->type);
	struct blocks b = {1, gy->count, (int64_t[]){0}};
	enum tamis_status status = TAMIS_OK;

	if (m.last < 0) {
		blocks_scatter_add(&b, gy->type, gy->data, gx->data);
		return TAMIS_OK;
	}
	status = continued_blocks(g->call, gy, pads, &m, &b);
	for (int64_t o = 0; !status && o < m.outer; o++)
		blocks_scatter_add(&b, gy->type, (const char *)gy->data + o * m.to_step * size,
		                   (char *)gx->data + o * m.from_step * size);
	return status;
}

static enum tamis_status pad_run(struct op_call *c)
{
	const struct pad_attr *a = c->node->attr;
	struct pads pads;
	enum tamis_status status = pads_of(c, &pads);

	if (status || !c->out[0] || c->out[0]->count == 0)
		return status;
	if (a->mode != MODE_CONSTANT)
		return pad_continued(c, &pads);
	pad_constant(c, &pads);
	return TAMIS_OK;
}

static enum tamis_status pad_reverse(struct op_grad *g)
{
	const struct pad_attr *a = g->call->node->attr;
	struct pads pads;
	enum tamis_status status = pads_of(g->call, &pads);

	if (status || !g->gout[0] || g->gout[0]->count == 0)
		return status;
	if (a->mode != MODE_CONSTANT)
		return g->gin[0] ? continued_back(g, &pads) : TAMIS_OK;
	constant_back(g, &pads);
	return TAMIS_OK;
}

static void channels(struct channel_call *c)
{
	struct tamis_error ignored = {0};
	const struct op_call call = channels_shapes(c, &ignored);
	struct pads pads;

	if (!c->out[0] || (c->n_in > 1 && !c->in[1]->data) || pads_of(&call, &pads) != TAMIS_OK) {
		channels_keep_all(c, "its padding is not known");
		return;
	}
	for (int k = 0; k < c->in[0]->rank; k++)
		if (!pads.before[k] && !pads.after[k])
			channels_tie(c, 0, k, COUPLING_OUT(0), k);
		else {
			channels_keep(c, 0, k, "it is padded");
			channels_keep(c, COUPLING_OUT(0), k, "it is padded");
		}
}

const struct op ops_pad[] = {
	{.name = "Pad", .domain = "", .since = 1, .until = 10, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 1, .channels = channels, .parse = pad_parse, .shape = pad_shape, .run = pad_run, .reverse = pad_reverse},
	{.name = "Pad", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 2, .max_in = 4, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .channels = channels, .parse = pad_parse, .shape = pad_shape, .run = pad_run,
	 .reverse = pad_reverse},
	{0},
};
