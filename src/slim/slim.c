/* SPDX-License-Identifier: Apache-2.0 */
/* The method, as a list of passes. Each pass is one function of one file of this room; the state they share is here. */
#include "slim/slim.h"

#include <string.h>

#include "slim/state.h"
#include "slim/work.h"

static const struct pass {
	const char *name;
	enum tamis_status (*run)(struct slim *s, struct tamis_error *err);
	bool always; /* also when nothing is to be cut (--keep 1) */
} passes[] = {
	{ "copy", pass_copy, true },               /* work on a copy of the document */
	{ "layers", pass_layers, true },           /* graph, shapes, the linear nodes; a bias for each */
	{ "score", pass_score, false },            /* run the fitting items: co-moments and path gains */
	{ "significance", pass_significance, false }, /* test every signal, Benjamini-Hochberg over all */
	{ "gate", pass_gate, false },                 /* the original's outputs on the held-out items */
	{ "search", pass_search, false },          /* rounds of choosing channels, then connections, and refitting; the deepest that passes */
	{ "cut", pass_cut, false },                /* the chosen weights and biases into the document */
	{ "channels", pass_channels, false },      /* remove what is provably dead */
	{ "fold", pass_fold, false },              /* numbers into weights; what is done in more steps than it takes */
	{ "storage", pass_storage, false },        /* dense or sparse, by measured bytes */
	{ "verify", pass_verify, true },           /* judge what will be written */
	{ "provenance", pass_provenance, true },
	{ "figures", pass_figures, true },
};

static enum tamis_status run_passes(struct slim *s, struct tamis_error *err)
{
	bool nothing = s->in->options->keep >= 1;
	enum tamis_status status = TAMIS_OK;

	for (size_t i = 0; status == TAMIS_OK && i < sizeof passes / sizeof *passes; i++) {
		double start = slim_now();

		if (nothing && !passes[i].always)
			continue;
		s->pass = passes[i].name;
		status = passes[i].run(s, err);
		slim_note_time(s, slim_now() - start);
#ifndef NDEBUG
		if (status == TAMIS_OK && s->graph)
			status = graph_verify(s->graph, err);
#endif
		if (status == TAMIS_OK && s->in->options->dump && !strcmp(s->in->options->dump, s->pass))
			status = slim_dump(s, err);
	}
	return status;
}

bool slim_has_pass(const char *name)
{
	for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
		if (!strcmp(passes[i].name, name))
			return true;
	return false;
}

enum tamis_status slim_document(const struct slim_inputs *in, struct document **out, struct slim_figures *figures,
                                struct arena *arena, struct tamis_error *err)
{
	struct slim s = { .in = in, .figures = figures, .arena = arena };
	double start = slim_now();
	enum tamis_status status = slim_open(&s, err);

	*out = NULL;
	s.started = start;
	if (status == TAMIS_OK)
		status = run_passes(&s, err);
	figures->seconds_total = slim_now() - start;
	if (status == TAMIS_OK && in->options->checkpoint)
		checkpoint_remove(&(struct checkpoint){ .path = in->options->checkpoint });
	if (status == TAMIS_OK) {
		*out = s.doc;
		s.doc = NULL;
	}
	slim_close(&s);
	return status;
}
