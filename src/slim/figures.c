/* SPDX-License-Identifier: Apache-2.0 */
/* Counting: the model before and after, layer by layer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>


#include "onnx/payload.h"
#include "slim/state.h"

#define GZIP_MAX ((size_t)64 << 20) /* larger files are not compressed only to report a figure */

static int64_t nonzeros(const struct tensor *t)
{
	int64_t n = 0;

	for (int64_t i = 0; i < t->count; i++)
		n += tensor_get(t, i) != 0;
	return n;
}

static int64_t deflated(const uint8_t *data, size_t size)
{
	z_stream z = { 0 };
	uint8_t out[16384];
	int64_t total = 0;
	int code = Z_OK;

	if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -1;
	z.next_in = (uint8_t *)data;
	z.avail_in = (uInt)size;
	while (code == Z_OK) {
		z.next_out = out;
		z.avail_out = sizeof out;
		code = deflate(&z, Z_FINISH);
		total += (int64_t)(sizeof out - z.avail_out);
	}
	deflateEnd(&z);
	return code == Z_STREAM_END ? total : -1;
}

static int64_t external_bytes(const Onnx__GraphProto *g)
{
	int64_t n = 0;

	for (size_t i = 0; i < g->n_initializer; i++) {
		struct payload_external x;
		enum payload_place place;

		if (payload_place(g->initializer[i], &place, NULL) == TAMIS_OK && place == PAYLOAD_EXTERNAL
		    && payload_external(g->initializer[i], &x, NULL) == TAMIS_OK && x.has_length)
			n += (int64_t)x.length;
	}
	return n;
}

static enum tamis_status count_bytes(const struct document *doc, struct model_figures *f, struct tamis_error *err)
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	enum tamis_status s;

	f->file_bytes = (int64_t)doc_packed_bytes(doc) + external_bytes(doc->model->graph);
	f->gzip_bytes = -1;
	if ((size_t)f->file_bytes > GZIP_MAX)
		return TAMIS_OK;
	s = doc_pack(doc, &bytes, &size, err);
	if (s == TAMIS_OK)
		f->gzip_bytes = deflated(bytes, size);
	free(bytes);
	return s;
}

/* Some exporters write all weights as Constant nodes. */
static void count_values(const struct graph *g, struct model_figures *f)
{
	for (int i = 0; i < g->n_values; i++) {
		const struct value *v = &g->values[i];

		if (v->kind != VALUE_CONSTANT)
			continue;
		f->initializers += v->producer == GRAPH_NONE;
		if (dtype_is_float((int)v->constant.type)) {
			f->parameters += v->constant.count;
			f->nonzeros += nonzeros(&v->constant);
		}
	}
}

static void count_layers(const struct graph *g, const struct layers *l, struct model_figures *f)
{
	for (int i = 0; i < l->n; i++) {
		const struct layer *x = &l->list[i];
		int64_t n = nonzeros(&g->values[x->weight].constant);

		f->connections += x->entries;
		f->connections_nonzero += n;
		f->macs += x->macs;
		f->macs_nonzero += (double)n * (double)x->positions;
		f->channels += x->view.outs;
	}
}

static enum tamis_status count(const struct slim *s, struct model_figures *f, struct tamis_error *err)
{
	*f = (struct model_figures){ .nodes = s->graph->n_nodes };
	count_values(s->graph, f);
	count_layers(s->graph, &s->layers, f);
	return count_bytes(s->doc, f, err);
}

enum tamis_status figures_before(struct slim *s, struct tamis_error *err)
{
	return count(s, &s->figures->before, err);
}

/* ---- layers ---------------------------------------------------------------------------------------------------- */

const char *figures_shape(struct arena *a, const struct tensor *t)
{
	char buf[24 * TENSOR_MAX_RANK] = "";
	size_t used = 0;

	for (int i = 0; i < t->rank && used < sizeof buf; i++)
		used += (size_t)snprintf(buf + used, sizeof buf - used, "%s%lld", i ? "x" : "", (long long)t->dims[i]);
	return arena_strdup(a, buf);
}

static enum tamis_status fill_line(struct slim *s, int i, struct layer_line *line, struct tamis_error *err)
{
	const struct layer *l = &s->layers.list[i];
	const struct value *w = &s->graph->values[l->weight];

	line->node = arena_strdup(s->arena, s->graph->nodes[l->node].name);
	line->op = s->graph->nodes[l->node].op->name;
	line->weight = arena_strdup(s->arena, w->name);
	line->shape = figures_shape(s->arena, &w->constant);
	line->note = l->note ? arena_strdup(s->arena, l->note) : NULL;
	line->entries = l->entries;
	line->kept = nonzeros(&w->constant);
	line->channels = line->channels_kept = l->view.outs;
	line->storage = "dense";
	if (!line->node || !line->weight || !line->shape || (l->note && !line->note))
		return tm_no_memory(err, "reporting the layers");
	if (l->note || !s->significance.feature)
		return TAMIS_OK;
	line->features = l->features;
	for (int64_t f = 0; f < l->features; f++)
		line->significant += s->significance.feature[i][f];
	return figures_histogram(s, i, &line->scores, err);
}

enum tamis_status figures_layers(struct slim *s, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	s->figures->layers = arena_array(s->arena, (size_t)s->layers.n + 1, sizeof *s->figures->layers);
	if (!s->figures->layers)
		return tm_no_memory(err, "reporting the layers");
	for (int i = 0; status == TAMIS_OK && i < s->layers.n; i++)
		status = fill_line(s, i, &s->figures->layers[s->figures->n_layers++], err);
	return status;
}

static const char *storage_of(const struct value *w)
{
	enum payload_place place;

	if (w->sparse_proto)
		return "sparse";
	if (w->tensor_proto && payload_place(w->tensor_proto, &place, NULL) == TAMIS_OK && place == PAYLOAD_EXTERNAL)
		return "external";
	return "dense";
}

/* A layer's line finds its weight again by name: layers keep their weights' names through all rewrites. One that is not found
 * was silent, and is gone. */
static void update_line(const struct slim *s, struct layer_line *line)
{
	for (int i = 0; i < s->layers.n; i++) {
		const struct value *w = &s->graph->values[s->layers.list[i].weight];

		if (strcmp(w->name, line->weight))
			continue;
		line->kept = nonzeros(&w->constant);
		line->channels_kept = s->layers.list[i].view.outs;
		line->storage = storage_of(w);
		return;
	}
	line->kept = line->channels_kept = 0;
	line->storage = "gone";
}

enum tamis_status figures_after(struct slim *s, struct tamis_error *err)
{
	if (!s->figures->layers) {
		enum tamis_status status = figures_layers(s, err);

		if (status != TAMIS_OK)
			return status;
	}
	for (size_t i = 0; i < s->figures->n_layers; i++)
		update_line(s, &s->figures->layers[i]);
	return count(s, &s->figures->after, err);
}
