/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX's own node vectors: a folder a test, with model.onnx and test_data_set_0/{input,output}_M.pb. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "harness.h"

#define DEBIAN_VECTORS "/usr/share/libonnx-testdata/data/node"

static uint8_t *slurp(const char *folder, const char *name, size_t *size)
{
	char path[4096 + 64];
	uint8_t *data = NULL;
	struct tamis_error err = {0};

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return file_read(path, (size_t)1 << 30, &data, size, &err) == TAMIS_OK ? data : NULL;
}

/* Elements from the typed field; false when the tensor keeps them elsewhere. */
static bool decode_fields(const Onnx__TensorProto *p, struct tensor *t)
{
	size_t n = (size_t)t->count;

	for (size_t i = 0; i < n; i++) {
		if (i < p->n_float_data)
			tensor_set(t, (int64_t)i, (double)p->float_data[i]);
		else if (i < p->n_double_data)
			tensor_set(t, (int64_t)i, p->double_data[i]);
		else if (i < p->n_int64_data)
			((int64_t *)t->data)[i] = p->int64_data[i];
		else if (i < p->n_int32_data && dtype_bits((int)t->type) == 16)
			((uint16_t *)t->data)[i] = (uint16_t)p->int32_data[i];
		else if (i < p->n_int32_data)
			tensor_set(t, (int64_t)i, p->int32_data[i]);
		else if (i < p->n_uint64_data)
			tensor_set(t, (int64_t)i, (double)p->uint64_data[i]);
		else
			return false;
	}
	return true;
}

struct tensor tensor_of_proto(const Onnx__TensorProto *p, struct arena *arena)
{
	struct tensor t = {0};

	if (!dtype_known(p->data_type) || p->data_type == DT_STRING ||
	    tensor_shape(&t, (enum dtype)p->data_type, (int)p->n_dims, p->dims, NULL) != TAMIS_OK)
		return (struct tensor){0};
	t.data = arena_alloc(arena, tensor_bytes(&t) + 1);
	if (t.count == 0)
		return t;
	if (p->has_raw_data && p->raw_data.len == tensor_bytes(&t))
		memcpy(t.data, p->raw_data.data, p->raw_data.len);
	else if (!decode_fields(p, &t))
		return (struct tensor){0};
	return t;
}

static struct tensor load_tensor(const char *folder, const char *kind, size_t k, struct arena *arena)
{
	char name[64];
	size_t size;
	uint8_t *data;
	Onnx__TensorProto *p;
	struct tensor t = {0};

	snprintf(name, sizeof name, "test_data_set_0/%s_%zu.pb", kind, k);
	data = slurp(folder, name, &size);
	p = data ? onnx__tensor_proto__unpack(NULL, size, data) : NULL;
	if (p)
		t = tensor_of_proto(p, arena);
	if (p)
		onnx__tensor_proto__free_unpacked(p, NULL);
	free(data);
	return t;
}

/* Position of a name among the graph's inputs or outputs; -1 when it is none of them. */
static int position(Onnx__ValueInfoProto *const *infos, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(infos[i]->name, name) == 0)
			return (int)i;
	return -1;
}

static int opset_of(const Onnx__ModelProto *m, const char *domain)
{
	for (size_t i = 0; i < m->n_opset_import; i++)
		if (strcmp(m->opset_import[i]->domain ? m->opset_import[i]->domain : "", domain) == 0)
			return (int)m->opset_import[i]->version;
	return 0;
}

static const struct op *find(const struct op *rows, const Onnx__NodeProto *n, const Onnx__ModelProto *m)
{
	const char *domain = n->domain ? n->domain : "";
	int opset = opset_of(m, domain);

	for (; rows->name; rows++)
		if (strcmp(rows->name, n->op_type) == 0 && strcmp(rows->domain, domain) == 0 &&
		    rows->since <= opset && opset <= rows->until)
			return rows;
	return NULL;
}

/* The node's inputs from the files; false when one cannot be read (strings, sequences). */
static bool bind_inputs(struct op_case *c, const Onnx__GraphProto *g, const Onnx__NodeProto *n,
                        const char *folder)
{
	for (size_t i = 0; i < n->n_input; i++) {
		int at = n->input[i][0] ? position(g->input, g->n_input, n->input[i]) : -1;
		struct tensor t = {0};

		if (n->input[i][0] == '\0') {
			case_absent(c);
			continue;
		}
		if (at >= 0)
			t = load_tensor(folder, "input", (size_t)at, &c->arena);
		if (t.type == DT_UNDEFINED || c->node.n_in == CASE_MAX)
			return false;
		c->node.in[c->node.n_in] = c->node.n_in;
		c->in[c->node.n_in++] = t;
	}
	return true;
}

/* ONNX's backend test allows 1e-3 relative and 1e-7 absolute; halves are exact to their own rounding. */
static bool agrees(const struct tensor *got, const struct tensor *want, char *why, size_t size)
{
	double relative = dtype_bits((int)got->type) == 16 ? 2e-3 : 1e-4;
	char a[128], b[128];

	if (got->type != want->type || !tensor_same_shape(got, want)) {
		snprintf(why, size, "got %s, expected %s", tensor_describe(got, a, sizeof a),
		         tensor_describe(want, b, sizeof b));
		return false;
	}
	for (int64_t k = 0; k < got->count; k++) {
		double x = tensor_get(got, k), y = tensor_get(want, k);

		if ((isnan(x) && isnan(y)) || x == y || fabs(x - y) <= 1e-6 + relative * fabs(y))
			continue;
		snprintf(why, size, "element %lld is %.9g, expected %.9g", (long long)k, x, y);
		return false;
	}
	return true;
}

/* 1 = ran and agreed, 0 = not for this family, -1 = failed. */
static int run_model(const struct op *rows, const Onnx__ModelProto *m, const char *folder)
{
	const Onnx__GraphProto *g = m->graph;
	const Onnx__NodeProto *n = g && g->n_node == 1 ? g->node[0] : NULL;
	const struct op *op = n ? find(rows, n, m) : NULL;
	struct op_case *c;
	char why[300];
	int result = 1;

	if (!op || n->n_attribute > CASE_MAX || n->n_output > CASE_MAX)
		return 0;
	c = case_new(op, op->name, op->since);
	c->node.opset = opset_of(m, op->domain);
	c->proto = *n;
	case_outputs(c, (int)n->n_output);
	for (size_t i = 0; i < n->n_output; i++)
		if (n->output[i][0] == '\0')
			case_drop_output(c, (int)i);
	if (!bind_inputs(c, g, n, folder)) {
		case_free(c);
		return 0;
	}
	if (case_forward(c) != TAMIS_OK) {
		fprintf(stderr, "%s: %s\n", folder, c->err.message);
		result = -1;
	}
	for (size_t i = 0; result == 1 && i < n->n_output; i++) {
		int at = position(g->output, g->n_output, n->output[i]);
		struct tensor want = {0};

		if (at >= 0)
			want = load_tensor(folder, "output", (size_t)at, &c->arena);
		if (at >= 0 && !agrees(&c->out[i], &want, why, sizeof why)) {
			fprintf(stderr, "%s: output %zu: %s\n", folder, i, why);
			result = -1;
		}
	}
	case_free(c);
	return result;
}

static int run_folder(const struct op *rows, const char *folder)
{
	size_t size;
	uint8_t *data = slurp(folder, "model.onnx", &size);
	Onnx__ModelProto *m = data ? onnx__model_proto__unpack(NULL, size, data) : NULL;
	int result = m ? run_model(rows, m, folder) : 0;

	if (m)
		onnx__model_proto__free_unpacked(m, NULL);
	free(data);
	return result;
}

static bool listed(const char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/* All folders below one root; adds to the counts. False when there is no such root. */
static bool run_root(const struct op *rows, const char *root, const char *const *skip, int *ran, int *failed)
{
	struct dirent **entries;
	int n = scandir(root, &entries, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char folder[4096];
		int result = 0;

		snprintf(folder, sizeof folder, "%s/%s", root, entries[i]->d_name);
		if (strncmp(entries[i]->d_name, "test_", 5) == 0 && !listed(skip, entries[i]->d_name))
			result = run_folder(rows, folder);
		*ran += result != 0;
		*failed += result < 0;
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return n >= 0;
}

void check_vectors(const struct op *rows, int least, const char *const *skip)
{
	const char *roots = getenv("TAMIS_VECTORS");
	char list[8192], *save = NULL;
	int ran = 0, failed = 0;
	bool any = false;

	snprintf(list, sizeof list, "%s", roots && *roots ? roots : DEBIAN_VECTORS);
	for (char *root = strtok_r(list, ":", &save); root; root = strtok_r(NULL, ":", &save))
		any |= run_root(rows, root, skip, &ran, &failed);
	if (!any)
		cr_skip_test("no ONNX node vectors on this machine");
	fprintf(stderr, "%d node vectors ran, %d failed\n", ran, failed);
	cr_assert_eq(failed, 0, "%d of %d node vectors failed", failed, ran);
	cr_assert_geq(ran, least, "only %d node vectors ran, at least %d were expected", ran, least);
}
