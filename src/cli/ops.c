/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"
#include "cli/session.h"

enum tamis_status command_ops(struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_report *report = NULL;
	enum tamis_status status = session_check_outputs(a);

	if (status != TAMIS_OK)
		return status;
	status = tamis_ops(&report, &err);
	status = status == TAMIS_OK ? say_report(a, report) : say_error(&err);
	tamis_report_free(report);
	return status;
}
