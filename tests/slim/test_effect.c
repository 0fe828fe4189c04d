/* SPDX-License-Identifier: Apache-2.0 */
/* The effect of taking units out is what a least-squares replacement leaves over; the choice is the cheapest. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coupled.h"
#include "slim/channels/choose.h"

#define DIMS(...) ((const int64_t[]){ __VA_ARGS__ })
#define UNITS 5
#define OUTS 4
#define MOST 24 /* features of the reader */

/* x[N,3,4,4] -> Conv UNITS -> Relu -> Conv OUTS, kernel k -> y. */
static struct document *two_convolutions(int64_t k, struct rng *r)
{
	struct document *d = build_model(17);

	build_input(d, "x", 4, DIMS(-1, 3, 4, 4));
	build_floats(d, "w1", 4, DIMS(UNITS, 3, 1, 1), 1, r);
	build_floats(d, "w2", 4, DIMS(OUTS, UNITS, 1, k), 1, r);
	build_node(d, "Conv", "x w1", "h");
	build_node(d, "Relu", "h", "a");
	build_floats(d, "b2", 1, DIMS(OUTS), 1, r);
	build_node(d, "Conv", "a w2 b2", "y");
	build_output(d, "y", 4, DIMS(-1, OUTS, 4, 5 - k));
	return d;
}

struct scene {
	struct document *d;
	struct coupled c;
	int64_t n, k;             /* features, and of each unit */
	double uu[MOST * MOST];
	double gain[2][OUTS + UNITS];
	struct refit_sums moments[2];
	struct layer_score scores[2];
	bool *dead;
	int group;
};

/* Second moments of `rank` random directions on top of a small diagonal. */
static void fill_moments(struct scene *s, struct rng *r)
{
	double a[MOST * MOST];

	for (int64_t i = 0; i < s->n * s->n; i++)
		a[i] = rng_normal(r);
	for (int64_t i = 0; i < s->n; i++)
		for (int64_t j = 0; j < s->n; j++) {
			s->uu[i * s->n + j] = i == j ? 0.05 : 0;
			for (int64_t q = 0; q < s->n / 2 + 1; q++)
				s->uu[i * s->n + j] += a[i * s->n + q] * a[j * s->n + q];
		}
}

static void open_scene(struct scene *s, int64_t k, uint64_t seed)
{
	struct rng r = rng_make(seed, 5);

	memset(s, 0, sizeof *s);
	s->d = two_convolutions(k, &r);
	couple(s->d, &s->c);
	s->k = k;
	s->n = UNITS * k;
	fill_moments(s, &r);
	s->moments[1] = (struct refit_sums){ .uu = s->uu, .rows = 100 };
	for (int l = 0; l < 2; l++) {
		for (int o = 0; o < OUTS + UNITS; o++)
			s->gain[l][o] = 0.1 + rng_uniform(&r);
		s->scores[l].gain = s->gain[l];
	}
	s->dead = calloc((size_t)s->c.groups.n_units + 1, sizeof *s->dead);
	for (int i = 0; i < s->c.groups.n; i++)
		if (!s->c.groups.list[i].why && s->c.groups.list[i].width == UNITS)
			s->group = i;
}

static void close_scene(struct scene *s)
{
	free(s->dead);
	uncouple(&s->c);
	doc_free(s->d);
}

static struct effect_job job_of(const struct scene *s)
{
	return (struct effect_job){ .groups = &s->c.groups, .moments = s->moments, .scores = s->scores, .dead = s->dead,
		.share = 1 };
}

/* Eliminates what stays from a copy of the moments (with the ridge): what is left of the gone is their Schur complement. */
static double left_over(const struct scene *s, const bool *gone)
{
	const float *w = build_elements(s->d, "w2");
	double m[MOST * MOST], ridge = 0, sum = 0;
	int64_t n = s->n;

	memcpy(m, s->uu, sizeof m);
	for (int64_t i = 0; i < n; i++)
		ridge += EFFECT_RIDGE * s->uu[i * n + i] / (double)n;
	for (int64_t i = 0; i < n; i++)
		m[i * n + i] += ridge;
	for (int64_t p = 0; p < n; p++)
		for (int64_t i = 0; !gone[p / s->k] && i < n; i++)
			for (int64_t j = 0; i != p && j < n; j++)
				if (j != p)
					m[i * n + j] -= m[i * n + p] * m[p * n + j] / m[p * n + p];
	for (int64_t o = 0; o < OUTS; o++)
		for (int64_t i = 0; i < n; i++)
			for (int64_t j = 0; j < n; j++)
				if (gone[i / s->k] && gone[j / s->k])
					sum += s->gain[1][o] * (double)w[o * n + i] * m[i * n + j] * (double)w[o * n + j];
	return sum;
}

Test(effect, is_what_least_squares_leaves_over)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct scene s;
		struct effect_curve curve;
		struct effect_job job;
		struct tamis_error err = { 0 };
		bool gone[UNITS] = { false };

		open_scene(&s, 1 + (int64_t)(seed % 3), seed);
		job = job_of(&s);
		cr_assert_eq(effect_order(&job, s.group, &curve, &err), TAMIS_OK);
		cr_assert_eq(curve.n, UNITS - 1);
		for (int i = 0; i < curve.n; i++) {
			double want;

			gone[curve.unit[i] - s.c.groups.list[s.group].first] = true;
			want = left_over(&s, gone);
			cr_assert_float_eq(curve.effect[i], want, 1e-8 * want, "seed %llu, %d gone: %g for %g",
			                   (unsigned long long)seed, i + 1, curve.effect[i], want);
		}
		effect_free(&curve);
		close_scene(&s);
	}
}

Test(effect, the_least_goes_first)
{
	struct scene s;
	struct effect_curve curve;
	struct effect_job job;

	open_scene(&s, 2, 9);
	job = job_of(&s);
	cr_assert_eq(effect_order(&job, s.group, &curve, NULL), TAMIS_OK);
	for (int u = 0; u < UNITS; u++) {
		bool gone[UNITS] = { false };

		gone[u] = true;
		cr_assert_leq(curve.effect[0], left_over(&s, gone) * (1 + 1e-9));
	}
	effect_free(&curve);
	close_scene(&s);
}

/* A unit that is a copy of another costs nothing but the ridge, whatever its weights. */
Test(effect, a_copy_is_free)
{
	struct scene s;
	struct effect_curve curve;
	struct effect_job job;

	open_scene(&s, 1, 11);
	for (int i = 0; i < UNITS; i++)
		s.uu[i * UNITS + 4] = s.uu[i * UNITS + 1];
	for (int i = 0; i < UNITS; i++)
		s.uu[4 * UNITS + i] = s.uu[UNITS + i];
	s.uu[4 * UNITS + 4] = s.uu[UNITS + 1];
	job = job_of(&s);
	cr_assert_eq(effect_order(&job, s.group, &curve, NULL), TAMIS_OK);
	cr_assert(curve.unit[0] - s.c.groups.list[s.group].first == 1
	          || curve.unit[0] - s.c.groups.list[s.group].first == 4);
	cr_assert_lt(curve.effect[0], 0.1 * curve.effect[1]);
	effect_free(&curve);
	close_scene(&s);
}

/* Saved is at least what was asked, a unit stays, and widths are as round as asked. */
Test(choose, saves_what_is_asked)
{
	static const struct { double step; int64_t round_to; int gone; } rows[] = { { 0.15, 1, 1 }, { 0.3, 1, 2 },
		{ 0.9, 1, 4 }, { 0.15, 2, 1 }, { 0.3, 2, 3 }, { 0.15, 4, 1 }, { 0.15, 8, 0 } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scene s;
		struct choose_job job;
		struct choice *choice;
		struct chosen chosen;
		int dead = 0;

		open_scene(&s, 1, 20 + i);
		job = (struct choose_job){ .effect = job_of(&s), .worth = { 1, 1 }, .round_to = rows[i].round_to };
		cr_assert_eq(choose_open(&job, &choice, NULL), TAMIS_OK);
		chosen = choose_units(choice, &(struct choose_ask){ .step = rows[i].step }, s.dead);
		choose_close(choice);
		for (int u = 0; u < s.c.groups.n_units; u++)
			dead += s.dead[u];
		cr_assert_eq(dead, chosen.units);
		cr_assert_eq(chosen.units, rows[i].gone, "row %zu: %d", i, chosen.units);
		close_scene(&s);
	}
}

/* The next width alone where a further one would save more than is wanted, and none of a closed group; the effect that is told is
 * the curve's, however it is scaled. */
Test(choose, goes_no_further_than_wanted)
{
	struct scene s;
	struct effect_job effect;
	struct effect_curve curve;
	struct choice *choice;
	struct choose_ask ask = { .step = 0.01 };
	struct chosen chosen;
	bool closed[100] = { false };
	double scale[100];

	open_scene(&s, 1, 33);
	cr_assert_leq(s.c.groups.n, 100);
	for (int i = 0; i < s.c.groups.n; i++)
		scale[i] = 7;
	effect = job_of(&s);
	cr_assert_eq(effect_order(&effect, s.group, &curve, NULL), TAMIS_OK);
	cr_assert_eq(choose_open(&(struct choose_job){ .effect = effect, .worth = { 1, 1 }, .round_to = 1 }, &choice, NULL), TAMIS_OK);
	for (int k = 0; k < 2; k++) {
		chosen = choose_units(choice, &ask, s.dead);
		cr_assert_eq(chosen.units, 1);
		cr_assert(s.dead[curve.unit[0]]);
		cr_assert_eq(chosen.effect, curve.effect[0]);
		s.dead[curve.unit[0]] = false;
		ask.scale = scale;
	}
	ask.closed = closed;
	closed[s.group] = true;
	cr_assert_eq(choose_units(choice, &ask, s.dead).units, 0);
	choose_close(choice);
	cr_assert_eq(choose_open(&(struct choose_job){ .effect = effect, .worth = { 1, 1 }, .round_to = 1, .closed = closed }, &choice,
	                         NULL), TAMIS_OK);
	cr_assert_eq(choose_units(choice, &(struct choose_ask){ .step = 0.01 }, s.dead).units, 0);
	choose_close(choice);
	effect_free(&curve);
	close_scene(&s);
}

Test(choose, worth_is_counted)
{
	struct scene s;
	struct worth all, left;

	open_scene(&s, 2, 30);
	cr_assert_eq(choose_left(&s.c.groups, NULL, &all, NULL), TAMIS_OK);
	cr_assert_float_eq(all.entries, 15 + 40, 1e-9);
	cr_assert_float_eq(all.macs, 16 * 15 + 12 * 40, 1e-9);
	s.dead[s.c.groups.list[s.group].first] = true;
	cr_assert_eq(choose_left(&s.c.groups, s.dead, &left, NULL), TAMIS_OK);
	cr_assert_float_eq(left.entries, 12 + 32, 1e-9);
	cr_assert_float_eq(left.macs, 16 * 12 + 12 * 32, 1e-9);
	close_scene(&s);
}
