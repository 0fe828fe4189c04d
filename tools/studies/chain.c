/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a model to half of its connections, then to half of these, and so on, in R rounds each, and keeps every state on the
 * way: what `tamis slim --keep 1/2^K --rounds RK --granularity weight` makes, for K = 1, 2, ... in the time of the last
 * alone.
 *
 *     study-chain MODEL.onnx ITEMS.npz DEEPEST R PREFIX
 *
 * writes PREFIX-2.onnx, PREFIX-4.onnx, ... up to DEEPEST and prints for each a line: depth, expected loss on the items held
 * out and its 95 % bound. Seed 1. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "slim/work.h"
#include "support.h"

static void score_again(struct slim *s)
{
	struct slim_told told = { s, 0, SCORE_COST };
	struct score_job job = slim_score_job(s, &s->again, &told);
	struct tamis_error err = { 0 };
	struct head head;

	scores_free(&s->scores);
	need(score_run(&job, &head, &s->scores, &err), &err);
}

static void save(struct slim *s, const char *prefix, int depth)
{
	struct doc_save_options options = { .in_place = false };
	struct tamis_error err = { 0 };
	char path[4096];

	snprintf(path, sizeof path, "%s-%d.onnx", prefix, depth);
	need(parameters_write(s->graph, &s->parameters, s->doc, &err), &err);
	need(doc_save(s->doc, path, &options, &err), &err);
}

static void halve(struct slim *s, struct tamis_slim_options *o, int depth, int rounds)
{
	struct tamis_error err = { 0 };

	for (int k = 1; k <= rounds; k++) {
		if (depth > 2 || k > 1)
			score_again(s);
		o->keep = pow(0.5, (double)k / rounds) * 2 / depth;
		s->pass = "search";
		need(pass_search(s, &err), &err);
	}
	s->pass = "verify";
	need(pass_verify(s, &err), &err);
	printf("%d\t%.9g\t%.9g\n", depth, s->verdict.value, s->verdict.bound);
	fflush(stdout);
}

static void start(struct slim *s)
{
	static enum tamis_status (*const passes[])(struct slim *, struct tamis_error *) = { slim_open, pass_copy, pass_layers,
		pass_score, pass_significance, pass_gate };
	struct tamis_error err = { 0 };

	s->pass = "score";
	for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
		need(passes[i](s, &err), &err);
}

int main(int argc, char **argv)
{
	struct tamis_slim_options o;
	struct tamis_model *model = NULL;
	struct tamis_calibration *items = NULL;
	struct slim_figures figures = { 0 };
	struct arena arena = { 0 };
	struct slim_inputs in = { .options = &o };
	struct slim s = { .in = &in, .figures = &figures, .arena = &arena };
	struct tamis_error err = { 0 };

	if (argc != 6) {
		fprintf(stderr, "usage: study-chain MODEL ITEMS DEEPEST ROUNDS PREFIX\n");
		return 2;
	}
	tamis_slim_options_default(&o);
	o.granularity = TAMIS_WEIGHT;
	o.tolerance = 1;
	o.rounds = 1;
	o.threads = 1;
	o.keep = 0.5;
	need(tamis_model_open(argv[1], NULL, &model, &err), &err);
	need(tamis_calibration_open(model, (const char *const *)&argv[2], 1, NULL, &items, &err), &err);
	in.doc = model->doc;
	in.items = &items->reader;
	start(&s);
	for (int depth = 2; depth <= atoi(argv[3]); depth *= 2) {
		halve(&s, &o, depth, atoi(argv[4]));
		save(&s, argv[5], depth);
	}
	slim_close(&s);
	arena_free(&arena);
	tamis_calibration_close(items);
	tamis_model_close(model);
	return 0;
}
