/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a target once over each file given, and over the files of each directory given, in order of names. Also over each
 * file cut to half, so that the corpus says something about damage without a fuzzer. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* What libFuzzer gives to mutators of our own; nothing is mutated here. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
	(void)data, (void)max_size;
	return size;
}

static int replayed;

static void replay(const char *path)
{
	uint8_t *data, *exact;
	size_t size;

	fuzz_expect(file_read(path, 1 << 24, &data, &size, NULL) == TAMIS_OK, "a corpus file to be read");
	for (int half = 0; half < 2; half++) {
		size_t n = half ? size / 2 : size;

		exact = malloc(n ? n : 1); /* no longer, so that a sanitizer sees a read behind the end */
		fuzz_expect(exact != NULL, "memory");
		memcpy(exact, data, n);
		LLVMFuzzerTestOneInput(exact, n);
		free(exact);
		replayed++;
	}
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
	for (int i = 1; i < argc; i++) {
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
