/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse tensors: dense -> sparse -> dense by identity, measured bytes against packed bytes, and hostile
 * indices. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/check.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "util.h"

/* About `percent` of the elements kept, the others zero. */
static struct tensor thinned(enum dtype type, int rank, const int64_t *dims, unsigned percent, uint64_t *seed)
{
	struct tensor t = drawn_tensor(type, rank, dims, seed);
	size_t size = (size_t)dtype_bits((int)type) / 8;
	for (int64_t i = 0; i < t.count; i++)
		if (draw(seed) % 100 >= percent)
			memset((uint8_t *)t.data + (size_t)i * size, 0, size);
	return t;
}

static void there_and_back(enum dtype type, int rank, const int64_t *dims, unsigned percent, bool typed,
                           uint64_t *seed)
{
	struct document *doc = small_document();
	struct tamis_error err = { 0 };
	struct tensor t = thinned(type, rank, dims, percent, seed), back;
	Onnx__TensorProto like = ONNX__TENSOR_PROTO__INIT;
	Onnx__SparseTensorProto *s;
	int32_t one = 1;
	like.name = (char *)"w";
	like.doc_string = (char *)"kept";
	like.n_int32_data = typed;
	like.int32_data = &one;
	cr_assert_eq(sparse_new(doc, &like, &t, &s, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(sparse_check(doc, s, &err), TAMIS_OK, "%s: %s", dtype_name((int)type), err.message);
	cr_assert_eq(sparse_read(doc, s, &back, &err), TAMIS_OK, "%s: %s", dtype_name((int)type), err.message);
	cr_assert(same_tensor(&t, &back));
	cr_assert_str_eq(s->values->name, "w");
	cr_assert_str_eq(s->values->doc_string, "kept");
	Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
	g.n_sparse_initializer = 1;
	g.sparse_initializer = &s;
	cr_assert_eq(payload_sparse_bytes(&like, &t), onnx__graph_proto__get_packed_size(&g), "%s of rank %d",
	             dtype_name((int)type), rank);
	edit_free(doc, s);
	tensor_free(&back);
	tensor_free(&t);
	doc_free(doc);
}

Test(sparse, every_type_density_and_place)
{
	static const int64_t shapes[][3] = { { 4, 5, 6 }, { 1, 300, 1 }, { 0, 3, 3 }, { 1, 1, 1 } };
	uint64_t seed = 0xabcd;
	cr_log_info("seed %llx", (unsigned long long)seed);
	for (int type = 1; type < DT_COUNT; type++)
		for (size_t s = 0; s < 4 && dtype_bits(type) >= 8; s++)
			for (int rank = 0; rank <= 3; rank++)
				for (unsigned percent = 0; percent <= 100; percent += 25)
					for (int typed = 0; typed < 2; typed++)
						there_and_back((enum dtype)type, rank, shapes[s], percent, typed, &seed);
}

Test(sparse, negative_zero_is_stored)
{
	float w[] = { 0.0f, -0.0f, 1.0f };
	int64_t n = 3;
	struct document *doc = small_document();
	struct tensor t = { 0 };
	Onnx__SparseTensorProto *s;
	cr_assert_eq(tensor_shape(&t, DT_FLOAT, 1, &n, NULL), TAMIS_OK);
	t.data = w;
	cr_assert_eq(sparse_new(doc, NULL, &t, &s, NULL), TAMIS_OK);
	cr_assert_eq(s->values->dims[0], 2);
	edit_free(doc, s);
	doc_free(doc);
}

Test(sparse, rewriting_keeps_name_and_place)
{
	uint64_t seed = 9;
	int64_t dims[] = { 7, 9 };
	struct document *doc = small_document();
	struct tensor a = thinned(DT_FLOAT, 2, dims, 50, &seed), b = thinned(DT_FLOAT, 2, dims, 20, &seed), back;
	Onnx__TensorProto like = ONNX__TENSOR_PROTO__INIT;
	Onnx__SparseTensorProto *s;
	like.name = (char *)"v";
	cr_assert_eq(sparse_new(doc, &like, &a, &s, NULL), TAMIS_OK);
	cr_assert_eq(sparse_write(doc, s, &b, NULL), TAMIS_OK);
	cr_assert_str_eq(s->values->name, "v");
	cr_assert_eq(sparse_read(doc, s, &back, NULL), TAMIS_OK);
	cr_assert(same_tensor(&b, &back));
	cr_assert_eq(edit_add_sparse_initializer(doc, doc->model->graph, s, NULL), TAMIS_OK);
	cr_assert_eq(check_or_fail(doc, NULL), TAMIS_OK);
	doc_free(doc);
	tensor_free(&a);
	tensor_free(&b);
	tensor_free(&back);
}

Test(sparse, types_that_cannot_be_sparse)
{
	uint64_t seed = 4;
	int64_t n = 8;
	struct document *doc = small_document();
	static const enum dtype types[] = { DT_STRING, DT_INT4, DT_UINT2, DT_FLOAT4E2M1 };
	for (size_t i = 0; i < 4; i++) {
		struct tensor t = drawn_tensor(types[i], 1, &n, &seed);
		Onnx__SparseTensorProto *s;
		cr_assert_eq(sparse_new(doc, NULL, &t, &s, NULL), TAMIS_E_UNSUPPORTED);
		cr_assert_eq(payload_sparse_bytes(NULL, &t), UINT64_MAX);
		tensor_free(&t);
	}
	doc_free(doc);
}

/* Three floats in a 3 x 4 tensor; what each test spoils. */
struct spoiled {
	Onnx__SparseTensorProto s;
	Onnx__TensorProto values, indices;
	float v[3];
	int64_t n, i[6], index_dims[2], dims[2];
};

static void fresh(struct spoiled *p)
{
	*p = (struct spoiled){ .s = ONNX__SPARSE_TENSOR_PROTO__INIT, .values = ONNX__TENSOR_PROTO__INIT,
		               .indices = ONNX__TENSOR_PROTO__INIT, .v = { 1, 2, 3 }, .n = 3, .i = { 1, 5, 11 },
		               .index_dims = { 3, 2 }, .dims = { 3, 4 } };
	p->s.values = &p->values;
	p->s.indices = &p->indices;
	p->s.n_dims = 2;
	p->s.dims = p->dims;
	p->values.name = (char *)"w";
	p->values.n_dims = 1;
	p->values.dims = &p->n;
	p->values.has_data_type = 1;
	p->values.data_type = DT_FLOAT;
	p->values.n_float_data = 3;
	p->values.float_data = p->v;
	p->indices.n_dims = 1;
	p->indices.dims = p->index_dims;
	p->indices.has_data_type = 1;
	p->indices.data_type = DT_INT64;
	p->indices.n_int64_data = 3;
	p->indices.int64_data = p->i;
}

static void refused(struct spoiled *p, const char *words)
{
	struct tamis_error err = { 0 };
	struct tensor out;
	cr_assert_eq(sparse_check(NULL, &p->s, &err), TAMIS_E_INVALID, "%s", words);
	cr_assert(strstr(err.message, words), "'%s' is not in: %s", words, err.message);
	cr_assert_eq(sparse_read(NULL, &p->s, &out, NULL), TAMIS_E_INVALID);
	cr_assert_null(out.data);
}

Test(sparse, bad_indices_are_refused)
{
	struct spoiled p;
	struct tensor out;
	fresh(&p);
	cr_assert_eq(sparse_read(NULL, &p.s, &out, NULL), TAMIS_OK);
	cr_assert_eq(tensor_get(&out, 11), 3.0);
	tensor_free(&out);
	p.i[1] = 0;
	refused(&p, "is below the one before");
	p.i[1] = 1;
	refused(&p, "repeats the one before");
	p.i[1] = -1;
	refused(&p, "outside its shape");
	fresh(&p);
	p.i[2] = 12;
	refused(&p, "outside its shape");
	p.i[2] = INT64_MAX;
	refused(&p, "outside its shape");
	fresh(&p);
	p.index_dims[0] = 2;
	p.indices.n_int64_data = 2;
	refused(&p, "3 values and 2 indices");
	fresh(&p);
	p.indices.data_type = DT_INT32;
	p.indices.n_int64_data = 0;
	p.indices.n_int32_data = 3;
	p.indices.int32_data = (int32_t[]){ 1, 5, 11 };
	refused(&p, "are int32; int64 was expected");
	fresh(&p);
	p.s.indices = NULL;
	refused(&p, "no indices");
	fresh(&p);
	p.s.values = NULL;
	refused(&p, "no values");
	fresh(&p);
	p.dims[0] = -3;
	refused(&p, "is negative");
	fresh(&p);
	p.dims[0] = 1ll << 40;
	p.dims[1] = 1ll << 40;
	refused(&p, "more elements than any");
	fresh(&p);
	p.dims[1] = 0;
	refused(&p, "outside its shape of 0 elements");
}

Test(sparse, coordinates_are_read_too)
{
	static const int64_t pairs[] = { 0, 1, 1, 1, 2, 3 };
	struct spoiled p;
	struct tensor linear, pairwise;
	fresh(&p);
	cr_assert_eq(sparse_read(NULL, &p.s, &linear, NULL), TAMIS_OK);
	memcpy(p.i, pairs, sizeof pairs);
	p.indices.n_dims = 2;
	p.indices.n_int64_data = 6;
	cr_assert_eq(sparse_read(NULL, &p.s, &pairwise, NULL), TAMIS_OK);
	cr_assert(same_tensor(&linear, &pairwise));
	tensor_free(&linear);
	tensor_free(&pairwise);
	p.i[5] = 4;
	refused(&p, "outside its shape");
	memcpy(p.i, (int64_t[]){ 0, 1, 0, 1, 2, 3 }, sizeof pairs);
	refused(&p, "repeats");
	p.index_dims[1] = 3;
	refused(&p, "9 "); /* nine entries were needed */
}

Test(sparse, a_tiny_file_cannot_claim_a_huge_tensor)
{
	struct spoiled p;
	struct tensor out;
	struct document *doc = small_document();
	struct tamis_error err = { 0 };
	fresh(&p);
	p.dims[0] = 1ll << 20;
	p.dims[1] = 1ll << 20;
	cr_assert_eq(sparse_check(doc, &p.s, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(sparse_read(doc, &p.s, &out, &err), TAMIS_E_MEMORY);
	cr_assert_null(out.data);
	doc_free(doc);
}
