/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a weight that are not zero, by row and by column. */
#include <string.h>

#include "base/error.h"
#include "ops/conv.h"
#include "ops/gemm.h"
#include "ops/sparse.h"

/* Element of the weight for output o, channel c of its group and kernel element k: o * out + c * channel + k. */
struct form { int64_t outs, channels, groups, taps, out, channel; };

static bool all_ones(const int64_t *list, int n)
{
	for (int i = 0; i < n; i++)
		if (list[i] != 1)
			return false;
	return true;
}

static bool find_form(const struct node *n, const struct tensor *w, struct form *f)
{
	const struct gemm_attr *gemm = n->attr;
	const struct conv_attr *conv = n->attr;
	const char *name = n->op->name;

	if (w->rank == 2 && strcmp(name, "Gemm") == 0 && !gemm->ta && gemm->alpha == 1 && gemm->beta == 1) {
		*f = (struct form){.outs = w->dims[!gemm->tb], .channels = w->dims[gemm->tb], .groups = 1, .taps = 1};
		f->out = gemm->tb ? f->channels : 1;
		f->channel = gemm->tb ? 1 : f->outs;
		return true;
	}
	if (w->rank == 2 && strcmp(name, "MatMul") == 0) {
		*f = (struct form){w->dims[1], w->dims[0], 1, 1, 1, w->dims[1]};
		return true;
	}
	if (w->rank < 3 || strcmp(name, "Conv") != 0 || !all_ones(conv->window.strides, conv->window.n_strides))
		return false;
	f->taps = tensor_extent(w, 2, w->rank);
	*f = (struct form){w->dims[0], w->dims[1], conv->group, f->taps, w->dims[1] * f->taps, f->taps};
	return f->outs % f->groups == 0;
}

/* Walks the entries that are not zero: counts them by row and column (entry NULL), or puts them into their lists, where
 * first[row + 1] is moved from the row's start to its end. */
static void walk(const struct form *f, const float *w, struct sparse_attr *a)
{
	struct sparse_side *o_side = &a->by_out, *c_side = &a->by_channel;

	for (int64_t o = 0; o < f->outs; o++)
		for (int64_t c = 0; c < f->channels; c++)
			for (int64_t k = 0; k < f->taps; k++) {
				int64_t at = o * f->out + c * f->channel + k, row = o / (f->outs / f->groups) * f->channels + c;

				if (w[at] == 0)
					continue;
				if (o_side->entry) {
					o_side->entry[o_side->first[o + 1]] = (struct sparse_entry){at, (int32_t)row, (int32_t)k};
					c_side->entry[c_side->first[row + 1]] = (struct sparse_entry){at, (int32_t)o, (int32_t)k};
				}
				o_side->first[o + 1]++;
				c_side->first[row + 1]++;
			}
}

/* Counts to starts, each one place later: the walk that fills moves them to where they belong. */
static void make_starts(struct sparse_side *s)
{
	int64_t sum = 0;

	for (int64_t i = 0; i < s->rows; i++) {
		int64_t count = s->first[i + 1];

		s->first[i + 1] = sum;
		sum += count;
	}
}

static int64_t survivors(const struct tensor *w)
{
	const float *data = w->data;
	int64_t n = 0;

	for (int64_t i = 0; i < w->count; i++)
		n += data[i] != 0;
	return n;
}

static bool make_side(struct sparse_side *s, int64_t rows, struct arena *arena)
{
	s->rows = rows;
	s->first = arena_array(arena, (size_t)rows + 1, sizeof *s->first);
	return s->first;
}

static bool fill(const struct form *f, const struct tensor *w, int64_t n, struct arena *arena, struct sparse_attr *a)
{
	if (!make_side(&a->by_out, f->outs, arena) || !make_side(&a->by_channel, f->groups * f->channels, arena))
		return false;
	walk(f, w->data, a);
	make_starts(&a->by_out);
	make_starts(&a->by_channel);
	a->by_out.entry = arena_array(arena, (size_t)n + 1, sizeof *a->by_out.entry);
	a->by_channel.entry = arena_array(arena, (size_t)n + 1, sizeof *a->by_channel.entry);
	if (!a->by_out.entry || !a->by_channel.entry)
		return false;
	walk(f, w->data, a);
	return true;
}

enum tamis_status sparse_find(const struct node *plain, const struct tensor *weight, const struct tensor *bias,
                              struct arena *arena, struct sparse_attr **out, struct tamis_error *err)
{
	struct form f = {0};
	struct sparse_attr *a;
	int64_t n;

	*out = NULL;
	if (weight->type != DT_FLOAT || !find_form(plain, weight, &f) || f.outs > INT32_MAX
	    || f.channels * f.groups > INT32_MAX || (bias && (bias->rank != 1 || bias->count != f.outs)))
		return TAMIS_OK;
	n = survivors(weight);
	if (n > weight->count / SPARSE_SHARE)
		return TAMIS_OK;
	a = arena_alloc(arena, sizeof *a);
	if (!a)
		return tm_no_memory(err, "preparing sparse products");
	*a = (struct sparse_attr){.plain = plain, .taps = f.taps};
	if (!fill(&f, weight, n, arena, a))
		return tm_no_memory(err, "preparing sparse products");
	*out = a;
	return TAMIS_OK;
}
