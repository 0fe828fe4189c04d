/* SPDX-License-Identifier: Apache-2.0 */
/* What the executor has to know of Scan; the arities of all control-flow nodes are checked when they are parsed. */
#ifndef OPS_CONTROL_H
#define OPS_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

/* Lists have n_scans entries for inputs (one a scanned input) and n_stacked for outputs; NULL = all 0. */
struct scan_attr {
	int n_states, n_scans, n_stacked;
	bool batched; /* opset 8: axis 0 of everything is a batch, input 0 may be lengths */
	const int64_t *in_axes, *in_back, *out_axes, *out_back;
};

#endif
