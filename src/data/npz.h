/* SPDX-License-Identifier: Apache-2.0 */
/* Writing .npz files: a zip of .npy members. Written in one pass without seeking, so that standard output
 * works, with a fixed time stamp, so that the same arrays give the same bytes. (Reading: archive.h.) */
#ifndef DATA_NPZ_H
#define DATA_NPZ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/tensor.h"

struct npz_writer; /* opaque */

/* Starts a file, replaced atomically by npz_close ("-" = standard output). deflate: compress the members. */
enum tamis_status npz_open(const char *path, bool deflate, struct npz_writer **out, struct tamis_error *err);

/* Writes a whole member NAME.npy at once. Types numpy has no name for are widened without loss: bfloat16 and
 * 8-bit floats to float, 2 and 4 bit integers to 8 bits. Strings are TAMIS_E_UNSUPPORTED. */
enum tamis_status npz_put(struct npz_writer *w, const char *name, const struct tensor *t,
                          struct tamis_error *err);

/* Appends rows to member NAME.npy along axis 0; the first call opens it. Type and the shape after axis 0 must
 * stay (TAMIS_E_INVALID). Any number of members may grow at a time: rows wait in an unnamed temporary file
 * beside the output (in TMPDIR for standard output) until npz_close, so memory stays bounded. Scalars are
 * TAMIS_E_INVALID. */
enum tamis_status npz_append(struct npz_writer *w, const char *name, const struct tensor *rows,
                             struct tamis_error *err);

/* Writes the grown members in the order of their first append, then the directory, and puts the file in
 * place. Two members of one name are TAMIS_E_INVALID, and the old file stays. Releases the writer whatever
 * comes of it. O(bytes + n log n). */
enum tamis_status npz_close(struct npz_writer *w, struct tamis_error *err);

/* Gives up: the old file stays, nothing is left behind. NULL is fine. */
void npz_abort(struct npz_writer *w);

#endif
