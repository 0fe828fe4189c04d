/* SPDX-License-Identifier: Apache-2.0 */
/* A valid model: its graph, constants folded, shapes and memory planned for small inputs; nothing runs but the folding. */
#include "fuzz.h"

#include <stdlib.h>

#include "exec/plan.h"
#include "ops/table.h"

const ProtobufCMessageDescriptor *const fuzz_message = &onnx__model_proto__descriptor;

#define MOST 64 /* inputs */

/* Open axes are two long. */
static bool input_shapes(const struct graph *g, struct tensor *in)
{
	for (int i = 0; i < g->n_inputs; i++) {
		const struct value_type *d = &g->values[g->inputs[i]].declared;
		int64_t dims[TENSOR_MAX_RANK];

		for (int k = 0; k < d->rank; k++)
			dims[k] = d->dims[k] < 0 ? 2 : d->dims[k];
		if (d->type == DT_UNDEFINED || tensor_shape(&in[i], d->type, d->rank < 0 ? 0 : d->rank, dims, NULL) != TAMIS_OK)
			return false;
	}
	return true;
}

static void plan(const struct graph *g, bool training)
{
	const struct program_options options = { .training = training, .merge_norms = !training };
	struct tensor in[MOST] = { 0 };
	struct tamis_error err = { 0 };
	struct program *p = NULL;
	struct plan *planned = NULL;
	enum tamis_status status = program_create(g, &options, &p, &err);

	if (status == TAMIS_OK && g->n_inputs <= MOST && input_shapes(g, in))
		status = plan_create(p, in, &planned, &err);
	fuzz_expect_said(status, &err);
	plan_free(planned);
	program_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct document *doc = fuzz_document(data, size);
	struct tamis_error err = { 0 };
	struct graph *g = NULL;

	if (!doc)
		return 0;
	fuzz_expect_said(graph_build(doc, &op_table, &g, &err), &err);
	if (g) {
		fuzz_expect(graph_verify(g, NULL) == TAMIS_OK, "a graph that keeps its promises");
		plan(g, false);
		plan(g, true);
	}
	graph_free(g);
	doc_free(doc);
	return 0;
}
