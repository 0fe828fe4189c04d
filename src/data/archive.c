/* SPDX-License-Identifier: Apache-2.0 */
#include "data/archive.h"

#include <string.h>
#include <unistd.h>

static enum tamis_status zip_failed(int code, struct tamis_error *err)
{
	zip_error_t e;

	if (code == ZIP_ER_MEMORY)
		return tm_no_memory(err, "opening a zip file");
	zip_error_init_with_code(&e, code);
	tm_fail(err, TAMIS_E_INVALID, "the zip file cannot be read: %s", zip_error_strerror(&e));
	zip_error_fini(&e);
	return TAMIS_E_INVALID;
}

/* The descriptor is opened here, so that FIFOs and devices are refused before libzip sees them. */
enum tamis_status archive_open(const char *path, zip_t **out, struct tamis_error *err)
{
	uint64_t size;
	int fd, code = 0;
	enum tamis_status status = open_regular(path, &fd, &size, err);

	*out = NULL;
	if (status != TAMIS_OK)
		return status;
	*out = zip_fdopen(fd, 0, &code); /* takes the descriptor if it succeeds */
	if (*out)
		return TAMIS_OK;
	close(fd);
	return zip_failed(code, err);
}

int64_t archive_entries(zip_t *zip)
{
	return zip_get_num_entries(zip, 0);
}

/* Raw bytes: names are compared with those of the graph, not with a code page's reading of them. */
const char *archive_name(zip_t *zip, int64_t i)
{
	const char *name = zip_get_name(zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);

	return name ? name : "?";
}

bool archive_is(zip_t *zip, int64_t i, const char *name)
{
	const char *entry = archive_name(zip, i);
	size_t len = strlen(name);

	return strncmp(entry, name, len) == 0 && (entry[len] == '\0' || strcmp(entry + len, ".npy") == 0);
}

enum tamis_status archive_find(zip_t *zip, const char *name, int64_t *index, struct tamis_error *err)
{
	*index = -1;
	for (int64_t i = 0; i < archive_entries(zip); i++) {
		if (!archive_is(zip, i, name))
			continue;
		if (*index >= 0)
			return tm_fail(err, TAMIS_E_INVALID, "the zip file has two members of this name");
		*index = i;
	}
	return TAMIS_OK;
}

enum tamis_status archive_bytes(zip_t *zip, int64_t i, struct bytes *out, struct tamis_error *err)
{
	zip_stat_t st;

	zip_stat_init(&st);
	if (zip_stat_index(zip, (zip_uint64_t)i, 0, &st) != 0 || !(st.valid & ZIP_STAT_SIZE))
		return tm_fail(err, TAMIS_E_INVALID, "the zip member cannot be read: %s", zip_strerror(zip));
	if ((st.valid & ZIP_STAT_ENCRYPTION_METHOD) && st.encryption_method != ZIP_EM_NONE)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "the zip member is encrypted, which is not supported");
	if ((st.valid & ZIP_STAT_COMP_METHOD) && st.comp_method != ZIP_CM_STORE &&
	    st.comp_method != ZIP_CM_DEFLATE)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "the zip member is compressed by method %d; stored and "
		               "deflated members are supported", st.comp_method);
	bytes_from_member(out, zip, (uint64_t)i, st.size,
	                  (st.valid & ZIP_STAT_COMP_METHOD) && st.comp_method == ZIP_CM_DEFLATE);
	return TAMIS_OK;
}
