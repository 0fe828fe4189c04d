/* SPDX-License-Identifier: Apache-2.0 */
/* Backward data by fewer products (ops/winograd.h) or through oneDNN; through columns where neither has a kernel. */
#include "ops/blocked_back.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/loop.h"
#include "ops/conv.h"
#include "ops/winograd.h"

#ifdef HAVE_ONEDNN
#include <oneapi/dnnl/dnnl_version.h>
#endif

static enum tamis_status no_memory(const struct blocked_back *b)
{
	return tm_no_memory(b->err, "reversing a convolution");
}

/* ---- columns --------------------------------------------------------------------------------------------------- */

static enum tamis_status by_columns(const struct blocked_back *b, const struct correlation *c)
{
	size_t x = (size_t)(c->items * c->groups * c->channels * c->win.in_size);
	size_t y = (size_t)(c->items * c->groups * c->maps * c->win.out_size);
	float *gy = scratch_alloc(b->scratch, y, sizeof *gy), *gx = scratch_alloc(b->scratch, x, sizeof *gx);
	enum tamis_status s;

	if (!gy || !gx)
		return no_memory(b);
	for (size_t i = 0; i < x; i++)
		gx[i] = 0;
	blocked_to_plain(b->gy, c->groups * c->maps, gy);
	s = correlate_back(c, gy, b->weight->data, gx);
	if (!b->add)
		for (int64_t i = 0; i < b->gx->count; i++)
			((float *)b->gx->data)[i] = 0;
	if (s == TAMIS_OK && b->gx->rank == 5)
		blocked_add_plain(gx, c->groups * c->channels, b->gx);
	else if (s == TAMIS_OK)
		for (size_t i = 0; i < x; i++)
			((float *)b->gx->data)[i] += gx[i];
	return s;
}

static enum tamis_status resolve(const struct blocked_back *b, struct correlation *c)
{
	const struct conv_attr *a = b->conv->attr;
	const int64_t *d = b->gx->dims;
	const struct tensor image = {.type = DT_FLOAT, .rank = 4, .dims = {d[0], b->weight->dims[1] * a->group, d[2], d[3]}};
	enum tamis_status s = conv_resolve(a, &image, b->weight, NULL, c, b->err);

	c->scratch = b->scratch;
	return s;
}

/* The C interface of convolutions changed with version 3. */
#if defined(HAVE_ONEDNN) && DNNL_VERSION_MAJOR == 2

#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "ops/onednn_threads.h"

/* ---- fewer products -------------------------------------------------------------------------------------------- */

/* The weight for it; NULL: no memory. */
static float *turn_weight(const struct blocked_back *b, const struct correlation *c)
{
	float *turned = tm_array_uninit(winograd_weight_size(blocked_width(), c->channels, c->maps, true), sizeof *turned);

	if (turned)
		winograd_weight(blocked_width(), b->weight->data, c->channels, c->maps, true, turned);
	return turned;
}

static enum tamis_status by_winograd(const struct blocked_back *b, const struct correlation *c, const float *turned)
{
	static const struct blocked_after added = { .kind = BLOCKED_RESIDUAL };
	const struct window *win = &c->win;
	struct winograd w = { .lanes = b->gx->dims[4], .items = c->items,
		.in_blocks = b->gy->dims[1], .out_blocks = b->gx->dims[1],
		.in = { win->out[1], win->out[2] }, .out = { win->in[1], win->in[2] },
		.begin = { 2 - win->begin[1], 2 - win->begin[2] }, .x = b->gy->data, .weight = turned, .residual = b->gx->data,
		.after = &added, .n_after = b->add, .y = b->gx->data };
	float *room = scratch_alloc(b->scratch, winograd_room(&w), sizeof *room);

	if (!room)
		return no_memory(b);
	winograd_run(&w, room);
	return TAMIS_OK;
}

/* ---- oneDNN ---------------------------------------------------------------------------------------------------- */

enum { PORT_DST, PORT_WEIGHT, PORT_SRC, PORT_SCRATCH, PORTS };

struct compiled {
	int64_t dims[4];           /* of the image it was made for */
	const void *weight_of;     /* the plain weight that `weight` was made from */
	bool usable;
	size_t scratch_bytes;
	float *weight;
	float *turned;             /* else: for fewer products */
	struct onednn_threads threads;
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_primitive_t back;
	dnnl_memory_t port[PORTS];
};

void blocked_back_free(void *state)
{
	struct compiled *s = state;

	if (!s)
		return;
	for (int i = 0; i < PORTS; i++)
		dnnl_memory_destroy(s->port[i]);
	dnnl_primitive_destroy(s->back);
	dnnl_stream_destroy(s->stream);
	dnnl_engine_destroy(s->engine);
	free(s->weight);
	free(s->turned);
	free(s);
}

/* The weight of a grouped convolution has its groups on an axis of their own. */
static dnnl_status_t describe_weight(const struct correlation *c, bool any, dnnl_memory_desc_t *d)
{
	const int64_t *k = c->win.kernel;
	dnnl_dims_t grouped = {c->groups, c->maps, c->channels, k[1], k[2]}, dense = {c->maps, c->channels, k[1], k[2]};

	if (c->groups > 1)
		return dnnl_memory_desc_init_by_tag(d, 5, grouped, dnnl_f32, any ? dnnl_format_tag_any : dnnl_abcde);
	return dnnl_memory_desc_init_by_tag(d, 4, dense, dnnl_f32, any ? dnnl_format_tag_any : dnnl_abcd);
}

static dnnl_status_t choose(const struct correlation *c, dnnl_engine_t engine, dnnl_primitive_desc_t *pd)
{
	dnnl_format_tag_t blocks = blocked_width() == 16 ? dnnl_nChw16c : dnnl_nChw8c;
	const struct window *w = &c->win;
	dnnl_dims_t x = {c->items, c->groups * c->channels, w->in[1], w->in[2]};
	dnnl_dims_t y = {c->items, c->groups * c->maps, w->out[1], w->out[2]};
	dnnl_dims_t strides = {w->stride[1], w->stride[2]}, dilates = {w->dilation[1] - 1, w->dilation[2] - 1};
	dnnl_dims_t begin = {w->begin[1], w->begin[2]}, end = {w->end[1], w->end[2]};
	dnnl_memory_desc_t src, weight, dst;
	dnnl_convolution_desc_t desc;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t hint = NULL;
	dnnl_status_t s;

	if ((s = dnnl_memory_desc_init_by_tag(&src, 4, x, dnnl_f32, blocks)) ||
	    (s = dnnl_memory_desc_init_by_tag(&dst, 4, y, dnnl_f32, blocks)) || (s = describe_weight(c, true, &weight)) ||
	    (s = dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_training, dnnl_convolution_direct, &src,
	                                                    &weight, NULL, &dst, strides, dilates, begin, end)) ||
	    (s = dnnl_primitive_desc_create(&hint, &desc, NULL, engine, NULL)))
		return s;
	if (!(s = dnnl_dilated_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &src, &weight, &dst,
	                                                           strides, dilates, begin, end)) &&
	    !(s = dnnl_primitive_attr_create(&attr)) &&
	    !(s = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user)))
		s = dnnl_primitive_desc_create(pd, &desc, attr, engine, hint);
	dnnl_primitive_attr_destroy(attr);
	dnnl_primitive_desc_destroy(hint);
	return s;
}

static bool is_fast(const_dnnl_primitive_desc_t pd)
{
	const char *name = NULL;

	return !dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) && name &&
	       (!strncmp(name, "jit", 3) || !strncmp(name, "br", 2));
}

/* The weight as the kernel wants it, once. */
static dnnl_status_t pack(struct compiled *s, const struct correlation *c, const void *weight)
{
	const dnnl_memory_desc_t *to;
	dnnl_memory_desc_t plain;
	dnnl_memory_t from = NULL;
	dnnl_primitive_desc_t pd = NULL;
	dnnl_primitive_t reorder = NULL;
	dnnl_status_t status;

	if ((status = dnnl_memory_get_memory_desc(s->port[PORT_WEIGHT], &to)))
		return status;
	s->weight = tm_array_uninit(dnnl_memory_desc_get_size(to) + 64, 1);
	if (!s->weight)
		return dnnl_out_of_memory;
	if (!(status = describe_weight(c, false, &plain)) &&
	    !(status = dnnl_memory_create(&from, &plain, s->engine, (void *)weight)) &&
	    !(status = dnnl_memory_set_data_handle(s->port[PORT_WEIGHT], s->weight)) &&
	    !(status = dnnl_reorder_primitive_desc_create(&pd, &plain, s->engine, to, s->engine, NULL)) &&
	    !(status = dnnl_primitive_create(&reorder, pd))) {
		dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, s->port[PORT_WEIGHT]}};

		status = dnnl_primitive_execute(reorder, s->stream, 2, args);
		status = status ? status : dnnl_stream_wait(s->stream);
	}
	dnnl_memory_destroy(from);
	dnnl_primitive_destroy(reorder);
	dnnl_primitive_desc_destroy(pd);
	return status;
}

static dnnl_status_t compile(struct compiled *s, const struct correlation *c, const void *weight)
{
	static const dnnl_query_t query[PORTS] = {dnnl_query_diff_dst_md, dnnl_query_weights_md, dnnl_query_diff_src_md,
	                                          dnnl_query_scratchpad_md};
	dnnl_primitive_desc_t pd = NULL;
	dnnl_status_t status;

	if ((status = dnnl_engine_create(&s->engine, dnnl_cpu, 0)) ||
	    (status = dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags)) ||
	    (status = choose(c, s->engine, &pd)))
		return status;
	s->usable = is_fast(pd);
	if (s->usable)
		status = dnnl_primitive_create(&s->back, pd);
	for (int i = 0; s->usable && !status && i < PORTS; i++)
		status = dnnl_memory_create(&s->port[i], dnnl_primitive_desc_query_md(pd, query[i], 0), s->engine,
		                            DNNL_MEMORY_NONE);
	s->scratch_bytes = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
	dnnl_primitive_desc_destroy(pd);
	return s->usable && !status ? pack(s, c, weight) : status;
}

static bool same(const struct compiled *s, const struct blocked_back *b)
{
	return !memcmp(s->dims, b->gx->dims, sizeof s->dims) && s->weight_of == b->weight->data;
}

/* What oneDNN cannot do is remembered as not usable. */
static enum tamis_status open_state(void **state, const struct blocked_back *b, const struct correlation *c)
{
	struct compiled *s = *state;
	dnnl_status_t status;
	int before;

	if (s && same(s, b))
		return TAMIS_OK;
	blocked_back_free(s);
	*state = s = calloc(1, sizeof *s);
	if (!s)
		return no_memory(b);
	memcpy(s->dims, b->gx->dims, sizeof s->dims);
	s->weight_of = b->weight->data;
	if (b->gx->rank == 5 && winograd_fits(blocked_width(), &c->win, c->groups, c->maps, c->channels, c->win.in + 1))
		return (s->turned = turn_weight(b, c)) ? TAMIS_OK : no_memory(b);
	if (b->gx->rank != 5 || !onednn_find_threads(&s->threads))
		return TAMIS_OK;
	before = onednn_enter(&s->threads);
	status = compile(s, c, b->weight->data);
	onednn_leave(&s->threads, before);
	if (status)
		s->usable = false;
	return status == dnnl_out_of_memory ? no_memory(b) : TAMIS_OK;
}

LOOP_VERSIONS
static void add(const float *from, int64_t n, float *restrict to)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += from[i];
}

static enum tamis_status execute(struct compiled *s, const struct blocked_back *b)
{
	void *scratch = scratch_alloc(b->scratch, s->scratch_bytes, 1);
	void *gx = b->add ? scratch_alloc(b->scratch, (size_t)b->gx->count, sizeof(float)) : b->gx->data;
	dnnl_exec_arg_t args[PORTS] = {{DNNL_ARG_DIFF_DST, s->port[PORT_DST]}, {DNNL_ARG_WEIGHTS, s->port[PORT_WEIGHT]},
	                               {DNNL_ARG_DIFF_SRC, s->port[PORT_SRC]}, {DNNL_ARG_SCRATCHPAD, s->port[PORT_SCRATCH]}};
	dnnl_status_t status;
	int before;

	if (!scratch || !gx)
		return no_memory(b);
	before = onednn_enter(&s->threads);
	if (!(status = dnnl_memory_set_data_handle(s->port[PORT_DST], b->gy->data)) &&
	    !(status = dnnl_memory_set_data_handle(s->port[PORT_SRC], gx)) &&
	    !(status = dnnl_memory_set_data_handle(s->port[PORT_SCRATCH], scratch)) &&
	    !(status = dnnl_primitive_execute(s->back, s->stream, PORTS, args)))
		status = dnnl_stream_wait(s->stream);
	onednn_leave(&s->threads, before);
	if (status)
		return tm_fail(b->err, TAMIS_E_INTERNAL, "oneDNN failed a convolution's gradient with status %d", (int)status);
	if (b->add)
		add(gx, b->gx->count, b->gx->data);
	return TAMIS_OK;
}

enum tamis_status blocked_back(void **state, const struct blocked_back *b)
{
	struct correlation c;
	const struct compiled *compiled;
	enum tamis_status s = resolve(b, &c);

	if (s == TAMIS_OK)
		s = open_state(state, b, &c);
	if (s != TAMIS_OK)
		return s;
	compiled = *state;
	if (compiled->turned)
		return by_winograd(b, &c, compiled->turned);
	return compiled->usable ? execute(*state, b) : by_columns(b, &c);
}

#else

void blocked_back_free(void *state)
{
	(void)state;
}

enum tamis_status blocked_back(void **state, const struct blocked_back *b)
{
	struct correlation c;
	enum tamis_status s = resolve(b, &c);

	(void)state;
	return s == TAMIS_OK ? by_columns(b, &c) : s;
}

#endif
