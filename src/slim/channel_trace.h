/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a layer's output channels through operators that keep channels apart, to the layers that read
 * them. */
#ifndef SLIM_CHANNEL_TRACE_H
#define SLIM_CHANNEL_TRACE_H

#include "exec/plan.h"
#include "graph/graph.h"
#include "slim/layers.h"

/* A value on the way: channel c is [c * block, (c + 1) * block) of its axis. */
struct channel_place {
	int value, axis;
	int64_t block;
};

/* A node on the way, from one place to the next. */
struct channel_link {
	int node, input, from, to;  /* the input that carries the channels; `from` and `to` are places */
	/* inputs that hold one number (or `block` of them) a channel, and the axis there */
	int vectors[TENSOR_MAX_RANK];
	int vector_axis[TENSOR_MAX_RANK];
	int n_vectors;
	/* Reshape: the element of its shape constant that states the width; -1: none does */
	int width_at;
	bool keeps_constants;       /* a channel that is constant stays so at any size of the image */
};

/* A layer that reads the channels as its features. */
struct channel_reader {
	int layer, place;
	int weight_axis;            /* of its weight, that runs over the input channels (times block) */
};

/* Places and links in an order in which they can be computed; place 0 is the layer's output. */
struct channel_trace {
	struct channel_place *places;
	struct channel_link *links;
	struct channel_reader *readers;
	size_t n_places, n_links, n_readers;
	size_t cap_places, cap_links, cap_readers;
	bool understood;            /* false: something on the way is not; the channels must stay */
};

/* What tracing needs to know of the model. layer_of: by node, -1 where the node is no layer. */
struct channel_model {
	const struct graph *graph;
	const struct plan *plan;   /* one item */
	const struct layers *layers;
	int *layer_of;
};

/* Follows the output of a layer; the memory of `out` is reused from call to call. O(nodes on the way). */
enum tamis_status channel_trace(const struct channel_model *m, int layer, struct channel_trace *out,
                                struct tamis_error *err);
void channel_trace_free(struct channel_trace *t);

/* The constant behind an input: itself, or what Identity nodes pass on. NULL where there is none, or where a
 * caller may replace it (an initializer that is a graph input too). */
const struct value *channel_constant(const struct graph *g, int value);

/* Whether a constant's payload may be rewritten where it lies: one reader, no graph output, no other name. */
bool channel_owned(const struct value *v);

/* No padding by any attribute and no window cut short, so that equal values are met with equal results
 * everywhere. */
bool channel_unpadded(const struct node *n);

/* The axis of a tensor with this extent and this distance between neighbours, in elements; -1 when there is
 * none. */
int channel_axis(const struct tensor *t, int64_t extent, int64_t stride);

#endif
