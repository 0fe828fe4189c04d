/* SPDX-License-Identifier: Apache-2.0 */
/* Everything but the slimming report: info, check, compare, ops, cpu. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/print.h"
#include "report/text.h"

static void heading(struct table *t, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		table_cell(t, names[i]);
}

/* "name  value" with the value wrapped under itself, one line of the value after another. */
static bool named(FILE *out, const char *name, const char *lines)
{
	enum { NAME = 14 };
	const char *label = name;

	while (lines && *lines) {
		size_t len = strcspn(lines, "\n");
		char one[4096];

		if (len >= sizeof one)
			len = sizeof one - 1;
		memcpy(one, lines, len);
		one[len] = '\0';
		fprintf(out, "%-*s", NAME, label);
		if (!print_wrapped(out, NAME, NAME, one))
			return false;
		lines += strcspn(lines, "\n");
		lines += *lines == '\n';
		label = "";
	}
	return true;
}

static bool named_count(FILE *out, const char *name, double value)
{
	char buf[PRINT_NUMBER];

	if (!(value >= 0) || value > 9e18)
		return true;
	return named(out, name, print_count(buf, (int64_t)value));
}

static bool info_figures(FILE *out, const struct info_figures *f)
{
	const struct model_figures *m = &f->figures;
	char version[24] = "";
	double zeros = m->parameters >= 0 && m->nonzeros >= 0 ? (double)(m->parameters - m->nonzeros) : -1;

	if (f->ir_version >= 0)
		snprintf(version, sizeof version, "%" PRId64, f->ir_version);
	return named(out, "model", f->model) && named(out, "producer", f->producer)
	       && named(out, "IR version", version) && named(out, "opsets", f->opsets)
	       && named(out, "inputs", f->inputs) && named(out, "outputs", f->outputs)
	       && named_count(out, "nodes", (double)m->nodes)
	       && named_count(out, "initializers", (double)m->initializers)
	       && named_count(out, "parameters", (double)m->parameters) && named_count(out, "  zeros", zeros)
	       && named_count(out, "connections", (double)m->connections)
	       && named_count(out, "channels", (double)m->channels) && named_count(out, "MACs an item", m->macs)
	       && named_count(out, "file bytes", (double)m->file_bytes)
	       && named_count(out, "  after gzip", (double)m->gzip_bytes);
}

static bool info_ops(FILE *out, const struct info_figures *f)
{
	static const char *const names[] = {"operator", "domain", "nodes", ""};
	struct table t;

	if (f->n_ops == 0)
		return true;
	table_start(&t, "nnrl");
	heading(&t, names, 4);
	for (size_t i = 0; i < f->n_ops; i++) {
		table_cell(&t, f->ops[i].op);
		table_cell(&t, f->ops[i].domain);
		table_count(&t, f->ops[i].nodes);
		table_cell(&t, f->ops[i].supported ? "" : "not supported");
	}
	fputc('\n', out);
	return table_write(&t, out, 0);
}

static bool info_layers(FILE *out, const struct info_figures *f)
{
	static const char *const names[] = {"layer", "op", "initializer", "shape", "entries", "zeros", "MACs",
		"slimmed", "because"};
	struct table t;

	if (f->n_layers == 0)
		return true;
	table_start(&t, "nsnsrrrls");
	heading(&t, names, 9);
	for (size_t i = 0; i < f->n_layers; i++) {
		const struct info_layer *l = &f->layers[i];

		table_cell(&t, l->node);
		table_cell(&t, l->op);
		table_cell(&t, l->weight);
		table_cell(&t, l->shape);
		table_count(&t, l->entries);
		table_count(&t, l->zeros);
		table_count(&t, l->macs >= 0 && l->macs < 9e18 ? (int64_t)l->macs : -1);
		table_cell(&t, l->slimmable ? "yes" : "no");
		table_cell(&t, l->note);
	}
	fputc('\n', out);
	return table_write(&t, out, 0);
}

static bool group_table(FILE *out, const struct info_figures *f)
{
	static const char *const names[] = {"group", "units", "MACs each", "bytes each", "", "made by"};
	struct table t;

	table_start(&t, "rrrrln");
	heading(&t, names, 6);
	for (size_t i = 0; i < f->n_groups; i++) {
		const struct info_group *g = &f->groups[i];
		bool made = g->n_members && !strcmp(g->members[0].role, "makes");

		table_count(&t, (int64_t)i + 1);
		table_count(&t, g->units);
		table_count(&t, g->macs < 9e18 ? (int64_t)g->macs : -1);
		table_count(&t, g->bytes < 9e18 ? (int64_t)g->bytes : -1);
		table_cell(&t, g->why ? "left alone" : "");
		table_cell(&t, made ? g->members[0].name : "");
	}
	fputc('\n', out);
	return table_write(&t, out, 0);
}

enum { ROLE = 10 }; /* columns before the members of one role */

static bool group_why(FILE *out, const struct info_group *g)
{
	struct arena a = {0};
	const char *text = g->why_node ? arena_printf(&a, "left alone at %s (%s): %s", g->why_node, g->why_op, g->why)
	                               : arena_printf(&a, "left alone: %s", g->why);
	bool ok = text && print_wrapped(out, fprintf(out, "  "), ROLE, text);

	arena_free(&a);
	return ok;
}

/* "  reads   a, b, c": the members of one role, from *at on. */
static bool group_role(FILE *out, const struct info_group *g, size_t *at)
{
	const char *role = g->members[*at].role;
	int column = fprintf(out, "  %-*s", ROLE - 2, role);
	size_t first = *at;
	struct pieces p;

	if (!pieces_begin(&p))
		return false;
	for (; *at < g->n_members && !strcmp(g->members[*at].role, role); ++*at)
		fprintf(p.to, "%s%s", *at > first ? ", " : "", g->members[*at].name);
	return pieces_end(&p, out, column, ROLE);
}

static bool info_groups(FILE *out, const struct info_figures *f)
{
	bool ok = f->n_groups == 0 || group_table(out, f);

	for (size_t i = 0; ok && i < f->n_groups; i++) {
		const struct info_group *g = &f->groups[i];

		fprintf(out, "\ngroup %zu\n", i + 1);
		ok = !g->why || group_why(out, g);
		for (size_t at = 0; ok && at < g->n_members;)
			ok = group_role(out, g, &at);
	}
	return ok;
}

bool text_info(FILE *out, const struct info_figures *f)
{
	return info_figures(out, f) && info_ops(out, f) && info_layers(out, f) && info_groups(out, f);
}

bool text_check(FILE *out, const struct check_figures *f)
{
	char errors[PRINT_NUMBER], warnings[PRINT_NUMBER];

	for (size_t i = 0; i < f->n_lines; i++) {
		const struct check_line *l = &f->lines[i];
		int column = fprintf(out, "%-8s %-10s ", l->severity, l->rule);
		struct arena a = {0};
		const char *text = l->place && *l->place ? arena_printf(&a, "%s: %s", l->place, l->sentence)
		                                         : arena_strdup(&a, l->sentence);
		bool ok = text && print_wrapped(out, column, 20, text);

		arena_free(&a);
		if (!ok)
			return false;
	}
	fprintf(out, "%s error%s, %s warning%s\n", print_count(errors, f->errors), f->errors == 1 ? "" : "s",
	        print_count(warnings, f->warnings), f->warnings == 1 ? "" : "s");
	return true;
}

static void figure_line(FILE *out, const char *what, double value)
{
	char buf[PRINT_NUMBER];

	if (!isnan(value))
		fprintf(out, "%-26s%s\n", what, print_figure(buf, value, 4));
}

static void compare_classes(FILE *out, const struct compare_figures *f)
{
	char a[PRINT_NUMBER], b[PRINT_NUMBER], c[PRINT_NUMBER];

	if (f->agree >= 0 && f->items > 0)
		fprintf(out, "%-26s%s  [%s, %s] (exact 95 %%)  %" PRId64 " of %" PRId64 "\n", "same class",
		        print_share(a, (double)f->agree / (double)f->items), print_share(b, f->agree_lower),
		        print_share(c, f->agree_upper), f->agree, f->items);
	figure_line(out, "expected accuracy loss", f->expected_loss);
	if (isnan(f->accuracy_a))
		return;
	fprintf(out, "%-26s%s (A), %s (B)\n", "accuracy", print_share(a, f->accuracy_a),
	        print_share(b, f->accuracy_b));
	fprintf(out, "%-26sonly A %s, only B %s; McNemar's p = %s\n", "right", print_count(a, f->only_a),
	        print_count(b, f->only_b), print_figure(c, f->mcnemar_p, 3));
}

bool text_compare(FILE *out, const struct compare_figures *f)
{
	char buf[PRINT_NUMBER];

	if (!named(out, "A", f->a) || !named(out, "B", f->b))
		return false;
	fprintf(out, "\n%-26s%s\n", "items", print_count(buf, f->items));
	compare_classes(out, f);
	figure_line(out, "relative squared error", f->relative_squared_error);
	figure_line(out, "largest difference", f->max_abs);
	figure_line(out, "  relative", f->max_rel);
	return true;
}

bool text_ops(FILE *out, const struct ops_figures *f)
{
	static const char *const names[] = {"operator", "domain", "opsets", "gradient", "weights"};
	struct table t;
	char range[32];

	table_start(&t, "nnlll");
	heading(&t, names, 5);
	for (size_t i = 0; i < f->n_lines; i++) {
		const struct op_line *l = &f->lines[i];

		if (l->until < 0)
			snprintf(range, sizeof range, "%d and up", l->since);
		else if (l->until == l->since)
			snprintf(range, sizeof range, "%d", l->since);
		else
			snprintf(range, sizeof range, "%d to %d", l->since, l->until);
		table_cell(&t, l->name);
		table_cell(&t, l->domain);
		table_cell(&t, range);
		table_cell(&t, l->reverse ? "yes" : "no");
		table_cell(&t, l->linear ? "slimmed" : "");
	}
	return table_write(&t, out, 0);
}

bool text_cpu(FILE *out, const struct cpu_figures *f)
{
	bool ok = named(out, "processor", f->processor) && named_count(out, "threads", f->threads)
	          && named(out, "BLAS", f->blas) && named(out, "BLAS core", f->blas_core)
	          && named(out, "convolution", f->convolution);

	if (ok && f->advice)
		fprintf(out, "\nThe BLAS takes this processor for an older one. Faster with OPENBLAS_CORETYPE=%s "
		        "set.\n", f->advice);
	return ok;
}
