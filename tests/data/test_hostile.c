/* SPDX-License-Identifier: Apache-2.0 */
/* Files that lie. Each is refused with a sentence that names the file; none may crash or cost much memory. */
#include <sys/resource.h>

#include "base/rng.h"
#include "make.h"

TestSuite(hostile, .init = enter_scratch, .fini = leave_scratch);

static const struct data_input one = {.name = "x", .type = DT_FLOAT, .rank = 2, .dims = {-1, 3}};
static const struct data_input any = {.name = "x", .type = DT_FLOAT, .rank = -1};

static enum tamis_status try(const char *spec, const struct data_input *in)
{
	struct tamis_error e = {0};
	struct data_source *s;
	enum tamis_status status = data_open(&spec, 1, in, 1, NULL, &s, &e);

	if (status == TAMIS_OK) {
		struct feed_reader r = data_reader(s);
		struct batch b = {.items = 1};

		while (status == TAMIS_OK && b.items > 0)
			status = r.next(r.self, 2, &b, &e);
		data_close(s);
	}
	cr_assert(status == TAMIS_OK || (e.status == status && e.message[0] && e.file[0]));
	return status;
}

/* Overwrites every occurrence of `from` by `to`, both n bytes; how many there were. */
static int patch(unsigned char *image, size_t size, const void *from, const void *to, size_t n)
{
	int hits = 0;

	for (size_t i = 0; i + n <= size; i++)
		if (memcmp(image + i, from, n) == 0) {
			memcpy(image + i, to, n);
			hits++;
		}
	return hits;
}

static unsigned char *small_npz(bool deflate, size_t *size)
{
	struct tensor a = ramp(0, 2, 5, 3), b = ramp(0, 2, 5, 3);

	put_npz("x.npz", deflate, "x", &a, "y", &b, NULL);
	tensor_free(&a);
	tensor_free(&b);
	return get_bytes("x.npz", size);
}

Test(hostile, what_is_no_array_file_at_all)
{
	static const struct { const char *text, *word; } cases[] = {
		{"", "empty"}, {"\x93", "neither"}, {"\x93NUMP", "neither"}, {"\x89PNG\r\n\x1a\n", "neither"}, {"text", "neither"},
		{"PK", "neither"}, {"PK\3\4", "zip"}, {"\x93NUMPY", "magic"}, {"\x93NUMPY\1", "magic"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		put_bytes("x", cases[i].text, strlen(cases[i].text));
		check_refused("x", &one, 1, TAMIS_E_INVALID, cases[i].word);
	}
	cr_assert_eq(mkfifo("fifo", 0600), 0);
	check_refused("fifo", &one, 1, TAMIS_E_INVALID, "FIFO");
	check_refused("/dev/zero", &one, 1, TAMIS_E_INVALID, "device");
	check_refused("missing", &one, 1, TAMIS_E_INVALID, "No such file");
	check_refused("x/y", &one, 1, TAMIS_E_INVALID, "Not a directory");
}

Test(hostile, npy_headers_that_promise_more_than_there_is)
{
	static const float data[15] = {0};
	unsigned char image[64] = "\x93NUMPY\2\0\xff\xff\x0f\0{";

	put_npy("x.npy", "<f4", "False", "(5, 3)", data, 59);
	check_refused("x.npy", &one, 1, TAMIS_E_INVALID, "needs 60 bytes");
	put_npy("x.npy", "<f4", "False", "(4, 3)", data, 60);
	check_refused("x.npy", &one, 1, TAMIS_E_INVALID, "needs 48 bytes");
	put_npy("x.npy", "<f4", "False", "(1000000000000, 3)", data, 60);
	check_refused("x.npy", &one, 1, TAMIS_E_INVALID, "needs 12000000000000 bytes");
	put_npy("x.npy", "<f4", "False", "(4611686018427387904, 3)", data, 60);
	check_refused("x.npy", &one, 1, TAMIS_E_INVALID, "overflows");
	put_npy("x.npy", "|O", "False", "(5, 3)", data, 60);
	check_refused("x.npy", &one, 1, TAMIS_E_UNSUPPORTED, "Python objects");
	put_bytes("x.npy", image, sizeof image);
	check_refused("x.npy", &one, 1, TAMIS_E_INVALID, "claims 1048");
	put_npy("x.npy", "<f4", "False", "(0, 3)", data, 0);
	check_refused("x.npy", &one, 1, TAMIS_E_INVALID, "no items");
	put_npy("x.npy", "<f4", "False", "(9223372036854775807, 0)", data, 0);
	cr_assert_neq(try("x.npy", &one), TAMIS_OK);
	check_refused("x.npy", &any, 1, TAMIS_E_INVALID, "9223372036854775807 items without elements");
}

Test(hostile, a_truncated_file_is_refused_at_every_byte)
{
	struct tensor a = ramp(0, 2, 5, 3);
	size_t size;
	unsigned char *image = small_npz(true, &size);

	for (size_t n = 0; n < size; n++) {
		put_bytes("cut", image, n);
		cr_assert_neq(try("cut", &one), TAMIS_OK, "%zu of %zu bytes", n, size);
	}
	free(image);
	put_npy("x.npy", "<f4", "False", "(5, 3)", a.data, 60);
	image = get_bytes("x.npy", &size);
	for (size_t n = 0; n < size; n++) {
		put_bytes("cut", image, n);
		cr_assert_neq(try("cut", &one), TAMIS_OK, "%zu of %zu bytes", n, size);
	}
	free(image);
	tensor_free(&a);
}

/* Random damage: any answer will do, so long as it is one. */
Test(hostile, random_damage_is_survived)
{
	struct rng r = rng_make(7, 7);

	for (int deflate = 0; deflate < 2; deflate++) {
		size_t size;
		unsigned char *image = small_npz(deflate, &size), *copy = malloc(size);

		for (int round = 0; round < 1500; round++) {
			memcpy(copy, image, size);
			for (uint64_t k = 1 + rng_below(&r, 4); k > 0; k--)
				copy[rng_below(&r, size)] = (unsigned char)rng_next(&r);
			put_bytes("damaged", copy, size);
			try("damaged", &any);
		}
		free(copy);
		free(image);
	}
}

Test(hostile, a_wrong_checksum_is_found)
{
	size_t size;
	unsigned char *image = small_npz(false, &size);
	float from = 7, to = 70;

	cr_assert_eq(patch(image, size, &from, &to, 4), 2);
	put_bytes("x.npz", image, size);
	check_refused("x.npz", &one, 1, TAMIS_E_INVALID, "CRC");
	free(image);
}

Test(hostile, duplicate_members_are_refused)
{
	size_t size;
	unsigned char *image = small_npz(false, &size);

	cr_assert_eq(patch(image, size, "y.npy", "x.npy", 5), 2);
	put_bytes("x.npz", image, size);
	check_refused("x.npz", &one, 1, TAMIS_E_INVALID, "two members");
	free(image);
}

/* Bit 0 of the flags, which follow signature and version, says encrypted. */
Test(hostile, encrypted_and_strangely_compressed_members_are_refused)
{
	size_t size;
	unsigned char *image = small_npz(false, &size);

	cr_assert_eq(patch(image, size, "PK\3\4\x14\0\0\0", "PK\3\4\x14\0\1\0", 8), 2);
	cr_assert_eq(patch(image, size, "PK\1\2\x2d\3\x14\0\0\0", "PK\1\2\x2d\3\x14\0\1\0", 10), 2);
	put_bytes("x.npz", image, size);
	check_refused("x.npz", &one, 1, TAMIS_E_UNSUPPORTED, "encrypted");
	free(image);
	image = small_npz(false, &size);
	cr_assert_eq(patch(image, size, "PK\3\4\x14\0\0\0\0\0", "PK\3\4\x14\0\0\0\x0e\0", 10), 2);
	cr_assert_eq(patch(image, size, "PK\1\2\x2d\3\x14\0\0\0\0\0", "PK\1\2\x2d\3\x14\0\0\0\x0e\0", 12), 2);
	put_bytes("x.npz", image, size);
	check_refused("x.npz", &one, 1, TAMIS_E_UNSUPPORTED, "method 14");
	free(image);
}

/* 64 MB of zeros in 64 KB. Inflated by the batch, within an address space that could not hold the whole twice. */
Test(hostile, a_zip_bomb_costs_no_more_than_a_batch)
{
	struct data_input in = {.name = "x", .type = DT_FLOAT, .rank = 2, .dims = {-1, 1024}};
	struct tensor block = {0};
	struct npz_writer *w;
	struct rusage before, after;
	struct data_source *s;
	size_t n;

	tensor_shape(&block, DT_FLOAT, 2, (int64_t[]){16, 1024}, NULL);
	tensor_alloc(&block, NULL);
	cr_assert_eq(npz_open("bomb.npz", true, &w, NULL), TAMIS_OK);
	for (int i = 0; i < 1024; i++)
		cr_assert_eq(npz_append(w, "x", &block, NULL), TAMIS_OK);
	cr_assert_eq(npz_close(w, NULL), TAMIS_OK);
	tensor_free(&block);
	free(get_bytes("bomb.npz", &n));
	cr_assert_lt(n, 200000);
	getrusage(RUSAGE_SELF, &before);
	s = open_one("bomb.npz", &in, 1);
	struct feed_reader r = data_reader(s);
	struct batch b = {.items = 1};
	while (b.items > 0)
		cr_assert_eq(r.next(r.self, 16, &b, NULL), TAMIS_OK);
	data_close(s);
	getrusage(RUSAGE_SELF, &after);
	cr_assert_lt(after.ru_maxrss - before.ru_maxrss, 20000, "%ld kB", after.ru_maxrss - before.ru_maxrss);
	in.dims[1] = 1000; /* a shape the model did not ask for is never inflated at all */
	check_refused("bomb.npz", &in, 1, TAMIS_E_INVALID, "expects");
}

/* The directory says one length, the header in the member another. */
Test(hostile, a_member_that_is_not_as_long_as_its_header_says)
{
	size_t size;
	unsigned char *image = small_npz(false, &size);

	cr_assert_eq(patch(image, size, "(5, 3)", "(6, 3)", 6), 2);
	put_bytes("x.npz", image, size);
	check_refused("x.npz", &one, 1, TAMIS_E_INVALID, "needs 72 bytes");
	free(image);
}
