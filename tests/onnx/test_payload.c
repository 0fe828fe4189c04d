/* SPDX-License-Identifier: Apache-2.0 */
/* Elements in the file <-> elements in memory, by identity over every type and place, and by bad input. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/edit.h"
#include "onnx/payload.h"
#include "util.h"

static const int64_t shapes[][3] = { { 1, 1, 1 }, { 2, 3, 1 }, { 3, 1, 7 }, { 0, 4, 2 }, { 5, 5, 5 },
                                     { 1, 257, 1 } };
#define SHAPES (sizeof shapes / sizeof *shapes)

/* A TensorProto in the tree of doc holding t in the wanted place. */
static Onnx__TensorProto *stored(struct document *doc, const struct tensor *t, enum payload_place place)
{
	Onnx__TensorProto *p;
	cr_assert_eq(payload_new(doc, "t", t, &p, NULL), TAMIS_OK);
	if (place == PAYLOAD_TYPED && t->type != DT_STRING) {
		/* A typed list to begin with; payload_write then keeps to typed lists. */
		edit_bytes(doc, &p->has_raw_data, &p->raw_data, NULL, 0, NULL);
		edit_list(doc, &p->n_int32_data, (void **)&p->int32_data, (int32_t[]){ 1 }, 1, 4, NULL);
		cr_assert_eq(payload_write(doc, p, t, NULL), TAMIS_OK);
	}
	return p;
}

static void same_after(struct document *doc, const Onnx__TensorProto *p, const struct tensor *t,
                       const char *what)
{
	struct tensor back;
	struct tamis_error err = { 0 };
	cr_assert_eq(payload_check(doc, p, &err), TAMIS_OK, "%s %s: %s", what, dtype_name((int)t->type),
	             err.message);
	cr_assert_eq(payload_read(doc, p, &back, &err), TAMIS_OK, "%s %s: %s", what, dtype_name((int)t->type),
	             err.message);
	cr_assert(same_tensor(t, &back), "%s %s", what, dtype_name((int)t->type));
	tensor_free(&back);
}

/* Through memory, then through the file. */
static void there_and_back(enum dtype type, const int64_t *dims, int rank, enum payload_place place,
                           uint64_t *seed)
{
	struct document *doc = small_document();
	struct tensor t = drawn_tensor(type, rank, dims, seed);
	Onnx__TensorProto *p = stored(doc, &t, place);
	enum payload_place found;
	same_after(doc, p, &t, "in memory");
	cr_assert_eq(payload_place(p, &found, NULL), TAMIS_OK);
	if (t.count)
		cr_assert_eq(found, type == DT_STRING ? PAYLOAD_TYPED : place);
	size_t before = doc_packed_bytes(doc), size;
	uint64_t measured = payload_dense_bytes(p, &t);
	cr_assert_eq(edit_add_initializer(doc, doc->model->graph, p, NULL), TAMIS_OK);
	uint8_t *data;
	cr_assert_eq(doc_pack(doc, &data, &size, NULL), TAMIS_OK);
	size_t entry = size - before; /* the graph's own length may take a byte more */
	cr_assert(entry >= measured && entry - measured <= 2, "%s: measured %zu, is %zu", dtype_name((int)type),
	          (size_t)measured, entry);
	struct document *again;
	cr_assert_eq(doc_load_memory(data, size, NULL, NULL, &again, NULL), TAMIS_OK);
	same_after(again, again->model->graph->initializer[1], &t, "from the file");
	doc_free(again);
	doc_free(doc);
	tensor_free(&t);
	free(data);
}

Test(payload, every_type_in_every_place)
{
	uint64_t seed = 0xfeed5;
	cr_log_info("seed %llx", (unsigned long long)seed);
	for (int type = 1; type < DT_COUNT; type++)
		for (size_t s = 0; s < SHAPES; s++)
			for (int rank = 0; rank <= 3; rank++)
				for (int place = PAYLOAD_RAW; place <= PAYLOAD_TYPED; place++)
					there_and_back((enum dtype)type, shapes[s], rank, (enum payload_place)place, &seed);
}

Test(payload, measured_bytes_are_exact)
{
	uint64_t seed = 77;
	struct document *doc = small_document();
	for (int type = 1; type < DT_COUNT; type++) {
		for (size_t s = 0; s < SHAPES; s++) {
			for (int place = PAYLOAD_RAW; place <= PAYLOAD_TYPED; place++) {
				struct tensor t = drawn_tensor((enum dtype)type, 3, shapes[s], &seed);
				Onnx__TensorProto *p = stored(doc, &t, (enum payload_place)place);
				Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
				g.n_initializer = 1;
				g.initializer = &p;
				cr_assert_eq(payload_dense_bytes(p, &t), onnx__graph_proto__get_packed_size(&g), "%s",
				             dtype_name(type));
				edit_free(doc, p);
				tensor_free(&t);
			}
		}
	}
	doc_free(doc);
}

Test(payload, special_values_keep_their_bits)
{
	static const uint32_t bits[] = { 0x80000000, 0x7f800000, 0xff800000, 0x7fc00001, 0xffc12345, 1, 0x807fffff,
	                                 0x7f7fffff };
	int64_t n = 8;
	struct document *doc = small_document();
	struct tensor t = { 0 };
	cr_assert_eq(tensor_shape(&t, DT_FLOAT, 1, &n, NULL), TAMIS_OK);
	t.data = (void *)bits;
	for (int place = PAYLOAD_RAW; place <= PAYLOAD_TYPED; place++) {
		Onnx__TensorProto *p = stored(doc, &t, (enum payload_place)place);
		same_after(doc, p, &t, "special");
		edit_free(doc, p);
	}
	doc_free(doc);
}

/* The format's own layout, not just our inverse: known fields against known elements. */
Test(payload, typed_lists_mean_what_the_format_says)
{
	struct tensor out;
	int64_t dims[] = { 3 };
	int32_t halves[] = { 0x3c00, 0xc000, 0x7c00 }, octets[] = { 0x21, 0x0f }, bytes[] = { -1, 0, 127 };
	uint64_t words[] = { 0xffffffff, 0, 5 };
	float parts[] = { 1, 2, 3, 4, 5, 6 };
	Onnx__TensorProto t = ONNX__TENSOR_PROTO__INIT;
	t.n_dims = 1;
	t.dims = dims;
	t.has_data_type = 1;

	t.data_type = DT_FLOAT16;
	t.n_int32_data = 3;
	t.int32_data = halves;
	cr_assert_eq(payload_read(NULL, &t, &out, NULL), TAMIS_OK);
	cr_assert_eq(tensor_get(&out, 0), 1.0);
	cr_assert_eq(tensor_get(&out, 1), -2.0);
	cr_assert(isinf(tensor_get(&out, 2)));
	tensor_free(&out);

	t.data_type = DT_INT4; /* three elements in two octets, the first in the low bits */
	t.n_int32_data = 2;
	t.int32_data = octets;
	cr_assert_eq(payload_read(NULL, &t, &out, NULL), TAMIS_OK);
	cr_assert_eq(tensor_get(&out, 0), 1.0);
	cr_assert_eq(tensor_get(&out, 1), 2.0);
	cr_assert_eq(tensor_get(&out, 2), -1.0);
	tensor_free(&out);

	t.data_type = DT_INT8;
	t.n_int32_data = 3;
	t.int32_data = bytes;
	cr_assert_eq(payload_read(NULL, &t, &out, NULL), TAMIS_OK);
	cr_assert_eq(tensor_get(&out, 0), -1.0);
	cr_assert_eq(tensor_get(&out, 2), 127.0);
	tensor_free(&out);
	t.n_int32_data = 0;

	t.data_type = DT_UINT32;
	t.n_uint64_data = 3;
	t.uint64_data = words;
	cr_assert_eq(payload_read(NULL, &t, &out, NULL), TAMIS_OK);
	cr_assert_eq(tensor_get(&out, 0), 4294967295.0);
	tensor_free(&out);
	t.n_uint64_data = 0;

	t.data_type = DT_COMPLEX64;
	t.n_float_data = 6;
	t.float_data = parts;
	cr_assert_eq(payload_read(NULL, &t, &out, NULL), TAMIS_OK);
	cr_assert_eq(((struct tm_complex64 *)out.data)[1].re, 3);
	cr_assert_eq(((struct tm_complex64 *)out.data)[2].im, 6);
	tensor_free(&out);
}

static void invalid(const Onnx__TensorProto *t, enum tamis_status status, const char *words)
{
	struct tensor out;
	struct tamis_error err = { 0 };
	cr_assert_eq(payload_read(NULL, t, &out, &err), status, "%s: %s", words, err.message);
	cr_assert(strstr(err.message, words), "'%s' is not in: %s", words, err.message);
	cr_assert_str_eq(err.tensor, "bad");
	cr_assert_null(out.data);
}

Test(payload, bad_tensors_are_refused_by_name)
{
	uint8_t raw[16] = { 0 };
	float floats[3] = { 0 };
	int32_t ints[3] = { 0, 300, 0 };
	uint64_t words[3] = { 1ull << 32, 0, 0 };
	int64_t dims[] = { 3 }, negative[] = { 2, -1 }, huge[] = { 1ll << 32, 1ll << 32 };
	int64_t none[] = { 0, INT64_MAX }, many[10000];
	Onnx__TensorProto good = ONNX__TENSOR_PROTO__INIT, t;
	good.name = (char *)"bad";
	good.n_dims = 1;
	good.dims = dims;
	good.has_data_type = 1;
	good.data_type = DT_FLOAT;

	invalid(&good, TAMIS_E_INVALID, "there are none");
	t = good;
	t.has_raw_data = 1;
	t.raw_data = (ProtobufCBinaryData){ 11, raw };
	invalid(&t, TAMIS_E_INVALID, "raw_data has 11 bytes, and 3 elements of float need 12");
	t.raw_data.len = 13;
	invalid(&t, TAMIS_E_INVALID, "raw_data has 13 bytes");
	t.raw_data.len = 12;
	t.n_float_data = 3;
	t.float_data = floats;
	invalid(&t, TAMIS_E_INVALID, "both float_data and raw_data");
	t.has_raw_data = 0;
	t.n_float_data = 2;
	invalid(&t, TAMIS_E_INVALID, "float_data has 2 entries");
	t.n_float_data = 3;
	t.data_type = DT_INT64;
	invalid(&t, TAMIS_E_INVALID, "float_data, which is not for them");
	t.data_type = 0;
	invalid(&t, TAMIS_E_INVALID, "data type 0");
	t.data_type = 999;
	invalid(&t, TAMIS_E_INVALID, "data type 999");
	t.data_type = -5;
	invalid(&t, TAMIS_E_INVALID, "data type -5");

	t = good;
	t.data_type = DT_UINT8;
	t.n_int32_data = 3;
	t.int32_data = ints;
	invalid(&t, TAMIS_E_INVALID, "int32_data[1] is 300");
	ints[1] = -1;
	invalid(&t, TAMIS_E_INVALID, "int32_data[1] is -1");
	t.data_type = DT_BOOL;
	invalid(&t, TAMIS_E_INVALID, "int32_data[1] is -1");
	t = good;
	t.data_type = DT_UINT32;
	t.n_uint64_data = 3;
	t.uint64_data = words;
	invalid(&t, TAMIS_E_INVALID, "uint64_data[0] is 4294967296");
	t = good;
	t.data_type = DT_STRING;
	t.has_raw_data = 1;
	t.raw_data = (ProtobufCBinaryData){ 0, raw };
	invalid(&t, TAMIS_E_INVALID, "strings stand in raw_data");

	t = good;
	t.has_raw_data = 1;
	t.n_dims = 2;
	t.dims = negative;
	invalid(&t, TAMIS_E_INVALID, "dimension 1 is -1");
	t.dims = huge;
	invalid(&t, TAMIS_E_INVALID, "more elements than any memory");
	for (size_t i = 0; i < 10000; i++)
		many[i] = 1;
	t.n_dims = 10000;
	t.dims = many;
	t.raw_data = (ProtobufCBinaryData){ 4, raw };
	invalid(&t, TAMIS_E_UNSUPPORTED, "rank 10000");
	many[5000] = 1ll << 62;
	invalid(&t, TAMIS_E_INVALID, "more elements");

	t.n_dims = 2;
	t.dims = none;
	t.raw_data = (ProtobufCBinaryData){ 0, NULL };
	struct tensor out;
	cr_assert_eq(payload_read(NULL, &t, &out, NULL), TAMIS_OK, "{0, 2^63-1} is an empty tensor");
	tensor_free(&out);

	Onnx__TensorProto__Segment segment = ONNX__TENSOR_PROTO__SEGMENT__INIT;
	t.segment = &segment;
	invalid(&t, TAMIS_E_UNSUPPORTED, "segment");
}

Test(payload, bools_are_normalised)
{
	uint8_t raw[] = { 0, 1, 2, 255 };
	int64_t n = 4;
	struct tensor out;
	Onnx__TensorProto t = ONNX__TENSOR_PROTO__INIT;
	t.n_dims = 1;
	t.dims = &n;
	t.has_data_type = 1;
	t.data_type = DT_BOOL;
	t.has_raw_data = 1;
	t.raw_data = (ProtobufCBinaryData){ 4, raw };
	cr_assert_eq(payload_read(NULL, &t, &out, NULL), TAMIS_OK);
	cr_assert_arr_eq(out.data, ((uint8_t[]){ 0, 1, 1, 1 }), 4);
	tensor_free(&out);
}

Test(payload, failed_writes_leave_the_tensor)
{
	uint64_t seed = 3;
	int64_t dims[] = { 4, 5 };
	for (int type = 1; type < DT_COUNT; type++) {
		struct document *doc = small_document();
		struct tensor old = drawn_tensor(DT_INT16, 2, dims, &seed), new =
			drawn_tensor((enum dtype)type, 2, dims, &seed);
		Onnx__TensorProto *p = stored(doc, &old, PAYLOAD_RAW);
		int tries = 0;
		enum tamis_status st;
		do {
			struct tamis_error err = { 0 };
			doc->memory.fail_at = doc->memory.calls + (uint64_t)++tries;
			st = payload_write(doc, p, &new, &err);
			if (st != TAMIS_OK) {
				cr_assert_eq(st, TAMIS_E_MEMORY);
				cr_assert_str_eq(err.tensor, "t");
				same_after(doc, p, &old, "after a failure");
			}
		} while (st != TAMIS_OK);
		cr_assert_geq(tries, 3);
		same_after(doc, p, &new, "after success");
		edit_free(doc, p);
		doc_free(doc);
		tensor_free(&old);
		tensor_free(&new);
	}
}
