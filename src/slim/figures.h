/* SPDX-License-Identifier: Apache-2.0 */
/* What slimming did, in figures. Passes fill them; the report room renders them. Strings and arrays live in the arena
 * that was handed over with them, or are constants. NAN / -1 where a figure does not apply. */
#ifndef SLIM_FIGURES_H
#define SLIM_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stat/distribution.h"

struct model_figures {
	int64_t nodes, initializers;
	int64_t parameters;   /* float entries of all initializers and Constant nodes */
	int64_t nonzeros;     /* of them not zero */
	int64_t connections, connections_nonzero; /* entries of weights that make connections */
	double macs;          /* an item, dense; -1 unknown */
	double macs_nonzero;  /* of them with a weight that is not zero */
	int64_t file_bytes;   /* -1 unknown; external data included */
	int64_t gzip_bytes;   /* -1 not measured */
	int64_t channels;     /* output channels of linear nodes */
};

/* Scores of a layer's connections before the cut, and which of them stayed. */
struct layer_histogram {
	struct distribution all;
	int64_t kept[DISTRIBUTION_BINS];
	double cut;                     /* as many scores lie at or above it as connections stayed; 0: none went */
};

struct layer_line {
	const char *node, *op, *weight; /* node name, operator, initializer name */
	const char *shape;              /* of the weight before, "20x1x5x5" */
	int64_t entries, kept;          /* connections before and after (zeroed and removed ones are not kept) */
	int64_t features, significant;  /* distinct tests and how many are significant at alpha */
	int64_t channels, channels_kept;
	const char *storage;            /* "dense", "sparse", "external" */
	const char *note;               /* why it was left alone; NULL where it was slimmed */
	const struct layer_histogram *scores; /* NULL where nothing was cut */
};

struct gate_figures {
	const char *kind;        /* "expected accuracy loss" or "relative squared error", "accuracy loss (labels)" */
	int64_t fit_items, held_out_items;
	double tolerance, confidence;
	double value, bound;     /* on the held-out items, of what was written */
	double disagreement, disagreement_upper; /* share of changed classes and its exact bound; NAN where no classes */
	double expected, tempered; /* the loss as it is estimated without labels: as the original's probabilities are, and at a
	                              temperature that was given or that labels tell; NAN where no classes, or none is known */
	double given_temperature; /* <= 0: none */
	double worst;            /* worst item's loss or error */
	int looks;               /* cuts judged on the held-out items */
	const char *spending;    /* how the looks share the error: "fixed sequence" or "bonferroni" */
	bool passed;
	double label_loss, label_p; /* accuracy loss on labels and McNemar's p; NAN without labels */
	double accuracy_before, accuracy_after; /* on held-out labels; NAN without */
	double calibration_error, temperature;  /* of the original's probabilities against them; NAN without */
};

struct look_line { double keep, ratio, value, bound, disagreement; bool passed; };

struct slim_figures {
	const char *model, *criterion;
	const char *features, *fdr; /* of the test: "linear" or "rich"; "bh" or "by" */
	double alpha;
	uint64_t seed;
	struct model_figures before, after;
	struct gate_figures gate;
	struct layer_line *layers;
	size_t n_layers;
	struct look_line *looks;
	size_t n_looks;
	int64_t tests, significant; /* distinct tests in all, and those significant */
	int64_t inverted;           /* of them near the threshold, their p-values by exact inversion */
	int64_t nodes_folded;        /* into others, exactly */
	int64_t channels_removed;
	double keep;                /* share of connections kept by the chosen cut */
	double seconds_score, seconds_search, seconds_total;
	const char *blas_core;
	bool random_items;
	bool ir_raised;             /* the IR version was raised for sparse storage */
};

#endif
