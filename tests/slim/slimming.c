/* SPDX-License-Identifier: Apache-2.0 */
#include "slimming.h"

#include <criterion/criterion.h>

#include "ops/table.h"

void slimming_open(struct slimming *s, struct document *d, int64_t items, uint64_t seed)
{
	struct graph *g = NULL;

	*s = (struct slimming){ .doc = d };
	cr_assert_eq(graph_build(d, &op_table, &g, NULL), TAMIS_OK);
	shelf_fill(&s->shelf, g, items, seed);
	graph_free(g);
	s->reader = shelf_reader(&s->shelf);
	tamis_slim_options_default(&s->o);
	s->o.threads = 1;
	s->o.tolerance = 0.1;
	s->in = (struct slim_inputs){ .doc = d, .items = &s->reader, .options = &s->o };
}

enum tamis_status slimming_run(struct slimming *s)
{
	slimming_forget(s);
	return slim_document(&s->in, &s->out, &s->figures, &s->arena, &s->err);
}

void slimming_forget(struct slimming *s)
{
	doc_free(s->out);
	arena_free(&s->arena);
	s->out = NULL;
	s->figures = (struct slim_figures){ 0 };
	s->err = (struct tamis_error){ 0 };
}

void slimming_close(struct slimming *s)
{
	slimming_forget(s);
	shelf_free(&s->shelf);
	doc_free(s->doc);
}

uint8_t *slimming_bytes(struct document *d, size_t *size)
{
	uint8_t *bytes = NULL;

	cr_assert_eq(doc_pack(d, &bytes, size, NULL), TAMIS_OK);
	return bytes;
}
