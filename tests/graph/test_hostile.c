/* SPDX-License-Identifier: Apache-2.0 */
/* Models no checker has seen: every field of a model goes missing in turn, and every model of the ONNX test data is
 * built. Nothing may crash; what is refused is refused with a sentence. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "exec/runner.h"
#include "nested.h"
#include "onnx/check.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "ops/table.h"

/* Every kind of part that a graph reads. */
static struct document *everything(void)
{
	struct document *d = model_new(13);
	Onnx__GraphProto *p = d->model->graph;
	struct tensor t = tensor_make(DT_FLOAT, DIMS(3), (double[]){ 0, 2, 0 }, NULL);
	Onnx__TensorProto *like = NULL;
	Onnx__SparseTensorProto *s = NULL;
	struct rng r = rng_make(3, 0);

	model_input(d, "x", DT_FLOAT, DIMS(-1, 2, 4, 4));
	model_input(d, "info", DT_FLOAT, DIMS(-1, 3));
	cr_assert_eq(edit_insert(d, &p->n_value_info, &p->value_info, 0, edit_take(&p->n_input, &p->input, 1), NULL), TAMIS_OK);
	cr_assert_eq(payload_new(d, "var", &t, &like, NULL), TAMIS_OK);
	cr_assert_eq(sparse_new(d, like, &t, &s, NULL), TAMIS_OK);
	cr_assert_eq(edit_add_sparse_initializer(d, p, s, NULL), TAMIS_OK);
	edit_free(d, like);
	tensor_free(&t);
	model_constant(d, "w", DT_FLOAT, DIMS(3, 2, 3, 3), NULL, &r);
	model_constant(d, "v", DT_FLOAT, DIMS(3), (double[]){ 1, 1, 1 }, NULL);
	node_ints(d, model_node(d, "Conv", "x w", "a"), "pads", 4, (int64_t[]){ 1, 1, 1, 1 });
	node_float(d, model_node(d, "BatchNormalization", "a v v v var", "b"), "epsilon", 0.01);
	model_node(d, "GlobalAveragePool", "b", "c")->name = doc_strdup(d, "pool");
	node_ints(d, model_node(d, "Constant", "", "k"), "value_ints", 2, (int64_t[]){ 0, -1 });
	model_node(d, "Reshape", "c k", "info");
	model_output(d, "info");
	return d;
}

/* y = a x + x in a function whose attribute has a default. */
static struct document *scaled(void)
{
	struct document *b = model_new(13);

	model_input(b, "x", DT_FLOAT, DIMS(-1));
	node_reference(b, model_node(b, "LeakyRelu", "x", "ax"), "alpha", "a", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
	model_node(b, "Add", "ax x", "y");
	model_output(b, "y");
	return b;
}

static struct document *branch(const char *op)
{
	struct document *b = model_new(13);

	model_constant(b, "one", DT_FLOAT, DIMS(1), (double[]){ 1 }, NULL);
	model_node(b, "Mul", "x one", "inner"); /* x is of the graph around it */
	model_node(b, op, "inner", "made");
	model_output(b, "made");
	return b;
}

/* Every kind of part that has parts of its own: a function, its call, and graphs inside a node. */
static struct document *nested(void)
{
	struct document *d = model_new(13);
	Onnx__FunctionProto *f;
	Onnx__NodeProto *n;

	model_input(d, "x", DT_FLOAT, DIMS(-1, 2, 4, 4));
	model_constant(d, "c", DT_BOOL, SCALAR, (double[]){ 1 }, NULL);
	f = model_function(d, "Scaled", scaled());
	function_default(d, f, "a", 0.25);
	node_float(d, model_call(d, "Scaled", "x", "u"), "a", 0.5);
	model_call(d, "Scaled", "u", "v");
	n = model_node(d, "If", "c", "w");
	node_graph(d, n, "then_branch", branch("Relu"));
	node_graph(d, n, "else_branch", branch("Neg"));
	model_node(d, "Add", "v w", "y");
	model_output(d, "y");
	return d;
}

/* Building, and running what could be built. */
static void try_all(struct document *d, bool sound, const char *what)
{
	struct program_options options = { .merge_norms = true };
	int64_t dims[4] = { 2, 2, 4, 4 };
	struct tamis_error err = { 0 };
	struct rng r = rng_make(4, 0);
	struct tensor in[2] = { tensor_make(DT_FLOAT, 4, dims, NULL, &r), { .type = DT_UNDEFINED } };
	struct graph *g = NULL;
	struct program *p = NULL;
	struct runner *run = NULL;
	enum tamis_status s = graph_build(d, &op_table, &g, &err);

	if (s == TAMIS_OK)
		cr_assert_eq(graph_verify(g, &err), TAMIS_OK, "%s: %s", what, err.message);
	if (s == TAMIS_OK)
		s = program_create(g, &options, &p, &err);
	if (s == TAMIS_OK)
		s = runner_create(p, &run, &err);
	if (s == TAMIS_OK && g->n_inputs <= 1)
		s = runner_run(run, in, NULL, &err);
	cr_assert(!sound || s == TAMIS_OK, "%s: %s", what, err.message);
	cr_assert_eq(err.status, s, "%s", what);
	cr_assert(s == TAMIS_OK || s == TAMIS_E_INVALID || s == TAMIS_E_UNSUPPORTED, "%s: %d: %s", what, s, err.message);
	cr_assert(s == TAMIS_OK || err.message[0], "%s: no message", what);
	runner_free(run);
	program_free(p);
	graph_free(g);
	tensor_free(&in[0]);
}

/* The walk takes one field away, tries, and puts it back. */
struct walk { struct document *doc; int tried; };

static void take_away(struct walk *w, void *field, size_t size, const char *what)
{
	unsigned char kept[16], nothing[16] = { 0 };

	memcpy(kept, field, size);
	memcpy(field, nothing, size);
	try_all(w->doc, false, what);
	memcpy(field, kept, size);
	w->tried++;
}

/* A string that is there, but empty, and one that is unlike any other. */
static void replace_text(struct walk *w, char **field, const char *what)
{
	static char empty[] = "", odd[] = "\x01%s\xff";
	char *kept = *field, *const texts[] = { empty, odd };

	for (int i = 0; i < 2; i++) {
		*field = texts[i];
		try_all(w->doc, false, what);
	}
	*field = kept;
}

static void walk_message(struct walk *w, ProtobufCMessage *m);

static void walk_field(struct walk *w, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	unsigned char *at = (unsigned char *)m + f->offset, *quantifier = (unsigned char *)m + f->quantifier_offset;
	bool pointer = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t n;

		memcpy(&n, quantifier, sizeof n);
		if (!n)
			return;
		take_away(w, quantifier, sizeof n, f->name);
		for (size_t i = 0; i < n && f->type == PROTOBUF_C_TYPE_MESSAGE; i++)
			walk_message(w, (*(ProtobufCMessage ***)(void *)at)[i]);
		for (size_t i = 0; i < n && f->type == PROTOBUF_C_TYPE_STRING; i++)
			replace_text(w, &(*(char ***)(void *)at)[i], f->name);
		return;
	}
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		int chosen;

		memcpy(&chosen, quantifier, sizeof chosen);
		if (chosen != (int)f->id)
			return;
		take_away(w, quantifier, sizeof chosen, f->name);
	}
	if (pointer) {
		void *target;

		memcpy(&target, at, sizeof target);
		if (!target)
			return;
		take_away(w, at, sizeof target, f->name);
		if (f->type == PROTOBUF_C_TYPE_MESSAGE)
			walk_message(w, target);
		else
			replace_text(w, (char **)(void *)at, f->name);
	} else if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
		take_away(w, quantifier, sizeof(protobuf_c_boolean), f->name);
	}
}

static void walk_message(struct walk *w, ProtobufCMessage *m)
{
	/* a document has a graph: doc_load sees to that */
	for (unsigned i = 0; i < m->descriptor->n_fields; i++)
		if (strcmp(m->descriptor->fields[i].name, "graph") || m->descriptor != &onnx__model_proto__descriptor)
			walk_field(w, m, &m->descriptor->fields[i]);
}

Test(hostile, every_field_goes_missing)
{
	struct document *d = everything();
	struct walk w = { .doc = d };

	try_all(d, true, "whole");
	walk_message(&w, &d->model->graph->base);
	walk_message(&w, &d->model->opset_import[0]->base);
	d->model->n_opset_import = 0;
	try_all(d, false, "opset_import");
	d->model->n_opset_import = 1;
	try_all(d, true, "whole again");
	cr_assert_gt(w.tried, 80, "only %d fields", w.tried);
	doc_free(d);
}

Test(hostile, every_field_of_functions_and_bodies_goes_missing)
{
	struct document *d = nested();
	struct walk w = { .doc = d };

	try_all(d, true, "whole");
	walk_message(&w, &d->model->base);
	walk_message(&w, &d->model->graph->base);
	try_all(d, true, "whole again");
	cr_assert_gt(w.tried, 80, "only %d fields", w.tried);
	doc_free(d);
}

/* A shape of 2^40 elements in a few bytes must be refused by its size before anything is allocated. */
Test(hostile, folding_is_bounded)
{
	struct document *d = model_new(13);
	struct program_options options = { .merge_norms = false };
	struct tamis_error err = { 0 };
	struct program *p = NULL;
	struct graph *g;

	model_ints(d, "shape", 2, (int64_t[]){ 1 << 20, 1 << 20 });
	model_node(d, "ConstantOfShape", "shape", "y");
	model_output(d, "y");
	g = model_graph(d);
	cr_expect_eq(program_create(g, &options, &p, &err), TAMIS_E_MEMORY);
	cr_expect(strstr(err.message, "the limit on memory"), "%s", err.message);
	cr_expect_str_eq(err.node, "#0 (ConstantOfShape)");
	cr_expect_null(p);
	graph_free(g);
	doc_free(d);
}

struct tally { int built, unsupported, invalid, other; };

static void build_file(const char *path, struct tally *t)
{
	struct tamis_error err = { 0 };
	struct document *d = NULL;
	struct graph *g = NULL;
	enum tamis_status s = doc_load(path, NULL, &d, &err);

	cr_assert_eq(s, TAMIS_OK, "%s: %s", path, err.message);
	s = graph_build(d, &op_table, &g, &err);
	t->built += s == TAMIS_OK;
	t->unsupported += s == TAMIS_E_UNSUPPORTED;
	t->invalid += s == TAMIS_E_INVALID;
	if (s == TAMIS_E_INVALID)
		fprintf(stderr, "%s: %s: %s\n", path, err.node, err.message);
	t->other += s != TAMIS_OK && s != TAMIS_E_UNSUPPORTED && s != TAMIS_E_INVALID;
	cr_expect(s == TAMIS_OK || err.message[0], "%s", path);
	if (s == TAMIS_OK)
		cr_expect_eq(graph_verify(g, &err), TAMIS_OK, "%s: %s", path, err.message);
	graph_free(g);
	doc_free(d);
}

static void build_folder(const char *dir, struct tally *t)
{
	struct stat st;
	char path[4352];
	DIR *d = opendir(dir);

	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		snprintf(path, sizeof path, "%s/%s/model.onnx", dir, e->d_name);
		if (e->d_name[0] != '.' && !stat(path, &st))
			build_file(path, t);
	}
	if (d)
		closedir(d);
}

/* The folders of TAMIS_VECTORS, else where Debian's libonnx-testdata has them; without them nothing is tested. */
Test(hostile, models_of_the_onnx_test_data)
{
	const char *from = getenv("TAMIS_VECTORS");
	char *copy = strdup(from ? from : "/usr/share/libonnx-testdata/data/node:/usr/share/libonnx-testdata/data/simple:"
	                    "/usr/share/libonnx-testdata/data/pytorch-converted:"
	                    "/usr/share/libonnx-testdata/data/pytorch-operator");
	struct tally t = { 0 };
	char *rest = NULL;

	for (char *s = strtok_r(copy, ":", &rest); s; s = strtok_r(NULL, ":", &rest))
		build_folder(s, &t);
	free(copy);
	fprintf(stderr, "%d built, %d unsupported, %d invalid\n", t.built, t.unsupported, t.invalid);
	cr_expect_eq(t.other, 0);
	cr_expect_eq(t.invalid, 0, "valid models are refused");
	cr_expect(t.built >= 700 || t.built + t.unsupported == 0, "only %d built", t.built);
}
