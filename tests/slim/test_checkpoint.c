/* SPDX-License-Identifier: Apache-2.0 */
/* A search that was stopped and goes on from its checkpoint ends with the bytes of one that was not. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "slim/search/checkpoint.h"
#include "slimming.h"

/* memory: so little that items are read again in every epoch; 0: all there is. */
struct variant { const char *name; struct document *(*net)(uint64_t); double keep; int epochs; bool refit; int64_t memory; };

static const struct variant variants[] = {
	{ "search", net_deep, -1, 0, true, 0 },
	{ "given share", net_deep, 0.3, 0, true, 0 },
	{ "distilled search", net_block, -1, 1, false, 0 },
	{ "distilled to a share", net_logits, 0.4, 6, true, 0 },
	{ "settling for long", net_logits, 0.4, 12, false, 1 << 16 },
};

static void open_variant(struct slimming *s, const struct variant *v)
{
	slimming_open(s, v->net(1), 400, 3);
	s->o.keep = v->keep;
	s->o.distil = v->epochs;
	s->o.refit = v->refit;
	s->o.tolerance = 0.5;
	s->o.max_memory = (size_t)v->memory;
}

/* Runs once more where the reader fails at call `at` (INT64_MAX: never); how many calls there were. */
static int64_t run_until(struct slimming *s, int64_t at, enum tamis_status want)
{
	enum tamis_status got;

	s->shelf.calls = 0;
	s->shelf.fail_at = at;
	s->shelf.fail_with = TAMIS_E_CANCELLED;
	got = slimming_run(s);
	cr_assert_eq(got, want, "read %lld of %lld: status %d: %s", (long long)at, (long long)s->shelf.calls, got,
	             s->err.message);
	return s->shelf.calls;
}

static void name_file(char *path, size_t size)
{
	snprintf(path, size, "checkpoint-%d", (int)getpid());
	unlink(path);
}

Test(checkpoint, a_stopped_run_goes_on_to_the_same_bytes)
{
	char path[64];

	name_file(path, sizeof path);
	for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
		struct slimming s;
		uint8_t *want, *got;
		size_t n, m;
		int64_t all;

		open_variant(&s, &variants[i]);
		all = run_until(&s, INT64_MAX, TAMIS_OK);
		cr_assert_gt(all, 50);
		want = slimming_bytes(s.out, &n);
		s.o.checkpoint = path;
		for (int64_t at = all - 2; at > 1; at -= all / 5) {
			int64_t left;

			run_until(&s, at, TAMIS_E_CANCELLED);
			left = run_until(&s, INT64_MAX, TAMIS_OK);
			got = slimming_bytes(s.out, &m);
			cr_assert(n == m && !memcmp(want, got, n), "%s, stopped at read %lld of %lld", variants[i].name,
			          (long long)at, (long long)all);
			cr_assert(at < all - 2 || left < all, "%s: nothing was gone on from", variants[i].name);
			cr_assert_neq(access(path, F_OK), 0, "the checkpoint is left behind");
			free(got);
		}
		free(want);
		slimming_close(&s);
	}
}

/* ---- files that are no use ------------------------------------------------------------------------------------------ */

static void write_bytes(const char *path, const uint8_t *bytes, size_t size)
{
	FILE *f = fopen(path, "wb");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(bytes, 1, size, f), size);
	fclose(f);
}

Test(checkpoint, of_another_run)
{
	struct slimming s;
	char path[64];
	int64_t all;

	name_file(path, sizeof path);
	open_variant(&s, &variants[1]);
	s.o.checkpoint = path;
	all = run_until(&s, INT64_MAX, TAMIS_OK);
	run_until(&s, all - 2, TAMIS_E_CANCELLED);
	s.o.seed++;
	cr_assert_eq(slimming_run(&s), TAMIS_E_INVALID);
	cr_assert_not_null(strstr(s.err.message, "of other options"), "%s", s.err.message);
	cr_assert_eq(access(path, F_OK), 0, "and it stays where it is");
	unlink(path);
	slimming_close(&s);
}

Test(checkpoint, every_damage_is_found)
{
	struct checkpoint c = { .identity = "one" };
	uint8_t content[100], *file = NULL, *back;
	size_t size, n;
	char path[64];

	name_file(path, sizeof path);
	c.path = path;
	for (size_t i = 0; i < sizeof content; i++)
		content[i] = (uint8_t)(7 * i);
	cr_assert_eq(checkpoint_load(&c, &back, &n, NULL), TAMIS_OK);
	cr_assert_null(back, "there is none yet");
	cr_assert_eq(checkpoint_save(&c, content, sizeof content, NULL), TAMIS_OK);
	cr_assert_eq(checkpoint_load(&c, &back, &n, NULL), TAMIS_OK);
	cr_assert(n == sizeof content && !memcmp(back, content, n));
	free(back);
	cr_assert_eq(file_read(path, 1 << 20, &file, &size, NULL), TAMIS_OK);
	for (size_t i = 0; i < size; i++) {
		struct tamis_error err = { 0 };

		file[i] ^= 0x20;
		write_bytes(path, file, size);
		file[i] ^= 0x20;
		cr_assert_eq(checkpoint_load(&c, &back, &n, &err), TAMIS_E_INVALID, "byte %zu", i);
		cr_assert_null(back);
	}
	for (size_t i = 0; i < size; i++) {
		write_bytes(path, file, i);
		cr_assert_eq(checkpoint_load(&c, &back, &n, NULL), TAMIS_E_INVALID, "cut at byte %zu", i);
	}
	free(file);
	unlink(path);
}

Test(checkpoint, what_cannot_be_written)
{
	struct slimming s;

	open_variant(&s, &variants[1]);
	s.o.checkpoint = "no/such/folder/checkpoint";
	cr_assert_eq(slimming_run(&s), TAMIS_E_OUTPUT, "%s", s.err.message);
	cr_assert_null(s.out);
	slimming_close(&s);
}
