/* SPDX-License-Identifier: Apache-2.0 */
/* Significance, criteria, and cuts: who goes first, how many stay, and that means are kept. */
#include <criterion/criterion.h>
#include <lapacke.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nets.h"
#include "onnx/payload.h"
#include "ops/table.h"
#include "slim/search/cut.h"
#include "slim/score/obs.h"
#include "slim/parameters.h"
#include "stat/dependence.h"

static bool all_items(void *ctx, int64_t item)
{
	(void)ctx;
	(void)item;
	return true;
}

static void score_with(struct lab *l, const char *kind, bool rich, struct scores *s)
{
	struct tamis_error err = { 0 };
	struct head head;
	struct score_job job = { .graph = l->graph, .layers = &l->layers, .reader = &l->reader, .select = all_items,
		.batching = BATCH_STACKED, .chunk = 16, .seed = 2, .head = kind, .rich = rich,
		.needs = SCORE_NEEDS_GRADIENT | SCORE_NEEDS_COVARIANCE };

	*s = (struct scores){ 0 };
	must(score_run(&job, &head, s, &err), &err, "score");
}

static void score(struct lab *l, struct scores *s)
{
	score_with(l, "auto", false, s);
}

/* Scores made up: arrays of the right sizes with positive normal numbers. */
static void make_up(const struct lab *l, struct scores *s, uint64_t seed)
{
	struct rng r = rng_make(seed, 0);

	*s = (struct scores){ .n_layers = l->layers.n };
	s->layer = arena_array(&s->arena, (size_t)l->layers.n + 1, sizeof *s->layer);
	for (int i = 0; i < l->layers.n; i++) {
		const struct layer *x = &l->layers.list[i];
		double **list[] = { &s->layer[i].mean, &s->layer[i].second, &s->layer[i].relevance, &s->layer[i].p,
			&s->layer[i].gain, &s->layer[i].gradient2, &s->layer[i].energy };
		int64_t n[] = { x->features, x->features, x->features, x->features, x->view.outs, x->entries, x->entries };

		for (int k = 0; k < 7; k++) {
			*list[k] = arena_array(&s->arena, (size_t)n[k], sizeof(double));
			for (int64_t m = 0; m < n[k]; m++)
				(*list[k])[m] = k == 3 ? rng_uniform(&r) : fabs(rng_normal(&r));
		}
	}
}

static struct tensor *weight_of(const struct lab *l, int i)
{
	return &l->graph->values[l->layers.list[i].weight].constant;
}

static int64_t count_kept(const struct lab *l)
{
	int64_t n = 0;

	for (int i = 0; i < l->layers.n; i++)
		for (int64_t k = 0; !l->layers.list[i].note && k < l->layers.list[i].entries; k++)
			n += tensor_get(weight_of(l, i), k) != 0;
	return n;
}

static void open_cut(struct lab *l, const struct scores *s, const char *criterion, const struct significance *sig,
                     struct cut *c)
{
	struct tamis_error err = { 0 };

	must(cut_create(&(struct cut_job){ .graph = l->graph, .layers = &l->layers, .scores = s,
	                                   .criterion = criterion_find(criterion), .significance = sig, .seed = 1 }, c, &err), &err, "cut");
}

/* ---- significance ------------------------------------------------------------------------------------------- */

/* Twenty inputs, ten of which reach the outputs; the others are noise that is there to be found out. */
static struct document *half_noise(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 0);
	float *w;

	build_input(d, "x", 2, DIMS(-1, 20));
	build_output(d, "y", 2, DIMS(-1, 3));
	w = build_floats(d, "w1", 2, DIMS(20, 8), 0.7, &r);
	for (int i = 10 * 8; i < 20 * 8; i++)
		w[i] = 0;
	build_floats(d, "w2", 2, DIMS(8, 3), 1, &r);
	build_node(d, "Gemm", "x w1", "c");
	build_node(d, "Relu", "c", "a");
	build_node(d, "Gemm", "a w2", "y");
	return d;
}

Test(significance, noise_is_told_from_signal)
{
	int false_ones = 0, missed = 0;

	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct lab l;
		struct scores s;
		struct significance sig;

		lab_open(&l, half_noise(seed), 4000, seed);
		score(&l, &s);
		cr_assert_eq(significance_find(&l.layers, &s, FDR_BENJAMINI_HOCHBERG, 0.05, &sig, NULL), TAMIS_OK);
		cr_assert_eq(sig.tests, 28);
		for (int f = 0; f < 20; f++) {
			false_ones += f >= 10 && sig.feature[0][f];
			missed += f < 10 && !sig.feature[0][f];
		}
		significance_free(&sig);
		scores_free(&s);
		lab_close(&l);
	}
	/* Of about 115 rejections 5 % may be false; six or more of 50 nulls would have p < 0.001. */
	cr_assert_leq(false_ones, 5, "%d noise features are significant", false_ones);
	cr_assert_leq(missed, 2, "%d real features were missed", missed);
}

/* Near the threshold the p-values are exact: the verdicts are those of exact p-values throughout. */
Test(significance, verdicts_are_those_of_exact_p_values)
{
	int64_t inverted = 0, found[2] = { 0 };

	for (uint64_t seed = 1; seed <= 12; seed++)
		for (int rule = 0; rule < 2; rule++) {
			struct lab l;
			struct scores s;
			struct significance sig;
			double p[28];
			unsigned char want[28];

			lab_open(&l, half_noise(seed), 60, seed);
			score(&l, &s);
			memcpy(p, s.layer[0].p, 20 * sizeof *p);
			memcpy(p + 20, s.layer[1].p, 8 * sizeof *p);
			cr_assert_eq(dependence_refine(&s.moment[0], &s.psi_moment, 1, 0, 1, p, NULL, NULL), TAMIS_OK);
			cr_assert_eq(dependence_refine(&s.moment[1], &s.psi_moment, 1, 0, 1, p + 20, NULL, NULL), TAMIS_OK);
			cr_assert_eq(fdr_adjust((enum fdr_rule)rule, p, 28, 0.1, NULL, want, NULL, NULL), TAMIS_OK);
			cr_assert_eq(significance_find(&l.layers, &s, (enum fdr_rule)rule, 0.1, &sig, NULL), TAMIS_OK);
			for (int i = 0; i < 28; i++)
				cr_assert_eq(i < 20 ? sig.feature[0][i] : sig.feature[1][i - 20], want[i], "test %d, seed %d", i, (int)seed);
			inverted += sig.inverted;
			found[rule] += sig.significant;
			significance_free(&sig);
			scores_free(&s);
			lab_close(&l);
		}
	cr_assert_gt(inverted, 0);
	cr_assert_lt(found[FDR_BENJAMINI_YEKUTIELI], found[FDR_BENJAMINI_HOCHBERG]);
}

/* y = (|x_0| + 1.5 x_1, |x_0| - 1.5 x_1): x_0 moves the outputs and is correlated with no function of them. */
Test(significance, rich_features_see_dependence_without_correlation)
{
	const float w1[] = { 1, -1, 0, 0, 0, 0, 1, -1, 0, 0, 0, 0 }, w2[] = { 1, 1, 1, 1, 1.5, -1.5, -1.5, 1.5 };
	bool significant[2][3];

	for (int rich = 0; rich < 2; rich++) {
		struct document *d = build_model(17);
		struct rng r = rng_make(1, 0);
		struct significance sig;
		struct scores s;
		struct lab l;

		build_input(d, "x", 2, DIMS(-1, 3));
		build_output(d, "y", 2, DIMS(-1, 2));
		memcpy(build_floats(d, "w1", 2, DIMS(3, 4), 1, &r), w1, sizeof w1);
		memcpy(build_floats(d, "w2", 2, DIMS(4, 2), 1, &r), w2, sizeof w2);
		build_node(d, "MatMul", "x w1", "c");
		build_node(d, "Relu", "c", "a");
		build_node(d, "MatMul", "a w2", "y");
		lab_open(&l, d, 1500, 3);
		score_with(&l, "general", rich, &s);
		cr_assert_eq(significance_find(&l.layers, &s, FDR_BENJAMINI_HOCHBERG, 0.01, &sig, NULL), TAMIS_OK);
		for (int f = 0; f < 3; f++)
			significant[rich][f] = sig.feature[0][f];
		significance_free(&sig);
		scores_free(&s);
		lab_close(&l);
	}
	cr_assert(!significant[0][0] && significant[1][0], "x_0");
	cr_assert(significant[0][1] && significant[1][1], "x_1");
	cr_assert(!significant[0][2] && !significant[1][2], "x_2 is noise");
}

Test(significance, layers_left_alone_are_not_tested)
{
	struct lab l;
	struct scores s;
	struct significance sig;
	int64_t sum = 0;

	lab_open(&l, net_deep(1), 40, 1);
	make_up(&l, &s, 1);
	l.layers.list[1].note = "for a test";
	cr_assert_eq(significance_find(&l.layers, &s, FDR_BENJAMINI_HOCHBERG, 0.5, &sig, NULL), TAMIS_OK);
	cr_assert_eq(sig.tests, 20 + 24);
	cr_assert_null(sig.feature[1]);
	for (int i = 0; i < 3; i += 2)
		for (int64_t f = 0; f < l.layers.list[i].features; f++) {
			sum += sig.feature[i][f];
			cr_assert(sig.q[i][f] >= s.layer[i].p[f]);
			cr_assert_eq(sig.feature[i][f], sig.q[i][f] <= 0.5);
		}
	cr_assert_eq(sum, sig.significant);
	significance_free(&sig);
	scores_free(&s);
	lab_close(&l);
}

/* ---- criteria ----------------------------------------------------------------------------------------------- */

static double expected(const char *name, const struct layer *l, const struct layer_score *s, const struct tensor *w,
                       int64_t o, int64_t d)
{
	int64_t first = o / (l->view.outs / l->view.groups) * l->view.fan_in;
	double v = tensor_get(w, layer_offset(&l->view, o, d)), sum = 0;

	if (!strcmp(name, "magnitude"))
		return fabs(v);
	if (!strcmp(name, "taylor"))
		return v * v * s->gradient2[layer_offset(&l->view, o, d)];
	if (!strcmp(name, "fisher"))
		return v * v * s->energy[layer_offset(&l->view, o, d)];
	if (!strcmp(name, "pii"))
		return v * v * l->view.weight_scale * l->view.weight_scale * s->relevance[first + d] * s->gain[o];
	for (int64_t k = 0; k < l->view.fan_in; k++)
		sum += fabs(tensor_get(w, layer_offset(&l->view, o, k))) * sqrt(s->second[first + k]);
	return fabs(v) * sqrt(s->second[first + d]) / sum;
}

Test(criteria, scores_are_their_formulas)
{
	static const char *const names[] = { "pii", "fisher", "taylor", "wanda", "magnitude" };
	struct lab l;
	struct scores s;

	lab_open(&l, net_logits(2), 5, 1);
	make_up(&l, &s, 2);
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 5; k++) {
			const struct layer *x = &l.layers.list[i];
			float *out = calloc((size_t)x->entries, sizeof *out);

			criterion_find(names[k])->score(x, &s.layer[i], weight_of(&l, i)->data, 1, out, NULL);
			for (int64_t o = 0; o < x->view.outs; o++)
				for (int64_t d = 0; d < x->view.fan_in; d++) {
					double want = expected(names[k], x, &s.layer[i], weight_of(&l, i), o, d);

					cr_assert(fabs(out[layer_offset(&x->view, o, d)] - want) <= 1e-5 * want, "%s %lld %lld", names[k],
					          (long long)o, (long long)d);
				}
			free(out);
		}
	scores_free(&s);
	lab_close(&l);
}

/* Variance of input d that the other inputs of the row's support do not explain: Schur's complement, by a general
 * solver instead of an inverse. */
static double unexplained(const double *cov, int64_t n, const bool *in, int64_t d, double damping)
{
	double *a = calloc((size_t)(n * n), sizeof *a), *b = calloc((size_t)n, sizeof *b), own = cov[d * n + d] + damping;
	lapack_int *pivot = calloc((size_t)n, sizeof *pivot);

	for (int64_t i = 0; i < n; i++) {
		bool used = in[i] && i != d;

		for (int64_t k = 0; k < n; k++)
			a[i * n + k] = used && in[k] && k != d ? cov[i * n + k] : 0;
		a[i * n + i] = used ? a[i * n + i] + damping : 1;
		b[i] = used ? cov[i * n + d] : 0;
	}
	cr_assert_eq(LAPACKE_dgesv(LAPACK_ROW_MAJOR, (lapack_int)n, 1, a, (lapack_int)n, pivot, b, 1), 0);
	for (int64_t i = 0; i < n; i++)
		own -= in[i] && i != d ? cov[i * n + d] * b[i] : 0;
	free(a);
	free(b);
	free(pivot);
	return own;
}

static void check_obs(const struct lab *l, const struct scores *s, int i, bool related)
{
	const struct layer *x = &l->layers.list[i];
	struct layer_score *y = &s->layer[i];
	const float *w = weight_of(l, i)->data;
	float *out = calloc((size_t)x->entries, sizeof *out);
	double *kept = y->covariance;

	y->covariance = related ? kept : NULL;
	cr_assert_eq(criterion_find("obs")->score(x, y, w, 1, out, NULL), TAMIS_OK);
	y->covariance = kept;
	for (int64_t o = 0; o < x->view.outs; o++) {
		int64_t n = x->view.fan_in, first = o / (x->view.outs / x->view.groups) * n;
		const double *cov = kept + first * n;
		double damping = 0, scale = x->view.weight_scale;
		bool in[128];

		for (int64_t d = 0; d < n; d++) {
			damping += OBS_DAMPING * cov[d * n + d] / (double)n;
			in[d] = w[layer_offset(&x->view, o, d)] != 0;
		}
		for (int64_t d = 0; d < n; d++) {
			double v = scale * w[layer_offset(&x->view, o, d)], left = cov[d * n + d] > 0 ? cov[d * n + d] + damping : 0;
			double want = v * v * y->gain[o] * (related && left > 0 ? unexplained(cov, n, in, d, damping) : left);

			cr_assert(fabs(out[layer_offset(&x->view, o, d)] - want) <= (related ? 1e-5 : 0.05) * want, "%d %d %d: %g, not %g",
			          i, (int)o, (int)d, (double)out[layer_offset(&x->view, o, d)], want);
		}
	}
	free(out);
}

/* What obs gives, times the root of R over the variance; common: with one support for all rows of a group. */
static void check_partial(const struct lab *l, const struct scores *s, int i, bool common)
{
	const struct layer *x = &l->layers.list[i];
	const struct layer_score *y = &s->layer[i];
	const float *w = weight_of(l, i)->data;
	int64_t n = x->view.fan_in, per = x->view.outs / x->view.groups;
	float *out = calloc((size_t)x->entries, sizeof *out);

	cr_assert_null(y->copies.first);
	cr_assert_eq(partial_score(x, y, y->covariance, common ? 0 : PARTIAL_FLOPS, w, out, NULL), TAMIS_OK);
	for (int64_t o = 0; o < x->view.outs; o++) {
		int64_t first = o / per * n;
		const double *cov = y->covariance + first * n;
		double damping = 0, scale = x->view.weight_scale;
		bool in[128] = { false };

		for (int64_t d = 0; d < n; d++) {
			damping += OBS_DAMPING * cov[d * n + d] / (double)n;
			for (int64_t k = common ? o / per * per : o; k < (common ? (o / per + 1) * per : o + 1); k++)
				in[d] |= w[layer_offset(&x->view, k, d)] != 0;
		}
		for (int64_t d = 0; d < n; d++) {
			double v = scale * w[layer_offset(&x->view, o, d)];
			double variance = y->second[first + d] - y->mean[first + d] * y->mean[first + d];
			double left = cov[d * n + d] > 0 && v != 0 ? unexplained(cov, n, in, d, damping) : 0;
			double want = left > 0 ? v * v * y->gain[o] * left * sqrt(y->relevance[first + d] / variance) : 0;

			cr_assert(fabs(out[layer_offset(&x->view, o, d)] - want) <= 1e-5 * want, "%d %d %d: %g, not %g", i, (int)o, (int)d,
			          (double)out[layer_offset(&x->view, o, d)], want);
		}
	}
	free(out);
}

/* Rows of one support, rows of different ones, groups, an input that is constant, and no covariances. */
Test(criteria, obs_is_what_the_others_cannot_make_up_for)
{
	struct document *(*const nets[])(uint64_t) = { net_logits, net_deep };
	struct scores s;
	struct lab l;

	for (int k = 0; k < 2; k++)
		for (int holes = 0; holes < 2; holes++) {
			struct rng r = rng_make(6, (uint64_t)k);

			lab_open(&l, nets[k](3), 150, 4);
			for (int64_t t = 0; k == 1 && t < 150; t++)
				tensor_set(&l.shelf.in[0], t * 20 + 5, 0.25);
			for (int64_t e = 0; holes && e < weight_of(&l, 0)->count; e++)
				if (rng_uniform(&r) < 0.3)
					tensor_set(weight_of(&l, 0), e, 0);
			score(&l, &s);
			check_obs(&l, &s, 0, true);
			check_obs(&l, &s, 1, true);
			for (int common = 0; common < 2; common++) {
				check_partial(&l, &s, 0, common);
				check_partial(&l, &s, 1, common);
			}
			if (k == 1)
				check_obs(&l, &s, 0, false); /* one position, so the variances are those of all rows */
			scores_free(&s);
			lab_close(&l);
		}
}

Test(criteria, random_is_seeded_and_spares_zeros)
{
	struct lab l;
	struct scores s;
	float a[480], b[480], c[480];

	lab_open(&l, net_deep(2), 5, 1);
	make_up(&l, &s, 2);
	tensor_set(weight_of(&l, 0), 7, 0);
	criterion_find("random")->score(&l.layers.list[0], &s.layer[0], weight_of(&l, 0)->data, 1, a, NULL);
	criterion_find("random")->score(&l.layers.list[0], &s.layer[0], weight_of(&l, 0)->data, 1, b, NULL);
	criterion_find("random")->score(&l.layers.list[0], &s.layer[0], weight_of(&l, 0)->data, 2, c, NULL);
	cr_assert(!memcmp(a, b, sizeof a));
	cr_assert(memcmp(a, c, sizeof a));
	cr_assert_eq(a[7], 0);
	scores_free(&s);
	lab_close(&l);
}

Test(criteria, names)
{
	size_t n;
	const struct criterion *list = criterion_list(&n);

	for (size_t i = 0; i < n; i++)
		cr_assert_eq(criterion_find(list[i].name), &list[i]);
	cr_assert_null(criterion_find("no such criterion"));
	cr_assert_null(criterion_find(""));
}

/* ---- how many, and which ------------------------------------------------------------------------------------ */

Test(cut, keeps_exactly_what_is_wanted)
{
	static const double keeps[] = { 0.999, 0.9, 0.5, 0.1, 0.01, 0.0009 };
	struct lab l;
	struct scores s;
	struct cut c;

	lab_open(&l, net_deep(3), 5, 1);
	make_up(&l, &s, 3);
	open_cut(&l, &s, "pii", NULL, &c);
	cr_assert_eq(c.total, 480 + 576 + 96);
	cr_assert_eq(c.alive, c.total);
	cr_assert_eq(c.kept, c.total);
	for (int i = 0; i < 6; i++) {
		cut_apply(&c, keeps[i]);
		cr_assert_eq(c.kept, llround(keeps[i] * 1152));
		cr_assert_eq(count_kept(&l), c.kept);
	}
	cut_free(&c);
	scores_free(&s);
	lab_close(&l);
}

/* What an own criterion says of each entry, and the order that follows from it. */
static const float *given;

static enum tamis_status as_given(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed,
                                  float *out, struct tamis_error *err)
{
	(void)err;
	(void)s;
	(void)w;
	(void)seed;
	memcpy(out, given, (size_t)l->entries * sizeof *out);
	given += l->entries;
	return TAMIS_OK;
}

struct entry { double weight, score; bool significant; int64_t at; };

static int best_first(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->significant != y->significant)
		return y->significant - x->significant;
	if (x->score != y->score)
		return (y->score > x->score) - (y->score < x->score);
	return (x->at > y->at) - (x->at < y->at);
}

/* Scores with many ties, zeros, infinities and numbers at the ends of the range. (Neighbouring floats count as equal:
 * ranks have a bit less than scores.) */
static float corner(struct rng *r)
{
	static const float corners[] = { 0, 1, 1, 2, 1e-45f, 1e-38f, 3e38f, 0.5f };

	if (rng_below(r, 3))
		return corners[rng_below(r, 8)];
	return ldexpf((float)(1 + rng_below(r, 64)), (int)rng_below(r, 40) - 20);
}

Test(cut, the_kept_ones_are_the_first_of_a_sort)
{
	static const double keeps[] = { 0.95, 0.7, 0.5, 0.31, 0.1, 0.013, 0.001 };

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct criterion criterion = { .name = "given", .tested = true, .score = as_given };
		struct rng r = rng_make(seed, 0);
		struct entry list[1152];
		float scores[1152];
		struct lab l;
		struct scores s;
		struct significance sig;
		struct cut c;
		int64_t n = 0, usable = 0;

		lab_open(&l, net_deep(4), 5, 1);
		make_up(&l, &s, seed);
		cr_assert_eq(significance_find(&l.layers, &s, FDR_BENJAMINI_HOCHBERG, 0.6, &sig, NULL), TAMIS_OK);
		for (int i = 0; i < l.layers.n; i++)
			for (int64_t k = 0; k < l.layers.list[i].entries; k++, n++) {
				struct tensor *w = weight_of(&l, i);

				if (!rng_below(&r, 10))
					tensor_set(w, k, 0);
				scores[n] = corner(&r);
				/* The weights are [inputs, outputs]. */
				list[n] = (struct entry){ tensor_get(w, k), scores[n], sig.feature[i][k / w->dims[1]], n };
				if (list[n].weight == 0 || scores[n] == 0)
					list[n] = (struct entry){ list[n].weight, 0, false, n };
				usable += list[n].weight != 0 && scores[n] > 0;
			}
		given = scores;
		cr_assert_eq(cut_create(&(struct cut_job){ .graph = l.graph, .layers = &l.layers, .scores = &s,
			                                           .criterion = &criterion, .significance = &sig, .seed = 1 }, &c, NULL), TAMIS_OK);
		cr_assert_eq(c.rankable, usable);
		qsort(list, 1152, sizeof *list, best_first);
		for (int q = 0; q < 7; q++) {
			int64_t want = llround(keeps[q] * 1152) < usable ? llround(keeps[q] * 1152) : usable;

			cut_apply(&c, keeps[q]);
			cr_assert_eq(c.kept, want, "seed %d: %lld kept, not %lld", (int)seed, (long long)c.kept, (long long)want);
			for (int64_t m = 0; m < 1152; m++) {
				int64_t at = list[m].at;
				int i = at < 480 ? 0 : at < 1056 ? 1 : 2;
				double now = tensor_get(weight_of(&l, i), at - (i == 0 ? 0 : i == 1 ? 480 : 1056));

				cr_assert_eq(now, m < want ? list[m].weight : 0, "seed %d keep %g: entry %lld is %g", (int)seed, keeps[q],
				             (long long)at, now);
			}
		}
		cut_free(&c);
		significance_free(&sig);
		scores_free(&s);
		lab_close(&l);
	}
}

Test(cut, layers_left_alone_keep_their_bits)
{
	struct lab l;
	struct scores s;
	struct cut c;

	lab_open(&l, net_deep(5), 5, 1);
	make_up(&l, &s, 3);
	l.layers.list[1].note = "for a test";
	open_cut(&l, &s, "pii", NULL, &c);
	cr_assert_eq(c.total, 576);
	cut_apply(&c, 0.25);
	cr_assert_eq(c.kept, 144);
	cr_assert(!memcmp(weight_of(&l, 1)->data, lab_constant(l.original, "w2")->data, 576 * sizeof(float)));
	cut_free(&c);
	scores_free(&s);
	lab_close(&l);
}

Test(cut, keeping_all_restores_every_bit)
{
	static const enum dtype types[] = { DT_FLOAT, DT_DOUBLE, DT_FLOAT16, DT_BFLOAT16 };

	for (int t = 0; t < 4; t++) {
		struct document *d = net_deep(6);
		struct lab l;
		struct scores s;
		struct cut c;

		nets_retype(d, types[t]);
		lab_open(&l, d, 5, 1);
		make_up(&l, &s, 3);
		open_cut(&l, &s, "pii", NULL, &c);
		cut_apply(&c, 0.3);
		cr_assert_eq(count_kept(&l), llround(0.3 * 1152), "%s", dtype_name((int)types[t]));
		for (int64_t k = 0; k < 480; k++) {
			double now = tensor_get(weight_of(&l, 0), k);

			cr_assert(now == 0 || now == tensor_get(lab_constant(l.original, "w1"), k));
		}
		cut_apply(&c, 1);
		cr_assert_eq(c.kept, 1152);
		for (int i = 0; i < l.graph->n_values; i++)
			if (l.graph->values[i].kind == VALUE_CONSTANT)
				cr_assert(!memcmp(l.graph->values[i].constant.data, l.original->values[i].constant.data,
				                  tensor_bytes(&l.original->values[i].constant)), "%s: %s", dtype_name((int)types[t]),
				          l.graph->values[i].name);
		cut_free(&c);
		scores_free(&s);
		lab_close(&l);
	}
}

/* ---- means -------------------------------------------------------------------------------------------------- */

static double *means(const double *y, int64_t count, int64_t outs, bool channel_first, int64_t items)
{
	double *m = calloc((size_t)outs, sizeof *m);
	int64_t inner = channel_first ? count / items / outs : 1;

	for (int64_t i = 0; i < count; i++)
		m[i / inner % outs] += y[i] * (double)outs / (double)count;
	return m;
}

/* A net of one layer (and what follows it): cutting must leave the mean of every output channel. */
static void check_means(struct document *d, int64_t outs, bool channel_first, const char *what)
{
	enum { ITEMS = 120 };
	struct lab l;
	struct scores s;
	struct cut c;
	int64_t n;
	double *before, *after, *a, *b;

	lab_open(&l, d, ITEMS, 21);
	for (int64_t i = 0; i < l.shelf.in[0].count; i++) /* means far from zero */
		tensor_set(&l.shelf.in[0], i, tensor_get(&l.shelf.in[0], i) + 0.5 + (double)(i % 3));
	score(&l, &s);
	open_cut(&l, &s, "magnitude", NULL, &c);
	before = lab_outputs(&l, l.graph, 0, &n);
	cut_apply(&c, 0.4);
	after = lab_outputs(&l, l.graph, 0, &n);
	a = means(before, n, outs, channel_first, ITEMS);
	b = means(after, n, outs, channel_first, ITEMS);
	for (int64_t o = 0; o < outs; o++)
		cr_assert(fabs(a[o] - b[o]) <= 1e-5 * fmax(1, fabs(a[o])), "%s: the mean of output %lld was %.8g, now %.8g", what,
		          (long long)o, a[o], b[o]);
	cr_assert_neq(before[0], after[0]);
	free(a);
	free(b);
	free(before);
	free(after);
	cut_free(&c);
	scores_free(&s);
	lab_close(&l);
}

static void set_float(struct document *d, Onnx__NodeProto *n, const char *name, float v)
{
	Onnx__AttributeProto *a;

	build_number(d, n, name, 0);
	a = n->attribute[n->n_attribute - 1];
	a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
	a->has_i = 0;
	a->has_f = 1;
	a->f = v;
}

static struct document *one_gemm(int trans, float alpha, float beta)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(1, 0);
	Onnx__NodeProto *n;

	build_input(d, "x", 2, DIMS(-1, 9));
	build_output(d, "y", 2, DIMS(-1, 5));
	build_floats(d, "w", 2, trans ? DIMS(5, 9) : DIMS(9, 5), 1, &r);
	build_floats(d, "b", 1, DIMS(5), 1, &r);
	n = build_node(d, "Gemm", "x w b", "y");
	build_number(d, n, "transB", trans);
	set_float(d, n, "alpha", alpha);
	set_float(d, n, "beta", beta);
	return d;
}

static struct document *one_product(void)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(1, 0);

	build_input(d, "x", 3, DIMS(-1, 7, 9));
	build_output(d, "y", 3, DIMS(-1, 7, 5));
	build_floats(d, "w", 2, DIMS(9, 5), 1, &r);
	build_floats(d, "b", 1, DIMS(5), 1, &r);
	build_node(d, "MatMul", "x w", "m");
	build_node(d, "Add", "b m", "y");
	return d;
}

/* 6x5 positions, more than the test's grid. */
static struct document *one_conv(int groups, bool norm, int64_t kernel)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(1, 0);
	static const char *const names[] = { "s", "t", "mean", "var" };

	build_input(d, "x", 4, DIMS(-1, 4, 6, 5));
	build_output(d, "y", 4, DIMS(-1, 6, 7 - kernel, 6 - kernel));
	build_floats(d, "w", 4, DIMS(6, 4 / groups, kernel, kernel), 1, &r);
	build_floats(d, "b", 1, DIMS(6), 1, &r);
	build_number(d, build_node(d, "Conv", norm ? "x w" : "x w b", norm ? "c" : "y"), "group", groups);
	if (!norm)
		return d;
	for (int i = 0; i < 4; i++) {
		float *p = build_floats(d, names[i], 1, DIMS(6), 1, &r);

		for (int k = 0; i == 3 && k < 6; k++)
			p[k] = 0.5f + p[k] * p[k];
	}
	build_node(d, "BatchNormalization", "c s t mean var", "y");
	return d;
}

static struct document *normed_gemm(void)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(1, 0);
	static const char *const names[] = { "s", "t", "mean", "var" };

	build_input(d, "x", 2, DIMS(-1, 9));
	build_output(d, "y", 2, DIMS(-1, 6));
	build_floats(d, "w", 2, DIMS(9, 6), 1, &r);
	for (int i = 0; i < 4; i++) {
		float *p = build_floats(d, names[i], 1, DIMS(6), 1, &r);

		for (int k = 0; i == 3 && k < 6; k++)
			p[k] = 0.5f + p[k] * p[k];
	}
	build_node(d, "MatMul", "x w", "c");
	build_node(d, "BatchNormalization", "c s t mean var", "y");
	return d;
}

Test(cut, means_of_the_outputs_stay)
{
	check_means(one_gemm(0, 1, 1), 5, false, "Gemm");
	check_means(one_gemm(1, 0.3f, 2.5f), 5, false, "Gemm alpha beta transB");
	check_means(one_gemm(0, -2, -0.5f), 5, false, "Gemm negative alpha beta");
	check_means(one_product(), 5, false, "MatMul and Add");
	check_means(one_conv(1, false, 1), 6, true, "Conv 1x1");
	check_means(one_conv(2, false, 3), 6, true, "Conv 3x3 in groups, no padding");
	check_means(one_conv(2, true, 1), 6, true, "Conv and norm");
	check_means(normed_gemm(), 6, true, "MatMul and norm");
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

Test(cut, the_document_gets_what_the_graph_holds)
{
	struct lab l;
	struct scores s;
	struct cut c;
	struct parameters p;
	struct graph *again = NULL;

	lab_open(&l, net_probabilities(7), 60, 1);
	score(&l, &s);
	open_cut(&l, &s, "pii", NULL, &c);
	cut_apply(&c, 0.3);
	cr_assert_eq(parameters_find(l.graph, &l.layers, &(struct layer_filter){ 0 }, (struct parameters_kinds){ 0 }, &p, NULL), TAMIS_OK);
	cr_assert_eq(parameters_write(l.graph, &p, l.doc, NULL), TAMIS_OK);
	cr_assert_eq(graph_build(l.doc, &op_table, &again, NULL), TAMIS_OK);
	for (int i = 0; i < again->n_values; i++)
		if (again->values[i].kind == VALUE_CONSTANT)
			cr_assert(!memcmp(again->values[i].constant.data, l.graph->values[i].constant.data,
			                  tensor_bytes(&again->values[i].constant)));
	graph_free(again);
	parameters_free(&p);
	cut_free(&c);
	scores_free(&s);
	lab_close(&l);
}
