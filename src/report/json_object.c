/* SPDX-License-Identifier: Apache-2.0 */
#include "report/json_object.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/unicode.h"

struct object object_start(void)
{
	struct object o = {.json = json_object()};

	o.failed = !o.json;
	return o;
}

void object_set(struct object *o, const char *key, json_t *value)
{
	if (!value || !o->json || json_object_set_new(o->json, key, value) != 0) {
		if (!o->json)
			json_decref(value);
		o->failed = true;
	}
}

void object_member(struct object *o, const char *key, struct object value)
{
	o->failed |= value.failed;
	object_set(o, key, value.json);
}

json_t *object_string(const char *s)
{
	char *clean = s ? unicode_repair(s) : NULL;
	json_t *value = s ? (clean ? json_string(clean) : NULL) : json_null();

	free(clean);
	return value;
}

void object_text(struct object *o, const char *key, const char *s)
{
	object_set(o, key, object_string(s));
}

void object_real(struct object *o, const char *key, double x)
{
	object_set(o, key, isfinite(x) ? json_real(x) : json_null());
}

void object_count(struct object *o, const char *key, int64_t n)
{
	object_set(o, key, n >= 0 ? json_integer(n) : json_null());
}

void object_large(struct object *o, const char *key, double x)
{
	if (x >= 0 && x < 9e18)
		object_count(o, key, (int64_t)llround(x));
	else
		object_set(o, key, json_null());
}

void object_bool(struct object *o, const char *key, bool b)
{
	object_set(o, key, json_boolean(b));
}

void object_array(struct object *o, const char *key, const void *items, size_t n, size_t size,
                  struct object (*make)(const void *))
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < n; i++) {
		struct object item = make((const char *)items + i * size);

		if (json_array_append_new(array, item.json) != 0 || item.failed)
			o->failed = true;
	}
	object_set(o, key, array);
}

void object_lines(struct object *o, const char *key, const char *lines)
{
	json_t *array = json_array();
	char *copy = lines ? unicode_repair(lines) : NULL, *rest = copy;

	if (lines && !copy)
		o->failed = true;
	while (array && rest && *rest) {
		char *line = strsep(&rest, "\n");

		o->failed |= json_array_append_new(array, json_string(line)) != 0;
	}
	free(copy);
	object_set(o, key, array);
}
