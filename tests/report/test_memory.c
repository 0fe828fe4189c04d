/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of a report and its renderings fails once, in turn. Linked with the allocators
 * wrapped. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>

#include "figures.h"

static int allowed = -1; /* allocations that still succeed; below zero all do */

static bool refuse(void)
{
	if (allowed == 0)
		return true;
	if (allowed > 0)
		allowed--;
	return false;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

void *__wrap_malloc(size_t size)
{
	return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuse() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return refuse() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return refuse() ? NULL : __real_aligned_alloc(align, size);
}

enum form { AS_TEXT, AS_JSON, AS_HTML };

/* Renders a report of this kind with `n` allocations allowed; true when that was enough. */
static bool render(enum report_kind kind, int n, enum form form)
{
	struct tamis_error err = {0};
	enum tamis_status status = TAMIS_E_MEMORY;
	struct tamis_report *r;
	char *out = NULL;

	allowed = n;
	r = make_report(kind, FILL_PLAIN);
	if (r)
		status = form == AS_JSON ? report_json(r, &out, &err) : form == AS_HTML ? report_html(r, &out, &err)
		                                                                      : report_text(r, &out, &err);
	allowed = -1;
	cr_assert(status == TAMIS_OK || status == TAMIS_E_MEMORY);
	cr_assert_eq(status == TAMIS_OK, out != NULL, "an output came exactly when all was well");
	free(out);
	report_free(r);
	return status == TAMIS_OK;
}

static void fail_each(enum form form)
{
	for (int k = 0; k < N_KINDS; k++) {
		int n = 0;

		if (form == AS_HTML && k != REPORT_SLIM && k != REPORT_SCORES)
			continue;
		while (!render((enum report_kind)k, n, form))
			cr_assert_lt(++n, 2000, "kind %d never succeeds", k);
		cr_expect_gt(n, 0, "kind %d allocates", k);
	}
}

Test(memory, every_failing_allocation_of_the_text_is_reported)
{
	fail_each(AS_TEXT);
}

Test(memory, every_failing_allocation_of_the_json_is_reported)
{
	json_set_alloc_funcs(__wrap_malloc, free);
	fail_each(AS_JSON);
}

Test(memory, every_failing_allocation_of_the_page_is_reported)
{
	fail_each(AS_HTML);
}
