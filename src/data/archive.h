/* SPDX-License-Identifier: Apache-2.0 */
/* Reading .npz files: a zip of .npy members. */
#ifndef DATA_ARCHIVE_H
#define DATA_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <zip.h>

#include "base/error.h"
#include "data/bytes.h"

/* Opens a zip and reads its directory. TAMIS_E_INVALID where it has none (truncated). Closed by
 * zip_discard. */
enum tamis_status archive_open(const char *path, zip_t **out, struct tamis_error *err);

/* Entries, among them directories and members of other names. */
int64_t archive_entries(zip_t *zip);

/* Does entry i hold the array NAME, that is, is it called NAME.npy or NAME? */
bool archive_is(zip_t *zip, int64_t i, const char *name);
const char *archive_name(zip_t *zip, int64_t i); /* "?" where libzip cannot tell; as long as the zip */

/* The index of the array NAME, -1 when there is none. TAMIS_E_INVALID when there are two. O(entries). */
enum tamis_status archive_find(zip_t *zip, const char *name, int64_t *index, struct tamis_error *err);

/* Entry i as bytes of the length its directory entry claims. TAMIS_E_UNSUPPORTED when it is encrypted or
 * compressed by a method numpy does not use. */
enum tamis_status archive_bytes(zip_t *zip, int64_t i, struct bytes *out, struct tamis_error *err);

#endif
