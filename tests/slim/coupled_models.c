/* SPDX-License-Identifier: Apache-2.0 */
/* Random networks as files, for others to judge (coupled.py). COUPLED_FOLDER, COUPLED_FROM and COUPLED_TO say where and which
 * seeds; without them there is nothing to do. `make` writes SEED.onnx. `cut` reads it, and writes SEED-zeroed.onnx, where
 * nothing reads some random units, and SEED-cut.onnx, without them; and the same for whole groups, SEED-hushed.onnx and
 * SEED-gone.onnx. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "coupled.h"
#include "random_nets.h"

#define SHARE 0.4

static const char *path_of(char buf[512], uint64_t seed, const char *what)
{
	snprintf(buf, 512, "%s/%llu%s.onnx", getenv("COUPLED_FOLDER"), (unsigned long long)seed, what);
	return buf;
}

static void save(struct document *d, uint64_t seed, const char *what)
{
	const struct doc_save_options options = { .external = DOC_EXTERNAL_KEEP };
	struct tamis_error err = { 0 };
	char path[512];

	cr_assert_eq(doc_save(d, path_of(path, seed, what), &options, &err), TAMIS_OK, "%s", err.message);
}

static struct document *load(uint64_t seed, const char *what)
{
	struct tamis_error err = { 0 };
	struct document *d = NULL;
	char path[512];

	cr_assert_eq(doc_load(path_of(path, seed, what), NULL, &d, &err), TAMIS_OK, "%s", err.message);
	return d;
}

static void each(void (*run)(uint64_t seed))
{
	const char *from = getenv("COUPLED_FROM"), *to = getenv("COUPLED_TO");

	for (uint64_t seed = from ? strtoull(from, NULL, 10) : 1; to && seed <= strtoull(to, NULL, 10); seed++)
		run(seed);
}

static void make(uint64_t seed)
{
	struct document *d = random_net(seed);

	save(d, seed, "");
	doc_free(d);
}

static void cut(uint64_t seed)
{
	struct document *d = load(seed, "");

	coupled_silence(d, SHARE, seed);
	save(d, seed, "-zeroed");
	coupled_cut(d, SHARE, seed);
	save(d, seed, "-cut");
	doc_free(d);
}

static void remove_whole(uint64_t seed)
{
	struct document *d = load(seed, "");

	coupled_silence_whole(d, seed);
	save(d, seed, "-hushed");
	build_remove(d);
	save(d, seed, "-gone");
	doc_free(d);
}

Test(coupled, make)
{
	each(make);
}

Test(coupled, cut)
{
	each(cut);
	each(remove_whole);
}
