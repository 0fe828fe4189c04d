/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/onednn.h"

#ifdef HAVE_ONEDNN
#include <oneapi/dnnl/dnnl_version.h>
#endif

/* The C interface of convolutions changed with version 3. */
#if defined(HAVE_ONEDNN) && DNNL_VERSION_MAJOR == 2

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/loop.h"
#include "ops/onednn_threads.h"

enum { LEAST_CHANNELS = 8 }; /* on either side: fewer do not fill the vectors of a blocked layout */

/* A tensor on its way in or out: the caller's plain layout, the layout the convolution wants, the change
 * between. */
enum port_name { PORT_SRC, PORT_WEIGHTS, PORT_BIAS, PORT_DST, PORTS };

/* The three products, and which port each of them writes. */
enum product { FORWARD, BACK_TO_SRC, BACK_TO_WEIGHTS, PRODUCTS };
static const enum port_name result_of[PRODUCTS] = {PORT_DST, PORT_SRC, PORT_WEIGHTS};
struct port {
	dnnl_memory_desc_t plain, wanted;
	dnnl_memory_t outer, inner; /* inner NULL where the layouts are the same */
	dnnl_primitive_t reorder;
};

struct compiled {
	enum product product;
	int64_t items, groups, channels, maps; /* with win and has_bias: the shape this was compiled for */
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

/* Of a convolution, one for each product that was asked for. */
struct products { struct compiled *of[PRODUCTS]; };

static bool belongs(const struct correlation *c)
{
	bool depthwise = c->groups >= LEAST_CHANNELS && c->channels == 1 && c->maps == 1;

	return c->type == DT_FLOAT && c->win.kernel_size > 1 &&
	       (depthwise || (c->groups == 1 && c->channels >= LEAST_CHANNELS && c->maps >= LEAST_CHANNELS));
}

static void free_port(struct port *p)
{
	dnnl_primitive_destroy(p->reorder);
	dnnl_memory_destroy(p->inner);
	dnnl_memory_destroy(p->outer);
}

static void free_compiled(struct compiled *s)
{
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

void onednn_conv_free(void *state)
{
	struct products *p = state;

	for (int i = 0; p && i < PRODUCTS; i++)
		free_compiled(p->of[i]);
	free(p);
}

static bool same_shape(const struct compiled *s, const struct correlation *c, bool has_bias)
{
	bool same = s->items == c->items && s->groups == c->groups && s->channels == c->channels && s->maps == c->maps &&
	            s->has_bias == has_bias && s->win.rank == c->win.rank;

	for (int i = 0; i < WINDOW_AXES; i++)
		same = same && s->win.in[i] == c->win.in[i] && s->win.out[i] == c->win.out[i] &&
		       s->win.kernel[i] == c->win.kernel[i] && s->win.stride[i] == c->win.stride[i] &&
		       s->win.dilation[i] == c->win.dilation[i] && s->win.begin[i] == c->win.begin[i] &&
		       s->win.end[i] == c->win.end[i];
	return same;
}

/* Plain row-major (lead..., space...), and the same with the layout left to oneDNN. */
static dnnl_status_t describe(struct port *p, const int64_t *lead, int n_lead, const int64_t *space, int rank)
{
	static const dnnl_format_tag_t plain[] = {dnnl_abc, dnnl_abcd, dnnl_abcde, dnnl_abcdef};
	dnnl_dims_t dims = {0};
	dnnl_status_t status;

	for (int i = 0; i < n_lead; i++)
		dims[i] = lead[i];
	for (int i = 0; i < rank; i++)
		dims[n_lead + i] = space[WINDOW_AXES - rank + i];
	status = dnnl_memory_desc_init_by_tag(&p->plain, rank + n_lead, dims, dnnl_f32, plain[rank + n_lead - 3]);
	if (status)
		return status;
	return dnnl_memory_desc_init_by_tag(&p->wanted, rank + n_lead, dims, dnnl_f32, dnnl_format_tag_any);
}

/* The weight of a grouped convolution has its groups on an axis of their own. */
static dnnl_status_t describe_all(struct compiled *s)
{
	const int64_t src[] = {s->items, s->groups * s->channels}, dst[] = {s->items, s->groups * s->maps};
	const int64_t weight[] = {s->groups, s->maps, s->channels};
	bool grouped = s->groups > 1;
	dnnl_status_t status;
	int rank = s->win.rank;

	if ((status = describe(&s->ports[PORT_SRC], src, 2, s->win.in, rank)) ||
	    (status = describe(&s->ports[PORT_WEIGHTS], weight + !grouped, 2 + grouped, s->win.kernel, rank)) ||
	    (status = describe(&s->ports[PORT_DST], dst, 2, s->win.out, rank)))
		return status;
	status = dnnl_memory_desc_init_by_tag(&s->ports[PORT_BIAS].plain, 1, (dnnl_dims_t){s->groups * s->maps}, dnnl_f32,
	                                      dnnl_a);
	s->ports[PORT_BIAS].wanted = s->ports[PORT_BIAS].plain;
	return status;
}

/* Strides and all that, as oneDNN counts them. */
struct geometry { dnnl_dims_t strides, dilates, begin, end; };

static struct geometry geometry_of(const struct window *w)
{
	struct geometry g = {{0}, {0}, {0}, {0}};
	int skip = WINDOW_AXES - w->rank;

	for (int i = 0; i < w->rank; i++) {
		g.strides[i] = w->stride[skip + i];
		g.dilates[i] = w->dilation[skip + i] - 1;
		g.begin[i] = w->begin[skip + i];
		g.end[i] = w->end[skip + i];
	}
	return g;
}

static dnnl_status_t describe_forward(const struct compiled *s, dnnl_convolution_desc_t *desc)
{
	const struct port *p = s->ports;
	struct geometry g = geometry_of(&s->win);

	return dnnl_dilated_convolution_forward_desc_init(
		desc, s->product == FORWARD ? dnnl_forward_inference : dnnl_forward_training, dnnl_convolution_direct,
		&p[PORT_SRC].wanted, &p[PORT_WEIGHTS].wanted, s->has_bias ? &p[PORT_BIAS].wanted : NULL, &p[PORT_DST].wanted,
		g.strides, g.dilates, g.begin, g.end);
}

static dnnl_status_t describe_product(const struct compiled *s, dnnl_convolution_desc_t *desc)
{
	const struct port *p = s->ports;
	struct geometry g = geometry_of(&s->win);

	if (s->product == BACK_TO_SRC)
		return dnnl_dilated_convolution_backward_data_desc_init(desc, dnnl_convolution_direct, &p[PORT_SRC].wanted,
			&p[PORT_WEIGHTS].wanted, &p[PORT_DST].wanted, g.strides, g.dilates, g.begin, g.end);
	if (s->product == BACK_TO_WEIGHTS)
		return dnnl_dilated_convolution_backward_weights_desc_init(desc, dnnl_convolution_direct, &p[PORT_SRC].wanted,
			&p[PORT_WEIGHTS].wanted, NULL, &p[PORT_DST].wanted, g.strides, g.dilates, g.begin, g.end);
	return describe_forward(s, desc);
}

/* The product with layouts of oneDNN's choice and a scratchpad of ours. */
static dnnl_status_t choose(const struct compiled *s, dnnl_primitive_desc_t *pd)
{
	dnnl_convolution_desc_t desc;
	dnnl_primitive_desc_t hint = NULL;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_status_t status = dnnl_success;

	if (s->product != FORWARD && !(status = describe_forward(s, &desc)))
		status = dnnl_primitive_desc_create(&hint, &desc, NULL, s->engine, NULL);
	if (!status && !(status = describe_product(s, &desc)) && !(status = dnnl_primitive_attr_create(&attr)) &&
	    !(status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user)))
		status = dnnl_primitive_desc_create(pd, &desc, attr, s->engine, hint);
	dnnl_primitive_attr_destroy(attr);
	dnnl_primitive_desc_destroy(hint);
	return status;
}

/* Where oneDNN has nothing but loops for a shape, columns are faster. */
static bool is_compiled(const_dnnl_primitive_desc_t pd)
{
	const char *name = NULL;

	return !dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) && name &&
	       (!strncmp(name, "jit", 3) || !strncmp(name, "br", 2));
}

/* In reverse, what comes from the results and what is written are gradients. */
static bool is_gradient(enum product product, int port)
{
	return product != FORWARD && (port == PORT_DST || port == (int)result_of[product]);
}

/* Handles without data, and the reorder between them where the layouts differ. */
static dnnl_status_t open_port(struct compiled *s, enum port_name name)
{
	struct port *p = &s->ports[name];
	bool outward = name == result_of[s->product];
	const dnnl_memory_desc_t *from = outward ? &p->wanted : &p->plain, *to = outward ? &p->plain : &p->wanted;
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
	static const dnnl_query_t plain[PORTS] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_undef, dnnl_query_dst_md};
	static const dnnl_query_t diff[PORTS] = {dnnl_query_diff_src_md, dnnl_query_diff_weights_md, dnnl_query_undef,
	                                         dnnl_query_diff_dst_md};
	dnnl_status_t status = dnnl_success;

	for (int i = 0; i < PORTS; i++)
		if (i != PORT_BIAS)
			s->ports[i].wanted = *dnnl_primitive_desc_query_md(pd, is_gradient(s->product, i) ? diff[i] : plain[i], 0);
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
	status = s->product == FORWARD || is_compiled(pd) ? dnnl_primitive_create(&s->conv, pd) : dnnl_unimplemented;
	if (!status)
		status = open_ports(s, pd);
	dnnl_primitive_desc_destroy(pd);
	return status;
}

static struct compiled *open_compiled(enum product product, const struct correlation *c, bool has_bias)
{
	struct compiled *s = calloc(1, sizeof *s);

	if (s)
		*s = (struct compiled){.product = product, .items = c->items, .groups = c->groups, .channels = c->channels,
		                       .maps = c->maps, .win = c->win, .has_bias = has_bias};
	return s;
}

/* A product for this shape, compiled where oneDNN can. What it cannot do is remembered as not usable. */
static enum tamis_status open_state(void **state, enum product product, const struct correlation *c, bool has_bias)
{
	struct products *all = *state = *state ? *state : calloc(1, sizeof *all);
	struct compiled *s = all ? all->of[product] : NULL;
	dnnl_status_t status = dnnl_unimplemented;
	int before;

	if (s && same_shape(s, c, has_bias))
		return TAMIS_OK;
	free_compiled(s);
	if (all)
		all->of[product] = s = open_compiled(product, c, has_bias);
	if (!all || !s)
		return tm_no_memory(c->err, "preparing a convolution");
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

static int argument(enum product product, int port)
{
	static const int names[PORTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
	static const int diffs[PORTS] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST};

	return is_gradient(product, port) ? diffs[port] : names[port];
}

static dnnl_status_t execute(struct compiled *s)
{
	dnnl_exec_arg_t args[PORTS + 1];
	dnnl_status_t status = dnnl_success;
	int n = 0, result = (int)result_of[s->product];

	for (int i = 0; i < PORTS; i++)
		if (i != PORT_BIAS || s->has_bias)
			args[n++] = (dnnl_exec_arg_t){argument(s->product, i), s->ports[i].inner ? s->ports[i].inner : s->ports[i].outer};
	args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, s->scratchpad};
	for (int i = 0; !status && i < PORTS; i++)
		if (i != PORT_BIAS && i != result)
			status = reorder(s, &s->ports[i], true);
	if (!status && !(status = dnnl_primitive_execute(s->conv, s->stream, n, args)) &&
	    !(status = reorder(s, &s->ports[result], false)))
		status = dnnl_stream_wait(s->stream);
	return status;
}

static enum tamis_status run(struct compiled *s, const struct correlation *c, const void *const *data)
{
	enum tamis_status status = bind_all(s, c, data);
	dnnl_status_t result;
	int before;

	if (status)
		return status;
	before = onednn_enter(&s->threads);
	result = execute(s);
	onednn_leave(&s->threads, before);
	if (result == dnnl_out_of_memory)
		return tm_no_memory(c->err, "convolving");
	if (result)
		return tm_fail(c->err, TAMIS_E_INTERNAL, "oneDNN failed a convolution with status %d", (int)result);
	return TAMIS_OK;
}

/* The compiled product; NULL where the shape does not belong here. */
static enum tamis_status find(void **state, enum product product, const struct correlation *c, bool has_bias,
                              struct compiled **out)
{
	enum tamis_status status = state && belongs(c) ? open_state(state, product, c, has_bias) : TAMIS_OK;
	struct products *all = state ? *state : NULL;

	*out = !status && all && belongs(c) && all->of[product]->usable ? all->of[product] : NULL;
	return status;
}

enum tamis_status onednn_conv(void **state, const struct correlation *c, const void *image,
                              const void *weight, const void *bias, void *maps, bool *done)
{
	const void *data[PORTS] = {
		[PORT_SRC] = image, [PORT_WEIGHTS] = weight, [PORT_BIAS] = bias, [PORT_DST] = maps};
	struct compiled *s;
	enum tamis_status status = find(state, FORWARD, c, bias != NULL, &s);

	*done = s != NULL;
	return s ? run(s, c, data) : status;
}

LOOP_VERSIONS
static void add(const float *from, int64_t n, float *restrict to)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += from[i];
}

/* data[result]: what is added to. */
static enum tamis_status run_back(void **state, enum product product, const struct correlation *c, const void **data, void *to,
                                  bool *done)
{
	struct compiled *s;
	enum tamis_status status = find(state, product, c, false, &s);
	int result = (int)result_of[product];
	size_t bytes = s ? dnnl_memory_desc_get_size(&s->ports[result].plain) : 0;

	*done = s != NULL;
	if (!s)
		return status;
	data[result] = scratch_alloc(c->scratch, bytes, 1);
	if (!data[result])
		return tm_no_memory(c->err, "reversing a convolution");
	status = run(s, c, data);
	if (!status)
		add(data[result], (int64_t)(bytes / sizeof(float)), to);
	return status;
}

enum tamis_status onednn_conv_back(void **state, const struct correlation *c, const void *maps, const void *weight, void *image,
                                   bool *done)
{
	const void *data[PORTS] = {[PORT_WEIGHTS] = weight, [PORT_DST] = maps};

	return run_back(state, BACK_TO_SRC, c, data, image, done);
}

enum tamis_status onednn_conv_weight(void **state, const struct correlation *c, const void *image, const void *maps,
                                     void *weight, bool *done)
{
	const void *data[PORTS] = {[PORT_SRC] = image, [PORT_DST] = maps};

	return run_back(state, BACK_TO_WEIGHTS, c, data, weight, done);
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

enum tamis_status onednn_conv_back(void **state, const struct correlation *c, const void *maps, const void *weight, void *image,
                                   bool *done)
{
	(void)state, (void)c, (void)maps, (void)weight, (void)image;
	*done = false;
	return TAMIS_OK;
}

enum tamis_status onednn_conv_weight(void **state, const struct correlation *c, const void *image, const void *maps,
                                     void *weight, bool *done)
{
	(void)state, (void)c, (void)image, (void)maps, (void)weight;
	*done = false;
	return TAMIS_OK;
}

#endif
