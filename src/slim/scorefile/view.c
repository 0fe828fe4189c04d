/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/scorefile/view.h"

#include <math.h>
#include <stdlib.h>

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "looking at scores");
}

static int64_t count_significant(const struct score_file *f, int i)
{
	int64_t n = 0;

	for (int64_t d = 0; d < f->layers.list[i].features; d++)
		n += f->layer[i].q[d] <= f->origin.alpha;
	return n;
}

/* ---- channels ----------------------------------------------------------------------------------------------- */

static int by_score(const void *a, const void *b)
{
	const struct channel_line *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return (x->channel > y->channel) - (x->channel < y->channel);
}

static void sum_channels(const struct layer *l, const float *score, const double *gain, struct channel_line *to)
{
	for (int64_t o = 0; o < l->view.outs; o++) {
		to[o] = (struct channel_line){ .channel = o, .gain = gain[o] };
		for (int64_t d = 0; d < l->view.fan_in; d++)
			to[o].score += (double)score[layer_offset(&l->view, o, d)];
	}
}

static enum tamis_status find_ends(const struct score_file *f, int i, struct scores_layer *out, struct tamis_error *err)
{
	const struct layer *l = &f->layers.list[i];
	int64_t n = l->view.outs;
	struct channel_line *all = tm_array((size_t)n + 1, sizeof *all);
	float *score = tm_array((size_t)l->entries + 1, sizeof *score);
	bool done = false;

	if (all && score && score_file_scores(f, i, score, err) == TAMIS_OK) {
		done = true;
		sum_channels(l, score, f->scores.layer[i].gain, all);
		qsort(all, (size_t)n, sizeof *all, by_score);
		out->n_ends = n < SCORE_VIEW_ENDS ? (int)n : SCORE_VIEW_ENDS;
		for (int k = 0; k < out->n_ends; k++) {
			out->best[k] = all[k];
			out->worst[k] = all[n - 1 - k];
		}
	}
	free(score);
	free(all);
	return done ? TAMIS_OK : no_memory(err);
}

static enum tamis_status gains(const double *gain, int64_t n, struct scores_layer *out, struct tamis_error *err)
{
	struct distribution d;
	enum tamis_status s = distribution_of(gain, n, &d, err);

	out->gain_low = d.quantile[0];
	out->gain_median = d.quantile[DISTRIBUTION_QUANTILES / 2];
	out->gain_high = d.quantile[DISTRIBUTION_QUANTILES - 1];
	return s;
}

static enum tamis_status view_layer(const struct score_file *f, int i, struct scores_layer *out, struct tamis_error *err)
{
	const struct layer *l = &f->layers.list[i];
	const struct scored_layer *x = &f->layer[i];
	enum tamis_status s;

	*out = (struct scores_layer){ .node = x->node, .op = x->op, .weight = x->weight, .note = l->note, .entries = l->entries };
	if (l->note)
		return TAMIS_OK;
	out->features = l->features;
	out->channels = l->view.outs;
	out->significant = count_significant(f, i);
	out->score = x->score;
	out->p = x->p;
	out->blind = f->scores.layer[i].blind;
	s = gains(f->scores.layer[i].gain, l->view.outs, out, err);
	return s == TAMIS_OK ? find_ends(f, i, out, err) : s;
}

enum tamis_status score_view(const struct score_file *f, struct scores_figures *out, struct arena *arena,
                             struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	out->source_sha256 = f->origin.source_sha256;
	out->calibration_sha256 = f->origin.calibration_sha256;
	out->options = f->origin.options;
	out->producer = f->producer;
	out->items = f->shards ? f->sums.items : f->items;
	out->seed = f->origin.seed;
	out->alpha = f->origin.alpha;
	out->from = f->origin.from;
	out->to = f->origin.to;
	out->shard = f->shard;
	out->shards = f->shards;
	out->random = f->origin.random;
	if (f->shards)
		return TAMIS_OK;
	out->layers = arena_array(arena, (size_t)f->layers.n + 1, sizeof *out->layers);
	if (!out->layers)
		return no_memory(err);
	for (int i = 0; s == TAMIS_OK && i < f->layers.n; i++) {
		struct scores_layer *l = &out->layers[out->n_layers++];

		s = view_layer(f, i, l, err);
		out->tests += l->features;
		out->significant += l->significant;
		out->connections += l->note ? 0 : l->entries;
	}
	return s;
}

/* ---- connections -------------------------------------------------------------------------------------------- */

/* What decides the order of cutting. */
struct standing { bool significant; float score; };

static bool above(struct standing a, struct standing b)
{
	return a.significant != b.significant ? a.significant : a.score > b.score;
}

static struct standing standing_of(const struct score_file *f, int i, const float *score, int64_t o, int64_t d)
{
	const struct layer *l = &f->layers.list[i];
	int64_t feature = o / (l->view.outs / l->view.groups) * l->view.fan_in + d;

	return (struct standing){ f->layer[i].q[feature] <= f->origin.alpha, score[layer_offset(&l->view, o, d)] };
}

static struct connection_line describe(const struct score_file *f, int i, const float *score, int64_t o, int64_t d)
{
	const struct layer *l = &f->layers.list[i];
	const struct layer_score *s = &f->scores.layer[i];
	int64_t feature = o / (l->view.outs / l->view.groups) * l->view.fan_in + d, k = layer_offset(&l->view, o, d);

	return (struct connection_line){ .out = o, .in = d, .w = (double)f->layer[i].w[k], .mean = s->mean[feature],
		.variance = s->second[feature] - s->mean[feature] * s->mean[feature], .relevance = s->relevance[feature],
		.p = s->p[feature], .q = f->layer[i].q[feature], .gain = s->gain[o], .score = (double)score[k],
		.significant = f->layer[i].q[feature] <= f->origin.alpha };
}

/* Adds to each connection how many of one layer are kept longer. */
static void count_above(const struct score_file *f, int i, const float *score, struct connection_line *list, size_t n)
{
	const struct layer *l = &f->layers.list[i];

	for (int64_t o = 0; o < l->view.outs; o++)
		for (int64_t d = 0; d < l->view.fan_in; d++) {
			struct standing s = standing_of(f, i, score, o, d);

			for (size_t k = 0; s.score > 0 && k < n; k++)
				list[k].rank += list[k].rank
				                && above(s, (struct standing){ list[k].significant, (float)list[k].score });
		}
}

static float *scores_of(const struct score_file *f, int i)
{
	float *score = tm_array((size_t)f->layers.list[i].entries + 1, sizeof *score);

	if (score && score_file_scores(f, i, score, NULL) != TAMIS_OK) {
		free(score);
		return NULL;
	}
	return score;
}

static enum tamis_status rank_all(const struct score_file *f, struct connection_line *list, size_t n,
                                  struct tamis_error *err)
{
	for (size_t k = 0; k < n; k++)
		list[k].rank = list[k].score > 0;
	for (int i = 0; i < f->layers.n; i++) {
		float *score = f->layers.list[i].note ? NULL : scores_of(f, i);

		if (!score && !f->layers.list[i].note)
			return no_memory(err);
		if (score)
			count_above(f, i, score, list, n);
		free(score);
	}
	return TAMIS_OK;
}

/* The n connections that come first in the order of cutting, or last, in that order. */
static void find_extreme(const struct score_file *f, int i, const float *score, bool best, struct connection_line *to,
                         size_t n)
{
	const struct linear_view *v = &f->layers.list[i].view;
	size_t have = 0;

	for (int64_t o = 0; o < v->outs; o++)
		for (int64_t d = 0; d < v->fan_in; d++) {
			struct standing s = standing_of(f, i, score, o, d);
			size_t at = have < n ? have : n;

			while (at > 0) {
				struct standing t = { to[at - 1].significant, (float)to[at - 1].score };

				if (best ? !above(s, t) : !above(t, s))
					break;
				if (at < n)
					to[at] = to[at - 1];
				at--;
			}
			if (at < n) {
				to[at] = describe(f, i, score, o, d);
				have += have < n;
			}
		}
}

static enum tamis_status find_layer(const struct score_file *f, const char *tensor, int *i, struct tamis_error *err)
{
	if (f->shards)
		return tm_fail(err, TAMIS_E_USAGE, "a shard has no scores yet: merge the set first");
	*i = score_file_find(f, tensor);
	if (*i < 0)
		return tm_fail(err, TAMIS_E_USAGE, "the score file knows no weight '%.200s'", tensor);
	if (f->layers.list[*i].note)
		return tm_fail(err, TAMIS_E_USAGE, "'%.200s' was left alone: %s", tensor, f->layers.list[*i].note);
	return TAMIS_OK;
}

static enum tamis_status check_place(const struct linear_view *v, int64_t out, int64_t in, struct tamis_error *err)
{
	if (out == -1 && in == -1)
		return TAMIS_OK;
	if (out >= 0 && out < v->outs && in >= 0 && in < v->fan_in)
		return TAMIS_OK;
	return tm_fail(err, TAMIS_E_USAGE, "there is no connection %lld,%lld: outputs go from 0 to %lld and inputs from 0 to "
	               "%lld", (long long)out, (long long)in, (long long)v->outs - 1, (long long)v->fan_in - 1);
}

enum tamis_status score_view_tensor(const struct score_file *f, const char *tensor, int64_t out, int64_t in,
                                    struct scores_figures *figures, struct arena *arena, struct tamis_error *err)
{
	struct connection_line *list;
	int64_t all;
	size_t each;
	float *score;
	int i = 0;
	enum tamis_status s = find_layer(f, tensor, &i, err);

	if (s == TAMIS_OK)
		s = check_place(&f->layers.list[i].view, out, in, err);
	if (s != TAMIS_OK)
		return s;
	all = f->layers.list[i].view.outs * f->layers.list[i].view.fan_in;
	each = all / 2 < SCORE_VIEW_CONNECTIONS ? (size_t)(all + 1) / 2 : SCORE_VIEW_CONNECTIONS;
	list = arena_array(arena, 2 * each + 1, sizeof *list);
	score = scores_of(f, i);
	figures->tensor = f->layer[i].weight;
	figures->connections_shown = list;
	figures->n_connections = out >= 0 ? 1 : all == 1 ? 1 : 2 * each > (size_t)all ? (size_t)all : 2 * each;
	if (list && score && out >= 0)
		list[0] = describe(f, i, score, out, in);
	if (list && score && out < 0) {
		find_extreme(f, i, score, true, list, each);
		find_extreme(f, i, score, false, list + each, figures->n_connections - each);
		for (size_t a = each, b = figures->n_connections; a + 1 < b; a++, b--) {
			struct connection_line keep = list[a];

			list[a] = list[b - 1];
			list[b - 1] = keep;
		}
	}
	free(score);
	return list && score ? rank_all(f, list, figures->n_connections, err) : no_memory(err);
}
