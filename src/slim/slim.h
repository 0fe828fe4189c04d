/* SPDX-License-Identifier: Apache-2.0 */
/* The pass list: from a document and items to a slimmer document. */
#ifndef SLIM_SLIM_H
#define SLIM_SLIM_H

#include "exec/feed.h"
#include "onnx/document.h"
#include "base/memory.h"
#include "slim/figures.h"
#include "tamis/tamis.h"

struct slim_inputs {
	struct document *doc;              /* left as it is */
	struct feed_reader *items;
	struct feed_reader *holdout;       /* NULL: a share of items is held out */
	const int64_t *labels;             /* one an item of `items` (of `holdout` where there is one); NULL = none */
	int64_t n_labels;
	bool random_items;
	uint64_t items_kept;               /* bytes that the readers hold from their second pass on */
	const char *calibration_sha256;    /* hex or NULL */
	const struct tamis_slim_options *options;
};

/* *out: a new document, slimmer, that passed the gate; NULL on failure. The figures are filled as far
 * as the work came (also on TAMIS_E_GATE); what they point at lives in `arena`. */
enum tamis_status slim_document(const struct slim_inputs *in, struct document **out, struct slim_figures *figures,
                                struct arena *arena, struct tamis_error *err);

#endif
