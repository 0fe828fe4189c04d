/* SPDX-License-Identifier: Apache-2.0 */
/* Conv and ConvTranspose: each is one of the three products of correlate.h forward, and the other two in
 * reverse. */
#include "ops/conv.h"

#include "base/checked.h"
#include "base/error.h"
#include "ops/blas.h"
#include "ops/onednn.h"

static enum tamis_status parse(struct op_parse *p, bool transposed, void **attr)
{
	struct conv_attr *a = arena_alloc(p->arena, sizeof *a);
	enum tamis_status s;

	if (!a)
		return tm_no_memory(p->err, "reading the attributes of a convolution");
	a->transposed = transposed;
	a->n_output_padding = a->n_output_shape = -1;
	if ((s = window_parse(p, &a->window)) || (s = attr_int(p, "group", 1, &a->group)))
		return s;
	if (transposed && ((s = attr_ints(p, "output_padding", &a->output_padding, &a->n_output_padding)) ||
	                   (s = attr_ints(p, "output_shape", &a->output_shape, &a->n_output_shape))))
		return s;
	if (a->group < 1)
		return tm_fail(p->err, TAMIS_E_INVALID, "group is %lld; at least 1 is expected", (long long)a->group);
	*attr = a;
	return TAMIS_OK;
}

static enum tamis_status parse_conv(struct op_parse *p, void **attr)
{
	return parse(p, false, attr);
}

static enum tamis_status parse_transpose(struct op_parse *p, void **attr)
{
	return parse(p, true, attr);
}

/* The weight is (maps of all groups) x (channels a group) x kernel for both operators, maps meaning
 * outputs for Conv and inputs for ConvTranspose. */
static enum tamis_status check_channels(const struct conv_attr *a, const struct tensor *x,
                                        const struct tensor *w, const struct tensor *bias,
                                        struct tamis_error *err)
{
	int64_t in = x->dims[1], expected = a->transposed ? w->dims[0] : 0, outs = w->dims[0];

	if (w->dims[0] % a->group)
		return tm_fail(err, TAMIS_E_INVALID, "%lld groups do not divide the weight's %lld channels",
		               (long long)a->group, (long long)w->dims[0]);
	if (!tm_mul(w->dims[1], a->group, a->transposed ? &outs : &expected))
		return tm_fail(err, TAMIS_E_INVALID, "%lld groups of %lld channels overflow", (long long)a->group,
		               (long long)w->dims[1]);
	if (in != expected)
		return tm_fail(err, TAMIS_E_INVALID, "the input has %lld channels; the weight expects %lld", (long long)in,
		               (long long)expected);
	if (bias && (bias->rank != 1 || bias->dims[0] != outs))
		return tm_fail(err, TAMIS_E_INVALID, "the bias has rank %d and %lld elements; one axis of %lld is expected",
		               bias->rank, (long long)bias->count, (long long)outs);
	return TAMIS_OK;
}

enum tamis_status conv_resolve(const struct conv_attr *a, const struct tensor *x, const struct tensor *w,
                               const struct tensor *bias, struct correlation *c, struct tamis_error *err)
{
	int64_t fan_in;
	enum tamis_status s;

	if (x->rank < 3 || w->rank != x->rank)
		return tm_fail(err, TAMIS_E_INVALID,
		               "the input has rank %d and the weight %d; the same of at least 3 is expected", x->rank,
		               w->rank);
	if ((s = check_channels(a, x, w, bias, err)))
		return s;
	*c = (struct correlation){.type = x->type, .items = x->dims[0], .groups = a->group, .channels = w->dims[1],
	                          .maps = w->dims[0] / a->group, .err = err};
	if (a->transposed)
		s = window_resolve_transposed(&a->window, x, w->dims + 2, a->output_padding, a->n_output_padding,
		                              a->output_shape, a->n_output_shape, &c->win, err);
	else
		s = window_resolve(&a->window, x, w->dims + 2, &c->win, err);
	if (s)
		return s;
	if (!tm_mul(c->channels, c->win.kernel_size, &fan_in) || !blas_fits(fan_in) || !blas_fits(c->win.in_size) ||
	    !blas_fits(c->win.out_size))
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "an image or a kernel exceeds %d elements", INT32_MAX);
	return TAMIS_OK;
}

static enum tamis_status check_types(const struct op_call *c)
{
	const struct tensor *b = op_in(c, 2);

	if (!dtype_is_float(c->in[0]->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "the input has the type %s; a float type is expected",
		               dtype_name(c->in[0]->type));
	if (c->in[1]->type != c->in[0]->type || (b && b->type != c->in[0]->type))
		return tm_fail(c->err, TAMIS_E_INVALID, "input, weight and bias have different types");
	return TAMIS_OK;
}

static enum tamis_status resolve_call(const struct op_call *call, struct correlation *c)
{
	enum tamis_status s = conv_resolve(call->node->attr, call->in[0], call->in[1], op_in(call, 2), c, call->err);

	c->scratch = call->scratch;
	return s;
}

static enum tamis_status shape(struct op_call *call)
{
	const struct conv_attr *a = call->node->attr;
	int64_t dims[TENSOR_MAX_RANK];
	struct correlation c;
	enum tamis_status s;

	if ((s = check_types(call)) || (s = resolve_call(call, &c)))
		return s;
	dims[0] = c.items;
	dims[1] = c.groups * (a->transposed ? c.channels : c.maps);
	for (int i = 0; i < c.win.rank; i++)
		dims[2 + i] = (a->transposed ? c.win.in : c.win.out)[WINDOW_AXES - c.win.rank + i];
	return op_set_out(call, 0, call->in[0]->type, c.win.rank + 2, dims);
}

static enum tamis_status run(struct op_call *call)
{
	const struct conv_attr *a = call->node->attr;
	const struct tensor *bias = op_in(call, 2);
	struct tensor *y = call->out[0];
	struct correlation c;
	enum tamis_status s;
	bool done;

	if (!y || y->count == 0)
		return TAMIS_OK;
	if ((s = resolve_call(call, &c)))
		return s;
	if (!a->transposed) {
		s = onednn_conv(call->state, &c, call->in[0]->data, call->in[1]->data, bias ? bias->data : NULL, y->data,
		                &done);
		if (s || done)
			return s;
	}
	blas_fill_rows(c.type, y->dims[0] * y->dims[1], a->transposed ? c.win.in_size : c.win.out_size,
	               bias ? bias->data : NULL, y->dims[1], y->data);
	if (a->transposed)
		return correlate_back(&c, call->in[0]->data, call->in[1]->data, y->data);
	return correlate(&c, call->in[0]->data, call->in[1]->data, y->data);
}

static void reverse_bias(const struct correlation *c, const struct tensor *gy, struct tensor *gb)
{
	int64_t channels = gy->dims[1], size = tensor_extent(gy, 2, gy->rank);

	for (int64_t i = 0; i < gy->dims[0]; i++)
		blas_row_sums(c->type, channels, size, blas_at(c->type, gy->data, i * channels * size), size, 1, gb->data);
}

static enum tamis_status reverse_image(const struct op_call *call, const struct correlation *c, const struct tensor *gy,
                                       struct tensor *gx)
{
	bool done;
	enum tamis_status s = onednn_conv_back(call->state, c, gy->data, call->in[1]->data, gx->data, &done);

	return s || done ? s : correlate_back(c, gy->data, call->in[1]->data, gx->data);
}

static enum tamis_status reverse_weight(const struct op_call *call, const struct correlation *c, const struct tensor *gy,
                                        struct tensor *gw)
{
	bool done;
	enum tamis_status s = onednn_conv_weight(call->state, c, call->in[0]->data, gy->data, gw->data, &done);

	return s || done ? s : correlate_weight(c, call->in[0]->data, gy->data, gw->data);
}

static enum tamis_status reverse(struct op_grad *g)
{
	const struct op_call *call = g->call;
	const struct conv_attr *a = call->node->attr;
	const struct tensor *gy = g->gout[0], *x = call->in[0], *w = call->in[1];
	struct correlation c;
	enum tamis_status s;

	if (!gy || gy->count == 0)
		return TAMIS_OK;
	if ((s = resolve_call(call, &c)))
		return s;
	if (op_in(call, 2) && g->gin[2])
		reverse_bias(&c, gy, g->gin[2]);
	if (g->gin[0] && a->transposed)
		s = correlate(&c, gy->data, w->data, g->gin[0]->data);
	else if (g->gin[0])
		s = reverse_image(call, &c, gy, g->gin[0]);
	if (s || !g->gin[1])
		return s;
	if (a->transposed)
		return correlate_weight(&c, gy->data, x->data, g->gin[1]->data);
	return reverse_weight(call, &c, gy, g->gin[1]);
}

/* Of groups, a whole one goes with all that it reads and makes; the weight's axis 0 runs over the groups. Where it is
 * empty, there may be any number of groups of nothing. */
static void channels_groups(struct channel_call *c, int64_t groups)
{
	int64_t in = c->in[0]->dims[1] / groups, out = c->out[0]->dims[1] / groups, rows = c->in[1]->dims[0] / groups;

	for (int64_t g = 0; rows && g < groups; g++) {
		for (int64_t i = 0; i < in; i++)
			channels_tie_some(c, 0, 1, g * in + i, 1, 0, g * rows, 1);
		for (int64_t o = 0; o < out; o++)
			channels_tie_some(c, COUPLING_OUT(0), 1, g * out + o, 1, 0, g * rows, 1);
		for (int64_t r = 1; r < rows; r++)
			channels_tie_some(c, 1, 0, g * rows + r, 1, 0, g * rows, 1);
	}
	channels_keep(c, 1, 1, "it is read by a grouped convolution");
	channels_attribute(c, "group", -1, 0, 1, c->in[0]->dims[1], in);
}

static void channels_product(struct channel_call *c, bool transposed)
{
	const struct conv_attr *a = c->node->attr;

	if (!c->out[0])
		return;
	channels_tie(c, 0, 0, COUPLING_OUT(0), 0);
	if (a->group > 1)
		channels_groups(c, a->group);
	else {
		channels_read(c, 0, 1, 1, transposed ? 0 : 1);
		channels_tie(c, 1, transposed ? 1 : 0, COUPLING_OUT(0), 1);
	}
	if (c->n_in > 2)
		channels_tie(c, 2, 0, COUPLING_OUT(0), 1);
	for (int k = 2; k < c->in[0]->rank; k++) {
		channels_keep(c, 0, k, "it runs over space");
		channels_keep(c, 1, k, "it runs over space");
		channels_keep(c, COUPLING_OUT(0), k, "it runs over space");
	}
}

static void channels_conv(struct channel_call *c)
{
	channels_product(c, false);
}

static void channels_transpose(struct channel_call *c)
{
	channels_product(c, true);
}

const struct op ops_conv[] = {
	{.name = "Conv", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 2, .max_in = 3, .min_out = 1,
	 .max_out = 1, .channels = channels_conv, .parse = parse_conv, .shape = shape, .run = run,
	 .reverse = reverse, .linear = &conv_linear, .free_state = onednn_conv_free},
	{.name = "ConvTranspose", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 2, .max_in = 3,
	 .min_out = 1, .max_out = 1, .channels = channels_transpose, .parse = parse_transpose, .shape = shape,
	 .run = run, .reverse = reverse, .linear = &conv_transpose_linear},
	{0},
};
