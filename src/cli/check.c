/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"
#include "cli/session.h"

static enum tamis_status check_provenance(const struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_model *model = NULL;
	struct tamis_load_options load = session_limits(a);
	enum tamis_status status = tamis_model_open(a->operands.at[0], &load, &model, &err);

	if (status == TAMIS_OK)
		status = tamis_check_provenance(model, a->source, &err);
	tamis_model_close(model);
	return status == TAMIS_OK ? TAMIS_OK : say_error(&err);
}

enum tamis_status command_check(struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_report *report = NULL;
	struct tamis_load_options load = session_limits(a);
	int64_t errors = 0;
	enum tamis_status status;

	if (a->source && !a->check_provenance)
		return usage_error("--source goes with --provenance");
	status = session_check_outputs(a);
	if (status != TAMIS_OK)
		return status;
	status = tamis_check(a->operands.at[0], &load, &report, &errors, &err);
	status = status == TAMIS_OK ? say_report(a, report) : say_error(&err);
	tamis_report_free(report);
	if (status == TAMIS_OK && errors > 0)
		return TAMIS_E_INVALID;
	if (status == TAMIS_OK && a->check_provenance)
		status = check_provenance(a);
	return status;
}
