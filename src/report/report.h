/* SPDX-License-Identifier: Apache-2.0 */
/* One report in memory, several renderings. Passes fill the plain structs; text.c and json.c only read them. */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"

/* Strings live in the report's arena or are constants. NAN / -1 where a figure does not apply. */

struct model_figures {
	int64_t nodes, initializers;
	int64_t parameters;   /* float entries of all initializers */
	int64_t nonzeros;     /* of them not zero */
	int64_t connections, connections_nonzero; /* entries of weights that make connections */
	double macs;          /* an item, dense; -1 unknown */
	double macs_nonzero;  /* of them with a weight that is not zero */
	int64_t file_bytes;   /* -1 unknown; external data included */
	int64_t gzip_bytes;   /* -1 not measured */
	int64_t channels;     /* output channels of linear nodes */
};

struct layer_line {
	const char *node, *op, *weight; /* node name, operator, initializer name */
	const char *shape;              /* of the weight before, "20x1x5x5" */
	int64_t entries, kept;          /* connections before and after (zeroed and removed ones are not kept) */
	int64_t features, significant;  /* distinct tests and how many are significant at alpha */
	int64_t channels, channels_kept;
	const char *storage;            /* "dense", "sparse", "external" */
	const char *note;               /* why it was left alone; NULL where it was slimmed */
};

struct gate_figures {
	const char *kind;        /* "expected accuracy loss" or "relative squared error", "accuracy loss (labels)" */
	int64_t fit_items, held_out_items;
	double tolerance, confidence;
	double value, bound;     /* on the held-out items, of what was written */
	double disagreement, disagreement_upper; /* share of changed classes and its exact bound; NAN where no classes */
	double worst;            /* worst item's loss or error */
	int looks;               /* cuts judged on the held-out items */
	const char *spending;    /* how the looks share the error: "fixed sequence" or "bonferroni" */
	bool passed;
	double label_loss, label_p; /* accuracy loss on labels and McNemar's p; NAN without labels */
	double accuracy_before, accuracy_after; /* on held-out labels; NAN without */
};

struct look_line { double keep, ratio, value, bound, disagreement; bool passed; };

struct slim_figures {
	const char *model, *criterion;
	double alpha;
	uint64_t seed;
	struct model_figures before, after;
	struct gate_figures gate;
	struct layer_line *layers;
	size_t n_layers;
	struct look_line *looks;
	size_t n_looks;
	int64_t tests, significant; /* distinct tests in all, and those significant */
	int64_t channels_removed;
	double keep;                /* share of connections kept by the chosen cut */
	double seconds_score, seconds_search, seconds_total;
	const char *blas_core;
	bool random_items, dry_run;
	bool ir_raised;             /* the IR version was raised for sparse storage */
};

struct info_layer { const char *node, *op, *weight, *shape; int64_t entries, zeros; double macs; bool slimmable; const char *note; };
struct info_count { const char *domain, *op; int64_t nodes; bool supported; };
struct info_figures {
	const char *model, *producer;
	int64_t ir_version;
	const char *opsets;     /* "ai.onnx 17, com.microsoft 1" */
	const char *inputs, *outputs; /* "image: uint8[batch,1,28,28]", one a line */
	struct model_figures figures;
	struct info_layer *layers;
	size_t n_layers;
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

enum report_kind { REPORT_SLIM, REPORT_INFO, REPORT_CHECK, REPORT_COMPARE, REPORT_OPS, REPORT_CPU };

struct tamis_report {
	enum report_kind kind;
	struct arena arena;           /* owns strings and arrays */
	const char **warnings;
	size_t n_warnings, cap_warnings;
	struct cpu_figures cpu;       /* with info --cpu; processor NULL otherwise */
	union {
		struct slim_figures slim;
		struct info_figures info;
		struct check_figures check;
		struct compare_figures compare;
		struct ops_figures ops;
	};
};

/* An empty report of a kind, figures NAN / -1 where not known; NULL when out of memory. */
struct tamis_report *report_create(enum report_kind kind);
enum tamis_status report_warn(struct tamis_report *r, const char *sentence); /* copied; TAMIS_E_MEMORY */
void report_free(struct tamis_report *r);

enum tamis_status report_text(const struct tamis_report *r, char **text, struct tamis_error *err);
enum tamis_status report_json(const struct tamis_report *r, char **json, struct tamis_error *err);

#endif
