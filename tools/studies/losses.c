/* SPDX-License-Identifier: Apache-2.0 */
/* Estimated and true losses of cut networks, from what losses.py left in a folder.
 *
 *     study-losses table FOLDER SVG   estimates on new items, as the probabilities are and at a temperature, against the truth
 *     study-losses splits FOLDER      coverage of the gate's bound over splits of the items
 *
 * Each half of the items has the temperature of the labels of the other half. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stat/features.h"
#include "stat/interval.h"
#include "support.h"

#define SEED 7
#define SPLITS 1000
#define CLASSES 10
#define MOST 64     /* lines */
#define NETWORKS 8

static const char *folder;
static int64_t *label, items;

/* The whole of FOLDER/name; *n: elements. */
static void *read_all(const char *name, size_t size, int64_t *n)
{
	char path[4096];
	void *x;
	FILE *in;
	long bytes;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	in = fopen(path, "rb");
	if (!in || fseek(in, 0, SEEK_END) || (bytes = ftell(in)) < 0 || fseek(in, 0, SEEK_SET)) {
		perror(path);
		exit(1);
	}
	*n = bytes / (long)size;
	x = room((size_t)*n, size);
	if (fread(x, size, (size_t)*n, in) != (size_t)*n)
		exit(1);
	fclose(in);
	return x;
}

static float *read_logits(const char *network, int depth)
{
	char name[128];
	int64_t n;
	float *x;

	if (depth)
		snprintf(name, sizeof name, "%s-%d.f32", network, depth);
	else
		snprintf(name, sizeof name, "%s.f32", network);
	x = read_all(name, sizeof *x, &n);
	if (n != items * CLASSES)
		exit(1);
	return x;
}

static int64_t top(const float *x)
{
	int64_t best = 0;

	for (int64_t k = 1; k < CLASSES; k++)
		best = x[k] > x[best] ? k : best;
	return best;
}

/* ---- one network -------------------------------------------------------------------------------------------------- */

struct network {
	const char *name;
	float *before, *p, *tempered; /* logits, and probabilities as they are and at the temperature: items x CLASSES */
	double temperature[2], calibration_error; /* of each half of the items; of all */
};

static void open_network(struct network *n, const char *name)
{
	struct tamis_error err = { 0 };
	size_t all = (size_t)(items * CLASSES);

	*n = (struct network){ .name = name, .before = read_logits(name, 0), .p = room(all, sizeof(float)),
		.tempered = room(all, sizeof(float)) };
	softmax_rows(n->before, items, CLASSES, 1, n->p);
	for (int k = 0; k < 2; k++) {
		int64_t first = k * (items / 2), count = k ? items - first : items / 2;

		need(temperature_fit(n->p + first * CLASSES, label + first, count, CLASSES, &n->temperature[k], &err), &err);
	}
	for (int k = 0; k < 2; k++) {
		int64_t first = k * (items / 2), count = k ? items - first : items / 2;

		temperature_apply(n->p + first * CLASSES, count, CLASSES, n->temperature[1 - k], n->tempered + first * CLASSES);
	}
	need(expected_calibration_error(n->p, label, items, CLASSES, CALIBRATION_BINS, &n->calibration_error, &err), &err);
}

static void close_network(struct network *n)
{
	free(n->before);
	free(n->p);
	free(n->tempered);
}

/* Of every item: losses under two sets of probabilities, the true one, and whether the class changed. */
struct losses { double *plain, *tempered, *truth, *changed; };

static struct losses losses_of(const struct network *n, int depth)
{
	struct losses l = { room((size_t)items, 8), room((size_t)items, 8), room((size_t)items, 8), room((size_t)items, 8) };
	float *after = read_logits(n->name, depth);

	for (int64_t i = 0; i < items; i++) {
		int64_t at = i * CLASSES, a = top(n->before + at), b = top(after + at);

		l.plain[i] = (double)n->p[at + a] - (double)n->p[at + b];
		l.tempered[i] = fmax(0, (double)n->tempered[at + a] - (double)n->tempered[at + b]);
		l.truth[i] = (double)(a == label[i]) - (double)(b == label[i]);
		l.changed[i] = a != b;
	}
	free(after);
	return l;
}

static void free_losses(struct losses *l)
{
	free(l->plain);
	free(l->tempered);
	free(l->truth);
	free(l->changed);
}

static double mean_of(const double *x, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += x[i];
	return sum / (double)n;
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

struct curve { double depth[MOST], plain[MOST], tempered[MOST], truth[MOST], low[MOST], high[MOST]; size_t n; };

/* Within a fifth of the truth; as near to it as the bound is to the estimate; or no further off than 95 % of samples of
 * labels would be, were the estimate the truth. */
static const char *verdict(const double *x, double bound, const double *truth)
{
	double estimate = mean_of(x, items), loss = mean_of(truth, items), off = fabs(estimate - loss), square = 0;

	for (int64_t i = 0; i < items; i++)
		square += (x[i] - truth[i]) * (x[i] - truth[i]) / (double)items;
	if (off <= 0.2 * fabs(loss))
		return "within 20 %";
	if (off <= bound - estimate)
		return "within its interval";
	if (off <= 1.96 * sqrt(square / (double)items))
		return "within the labels' error";
	return estimate > loss ? "above it" : "below it";
}

static void row(const struct network *n, int depth, double held, double held_bound, struct curve *c)
{
	struct losses l = losses_of(n, depth);
	struct tamis_error err = { 0 };
	double plain = mean_of(l.plain, items), tempered = mean_of(l.tempered, items), truth = mean_of(l.truth, items);
	double square = 0, error, bound, tempered_bound;
	size_t k = c->n++;

	for (int64_t i = 0; i < items; i++)
		square += (l.truth[i] - truth) * (l.truth[i] - truth) / (double)items;
	error = 1.96 * sqrt(square / (double)items);
	need(betting_upper(l.plain, items, 0.05, &bound, &err), &err);
	need(betting_upper(l.tempered, items, 0.05, &tempered_bound, &err), &err);
	printf("| %s | %dx | %.4f, %.4f | %.4f, %.4f | %.4f, %.4f | %.4f | %.4f +- %.4f | %s | %s |\n", n->name, depth, held,
	       held_bound, plain, bound, tempered, tempered_bound, mean_of(l.changed, items), truth, error,
	       verdict(l.plain, bound, l.truth), verdict(l.tempered, tempered_bound, l.truth));
	fflush(stdout);
	c->depth[k] = depth;
	c->plain[k] = plain;
	c->tempered[k] = tempered;
	c->truth[k] = truth;
	c->low[k] = truth - error;
	c->high[k] = truth + error;
	free_losses(&l);
}

static void draw(struct curve *curves, char names[][64], int n, const char *path)
{
	struct chart_series series[3 * NETWORKS];
	struct chart c = { .title = "Loss of accuracy: true (dots), estimated at a temperature (lines) and as it is (dashed)",
		.x = { .label = "fewer connections", .log = true }, .y = { .label = "loss", .log = true }, .series = series,
		.n_series = 3 * (size_t)n };

	for (int k = 0; k < n; k++) {
		const struct curve *v = &curves[k];

		series[3 * k] = (struct chart_series){ .name = names[k], .mark = CHART_POINTS, .x = v->depth, .y = v->truth,
			.low = v->low, .high = v->high, .n = v->n, .colour = k + 1 };
		series[3 * k + 1] = (struct chart_series){ .mark = CHART_LINE, .x = v->depth, .y = v->tempered, .n = v->n,
			.colour = k + 1 };
		series[3 * k + 2] = (struct chart_series){ .mark = CHART_DASHED, .x = v->depth, .y = v->plain, .n = v->n,
			.colour = k + 1 };
	}
	write_chart(&c, path);
}

/* ---- splits --------------------------------------------------------------------------------------------------------- */

static void splits_row(const char *name, int depth, const double *x, int64_t held)
{
	int64_t *order = room((size_t)items, sizeof *order);
	double *sample = room((size_t)held, sizeof *sample), mean = mean_of(x, items), upper, width = 0;
	struct tamis_error err = { 0 };
	int missed = 0;

	for (int k = 0; k < SPLITS; k++) {
		struct rng r = rng_make(SEED, (uint64_t)k);

		shuffle(order, items, &r);
		for (int64_t i = 0; i < held; i++)
			sample[i] = x[order[i]];
		need(betting_upper(sample, held, 0.05, &upper, &err), &err);
		missed += upper < mean;
		width += upper / SPLITS;
	}
	printf("| %s, %dx | %lld | %.4f | %.4f | %.3f |\n", name, depth, (long long)held, mean, width,
	       1 - (double)missed / SPLITS);
	fflush(stdout);
	free(order);
	free(sample);
}

static void splits(const struct network *n, int depth)
{
	struct losses l = losses_of(n, depth);

	for (int64_t held = 300; held <= 1200; held *= 4)
		splits_row(n->name, depth, l.plain, held);
	free_losses(&l);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

/* FOLDER/losses.tsv: network, depth, loss on the items held out and its bound; lines of a network together. */
static void walk(bool table, const char *svg)
{
	static struct curve curves[NETWORKS];
	static char names[NETWORKS][64];
	char path[4096], line[256], name[64];
	struct network n = { 0 };
	int count = 0, depth;
	double held, bound;
	FILE *in;

	snprintf(path, sizeof path, "%s/losses.tsv", folder);
	in = fopen(path, "r");
	while (in && fgets(line, sizeof line, in) && sscanf(line, "%63s %d %lf %lf", name, &depth, &held, &bound) == 4) {
		if (!count || strcmp(names[count - 1], name)) {
			if (count == NETWORKS)
				break;
			strcpy(names[count++], name);
			close_network(&n);
			open_network(&n, names[count - 1]);
			fprintf(stderr, "%s: temperatures %.3f, %.3f; expected calibration error %.4f\n", name, n.temperature[0],
			        n.temperature[1], n.calibration_error);
		}
		if (table)
			row(&n, depth, held, bound, &curves[count - 1]);
		else
			splits(&n, depth);
	}
	close_network(&n);
	if (in)
		fclose(in);
	if (table)
		draw(curves, names, count, svg);
}

int main(int argc, char **argv)
{
	bool table = argc == 4 && !strcmp(argv[1], "table");

	if (!table && !(argc == 3 && !strcmp(argv[1], "splits"))) {
		fprintf(stderr, "usage: study-losses table FOLDER SVG | splits FOLDER\n");
		return 2;
	}
	folder = argv[2];
	label = read_all("labels.i64", sizeof *label, &items);
	walk(table, table ? argv[3] : NULL);
	free(label);
	return 0;
}
