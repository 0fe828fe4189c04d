/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution over blocks through oneDNN, with what follows it done to each result while it is in registers. */
#include "ops/blocked.h"

#include <stdlib.h>

#ifdef HAVE_ONEDNN
#include <oneapi/dnnl/dnnl_version.h>
#endif

/* The C interface of convolutions changed with version 3. */
#if defined(HAVE_ONEDNN) && DNNL_VERSION_MAJOR == 2

#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "base/error.h"
#include "ops/blocked_geometry.h"
#include "ops/onednn_threads.h"

struct blocked_conv_attr {
	struct blocked_geometry geometry;
	bool plain, has_bias;
	dnnl_memory_desc_t weight;  /* how the packed weight lies */
	struct onednn_threads threads;
	int n_after;
	struct blocked_after after[BLOCKED_AFTER];
};

enum { PORT_SRC, PORT_WEIGHT, PORT_BIAS, PORT_RESIDUAL, PORT_DST, PORT_SCRATCH, PORTS };

/* Compiled for one shape of x. */
struct compiled {
	int64_t items, in[2];
	size_t scratch_bytes, weight_bytes; /* weight_bytes 0: the packed weight serves as it is */
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_primitive_t conv, reorder;
	dnnl_memory_t port[PORTS], packed;  /* NULL where there is none */
};

int64_t blocked_width(void)
{
	struct onednn_threads t;
	dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();

	if (!onednn_find_threads(&t))
		return 0;
	if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core)
		return 16;
	return (isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2 ? 8 : 0;
}

/* ---- describing it to oneDNN ------------------------------------------------------------------------------------- */

struct described {
	dnnl_memory_desc_t src, weight, bias, dst;
	dnnl_dims_t strides, dilates, begin, end;
};

static dnnl_status_t describe(const struct blocked_conv_attr *a, int64_t items, const struct window *w,
                              const dnnl_memory_desc_t *weight, struct described *d)
{
	dnnl_format_tag_t blocks = blocked_width() == 16 ? dnnl_nChw16c : dnnl_nChw8c;
	dnnl_dims_t x = {items, a->geometry.channels, w->in[1], w->in[2]}, y = {items, a->geometry.maps, w->out[1], w->out[2]};
	dnnl_dims_t bias = {a->geometry.maps};
	dnnl_status_t s;

	for (int i = 0; i < 2; i++) {
		d->strides[i] = w->stride[1 + i];
		d->dilates[i] = w->dilation[1 + i] - 1;
		d->begin[i] = w->begin[1 + i];
		d->end[i] = w->end[1 + i];
	}
	d->weight = *weight;
	if ((s = dnnl_memory_desc_init_by_tag(&d->src, 4, x, dnnl_f32, a->plain ? dnnl_nchw : blocks)) ||
	    (s = dnnl_memory_desc_init_by_tag(&d->dst, 4, y, dnnl_f32, blocks)))
		return s;
	return dnnl_memory_desc_init_by_tag(&d->bias, 1, bias, dnnl_f32, dnnl_a);
}

static dnnl_status_t add_after(dnnl_post_ops_t ops, const struct blocked_after *f, const dnnl_memory_desc_t *dst)
{
	switch (f->kind) {
	case BLOCKED_LINEAR: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_linear, f->a, f->b);
	case BLOCKED_CLIP: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_clip, f->a, f->b);
	case BLOCKED_RELU: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, f->a, 0);
	case BLOCKED_SIGMOID: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_logistic, 0, 0);
	case BLOCKED_TANH: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_tanh, 0, 0);
	case BLOCKED_SWISH: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_swish, f->a, 0);
	case BLOCKED_HARDSWISH: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_hardswish, 0, 0);
	default: return dnnl_post_ops_append_binary(ops, dnnl_binary_add, dst);
	}
}

static dnnl_status_t make_attributes(const struct blocked_conv_attr *a, const dnnl_memory_desc_t *dst,
                                     dnnl_primitive_attr_t *out)
{
	dnnl_post_ops_t ops = NULL;
	dnnl_status_t s;

	if ((s = dnnl_primitive_attr_create(out)) ||
	    (s = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user)) ||
	    (s = dnnl_post_ops_create(&ops)))
		return s;
	for (int i = 0; !s && i < a->n_after; i++)
		s = add_after(ops, &a->after[i], dst);
	if (!s)
		s = dnnl_primitive_attr_set_post_ops(*out, ops);
	dnnl_post_ops_destroy(ops);
	return s;
}

/* oneDNN always has a way, but only a compiled one is worth the blocks. */
static bool is_fast(const_dnnl_primitive_desc_t pd)
{
	const char *name = NULL;

	return !dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) && name &&
	       (!strncmp(name, "jit", 3) || !strncmp(name, "br", 2));
}

static dnnl_status_t choose(const struct blocked_conv_attr *a, const struct described *d, dnnl_engine_t engine,
                            dnnl_primitive_desc_t *pd)
{
	dnnl_primitive_attr_t attr = NULL;
	dnnl_convolution_desc_t desc;
	dnnl_status_t s = make_attributes(a, &d->dst, &attr);

	if (!s)
		s = dnnl_dilated_convolution_forward_desc_init(
			&desc, dnnl_forward_inference, dnnl_convolution_direct, &d->src, &d->weight,
			a->has_bias ? &d->bias : NULL, &d->dst, d->strides, d->dilates, d->begin, d->end);
	if (!s)
		s = dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
	dnnl_primitive_attr_destroy(attr);
	return s;
}

/* The weight of a depthwise convolution has its groups on an axis of their own. */
static dnnl_status_t describe_weight(const struct blocked_conv_attr *a, bool any, dnnl_memory_desc_t *d)
{
	int64_t g = a->geometry.conv->group;
	dnnl_dims_t grouped = {g, a->geometry.maps / g, a->geometry.channels / g, a->geometry.kernel[0], a->geometry.kernel[1]};
	dnnl_dims_t dense = {a->geometry.maps, a->geometry.channels, a->geometry.kernel[0], a->geometry.kernel[1]};

	if (g > 1)
		return dnnl_memory_desc_init_by_tag(d, 5, grouped, dnnl_f32, any ? dnnl_format_tag_any : dnnl_abcde);
	return dnnl_memory_desc_init_by_tag(d, 4, dense, dnnl_f32, any ? dnnl_format_tag_any : dnnl_abcd);
}

/* Runs one change of layout. */
static dnnl_status_t convert(dnnl_engine_t engine, const dnnl_memory_desc_t *from, const void *data,
                             const dnnl_memory_desc_t *to, void *room)
{
	dnnl_primitive_desc_t pd = NULL;
	dnnl_primitive_t reorder = NULL;
	dnnl_memory_t source = NULL, target = NULL;
	dnnl_stream_t stream = NULL;
	dnnl_status_t s;

	if (!(s = dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, NULL)) &&
	    !(s = dnnl_primitive_create(&reorder, pd)) && !(s = dnnl_stream_create(&stream, engine, 0x1)) &&
	    !(s = dnnl_memory_create(&source, from, engine, (void *)data)) &&
	    !(s = dnnl_memory_create(&target, to, engine, room))) {
		dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};

		s = dnnl_primitive_execute(reorder, stream, 2, args);
		s = s ? s : dnnl_stream_wait(stream);
	}
	dnnl_memory_destroy(target);
	dnnl_memory_destroy(source);
	dnnl_stream_destroy(stream);
	dnnl_primitive_destroy(reorder);
	dnnl_primitive_desc_destroy(pd);
	return s;
}

/* ---- preparing --------------------------------------------------------------------------------------------------- */

static enum tamis_status pack_weight(dnnl_engine_t engine, const struct blocked_conv_attr *a, const void *weight,
                                     struct tensor *packed, bool *ok, struct tamis_error *err)
{
	int64_t floats = (int64_t)((dnnl_memory_desc_get_size(&a->weight) + 3) / 4);
	dnnl_memory_desc_t plain;
	enum tamis_status s = tensor_shape(packed, DT_FLOAT, 1, &floats, err);

	packed->data = NULL;
	*ok = false;
	if (s == TAMIS_OK)
		s = tensor_alloc(packed, err);
	if (s == TAMIS_OK)
		*ok = !describe_weight(a, false, &plain) && !convert(engine, &plain, weight, &a->weight, packed->data);
	if (!*ok)
		tensor_free(packed);
	return s;
}

static enum tamis_status prepare(dnnl_engine_t engine, struct blocked_conv_attr *a, const struct blocked_conv_spec *spec,
                                 struct tensor *packed, bool *ok, struct tamis_error *err)
{
	struct correlation c;
	struct described d;
	dnnl_memory_desc_t any;
	dnnl_primitive_desc_t pd = NULL;
	enum tamis_status s = conv_resolve(a->geometry.conv, spec->x, spec->weight, NULL, &c, err);
	bool fast;

	*ok = false;
	if (s != TAMIS_OK)
		return s;
	fast = !describe_weight(a, true, &any) && !describe(a, c.items, &c.win, &any, &d) &&
	       !choose(a, &d, engine, &pd) && is_fast(pd);
	if (fast)
		a->weight = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
	dnnl_primitive_desc_destroy(pd);
	return fast ? pack_weight(engine, a, spec->weight->data, packed, ok, err) : TAMIS_OK;
}

enum tamis_status blocked_conv_prepare(const struct blocked_conv_spec *spec, struct arena *arena, void **attr,
                                       struct tensor *packed, struct tamis_error *err)
{
	struct blocked_conv_attr *a = arena_alloc(arena, sizeof *a);
	dnnl_engine_t engine = NULL;
	enum tamis_status s;
	bool ok = false;
	int before;

	*attr = NULL;
	if (!a)
		return tm_no_memory(err, "preparing a convolution");
	*a = (struct blocked_conv_attr){
		.geometry = blocked_geometry(spec), .plain = spec->plain, .has_bias = spec->has_bias, .n_after = spec->n_after};
	memcpy(a->after, spec->after, sizeof a->after);
	if (!onednn_find_threads(&a->threads) || dnnl_engine_create(&engine, dnnl_cpu, 0))
		return TAMIS_OK;
	before = onednn_enter(&a->threads);
	s = prepare(engine, a, spec, packed, &ok, err);
	onednn_leave(&a->threads, before);
	dnnl_engine_destroy(engine);
	if (ok)
		*attr = a;
	return s;
}

static enum tamis_status conv_shape(struct op_call *call)
{
	return blocked_geometry_shape(&((const struct blocked_conv_attr *)call->node->attr)->geometry, call);
}

/* ---- run --------------------------------------------------------------------------------------------------------- */

static void conv_free(void *state)
{
	struct compiled *s = state;

	if (!s)
		return;
	for (int i = 0; i < PORTS; i++)
		dnnl_memory_destroy(s->port[i]);
	dnnl_memory_destroy(s->packed);
	dnnl_primitive_destroy(s->reorder);
	dnnl_primitive_destroy(s->conv);
	dnnl_stream_destroy(s->stream);
	dnnl_engine_destroy(s->engine);
	free(s);
}

/* The packed weight suits the shape it was made for, and nearly always others; where it does not, it is laid out
 * again at each run. */
static dnnl_status_t choose_weight(struct compiled *s, const struct blocked_conv_attr *a, const struct window *w,
                                   dnnl_primitive_desc_t *pd)
{
	struct described d;
	dnnl_memory_desc_t any;
	dnnl_status_t status;

	if (!describe(a, s->items, w, &a->weight, &d) && !choose(a, &d, s->engine, pd) && is_fast(*pd))
		return dnnl_success;
	dnnl_primitive_desc_destroy(*pd);
	*pd = NULL;
	if ((status = describe_weight(a, true, &any)) || (status = describe(a, s->items, w, &any, &d)))
		return status;
	return choose(a, &d, s->engine, pd);
}

static dnnl_status_t open_reorder(struct compiled *s, const struct blocked_conv_attr *a, const dnnl_memory_desc_t *to)
{
	dnnl_primitive_desc_t pd = NULL;
	dnnl_status_t status;

	if (dnnl_memory_desc_equal(&a->weight, to))
		return dnnl_success;
	s->weight_bytes = dnnl_memory_desc_get_size(to);
	if ((status = dnnl_memory_create(&s->packed, &a->weight, s->engine, DNNL_MEMORY_NONE)) ||
	    (status = dnnl_reorder_primitive_desc_create(&pd, &a->weight, s->engine, to, s->engine, NULL)))
		return status;
	status = dnnl_primitive_create(&s->reorder, pd);
	dnnl_primitive_desc_destroy(pd);
	return status;
}

static dnnl_status_t open_ports(struct compiled *s, const struct blocked_conv_attr *a, const_dnnl_primitive_desc_t pd)
{
	static const dnnl_query_t query[PORTS] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_weights_md,
	                                          dnnl_query_dst_md, dnnl_query_dst_md, dnnl_query_scratchpad_md};
	dnnl_status_t status = open_reorder(s, a, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));

	for (int i = 0; !status && i < PORTS; i++)
		if (i != PORT_BIAS || a->has_bias)
			status = dnnl_memory_create(&s->port[i], dnnl_primitive_desc_query_md(pd, query[i], i == PORT_BIAS),
			                            s->engine, DNNL_MEMORY_NONE);
	s->scratch_bytes = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
	return status;
}

static dnnl_status_t compile(struct compiled *s, const struct blocked_conv_attr *a, const struct window *w)
{
	dnnl_primitive_desc_t pd = NULL;
	dnnl_status_t status;

	if ((status = dnnl_engine_create(&s->engine, dnnl_cpu, 0)) ||
	    (status = dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags)) ||
	    (status = choose_weight(s, a, w, &pd)))
		return status;
	status = dnnl_primitive_create(&s->conv, pd);
	if (!status)
		status = open_ports(s, a, pd);
	dnnl_primitive_desc_destroy(pd);
	return status;
}

static bool same_shape(const struct compiled *s, const struct tensor *x)
{
	return s->items == x->dims[0] && s->in[0] == x->dims[2] && s->in[1] == x->dims[3];
}

static enum tamis_status failed(struct op_call *call, dnnl_status_t status)
{
	if (status == dnnl_out_of_memory)
		return tm_no_memory(call->err, "convolving");
	return tm_fail(call->err, TAMIS_E_INTERNAL, "oneDNN failed a convolution with status %d", (int)status);
}

static enum tamis_status open_state(struct op_call *call, void **slot, struct compiled **out)
{
	const struct blocked_conv_attr *a = call->node->attr;
	const struct tensor *x = call->in[0];
	struct compiled *s = *slot;
	struct window w;
	enum tamis_status status;
	dnnl_status_t made;

	*out = s;
	if (s && same_shape(s, x))
		return TAMIS_OK;
	conv_free(s);
	*slot = NULL;
	if ((status = blocked_geometry_window(&a->geometry, call, &w)))
		return status;
	*slot = *out = s = calloc(1, sizeof *s);
	if (!s)
		return tm_no_memory(call->err, "preparing a convolution");
	*s = (struct compiled){.items = x->dims[0], .in = {x->dims[2], x->dims[3]}};
	made = compile(s, a, &w);
	if (made)
		s->items = -1; /* of no shape: compiled anew if it is ever asked again */
	return made ? failed(call, made) : TAMIS_OK;
}

/* Hands over the data; dnnl_out_of_memory when scratch runs out. */
static dnnl_status_t bind(struct compiled *s, struct op_call *call)
{
	const struct tensor *bias = op_in(call, 2), *residual = op_in(call, 3);
	void *scratch = scratch_alloc(call->scratch, s->scratch_bytes, 1);
	void *weight = s->packed ? scratch_alloc(call->scratch, s->weight_bytes, 1) : call->in[1]->data;
	void *data[PORTS] = {call->in[0]->data, weight, bias ? bias->data : NULL, residual ? residual->data : NULL,
	                     call->out[0]->data, scratch};
	dnnl_status_t status = scratch && weight ? dnnl_success : dnnl_out_of_memory;

	for (int i = 0; !status && i < PORTS; i++)
		if (s->port[i] && data[i])
			status = dnnl_memory_set_data_handle(s->port[i], data[i]);
	if (!status && s->packed)
		status = dnnl_memory_set_data_handle(s->packed, call->in[1]->data);
	return status;
}

static int residual_argument(const struct blocked_conv_attr *a)
{
	int at = 0;

	while (at < a->n_after && a->after[at].kind != BLOCKED_RESIDUAL)
		at++;
	return DNNL_ARG_ATTR_MULTIPLE_POST_OP(at) | DNNL_ARG_SRC_1;
}

static dnnl_status_t execute(struct compiled *s, const struct blocked_conv_attr *a, bool residual)
{
	const int names[PORTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, residual_argument(a), DNNL_ARG_DST,
	                          DNNL_ARG_SCRATCHPAD};
	dnnl_exec_arg_t args[PORTS], change[] = {{DNNL_ARG_FROM, s->packed}, {DNNL_ARG_TO, s->port[PORT_WEIGHT]}};
	dnnl_status_t status = s->packed ? dnnl_primitive_execute(s->reorder, s->stream, 2, change) : dnnl_success;
	int n = 0;

	for (int i = 0; i < PORTS; i++)
		if (s->port[i] && (i != PORT_RESIDUAL || residual))
			args[n++] = (dnnl_exec_arg_t){names[i], s->port[i]};
	if (!status)
		status = dnnl_primitive_execute(s->conv, s->stream, n, args);
	return status ? status : dnnl_stream_wait(s->stream);
}

static enum tamis_status conv_run(struct op_call *call)
{
	const struct blocked_conv_attr *a = call->node->attr;
	void *own = NULL; /* where nothing can be kept */
	struct compiled *s;
	enum tamis_status status;
	dnnl_status_t made = dnnl_success;
	int before;

	if (call->out[0]->count == 0)
		return TAMIS_OK;
	before = onednn_enter(&a->threads);
	status = open_state(call, call->state ? call->state : &own, &s);
	if (status == TAMIS_OK && !(made = bind(s, call)))
		made = execute(s, a, op_in(call, 3) != NULL);
	conv_free(own);
	onednn_leave(&a->threads, before);
	return status == TAMIS_OK && made ? failed(call, made) : status;
}

const struct op blocked_conv = {
	.name = "Conv", .domain = "tamis.blocked", .since = 1, .until = OP_LATEST, .min_in = 2, .max_in = 4, .min_out = 1,
	.max_out = 1, .shape = conv_shape, .run = conv_run, .free_state = conv_free};

#else

int64_t blocked_width(void)
{
	return 0;
}

enum tamis_status blocked_conv_prepare(const struct blocked_conv_spec *spec, struct arena *arena, void **attr,
                                       struct tensor *packed, struct tamis_error *err)
{
	(void)spec, (void)arena, (void)packed, (void)err;
	*attr = NULL;
	return TAMIS_OK;
}

const struct op blocked_conv = {.name = "Conv", .domain = "tamis.blocked", .since = 1, .until = OP_LATEST};

#endif
