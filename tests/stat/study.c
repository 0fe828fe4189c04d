/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of tools/studies/README.md, printed afresh: stat-study p-values | discoveries | power | coverage |
 * all [FOLDER]. Charts of discoveries and power go into FOLDER as SVG. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "draws.h"
#include "report/chart.h"
#include "stat/dependence.h"
#include "stat/fdr.h"
#include "stat/interval.h"

#define FEATURES 100
#define SETS 20

static const char *const kind_names[] = { "normal", "rectified", "log-normal", "spread" };

static const char *folder; /* of charts; NULL: none */

static void write_chart(const struct chart *c, const char *name)
{
	char path[4096], *svg = NULL;
	FILE *out;
	if (!folder)
		return;
	snprintf(path, sizeof path, "%s/%s.svg", folder, name);
	out = chart_svg(c, &svg, NULL) == TAMIS_OK ? fopen(path, "w") : NULL;
	if (!out || fputs(svg, out) < 0 || fclose(out)) {
		perror(path);
		exit(1);
	}
	free(svg);
}

static double share_below(const double *p, int m, double level)
{
	int count = 0;
	for (int i = 0; i < m; i++)
		count += p[i] < level;
	return (double)count / m;
}

/* Kolmogorov's distance from uniform; sorts p. */
static double distance(double *p, int m)
{
	double d = 0;
	qsort(p, (size_t)m, sizeof *p, draws_compare);
	for (int i = 0; i < m; i++)
		d = fmax(d, fmax((i + 1.0) / m - p[i], p[i] - (double)i / m));
	return d;
}

static double distance_p(double d, int m)
{
	double t = d * (sqrt(m) + 0.12 + 0.11 / sqrt(m)), sum = 0;
	for (int k = 1; k < 200; k++)
		sum += (k % 2 ? 2 : -2) * exp(-2.0 * k * k * t * t);
	return t < 0.2 ? 1 : fmin(fmax(sum, 0), 1);
}

/* Approximate and exact p-values of one set of features that are independent of the outputs. */
static int null_set(enum draw_kind kind, int64_t n, int positions, uint64_t seed, double *p, double *exact)
{
	struct draws s = draws_make(kind, n, FEATURES, positions, 0, 0, seed);
	struct comoment c;
	struct output_moment m;
	draws_moments(&s, 1, &c, &m);
	enum tamis_status st = dependence_test(&c, &m, positions, NULL, p, NULL);
	memcpy(exact, p, FEATURES * sizeof *p);
	if (st == TAMIS_OK)
		st = dependence_refine(&c, &m, positions, 0, 1, exact, NULL, NULL);
	comoment_free(&c);
	output_moment_free(&m);
	draws_free(&s);
	return st == TAMIS_OK;
}

static void p_value_row(enum draw_kind kind, int64_t n, int positions)
{
	static double p[FEATURES * SETS], exact[FEATURES * SETS];
	int m = FEATURES * SETS;
	for (int k = 0; k < SETS; k++)
		if (!null_set(kind, n, positions, (uint64_t)(k + 1000 * positions + n), p + k * FEATURES,
					exact + k * FEATURES))
			exit(1);
	double five = share_below(p, m, 0.05), one = share_below(p, m, 0.01), tenth = share_below(p, m, 0.001);
	double exact_one = share_below(exact, m, 0.01), exact_tenth = share_below(exact, m, 0.001),
		   d = distance(p, m);
	printf("| %s, %d | %lld | %.4f | %.4f | %.4f | %.4f | %.4f | %.3f (%.2f) |\n", kind_names[kind],
			positions, (long long)n, five, one, tenth, exact_one, exact_tenth, d, distance_p(d, m));
	fflush(stdout);
}

static void p_values(void)
{
	printf("p-values of signals independent of the outputs, %d each; exact = by inversion\n\n",
			FEATURES * SETS);
	printf("| signal, positions | n | P(p<.05) | P(p<.01) | P(p<.001) | exact .01 | exact .001 | KS distance "
		   "(p) |\n");
	printf("|---|---|---|---|---|---|---|---|\n");
	for (int64_t n = 200; n <= 5000; n *= 5) {
		p_value_row(DRAW_NORMAL, n, 1);
		p_value_row(DRAW_RECTIFIED, n, 1);
		p_value_row(DRAW_RECTIFIED, n, 16);
		p_value_row(DRAW_LOG_NORMAL, n, 16);
	}
}

/* One planted mixture: 100 features, 20 of them dependent. */
static void mixture(uint64_t seed, double alpha, enum fdr_rule rule, double *share, double *found)
{
	struct draws s = draws_make(DRAW_RECTIFIED, 500, FEATURES, 4, 20, 0.35, seed);
	struct comoment c;
	struct output_moment m;
	double p[FEATURES];
	unsigned char rejected[FEATURES];
	int64_t count = 0, wrong = 0;
	draws_moments(&s, 1, &c, &m);
	if (dependence_test(&c, &m, 4, NULL, p, NULL) != TAMIS_OK
			|| fdr_adjust(rule, p, FEATURES, alpha, NULL, rejected, &count, NULL) != TAMIS_OK)
		exit(1);
	for (int j = 20; j < FEATURES; j++)
		wrong += rejected[j];
	*share = count ? (double)wrong / (double)count : 0;
	*found = (double)(count - wrong) / 20;
	comoment_free(&c);
	output_moment_free(&m);
	draws_free(&s);
}

enum { ALPHAS = 4, RULES = 2, STRENGTHS = 6 };
static const double alphas[ALPHAS] = { 0.01, 0.05, 0.1, 0.2 };
static const char *const rule_names[RULES] = { "Benjamini-Hochberg", "Benjamini-Yekutieli" };

/* Realised shares with 95 % intervals, against what alpha promises. */
static void draw_discoveries(const double share[RULES][ALPHAS], const double error[RULES][ALPHAS])
{
	double low[RULES][ALPHAS], high[RULES][ALPHAS];
	struct chart_series series[RULES + 1] = { [RULES] = { .name = "alpha", .mark = CHART_DASHED, .x = alphas, .y = alphas,
			.n = ALPHAS } };
	struct chart c = { .title = "Share of false discoveries in planted mixtures", .x.label = "alpha",
		.y.label = "share of false discoveries", .series = series, .n_series = RULES + 1 };
	for (int r = 0; r < RULES; r++) {
		for (int a = 0; a < ALPHAS; a++) {
			low[r][a] = fmax(0, share[r][a] - 1.96 * error[r][a]);
			high[r][a] = share[r][a] + 1.96 * error[r][a];
		}
		series[r] = (struct chart_series){ .name = rule_names[r], .mark = CHART_BOTH, .x = alphas, .y = share[r],
			.low = low[r], .high = high[r], .n = ALPHAS };
	}
	write_chart(&c, "discoveries");
}

static void discoveries(void)
{
	double shares[RULES][ALPHAS], errors[RULES][ALPHAS];
	printf("False discoveries in 200 mixtures of 80 null and 20 planted signals (rectified, 4 positions, n = "
		   "500)\n\n");
	printf("| rule | alpha | share of false discoveries (+- standard error) | planted found "
		   "|\n|---|---|---|---|\n");
	for (int rule = 0; rule < RULES; rule++)
		for (int a = 0; a < ALPHAS; a++) {
			double sum = 0, square = 0, found = 0, share, part;
			for (int k = 0; k < 200; k++) {
				mixture((uint64_t)k, alphas[a], (enum fdr_rule)rule, &share, &part);
				sum += share / 200, square += share * share / 200, found += part / 200;
			}
			shares[rule][a] = sum;
			errors[rule][a] = sqrt((square - sum * sum) / 200);
			printf("| %s | %.2f | %.4f +- %.4f | %.3f |\n", rule_names[rule], alphas[a], sum, errors[rule][a], found);
			fflush(stdout);
		}
	draw_discoveries(shares, errors);
}

static const double strengths[STRENGTHS] = { 0, 0.05, 0.1, 0.2, 0.4, 0.8 };

static void draw_power(const double share[2][2][STRENGTHS])
{
	static const char *const names[2][2] = { { "mean, linear", "mean, rich" }, { "spread only, linear",
			"spread only, rich" } };
	struct chart_series series[5];
	double level[STRENGTHS];
	struct chart c = { .title = "Power at p < .01, n = 1000", .x.label = "strength of the dependence",
		.y.label = "share found", .series = series, .n_series = 5 };
	for (int k = 0; k < 4; k++)
		series[k] = (struct chart_series){ .name = names[k / 2][k % 2], .mark = k % 2 ? CHART_DASHED : CHART_BOTH,
			.x = strengths, .y = share[k / 2][k % 2], .n = STRENGTHS, .colour = k / 2 + 1 };
	for (int k = 0; k < STRENGTHS; k++)
		level[k] = 0.01;
	series[4] = (struct chart_series){ .name = "level", .mark = CHART_DASHED, .x = strengths, .y = level, .n = STRENGTHS,
		.colour = 8 };
	write_chart(&c, "power");
}

static void power(void)
{
	double found[2][2][STRENGTHS];
	printf("Power at p < .01, 200 signals of 2 positions, n = 1000; rich = 8 Fourier features beside the "
		   "linear one\n\n");
	printf("| dependence | features | 0 | 0.05 | 0.1 | 0.2 | 0.4 | 0.8 "
		   "|\n|---|---|---|---|---|---|---|---|\n");
	for (int kind = DRAW_NORMAL; kind <= DRAW_SPREAD; kind += DRAW_SPREAD - DRAW_NORMAL)
		for (int q = 1; q <= 9; q += 8) {
			printf("| %s | %s |", kind == DRAW_NORMAL ? "mean" : "spread only", q == 1 ? "linear" : "rich");
			for (int k = 0; k < STRENGTHS; k++) {
				double p[200], *share = &found[kind != DRAW_NORMAL][q != 1][k];
				draws_p_values((enum draw_kind)kind, 1000, 100, 2, strengths[k], q, 1, p);
				draws_p_values((enum draw_kind)kind, 1000, 100, 2, strengths[k], q, 2, p + 100);
				*share = share_below(p, 200, 0.01);
				printf(" %.3f |", *share);
			}
			printf("\n");
			fflush(stdout);
		}
	draw_power(found);
}

/* A loss in [0, 1] of one item. */
static double loss(int kind, struct rng *r)
{
	double u = rng_uniform(r), v = rng_uniform(r);
	const double values[] = { u < 0.01 ? v : 0, u < 0.004, u < 0.02 ? 0.1 : 0,
		u < 0.95 ? 0.002 * v : 0.2 * v };
	return values[kind];
}

static void coverage_row(int kind, const char *name, double mean, int n)
{
	enum { ROUNDS = 2000, MOST = 5000 };
	static double x[MOST];
	double width = 0, upper;
	int missed = 0;
	for (int round = 0; round < ROUNDS; round++) {
		struct rng r = rng_make(3, (uint64_t)((kind * 8 + n) * ROUNDS + round));
		for (int i = 0; i < n; i++)
			x[i] = loss(kind, &r);
		if (betting_upper(x, n, 0.05, &upper, NULL) != TAMIS_OK)
			exit(1);
		missed += upper < mean;
		width += upper / ROUNDS;
	}
	printf("| %s | %d | %.4f | %.4f | %.4f |\n", name, n, mean, width, 1 - (double)missed / ROUNDS);
	fflush(stdout);
}

static void coverage(void)
{
	const char *const names[] = { "1 % uniform on [0, 1]", "0.4 % of 1", "2 % of 0.1",
		"95 % below .002, 5 % below .2" };
	const double means[] = { 0.005, 0.004, 0.002, 0.95 * 0.001 + 0.05 * 0.1 };
	printf("95 %% betting bound over 2000 samples each\n\n| losses | n | mean | mean bound | coverage "
		   "|\n|---|---|---|---|---|\n");
	for (int kind = 0; kind < 4; kind++)
		for (int n = 200; n <= 5000; n *= 5)
			coverage_row(kind, names[kind], means[kind], n);
}

int main(int argc, char **argv)
{
	const struct { const char *name; void (*run)(void);
	} parts[] = { { "p-values", p_values }, { "discoveries", discoveries }, { "power", power },
		{ "coverage", coverage } };
	int ran = 0;
	folder = argc == 3 ? argv[2] : NULL;
	for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
		if (argc >= 2 && (strcmp(argv[1], parts[k].name) == 0 || strcmp(argv[1], "all") == 0)) {
			printf("%s", ran++ ? "\n" : "");
			parts[k].run();
		}
	if (!ran)
		fprintf(stderr, "usage: stat-study p-values | discoveries | power | coverage | all [FOLDER]\n");
	return ran ? 0 : 2;
}
