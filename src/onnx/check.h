/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the ONNX format, each with a stable id. Operators are not looked at beyond name, domain and
 * arity of names: what tamis can execute is the graph room's question. */
#ifndef ONNX_CHECK_H
#define ONNX_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "onnx/document.h"

#define CHECK_IR_MIN 3  /* older files are an error */
#define CHECK_IR_MAX 13 /* newer files are a warning */

enum check_severity { CHECK_WARNING, CHECK_ERROR };

/* One row of the rule table: severity, id, and the rule as a sentence. */
struct check_rule {
	const char *id; /* lower case, words joined by '-'; never renamed */
	enum check_severity severity;
	const char *text;
};

/* One breach of a rule. Strings live as long as the report. */
struct check_finding {
	const struct check_rule *rule;
	const char *graph;   /* "main", "node conv1/then_branch", "function com.x:Swish" */
	const char *node;    /* name, or "#12 (Conv)"; "" where none is concerned */
	const char *tensor;  /* "" where none is concerned */
	const char *message; /* one sentence: what was expected, what came */
};

struct check_report {
	struct check_finding *findings; /* in file order; errors and warnings mixed */
	size_t count;                   /* kept findings */
	size_t errors, warnings;        /* all that were found, also those not kept */
	struct arena arena;
};

/* Zero-initialise for the defaults. */
struct check_options {
	size_t max_findings; /* kept in the report; 0 = 100 */
	bool no_payloads;    /* skip the payloads of tensors, dense and sparse; default false */
};

/* Checks a whole document: model, graphs (subgraphs to DOC_MAX_SUBGRAPHS), functions, tensors. Findings are
 * not failures: TAMIS_OK whenever the check itself came to its end; TAMIS_E_MEMORY when it could not.
 * External data is checked by name, offset and length; a file is opened for indices of sparse tensors only.
 * *out is the caller's, for check_free. Expected O(size of the tree), by hash tables with whole names
 * compared; no recursion. */
enum tamis_status check_document(const struct document *doc, const struct check_options *options,
                                 struct check_report *out, struct tamis_error *err);

/* TAMIS_OK when there is no error in the report, else TAMIS_E_INVALID with the first error, its rule id in
 * brackets, and how many more there are. */
enum tamis_status check_verdict(const struct check_report *report, struct tamis_error *err);

/* Both in one: loads of rooms want a valid document or a reason. */
enum tamis_status check_or_fail(const struct document *doc, struct tamis_error *err);

void check_free(struct check_report *report);

/* The rule table, sorted by id; *n is its length. */
const struct check_rule *check_rules(size_t *n);

#endif
