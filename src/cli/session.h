/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands on a model and items share: checks before any work, opening, closing. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/progress.h"

/* Refuses outputs that are inputs, outputs that are each other, and outputs that plainly cannot be
 * written, before hours of work go into them. Has said so on failure. */
enum tamis_status session_check_outputs(const struct arguments *a);

/* Limits for opening any model of a command, from --max-memory. */
struct tamis_load_options session_limits(const struct arguments *a);

struct session {
	struct tamis_model *model;
	struct tamis_calibration *data;
	struct progress progress;
	struct tamis_observer observer;
};

/* Opens the first operand and the items of -c or --random. Has said so on failure; close in either case. */
enum tamis_status session_open(struct session *s, const struct arguments *a);
void session_close(struct session *s);

#endif
