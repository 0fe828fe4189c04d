/* SPDX-License-Identifier: Apache-2.0 */
/* The elements of a tensor in the file <-> struct tensor in memory, for every data type and every place the
 * format has for them. Sizes are checked before anything is allocated. Hosts are little-endian, as raw_data
 * is. */
#ifndef ONNX_PAYLOAD_H
#define ONNX_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/tensor.h"
#include "onnx/document.h"

/* Where a TensorProto keeps its elements. */
enum payload_place {
	PAYLOAD_NONE,    /* nowhere: right for zero elements only */
	PAYLOAD_RAW,     /* raw_data */
	PAYLOAD_TYPED,   /* float_data, int32_data, ... */
	PAYLOAD_EXTERNAL /* a file, or (after payload_write) raw_data on its way to one */
};

/* Parsed external_data entries. Strings belong to the TensorProto. */
struct payload_external {
	const char *location;
	uint64_t offset; /* bytes; 0 when not given */
	uint64_t length; /* bytes; meaningful only if has_length */
	bool has_length;
};

/* The place, O(1). TAMIS_E_INVALID when two places hold elements or the wrong typed list does. */
enum tamis_status payload_place(const Onnx__TensorProto *t, enum payload_place *place,
                                struct tamis_error *err);

/* Checks location (non-empty, relative, no "..", no control bytes), offset and length (plain decimal, no
 * sign, no blanks, below 2^63) and that no key comes twice. Opens nothing. */
enum tamis_status payload_external(const Onnx__TensorProto *t, struct payload_external *out,
                                   struct tamis_error *err);

/* Type and shape only; out->data = NULL. TAMIS_E_INVALID on an unknown type, a negative or overflowing shape;
 * TAMIS_E_UNSUPPORTED beyond TENSOR_MAX_RANK. O(rank). */
enum tamis_status payload_shape(const Onnx__TensorProto *t, struct tensor *out, struct tamis_error *err);

/* Everything that can be said of the payload without reading a file: place, counts, sizes, value ranges of
 * int32_data and uint64_data (TAMIS_E_INVALID where an entry does not fit the type). Any rank. No allocation.
 * doc may be NULL; it tells rewritten external tensors from hostile ones. O(rank + typed entries). */
enum tamis_status payload_check(const struct document *doc, const Onnx__TensorProto *t,
                                struct tamis_error *err);

/* Decodes into a fresh array (out->data is the caller's: tensor_free). Strings point into the TensorProto,
 * which must live as long. Bools become 0 or 1. doc says where external data lies and how much memory one
 * tensor may take; NULL refuses external data. TAMIS_E_INVALID with the tensor named: sizes that do not match
 * exactly, two payloads, a file that may not be read or is too short. O(bytes). */
enum tamis_status payload_read(const struct document *doc, const Onnx__TensorProto *t, struct tensor *out,
                               struct tamis_error *err);

/* The same, but elements that t holds as they are used (raw_data of whole values at a multiple of 64 bytes) stay there:
 * *borrowed says so, and out->data is then t's, not to be freed or written, as long as t is not rewritten or freed. NULL:
 * nothing is borrowed. */
enum tamis_status payload_view(const struct document *doc, const Onnx__TensorProto *t, struct tensor *out, bool *borrowed,
                               struct tamis_error *err);

/* Replaces type, dims and elements of t, which belongs to doc, by those of src (copied). Name, doc string,
 * metadata and unknown fields stay. The place stays: raw stays raw, typed stays typed (in the list of src's
 * type), external becomes raw_data marked EXTERNAL without entries, which doc_save moves to a file and
 * payload_read reads; none becomes raw unless src has no elements. Strings are typed always. On failure
 * (TAMIS_E_MEMORY) t is as before. O(bytes). */
enum tamis_status payload_write(struct document *doc, Onnx__TensorProto *t, const struct tensor *src,
                                struct tamis_error *err);

/* A new TensorProto in doc's memory with raw_data (string_data for strings), not yet in the tree; see
 * edit_free. */
enum tamis_status payload_new(struct document *doc, const char *name, const struct tensor *src,
                              Onnx__TensorProto **out, struct tamis_error *err);

/* --- sparse tensors ------------------------------------------------------------------------------------- */

/* The rules of a SparseTensorProto: values one-dimensional, indices int64 of shape [n] or [n, rank], strictly
 * ascending, inside dims. Decodes the indices in place, allocates nothing unless they are external (then they
 * are read: doc as in payload_read). O(n * rank). */
enum tamis_status sparse_check(const struct document *doc, const Onnx__SparseTensorProto *s,
                               struct tamis_error *err);

/* Decodes to a dense tensor, zeros where nothing is stored. TAMIS_E_MEMORY when the dense form exceeds
 * doc->max_memory (a tiny file can claim a huge shape). Ownership as payload_read. */
enum tamis_status sparse_read(const struct document *doc, const Onnx__SparseTensorProto *s,
                              struct tensor *out, struct tamis_error *err);

/* A new SparseTensorProto in doc's memory, not yet in the tree, holding the elements of src whose bits are
 * not all zero (-0.0 is stored). Indices are linear, int64_data (varints in the file). The values take name,
 * doc string and metadata from `like` (may be NULL) and are typed if like is typed, else raw. Fixed-size
 * types of whole bytes only: TAMIS_E_UNSUPPORTED for strings and sub-byte types. O(count). */
enum tamis_status sparse_new(struct document *doc, const Onnx__TensorProto *like, const struct tensor *src,
                             Onnx__SparseTensorProto **out, struct tamis_error *err);

/* Replaces the contents of s (which belongs to doc) by those of src, keeping name, metadata and unknown
 * fields. */
enum tamis_status sparse_write(struct document *doc, Onnx__SparseTensorProto *s, const struct tensor *src,
                               struct tamis_error *err);

/* Bytes in the file of one initializer / sparse_initializer entry (tag and length included) that held src in
 * the place `like` uses (NULL: raw, no name); exactly what packing would give; external data counts as if it
 * were raw. Unsupported for sparse: UINT64_MAX. No allocation. O(count). */
uint64_t payload_dense_bytes(const Onnx__TensorProto *like, const struct tensor *src);
uint64_t payload_sparse_bytes(const Onnx__TensorProto *like, const struct tensor *src);

#endif
