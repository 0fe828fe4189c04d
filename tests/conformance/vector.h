/* SPDX-License-Identifier: Apache-2.0 */
/* One conformance vector: a folder with model.onnx and test_data_set_N/{input,output}_M.pb. */
#ifndef TESTS_CONFORMANCE_VECTOR_H
#define TESTS_CONFORMANCE_VECTOR_H

#include <stddef.h>

enum outcome {
	OUTCOME_PASS,    /* every output of every data set agrees */
	OUTCOME_REFUSED, /* tamis said before or while running that it does not support something */
	OUTCOME_WRONG    /* another result, or an error where there is none */
};

/* Runs the model of `folder` as a user's would be run. Floats have to agree to `tolerance`, relative, and to
 * a
 * hundredth of that, absolute; 0 is 1e-4, and 1e-2 for half types. All others have to be equal. `why` gets
 * one
 * line, empty when it passes. Does not return when tamis crashes: call it in a process of its own. */
enum outcome vector_run(const char *folder, double tolerance, char *why, size_t size);

#endif
