/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_PROVENANCE_H
#define SLIM_PROVENANCE_H

#include "onnx/document.h"

struct provenance {
	const char *version, *options;    /* "0.1.0"; "criterion=pii alpha=0.05 ..." */
	const char *source_sha256;        /* hex */
	const char *calibration_sha256;   /* hex; NULL = not a file */
	const char *gate;                 /* "expected accuracy loss 0.0031 <= 0.0072 (95 %, 600 items)" */
};

/* Sets tamis.version, tamis.options, tamis.source_sha256, tamis.calibration_sha256 and tamis.gate in
 * metadata_props, replacing older ones. */
enum tamis_status provenance_write(struct document *doc, const struct provenance *p, struct tamis_error *err);

/* All entries there and well-formed, and source_sha256 (hex, NULL = not compared) the one recorded; else
 * TAMIS_E_INVALID naming the entry. */
enum tamis_status provenance_check(const struct document *doc, const char *source_sha256,
                                   struct tamis_error *err);

#endif
