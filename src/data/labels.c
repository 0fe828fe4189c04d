/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/archive.h"
#include "data/column.h"

#define MAX_LABEL_BYTES (1ULL << 32)

static const struct data_input any_array = {.name = "labels", .type = DT_UNDEFINED, .rank = -1};

static enum tamis_status single_member(zip_t *zip, struct bytes *out, struct tamis_error *err)
{
	if (archive_entries(zip) == 1)
		return archive_bytes(zip, 0, out, err);
	return tm_fail(err, TAMIS_E_INVALID, "labels in a .npz must be its single member, and it has %lld",
	               (long long)archive_entries(zip));
}

static enum tamis_status label_bytes(const char *path, zip_t **zip, struct bytes *out,
                                     struct tamis_error *err)
{
	char start[4] = "";
	enum tamis_status status = bytes_from_file(out, path, err);

	*zip = NULL;
	if (status == TAMIS_OK && out->size >= sizeof start)
		status = bytes_read(out, start, sizeof start, err);
	if (status != TAMIS_OK)
		return status;
	if (memcmp(start, "PK\3\4", 4) != 0)
		return bytes_seek(out, 0, err);
	bytes_close(out);
	status = archive_open(path, zip, err);
	return status == TAMIS_OK ? single_member(*zip, out, err) : status;
}

static enum tamis_status check_labels(const struct column *c, struct tamis_error *err)
{
	char came[160];

	if ((dtype_is_integer((int)c->item.type) || c->item.type == DT_BOOL) && c->npy.shape.rank > 0 &&
	    c->item.count == 1 && c->item.rank <= 1 && npy_payload_bytes(&c->npy) <= MAX_LABEL_BYTES)
		return TAMIS_OK;
	return tm_fail(err, TAMIS_E_INVALID, "labels must be integers of shape [items] or [items,1], and %s came",
	               npy_describe(&c->npy, came, sizeof came));
}

static enum tamis_status read_labels(struct column *c, int64_t **labels, struct tamis_error *err)
{
	struct tensor raw = c->npy.shape;
	enum tamis_status status = tensor_alloc(&raw, err);

	*labels = malloc((size_t)raw.count * sizeof **labels + 1);
	if (status == TAMIS_OK && !*labels)
		status = tm_no_memory(err, "reading labels");
	if (status == TAMIS_OK)
		status = column_read(c, c->items, raw.data, err);
	for (int64_t i = 0; status == TAMIS_OK && i < raw.count; i++) {
		(*labels)[i] = tensor_get_int(&raw, i);
		if (raw.type == DT_UINT64 && (*labels)[i] < 0)
			status = tm_fail(err, TAMIS_E_INVALID, "label %lld is beyond 2^63", (long long)i);
	}
	tensor_free(&raw);
	if (status != TAMIS_OK) {
		free(*labels);
		*labels = NULL;
	}
	return status;
}

enum tamis_status data_labels(const char *path, int64_t **labels, int64_t *n, struct tamis_error *err)
{
	struct bytes bytes;
	struct column c = {0};
	zip_t *zip;
	enum tamis_status status = label_bytes(path, &zip, &bytes, err);

	*labels = NULL;
	*n = 0;
	if (status == TAMIS_OK)
		status = column_open(&c, &bytes, &any_array, MAX_LABEL_BYTES, err);
	if (status == TAMIS_OK)
		status = check_labels(&c, err);
	if (status == TAMIS_OK)
		status = read_labels(&c, labels, err);
	if (status == TAMIS_OK)
		*n = c.items;
	column_close(&c);
	bytes_close(&bytes);
	if (zip)
		zip_discard(zip);
	if (status != TAMIS_OK)
		tm_in_file(err, path);
	return status;
}
