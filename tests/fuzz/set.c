/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as input_0.pb of a test_data_set. */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t dims[2] = { -1, -1 };
	char path[128];

	snprintf(path, sizeof path, "%s/test_data_set_0", fuzz_dir());
	fuzz_expect(mkdir(path, 0700) == 0 || errno == EEXIST, "a directory to be made");
	fuzz_file("test_data_set_0/input_0.pb", data, size);
	fuzz_items(path, DT_FLOAT, 2, dims);
	fuzz_items(path, DT_STRING, -1, NULL);
	fuzz_items(path, DT_INT64, -1, NULL);
	return 0;
}
