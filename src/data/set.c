/* SPDX-License-Identifier: Apache-2.0 */
/* One directory of the ONNX test layout: input_M.pb, a TensorProto each, M the position in graph.input. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/source.h"
#include "onnx/payload.h"

char *set_path(struct arena *a, const char *dir, const struct data_input *in)
{
	return arena_printf(a, "%s/input_%d.pb", dir, in->position);
}

static enum tamis_status load(struct data_source *s, const struct data_input *in, const char *path, int i,
                              struct table *out, struct tamis_error *err)
{
	struct doc_limits limits = {.max_memory = s->options.max_memory};
	struct tensor *t = &out->tensors[i];
	char want[160], came[160];
	enum tamis_status status = tensor_file_load(path, &limits, &out->files[i], err);

	if (status == TAMIS_OK)
		status = payload_read(NULL, out->files[i]->proto, t, err);
	if (status != TAMIS_OK)
		return status;
	if ((in->type == DT_UNDEFINED || in->type == t->type) &&
	    (in->rank < 0 || shape_agrees(in, 0, t->dims, t->rank)))
		return TAMIS_OK;
	return tm_fail(err, TAMIS_E_INVALID, "the input expects %s, and the file has %s",
	               describe_input(in, want, sizeof want), tensor_describe(t, came, sizeof came));
}

/* Files that feed nothing: an initializer's default cannot be replaced, and a higher number is no input. */
static void warn_of_extra(struct data_source *s, const char *dir)
{
	for (int m = 0; m <= s->n_inputs && !s->warned_extra; m++) {
		struct data_input other = {.position = m};
		struct arena a = {0};
		char *path = set_path(&a, dir, &other);
		struct stat st;
		bool ours = false;

		for (int i = 0; i < s->n_inputs; i++)
			ours = ours || s->inputs[i].position == m;
		if (path && !ours && stat(path, &st) == 0) {
			source_warn(s, "%s: no input of the model takes this file, which is ignored", path);
			s->warned_extra = true;
		}
		arena_free(&a);
	}
}

enum tamis_status set_open(struct data_source *s, const struct piece *p, struct table *out,
                           struct tamis_error *err)
{
	*out = (struct table){.n = s->n_inputs, .items = 1, .whole = true};
	out->files = tm_array((size_t)s->n_inputs, sizeof *out->files);
	out->tensors = tm_array((size_t)s->n_inputs, sizeof *out->tensors);
	if (!out->files || !out->tensors)
		return tm_no_memory(err, "reading a set of inputs");
	for (int i = 0; i < s->n_inputs; i++) {
		struct arena a = {0};
		char *path = set_path(&a, p->path, &s->inputs[i]);
		enum tamis_status status = path ? load(s, &s->inputs[i], path, i, out, err)
		                                : tm_no_memory(err, "reading a set of inputs");

		if (status != TAMIS_OK && path) {
			tm_in_file(err, path);
			tm_in_tensor(err, s->inputs[i].name);
		}
		arena_free(&a);
		if (status != TAMIS_OK)
			return status;
	}
	warn_of_extra(s, p->path);
	return TAMIS_OK;
}
