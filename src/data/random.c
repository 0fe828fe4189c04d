/* SPDX-License-Identifier: Apache-2.0 */
/* Made-up items: standard normal floats, and 0 or 1 for integers and booleans, which are in range wherever an
 * integer is an index or a token. */
#include "base/rng.h"
#include "data/source.h"

/* Without a first axis to stack along in some input, every item is a feed. */
bool random_is_whole(const struct data_source *s)
{
	for (int i = 0; i < s->n_inputs; i++)
		if (s->inputs[i].rank < 1 || s->inputs[i].dims[0] > 1 || s->inputs[i].dims[0] == 0)
			return true;
	return false;
}

void random_fill(const struct data_source *s, int input, int64_t index, struct tensor *item)
{
	struct rng r = rng_make(s->options.seed, rng_hash((uint64_t)input, (uint64_t)index));
	char kind = dtype_kind((int)item->type);

	for (int64_t i = 0; i < item->count; i++)
		if (kind == 'i' || kind == 'u' || kind == 'b')
			tensor_set(item, i, (double)rng_below(&r, 2));
		else
			tensor_set(item, i, rng_normal(&r));
}
