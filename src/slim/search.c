/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/search.h"

#include <math.h>

static double keep_at(int depth)
{
	return pow(SEARCH_STEP, depth);
}

/* Looks like a pass on the fitting items? What the bound adds for uncertainty there is about what it adds on the held-out ones. */
static enum tamis_status looks_good(const struct search_job *j, int depth, bool *good, struct tamis_error *err)
{
	struct gate_result r = { 0 };
	enum tamis_status s;

	cut_apply(j->cut, keep_at(depth));
	s = gate_judge(j->guess, j->cut->graph, 1 - j->confidence, &r, err);
	*good = r.passed;
	return s;
}

/* The deepest depth that looks good, by bisection: 0 when none does. */
static enum tamis_status guess_depth(const struct search_job *j, int *depth, struct tamis_error *err)
{
	int good = 0, bad = SEARCH_DEPTHS + 1;
	enum tamis_status s = TAMIS_OK;

	while (s == TAMIS_OK && bad - good > 1) {
		int middle = good + (bad - good) / 2;
		bool ok = false;

		s = looks_good(j, middle, &ok, err);
		if (ok)
			good = middle;
		else
			bad = middle;
	}
	*depth = good;
	return s;
}

static enum tamis_status look(const struct search_job *j, double keep, struct search_result *out, bool *passed,
                              struct tamis_error *err)
{
	struct gate_result r = { 0 };
	struct look_line *l = &out->looks[out->n_looks];
	enum tamis_status s;

	cut_apply(j->cut, keep);
	s = gate_judge(j->gate, j->cut->graph, 1 - j->confidence, &r, err);
	if (s != TAMIS_OK)
		return s;
	*l = (struct look_line){ .keep = keep, .value = r.value, .bound = r.bound, .disagreement = r.disagree,
		.passed = r.passed };
	l->ratio = j->cut->kept ? (double)j->cut->alive / (double)j->cut->kept : INFINITY;
	out->n_looks++;
	*passed = r.passed;
	if (r.passed) {
		out->passed = true;
		out->keep = keep;
	}
	return TAMIS_OK;
}

/* Quarters of the way first, so that a hopeless model is told early, then every depth from just below the guess. */
static enum tamis_status walk(const struct search_job *j, int guess, struct search_result *out,
                              struct tamis_error *err)
{
	int close = guess > 6 ? guess - 6 : 1;
	bool passed = true;
	enum tamis_status s = TAMIS_OK;

	for (int quarter = 1; s == TAMIS_OK && passed && quarter <= 3; quarter++)
		if (close * quarter / 4 >= 1)
			s = look(j, keep_at(close * quarter / 4), out, &passed, err);
	for (int d = close; s == TAMIS_OK && passed && d <= SEARCH_DEPTHS; d++)
		s = look(j, keep_at(d), out, &passed, err);
	return s;
}

enum tamis_status search_depth(const struct search_job *job, struct search_result *out, struct tamis_error *err)
{
	enum tamis_status s;
	int depth = 0;
	bool passed;

	*out = (struct search_result){ .keep = 1 };
	out->looks = arena_array(job->arena, SEARCH_DEPTHS + 8, sizeof *out->looks);
	if (!out->looks)
		return tm_no_memory(err, "searching the depth");
	if (job->keep > 0) {
		s = look(job, job->keep, out, &passed, err);
	} else {
		s = guess_depth(job, &depth, err);
		if (s == TAMIS_OK)
			s = walk(job, depth, out, err);
	}
	if (s == TAMIS_OK)
		cut_apply(job->cut, out->passed ? out->keep : 1);
	return s;
}
