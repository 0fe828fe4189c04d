/* SPDX-License-Identifier: Apache-2.0 */
/* What a user does, as one call each: the public functions on a small classifier with items, in a directory of its own.
 * Each reads what is there and writes `output` (NULL: nothing). */
#ifndef TESTS_HOSTILE_SCENARIO_H
#define TESTS_HOSTILE_SCENARIO_H

#include "tamis/tamis.h"

struct scenario {
	const char *name;
	const char *output; /* a file name */
	enum tamis_status (*play)(struct tamis_error *err);
};

extern const struct scenario scenarios[];
extern const int n_scenarios;

/* Makes the directory (in memory where there is one), goes there, and writes what the scenarios read. */
void scenario_enter(void);
void scenario_leave(void); /* removes it */

/* Everything but what the scenarios read goes; `output` (may be NULL) becomes OLD. */
void scenario_reset(const char *output);

/* Files and directories that are not among what the scenarios read. */
int scenario_strangers(void);

#define OLD "the old file"

#endif
