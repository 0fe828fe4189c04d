/* SPDX-License-Identifier: Apache-2.0 */
/* Texts made from the tables of table.c. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "cli/arguments.h"

void help_general(FILE *out);
void help_command(FILE *out, const struct command *c);
void help_man(FILE *out);  /* roff, section 1 */
void help_bash(FILE *out); /* completion for bash */

#endif
