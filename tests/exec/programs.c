/* SPDX-License-Identifier: Apache-2.0 */
#include "programs.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "model.h"

struct program *program_of(const struct graph *g, struct program_options options)
{
	struct tamis_error err = { 0 };
	struct program *p = NULL;

	cr_assert_eq(program_create(g, &options, &p, &err), TAMIS_OK, "%s: %s", err.node, err.message);
	return p;
}

static void same(const struct tensor *want, const struct tensor *got, const struct programs_check *c)
{
	unsigned long long seed = c->seed;
	double largest = 1e-3;

	cr_assert(want->type == got->type && tensor_same_shape(want, got), "seed %llu", seed);
	for (int64_t i = 0; i < want->count; i++)
		largest = fmax(largest, fabs(tensor_get(want, i)));
	for (int64_t i = 0; i < want->count; i++)
		cr_assert(fabs(tensor_get(want, i) - tensor_get(got, i)) <= c->tolerance * largest,
		          "seed %llu, element %lld: %g, not %g", seed, (long long)i, tensor_get(got, i), tensor_get(want, i));
}

static void run(struct runner *r, const struct tensor *in, uint64_t seed)
{
	struct tamis_error err = { 0 };

	cr_assert_eq(runner_run(r, in, NULL, &err), TAMIS_OK, "seed %llu: %s: %s", (unsigned long long)seed, err.node,
	             err.message);
}

/* One runner each, over several numbers of items. */
void programs_compare(const struct graph *g, const struct program *plain, const struct program *fast,
                      const struct programs_check *c)
{
	struct runner *a = NULL, *b = NULL;
	struct rng r = rng_make(c->seed, 1);

	cr_assert(!runner_create(plain, &a, NULL) && !runner_create(fast, &b, NULL));
	for (int k = 0; k < c->n; k++) {
		int64_t dims[TENSOR_MAX_RANK] = { c->items[k] };
		struct tensor in;

		memcpy(dims + 1, c->dims, (size_t)c->rank * sizeof *dims);
		in = tensor_make(DT_FLOAT, c->rank + 1, dims, NULL, &r);
		run(a, &in, c->seed);
		run(b, &in, c->seed);
		for (int i = 0; i < g->n_outputs; i++)
			same(runner_output(a, i), runner_output(b, i), c);
		tensor_free(&in);
	}
	runner_free(a);
	runner_free(b);
}
