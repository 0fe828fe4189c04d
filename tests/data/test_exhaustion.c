/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the base and data rooms fails in turn, and every call of the system: each function must report it
 * and release what it took (a leak shows under AddressSanitizer). The linker routes the allocators through here. */
#include <errno.h>

#include "base/parallel.h"
#include "faults.h"
#include "make.h"

void *__real_malloc(size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

static long allowed = -1; /* successes left; negative: no limit */

static bool refuse(void)
{
	return allowed >= 0 && allowed-- <= 0 && (allowed = 0, true);
}

void *__wrap_malloc(size_t size)
{
	return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return refuse() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return refuse() ? NULL : __real_aligned_alloc(align, size);
}

TestSuite(exhaustion, .init = enter_scratch, .fini = leave_scratch);

static const struct data_input one = {.name = "x", .type = DT_FLOAT, .rank = 2, .dims = {-1, 3}};

static enum tamis_status read_all(const char *spec, struct tamis_error *e)
{
	struct data_source *s;
	enum tamis_status status = data_open(&spec, 1, &one, 1, NULL, &s, e);
	struct batch b = {.items = 1};
	uint8_t digest[32];

	if (status != TAMIS_OK)
		return status;
	struct feed_reader r = data_reader(s);
	while (status == TAMIS_OK && b.items > 0)
		status = r.next(r.self, 2, &b, e);
	if (status == TAMIS_OK)
		status = data_sha256(s, digest, e);
	data_close(s);
	return status;
}

static enum tamis_status read_random(const char *path, struct tamis_error *e)
{
	const struct data_options o = {.random = 5, .seed = 1};
	struct data_source *s;
	enum tamis_status status = data_open(NULL, 0, &one, 1, &o, &s, e);
	uint8_t digest[32];

	(void)path;
	if (status != TAMIS_OK)
		return status;
	status = data_sha256(s, digest, e);
	data_close(s);
	return status;
}

static enum tamis_status fill_npz(const char *path, bool deflate, struct tamis_error *e)
{
	struct npz_writer *w;
	float data[6] = {0};
	struct tensor t = {.type = DT_FLOAT, .rank = 2, .dims = {2, 3}, .count = 6, .data = data};
	struct tensor small = {.type = DT_INT4, .rank = 1, .dims = {4}, .count = 4, .data = data};
	enum tamis_status status = npz_open(path, deflate, &w, e);

	if (status != TAMIS_OK)
		return status;
	status = npz_put(w, "x", &t, e);
	if (status == TAMIS_OK)
		status = npz_put(w, "small", &small, e);
	for (int i = 0; i < 3 && status == TAMIS_OK; i++)
		status = npz_append(w, "rows", &t, e);
	if (status == TAMIS_OK)
		return npz_close(w, e);
	npz_abort(w);
	return status;
}

static enum tamis_status write_npz(const char *path, struct tamis_error *e)
{
	return fill_npz(path, true, e);
}

static enum tamis_status write_stored(const char *path, struct tamis_error *e)
{
	return fill_npz(path, false, e);
}

static enum tamis_status read_labels(const char *path, struct tamis_error *e)
{
	int64_t *labels, n;
	enum tamis_status status = data_labels(path, &labels, &n, e);

	free(labels);
	return status;
}

static enum tamis_status make_pool(const char *path, struct tamis_error *e)
{
	struct pool *p;
	enum tamis_status status = pool_create(2, &p, e);

	(void)path;
	pool_destroy(p);
	return status;
}

/* What is done, to what, with how many allocations at least. */
static const struct use {
	enum tamis_status (*call)(const char *path, struct tamis_error *e);
	const char *path;
	long least;
} uses[] = {
	{read_all, "x:a.npy", 6}, {read_all, "sets", 8}, {read_random, "", 3}, {read_labels, "l.npz", 3}, {read_all, "a.npy", 5},
	{read_all, "f.npy", 7}, {read_all, "a.npz", 5}, {read_all, "d", 8}, {read_all, "j.json", 8}, {read_labels, "l.npy", 3},
	{write_npz, "out.npz", 10}, {write_stored, "out.npz", 10}, {make_pool, "", 1},
};
enum { USES = sizeof uses / sizeof *uses };

static void put_inputs(void)
{
	static const int32_t labels[3] = {1, 2, 3};
	/* a .npy of float[1,3] holding 0, 1, 2 */
	static const char feed[] = "k05VTVBZAQA9AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBG"
		"YWxzZSwgJ3NoYXBlJzogKDEsMyl9ICAgIAoAAAAAAACAPwAAAEA=";
	/* a TensorProto of float[1,3], raw */
	static const unsigned char pb[] = {8, 1, 8, 3, 16, 1, 74, 12, 0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 64};
	char text[256];
	struct tensor a = ramp(0, 2, 5, 3);

	put_npy("a.npy", "<f4", "False", "(5, 3)", a.data, 60);
	put_npy("f.npy", "<f4", "True", "(5, 3)", a.data, 60);
	put_npy("l.npy", "<i4", "False", "(3,)", labels, 12);
	put_npz("a.npz", true, "x", &a, NULL);
	snprintf(text, sizeof text, "[{\"x\": {\"array\": \"%s\"}}]", feed);
	put_bytes("j.json", text, strlen(text));
	cr_assert_eq(mkdir("d", 0700), 0);
	put_npy("d/1.npy", "<f4", "False", "(5, 3)", a.data, 60);
	put_npy("d/2.npy", "<f4", "False", "(5, 3)", a.data, 60);
	cr_assert_eq(mkdir("sets", 0700) | mkdir("sets/test_data_set_0", 0700) | mkdir("sets/test_data_set_1", 0700), 0);
	put_bytes("sets/test_data_set_0/input_0.pb", pb, sizeof pb);
	put_bytes("sets/test_data_set_1/input_0.pb", pb, sizeof pb);
	put_npz("l.npz", true, "l", &(struct tensor){.type = DT_INT32, .rank = 1, .dims = {3}, .count = 3, .data = (void *)labels},
	        NULL);
	tensor_free(&a);
}

/* With 0, 1, 2, ... allocations until the call succeeds; at least `least` of them. */
static void sweep(const struct use *use)
{
	for (long k = 0; k < 10000; k++) {
		struct tamis_error e = {0};
		enum tamis_status status;

		allowed = k;
		status = use->call(use->path, &e);
		allowed = -1;
		if (status == TAMIS_OK) {
			cr_assert_geq(k, use->least, "%s: %ld allocations", use->path, k);
			return;
		}
		cr_assert(status == TAMIS_E_MEMORY || status == TAMIS_E_OUTPUT, "%s after %ld: %d %s", use->path, k, status, e.message);
		cr_assert_eq(e.status, status);
	}
	cr_assert_fail("%s never succeeds", use->path);
}

Test(exhaustion, every_allocation_may_fail)
{
	put_inputs();
	for (int i = 0; i < USES; i++)
		sweep(&uses[i]);
}

/* The n-th of one kind of call, until it is not reached any more; how many there were. */
static long fault_each(const struct use *use, enum fault_call call, enum fault_kind kind, int number)
{
	bool mends = kind == FAULT_SHORT || number == EINTR; /* taken up again */

	for (long at = 1;; at++) {
		const struct fault fault = {call, at, kind, number}, none = {0};
		long seen[FAULT_CALLS] = {0};
		struct tamis_error e = {0};
		enum tamis_status status;

		faults_watch(&fault, seen);
		status = use->call(use->path, &e);
		faults_watch(&none, NULL);
		cr_assert_eq(e.status, status);
		cr_assert_eq(status == TAMIS_OK, e.message[0] == '\0', "%s, %s %ld", use->path, fault_names[call], at);
		if (seen[call] < at)
			return at - 1;
		if (mends)
			cr_expect_eq(status, TAMIS_OK, "%s, %s %ld: %s", use->path, fault_names[call], at, e.message);
		else if (call != FAULT_CLOSE && call != FAULT_OPEN) /* some are tried in another way, or decide nothing */
			cr_expect_neq(status, TAMIS_OK, "%s, %s %ld: nothing was said", use->path, fault_names[call], at);
	}
}

Test(exhaustion, every_call_of_the_system_may_fail)
{
	long all[FAULT_CALLS] = {0};

	put_inputs();
	for (int i = 0; i < USES; i++) {
		for (int call = 0; call < FAULT_CALLS; call++)
			all[call] += fault_each(&uses[i], call, FAULT_ERROR, EIO);
		for (int call = FAULT_READ; call <= FAULT_WRITE; call++) {
			fault_each(&uses[i], call, FAULT_ERROR, EINTR);
			fault_each(&uses[i], call, FAULT_SHORT, 0);
		}
	}
	for (int call = 0; call < FAULT_CALLS; call++)
		cr_expect_gt(all[call], 0, "no %s came by here", fault_names[call]);
}
