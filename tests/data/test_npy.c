/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/rng.h"
#include "data/npy.h"
#include "make.h"

/* A copy in a block of its own, so that a sanitizer sees a read past the end. */
static enum tamis_status parse(const void *image, size_t size, struct npy *h)
{
	uint8_t *copy = malloc(size ? size : 1);
	size_t bytes;
	enum tamis_status status;

	memcpy(copy, image, size);
	status = npy_header_bytes(copy, size, &bytes, NULL);
	if (status == TAMIS_OK)
		status = npy_parse(copy, size, h, NULL);
	free(copy);
	return status;
}

static enum tamis_status parse_dictionary(const char *dictionary, struct npy *h)
{
	size_t size;
	unsigned char *image = npy_image(dictionary, NULL, 0, &size);
	enum tamis_status status = parse(image, size, h);

	free(image);
	return status;
}

Test(npy, dictionaries_in_every_accepted_spelling)
{
	static const struct {
		const char *text;
		enum dtype type;
		int rank;
		int64_t first, count;
		bool swap, fortran;
	} cases[] = {
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }        \n", DT_FLOAT, 2, 3, 12, false, false},
		{"{'shape': (), 'fortran_order': True, 'descr': '|u1'}", DT_UINT8, 0, 0, 1, false, true},
		{"{\"descr\":\">f8\",\"fortran_order\":False,\"shape\":(5,)}", DT_DOUBLE, 1, 5, 5, true, false},
		{" { 'descr' : '<i8' , 'fortran_order' : True , 'shape' : ( 2 , 3 , 4 , ) , } ", DT_INT64, 3, 2, 24, false, true},
		{"{'descr': '=i2', 'fortran_order': False, 'shape': (0, 9223372036854775807)}", DT_INT16, 2, 0, 0, false, false},
		{"{'descr': '|b1', 'fortran_order': False, 'shape': (7L,)}", DT_BOOL, 1, 7, 7, false, false},
		{"{'descr': '?', 'fortran_order': False, 'shape': (7,)}", DT_BOOL, 1, 7, 7, false, false},
		{"{'descr': '>u1', 'fortran_order': False, 'shape': (7,)}", DT_UINT8, 1, 7, 7, false, false},
		{"{'descr': '<c16', 'fortran_order': False, 'shape': (2,)}", DT_COMPLEX128, 1, 2, 2, false, false},
		{"{'descr': '<f2', 'fortran_order': False, 'shape': (1,2,3,4,5,6,7,1,1,1,1,1,1,1,1,1)}", DT_FLOAT16, 16, 1, 5040,
		 false, false},
		{"{'descr': '|V2', 'fortran_order': False, 'shape': (4,)}", DT_UNDEFINED, 1, 4, 4, false, false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct npy h;

		cr_assert_eq(parse_dictionary(cases[i].text, &h), TAMIS_OK, "%s", cases[i].text);
		cr_assert_eq(h.shape.type, cases[i].type, "case %zu", i);
		cr_assert_eq(h.shape.rank, cases[i].rank, "case %zu", i);
		cr_assert(h.shape.rank == 0 || h.shape.dims[0] == cases[i].first, "case %zu", i);
		cr_assert_eq(h.shape.count, cases[i].count, "case %zu", i);
		cr_assert_eq(h.swap, cases[i].swap, "case %zu", i);
		cr_assert_eq(h.fortran, cases[i].fortran, "case %zu", i);
		cr_assert_eq(h.header_bytes, 10 + strlen(cases[i].text));
	}
}

#define GOOD "'fortran_order': False, 'shape': (3,)"

/* Code, wrong grammar, wrong keys, sizes that overflow: each is refused, none is evaluated. */
Test(npy, hostile_dictionaries_are_refused)
{
	static const struct { const char *text; enum tamis_status want; } cases[] = {
		{"", TAMIS_E_INVALID},
		{"{}", TAMIS_E_INVALID},
		{"__import__('os').system('touch /tmp/x')", TAMIS_E_INVALID},
		{"{'descr': __import__('os').system('x'), " GOOD "}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1+2,)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} or 1", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (3)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': [3]}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (3.0,)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (3 4)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (3,,4)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}", TAMIS_E_INVALID},
		{"{'descr': '|V2', 'fortran_order': False, 'shape': (4611686018427387904,)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'extra': 1}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'descr': '<f4', " GOOD "}", TAMIS_E_INVALID},
		{"{'descr': '<f4', 'fortran_order': False}", TAMIS_E_INVALID},
		{"{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}", TAMIS_E_INVALID},
		{"{'descr': '<f4', " GOOD, TAMIS_E_INVALID},
		{"{'descr': '<f4, " GOOD "}", TAMIS_E_INVALID},
		{"{'descr': '<\\x66\\x34', " GOOD "}", TAMIS_E_INVALID},
		{"{'descr': '|O', " GOOD "}", TAMIS_E_UNSUPPORTED},
		{"{'descr': '<U10', " GOOD "}", TAMIS_E_UNSUPPORTED},
		{"{'descr': '|S10', " GOOD "}", TAMIS_E_UNSUPPORTED},
		{"{'descr': '<f16', " GOOD "}", TAMIS_E_UNSUPPORTED},
		{"{'descr': '<M8[ns]', " GOOD "}", TAMIS_E_UNSUPPORTED},
		{"{'descr': '', " GOOD "}", TAMIS_E_UNSUPPORTED},
		{"{'descr': '|V8', " GOOD "}", TAMIS_E_UNSUPPORTED},
		{"{'descr': [('a', '<f4'), ('b', '<i4')], " GOOD "}", TAMIS_E_UNSUPPORTED},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}", TAMIS_E_UNSUPPORTED},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct npy h;

		cr_assert_eq(parse_dictionary(cases[i].text, &h), cases[i].want, "%s", cases[i].text);
	}
}

Test(npy, preambles)
{
	static const char text[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n";
	uint8_t image[128] = "\x93NUMPY\2\0";
	struct npy h;
	size_t n = sizeof text - 1, bytes;

	image[8] = (uint8_t)n;
	memcpy(image + 12, text, n);
	for (uint8_t version = 2; version <= 3; version++) {
		image[6] = version;
		cr_assert_eq(parse(image, 12 + n, &h), TAMIS_OK);
		cr_assert_eq(h.header_bytes, 12 + n);
	}
	image[6] = 4;
	cr_assert_eq(parse(image, 12 + n, &h), TAMIS_E_INVALID);
	image[6] = 0;
	cr_assert_eq(parse(image, 12 + n, &h), TAMIS_E_INVALID);
	image[6] = 2;
	image[11] = 0xff; /* a header of 4 GB */
	cr_assert_eq(npy_header_bytes(image, 12, &bytes, NULL), TAMIS_E_INVALID);
	image[0] = 'P';
	cr_assert_eq(parse(image, 12 + n, &h), TAMIS_E_INVALID);
}

Test(npy, every_truncation_and_every_single_wrong_byte_is_survived)
{
	static const char text[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 14), }\n";
	size_t size;
	unsigned char *image = npy_image(text, NULL, 0, &size);
	struct rng r = rng_make(1, 1);
	struct npy h;

	for (size_t n = 0; n < size; n++)
		cr_assert_eq(parse(image, n, &h), TAMIS_E_INVALID, "%zu bytes", n);
	for (size_t i = 0; i < size; i++)
		for (int k = 0; k < 64; k++) {
			unsigned char was = image[i];

			image[i] = (unsigned char)rng_next(&r);
			parse(image, size, &h); /* any outcome, but no crash */
			image[i] = was;
		}
	free(image);
}

Test(npy, what_is_written_is_parsed_again)
{
	struct rng r = rng_make(2, 2);

	for (int round = 0; round < 2000; round++) {
		struct tensor t = {0};
		int64_t dims[TENSOR_MAX_RANK];
		int rank = (int)rng_below(&r, TENSOR_MAX_RANK + 1), type = 1 + (int)rng_below(&r, DT_COUNT - 1);
		uint8_t buf[512];
		size_t bytes;
		struct npy h;

		for (int i = 0; i < rank; i++)
			dims[i] = (int64_t)rng_below(&r, 5) == 0 ? (int64_t)rng_below(&r, 1ULL << 40) : (int64_t)rng_below(&r, 4);
		if (tensor_shape(&t, (enum dtype)type, rank, dims, NULL) != TAMIS_OK)
			continue;
		npy_format(&t, buf, sizeof buf, &bytes);
		if (dtype_descr(type)[0] == '\0') {
			cr_assert_eq(bytes, 0);
			continue;
		}
		cr_assert(bytes >= 64 && bytes % 64 == 0 && buf[bytes - 1] == '\n');
		cr_assert_eq(parse(buf, bytes, &h), TAMIS_OK);
		cr_assert(h.shape.type == t.type && tensor_same_shape(&h.shape, &t) && !h.swap && !h.fortran);
		cr_assert_eq(npy_payload_bytes(&h), tensor_bytes(&t));
		npy_format(&t, buf, 64, &bytes);
		cr_assert(bytes == 0 || bytes == 64);
	}
}

Test(npy, swap_reverses_each_element)
{
	uint8_t x[] = {1, 2, 3, 4, 5, 6, 7, 8};

	npy_swap(x, 4, 2);
	cr_assert_eq(memcmp(x, "\2\1\4\3\6\5\10\7", 8), 0);
	npy_swap(x, 1, 8);
	cr_assert_eq(memcmp(x, "\7\10\5\6\3\4\1\2", 8), 0);
	npy_swap(x, 8, 1);
	cr_assert_eq(memcmp(x, "\7\10\5\6\3\4\1\2", 8), 0);
}
