/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"
#include "cli/session.h"

static enum tamis_status compare(struct session *s, struct tamis_model *other, const struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_run_options o;
	struct tamis_report *report = NULL;
	enum tamis_status status;

	tamis_run_options_default(&o);
	o.threads = a->slim.threads;
	o.items = a->items;
	o.observer = s->observer;
	status = tamis_compare(s->model, other, s->data, &o, &report, &err);
	progress_clear(&s->progress);
	status = status == TAMIS_OK ? say_report(a, report) : say_error(&err);
	tamis_report_free(report);
	return status;
}

enum tamis_status command_compare(struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_model *other = NULL;
	struct tamis_load_options load = session_limits(a);
	struct session s;
	enum tamis_status status = session_check_outputs(a);

	if (status != TAMIS_OK)
		return status;
	status = session_open(&s, a);
	if (status == TAMIS_OK && tamis_model_open(a->operands.at[1], &load, &other, &err) != TAMIS_OK)
		status = say_error(&err);
	if (status == TAMIS_OK)
		status = compare(&s, other, a);
	tamis_model_close(other);
	session_close(&s);
	return status;
}
