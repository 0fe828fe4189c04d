/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as an .npy: items of a typed input, of an undeclared one, and labels. */
#include "fuzz.h"

#include <stdlib.h>

#include "data/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t dims[2] = { -1, 3 };
	const char *path = fuzz_file("x.npy", data, size);
	struct tamis_error err = { 0 };
	int64_t *labels = NULL, n = 0;

	fuzz_items(path, DT_FLOAT, 2, dims);
	fuzz_items(path, DT_FLOAT, -1, NULL);
	fuzz_items(path, DT_INT32, 1, dims);
	fuzz_expect_said(data_labels(path, &labels, &n, &err), &err);
	free(labels);
	return 0;
}
