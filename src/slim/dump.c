/* SPDX-License-Identifier: Apache-2.0 */
/* The state after a pass, as lines of text: for whoever wants to look inside. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "slim/state.h"

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* minimum, quartiles, maximum. */
static void put_quantiles(FILE *out, const char *name, const double *x, int64_t n)
{
	double *sorted = tm_array_uninit((size_t)n + 1, sizeof *sorted);

	if (!sorted || !x || !n) {
		free(sorted);
		return;
	}
	memcpy(sorted, x, (size_t)n * sizeof *sorted);
	qsort(sorted, (size_t)n, sizeof *sorted, ascending);
	fprintf(out, "  %-10s", name);
	for (int q = 0; q <= 4; q++)
		fprintf(out, " %.4g", sorted[(n - 1) * q / 4]);
	fprintf(out, "\n");
	free(sorted);
}

static void put_layer(const struct slim *s, int i, FILE *out)
{
	const struct layer *l = &s->layers.list[i];
	const struct layer_score *x = s->scores.layer ? &s->scores.layer[i] : NULL;
	const struct tensor *w = &s->graph->values[l->weight].constant;
	int64_t zeros = 0;

	for (int64_t k = 0; k < w->count; k++)
		zeros += tensor_get(w, k) == 0;
	fprintf(out, "%s %s weight %s: %lld entries, %lld zero, %lld features, %lld channels, %lld positions%s%s\n",
	        s->graph->nodes[l->node].op->name, s->graph->nodes[l->node].name, s->graph->values[l->weight].name,
	        (long long)l->entries, (long long)zeros, (long long)l->features, (long long)l->view.outs,
	        (long long)l->positions, l->note ? "; left alone: " : "", l->note ? l->note : "");
	if (l->note || !x || !x->mean || i >= s->scores.n_layers)
		return;
	put_quantiles(out, "mean", x->mean, l->features);
	put_quantiles(out, "relevance", x->relevance, l->features);
	put_quantiles(out, "p", x->p, l->features);
	put_quantiles(out, "gain", x->gain, l->view.outs);
}

static void put_parameters(const struct slim *s, FILE *out)
{
	for (int k = 0; k < s->scores.n_parameters; k++) {
		const struct value *v = &s->graph->values[s->scores.parameter[k].value];
		double *score = tm_array((size_t)v->constant.count + 1, sizeof *score);

		for (int64_t i = 0; score && i < v->constant.count; i++) {
			double w = tensor_get(&v->constant, i);

			score[i] = w * w * s->scores.parameter[k].gradient2[i];
		}
		fprintf(out, "parameter %s: %lld entries\n", v->name, (long long)v->constant.count);
		put_quantiles(out, "pii", score, v->constant.count);
		free(score);
	}
}

static void put_state(const struct slim *s, FILE *out)
{
	fprintf(out, "after pass '%s'\n", s->pass);
	for (int i = 0; i < s->layers.n; i++)
		put_layer(s, i, out);
	if (!strcmp(s->pass, "score") || !strcmp(s->pass, "significance"))
		put_parameters(s, out);
	if (s->significance.feature)
		fprintf(out, "%lld of %lld tests significant\n", (long long)s->significance.significant,
		        (long long)s->significance.tests);
	for (size_t i = 0; i < s->search.n_looks; i++)
		fprintf(out, "look: keep %.5f ratio %.3f value %.6f bound %.6f %s\n", s->search.looks[i].keep,
		        s->search.looks[i].ratio, s->search.looks[i].value, s->search.looks[i].bound,
		        s->search.looks[i].passed ? "passed" : "failed");
}

enum tamis_status slim_dump(const struct slim *s, struct tamis_error *err)
{
	struct file_writer w;
	char *text = NULL;
	size_t size = 0;
	FILE *out;
	enum tamis_status status;

	if (!s->in->options->dump_file)
		return TAMIS_OK;
	out = open_memstream(&text, &size);
	if (!out)
		return tm_no_memory(err, "dumping the state");
	put_state(s, out);
	if (fclose(out))
		return tm_no_memory(err, "dumping the state");
	status = file_writer_open(&w, s->in->options->dump_file, err);
	if (status == TAMIS_OK) {
		status = file_writer_write(&w, text, size, err);
		if (status == TAMIS_OK)
			status = file_writer_finish(&w, err);
		if (status == TAMIS_OK)
			status = file_writer_commit(&w, err);
		file_writer_abort(&w);
	}
	free(text);
	return status;
}
