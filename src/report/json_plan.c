/* SPDX-License-Identifier: Apache-2.0 */
#include "report/json_object.h"

static struct object layer_object(const void *item)
{
	const struct forecast_layer *l = item;
	struct object o = object_start();

	object_text(&o, "node", l->node);
	object_text(&o, "op", l->op);
	object_text(&o, "weight", l->weight);
	object_text(&o, "shape", l->shape);
	object_count(&o, "entries", l->entries);
	object_count(&o, "features", l->features);
	object_count(&o, "channels", l->channels);
	object_count(&o, "positions", l->positions);
	object_count(&o, "tested_positions", l->note ? -1 : l->tested);
	object_large(&o, "macs", l->macs);
	object_text(&o, "note", l->note);
	return o;
}

static struct object part_object(const void *item)
{
	const struct forecast_part *p = item;
	struct object o = object_start();

	object_text(&o, "phase", forecast_phase_name(p->phase));
	object_text(&o, "what", p->what);
	object_text(&o, "formula", p->formula);
	object_large(&o, "bytes", p->bytes);
	return o;
}

static struct object stage_object(const void *item)
{
	const struct forecast_stage *s = item;
	struct object o = object_start();

	object_text(&o, "what", s->what);
	object_large(&o, "items", s->items);
	object_real(&o, "passes", s->passes);
	object_real(&o, "forward_runs_each", s->cost);
	return o;
}

static struct object items_object(const struct forecast_figures *f)
{
	struct object o = object_start();

	object_count(&o, "all", f->items);
	object_count(&o, "fitting", f->fitting);
	object_count(&o, "guessing", f->guessing);
	object_count(&o, "held_out", f->held_out);
	object_count(&o, "scored_again", f->scored_again);
	object_count(&o, "refitted", f->refitted);
	return o;
}

static struct object rounds_object(const struct forecast_figures *f)
{
	struct object o = object_start();

	object_count(&o, "least", f->rounds_least);
	object_count(&o, "expected", f->rounds);
	object_count(&o, "most", f->rounds_most);
	return o;
}

static struct object seconds_object(const struct forecast_figures *f)
{
	struct object o = object_start();

	object_real(&o, "forward", f->seconds_forward);
	object_real(&o, "least", f->seconds_least);
	object_real(&o, "expected", f->seconds);
	object_real(&o, "most", f->seconds_most);
	return o;
}

void json_plan(struct object *o, const struct forecast_figures *f)
{
	object_text(o, "model", f->model);
	object_text(o, "criterion", f->criterion);
	object_text(o, "features", f->features);
	object_text(o, "fdr", f->fdr);
	object_bool(o, "scores_only", f->scores_only);
	object_count(o, "shard", f->shards ? f->shard : -1);
	object_count(o, "shards", f->shards ? f->shards : -1);
	object_count(o, "workers", f->workers);
	object_count(o, "chunk", f->chunk);
	object_count(o, "group", f->group);
	object_bool(o, "stacked", f->stacked);
	object_member(o, "items", items_object(f));
	object_count(o, "connections", f->connections);
	object_count(o, "tests", f->tests);
	object_large(o, "macs", f->macs);
	object_array(o, "layers", f->layers, f->n_layers, sizeof *f->layers, layer_object);
	object_large(o, "memory_bytes", f->bytes);
	object_array(o, "memory", f->parts, f->n_parts, sizeof *f->parts, part_object);
	object_member(o, "rounds", rounds_object(f));
	object_large(o, "forward_runs", f->forward_runs);
	object_array(o, "stages", f->stages, f->n_stages, sizeof *f->stages, stage_object);
	object_member(o, "seconds", seconds_object(f));
}
