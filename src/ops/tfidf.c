/* SPDX-License-Identifier: Apache-2.0 */
/* TfIdfVectorizer over integers: how often each n-gram of a pool occurs in a row, with gaps of equal length. */
#include <stdlib.h>
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"

enum weighting { COUNTS, PRESENCE, WEIGHTED }; /* TF, IDF, TFIDF */

/* n integers of the pool, and the output element that counts them. */
struct gram { const int64_t *item; int64_t n, column; };

struct tfidf_attr {
	struct gram *grams; /* sorted by length, then item by item; no two alike */
	int64_t n_grams;
	int64_t shortest, longest, skips, columns;
	int weighting;
	const float *weights; /* by column; NULL: ones */
};

static int compare_grams(const void *a, const void *b)
{
	const struct gram *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	for (int64_t i = 0; i < x->n; i++)
		if (x->item[i] != y->item[i])
			return x->item[i] < y->item[i] ? -1 : 1;
	return 0;
}

/* ---- The pool ---- */

struct pool { const int64_t *items, *starts, *columns; int n_items, n_starts, n_columns; };

static enum tamis_status read_pool(const struct op_parse *p, struct pool *pool)
{
	enum tamis_status s;

	if (!attr_has(p, "pool_int64s"))
		return tm_fail(p->err, TAMIS_E_UNSUPPORTED, "TfIdfVectorizer is supported over integers (pool_int64s) only");
	if ((s = attr_ints(p, "pool_int64s", &pool->items, &pool->n_items)) || (s = attr_required(p, "ngram_counts")) ||
	    (s = attr_ints(p, "ngram_counts", &pool->starts, &pool->n_starts)) ||
	    (s = attr_required(p, "ngram_indexes")))
		return s;
	return attr_ints(p, "ngram_indexes", &pool->columns, &pool->n_columns);
}

/* The n-grams of length n are the items from starts[n - 1] up to the next start. */
static enum tamis_status cut_pool(const struct op_parse *p, const struct pool *pool, struct tfidf_attr *a)
{
	int64_t next = 0;

	for (int k = 0; k < pool->n_starts; k++) {
		int64_t from = pool->starts[k], to = k + 1 < pool->n_starts ? pool->starts[k + 1] : pool->n_items;

		if (from < 0 || to < from || to > pool->n_items || (to - from) % (k + 1))
			return tm_fail(p->err, TAMIS_E_INVALID, "ngram_counts do not cut the pool into n-grams of length %d", k + 1);
		for (; from < to; from += k + 1, next++) {
			if (next >= pool->n_columns || pool->columns[next] < 0 || pool->columns[next] == INT64_MAX)
				return tm_fail(p->err, TAMIS_E_INVALID, "ngram_indexes gives no place for n-gram %lld", (long long)next);
			if (pool->columns[next] >= a->columns)
				a->columns = pool->columns[next] + 1;
			a->grams[a->n_grams++] = (struct gram){pool->items + from, k + 1, pool->columns[next]};
		}
	}
	qsort(a->grams, (size_t)a->n_grams, sizeof *a->grams, compare_grams);
	for (int64_t i = 1; i < a->n_grams; i++)
		if (compare_grams(&a->grams[i - 1], &a->grams[i]) == 0)
			return tm_fail(p->err, TAMIS_E_INVALID, "the pool holds an n-gram of length %lld twice",
			               (long long)a->grams[i].n);
	return TAMIS_OK;
}

static enum tamis_status read_weights(const struct op_parse *p, struct tfidf_attr *a)
{
	int n;
	enum tamis_status s = attr_floats(p, "weights", &a->weights, &n);

	if (s == TAMIS_OK && n == 0)
		a->weights = NULL;
	else if (s == TAMIS_OK && n > 0 && n < a->columns)
		return tm_fail(p->err, TAMIS_E_INVALID, "there are %d weights for %lld outputs", n, (long long)a->columns);
	return s;
}

static enum tamis_status read_lengths(const struct op_parse *p, struct tfidf_attr *a)
{
	enum tamis_status s;

	if ((s = attr_required(p, "min_gram_length")) || (s = attr_int(p, "min_gram_length", 1, &a->shortest)) ||
	    (s = attr_required(p, "max_gram_length")) || (s = attr_int(p, "max_gram_length", 1, &a->longest)) ||
	    (s = attr_required(p, "max_skip_count")) || (s = attr_int(p, "max_skip_count", 0, &a->skips)))
		return s;
	if (a->shortest < 1 || a->longest < a->shortest || a->skips < 0)
		return tm_fail(p->err, TAMIS_E_INVALID, "n-grams of lengths %lld to %lld with %lld skips are not possible",
		               (long long)a->shortest, (long long)a->longest, (long long)a->skips);
	return TAMIS_OK;
}

static enum tamis_status tfidf_parse(struct op_parse *p, void **attr)
{
	static const char *const modes[] = {"TF", "IDF", "TFIDF", NULL};
	struct tfidf_attr *a = *attr = args_alloc(p, sizeof *a);
	struct pool pool = {0};
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	if ((s = attr_required(p, "mode")) || (s = attr_choice(p, "mode", modes, COUNTS, &a->weighting)) ||
	    (s = read_lengths(p, a)) || (s = read_pool(p, &pool)))
		return s;
	a->grams = args_alloc(p, ((size_t)pool.n_items + 1) * sizeof *a->grams);
	if (!a->grams)
		return TAMIS_E_MEMORY;
	s = cut_pool(p, &pool, a);
	return s ? s : read_weights(p, a);
}

/* ---- Counting ---- */

static enum tamis_status tfidf_shape(struct op_call *c)
{
	const struct tfidf_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];

	if (x->type != DT_INT32 && x->type != DT_INT64)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "TfIdfVectorizer does not take elements of type %s",
		               dtype_name((int)x->type));
	if (x->rank > 2)
		return tm_fail(c->err, TAMIS_E_INVALID, "TfIdfVectorizer takes a row or a list of rows, not rank %d", x->rank);
	if (x->rank < 2)
		return op_set_out(c, 0, DT_FLOAT, 1, &a->columns);
	return op_set_out(c, 0, DT_FLOAT, 2, (const int64_t[]){x->dims[0], a->columns});
}

/* Adds the n-grams of length n, `step` apart, to the counts of the row. O(length * n * log pool). */
static void count_grams(const struct tfidf_attr *a, const int64_t *row, int64_t length, int64_t n, int64_t step,
                        int64_t *window, float *counts)
{
	for (int64_t from = 0; from < length && (n - 1) < (length - from + step - 1) / step; from++) {
		struct gram key = {window, n, 0};
		const struct gram *found;

		for (int64_t i = 0; i < n; i++)
			window[i] = row[from + i * step];
		found = bsearch(&key, a->grams, (size_t)a->n_grams, sizeof key, compare_grams);
		if (found)
			counts[found->column] += 1;
	}
}

/* Single items stand at any distance from each other: they are counted once. Nothing is found that is longer than the
 * pool's longest, which its order puts last. */
static void count_row(const struct tfidf_attr *a, const int64_t *row, int64_t length, int64_t *window, float *counts)
{
	int64_t pooled = a->n_grams ? a->grams[a->n_grams - 1].n : 0;

	for (int64_t n = a->shortest; n <= a->longest && n <= pooled && n <= length; n++)
		for (int64_t step = 1; step - 1 <= a->skips && step <= length && (n > 1 || step == 1); step++)
			count_grams(a, row, length, n, step, window, counts);
}

static void weigh_row(const struct tfidf_attr *a, float *counts)
{
	for (int64_t i = 0; a->weighting != COUNTS && i < a->columns; i++) {
		float weight = a->weights ? a->weights[i] : 1;

		if (a->weighting == PRESENCE)
			counts[i] = counts[i] > 0 ? weight : 0;
		else
			counts[i] *= weight;
	}
}

static enum tamis_status tfidf_run(struct op_call *c)
{
	const struct tfidf_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int64_t rows = x->rank == 2 ? x->dims[0] : 1, length = x->rank == 2 ? x->dims[1] : x->count;
	int64_t *row = scratch_alloc(c->scratch, (size_t)length + 1, 2 * sizeof *row);
	float *counts = c->out[0]->data;

	if (!row)
		return tm_no_memory(c->err, "counting n-grams");
	if (c->out[0]->count)
		memset(counts, 0, tensor_bytes(c->out[0]));
	for (int64_t r = 0; r < rows; r++) {
		for (int64_t i = 0; i < length; i++)
			row[i] = tensor_get_int(x, r * length + i);
		count_row(a, row, length, row + length, counts + r * a->columns);
		weigh_row(a, counts + r * a->columns);
	}
	return TAMIS_OK;
}

const struct op ops_tfidf[] = {
	{.name = "TfIdfVectorizer", .domain = "", .since = 9, .until = OP_LATEST, .min_in = 1, .max_in = 1,
	 .min_out = 1, .max_out = 1, .parse = tfidf_parse, .shape = tfidf_shape, .run = tfidf_run},
	{0},
};
