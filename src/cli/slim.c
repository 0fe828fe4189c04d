/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/message.h"
#include "cli/session.h"

static enum tamis_status find_output(struct arguments *a)
{
	if (a->operands.n == 2)
		a->output = a->operands.at[1];
	else if (a->in_place)
		a->output = a->operands.at[0];
	else if (!a->slim.dry_run)
		return usage_error("an operand is missing: tamis slim %s", a->command->operands);
	if (a->in_place && strcmp(a->operands.at[0], "-") == 0)
		return usage_error("--in-place wants a file, not standard input");
	if (a->slim.dump && a->output && strcmp(a->output, "-") == 0)
		return usage_error("--dump and the model cannot both go to standard output");
	return TAMIS_OK;
}

static enum tamis_status save(struct session *s, const struct arguments *a, struct tamis_error *err)
{
	struct tamis_save_options o;

	if (a->slim.dry_run)
		return TAMIS_OK;
	tamis_save_options_default(&o);
	o.external_data = a->external_data;
	o.in_place = a->in_place;
	return tamis_model_save(s->model, a->output, &o, err);
}

/* The model is saved before the report is printed: a table tells of a file that is there. A gate that no
 * cut passed has a report too. */
static enum tamis_status slim(struct session *s, struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_report *report = NULL;
	enum tamis_status status;

	a->slim.observer = s->observer;
	if (a->slim.dump)
		a->slim.dump_file = "-";
	status = tamis_slim(s->model, s->data, &a->slim, &report, &err);
	if (status == TAMIS_OK)
		status = save(s, a, &err);
	progress_clear(&s->progress);
	if (report && (status == TAMIS_OK || status == TAMIS_E_GATE)) {
		enum tamis_status said = say_report(a, report);

		status = status == TAMIS_OK ? said : status;
	}
	tamis_report_free(report);
	if (err.status != TAMIS_OK)
		say_error(&err);
	return status;
}

enum tamis_status command_slim(struct arguments *a)
{
	struct session s;
	enum tamis_status status = find_output(a);

	if (status == TAMIS_OK)
		status = session_check_outputs(a);
	if (status != TAMIS_OK)
		return status;
	status = session_open(&s, a);
	if (status == TAMIS_OK)
		status = slim(&s, a);
	session_close(&s);
	return status;
}
