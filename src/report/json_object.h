/* SPDX-License-Identifier: Apache-2.0 */
/* JSON objects under construction, for the renderings as JSON. */
#ifndef REPORT_JSON_OBJECT_H
#define REPORT_JSON_OBJECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/report.h"

/* The first failure is remembered, so that the builders read as lists. */
struct object {
	json_t *json;
	bool failed;
};

struct object object_start(void);
void object_set(struct object *o, const char *key, json_t *value); /* takes the value over, also on failure */
void object_member(struct object *o, const char *key, struct object value);
json_t *object_string(const char *s); /* well-formed UTF-8; null for NULL */
void object_text(struct object *o, const char *key, const char *s);
void object_real(struct object *o, const char *key, double x);   /* null where it is not finite */
void object_count(struct object *o, const char *key, int64_t n); /* null below zero: does not apply */
void object_large(struct object *o, const char *key, double x);  /* a count that may be too large for one */
void object_bool(struct object *o, const char *key, bool b);
void object_lines(struct object *o, const char *key, const char *lines); /* each line as one string */
/* n objects, the i-th made by `make` from the element at `items + i * size`. */
void object_array(struct object *o, const char *key, const void *items, size_t n, size_t size,
                  struct object (*make)(const void *));

void json_scores(struct object *o, const struct scores_figures *f); /* the members of tamis.scores/1 */
void json_plan(struct object *o, const struct forecast_figures *f); /* the members of tamis.plan/1 */

#endif
