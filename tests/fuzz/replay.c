/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a target once over each file given, and over the files of each directory given, in order of names. Also over each
 * file cut to half, and over ROUNDS changes of it by the mutator of the target, or else of single bytes, so that the
 * corpus says something about damage without a fuzzer. The changes are the same in each run.
 *
 *     fuzz-TARGET ROUNDS FILE-OR-DIRECTORY... */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/rng.h"
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) __attribute__((weak));

static struct rng rng;
static int replayed, rounds;

/* What libFuzzer gives to mutators of our own: up to four bytes are changed, or bytes at the end dropped. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
	(void)max_size;
	if (size && rng_below(&rng, 8) == 0)
		return size - rng_below(&rng, size < 16 ? size : 16);
	for (uint64_t k = rng_below(&rng, 4); size && k < 4; k++)
		data[rng_below(&rng, size)] = (uint8_t)rng_next(&rng);
	return size;
}

/* In a block of just that size, so that a sanitizer sees a read behind the end. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	fuzz_expect(exact != NULL, "memory");
	memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	replayed++;
}

static void replay(const char *path)
{
	uint8_t *data, *changed;
	size_t size, room;

	fuzz_expect(file_read(path, 1 << 24, &data, &size, NULL) == TAMIS_OK, "a corpus file to be read");
	run(data, size);
	run(data, size / 2);
	room = 2 * size + 256;
	changed = malloc(room);
	fuzz_expect(changed != NULL, "memory");
	for (int i = 0; i < rounds; i++) {
		unsigned seed = (unsigned)replayed;
		size_t n;

		rng = rng_make(seed, 1);
		memcpy(changed, data, size);
		n = LLVMFuzzerCustomMutator ? LLVMFuzzerCustomMutator(changed, size, room, seed)
		                            : LLVMFuzzerMutate(changed, size, room);
		run(changed, n);
	}
	free(changed);
	free(data);
}

static void replay_directory(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);

	fuzz_expect(n >= 0, "a directory to be read");
	for (int i = 0; i < n; i++) {
		char *file = malloc(strlen(path) + strlen(names[i]->d_name) + 2);

		fuzz_expect(file != NULL, "memory");
		sprintf(file, "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			replay(file);
		free(file);
		free(names[i]);
	}
	free(names);
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 0;
	for (int i = 2; i < argc; i++) {
		struct stat st;

		fuzz_expect(stat(argv[i], &st) == 0, argv[i]);
		if (S_ISDIR(st.st_mode))
			replay_directory(argv[i]);
		else
			replay(argv[i]);
	}
	printf("%d inputs, %d times one was taken\n", replayed, fuzz_taken);
	fuzz_expect(fuzz_taken > 0, "some input to be taken");
	return 0;
}
