/* SPDX-License-Identifier: Apache-2.0 */
/* One line on standard error that tells how far a call is, and lines for phases and warnings. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/arguments.h"

struct progress {
	bool line, phases, warnings; /* what to show */
	int shown;                   /* columns now on the line */
	double started, drawn;       /* seconds of the monotonic clock */
	char phase[32];
};

/* By --progress, -q and -v. The observer points to p, which must outlive it. */
struct tamis_observer progress_start(struct progress *p, const struct arguments *a);

/* Wipes the line, so that a message can be printed. */
void progress_clear(struct progress *p);

#endif
