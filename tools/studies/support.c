/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

void need(enum tamis_status status, const struct tamis_error *err)
{
	if (status == TAMIS_OK)
		return;
	fprintf(stderr, "study: %s\n", err->message);
	exit(1);
}

void *room(size_t n, size_t size)
{
	void *p = calloc(n + 1, size);

	if (!p)
		exit(1);
	return p;
}

void write_chart(const struct chart *c, const char *path)
{
	struct tamis_error err = { 0 };
	char *svg = NULL;
	FILE *out;

	need(chart_svg(c, &svg, &err), &err);
	out = fopen(path, "w");
	if (!out || fputs(svg, out) < 0 || fclose(out)) {
		perror(path);
		exit(1);
	}
	free(svg);
}

void shuffle(int64_t *order, int64_t n, struct rng *r)
{
	for (int64_t i = 0; i < n; i++)
		order[i] = i;
	for (int64_t i = n - 1; i > 0; i--) {
		int64_t k = (int64_t)rng_below(r, (uint64_t)i + 1), x = order[i];

		order[i] = order[k];
		order[k] = x;
	}
}
