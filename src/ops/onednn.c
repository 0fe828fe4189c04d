/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/onednn.h"

#ifdef HAVE_ONEDNN
#include <oneapi/dnnl/dnnl_version.h>
#endif

/* The C interface of convolutions changed with version 3. */
#if defined(HAVE_ONEDNN) && DNNL_VERSION_MAJOR == 2

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>

#include "base/error.h"
#include "ops/onednn_threads.h"

enum { LEAST_CHANNELS = 8 }; /* on either side: fewer do not fill the vectors of a blocked layout */

/* A tensor on its way in or out: the caller's plain layout, the layout the convolution wants, the change
 * between. */
enum port_name { PORT_SRC, PORT_WEIGHTS, PORT_BIAS, PORT_DST, PORTS };
struct port {
	dnnl_memory_desc_t plain, wanted;
	dnnl_memory_t outer, inner; /* inner NULL where the layouts are the same */
	dnnl_primitive_t reorder;
};

struct compiled {
	int64_t items, channels, maps; /* with win and has_bias: the shape this was compiled for */
	struct window win;
	bool has_bias, usable;
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_primitive_t conv;
	struct port ports[PORTS];
	dnnl_memory_desc_t scratchpad_desc;
	dnnl_memory_t scratchpad;
	struct onednn_threads threads;
};

static bool belongs(const struct correlation *c)
{
	return c->type == DT_FLOAT && c->groups == 1 && c->win.kernel_size > 1 && c->channels >= LEAST_CHANNELS &&
	       c->maps >= LEAST_CHANNELS;
}

static void free_port(struct port *p)
{
	dnnl_primitive_destroy(p->reorder);
	dnnl_memory_destroy(p->inner);
	dnnl_memory_destroy(p->outer);
}

void onednn_conv_free(void *state)
{
	struct compiled *s = state;

	if (!s)
		return;
	for (int i = 0; i < PORTS; i++)
		free_port(&s->ports[i]);
	dnnl_memory_destroy(s->scratchpad);
	dnnl_primitive_destroy(s->conv);
	dnnl_stream_destroy(s->stream);
	dnnl_engine_destroy(s->engine);
	free(s);
}

static bool same_shape(const struct compiled *s, const struct correlation *c, bool has_bias)
{
	bool same = s->items == c->items && s->channels == c->channels && s->maps == c->maps &&
	            s->has_bias == has_bias && s->win.rank == c->win.rank;

	for (int i = 0; i < WINDOW_AXES; i++)
		same = same && s->win.in[i] == c->win.in[i] && s->win.out[i] == c->win.out[i] &&
		       s->win.kernel[i] == c->win.kernel[i] && s->win.stride[i] == c->win.stride[i] &&
		       s->win.dilation[i] == c->win.dilation[i] && s->win.begin[i] == c->win.begin[i] &&
		       s->win.end[i] == c->win.end[i];
	return same;
}

/* Plain row-major (a, b, space...), and the same with the layout left to oneDNN. */
static dnnl_status_t describe(struct port *p, int64_t a, int64_t b, const int64_t *space, int rank)
{
	static const dnnl_format_tag_t plain[] = {dnnl_abc, dnnl_abcd, dnnl_abcde};
	dnnl_dims_t dims = {a, b};
	dnnl_status_t status;

	for (int i = 0; i < rank; i++)
		dims[2 + i] = space[WINDOW_AXES - rank + i];
	status = dnnl_memory_desc_init_by_tag(&p->plain, rank + 2, dims, dnnl_f32, plain[rank - 1]);
	if (status)
		return status;
	return dnnl_memory_desc_init_by_tag(&p->wanted, rank + 2, dims, dnnl_f32, dnnl_format_tag_any);
}

static dnnl_status_t describe_all(struct compiled *s)
{
	dnnl_status_t status;
	int rank = s->win.rank;

	if ((status = describe(&s->ports[PORT_SRC], s->items, s->channels, s->win.in, rank)) ||
	    (status = describe(&s->ports[PORT_WEIGHTS], s->maps, s->channels, s->win.kernel, rank)) ||
	    (status = describe(&s->ports[PORT_DST], s->items, s->maps, s->win.out, rank)))
		return status;
	status = dnnl_memory_desc_init_by_tag(&s->ports[PORT_BIAS].plain, 1, (dnnl_dims_t){s->maps}, dnnl_f32,
	                                      dnnl_a);
	s->ports[PORT_BIAS].wanted = s->ports[PORT_BIAS].plain;
	return status;
}

/* The convolution with layouts of oneDNN's choice and a scratchpad of ours. */
static dnnl_status_t choose(const struct compiled *s, dnnl_primitive_desc_t *pd)
{
	const struct port *p = s->ports;
	int rank = s->win.rank, skip = WINDOW_AXES - rank;
	dnnl_dims_t strides = {0}, dilates = {0}, begin = {0}, end = {0};
	dnnl_convolution_desc_t desc;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_status_t status;

	for (int i = 0; i < rank; i++) {
		strides[i] = s->win.stride[skip + i];
		dilates[i] = s->win.dilation[skip + i] - 1;
		begin[i] = s->win.begin[skip + i];
		end[i] = s->win.end[skip + i];
	}
	status = dnnl_dilated_convolution_forward_desc_init(
		&desc, dnnl_forward_inference, dnnl_convolution_direct, &p[PORT_SRC].wanted, &p[PORT_WEIGHTS].wanted,
		s->has_bias ? &p[PORT_BIAS].wanted : NULL, &p[PORT_DST].wanted, strides, dilates, begin, end);
	if (status || (status = dnnl_primitive_attr_create(&attr)))
		return status;
	status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
	if (!status)
		status = dnnl_primitive_desc_create(pd, &desc, attr, s->engine, NULL);
	dnnl_primitive_attr_destroy(attr);
	return status;
}

/* Handles without data, and the reorder between them where the layouts differ. */
static dnnl_status_t open_port(struct compiled *s, enum port_name name)
{
	struct port *p = &s->ports[name];
	const dnnl_memory_desc_t *from = name == PORT_DST ? &p->wanted : &p->plain;
	const dnnl_memory_desc_t *to = name == PORT_DST ? &p->plain : &p->wanted;
	dnnl_primitive_desc_t pd;
	dnnl_status_t status = dnnl_memory_create(&p->outer, &p->plain, s->engine, DNNL_MEMORY_NONE);

	if (status || dnnl_memory_desc_equal(&p->plain, &p->wanted))
		return status;
	if ((status = dnnl_memory_create(&p->inner, &p->wanted, s->engine, DNNL_MEMORY_NONE)) ||
	    (status = dnnl_reorder_primitive_desc_create(&pd, from, s->engine, to, s->engine, NULL)))
		return status;
	status = dnnl_primitive_create(&p->reorder, pd);
	dnnl_primitive_desc_destroy(pd);
	return status;
}

static dnnl_status_t open_ports(struct compiled *s, const_dnnl_primitive_desc_t pd)
{
	dnnl_status_t status = dnnl_success;

	s->ports[PORT_SRC].wanted = *dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0);
	s->ports[PORT_WEIGHTS].wanted = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
	s->ports[PORT_DST].wanted = *dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
	s->scratchpad_desc = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
	for (int i = 0; !status && i < PORTS; i++)
		status = open_port(s, (enum port_name)i);
	if (status)
		return status;
	return dnnl_memory_create(&s->scratchpad, &s->scratchpad_desc, s->engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t compile(struct compiled *s)
{
	dnnl_primitive_desc_t pd = NULL;
	dnnl_status_t status;

	if ((status = dnnl_engine_create(&s->engine, dnnl_cpu, 0)) ||
	    (status = dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags)) ||
	    (status = describe_all(s)) || (status = choose(s, &pd)))
		return status;
	status = dnnl_primitive_create(&s->conv, pd);
	if (!status)
		status = open_ports(s, pd);
	dnnl_primitive_desc_destroy(pd);
	return status;
}

/* A state for this shape, compiled where oneDNN can. What it cannot do is remembered as not usable. */
static enum tamis_status open_state(void **state, const struct correlation *c, bool has_bias)
{
	struct compiled *s = *state;
	dnnl_status_t status = dnnl_unimplemented;
	int before;

	if (s && same_shape(s, c, has_bias))
		return TAMIS_OK;
	onednn_conv_free(s);
	*state = s = calloc(1, sizeof *s);
	if (!s)
		return tm_no_memory(c->err, "preparing a convolution");
	s->items = c->items;
	s->channels = c->channels;
	s->maps = c->maps;
	s->win = c->win;
	s->has_bias = has_bias;
	if (onednn_find_threads(&s->threads)) {
		before = onednn_enter(&s->threads);
		status = compile(s);
		onednn_leave(&s->threads, before);
	}
	s->usable = status == dnnl_success;
	return status == dnnl_out_of_memory ? tm_no_memory(c->err, "preparing a convolution") : TAMIS_OK;
}

/* The caller's data, and scratch for the other layout. */
static enum tamis_status bind(const struct correlation *c, struct port *p, const void *data)
{
	void *room;

	if (dnnl_memory_set_data_handle(p->outer, (void *)data))
		return tm_fail(c->err, TAMIS_E_INTERNAL, "oneDNN did not take a buffer");
	if (!p->inner)
		return TAMIS_OK;
	room = scratch_alloc(c->scratch, dnnl_memory_desc_get_size(&p->wanted), 1);
	if (!room)
		return tm_no_memory(c->err, "convolving");
	if (dnnl_memory_set_data_handle(p->inner, room))
		return tm_fail(c->err, TAMIS_E_INTERNAL, "oneDNN did not take a buffer");
	return TAMIS_OK;
}

static enum tamis_status bind_all(struct compiled *s, const struct correlation *c, const void *const *data)
{
	enum tamis_status status = TAMIS_OK;
	void *room = scratch_alloc(c->scratch, dnnl_memory_desc_get_size(&s->scratchpad_desc), 1);

	if (!room)
		return tm_no_memory(c->err, "convolving");
	if (dnnl_memory_set_data_handle(s->scratchpad, room))
		return tm_fail(c->err, TAMIS_E_INTERNAL, "oneDNN did not take a buffer");
	for (int i = 0; !status && i < PORTS; i++)
		if (data[i])
			status = bind(c, &s->ports[i], data[i]);
	return status;
}

static dnnl_status_t reorder(struct compiled *s, const struct port *p, bool inward)
{
	dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, inward ? p->outer : p->inner},
	                          {DNNL_ARG_TO, inward ? p->inner : p->outer}};

	return p->reorder ? dnnl_primitive_execute(p->reorder, s->stream, 2, args) : dnnl_success;
}

static dnnl_status_t execute(struct compiled *s)
{
	static const int names[PORTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
	dnnl_exec_arg_t args[PORTS + 1];
	dnnl_status_t status;
	int n = 0;

	for (int i = 0; i < PORTS; i++)
		if (i != PORT_BIAS || s->has_bias)
			args[n++] = (dnnl_exec_arg_t){names[i], s->ports[i].inner ? s->ports[i].inner : s->ports[i].outer};
	args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, s->scratchpad};
	if ((status = reorder(s, &s->ports[PORT_SRC], true)) ||
	    (status = reorder(s, &s->ports[PORT_WEIGHTS], true)) ||
	    (status = dnnl_primitive_execute(s->conv, s->stream, n, args)) ||
	    (status = reorder(s, &s->ports[PORT_DST], false)))
		return status;
	return dnnl_stream_wait(s->stream);
}

enum tamis_status onednn_conv(void **state, const struct correlation *c, const void *image,
                              const void *weight, const void *bias, void *maps, bool *done)
{
	const void *data[PORTS] = {
		[PORT_SRC] = image, [PORT_WEIGHTS] = weight, [PORT_BIAS] = bias, [PORT_DST] = maps};
	struct compiled *s;
	enum tamis_status status;
	dnnl_status_t result;
	int before;

	*done = false;
	if (!state || !belongs(c))
		return TAMIS_OK;
	if ((status = open_state(state, c, bias != NULL)))
		return status;
	s = *state;
	if (!s->usable)
		return TAMIS_OK;
	if ((status = bind_all(s, c, data)))
		return status;
	before = onednn_enter(&s->threads);
	result = execute(s);
	onednn_leave(&s->threads, before);
	if (result == dnnl_out_of_memory)
		return tm_no_memory(c->err, "convolving");
	if (result)
		return tm_fail(c->err, TAMIS_E_INTERNAL, "oneDNN failed a convolution with status %d", (int)result);
	*done = true;
	return TAMIS_OK;
}

#else

void onednn_conv_free(void *state)
{
	(void)state;
}

enum tamis_status onednn_conv(void **state, const struct correlation *c, const void *image,
                              const void *weight, const void *bias, void *maps, bool *done)
{
	(void)state, (void)c, (void)image, (void)weight, (void)bias, (void)maps;
	*done = false;
	return TAMIS_OK;
}

#endif
