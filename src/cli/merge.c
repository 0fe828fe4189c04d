/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"
#include "cli/session.h"

enum tamis_status command_merge(struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_report *report = NULL;
	enum tamis_status status;

	if (!a->output)
		return usage_error("merge wants a file to write: -o FILE");
	status = session_check_outputs(a);
	if (status != TAMIS_OK)
		return status;
	status = tamis_scores_merge(a->operands.at, a->operands.n, a->output, &report, &err);
	status = status == TAMIS_OK ? say_report(a, report) : say_error(&err);
	tamis_report_free(report);
	return status;
}
