/* SPDX-License-Identifier: Apache-2.0 */
/* One report in memory, several renderings. Passes fill the plain structs; text.c and json.c only read them. */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"
#include "slim/figures.h"
#include "slim/forecast/forecast.h"
#include "slim/scorefile/view.h"

/* Strings live in the report's arena or are constants. NAN / -1 where a figure does not apply. */

struct info_layer { const char *node, *op, *weight, *shape; int64_t entries, zeros; double macs; bool slimmable; const char *note; };
/* What a channel group lies on. role: makes, reads, passes (nodes), holds (a tensor, op NULL). */
struct info_member { const char *role, *name, *op; };
struct info_group {
	int64_t units;          /* any of which may go */
	double macs, bytes;     /* that one unit takes, an item; in tensors */
	const char *why;        /* why none may go; NULL = they may */
	const char *why_node, *why_op; /* what that is said of; NULL: the graph's edge */
	struct info_member *members;   /* by role */
	size_t n_members;
};
struct info_count { const char *domain, *op; int64_t nodes; bool supported; };
struct info_figures {
	const char *model, *producer;
	int64_t ir_version;
	const char *opsets;     /* "ai.onnx 17, com.microsoft 1" */
	const char *inputs, *outputs; /* "image: uint8[batch,1,28,28]", one a line */
	struct model_figures figures;
	struct info_layer *layers;
	size_t n_layers;
	struct info_group *groups; /* NULL: not asked for */
	size_t n_groups;
	struct info_count *ops;
	size_t n_ops;
};

struct check_line { const char *rule, *severity, *place, *sentence; };
struct check_figures { const char *model; struct check_line *lines; size_t n_lines; int64_t errors, warnings; };

struct compare_figures {
	const char *a, *b;
	int64_t items;
	int64_t agree;                          /* items with the same class; -1 where no classes */
	double agree_lower, agree_upper;        /* exact 95 % interval */
	double max_abs, max_rel, relative_squared_error; /* over all float outputs */
	double expected_loss;                   /* under a's own probabilities; NAN where no classes */
	double accuracy_a, accuracy_b, mcnemar_p; /* NAN without labels */
	int64_t only_a, only_b;
};

struct op_line { const char *domain, *name; int since, until; bool reverse, linear; };
struct ops_figures { struct op_line *lines; size_t n_lines; };

struct cpu_figures { const char *processor, *blas, *blas_core, *advice, *convolution; int threads; };

enum report_kind { REPORT_SLIM, REPORT_INFO, REPORT_CHECK, REPORT_COMPARE, REPORT_OPS, REPORT_SCORES, REPORT_CPU,
	REPORT_PLAN };

struct tamis_report {
	enum report_kind kind;
	struct arena arena;           /* owns strings and arrays */
	const char **warnings;
	size_t n_warnings, cap_warnings;
	struct score_file score_file; /* behind the figures of REPORT_SCORES; owned */
	struct cpu_figures cpu;       /* with info --cpu; processor NULL otherwise */
	union {
		struct slim_figures slim;
		struct info_figures info;
		struct check_figures check;
		struct compare_figures compare;
		struct ops_figures ops;
		struct scores_figures scores;
		struct forecast_figures plan;
	};
};

/* An empty report of a kind, figures NAN / -1 where not known; NULL when out of memory. */
struct tamis_report *report_create(enum report_kind kind);
enum tamis_status report_warn(struct tamis_report *r, const char *sentence); /* copied; TAMIS_E_MEMORY */
void report_free(struct tamis_report *r);

enum tamis_status report_text(const struct tamis_report *r, char **text, struct tamis_error *err);
/* TAMIS_E_USAGE for kinds that have no page. */
enum tamis_status report_html(const struct tamis_report *r, char **html, struct tamis_error *err);
enum tamis_status report_json(const struct tamis_report *r, char **json, struct tamis_error *err);

#endif
