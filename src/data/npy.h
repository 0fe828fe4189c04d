/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a NumPy array file (.npy, format 1.0, 2.0 and 3.0), read by a strict grammar and written in
 * 1.0. */
#ifndef DATA_NPY_H
#define DATA_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/tensor.h"

#define NPY_PREAMBLE 12          /* bytes that suffice to learn the length of any header */
#define NPY_MAX_HEADER (1 << 20) /* bytes; numpy itself refuses far shorter ones */

struct npy {
	struct tensor shape;   /* no data; type DT_UNDEFINED where only the size is known ("|V2") */
	int item_bytes;        /* of one element */
	bool swap;             /* big-endian elements of more than one byte */
	bool fortran;          /* first axis varies fastest */
	size_t header_bytes;   /* offset of the elements */
};

/* Length in bytes of the whole header (preamble included) from the first NPY_PREAMBLE bytes of a file (fewer
 * when the file is shorter). TAMIS_E_INVALID on a wrong magic or version, or beyond NPY_MAX_HEADER. */
enum tamis_status npy_header_bytes(const uint8_t *data, size_t size, size_t *bytes, struct tamis_error *err);

/* Parses a header of `size` bytes, as npy_header_bytes gave it. Nothing is ever evaluated: the dictionary
 * must have exactly the keys descr, fortran_order and shape, each once. TAMIS_E_INVALID where it has not, or
 * the size of the array overflows; TAMIS_E_UNSUPPORTED for object, string and structured arrays and ranks
 * above TENSOR_MAX_RANK. */
enum tamis_status npy_parse(const uint8_t *data, size_t size, struct npy *out, struct tamis_error *err);

/* Bytes of the elements. */
uint64_t npy_payload_bytes(const struct npy *h);

/* Type and shape as a person reads them: "float[3,4]", "2-byte void[8]"; returns buf. 128 bytes hold any
 * usual one. */
char *npy_describe(const struct npy *h, char *buf, size_t size);

/* Writes a header for a little-endian C-order array of this type and shape, padded with spaces to a multiple
 * of 64 bytes. *bytes is its length; 0 when it does not fit `size` (512 always suffice). The type must have a
 * numpy name. */
void npy_format(const struct tensor *t, uint8_t *buf, size_t size, size_t *bytes);

/* Reverses the bytes of each of n elements of `width` bytes in place (complex: width of one component, n
 * doubled). */
void npy_swap(void *data, size_t n, int width);

#endif
