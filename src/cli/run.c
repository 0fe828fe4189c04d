/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"
#include "cli/session.h"

enum tamis_status command_run(struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_run_options o;
	struct session s;
	enum tamis_status status;

	if (!a->output)
		return usage_error("run wants an output: -o OUT.npz");
	status = session_check_outputs(a);
	if (status != TAMIS_OK)
		return status;
	status = session_open(&s, a);
	if (status == TAMIS_OK) {
		tamis_run_options_default(&o);
		o.threads = a->slim.threads;
		o.items = a->items;
		o.observer = s.observer;
		status = tamis_run(s.model, s.data, a->output, &o, &err);
		progress_clear(&s.progress);
		if (status != TAMIS_OK)
			say_error(&err);
	}
	session_close(&s);
	return status;
}
