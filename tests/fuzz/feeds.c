/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a JSON list of feeds. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t dims[2] = { -1, 3 };
	const char *path = fuzz_file("x.json", data, size);

	fuzz_items(path, DT_FLOAT, 2, dims);
	fuzz_items(path, DT_FLOAT, -1, NULL);
	return 0;
}
