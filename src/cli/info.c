/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/message.h"
#include "cli/session.h"

/* NAME, or NAME:OUT,IN. What follows a colon and is no pair of numbers belongs to the name. `name` has room for the text. */
static void read_tensor(const char *text, char *name, struct tamis_scores_options *o)
{
	const char *colon = strrchr(text, ':');
	long long out, in;
	int used = -1;

	strcpy(name, text);
	o->tensor = name;
	if (!colon || sscanf(colon, ":%18lld,%18lld%n", &out, &in, &used) != 2 || used < 0 || colon[used] || out < 0 || in < 0)
		return;
	name[colon - text] = '\0';
	o->output = out;
	o->input = in;
}

static enum tamis_status describe_scores(const struct arguments *a, struct tamis_report **report,
                                         struct tamis_error *err)
{
	struct tamis_scores_options o;
	char *name = malloc(a->tensor ? strlen(a->tensor) + 1 : 1);
	enum tamis_status status;

	if (!name)
		return err->status = TAMIS_E_MEMORY;
	tamis_scores_options_default(&o);
	if (a->tensor)
		read_tensor(a->tensor, name, &o);
	status = tamis_scores(a->scores, &o, report, err);
	free(name);
	return status;
}

static enum tamis_status describe(const struct arguments *a, struct tamis_report **report,
                                  struct tamis_error *err)
{
	struct tamis_info_options o;
	struct tamis_load_options load = session_limits(a);
	struct tamis_model *model = NULL;
	enum tamis_status status;

	if (a->scores)
		return describe_scores(a, report, err);
	if (a->operands.n == 0)
		return tamis_cpu(report, NULL, err);
	tamis_info_options_default(&o);
	o.shapes = a->shapes.at;
	o.n_shapes = a->shapes.n;
	o.cpu = a->cpu;
	o.groups = a->groups;
	status = tamis_model_open(a->operands.at[0], &load, &model, err);
	if (status == TAMIS_OK)
		status = tamis_info(model, &o, report, err);
	tamis_model_close(model);
	return status;
}

enum tamis_status command_info(struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_report *report = NULL;
	enum tamis_status status;

	if (a->operands.n == 0 && !a->cpu && !a->scores)
		return usage_error("an operand is missing: tamis info MODEL, tamis info --scores FILE, or tamis info --cpu");
	if (a->operands.n == 0 && a->groups)
		return usage_error("--groups describes a model: tamis info --groups MODEL");
	if (a->scores && (a->operands.n || a->cpu || a->shapes.n))
		return usage_error("info describes either a model or, with --scores alone, a score file");
	if (!a->scores && (a->tensor || a->html))
		return usage_error("%s is for info --scores", a->tensor ? "--tensor" : "--html");
	status = session_check_outputs(a);
	if (status != TAMIS_OK)
		return status;
	status = describe(a, &report, &err);
	status = status == TAMIS_OK ? say_report(a, report) : say_error(&err);
	tamis_report_free(report);
	return status;
}
