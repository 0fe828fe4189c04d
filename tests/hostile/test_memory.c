/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 9, out of memory is returned: each allocation of each public call fails in turn, alone and with all that follow.
 * The call says so, gives back what it took, and the output is the old file or the complete new one. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "blocks.h"
#include "scenario.h"

TestSuite(memory, .init = scenario_enter, .fini = scenario_leave);

static enum tamis_status watched(const struct scenario *s, long fail_at, long fail_for, struct tamis_error *err)
{
	enum tamis_status status;

	scenario_reset(s->output);
	tamis_error_clear(err);
	blocks_watch(fail_at, fail_for);
	status = s->play(err);
	blocks_rest();
	return status;
}

static bool holds(const char *path, const uint8_t *bytes, size_t size)
{
	uint8_t *data = NULL;
	size_t n = 0;
	bool same = file_read(path, 1 << 24, &data, &n, NULL) == TAMIS_OK && n == size && memcmp(data, bytes, n) == 0;

	free(data);
	return same;
}

/* The first thousand one by one, then ever further apart: what comes later repeats what came before. */
static long next(long at)
{
	return at < 1000 ? at + 1 : at + 1 + at / 50;
}

static void sweep(const struct scenario *s, long in_a_row)
{
	struct tamis_error err = { 0 };
	uint8_t *bytes = NULL;
	size_t size = 0;
	long all;

	cr_assert_eq(watched(s, 0, 0, &err), TAMIS_OK, "%s: %s", s->name, err.message);
	all = blocks_calls();
	cr_expect_eq(blocks_live(), 0, "%s: %ld blocks are left", s->name, blocks_live());
	cr_assert(!s->output || file_read(s->output, 1 << 24, &bytes, &size, NULL) == TAMIS_OK);
	for (long at = 1; at <= all; at = next(at)) {
		enum tamis_status status = watched(s, at, in_a_row, &err);

		cr_expect_eq(blocks_live(), 0, "%s, allocation %ld of %ld: %ld blocks are left", s->name, at, all, blocks_live());
		cr_expect_eq(err.status, status, "%s, allocation %ld of %ld", s->name, at, all);
		cr_expect(status == TAMIS_E_MEMORY || status == TAMIS_OK, "%s, allocation %ld of %ld: status %d, %s", s->name, at,
		          all, (int)status, err.message);
		if (s->output)
			cr_expect(holds(s->output, bytes, size)
			          || (status != TAMIS_OK && holds(s->output, (const uint8_t *)OLD, strlen(OLD))),
			          "%s, allocation %ld of %ld: the output is neither old nor new", s->name, at, all);
	}
	free(bytes);
}

Test(memory, each_allocation_fails)
{
	for (int i = 0; i < n_scenarios; i++)
		sweep(&scenarios[i], 1);
}

Test(memory, all_allocations_fail_from_each_on)
{
	for (int i = 0; i < n_scenarios; i++)
		sweep(&scenarios[i], -1);
}
