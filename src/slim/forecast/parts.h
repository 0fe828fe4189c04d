/* SPDX-License-Identifier: Apache-2.0 */
/* The halves of a forecast: memory.c and time.c. */
#ifndef SLIM_FORECAST_PARTS_H
#define SLIM_FORECAST_PARTS_H

#include "slim/forecast/forecast.h"
#include "slim/state.h"

/* Fills parts, phase_bytes and bytes of `out`, whose counts of items are known; the passes copy and layers are done. The
 * terms are upper bounds from the shapes of one item alone; README.md states them. */
enum tamis_status forecast_memory(struct slim *s, struct forecast_figures *out, struct tamis_error *err);

/* Fills rounds, stages and seconds. Runs the original over a few chunks. */
enum tamis_status forecast_time(struct slim *s, struct forecast_figures *out, struct tamis_error *err);

#endif
