/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of the studies share. All of it ends the program with a sentence when something fails. */
#ifndef TOOLS_STUDIES_SUPPORT_H
#define TOOLS_STUDIES_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/rng.h"
#include "report/chart.h"

void need(enum tamis_status status, const struct tamis_error *err);
void *room(size_t n, size_t size);                    /* zeroed */
void write_chart(const struct chart *c, const char *path);
void shuffle(int64_t *order, int64_t n, struct rng *r); /* order: 0 .. n - 1 afterwards, at random */

#endif
