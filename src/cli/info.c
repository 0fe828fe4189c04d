/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"
#include "cli/session.h"

static enum tamis_status describe(const struct arguments *a, struct tamis_report **report,
                                  struct tamis_error *err)
{
	struct tamis_info_options o;
	struct tamis_load_options load = session_limits(a);
	struct tamis_model *model = NULL;
	enum tamis_status status;

	if (a->operands.n == 0)
		return tamis_cpu(report, NULL, err);
	tamis_info_options_default(&o);
	o.shapes = a->shapes.at;
	o.n_shapes = a->shapes.n;
	o.cpu = a->cpu;
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

	if (a->operands.n == 0 && !a->cpu)
		return usage_error("an operand is missing: tamis info MODEL, or tamis info --cpu");
	status = session_check_outputs(a);
	if (status != TAMIS_OK)
		return status;
	status = describe(a, &report, &err);
	status = status == TAMIS_OK ? say_report(a, report) : say_error(&err);
	tamis_report_free(report);
	return status;
}
