/* SPDX-License-Identifier: Apache-2.0 */
/* What the pooling family shares between its files. */
#ifndef OPS_POOL_H
#define OPS_POOL_H

#include "ops/family.h"
#include "ops/window.h"

struct pool_attr {
	struct window_attr window;
	bool include_pad;  /* AveragePool: padding counts as elements */
	bool column_major; /* MaxPool: how Indices are numbered */
	double p;          /* LpPool */
};

/* A resolved pooling over planes = batch * channels images; the global forms have one window over
 * everything. */
struct pooling {
	struct window win;
	struct window_span *spans; /* of the last axis, in scratch */
	int64_t planes;
};

/* MaxPool and GlobalMaxPool. */
enum tamis_status pool_run_max(struct op_call *call, const struct pooling *p);
enum tamis_status pool_reverse_max(const struct op_grad *g, const struct pooling *p);

#endif
