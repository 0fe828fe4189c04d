/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api/api.h"
#include "base/memory.h"

void tamis_calibration_options_default(struct tamis_calibration_options *o)
{
	if (o)
		*o = (struct tamis_calibration_options){ .seed = 1 };
}

static struct tamis_calibration *create(const struct tamis_model *model, struct tamis_error *err)
{
	struct tamis_calibration *c = tm_array(1, sizeof *c);

	if (!c) {
		tm_no_memory(err, "opening the items");
		return NULL;
	}
	if (api_inputs(model->doc, &c->arena, &c->inputs, &c->n_inputs, err) != TAMIS_OK) {
		tm_in_file(err, model->doc->path);
		tamis_calibration_close(c);
		return NULL;
	}
	return c;
}

static enum tamis_status open_labels(struct tamis_calibration *c, const char *path, struct tamis_error *err)
{
	int64_t items = data_count(c->held_out ? c->held_out : c->source);
	enum tamis_status s = data_labels(path, &c->labels, &c->n_labels, err);

	if (s != TAMIS_OK || c->n_labels == items)
		return s;
	tm_fail(err, TAMIS_E_INVALID, "expected a label for each of %lld items, and %lld labels came",
	        (long long)items, (long long)c->n_labels);
	return tm_in_file(err, path);
}

static enum tamis_status open_sources(struct tamis_calibration *c, const char *const *specs, size_t n_specs,
                                      const struct tamis_calibration_options *o, struct tamis_error *err)
{
	struct data_options d = { .random = o->random, .seed = o->seed, .max_memory = o->max_memory,
		.warn = o->observer.warn, .warn_ctx = o->observer.ctx };
	enum tamis_status s = data_open(specs, n_specs, c->inputs, c->n_inputs, &d, &c->source, err);

	if (s != TAMIS_OK)
		return s;
	c->random = data_is_random(c->source);
	c->reader = data_reader(c->source);
	if (o->n_holdout) {
		d.random = 0;
		s = data_open(o->holdout, o->n_holdout, c->inputs, c->n_inputs, &d, &c->held_out, err);
		if (s == TAMIS_OK)
			c->holdout = data_reader(c->held_out);
	}
	return s == TAMIS_OK && o->labels ? open_labels(c, o->labels, err) : s;
}

enum tamis_status tamis_calibration_open(struct tamis_model *model, const char *const *specs, size_t n_specs,
                                         const struct tamis_calibration_options *options,
                                         struct tamis_calibration **out, struct tamis_error *err)
{
	struct tamis_error unheard;
	struct tamis_calibration_options o;
	struct tamis_calibration *c;
	enum tamis_status s;

	err = api_error(err, &unheard);
	if (!model || !out || (n_specs && !specs))
		return tm_fail(err, TAMIS_E_USAGE, "a model, names of data and a place for the items were expected, "
		               "and NULL came");
	*out = NULL;
	tamis_calibration_options_default(&o);
	if (options)
		o = *options;
	if ((n_specs > 0) == (o.random > 0))
		return tm_fail(err, TAMIS_E_USAGE,
		               "either names of data or a number of random items were expected, and %s",
		               n_specs ? "both came" : "neither came");
	c = create(model, err);
	if (!c)
		return err->status;
	s = open_sources(c, specs, n_specs, &o, err);
	if (s != TAMIS_OK) {
		tamis_calibration_close(c);
		return s;
	}
	*out = c;
	return TAMIS_OK;
}

enum tamis_status tamis_calibration_from_reader(struct tamis_model *model, const struct tamis_reader *reader,
                                                struct tamis_calibration **out, struct tamis_error *err)
{
	struct tamis_error unheard;
	struct tamis_calibration *c;
	enum tamis_status s;

	err = api_error(err, &unheard);
	if (!model || !reader || !reader->next || !reader->rewind || !out)
		return tm_fail(err, TAMIS_E_USAGE,
		               "a model, a reader with both callbacks and a place for the items were "
		               "expected, and NULL came");
	*out = NULL;
	c = create(model, err);
	if (!c)
		return err->status;
	s = api_feeds(reader, c->inputs, c->n_inputs, &c->reader, err);
	if (s != TAMIS_OK) {
		tamis_calibration_close(c);
		return s;
	}
	*out = c;
	return TAMIS_OK;
}

void tamis_calibration_close(struct tamis_calibration *c)
{
	if (!c)
		return;
	if (c->reader.destroy)
		c->reader.destroy(c->reader.self);
	data_close(c->source);
	data_close(c->held_out);
	free(c->labels);
	arena_free(&c->arena);
	free(c);
}
