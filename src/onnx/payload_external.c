/* SPDX-License-Identifier: Apache-2.0 */
/* The external_data entries of a tensor, as text from an untrusted file. */
#include "onnx/payload.h"

#include <string.h>

/* Plain decimal below 2^63: digits only, so that " 1", "1e3", "-1" and "0x10" are refused. */
static bool decimal(const char *text, uint64_t *out)
{
	uint64_t value = 0;
	if (!text || !*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		uint64_t digit = (uint64_t)(*text - '0');
		if (value > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

static bool climbs(const char *path)
{
	for (const char *part = path; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
			return true;
	}
	return false;
}

/* What is wrong with a location; NULL when nothing is. */
static const char *location_fault(const char *location)
{
	if (!location || !*location)
		return "is empty";
	if (*location == '/')
		return "is absolute";
	if (climbs(location))
		return "has a '..' in it";
	for (const char *c = location; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return "has a control byte in it";
	return NULL;
}

enum { KEY_LOCATION, KEY_OFFSET, KEY_LENGTH, KEYS };

static int key_of(const Onnx__StringStringEntryProto *e)
{
	static const char *const names[KEYS] = { "location", "offset", "length" };
	for (int i = 0; i < KEYS; i++)
		if (e->key && strcmp(e->key, names[i]) == 0)
			return i;
	return KEYS;
}

static enum tamis_status number(const char *text, const char *what, uint64_t *out, struct tamis_error *err)
{
	if (decimal(text, out))
		return TAMIS_OK;
	return tm_fail(err, TAMIS_E_INVALID, "the external %s '%.40s' is not a plain decimal number below 2^63",
	               what, text ? text : "");
}

enum tamis_status payload_external(const Onnx__TensorProto *t, struct payload_external *out,
                                   struct tamis_error *err)
{
	const Onnx__StringStringEntryProto *found[KEYS + 1] = { NULL };
	*out = (struct payload_external){ 0 };
	for (size_t i = 0; i < t->n_external_data; i++) {
		int key = key_of(t->external_data[i]);
		if (key < KEYS && found[key])
			return tm_fail(err, TAMIS_E_INVALID, "the external key '%s' is given twice", t->external_data[i]->key);
		found[key] = t->external_data[i];
	}
	const char *location = found[KEY_LOCATION] ? found[KEY_LOCATION]->value : NULL;
	const char *fault = location_fault(location);
	if (fault)
		return tm_fail(err, TAMIS_E_INVALID, "the location of external data %s; a path below the model's directory "
		               "was expected", fault);
	out->location = location;
	enum tamis_status st = TAMIS_OK;
	if (found[KEY_OFFSET])
		st = number(found[KEY_OFFSET]->value, "offset", &out->offset, err);
	if (st == TAMIS_OK && found[KEY_LENGTH])
		st = number(found[KEY_LENGTH]->value, "length", &out->length, err);
	out->has_length = found[KEY_LENGTH] != NULL;
	return st;
}
