/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as an .npz. A zip without its magic is no zip, so that the bytes need not lead there. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t dims[2] = { -1, 3 };
	const char *path = fuzz_file("x.npz", data, size);

	fuzz_items(path, DT_FLOAT, 2, dims);
	fuzz_items(path, DT_DOUBLE, -1, NULL);
	return 0;
}
