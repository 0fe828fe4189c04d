/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule of the checker has a model here that breaks it, and the small model breaks none. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/check.h"
#include "onnx/edit.h"
#include "onnx/name_table.h"
#include "util.h"

static bool found(const struct check_report *r, const char *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->findings[i].rule->id, id) == 0)
			return true;
	return false;
}

static void breaks_doc(struct document *doc, const char *id)
{
	struct check_report r;
	cr_assert_eq(check_document(doc, NULL, &r, NULL), TAMIS_OK);
	cr_assert(found(&r, id), "%s not found; first: %s", id, r.count ? r.findings[0].message : "none");
	for (size_t i = 0; i < r.count; i++)
		cr_assert(r.findings[i].message[0] && r.findings[i].graph[0]);
	check_free(&r);
	doc_free(doc);
}

static void breaks(struct bytes *model, const char *id)
{
	struct document *doc;
	struct tamis_error err = { 0 };
	cr_assert_eq(load(model, &doc, &err), TAMIS_OK, "%s: %s", id, err.message);
	bytes_free(model);
	breaks_doc(doc, id);
}

/* The small model's graph with further fields, taken, as a model. */
static void graph_breaks(struct bytes *graph, const char *id)
{
	struct bytes m = model_of(graph);
	breaks(&m, id);
}

/* A graph of the given nodes (taken; count ends at NULL) between input x and output y. */
static struct bytes graph_with(struct bytes *nodes, size_t n)
{
	static const int64_t dims[] = { 2, 3 };
	struct bytes g = { 0 }, part;
	for (size_t i = 0; i < n; i++)
		bytes_message(&g, 1, &nodes[i]);
	bytes_text(&g, 2, "g");
	part = value_info("x", DT_FLOAT, 2, dims);
	bytes_message(&g, 11, &part);
	part = value_info("y", DT_FLOAT, 2, dims);
	bytes_message(&g, 12, &part);
	return g;
}

static struct bytes opset(const char *domain, int64_t version)
{
	struct bytes o = { 0 };
	if (domain)
		bytes_text(&o, 1, domain);
	bytes_int(&o, 2, (uint64_t)version);
	return o;
}

static struct bytes relu_graph(void)
{
	struct bytes n = node("Relu", "r", "x", "y");
	return graph_with(&n, 1);
}

/* Relu with IR version ir and the given opset imports. */
static void imports_break(uint64_t ir, bool has_ir, struct bytes *imports, size_t n, const char *id)
{
	struct bytes m = { 0 }, g = relu_graph();
	if (has_ir)
		bytes_int(&m, 1, ir);
	bytes_message(&m, 7, &g);
	for (size_t i = 0; i < n; i++)
		bytes_message(&m, 8, &imports[i]);
	breaks(&m, id);
}

Test(check, the_small_model_is_clean)
{
	struct document *doc = small_document();
	struct check_report r;
	cr_assert_eq(check_document(doc, NULL, &r, NULL), TAMIS_OK);
	cr_assert_eq(r.errors + r.warnings + r.count, 0u);
	cr_assert_eq(check_verdict(&r, NULL), TAMIS_OK);
	check_free(&r);
	doc_free(doc);
}

Test(check, the_rule_table_is_sorted)
{
	size_t n;
	const struct check_rule *r = check_rules(&n);
	cr_assert_gt(n, 40u);
	for (size_t i = 1; i < n; i++)
		cr_assert_lt(strcmp(r[i - 1].id, r[i].id), 0, "%s before %s", r[i - 1].id, r[i].id);
}

Test(check, versions_and_opsets)
{
	static const int64_t bad[] = { 0, -1, 1ll << 40 };
	struct bytes o = opset(NULL, 13), two[2];
	imports_break(0, false, &o, 1, "ir-version-missing");
	o = opset(NULL, 13);
	imports_break(0, true, &o, 1, "ir-version-old");
	o = opset(NULL, 13);
	imports_break(2, true, &o, 1, "ir-version-old");
	o = opset(NULL, 13);
	imports_break(99, true, &o, 1, "ir-version-new");
	imports_break(8, true, NULL, 0, "opset-missing");
	for (size_t i = 0; i < 3; i++) {
		o = opset(NULL, bad[i]);
		imports_break(8, true, &o, 1, "opset-version");
	}
	two[0] = opset("ai.onnx", 13);
	two[1] = opset("", 12);
	imports_break(8, true, two, 2, "opset-duplicate");
	o = opset("com.other", 1);
	imports_break(8, true, &o, 1, "opset-unimported");
}

Test(check, an_unknown_ir_only_warns)
{
	struct document *doc = small_document();
	struct check_report r;
	doc->model->ir_version = 99;
	cr_assert_eq(check_document(doc, NULL, &r, NULL), TAMIS_OK);
	cr_assert_eq(r.errors, 0u);
	cr_assert_eq(r.warnings, 1u);
	cr_assert_eq(check_verdict(&r, NULL), TAMIS_OK);
	check_free(&r);
	doc_free(doc);
}

Test(check, names_order_and_assignment)
{
	struct bytes n[3], g;
	n[0] = node("Relu", "a", "nothing", "y");
	g = graph_with(n, 1);
	graph_breaks(&g, "input-undefined");
	n[0] = node("Relu", "a", "t", "y");
	n[1] = node("Relu", "b", "x", "t");
	g = graph_with(n, 2);
	graph_breaks(&g, "node-order");
	n[0] = node("Relu", "a", "y", "y"); /* a loop of one */
	g = graph_with(n, 1);
	graph_breaks(&g, "node-order");
	n[0] = node("Relu", "a", "t", "y"); /* a loop of two */
	n[1] = node("Relu", "b", "y", "t");
	g = graph_with(n, 2);
	graph_breaks(&g, "node-order");
	n[0] = node("Relu", "a", "x", "y");
	n[1] = node("Relu", "b", "x", "y");
	g = graph_with(n, 2);
	graph_breaks(&g, "value-duplicate");
	n[0] = node("Relu", "a", "x", "x");
	g = graph_with(n, 1);
	graph_breaks(&g, "value-duplicate");
	n[0] = node("Relu", "a", "x", "t");
	g = graph_with(n, 1);
	graph_breaks(&g, "output-undefined");
	n[0] = node("Relu", "a", "x", "t");
	n[1] = node("Relu", "a", "t", "y");
	g = graph_with(n, 2);
	graph_breaks(&g, "node-name-duplicate");
	n[0] = node("", "a", "x", "y");
	g = graph_with(n, 1);
	graph_breaks(&g, "op-type-empty");
	n[0] = node("Relu", "a", "x", "y");
	n[1] = node("Relu", "b", "x", "");
	g = graph_with(n, 2);
	graph_breaks(&g, "node-no-output");
	n[0] = node("Relu", "a", "x", "y");
	n[1] = node("Relu", "b", "x", "bell\a");
	g = graph_with(n, 2);
	graph_breaks(&g, "name-characters");
}

Test(check, declarations)
{
	static const int64_t dims[] = { 2, -3 };
	struct bytes g = relu_graph(), part;
	part = value_info("x", DT_FLOAT, 1, dims);
	bytes_message(&g, 11, &part);
	graph_breaks(&g, "value-duplicate");
	g = relu_graph();
	part = value_info("y", DT_FLOAT, 1, dims);
	bytes_message(&g, 12, &part);
	graph_breaks(&g, "output-duplicate");
	g = relu_graph();
	part = value_info("z", DT_FLOAT, 2, dims);
	bytes_message(&g, 11, &part);
	graph_breaks(&g, "dim-negative");
	g = relu_graph();
	part = value_info("z", 99, 1, dims);
	bytes_message(&g, 11, &part);
	graph_breaks(&g, "type-element");
	g = relu_graph();
	part = value_info("", DT_FLOAT, 1, dims);
	bytes_message(&g, 11, &part);
	graph_breaks(&g, "value-name-empty");
	g = relu_graph();
	bytes_text(&part, 1, "z");
	bytes_message(&g, 11, &part);
	graph_breaks(&g, "type-missing");
	g = relu_graph();
	bytes_field(&g, 11, "\x0a\x01z\x12\x04\x0a\x02\x08\x01", 9);
	graph_breaks(&g, "type-shape-missing");
	g = relu_graph();
	for (int i = 0; i < 2; i++) {
		part = value_info("t", DT_FLOAT, 1, dims);
		bytes_message(&g, 13, &part);
	}
	graph_breaks(&g, "value-info-duplicate");
	g = (struct bytes){ 0 };
	bytes_text(&g, 2, "");
	graph_breaks(&g, "graph-name-empty");
	g = relu_graph();
	struct bytes m = model_of(&g);
	bytes_field(&m, 14, "\x0a\x01k", 3);
	bytes_field(&m, 14, "\x0a\x01k", 3);
	breaks(&m, "metadata-duplicate");
}

static struct bytes scalar(const char *name, bool good)
{
	struct bytes t = { 0 };
	bytes_int(&t, 2, DT_FLOAT);
	if (name)
		bytes_text(&t, 8, name);
	bytes_field(&t, 9, "1234567", good ? 4 : 7);
	return t;
}

Test(check, initializers)
{
	struct bytes g = relu_graph(), t;
	t = scalar("w", false);
	bytes_message(&g, 5, &t);
	graph_breaks(&g, "tensor-payload");
	g = relu_graph();
	t = scalar(NULL, true);
	bytes_message(&g, 5, &t);
	graph_breaks(&g, "initializer-name-empty");
	g = relu_graph();
	t = scalar("w", true);
	bytes_message(&g, 5, &t);
	t = scalar("w", true);
	bytes_message(&g, 5, &t);
	graph_breaks(&g, "initializer-duplicate");
	g = relu_graph();
	t = scalar("x", true); /* a scalar for an input of shape [2,3] */
	bytes_message(&g, 5, &t);
	graph_breaks(&g, "initializer-type");
	g = relu_graph();
	t = scalar("w", true);
	bytes_int(&t, 14, 1);
	bytes_message(&g, 5, &t);
	graph_breaks(&g, "tensor-external");
	g = relu_graph();
	bytes_field(&g, 15, "", 0);
	graph_breaks(&g, "sparse-tensor");
	struct document *doc = small_document();
	doc->model->ir_version = 3;
	breaks_doc(doc, "initializer-not-input");
	g = relu_graph();
	bytes_field(&g, 15, "", 0);
	struct bytes m = model_of(&g);
	cr_assert_eq(load(&m, &doc, NULL), TAMIS_OK);
	bytes_free(&m);
	doc->model->ir_version = 5;
	breaks_doc(doc, "sparse-ir");
}

/* Relu with one attribute made of the given fields. */
static void attribute_breaks(const char *fields, size_t size, const char *id)
{
	struct bytes n = node("Relu", "r", "x", "y");
	bytes_field(&n, 5, fields, size);
	struct bytes g = graph_with(&n, 1);
	graph_breaks(&g, id);
}

Test(check, attributes)
{
	attribute_breaks("\xa0\x01\x02\x18\x05", 5, "attribute-name-empty");
	attribute_breaks("\x0a\x01" "a\x18\x05", 5, "attribute-type");
	attribute_breaks("\x0a\x01" "a\xa0\x01\x63", 6, "attribute-type");
	attribute_breaks("\x0a\x01" "a\xa0\x01\x02\x15\0\0\0\0", 11,
	                 "attribute-value");         /* an int given as f */
	attribute_breaks("\x0a\x01" "a\xa0\x01\x02\x18\x05\x15\0\0\0\0", 13,
	                 "attribute-value"); /* an int and a float */
	attribute_breaks("\x0a\x01" "a\xa0\x01\x04", 6, "attribute-value");                      /* a tensor,
		missing */
	attribute_breaks("\x0a\x01" "a\xaa\x01\x01" "b", 7, "attribute-ref");
	struct bytes n = node("Relu", "r", "x", "y");
	bytes_field(&n, 5, "\x0a\x01" "a\xa0\x01\x02\x18\x05", 8);
	bytes_field(&n, 5, "\x0a\x01" "a\xa0\x01\x02\x18\x05", 8);
	struct bytes g = graph_with(&n, 1);
	graph_breaks(&g, "attribute-duplicate");
}

/* An attribute of each type: its own field is right, every other one is not. The fields are numbers in AttributeProto. */
#define KIND(type, field, message) { ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##type, field, message }
Test(check, attributes_of_every_type)
{
	static const struct { int type; unsigned field; bool message; } kinds[] = {
		KIND(STRING, 4, true), KIND(TENSOR, 5, true), KIND(GRAPH, 6, true), KIND(SPARSE_TENSOR, 22, true),
		KIND(TYPE_PROTO, 14, true), KIND(INTS, 8, false), KIND(STRINGS, 9, true), KIND(TENSORS, 10, true),
		KIND(GRAPHS, 11, true), KIND(SPARSE_TENSORS, 23, true), KIND(TYPE_PROTOS, 15, true), KIND(INT, 3, false),
	};
	size_t n = sizeof kinds / sizeof *kinds;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			struct bytes a = { 0 }, nd, g;

			if (i == k)
				continue;
			nd = node("Relu", "r", "x", "y");
			bytes_text(&a, 1, "a");
			if (kinds[k].message)
				bytes_field(&a, kinds[k].field, "", 0);
			else
				bytes_int(&a, kinds[k].field, 1);
			bytes_int(&a, 20, (uint64_t)kinds[i].type);
			bytes_message(&nd, 5, &a);
			g = graph_with(&nd, 1);
			graph_breaks(&g, "attribute-value");
		}
}

/* What a value can be besides a tensor, each around an element type that does not exist. */
Test(check, types_of_every_kind)
{
	static const unsigned wraps[] = { 4, 9 }; /* TypeProto.sequence_type, optional_type: field 1 is the element's type */
	struct bytes g, part;

	for (size_t i = 0; i < 4; i++) {
		struct bytes tensor = { 0 }, type = { 0 }, outer = { 0 }, map = { 0 };

		bytes_int(&tensor, 1, 99);
		if (i == 2) {
			bytes_message(&type, 8, &tensor); /* sparse_tensor_type */
			outer = type;
		} else {
			bytes_message(&type, 1, &tensor);
			if (i == 3)
				bytes_int(&map, 1, DT_STRING);
			bytes_message(&map, i == 3 ? 2 : 1, &type);
			bytes_message(&outer, i == 3 ? 5 : wraps[i], &map);
		}
		part = (struct bytes){ 0 };
		bytes_text(&part, 1, "z");
		bytes_message(&part, 2, &outer);
		g = relu_graph();
		bytes_message(&g, 13, &part);
		graph_breaks(&g, "type-element");
	}
}

/* A node whose attribute "body" is the graph, taken. */
static struct bytes with_body(struct bytes *graph, const char *in, const char *out)
{
	struct bytes n = node("If", NULL, in, out), a = { 0 };
	bytes_text(&a, 1, "body");
	bytes_message(&a, 6, graph);
	bytes_int(&a, 20, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH);
	bytes_message(&n, 5, &a);
	return n;
}

static struct bytes body_of(struct bytes *n, const char *output)
{
	struct bytes g = { 0 }, out = { 0 };
	bytes_message(&g, 1, n);
	bytes_text(&g, 2, "body");
	bytes_text(&out, 1, output);
	bytes_message(&g, 12, &out);
	return g;
}

Test(check, scopes_of_subgraphs)
{
	struct bytes inner = node("Relu", NULL, "x", "t"), body = body_of(&inner, "t"), n[2], g;
	struct document *doc;
	struct tamis_error err = { 0 };
	n[0] = with_body(&body, "x", "y");
	g = graph_with(n, 1);
	struct bytes m = model_of(&g);
	cr_assert_eq(load(&m, &doc, &err), TAMIS_OK);
	cr_assert_eq(check_or_fail(doc, &err), TAMIS_OK, "%s", err.message);
	doc_free(doc);
	bytes_free(&m);

	inner = node("Relu", NULL, "later", "t"); /* of the graph around, but after this node */
	body = body_of(&inner, "t");
	n[0] = with_body(&body, "x", "y");
	n[1] = node("Relu", NULL, "x", "later");
	g = graph_with(n, 2);
	graph_breaks(&g, "node-order");

	inner = node("Relu", NULL, "x", "t"); /* what a body assigns is not seen outside */
	body = body_of(&inner, "t");
	n[0] = with_body(&body, "x", "s");
	n[1] = node("Relu", NULL, "t", "y");
	g = graph_with(n, 2);
	graph_breaks(&g, "input-undefined");

	inner = node("Relu", NULL, "x", "x");
	body = body_of(&inner, "x");
	n[0] = with_body(&body, "x", "y");
	g = graph_with(n, 1);
	graph_breaks(&g, "value-shadowed");
}

static struct bytes nested_bodies(int depth)
{
	struct bytes n = node("Relu", NULL, "x", "t");
	for (int i = 1; i < depth; i++) {
		struct bytes body = body_of(&n, "t");
		n = with_body(&body, "x", i == depth - 1 ? "y" : "t");
	}
	struct bytes g = graph_with(&n, 1);
	return model_of(&g);
}

Test(check, depth_of_subgraphs)
{
	struct bytes m = nested_bodies(32);
	struct document *doc;
	struct check_report r;
	cr_assert_eq(load(&m, &doc, NULL), TAMIS_OK);
	cr_assert_eq(check_document(doc, NULL, &r, NULL), TAMIS_OK);
	cr_assert_eq(r.errors, 0u, "%s", r.count ? r.findings[0].message : "");
	check_free(&r);
	doc_free(doc);
	bytes_free(&m);
	m = nested_bodies(33); /* deeper than protobuf nesting allows too */
	struct tamis_error err = { 0 };
	enum tamis_status st = load(&m, &doc, &err);
	if (st == TAMIS_OK)
		st = check_or_fail(doc, &err);
	cr_assert_eq(st, TAMIS_E_INVALID);
	cr_assert(strstr(err.message, "nested deeper"), "%s", err.message);
	doc_free(doc);
	bytes_free(&m);
}

/* Function `name` of domain "f" whose body is one node calling `calls`. */
static struct bytes function(const char *name, const char *calls)
{
	struct bytes f = { 0 }, n = node(calls, NULL, "a", "b"), o = opset(NULL, 13);
	bytes_text(&n, 7, strcmp(calls, "Relu") == 0 ? "" : "f");
	bytes_text(&f, 1, name);
	bytes_text(&f, 4, "a");
	bytes_text(&f, 5, "b");
	bytes_message(&f, 7, &n);
	bytes_message(&f, 9, &o);
	o = opset("f", 1);
	bytes_message(&f, 9, &o);
	bytes_text(&f, 10, "f");
	return f;
}

static struct bytes functions(struct bytes *f, size_t n)
{
	struct bytes g = relu_graph(), m = model_of(&g);
	for (size_t i = 0; i < n; i++)
		bytes_message(&m, 25, &f[i]);
	return m;
}

Test(check, functions_and_recursion)
{
	struct bytes f[3] = { function("A", "B"), function("B", "C"), function("C", "Relu") }, m = functions(f, 3);
	struct document *doc;
	struct tamis_error err = { 0 };
	cr_assert_eq(load(&m, &doc, NULL), TAMIS_OK);
	cr_assert_eq(check_or_fail(doc, &err), TAMIS_OK, "%s", err.message);
	doc->model->ir_version = 7;
	breaks_doc(doc, "function-ir");
	bytes_free(&m);
	f[0] = function("A", "A");
	m = functions(f, 1);
	breaks(&m, "function-recursive");
	f[0] = function("A", "B"), f[1] = function("B", "C"), f[2] = function("C", "A");
	m = functions(f, 3);
	breaks(&m, "function-recursive");
	f[0] = function("A", "Relu"), f[1] = function("A", "Relu");
	m = functions(f, 2);
	breaks(&m, "function-duplicate");
	f[0] = function("", "Relu");
	m = functions(f, 1);
	breaks(&m, "function-name-empty");
	f[0] = function("A", "Relu");
	bytes_text(&f[0], 6, "alpha");
	bytes_text(&f[0], 6, "alpha");
	m = functions(f, 1);
	breaks(&m, "function-attribute-duplicate");
	f[0] = function("A", "Relu");
	bytes_text(&f[0], 5, "nowhere");
	m = functions(f, 1);
	breaks(&m, "output-undefined");
}

Test(check, findings_are_capped_but_counted)
{
	struct bytes g = { 0 };
	struct document *doc;
	struct check_report r;
	struct check_options few = { .max_findings = 7 };
	struct tamis_error err = { 0 };
	bytes_text(&g, 2, "g");
	for (int i = 0; i < 500; i++) {
		struct bytes n = node("Relu", NULL, "nothing", "");
		bytes_message(&g, 1, &n);
	}
	struct bytes m = model_of(&g);
	cr_assert_eq(load(&m, &doc, NULL), TAMIS_OK);
	cr_assert_eq(check_document(doc, &few, &r, NULL), TAMIS_OK);
	cr_assert_eq(r.count, 7u);
	cr_assert_eq(r.errors, 500u);
	cr_assert_eq(r.warnings, 500u);
	cr_assert_eq(check_verdict(&r, &err), TAMIS_E_INVALID);
	cr_assert(strstr(err.message, "[input-undefined]; 499 more errors"), "%s", err.message);
	cr_assert_str_eq(err.node, "#0 (Relu)");
	check_free(&r);
	doc_free(doc);
	bytes_free(&m);
}

/* A chain of a million nodes: linear time, constant stack (the timeout of this program is the judge of the
 * first). */
Test(check, a_million_nodes)
{
	enum { N = 1000000 };
	struct bytes g = { 0 };
	struct document *doc;
	struct tamis_error err = { 0 };
	char in[16], out[16];
	bytes_text(&g, 2, "g");
	struct bytes x = value_info("v0", DT_FLOAT, 0, NULL);
	bytes_message(&g, 11, &x);
	for (int i = 0; i < N; i++) {
		snprintf(in, sizeof in, "v%d", i);
		snprintf(out, sizeof out, "v%d", i + 1);
		struct bytes n = node("Relu", NULL, in, out);
		bytes_message(&g, 1, &n);
	}
	struct bytes m = model_of(&g);
	cr_assert_eq(load(&m, &doc, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(doc->model->graph->n_node, (size_t)N);
	cr_assert_eq(check_or_fail(doc, &err), TAMIS_OK, "%s", err.message);
	doc_free(doc);
	bytes_free(&m);
}

Test(check, names_table_against_a_plain_list)
{
	struct name_table t = { 0 };
	static char text[2000][12];
	uint64_t seed = 21;
	for (int i = 0; i < 2000; i++) {
		int64_t old = -1, first = -1;
		snprintf(text[i], sizeof text[i], "n%d", (int)(draw(&seed) % 1500));
		for (int k = 0; k < i && first < 0; k++)
			if (strcmp(text[k], text[i]) == 0)
				first = k;
		enum name_table_result r = name_table_add(&t, text[i], i, &old);
		cr_assert_eq(r, first < 0 ? NAME_NEW : NAME_OLD);
		cr_assert_eq(old, first);
	}
	int64_t value;
	cr_assert(name_table_get(&t, text[0], &value));
	cr_assert_eq(value, 0);
	cr_assert_not(name_table_get(&t, "absent", &value));
	name_table_free(&t);
	cr_assert_not(name_table_get(&t, text[0], &value));
}
