/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/provenance.h"

#include <string.h>

#include "onnx/edit.h"

#define KEY_VERSION "tamis.version"
#define KEY_OPTIONS "tamis.options"
#define KEY_SOURCE "tamis.source_sha256"
#define KEY_CALIBRATION "tamis.calibration_sha256"
#define KEY_GATE "tamis.gate"

static enum tamis_status set(struct document *doc, const char *key, const char *value,
                             struct tamis_error *err)
{
	edit_remove_metadata(doc, key);
	return value ? edit_set_metadata(doc, key, value, err) : TAMIS_OK;
}

enum tamis_status provenance_write(struct document *doc, const struct provenance *p, struct tamis_error *err)
{
	const char *const entries[][2] = { { KEY_VERSION, p->version }, { KEY_OPTIONS, p->options },
		{ KEY_SOURCE, p->source_sha256 }, { KEY_CALIBRATION, p->calibration_sha256 }, { KEY_GATE, p->gate } };
	enum tamis_status s = TAMIS_OK;

	for (size_t i = 0; s == TAMIS_OK && i < sizeof entries / sizeof *entries; i++)
		s = set(doc, entries[i][0], entries[i][1], err);
	return s;
}

static bool is_sha256(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* Numbers joined by points, "0.1.0". */
static bool is_version(const char *s)
{
	size_t n = strlen(s);

	return n && strspn(s, "0123456789.") == n && s[0] != '.' && s[n - 1] != '.' && strchr(s, '.');
}

static bool is_text(const char *s)
{
	return *s != '\0';
}

enum tamis_status provenance_check(const struct document *doc, const char *source_sha256,
                                   struct tamis_error *err)
{
	static const struct {
		const char *key;
		bool required;
		bool (*valid)(const char *);
		const char *form;
	} rules[] = {
		{ KEY_VERSION, true, is_version, "a version as 0.1.0" },
		{ KEY_OPTIONS, true, is_text, "the options of the run" },
		{ KEY_SOURCE, true, is_sha256, "64 lower-case hexadecimal digits" },
		{ KEY_CALIBRATION, false, is_sha256, "64 lower-case hexadecimal digits" },
		{ KEY_GATE, true, is_text, "the result of the gate" },
	};
	const char *recorded;

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		const char *value = edit_get_metadata(doc, rules[i].key);

		if (!value && rules[i].required)
			return tm_fail(err, TAMIS_E_INVALID,
			               "metadata_props has no entry %s: tamis slim has not written this "
			               "model, or was asked not to say so", rules[i].key);
		if (value && !rules[i].valid(value))
			return tm_fail(err, TAMIS_E_INVALID, "metadata_props entry %s should hold %s, and '%.80s' came",
			               rules[i].key, rules[i].form, value);
	}
	recorded = edit_get_metadata(doc, KEY_SOURCE);
	if (source_sha256 && strcmp(recorded, source_sha256))
		return tm_fail(err, TAMIS_E_INVALID, KEY_SOURCE " is %s, and the source given has %s", recorded,
		               source_sha256);
	return TAMIS_OK;
}
