/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds as Polygraphy's save_json writes them: a list of objects, input name -> {"array": base64 of a .npy
 * file, "polygraphy_class": "ndarray"} (older files mark the class otherwise; the mark is not needed). */
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/source.h"

static enum tamis_status parse(const uint8_t *text, size_t size, json_t **list, struct tamis_error *err)
{
	json_error_t e;

	*list = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, &e);
	if (!*list && json_error_code(&e) == json_error_out_of_memory)
		return tm_no_memory(err, "reading JSON");
	if (!*list)
		return tm_fail(err, TAMIS_E_INVALID, "the JSON text is invalid at line %d: %s", e.line, e.text);
	if (json_is_array(*list))
		return TAMIS_OK;
	json_decref(*list);
	*list = NULL;
	return tm_fail(err, TAMIS_E_INVALID, "a JSON list of feeds was expected, as Polygraphy saves its inputs");
}

enum tamis_status feeds_load(const char *path, uint64_t max_bytes, json_t **list, struct tamis_error *err)
{
	uint8_t *text;
	size_t size;
	enum tamis_status status = file_read(path, (size_t)max_bytes, &text, &size, err);

	*list = NULL;
	if (status == TAMIS_OK)
		status = parse(text, size, list, err);
	free(text);
	return status;
}

static enum tamis_status decode(const char *text, size_t len, struct bytes *out, struct tamis_error *err)
{
	struct base64_decode_ctx ctx;
	size_t size = BASE64_DECODE_LENGTH(len);
	uint8_t *memory = malloc(size ? size : 1);

	if (!memory)
		return tm_no_memory(err, "decoding a feed");
	base64_decode_init(&ctx);
	if (!base64_decode_update(&ctx, &size, memory, len, text) || !base64_decode_final(&ctx)) {
		free(memory);
		return tm_fail(err, TAMIS_E_INVALID, "the feed's array is not valid base64");
	}
	bytes_from_memory(out, memory, size);
	return TAMIS_OK;
}

enum tamis_status feed_bytes(json_t *feed, const char *name, struct bytes *out, struct tamis_error *err)
{
	json_t *value = json_object_get(feed, name), *array = json_object_get(value, "array");

	if (!json_is_object(feed))
		return tm_fail(err, TAMIS_E_INVALID, "each feed of the JSON list must be an object of inputs");
	if (!value)
		return tm_fail(err, TAMIS_E_INVALID, "the feed has no array for this input");
	if (!json_is_string(array))
		return tm_fail(err, TAMIS_E_INVALID, "the input must be an object with an \"array\" in base64, as "
		               "Polygraphy writes numpy arrays");
	return decode(json_string_value(array), json_string_length(array), out, err);
}
