/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 79 };
static const double redraw_seconds = 0.2;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_clear(struct progress *p)
{
	if (p->shown > 0)
		fprintf(stderr, "\r%*s\r", p->shown, "");
	p->shown = 0;
}

/* "about 3 s left", "about 2 min left", "about 1.5 h left": no more digits than an estimate has. */
static void remaining_text(char *buf, size_t size, double seconds)
{
	if (!(seconds >= 0) || seconds > 1e7)
		snprintf(buf, size, "%s", "");
	else if (seconds < 90)
		snprintf(buf, size, ", about %.0f s left", seconds < 1 ? 1 : seconds);
	else if (seconds < 5400)
		snprintf(buf, size, ", about %.0f min left", seconds / 60);
	else
		snprintf(buf, size, ", about %.1f h left", seconds / 3600);
}

static void draw(struct progress *p, const struct tamis_progress *at)
{
	char left[48], text[WIDTH + 1];
	int len;

	remaining_text(left, sizeof left, at->remaining);
	len = snprintf(text, sizeof text, "%3.0f %%  %s%s", 100 * at->fraction, at->phase, left);
	if (len > WIDTH)
		len = WIDTH;
	fprintf(stderr, "\r%s%*s", text, p->shown > len ? p->shown - len : 0, "");
	fflush(stderr);
	p->shown = len;
}

static int on_progress(void *ctx, const struct tamis_progress *at)
{
	struct progress *p = ctx;
	bool new_phase = strncmp(p->phase, at->phase, sizeof p->phase - 1) != 0;
	double t = now();

	if (new_phase) {
		snprintf(p->phase, sizeof p->phase, "%s", at->phase);
		if (p->phases) {
			progress_clear(p);
			fprintf(stderr, "tamis: %8.1f s  %s\n", t - p->started, at->phase);
		}
	}
	if (p->line && (t - p->drawn >= redraw_seconds || p->drawn < 0)) {
		draw(p, at);
		p->drawn = t;
	}
	return 0;
}

static void on_warning(void *ctx, const char *sentence)
{
	struct progress *p = ctx;

	if (!p->warnings)
		return;
	progress_clear(p);
	fprintf(stderr, "tamis: warning: %s\n", sentence);
}

struct tamis_observer progress_start(struct progress *p, const struct arguments *a)
{
	bool automatic = !a->quiet && isatty(STDERR_FILENO);

	*p = (struct progress){
		.line = a->progress == PROGRESS_ALWAYS || (a->progress == PROGRESS_AUTO && automatic),
		.phases = a->verbose && !a->quiet,
		.warnings = !a->quiet,
		.started = now(),
		.drawn = -1,
	};
	return (struct tamis_observer){.ctx = p, .progress = on_progress, .warn = on_warning};
}
