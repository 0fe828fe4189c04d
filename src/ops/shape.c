/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that change or tell a shape and leave the elements alone. */
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/family.h"
#include "ops/regroup.h"
#include "ops/strided.h"

struct axes_attr { const int64_t *axes; int n; }; /* n = -1: not given */

/* ---- Reshape ---- */

static enum tamis_status reshape_parse(struct op_parse *p, void **attr)
{
	bool *allow_zero = *attr = args_alloc(p, sizeof *allow_zero);

	return allow_zero ? attr_bool(p, "allowzero", false, allow_zero) : TAMIS_E_MEMORY;
}

/* Replaces zeros (copy the input's dimension) and finds the place of -1, or -1 when there is none. */
static enum tamis_status reshape_read(struct op_call *c, bool allow_zero, int64_t *dims, int n, int *inferred)
{
	const struct tensor *x = c->in[0];
	bool zero = false;

	*inferred = -1;
	for (int i = 0; i < n; i++) {
		if (dims[i] < -1)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "the new shape has dimension %lld; -1 is the least allowed", (long long)dims[i]);
		if (dims[i] == -1 && *inferred >= 0)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "the new shape has -1 twice; one dimension can be inferred");
		if (dims[i] == -1)
			*inferred = i;
		if (dims[i] == 0 && !allow_zero && i >= x->rank)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "dimension %d of the new shape is 0 but the input has rank %d", i, x->rank);
		zero |= dims[i] == 0 && allow_zero;
		if (dims[i] == 0 && !allow_zero)
			dims[i] = x->dims[i];
	}
	if (zero && *inferred >= 0)
		return tm_fail(c->err, TAMIS_E_INVALID, "the new shape has both 0 and -1, which allowzero excludes");
	return TAMIS_OK;
}

static enum tamis_status reshape_infer(struct op_call *c, int64_t *dims, int n, int inferred)
{
	int64_t count = c->in[0]->count, product;

	if (inferred >= 0)
		dims[inferred] = 1;
	if (!tm_product(dims, n, &product))
		return tm_fail(c->err, TAMIS_E_INVALID, "the number of elements of the new shape overflows");
	if (inferred >= 0 && product > 0 && count % product == 0)
		dims[inferred] = count / product;
	else if (inferred >= 0 || product != count)
		return tm_fail(c->err, TAMIS_E_INVALID, "%lld elements do not fit a new shape of %s%lld",
		               (long long)count, inferred >= 0 ? "a multiple of " : "", (long long)product);
	return TAMIS_OK;
}

static enum tamis_status reshape_shape(struct op_call *c)
{
	const bool *allow_zero = c->node->attr;
	int64_t dims[TENSOR_MAX_RANK];
	int n, inferred;
	enum tamis_status status;

	if (!op_needs(c, 1))
		return TAMIS_OK;
	status = args_ints(c, 1, "the new shape", TENSOR_MAX_RANK, dims, &n);
	if (!status)
		status = reshape_read(c, *allow_zero, dims, n, &inferred);
	if (!status)
		status = reshape_infer(c, dims, n, inferred);
	return status ? status : op_set_out(c, 0, c->in[0]->type, n, dims);
}

/* Before opset 5 the new shape is an attribute. */
static enum tamis_status reshape_listed_parse(struct op_parse *p, void **attr)
{
	struct axes_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status = a ? attr_required(p, "shape") : TAMIS_E_MEMORY;

	if (!status)
		status = attr_ints(p, "shape", &a->axes, &a->n);
	if (!status && a->n > TENSOR_MAX_RANK)
		return tm_fail(p->err, TAMIS_E_UNSUPPORTED, "a new shape of %d axes is not supported; %d are", a->n,
		               TENSOR_MAX_RANK);
	return status;
}

static enum tamis_status reshape_listed_shape(struct op_call *c)
{
	const struct axes_attr *a = c->node->attr;
	int64_t dims[TENSOR_MAX_RANK];
	int inferred;
	enum tamis_status status;

	for (int i = 0; i < a->n; i++)
		dims[i] = a->axes[i];
	status = reshape_read(c, false, dims, a->n, &inferred);
	if (!status)
		status = reshape_infer(c, dims, a->n, inferred);
	return status ? status : op_set_out(c, 0, c->in[0]->type, a->n, dims);
}

/* ---- Flatten ---- */

static enum tamis_status flatten_parse(struct op_parse *p, void **attr)
{
	int64_t *axis = *attr = args_alloc(p, sizeof *axis);

	return axis ? attr_int(p, "axis", 1, axis) : TAMIS_E_MEMORY;
}

static enum tamis_status flatten_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t axis = *(const int64_t *)c->node->attr, dims[2];

	if (axis < -x->rank || axis > x->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "axis %lld is outside a tensor of rank %d",
		               (long long)axis, x->rank);
	if (axis < 0)
		axis += x->rank;
	if (!tm_product(x->dims, (int)axis, &dims[0]) ||
	    !tm_product(x->dims + axis, x->rank - (int)axis, &dims[1]))
		return tm_fail(c->err, TAMIS_E_INVALID, "the flattened shape overflows");
	return op_set_out(c, 0, x->type, 2, dims);
}

/* ---- Squeeze, Unsqueeze: axes are an attribute up to opset 12, then an input ---- */

static enum tamis_status axes_parse(struct op_parse *p, void **attr)
{
	struct axes_attr *a = *attr = args_alloc(p, sizeof *a);

	return a ? attr_ints(p, "axes", &a->axes, &a->n) : TAMIS_E_MEMORY;
}

static enum tamis_status axes_parse_required(struct op_parse *p, void **attr)
{
	enum tamis_status status = attr_required(p, "axes");

	return status ? status : axes_parse(p, attr);
}

/* The axes, from wherever this version has them; *n = -1 when there are none. False: not known yet. */
static bool axes_read(struct op_call *c, int64_t *axes, int *n, enum tamis_status *status)
{
	const struct axes_attr *a = c->node->attr;

	*status = TAMIS_OK;
	*n = -1;
	if (!a && op_in(c, 1)) {
		if (!op_needs(c, 1))
			return false;
		*status = args_ints(c, 1, "axes", TENSOR_MAX_RANK, axes, n);
	} else if (a && a->n > TENSOR_MAX_RANK) {
		*status = tm_fail(c->err, TAMIS_E_INVALID, "axes has %d elements; at most %d are possible", a->n,
		                  TENSOR_MAX_RANK);
	} else if (a && a->n >= 0) {
		*n = a->n;
		if (a->n)
			memcpy(axes, a->axes, (size_t)a->n * sizeof *axes);
	}
	return true;
}

static uint64_t axes_mask(const int64_t *axes, int n)
{
	uint64_t mask = 0;

	for (int i = 0; i < n; i++)
		mask |= (uint64_t)1 << axes[i];
	return mask;
}

static enum tamis_status squeeze_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t axes[TENSOR_MAX_RANK], dims[TENSOR_MAX_RANK];
	int n, rank = 0;
	uint64_t mask;
	enum tamis_status status;

	if (!axes_read(c, axes, &n, &status) || status)
		return status;
	if (n > 0 && (status = args_axes(c->err, axes, n, x->rank)) != TAMIS_OK)
		return status;
	mask = axes_mask(axes, n);
	for (int i = 0; i < x->rank; i++) {
		if (mask >> i & 1 && x->dims[i] != 1)
			return tm_fail(c->err, TAMIS_E_INVALID, "axis %d of length %lld cannot be squeezed", i,
			               (long long)x->dims[i]);
		if (n < 0 ? x->dims[i] != 1 : !(mask >> i & 1))
			dims[rank++] = x->dims[i];
	}
	return op_set_out(c, 0, x->type, rank, dims);
}

static enum tamis_status unsqueeze_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t axes[TENSOR_MAX_RANK], dims[TENSOR_MAX_RANK];
	int n, from = 0;
	uint64_t mask;
	enum tamis_status status;

	if (!axes_read(c, axes, &n, &status) || status)
		return status;
	if (n < 0)
		n = 0;
	if (x->rank + n > TENSOR_MAX_RANK)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "the output has rank %d; at most %d is supported",
		               x->rank + n, TENSOR_MAX_RANK);
	status = args_axes(c->err, axes, n, x->rank + n);
	if (status)
		return status;
	mask = axes_mask(axes, n);
	for (int i = 0; i < x->rank + n; i++)
		dims[i] = mask >> i & 1 ? 1 : x->dims[from++];
	return op_set_out(c, 0, x->type, x->rank + n, dims);
}

/* ---- Identity, Dropout ---- */

static enum tamis_status identity_shape(struct op_call *c)
{
	return op_set_like(c, 0, c->in[0]->type, c->in[0]);
}

/* From opset 12 on a model can ask for training: dropping then depends on a random generator, which is
 * refused. A ratio of zero drops nothing and is fine. */
static enum tamis_status dropout_inference(struct op_call *c)
{
	const struct tensor *ratio = op_in(c, 1), *training = op_in(c, 2);

	if (!training)
		return TAMIS_OK;
	if (!op_needs(c, 2) || (ratio && !op_needs(c, 1)))
		return TAMIS_OK;
	if (training->count != 1 || (ratio && ratio->count != 1))
		return tm_fail(c->err, TAMIS_E_INVALID, "ratio and training_mode must be scalars");
	if (tensor_get_int(training, 0) && (!ratio || tensor_get(ratio, 0) != 0))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "Dropout in training mode is not supported");
	return TAMIS_OK;
}

static enum tamis_status dropout_old_parse(struct op_parse *p, void **attr)
{
	(void)attr;
	return attr_inference(p);
}

/* The mask has the type of the data up to opset 9, then bool. */
static enum tamis_status dropout_shape(struct op_call *c)
{
	enum tamis_status status = dropout_inference(c);

	if (!status)
		status = op_set_like(c, 0, c->in[0]->type, c->in[0]);
	if (!status && c->n_out > 1)
		status = op_set_like(c, 1, c->node->opset < 10 ? c->in[0]->type : DT_BOOL, c->in[0]);
	return status;
}

static enum tamis_status dropout_run(struct op_call *c)
{
	struct tensor *y = c->out[0], *mask = c->n_out > 1 ? c->out[1] : NULL;

	if (y && y->data != c->in[0]->data)
		memcpy(y->data, c->in[0]->data, tensor_bytes(y));
	for (int64_t i = 0; mask && i < mask->count; i++)
		tensor_set(mask, i, 1);
	return TAMIS_OK;
}

static enum tamis_status dropout_reverse(struct op_grad *g)
{
	struct strided s;

	if (!g->gout[0] || !g->gin[0])
		return TAMIS_OK;
	strided_init(&s, g->gin[0]->rank, g->gin[0]->dims);
	strided_add(&s, g->gin[0]->type, g->gout[0]->data, g->gin[0]->data);
	return TAMIS_OK;
}

/* ---- Shape, Size ---- */

struct span { int64_t start, end; bool has_end; };

static enum tamis_status shape_parse(struct op_parse *p, void **attr)
{
	struct span *s = *attr = args_alloc(p, sizeof *s);
	enum tamis_status status;

	if (!s)
		return TAMIS_E_MEMORY;
	s->has_end = attr_has(p, "end");
	status = attr_int(p, "start", 0, &s->start);
	return status ? status : attr_int(p, "end", 0, &s->end);
}

static int64_t clamp_axis(int64_t axis, int rank)
{
	if (axis < 0)
		axis += rank;
	return axis < 0 ? 0 : axis > rank ? rank : axis;
}

static void shape_span(const struct op_call *c, int *start, int *n)
{
	const struct span *s = c->node->attr;
	int rank = c->in[0]->rank;
	int end = s->has_end ? (int)clamp_axis(s->end, rank) : rank;

	*start = (int)clamp_axis(s->start, rank);
	*n = end > *start ? end - *start : 0;
}

static enum tamis_status shape_shape(struct op_call *c)
{
	int start, n;

	shape_span(c, &start, &n);
	return op_set_out(c, 0, DT_INT64, 1, (const int64_t[]){n});
}

static enum tamis_status shape_run(struct op_call *c)
{
	int start, n;

	shape_span(c, &start, &n);
	if (c->out[0])
		memcpy(c->out[0]->data, c->in[0]->dims + start, (size_t)n * sizeof(int64_t));
	return TAMIS_OK;
}

static enum tamis_status size_shape(struct op_call *c)
{
	return op_set_out(c, 0, DT_INT64, 0, NULL);
}

static enum tamis_status size_run(struct op_call *c)
{
	if (c->out[0])
		*(int64_t *)c->out[0]->data = c->in[0]->count;
	return TAMIS_OK;
}

/* ---- Channels ---- */

/* The new shape states lengths: 0 copies the input's, -1 is what is left. */
static void channels_reshape(struct channel_call *c)
{
	const bool *allow_zero = c->node->attr;
	const struct tensor *asked = c->in[1];

	channels_regroup(c);
	for (int i = 0; c->out[0] && i < c->out[0]->rank; i++) {
		int64_t stated = asked->data && i < asked->count ? tensor_get_int(asked, i) : 1;

		if (stated == 0 && !*allow_zero)
			channels_tie(c, 0, i, COUPLING_OUT(0), i);
		else if (stated != -1)
			channels_number(c, 1, i, COUPLING_OUT(0), i, c->out[0]->dims[i]);
	}
}

/* Without axes, an axis of which one channel stays would vanish. */
static void channels_squeeze(struct channel_call *c)
{
	const struct axes_attr *a = c->node->attr;

	channels_regroup(c);
	if (a ? a->n < 0 : c->n_in < 2 || !c->in[1])
		channels_keep_all(c, "a Squeeze without axes would drop its last channel");
}

/* Whether an axis is among those that the reader of a shape picks. */
static bool picks(const struct coupling *g, struct use u, int axis, int rank)
{
	const struct node *n = &g->graph->nodes[u.node];
	const struct tensor *which = n->n_in > 1 && n->in[1] != GRAPH_NONE ? g->shape[n->in[1]] : NULL;

	if (strcmp(n->op->name, "Gather") || *n->op->domain || u.input || !which || !which->data)
		return true;
	for (int64_t i = 0; i < which->count; i++)
		if ((tensor_get_int(which, i) + rank) % rank == axis)
			return true;
	return false;
}

/* Lengths that are computed with must stay; those that nobody picks may change. */
static void channels_shape(struct channel_call *c)
{
	const struct value *y;
	bool whole = !c->node->proto->n_attribute;

	if (c->node->out[0] == GRAPH_NONE)
		return;
	y = &c->coupling->graph->values[c->node->out[0]];
	channels_keep_port(c, COUPLING_OUT(0), "it is a shape");
	for (int axis = 0; axis < c->in[0]->rank; axis++) {
		bool read = y->is_output || !whole;

		for (int u = 0; !read && u < y->n_uses; u++)
			read = picks(c->coupling, y->uses[u], axis, c->in[0]->rank);
		if (read)
			channels_keep(c, 0, axis, "its length is computed with");
	}
}

#define VIEW .max_out = 1, .min_out = 1, .flags = OP_VIEW | OP_ANY_BITS

#define DROPOUT .name = "Dropout", .domain = "", .min_in = 1, .min_out = 1, .max_out = 2, \
	.flags = OP_INPLACE | OP_ANY_BITS, .channels = channels_elementwise, .shape = dropout_shape, .run = dropout_run, \
	.reverse = dropout_reverse

const struct op ops_shape[] = {
	{DROPOUT, .since = 1, .until = 6, .max_in = 1, .parse = dropout_old_parse},
	{DROPOUT, .since = 7, .until = OP_LATEST, .max_in = 3},
	{.name = "Flatten", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, VIEW,
	 .channels = channels_regroup, .parse = flatten_parse, .shape = flatten_shape},
	{.name = "Identity", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, VIEW,
	 .channels = channels_elementwise, .shape = identity_shape},
	{.name = "Reshape", .domain = "", .since = 1, .until = 4, .min_in = 1, .max_in = 1, VIEW,
	 .parse = reshape_listed_parse, .shape = reshape_listed_shape},
	{.name = "Reshape", .domain = "", .since = 5, .until = OP_LATEST, .min_in = 2, .max_in = 2, VIEW,
	 .channels = channels_reshape, .parse = reshape_parse, .shape = reshape_shape},
	{.name = "Shape", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS | OP_SHAPE_ONLY, .channels = channels_shape, .parse = shape_parse, .shape = shape_shape,
	 .run = shape_run},
	{.name = "Size", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS | OP_SHAPE_ONLY, .shape = size_shape, .run = size_run},
	{.name = "Squeeze", .domain = "", .since = 1, .until = 12, .min_in = 1, .max_in = 1, VIEW,
	 .channels = channels_squeeze, .parse = axes_parse, .shape = squeeze_shape},
	{.name = "Squeeze", .domain = "", .since = 13, .until = OP_LATEST, .min_in = 1, .max_in = 2, VIEW,
	 .channels = channels_squeeze, .shape = squeeze_shape},
	{.name = "Unsqueeze", .domain = "", .since = 1, .until = 12, .min_in = 1, .max_in = 1, VIEW,
	 .channels = channels_regroup, .parse = axes_parse_required, .shape = unsqueeze_shape},
	{.name = "Unsqueeze", .domain = "", .since = 13, .until = OP_LATEST, .min_in = 2, .max_in = 2, VIEW,
	 .channels = channels_regroup, .shape = unsqueeze_shape},
	{0},
};
