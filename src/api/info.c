/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/memory.h"
#include "graph/names.h"
#include "onnx/payload.h"
#include "ops/table.h"
#include "slim/layers.h"

void tamis_info_options_default(struct tamis_info_options *o)
{
	if (o)
		*o = (struct tamis_info_options){ .n_shapes = 0 };
}

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "describing the model");
}

static const char *text(const char *s)
{
	return s ? s : "";
}

/* ---- the file ------------------------------------------------------------------------------------------ */

static const char *default_domain(const char *domain)
{
	return domain && *domain ? domain : "ai.onnx";
}

static const char *opsets_text(struct arena *a, const Onnx__ModelProto *m)
{
	const char *all = "";

	for (size_t i = 0; all && i < m->n_opset_import; i++)
		all = arena_printf(a, "%s%s%s %lld", all, i ? ", " : "", default_domain(m->opset_import[i]->domain),
		                   (long long)m->opset_import[i]->version);
	return all;
}

static const char *dim_text(struct arena *a, const Onnx__TensorShapeProto__Dimension *d)
{
	if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
		return arena_printf(a, "%lld", (long long)d->dim_value);
	if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && d->dim_param
	    && *d->dim_param)
		return d->dim_param;
	return "?";
}

/* "image: uint8[batch,1,28,28]". */
static const char *value_text(struct arena *a, const Onnx__ValueInfoProto *v)
{
	const Onnx__TypeProto *t = v->type;
	const Onnx__TensorShapeProto *shape;
	const char *all;

	if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type)
		return arena_printf(a, "%s: not a tensor", text(v->name));
	shape = t->tensor_type->shape;
	all = arena_printf(a, "%s: %s%s", text(v->name), dtype_name(t->tensor_type->elem_type), shape ? "[" : "");
	for (size_t i = 0; all && shape && i < shape->n_dim; i++) {
		const char *d = dim_text(a, shape->dim[i]);

		all = d ? arena_printf(a, "%s%s%s", all, i ? "," : "", d) : NULL;
	}
	return all && shape ? arena_printf(a, "%s]", all) : all;
}

static const char *values_text(struct arena *a, Onnx__ValueInfoProto **list, size_t n,
                               const struct name_index *skip)
{
	const char *all = "";

	for (size_t i = 0; all && i < n; i++) {
		const char *one;

		if (skip && names_get(skip, text(list[i]->name)) >= 0)
			continue;
		one = value_text(a, list[i]);
		all = one ? arena_printf(a, "%s%s%s", all, *all ? "\n" : "", one) : NULL;
	}
	return all;
}

static enum tamis_status describe_ends(struct arena *a, const Onnx__GraphProto *g, struct info_figures *f,
                                       struct tamis_error *err)
{
	struct name_index constants = { 0 };
	bool ok = true;

	for (size_t i = 0; ok && i < g->n_initializer; i++)
		ok = names_put(&constants, g->initializer[i]->name, 0);
	for (size_t i = 0; ok && i < g->n_sparse_initializer; i++)
		ok = names_put(&constants, g->sparse_initializer[i]->values->name, 0);
	if (ok) {
		f->inputs = values_text(a, g->input, g->n_input, &constants);
		f->outputs = values_text(a, g->output, g->n_output, NULL);
	}
	names_free(&constants);
	return ok && f->inputs && f->outputs ? TAMIS_OK : no_memory(err);
}

static enum tamis_status describe_file(struct tamis_report *r, const struct document *doc,
                                       struct tamis_error *err)
{
	const Onnx__ModelProto *m = doc->model;
	struct info_figures *f = &r->info;

	f->model = arena_strdup(&r->arena, *doc->path ? doc->path : "(memory)");
	f->producer = arena_printf(&r->arena, *text(m->producer_version) ? "%s %s" : "%s%s", text(m->producer_name),
	                           text(m->producer_version));
	f->ir_version = m->has_ir_version ? m->ir_version : -1;
	f->opsets = opsets_text(&r->arena, m);
	f->figures.nodes = (int64_t)m->graph->n_node;
	f->figures.initializers = (int64_t)(m->graph->n_initializer + m->graph->n_sparse_initializer);
	if (!f->model || !f->producer || !f->opsets)
		return no_memory(err);
	return describe_ends(&r->arena, m->graph, f, err);
}

/* ---- parameters ---------------------------------------------------------------------------------------- */

static int64_t count_nonzeros(const struct tensor *t)
{
	int64_t n = 0;

	for (int64_t i = 0; i < t->count; i++)
		n += tensor_get(t, i) != 0;
	return n;
}

static void count_tensor(struct tensor *t, struct model_figures *f)
{
	if (dtype_is_float((int)t->type)) {
		f->parameters += t->count;
		f->nonzeros += count_nonzeros(t);
	}
	tensor_free(t);
}

static void count_number(double x, struct model_figures *f)
{
	f->parameters++;
	f->nonzeros += x != 0;
}

static enum tamis_status count_attribute(const struct document *doc, const Onnx__AttributeProto *a, struct model_figures *f,
                                         struct tamis_error *err)
{
	struct tensor t = { .type = DT_UNDEFINED };
	enum tamis_status s = TAMIS_OK;

	if (a->t)
		s = payload_read(doc, a->t, &t, err);
	else if (a->sparse_tensor)
		s = sparse_read(doc, a->sparse_tensor, &t, err);
	else if (a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT)
		count_number((double)a->f, f);
	for (size_t i = 0; i < a->n_floats; i++)
		count_number((double)a->floats[i], f);
	if (s == TAMIS_OK && (a->t || a->sparse_tensor))
		count_tensor(&t, f);
	return s;
}

/* Some exporters write all weights so. */
static enum tamis_status count_constant_nodes(const struct document *doc, struct model_figures *f, struct tamis_error *err)
{
	const Onnx__GraphProto *g = doc->model->graph;
	enum tamis_status s = TAMIS_OK;

	for (size_t i = 0; s == TAMIS_OK && i < g->n_node; i++) {
		const Onnx__NodeProto *n = g->node[i];
		bool constant = n->op_type && !strcmp(n->op_type, "Constant") && !strcmp(default_domain(n->domain), "ai.onnx");

		for (size_t k = 0; constant && s == TAMIS_OK && k < n->n_attribute; k++)
			s = count_attribute(doc, n->attribute[k], f, err);
	}
	return s;
}

static enum tamis_status count_parameters(const struct document *doc, struct model_figures *f,
                                          struct tamis_error *err)
{
	const Onnx__GraphProto *g = doc->model->graph;
	struct tensor t = { .type = DT_UNDEFINED };
	enum tamis_status s = TAMIS_OK;

	f->parameters = f->nonzeros = 0;
	f->file_bytes = (int64_t)doc_packed_bytes(doc);
	for (size_t i = 0; s == TAMIS_OK && i < g->n_initializer; i++) {
		struct payload_external x;
		enum payload_place place = PAYLOAD_NONE;

		s = payload_read(doc, g->initializer[i], &t, err);
		if (s != TAMIS_OK)
			break;
		if (payload_place(g->initializer[i], &place, NULL) == TAMIS_OK && place == PAYLOAD_EXTERNAL
		    && payload_external(g->initializer[i], &x, NULL) == TAMIS_OK)
			f->file_bytes += (int64_t)tensor_bytes(&t);
		count_tensor(&t, f);
	}
	for (size_t i = 0; s == TAMIS_OK && i < g->n_sparse_initializer; i++) {
		s = sparse_read(doc, g->sparse_initializer[i], &t, err);
		if (s == TAMIS_OK)
			count_tensor(&t, f);
	}
	return s == TAMIS_OK ? count_constant_nodes(doc, f, err) : s;
}

/* ---- operators ----------------------------------------------------------------------------------------- */

static int64_t opset_of(const Onnx__ModelProto *m, const char *domain)
{
	for (size_t i = 0; i < m->n_opset_import; i++)
		if (!strcmp(default_domain(m->opset_import[i]->domain), default_domain(domain)))
			return m->opset_import[i]->version;
	return 0;
}

/* Functions are put in place of their calls. */
static bool is_function(const Onnx__ModelProto *m, const char *domain, const char *op)
{
	for (size_t i = 0; i < m->n_functions; i++)
		if (!strcmp(text(m->functions[i]->name), op) && !strcmp(text(m->functions[i]->domain), domain))
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	const struct info_count *x = a, *y = b;
	int order = strcmp(x->domain, y->domain);

	return order ? order : strcmp(x->op, y->op);
}

static enum tamis_status count_ops(struct tamis_report *r, const Onnx__ModelProto *m, struct tamis_error *err)
{
	const Onnx__GraphProto *g = m->graph;
	struct info_count *all = arena_array(&r->arena, g->n_node + 1, sizeof *all);
	size_t n = 0;

	if (!all)
		return no_memory(err);
	for (size_t i = 0; i < g->n_node; i++) {
		all[i] = (struct info_count){ .nodes = 1 };
		all[i].domain = arena_strdup(&r->arena, default_domain(g->node[i]->domain));
		all[i].op = arena_strdup(&r->arena, text(g->node[i]->op_type));
		if (!all[i].domain || !all[i].op)
			return no_memory(err);
		all[i].supported = op_find(&op_table, text(g->node[i]->domain), all[i].op,
		                           opset_of(m, g->node[i]->domain))
			|| is_function(m, text(g->node[i]->domain), all[i].op);
	}
	qsort(all, g->n_node, sizeof *all, by_name);
	for (size_t i = 0; i < g->n_node; i++) {
		if (n && !by_name(&all[n - 1], &all[i]))
			all[n - 1].nodes++;
		else
			all[n++] = all[i];
	}
	r->info.ops = all;
	r->info.n_ops = n;
	return TAMIS_OK;
}

/* ---- shapes for one item ------------------------------------------------------------------------------- */

/* The dimensions of "NAME:1,3,224,224" when it is for this input. *rank = -1: it is for another one. */
static enum tamis_status parse_shape(const char *spec, const char *name, int *rank, int64_t *dims,
                                     struct tamis_error *err)
{
	size_t n = strlen(name);
	const char *at = spec + n;

	*rank = -1;
	if (strncmp(spec, name, n) || *at != ':')
		return TAMIS_OK;
	*rank = 0;
	if (!at[1])
		return TAMIS_OK;
	while (*at) {
		char *end;
		long long d;

		errno = 0;
		d = strtoll(at + 1, &end, 10);
		if (end == at + 1 || errno || d < 1 || (*end && *end != ',') || *rank == TENSOR_MAX_RANK)
			return tm_fail(err, TAMIS_E_USAGE, "expected a shape as NAME:1,3,224,224, and '%.200s' came",
			               spec);
		dims[(*rank)++] = d;
		at = end;
	}
	return TAMIS_OK;
}

static bool agrees(const struct value_type *t, int rank, const int64_t *dims)
{
	if (t->rank >= 0 && t->rank != rank)
		return false;
	for (int i = 0; i < t->rank; i++)
		if (t->dims[i] >= 0 && t->dims[i] != dims[i])
			return false;
	return true;
}

/* Asked for, or declared with a leading symbolic dimension as one item. *known false: neither. */
static enum tamis_status input_shape(const struct value *v, const struct tamis_info_options *o,
                                     struct tensor *out, bool *known, struct tamis_error *err)
{
	int64_t dims[TENSOR_MAX_RANK];
	int rank = -1;

	*known = true;
	for (size_t i = 0; i < o->n_shapes; i++) {
		enum tamis_status s = parse_shape(o->shapes[i], v->name, &rank, dims, err);

		if (s != TAMIS_OK)
			return s;
		if (rank < 0)
			continue;
		if (!agrees(&v->declared, rank, dims))
			return tm_fail(err, TAMIS_E_USAGE, "the shape '%.200s' is not one that the model declares",
			               o->shapes[i]);
		return tensor_shape(out, v->declared.type, rank, dims, err);
	}
	*known = v->declared.rank >= 0;
	for (int i = 0; i < v->declared.rank; i++) {
		dims[i] = i == 0 && v->declared.dims[i] < 0 ? 1 : v->declared.dims[i];
		*known &= dims[i] >= 0;
	}
	return *known ? tensor_shape(out, v->declared.type, v->declared.rank, dims, err) : TAMIS_OK;
}

static enum tamis_status check_names(const struct graph *g, const struct tamis_info_options *o,
                                     struct tamis_error *err)
{
	for (size_t i = 0; i < o->n_shapes; i++) {
		int64_t dims[TENSOR_MAX_RANK];
		int rank = -1;

		for (int k = 0; rank < 0 && k < g->n_inputs; k++) {
			enum tamis_status s = parse_shape(o->shapes[i], g->values[g->inputs[k]].name, &rank, dims, err);

			if (s != TAMIS_OK)
				return s;
		}
		if (rank < 0)
			return tm_fail(err, TAMIS_E_USAGE, "no graph input has the name in '%.200s'", o->shapes[i]);
	}
	return TAMIS_OK;
}

static enum tamis_status input_shapes(struct tamis_report *r, const struct graph *g,
                                      const struct tamis_info_options *o,
                                      struct tensor *in, bool *known, struct tamis_error *err)
{
	enum tamis_status s = check_names(g, o, err);

	*known = true;
	for (int i = 0; s == TAMIS_OK && *known && i < g->n_inputs; i++) {
		const struct value *v = &g->values[g->inputs[i]];
		char sentence[512];

		s = input_shape(v, o, &in[i], known, err);
		if (s != TAMIS_OK || *known)
			continue;
		snprintf(sentence, sizeof sentence,
		         "the shape of input '%.200s' is open, so layers and MACs are left out: give "
		         "one with --shape NAME:1,3,224,224", v->name);
		if (report_warn(r, sentence) != TAMIS_OK)
			s = no_memory(err);
	}
	return s;
}

/* ---- layers -------------------------------------------------------------------------------------------- */

static const char *shape_text(struct arena *a, const struct tensor *t)
{
	const char *all = "";

	for (int i = 0; all && i < t->rank; i++)
		all = arena_printf(a, "%s%s%lld", all, i ? "x" : "", (long long)t->dims[i]);
	return all;
}

static enum tamis_status list_layers(struct tamis_report *r, const struct graph *g, const struct layers *l,
                                     struct tamis_error *err)
{
	struct model_figures *f = &r->info.figures;

	r->info.layers = arena_array(&r->arena, (size_t)l->n + 1, sizeof *r->info.layers);
	if (!r->info.layers)
		return no_memory(err);
	f->connections = f->connections_nonzero = f->channels = 0;
	f->macs = f->macs_nonzero = 0;
	for (int i = 0; i < l->n; i++) {
		const struct layer *x = &l->list[i];
		const struct value *w = &g->values[x->weight];
		struct info_layer *line = &r->info.layers[r->info.n_layers++];
		int64_t nonzero = count_nonzeros(&w->constant);

		*line = (struct info_layer){ .node = arena_strdup(&r->arena, g->nodes[x->node].name),
			.op = g->nodes[x->node].op->name, .weight = arena_strdup(&r->arena, w->name),
			.shape = shape_text(&r->arena, &w->constant), .entries = x->entries,
			.zeros = x->entries - nonzero, .macs = x->macs, .slimmable = !x->note,
			.note = x->note ? arena_strdup(&r->arena, x->note) : NULL };
		if (!line->node || !line->weight || !line->shape || (x->note && !line->note))
			return no_memory(err);
		f->connections += x->entries;
		f->connections_nonzero += nonzero;
		f->macs += x->macs;
		f->macs_nonzero += (double)nonzero * (double)x->positions;
		f->channels += x->view.outs;
	}
	return TAMIS_OK;
}

static enum tamis_status plan_layers(struct tamis_report *r, const struct graph *g, const struct tensor *in,
                                     bool groups, struct tamis_error *err)
{
	const struct program_options options = { .merge_norms = false };
	const struct layer_filter filter = { .only = NULL };
	struct program *p = NULL;
	struct plan *plan = NULL;
	struct layers l = { 0 };
	enum tamis_status s = program_create(g, &options, &p, err);

	if (s == TAMIS_OK)
		s = plan_create(p, in, &plan, err);
	if (s == TAMIS_OK)
		s = layers_find(g, plan, &filter, &l, err);
	if (s == TAMIS_OK)
		s = list_layers(r, g, &l, err);
	if (s == TAMIS_OK && groups)
		s = api_groups(r, g, plan, &l, err);
	layers_free(&l);
	plan_free(plan);
	program_free(p);
	return s;
}

/* A model that cannot be run is described as far as can be: the reason becomes a warning. */
static enum tamis_status describe_layers(struct tamis_report *r, struct document *doc,
                                         const struct tamis_info_options *o, struct tamis_error *err)
{
	struct tamis_error why = { 0 };
	struct graph *g = NULL;
	struct tensor *in = NULL;
	bool known = false;
	enum tamis_status s = graph_view(doc, &op_table, &g, &why);

	if (s == TAMIS_E_UNSUPPORTED)
		return report_warn(r, why.message) == TAMIS_OK ? TAMIS_OK : no_memory(err);
	if (s == TAMIS_OK) {
		in = tm_array((size_t)g->n_inputs + 1, sizeof *in);
		s = in ? input_shapes(r, g, o, in, &known, &why) : no_memory(&why);
	}
	if (s == TAMIS_OK && known)
		s = plan_layers(r, g, in, o->groups, &why);
	free(in);
	graph_free(g);
	if (s != TAMIS_OK && err)
		*err = why;
	return s;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static const char *copy(struct arena *a, const char *s)
{
	return s ? arena_strdup(a, s) : NULL;
}

static enum tamis_status add_cpu(struct tamis_report *r, struct tamis_error *err)
{
	struct tamis_report *from;
	enum tamis_status s = tamis_cpu(&from, NULL, err);

	if (s != TAMIS_OK)
		return s;
	r->cpu = from->cpu;
	r->cpu.processor = copy(&r->arena, from->cpu.processor);
	r->cpu.blas = copy(&r->arena, from->cpu.blas);
	r->cpu.blas_core = copy(&r->arena, from->cpu.blas_core);
	r->cpu.advice = copy(&r->arena, from->cpu.advice);
	r->cpu.convolution = copy(&r->arena, from->cpu.convolution);
	report_free(from);
	if (!r->cpu.processor || !r->cpu.blas || !r->cpu.blas_core || !r->cpu.convolution)
		return no_memory(err);
	return TAMIS_OK;
}

enum tamis_status tamis_info(struct tamis_model *model, const struct tamis_info_options *options,
                             struct tamis_report **out, struct tamis_error *err)
{
	struct tamis_error unheard;
	struct tamis_info_options o;
	struct tamis_report *r;
	enum tamis_status s;

	err = api_error(err, &unheard);
	if (!model || !out)
		return tm_fail(err, TAMIS_E_USAGE, "a model and a place for the report were expected, and NULL came");
	*out = NULL;
	tamis_info_options_default(&o);
	if (options)
		o = *options;
	r = report_create(REPORT_INFO);
	s = r ? describe_file(r, model->doc, err) : no_memory(err);
	if (s == TAMIS_OK)
		s = count_parameters(model->doc, &r->info.figures, err);
	if (s == TAMIS_OK)
		s = count_ops(r, model->doc->model, err);
	if (s == TAMIS_OK)
		s = describe_layers(r, model->doc, &o, err);
	if (s == TAMIS_OK && o.cpu)
		s = add_cpu(r, err);
	if (s == TAMIS_OK)
		*out = r;
	else
		report_free(r);
	return s;
}
