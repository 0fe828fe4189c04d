/* SPDX-License-Identifier: Apache-2.0 */
#include "report/json_object.h"

#include <math.h>

static void real_array(struct object *o, const char *key, const double *x, int n)
{
	json_t *array = json_array();

	for (int i = 0; array && i < n; i++)
		o->failed |= json_array_append_new(array, isfinite(x[i]) ? json_real(x[i]) : json_null()) != 0;
	object_set(o, key, array);
}

static struct object distribution_object(const struct distribution *d)
{
	struct object o = object_start();
	json_t *bins = json_array();

	object_count(&o, "count", d->count);
	object_count(&o, "zeros", d->zeros);
	real_array(&o, "quantiles", d->quantile, DISTRIBUTION_QUANTILES);
	object_real(&o, "low", d->low > 0 ? d->low : NAN);
	object_real(&o, "high", d->low > 0 ? d->high : NAN);
	for (int k = 0; bins && d->low > 0 && k < DISTRIBUTION_BINS; k++)
		o.failed |= json_array_append_new(bins, json_integer(d->bin[k])) != 0;
	object_set(&o, "bins", bins);
	return o;
}

static struct object channel_object(const void *item)
{
	const struct channel_line *c = item;
	struct object o = object_start();

	object_count(&o, "channel", c->channel);
	object_real(&o, "score", c->score);
	object_real(&o, "gain", c->gain);
	return o;
}

static struct object layer_object(const void *item)
{
	const struct scores_layer *l = item;
	struct object o = object_start();

	object_text(&o, "node", l->node);
	object_text(&o, "op", l->op);
	object_text(&o, "weight", l->weight);
	object_text(&o, "note", l->note);
	object_count(&o, "entries", l->entries);
	if (l->note)
		return o;
	object_count(&o, "features", l->features);
	object_count(&o, "significant", l->significant);
	object_count(&o, "channels", l->channels);
	object_bool(&o, "blind", l->blind);
	object_member(&o, "score", distribution_object(&l->score));
	object_member(&o, "p", distribution_object(&l->p));
	real_array(&o, "gain", (const double[]){l->gain_low, l->gain_median, l->gain_high}, 3);
	object_array(&o, "best", l->best, (size_t)l->n_ends, sizeof *l->best, channel_object);
	object_array(&o, "worst", l->worst, (size_t)l->n_ends, sizeof *l->worst, channel_object);
	return o;
}

static struct object connection_object(const void *item)
{
	const struct connection_line *c = item;
	struct object o = object_start();

	object_count(&o, "output", c->out);
	object_count(&o, "input", c->in);
	object_real(&o, "w", c->w);
	object_real(&o, "mean", c->mean);
	object_real(&o, "variance", c->variance);
	object_real(&o, "relevance", c->relevance);
	object_real(&o, "p", c->p);
	object_real(&o, "q", c->q);
	object_bool(&o, "significant", c->significant);
	object_real(&o, "gain", c->gain);
	object_real(&o, "score", c->score);
	object_count(&o, "rank", c->rank ? c->rank : -1);
	return o;
}

void json_scores(struct object *o, const struct scores_figures *f)
{
	object_text(o, "scores", f->path);
	object_text(o, "source_hash", f->source_sha256);
	object_text(o, "calibration_hash", f->calibration_sha256);
	object_text(o, "options", f->options);
	object_text(o, "producer", f->producer);
	object_count(o, "items", f->items);
	object_bool(o, "random_items", f->random);
	object_set(o, "seed", json_integer((json_int_t)f->seed));
	object_real(o, "alpha", f->alpha);
	real_array(o, "hashes", (const double[]){f->from, f->to}, 2);
	object_count(o, "shard", f->shards ? f->shard : -1);
	object_count(o, "shards", f->shards ? f->shards : -1);
	object_count(o, "tests", f->tests);
	object_count(o, "significant", f->significant);
	object_count(o, "connections", f->connections);
	object_array(o, "layers", f->layers, f->n_layers, sizeof *f->layers, layer_object);
	object_text(o, "tensor", f->tensor);
	object_array(o, "tensor_connections", f->connections_shown, f->n_connections,
	             sizeof *f->connections_shown, connection_object);
}
