/* SPDX-License-Identifier: Apache-2.0 */
#include "draws.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "stat/dependence.h"
#include "stat/features.h"

#define CLASSES 10
#define CHUNK 64

static void need(enum tamis_status st)
{
	if (st != TAMIS_OK) {
		fprintf(stderr, "a planted draw failed with status %d\n", (int)st);
		exit(1);
	}
}

static double signal_of(enum draw_kind kind, double g, double driver)
{
	switch (kind) {
	case DRAW_NORMAL: return g + driver;
	case DRAW_RECTIFIED: return fmax(0, g + driver - 0.5);
	case DRAW_LOG_NORMAL: return exp(g + driver);
	case DRAW_SPREAD: return g * exp(driver);
	}
	return 0;
}

/* One item: the positions of each feature follow a stationary first-order autoregression. */
static void draw_item(const struct draws *s, enum draw_kind kind, int64_t planted, double strength,
		uint64_t seed, int64_t t)
{
	struct rng r = rng_make(seed, (uint64_t)t);
	for (int k = 0; k < CLASSES; k++)
		s->y[t * CLASSES + k] = (float)(2 * rng_normal(&r));
	double driver = strength * s->y[t * CLASSES] / 2;
	for (int64_t j = 0; j < s->d; j++) {
		double g = rng_normal(&r);
		for (int p = 0; p < s->positions; p++) {
			s->u[(t * s->positions + p) * s->d + j] = (float)signal_of(kind, g, j < planted ? driver : 0);
			g = 0.8 * g + 0.6 * rng_normal(&r);
		}
	}
}

struct draws draws_make(enum draw_kind kind, int64_t n, int64_t d, int positions, int64_t planted,
		double strength, uint64_t seed)
{
	struct draws s = { n, d, positions, malloc((size_t)(n * d * positions) * sizeof(float)),
		malloc((size_t)(n * CLASSES) * sizeof(float)) };
	need(s.u && s.y ? TAMIS_OK : TAMIS_E_MEMORY);
	for (int64_t t = 0; t < n; t++)
		draw_item(&s, kind, planted, strength, seed, t);
	return s;
}

void draws_free(struct draws *s)
{
	free(s->u);
	free(s->y);
}

/* psi and phi of one chunk, added to both sums. */
static void add_chunk(const struct draws *s, int64_t from, int64_t n, const struct feature_map *map,
		const struct signal_map *rich, struct comoment *c, struct output_moment *m)
{
	const float *u = s->u + from * s->positions * s->d;
	float *psi = malloc((size_t)(n * map->r) * sizeof(float)), *phi = NULL;
	need(psi ? feature_map_apply(map, s->y + from * CLASSES, n, psi, NULL) : TAMIS_E_MEMORY);
	if (rich->q > 1) {
		phi = malloc((size_t)(n * c->width * s->d) * sizeof(float));
		need(phi ? TAMIS_OK : TAMIS_E_MEMORY);
		signal_map_apply(rich, u, s->d, n, s->positions, phi);
	}
	need(comoment_add(c, phi ? phi : u, s->d, psi, n, NULL));
	need(output_moment_add(m, psi, n, NULL));
	free(psi);
	free(phi);
}

void draws_moments(const struct draws *s, int q, struct comoment *c, struct output_moment *m)
{
	struct feature_map map;
	struct signal_map rich;
	int64_t first = s->n < CHUNK ? s->n : CHUNK;
	need(feature_map_create(&map, HEAD_LOGITS, s->y, first, CLASSES, 0, FEATURES_DEFAULT, 1, NULL));
	need(signal_map_create(&rich, s->d, s->positions, q, s->u, s->d, first, 1, NULL));
	need(comoment_create(c, s->d, s->positions * q, FEATURES_DEFAULT, NULL));
	need(output_moment_create(m, FEATURES_DEFAULT, NULL));
	for (int64_t t = 0; t < s->n; t += CHUNK)
		add_chunk(s, t, s->n - t < CHUNK ? s->n - t : CHUNK, &map, &rich, c, m);
	feature_map_free(&map);
	signal_map_free(&rich);
}

void draws_p_values(enum draw_kind kind, int64_t n, int64_t d, int positions, double strength, int q,
		uint64_t seed, double *p)
{
	struct draws s = draws_make(kind, n, d, positions, d, strength, seed);
	struct comoment c;
	struct output_moment m;
	draws_moments(&s, q, &c, &m);
	need(dependence_test(&c, &m, positions, NULL, p, NULL));
	comoment_free(&c);
	output_moment_free(&m);
	draws_free(&s);
}

int draws_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}
