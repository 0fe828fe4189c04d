/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/regroup.h"

#define MERGED "it is merged with another axis"
#define MOST_FORMS 64

/* Axes [x0, x1) of the input hold the elements of axes [y0, y1) of the output. */
struct stretch { int x0, x1, y0, y1; };

static bool next_stretch(const struct tensor *x, const struct tensor *y, struct stretch *s)
{
	int64_t a = 1, b = 1;

	s->x0 = s->x1;
	s->y0 = s->y1;
	if (s->x0 == x->rank && s->y0 == y->rank)
		return false;
	a = s->x1 < x->rank ? x->dims[s->x1++] : 1;
	b = s->y1 < y->rank ? y->dims[s->y1++] : 1;
	while (a != b)
		if (a < b && s->x1 < x->rank)
			a *= x->dims[s->x1++];
		else if (a > b && s->y1 < y->rank)
			b *= y->dims[s->y1++];
		else
			break;
	return true;
}

/* Axes longer than 1, and of the input only those that may still lose something. */
static int candidates(struct channel_call *c, const struct tensor *t, int port, int from, int to, int *axes)
{
	int n = 0;

	for (int i = from; i < to; i++)
		if (t->dims[i] > 1 && (port < 0 || !channels_kept(c, port, i)))
			axes[n++] = i;
	return n;
}

static void keep_others(struct channel_call *c, int port, int from, int to, int but)
{
	for (int i = from; i < to; i++)
		if (i != but)
			channels_keep(c, port, i, MERGED);
}

static void tie_stretch(struct channel_call *c, const struct stretch *s, int a, int b)
{
	const struct tensor *x = c->in[0], *y = c->out[0];
	int64_t all = tensor_extent(x, s->x0, s->x1), in = tensor_extent(x, a + 1, s->x1);
	int64_t out = tensor_extent(y, b + 1, s->y1), step = in < out ? in : out;

	if (in % step || out % step)
		step = 1;
	for (int64_t i = 0; i < all; i += step)
		channels_tie_some(c, 0, a, i / in % x->dims[a], COUPLING_OUT(0), b, i / out % y->dims[b], 1);
}

/* *form becomes what is left of it for the stretches after; the number of forms of this one comes back. */
static int rule_stretch(struct channel_call *c, const struct stretch *s, int *form)
{
	int in[TENSOR_MAX_RANK], out[TENSOR_MAX_RANK];
	int n_in = candidates(c, c->in[0], 0, s->x0, s->x1, in);
	int n_out = candidates(c, c->out[0], -1, s->y0, s->y1, out), here;

	if (!n_in || !n_out) {
		keep_others(c, 0, s->x0, s->x1, -1);
		keep_others(c, COUPLING_OUT(0), s->y0, s->y1, -1);
		return 1;
	}
	here = *form % (n_in * n_out);
	*form /= n_in * n_out;
	tie_stretch(c, s, in[here / n_out], out[here % n_out]);
	keep_others(c, 0, s->x0, s->x1, in[here / n_out]);
	keep_others(c, COUPLING_OUT(0), s->y0, s->y1, out[here % n_out]);
	return n_in * n_out;
}

void channels_regroup(struct channel_call *c)
{
	struct stretch s = { 0 };
	int form = channels_choice(c, 1), forms = 1;

	if (!c->out[0] || !c->in[0]->count) {
		channels_keep_all(c, "it is reshaped while empty");
		return;
	}
	while (next_stretch(c->in[0], c->out[0], &s)) {
		int n = rule_stretch(c, &s, &form);

		forms = forms * n <= MOST_FORMS ? forms * n : forms;
	}
	channels_choice(c, forms);
}
