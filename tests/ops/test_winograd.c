/* SPDX-License-Identifier: Apache-2.0 */
/* 3 x 3 convolutions by Winograd's filtering against the definition in double, on random shapes biased to corners: images
 * that end inside of a tile, padding from none to all of the kernel, odd numbers of blocks. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/rng.h"
#include "ops/winograd.h"

enum { CASES = 300 };

struct problem {
	int64_t channels, maps;
	struct winograd w;
	struct blocked_after after[3];
	float *x, *kernel, *weight, *bias, *residual, *y, *room;
};

static int64_t blocks(int64_t channels, int64_t lanes)
{
	return (channels + lanes - 1) / lanes;
}

static float *normal(struct rng *r, int64_t n)
{
	float *x = tm_array_uninit((size_t)n + 1, sizeof *x);

	for (int64_t i = 0; i < n; i++)
		x[i] = (float)rng_normal(r);
	return x;
}

static int64_t floats_in(const struct winograd *w)
{
	return w->items * w->in_blocks * w->in[0] * w->in[1] * w->lanes;
}

static int64_t floats_out(const struct winograd *w)
{
	return w->items * w->out_blocks * w->out[0] * w->out[1] * w->lanes;
}

static void make_after(struct problem *p, struct rng *r)
{
	static const struct blocked_after kinds[] = {
		{ BLOCKED_LINEAR, 0.5F, -1 }, { BLOCKED_CLIP, -0.25F, 1 }, { BLOCKED_RELU, 0, 0 }, { BLOCKED_RELU, 0.1F, 0 },
		{ BLOCKED_HARDSWISH, 0, 0 }, { BLOCKED_RESIDUAL, 0, 0 } };
	const int n = (int)(sizeof kinds / sizeof *kinds);

	p->w.n_after = (int)rng_below(r, 4);
	for (int i = 0; i < p->w.n_after; i++)
		p->after[i] = kinds[rng_below(r, (uint64_t)n)];
	p->w.after = p->after;
}

static struct problem make(struct rng *r, int64_t lanes)
{
	uint64_t most = 5 * (uint64_t)lanes;
	struct problem p = { .channels = 1 + (int64_t)rng_below(r, most), .maps = 1 + (int64_t)rng_below(r, most) };
	struct winograd *w = &p.w;

	*w = (struct winograd){ .lanes = lanes, .items = 1 + (int64_t)rng_below(r, 3),
		.in_blocks = blocks(p.channels, lanes), .out_blocks = blocks(p.maps, lanes) };
	for (int i = 0; i < 2; i++) {
		int64_t end = (int64_t)rng_below(r, 3);

		w->begin[i] = (int64_t)rng_below(r, 3);
		w->in[i] = 1 + (int64_t)rng_below(r, rng_below(r, 2) ? 4 : 17);
		w->out[i] = w->in[i] + w->begin[i] + end - 2;
		if (w->out[i] < 1) {
			w->begin[i] = 2;
			w->out[i] = w->in[i];
		}
	}
	p.x = normal(r, floats_in(w));
	p.kernel = normal(r, p.channels * p.maps * 9);
	p.weight = normal(r, (int64_t)winograd_weight_size(lanes, p.channels, p.maps, false));
	p.bias = rng_below(r, 3) ? normal(r, w->out_blocks * lanes) : NULL;
	p.residual = normal(r, floats_out(w));
	p.y = normal(r, floats_out(w));
	p.room = normal(r, (int64_t)winograd_room(w));
	winograd_weight(lanes, p.kernel, p.channels, p.maps, false, p.weight);
	w->x = p.x;
	w->weight = p.weight;
	w->bias = p.bias;
	w->residual = p.residual;
	w->y = p.y;
	return p;
}

/* First in every test. */
static void want_winograd(int64_t lanes)
{
	if (!winograd_runs(lanes))
		cr_skip_test("this processor has no AVX2 and FMA, or no AVX-512");
}

/* What `after` points at moves with the problem. */
static struct problem *open_problem(struct rng *r, int64_t lanes)
{
	struct problem *p = malloc(sizeof *p);

	*p = make(r, lanes);
	make_after(p, r);
	return p;
}

static void close_problem(struct problem *p)
{
	free(p->x);
	free(p->kernel);
	free(p->weight);
	free(p->bias);
	free(p->residual);
	free(p->y);
	free(p->room);
	free(p);
}

static double x_at(const struct problem *p, int64_t item, int64_t c, int64_t y, int64_t x)
{
	const struct winograd *w = &p->w;

	if (y < 0 || x < 0 || y >= w->in[0] || x >= w->in[1])
		return 0;
	return (double)p->x[(((item * w->in_blocks + c / w->lanes) * w->in[0] + y) * w->in[1] + x) * w->lanes + c % w->lanes];
}

static int64_t y_index(const struct winograd *w, int64_t item, int64_t o, int64_t y, int64_t x)
{
	return (((item * w->out_blocks + o / w->lanes) * w->out[0] + y) * w->out[1] + x) * w->lanes + o % w->lanes;
}

static double follow(const struct blocked_after *f, double x, double residual)
{
	double a = (double)f->a, b = (double)f->b;

	switch (f->kind) {
	case BLOCKED_LINEAR: return a * x + b;
	case BLOCKED_CLIP: return fmin(fmax(x, a), b);
	case BLOCKED_RELU: return x > 0 ? x : a * x;
	case BLOCKED_HARDSWISH: return x * fmin(fmax(x + 3, 0), 6) / 6;
	default: return x + residual;
	}
}

/* The definition; *scale: what rounding is in proportion to, the largest products anywhere in the tile. */
static double expected(const struct problem *p, int64_t item, int64_t o, int64_t y, int64_t x, double *scale)
{
	const struct winograd *w = &p->w;
	double sum = p->bias ? (double)p->bias[o] : 0;

	*scale = fabs(sum) + 1;
	for (int64_t c = 0; c < p->channels; c++)
		for (int k = 0; k < 9; k++) {
			double g = (double)p->kernel[(o * p->channels + c) * 9 + k];

			sum += g * x_at(p, item, c, y + k / 3 - w->begin[0], x + k % 3 - w->begin[1]);
			*scale += fabs(g) * 5; /* no |x| is larger */
		}
	for (int f = 0; f < w->n_after; f++)
		sum = follow(&p->after[f], sum, (double)p->residual[y_index(w, item, o, y, x)]);
	return sum;
}

static void compare(const struct problem *p, int seed)
{
	const struct winograd *w = &p->w;

	for (int64_t i = 0; i < w->items * p->maps * w->out[0] * w->out[1]; i++) {
		int64_t x = i % w->out[1], y = i / w->out[1] % w->out[0], o = i / (w->out[0] * w->out[1]) % p->maps;
		int64_t item = i / (w->out[0] * w->out[1] * p->maps);
		double scale, want = expected(p, item, o, y, x, &scale), got = (double)p->y[y_index(w, item, o, y, x)];

		cr_assert(fabs(got - want) <= FLT_EPSILON * scale, "seed %d: item %lld, map %lld, pixel %lld %lld: %g, not %g", seed,
		          (long long)item, (long long)o, (long long)y, (long long)x, got, want);
	}
}

static void the_definition(int64_t lanes)
{
	want_winograd(lanes);
	for (int seed = 1; seed <= CASES; seed++) {
		struct rng r = rng_make((uint64_t)seed, 0);
		struct problem *p = open_problem(&r, lanes);

		winograd_run(&p->w, p->room);
		compare(p, seed);
		close_problem(p);
	}
}

/* The sum of `residual` may be kept where it comes from. */
static void in_place(int64_t lanes)
{
	want_winograd(lanes);
	for (int seed = 1; seed <= CASES; seed++) {
		struct rng r = rng_make((uint64_t)seed, 1);
		struct problem *p = open_problem(&r, lanes);
		size_t bytes = (size_t)floats_out(&p->w) * sizeof *p->y;

		winograd_run(&p->w, p->room);
		p->w.y = p->residual;
		winograd_run(&p->w, p->room);
		cr_assert(!memcmp(p->y, p->residual, bytes), "seed %d", seed);
		close_problem(p);
	}
}

/* An item has the same bits alone as among others. */
static void items_do_not_meet(int64_t lanes)
{
	want_winograd(lanes);
	for (int seed = 1; seed <= CASES; seed++) {
		struct rng r = rng_make((uint64_t)seed, 2);
		struct problem *p = open_problem(&r, lanes);
		struct winograd one = p->w;
		int64_t in = floats_in(&p->w) / p->w.items, out = floats_out(&p->w) / p->w.items;
		float *y = normal(&r, out);

		winograd_run(&p->w, p->room);
		one.items = 1;
		one.y = y;
		for (int64_t i = 0; i < p->w.items; i++) {
			one.x = p->x + i * in;
			one.residual = p->residual + i * out;
			winograd_run(&one, p->room);
			cr_assert(!memcmp(y, p->y + i * out, (size_t)out * sizeof *y), "seed %d, item %lld", seed, (long long)i);
		}
		free(y);
		close_problem(p);
	}
}

/* <y, conv x> = <back y, x> for any x and y. */
static void back_is_the_adjoint(int64_t lanes)
{
	want_winograd(lanes);
	for (int seed = 1; seed <= CASES; seed++) {
		struct rng r = rng_make((uint64_t)seed, 3);
		struct problem *p = open_problem(&r, lanes);
		struct winograd *w = &p->w, back = { .lanes = lanes, .items = w->items,
			.in_blocks = w->out_blocks, .out_blocks = w->in_blocks,
			.in = { w->out[0], w->out[1] }, .out = { w->in[0], w->in[1] }, .begin = { 2 - w->begin[0], 2 - w->begin[1] },
			.x = p->residual };
		float *gx = normal(&r, floats_in(w));
		float *turned = normal(&r, (int64_t)winograd_weight_size(lanes, p->channels, p->maps, true));
		float *room = normal(&r, (int64_t)winograd_room(&back));
		double left = 0, right = 0, size = 1;

		winograd_weight(lanes, p->kernel, p->channels, p->maps, true, turned);
		back.weight = turned;
		back.y = gx;
		winograd_run(&back, room);
		w->bias = NULL;
		w->n_after = 0;
		winograd_run(w, p->room);
		for (int64_t i = 0; i < floats_out(w); i++)
			if (i / (w->out[0] * w->out[1] * w->lanes) % w->out_blocks * w->lanes + i % w->lanes < p->maps) {
				left += (double)p->y[i] * (double)p->residual[i];
				size += fabs((double)p->y[i] * (double)p->residual[i]);
			}
		for (int64_t i = 0; i < floats_in(w); i++)
			if (i / (w->in[0] * w->in[1] * w->lanes) % w->in_blocks * w->lanes + i % w->lanes < p->channels)
				right += (double)gx[i] * (double)p->x[i];
		cr_assert_float_eq(left, right, 1e-5 * size, "seed %d: %g and %g", seed, left, right);
		free(gx);
		free(turned);
		free(room);
		close_problem(p);
	}
}

/* What is not a number is one behind any activation. */
static void not_a_number(int64_t lanes)
{
	static const struct blocked_after each[] = {
		{ BLOCKED_LINEAR, 2, 1 }, { BLOCKED_CLIP, -1, 1 }, { BLOCKED_RELU, 0, 0 }, { BLOCKED_RELU, 0.1F, 0 },
		{ BLOCKED_HARDSWISH, 0, 0 }, { BLOCKED_RESIDUAL, 0, 0 } };

	want_winograd(lanes);
	for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
		struct rng r = rng_make(7, (uint64_t)i);
		struct problem *p = open_problem(&r, lanes);

		p->w.after = &each[i];
		p->w.n_after = 1;
		p->x[0] = NAN;
		p->w.begin[0] = p->w.begin[1] = 1;
		winograd_run(&p->w, p->room);
		cr_expect(isnan(p->y[0]), "behind kind %d", (int)each[i].kind);
		close_problem(p);
	}
}

/* Only what it is: one group, 3 x 3 at stride 1, channels that fill two blocks, tiles that are mostly inside. */
static void what_fits(int64_t lanes)
{
	const struct window same = { .rank = 2, .kernel = { 1, 3, 3 }, .stride = { 1, 1, 1 }, .dilation = { 1, 1, 1 } };
	struct window wide = same, steps = same, apart = same, flat = same;

	want_winograd(lanes);
	wide.kernel[2] = 5;
	steps.stride[1] = 2;
	apart.dilation[2] = 2;
	flat.rank = 1;
	cr_expect(winograd_fits(lanes, &same, 1, 16, 16, (int64_t[]){ 7, 7 }));
	cr_expect(!winograd_fits(lanes, &wide, 1, 16, 16, (int64_t[]){ 7, 7 }));
	cr_expect(!winograd_fits(lanes, &steps, 1, 16, 16, (int64_t[]){ 7, 7 }));
	cr_expect(!winograd_fits(lanes, &apart, 1, 16, 16, (int64_t[]){ 7, 7 }));
	cr_expect(!winograd_fits(lanes, &flat, 1, 16, 16, (int64_t[]){ 7, 7 }));
	cr_expect(!winograd_fits(lanes, &same, 2, 16, 16, (int64_t[]){ 7, 7 }));
	cr_expect(!winograd_fits(lanes, &same, 1, 15, 16, (int64_t[]){ 7, 7 }));
	cr_expect(!winograd_fits(lanes, &same, 1, 16, 15, (int64_t[]){ 7, 7 }));
	cr_expect(!winograd_fits(lanes, &same, 1, 16, 16, (int64_t[]){ 1, 7 }));
}

Test(winograd, the_definition_by_8) { the_definition(8); }
Test(winograd, the_definition_by_16) { the_definition(16); }
Test(winograd, in_place_by_8) { in_place(8); }
Test(winograd, in_place_by_16) { in_place(16); }
Test(winograd, items_do_not_meet_by_8) { items_do_not_meet(8); }
Test(winograd, items_do_not_meet_by_16) { items_do_not_meet(16); }
Test(winograd, back_is_the_adjoint_by_8) { back_is_the_adjoint(8); }
Test(winograd, back_is_the_adjoint_by_16) { back_is_the_adjoint(16); }
Test(winograd, not_a_number_by_8) { not_a_number(8); }
Test(winograd, not_a_number_by_16) { not_a_number(16); }
Test(winograd, what_fits_by_8) { what_fits(8); }
Test(winograd, what_fits_by_16) { what_fits(16); }

Test(winograd, no_other_blocks)
{
	for (int64_t lanes = 0; lanes <= 64; lanes++)
		if (lanes != 8 && lanes != 16)
			cr_expect(!winograd_runs(lanes));
}
