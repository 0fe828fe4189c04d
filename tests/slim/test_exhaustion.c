/* SPDX-License-Identifier: Apache-2.0 */
/* Slimming that is stopped anywhere, by a failing allocation, by its reader or by its observer, says so and gives back
 * all it took. The linker routes the allocators and the clock of the static library through here; every block is
 * counted. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blocks.h"
#include "slimming.h"

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

static long calls, fail_at, fail_for; /* of blocks_watch; calls of the last call that was counted */

/* ---- the clock ------------------------------------------------------------------------------------------------ */

static time_t seconds;

/* A second a look, so that the observer is told every time. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	if (!blocks_watching())
		return __real_clock_gettime(clock, t);
	*t = (struct timespec){ .tv_sec = ++seconds };
	return 0;
}

/* ---- one call ------------------------------------------------------------------------------------------------- */

static enum tamis_status counted(struct slimming *s)
{
	enum tamis_status status;

	blocks_watch(fail_at, fail_for);
	status = slim_document(&s->in, &s->out, &s->figures, &s->arena, &s->err);
	blocks_rest();
	calls = blocks_calls();
	return status;
}

static void expect_nothing_left(struct slimming *s, const char *how, long at)
{
	slimming_forget(s);
	cr_assert_eq(blocks_live(), 0, "%s %ld: %ld blocks are left", how, at, blocks_live());
}

struct variant { const char *name; struct document *(*make)(uint64_t seed); enum dtype type; double keep; int epochs; };

static const struct variant variants[] = {
	{ "deep", net_deep, DT_FLOAT, -1, 0 },
	{ "logits", net_logits, DT_FLOAT, 0.3, 0 },
	{ "probabilities", net_probabilities, DT_FLOAT16, 0.5, 0 },
	{ "general", net_general, DT_DOUBLE, -1, 0 },
	{ "block", net_block, DT_FLOAT, 0.5, 0 },
	{ "foldable", net_foldable, DT_FLOAT, 0.7, 0 },
	{ "distilled", net_probabilities, DT_FLOAT16, 0.3, 4 },
	{ "distilled block", net_block, DT_FLOAT, 0.5, 1 },
};

static void open_variant(struct slimming *s, const struct variant *v)
{
	struct document *d = v->make(1);

	if (v->type != DT_FLOAT)
		nets_retype(d, v->type);
	slimming_open(s, d, 60, 2);
	s->o.keep = v->keep;
	s->o.distil = v->epochs;
	s->o.regrow = 0.1;
	s->o.tolerance = 1;
	s->o.chunk = 16;
}

Test(exhaustion, all_is_given_back_when_all_goes_well)
{
	for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
		struct slimming s;

		open_variant(&s, &variants[i]);
		fail_at = 0;
		cr_assert_eq(counted(&s), TAMIS_OK, "%s: %s", variants[i].name, s.err.message);
		cr_assert_gt(calls, 500);
		expect_nothing_left(&s, variants[i].name, 0);
		slimming_close(&s);
	}
}

/* Some sixty places of each call: the first allocations one by one, then ever further apart. */
Test(exhaustion, memory_runs_out)
{
	for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
		struct slimming s;
		long all;

		open_variant(&s, &variants[i]);
		fail_at = 0;
		cr_assert_eq(counted(&s), TAMIS_OK);
		all = calls;
		slimming_forget(&s);
		for (long at = 1; at < all; at += 1 + at / 8 + (at > 60 ? all / 40 : 0)) {
			enum tamis_status status;

			fail_at = at;
			fail_for = -1;
			status = counted(&s);
			cr_assert_eq(status, TAMIS_E_MEMORY, "%s: without memory from call %ld of %ld on, status %d: %s",
			             variants[i].name, at, all, status, s.err.message);
			cr_assert_null(s.out);
			expect_nothing_left(&s, variants[i].name, at);
		}
		slimming_close(&s);
	}
}

/* A single failure may be got over, but then the result is whole. */
Test(exhaustion, one_allocation_fails)
{
	for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
		struct slimming s;
		uint8_t *want, *got;
		size_t n, m;
		long all;

		open_variant(&s, &variants[i]);
		fail_at = 0;
		cr_assert_eq(counted(&s), TAMIS_OK);
		want = slimming_bytes(s.out, &n);
		all = calls;
		slimming_forget(&s);
		for (long at = 2; at < all; at += 1 + at / 7 + (at > 60 ? all / 30 : 0)) {
			enum tamis_status status;

			fail_at = at;
			fail_for = 1;
			status = counted(&s);
			cr_assert(status == TAMIS_E_MEMORY || status == TAMIS_OK, "%s: call %ld of %ld fails, status %d: %s",
			          variants[i].name, at, all, status, s.err.message);
			if (status == TAMIS_OK) {
				got = slimming_bytes(s.out, &m);
				cr_assert(n == m && !memcmp(want, got, n), "%s: call %ld of %ld fails, and the model is another",
				          variants[i].name, at, all);
				cr_assert_not_null(s.figures.model);
				__real_free(got);
			}
			expect_nothing_left(&s, variants[i].name, at);
		}
		__real_free(want);
		slimming_close(&s);
	}
}

/* ---- readers and observers ------------------------------------------------------------------------------------ */

Test(exhaustion, the_reader_fails)
{
	for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
		struct slimming s;
		int64_t all;

		open_variant(&s, &variants[i]);
		fail_at = 0;
		s.shelf.fail_at = INT64_MAX;
		cr_assert_eq(counted(&s), TAMIS_OK);
		all = s.shelf.calls;
		slimming_forget(&s);
		for (int64_t at = 1; at <= all; at += 1 + all / 20) {
			s.shelf.calls = 0;
			s.shelf.fail_at = at;
			s.shelf.fail_with = TAMIS_E_CANCELLED;
			cr_assert_eq(counted(&s), TAMIS_E_CANCELLED, "%s: call %ld: %s", variants[i].name, (long)at, s.err.message);
			cr_assert_null(s.out);
			expect_nothing_left(&s, variants[i].name, (long)at);
		}
		slimming_close(&s);
	}
}

struct watch { int told, stop_at; double fraction; bool fell; };

static int watch(void *ctx, const struct tamis_progress *p)
{
	struct watch *w = ctx;

	w->fell |= p->fraction < w->fraction || p->fraction < 0 || p->fraction > 1 || !p->phase;
	w->fraction = p->fraction;
	return ++w->told == w->stop_at;
}

Test(exhaustion, the_observer_cancels)
{
	for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
		struct slimming s;
		struct watch w = { 0 };
		int all;

		open_variant(&s, &variants[i]);
		fail_at = 0;
		s.o.observer = (struct tamis_observer){ .ctx = &w, .progress = watch };
		cr_assert_eq(counted(&s), TAMIS_OK);
		cr_assert(!w.fell, "%s: progress went back, or out of range", variants[i].name);
		all = w.told;
		cr_assert_gt(all, 10);
		slimming_forget(&s);
		for (int at = 1; at <= all; at += 1 + all / 25) {
			w = (struct watch){ .stop_at = at };
			cr_assert_eq(counted(&s), TAMIS_E_CANCELLED, "%s: call %d of %d: %s", variants[i].name, at, all,
			             s.err.message);
			cr_assert_eq(w.told, at, "the observer was called again after it had cancelled");
			cr_assert_null(s.out);
			expect_nothing_left(&s, variants[i].name, at);
		}
		slimming_close(&s);
	}
}
