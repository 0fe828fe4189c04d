/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

#define EVERY 0.2 /* seconds between two calls */

static double seconds(const struct timespec *from, const struct timespec *to)
{
	return (double)(to->tv_sec - from->tv_sec) + 1e-9 * (double)(to->tv_nsec - from->tv_nsec);
}

void api_watch_start(struct api_watch *w, const struct tamis_observer *observer, const char *phase,
                     int64_t total)
{
	*w = (struct api_watch){ .observer = observer, .phase = phase, .total = total };
	clock_gettime(CLOCK_MONOTONIC, &w->start);
}

enum tamis_status api_watch_tell(struct api_watch *w, int64_t done, struct tamis_error *err)
{
	struct tamis_progress p = { .phase = w->phase, .remaining = -1 };
	struct timespec now;
	double spent;

	if (!w->observer || !w->observer->progress)
		return TAMIS_OK;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (w->told && done != w->total && seconds(&w->last, &now) < EVERY)
		return TAMIS_OK;
	w->told = true;
	w->last = now;
	spent = seconds(&w->start, &now);
	if (w->total > 0) {
		p.fraction = done < w->total ? (double)done / (double)w->total : 1;
		if (p.fraction > 0 && spent > EVERY)
			p.remaining = spent * (1 - p.fraction) / p.fraction;
	}
	if (w->observer->progress(w->observer->ctx, &p))
		return tm_fail(err, TAMIS_E_CANCELLED, "stopped by the caller while it did %s", w->phase);
	return TAMIS_OK;
}
