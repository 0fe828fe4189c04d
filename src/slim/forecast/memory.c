/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory: a sum of terms, each an upper bound from shapes. README.md says where they come from. */
#include <math.h>

#include "slim/forecast/parts.h"
#include "slim/repair/tune.h"
#include "slim/work.h"

#define PROCESS (16 << 20)      /* code, libraries, the heap's own books */
#define PER_WORKER (4 << 20)    /* stack, and buffers of the BLAS */
#define SNAPSHOTS 12            /* WALK_PATH, the gentlest and the one in hand */
#define PARTS 32
#define KERNEL (16.0 / 9)        /* of a weight as a kernel wants it, over the weight: ops/winograd.h */

struct sizes {
	double file;      /* of the document, packed */
	double weights;   /* constants, decoded */
	double values;    /* of one item in a training run */
	double input;     /* of one item */
	double output;    /* floats of one item */
	double workers, chunk, group;
};

static double constants(const struct graph *g)
{
	double bytes = 0;

	for (int v = 0; v < g->n_values; v++)
		if (g->values[v].kind == VALUE_CONSTANT)
			bytes += (double)tensor_bytes(&g->values[v].constant);
	return bytes;
}

static struct sizes sizes_of(const struct slim *s, const struct forecast_figures *f)
{
	struct sizes z = { .file = (double)s->figures->before.file_bytes, .weights = constants(s->graph),
		.values = (double)s->plan->block_bytes, .workers = f->workers, .chunk = (double)f->chunk,
		.group = (double)f->group };

	for (int i = 0; i < s->graph->n_inputs; i++)
		z.input += (double)tensor_bytes(&s->plan->value[s->graph->inputs[i]].shape);
	for (int i = 0; i < s->graph->n_outputs; i++)
		z.output += (double)s->plan->value[s->graph->outputs[i]].shape.count;
	return z;
}

/* formula NULL: out of memory, told at the end. */
static void add(struct forecast_figures *f, enum forecast_phase phase, const char *what, double bytes, const char *formula)
{
	if (!(bytes > 0))
		return;
	f->parts[f->n_parts++] = (struct forecast_part){ .phase = phase, .what = what, .formula = formula, .bytes = bytes };
	f->phase_bytes[phase] += bytes;
}

static const char *times(struct slim *s, double workers, double chunk, const char *unit, double bytes)
{
	return arena_printf(s->arena, "%.0f workers x %.0f items x %.0f %s", workers, chunk, bytes, unit);
}

static const char *each(struct slim *s, double n, const char *of, double bytes)
{
	return arena_printf(s->arena, "%.0f %s x %.0f", n, of, bytes);
}

static void add_throughout(struct slim *s, struct forecast_figures *f, const struct sizes *z)
{
	double biases = z->weights - constants(s->original);

	add(f, FORECAST_THROUGHOUT, "process", PROCESS + z->workers * PER_WORKER,
	    arena_printf(s->arena, "%d + %.0f workers x %d", PROCESS, z->workers, PER_WORKER));
	add(f, FORECAST_THROUGHOUT, "document and its copy", 3 * z->file + biases,
	    arena_printf(s->arena, "3 x %.0f, once packed on the way, + biases that were added", z->file));
	add(f, FORECAST_THROUGHOUT, "inflated items", (double)s->in->items_kept,
	    arena_printf(s->arena, "%.0f that the files hold deflated", (double)s->in->items_kept));
	add(f, FORECAST_THROUGHOUT, "constants", 3 * z->weights, each(s, 3, "graphs", z->weights));
}

static void add_running(struct slim *s, struct forecast_figures *f, const struct sizes *z, enum forecast_phase phase,
                        double runs, double group)
{
	double each_chunk = z->workers * z->chunk * z->values;

	add(f, phase, "values", runs * each_chunk, times(s, z->workers, runs * z->chunk, "bytes of values", z->values));
	add(f, phase, "items in hand", z->workers * group * z->input, times(s, z->workers, group, "bytes of inputs", z->input));
	add(f, phase, "kernels", (1 + z->workers) * runs * KERNEL * z->weights,
	    arena_printf(s->arena, "(1 + %.0f workers) x %.0f of all weights, laid out", z->workers, runs * KERNEL * z->weights));
}

static struct score_bytes bytes_of_scores(struct slim *s, const struct forecast_figures *f, const struct sizes *z)
{
	struct slim_told told = { s, 0, SCORE_COST };
	struct score_job job = slim_score_job(s, &s->fit, &told);

	job.parameters = f->scores_only || s->in->options->dump_file;
	return score_bytes(&job, (int64_t)fmin(z->output, HEAD_MAX_WIDTH));
}

/* first: sums of an earlier pass that are still held. */
static void add_scoring(struct slim *s, struct forecast_figures *f, const struct sizes *z, bool first)
{
	struct score_bytes b = bytes_of_scores(s, f, z);

	add_running(s, f, z, FORECAST_SCORING, 1, z->group);
	add(f, FORECAST_SCORING, "gradients", z->workers * z->chunk * z->values,
	    times(s, z->workers, z->chunk, "bytes, at most as many as values", z->values));
	add(f, FORECAST_SCORING, "co-moments", b.moments, each(s, 1, "set", b.moments));
	add(f, FORECAST_SCORING, "sums of a group", z->workers * b.partials, each(s, z->workers, "workers", b.partials));
	add(f, FORECAST_SCORING, "signals of a group", z->workers * b.signals, each(s, z->workers, "workers", b.signals));
	add(f, FORECAST_SCORING, "sums and scores", b.sums, each(s, 1, "set", b.sums));
	add(f, first ? FORECAST_SCORING : FORECAST_THROUGHOUT, "scores that are kept", first ? 0 : b.moments + b.sums,
	    each(s, 1, "set of co-moments and scores", b.moments + b.sums));
	if (f->scores_only)
		add(f, FORECAST_WRITING, "score file", b.moments + b.sums + 2 * z->weights + 40 * (double)f->tests,
		    arena_printf(s->arena, "a set, and twice the weights and their statistics"));
}

static void add_gates(struct slim *s, struct forecast_figures *f, const struct sizes *z)
{
	bool guesses = s->in->options->keep < 0;
	double items = (f->held_out < 0 ? 0 : (double)f->held_out) + (guesses && f->guessing > 0 ? (double)f->guessing : 0);
	double limit = (guesses ? 2 : 1) * 4 * (double)GATE_MAX_REFERENCE, want = items * (4 * z->output + 64);

	add(f, FORECAST_THROUGHOUT, "original's outputs", fmin(want, limit),
	    arena_printf(s->arena, "%.0f items x (4 x %.0f values + 64), at most %.0f", items, z->output, limit));
	add_running(s, f, z, FORECAST_JUDGING, want > limit ? 2 : 1, z->chunk);
	add(f, FORECAST_THROUGHOUT, "states to be judged", SNAPSHOTS * z->weights * (1 + 1.0 / 32),
	    arena_printf(s->arena, "%d x %.0f of weights and a bit for each", SNAPSHOTS, z->weights));
}

/* Of the items as counted, where they were. */
static struct refit_job refit_shapes(const struct slim *s, const struct forecast_figures *f)
{
	struct refit_job job = slim_refit_shapes(s);

	job.items = f->refitted < 0 ? job.items : f->refitted;
	return job;
}

static enum tamis_status add_refitting(struct slim *s, struct forecast_figures *f, const struct sizes *z, struct tamis_error *err)
{
	struct refit_job job = refit_shapes(s, f);
	struct refit_effort effort;
	struct score_bytes b = bytes_of_scores(s, f, z);
	double width = (double)tune_width(&s->layers), rows = width * (double)job.items, chunk_rows = 8 * width * z->chunk;
	double all = 0, chunk = 0, widest = 0, solving = 0, effects = 0, ranking = 0;
	enum tamis_status status = refit_effort(&job, z->output, &effort, err);

	for (int i = 0; i < s->layers.n; i++) {
		const struct layer *l = &s->layers.list[i];
		double seen = z->chunk * (double)(l->positions < REFIT_POSITIONS ? l->positions : REFIT_POSITIONS);
		double product = (double)l->view.fan_in * fmax((double)l->view.fan_in, (double)l->view.outs);

		all += refit_layer_bytes(&job, l, job.items);
		chunk += refit_layer_bytes(&job, l, f->chunk);
		widest = fmax(widest, l->note ? 0 : 4 * (seen * (double)(l->features + l->view.outs) + product));
		solving = fmax(solving, refit_solve_bytes(&job, l));
		ranking = fmax(ranking, l->note ? 0 : 16 * (double)(l->view.fan_in * (l->view.fan_in + 2)) + 8 * (double)l->entries);
		effects += l->note ? 0 : 8 * (double)l->view.fan_in * (double)(l->view.fan_in + l->view.outs);
	}
	add_running(s, f, z, FORECAST_REFITTING, 2, z->chunk);
	add(f, FORECAST_REFITTING, "scores of the round", b.moments + b.sums, each(s, 1, "set", b.moments + b.sums));
	add(f, FORECAST_REFITTING, "ranks of the connections", 12 * (double)f->connections,
	    each(s, (double)f->connections, "connections", 12));
	add(f, FORECAST_REFITTING, "ranking", z->workers * ranking, each(s, z->workers, "workers", ranking));
	add(f, FORECAST_REFITTING, "moments", 3 * all + z->workers * chunk,
	    arena_printf(s->arena, "3 sets x %.0f + %.0f workers x %.0f", all, z->workers, chunk));
	add(f, FORECAST_REFITTING, "what the original gives", 4 * effort.kept, each(s, effort.kept, "floats", 4));
	add(f, FORECAST_REFITTING, "values between layers", effort.held, each(s, effort.held, "bytes, the most between two legs", 1));
	add(f, FORECAST_REFITTING, "gradients of channels", 4 * fmin(rows, (double)job.tune) + z->workers * chunk_rows,
	    arena_printf(s->arena, "4 x %.0f + %.0f workers x %.0f", fmin(rows, (double)job.tune), z->workers, chunk_rows));
	add(f, FORECAST_REFITTING, "weights before refitting", z->weights, each(s, 1, "graph", z->weights));
	add(f, FORECAST_REFITTING, "columns of a layer", z->workers * widest, each(s, z->workers, "workers", widest));
	add(f, FORECAST_REFITTING, "solving", z->workers * solving, each(s, z->workers, "workers", solving));
	if (slim_narrows(s->in->options))
		add(f, FORECAST_REFITTING, "choosing channels", effects, each(s, 1, "inverse of each layer's moments", effects));
	return status;
}

static void add_distilling(struct slim *s, struct forecast_figures *f, const struct sizes *z)
{
	uint64_t told = s->in->options->max_memory / 2;
	double most = told ? (double)told : (double)STORE_BYTES;
	double items = (f->fitting < 0 ? INFINITY : (double)f->fitting) + (f->guessing > 0 ? (double)f->guessing : 0);
	double want = items * (z->input + 4 * z->output + 128);

	add(f, FORECAST_DISTILLING, "items and the original's outputs", fmin(want, 2 * most),
	    arena_printf(s->arena, "%.0f items x %.0f, at most %.0f", items, z->input + 4 * z->output + 128, 2 * most));
	add(f, FORECAST_DISTILLING, "values and gradients of a shard", 2 * z->workers * DISTIL_SHARD * z->values,
	    times(s, z->workers, 2 * DISTIL_SHARD, "bytes of values", z->values));
	if (s->in->options->mixup && mixup_fits(s->graph))
		add(f, FORECAST_DISTILLING, "the original on mixtures", z->workers * (DISTIL_SHARD / 2 * z->values + z->weights),
		    times(s, z->workers, 1, "bytes of values and kernels", DISTIL_SHARD / 2 * z->values + z->weights));
	add(f, FORECAST_DISTILLING, "moments of the step and gradients", (8 + z->workers) * z->weights,
	    arena_printf(s->arena, "(8 + %.0f workers) x %.0f of weights", z->workers, z->weights));
	add(f, FORECAST_DISTILLING, "kernels", (1 + z->workers) * z->weights, each(s, 1 + z->workers, "of all weights", z->weights));
}

static enum tamis_status add_search(struct slim *s, struct forecast_figures *f, const struct sizes *z, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	enum tamis_status status = TAMIS_OK;

	add_gates(s, f, z);
	if (o->refit)
		status = add_refitting(s, f, z, err);
	if (o->distil)
		add_distilling(s, f, z);
	add(f, FORECAST_WRITING, "the new document", 3 * z->file + 2 * z->weights,
	    arena_printf(s->arena, "packed, compressed and read back: 3 x %.0f + 2 x %.0f of weights", z->file, z->weights));
	return status;
}

enum tamis_status forecast_memory(struct slim *s, struct forecast_figures *out, struct tamis_error *err)
{
	struct sizes z = sizes_of(s, out);
	enum tamis_status status = TAMIS_OK;

	out->parts = arena_array(s->arena, PARTS, sizeof *out->parts);
	if (!out->parts)
		return tm_no_memory(err, "forecasting a run");
	add_throughout(s, out, &z);
	if (s->in->options->keep < 1)
		add_scoring(s, out, &z, out->scores_only);
	if (s->in->options->keep < 1 && !out->scores_only)
		status = add_search(s, out, &z, err);
	for (size_t i = 0; i < out->n_parts; i++)
		if (!out->parts[i].formula)
			return tm_no_memory(err, "forecasting a run");
	for (int k = 0; k < FORECAST_PHASES; k++)
		out->bytes += out->phase_bytes[k];
	return status;
}
