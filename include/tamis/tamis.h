/* SPDX-License-Identifier: Apache-2.0 */
/* tamis: slim ONNX models by a significance test on every connection, under a gate that bounds the loss.
 *
 *     struct tamis_error err = {0};
 *     struct tamis_model *model = NULL;
 *     struct tamis_calibration *data = NULL;
 *     struct tamis_report *report = NULL;
 *     struct tamis_slim_options options;
 *     tamis_slim_options_default(&options);
 *     const char *specs[] = { "calib.npz" };
 *     if (tamis_model_open("in.onnx", NULL, &model, &err) == TAMIS_OK
 *         && tamis_calibration_open(model, specs, 1, NULL, &data, &err) == TAMIS_OK
 *         && tamis_slim(model, data, &options, &report, &err) == TAMIS_OK)
 *             tamis_model_save(model, "out.onnx", NULL, &err);
 *
 * No function exits, aborts or prints, and there is no global state: two models may be worked on by two threads.
 * One object must not be used by two threads at once. Every close takes NULL. */
#ifndef TAMIS_TAMIS_H
#define TAMIS_TAMIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tamis/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tamis_model;       /* an ONNX model in memory */
struct tamis_calibration; /* a source of items */
struct tamis_report;      /* what a call found or did, as text and JSON */

/* The version of the library, "0.1.0". */
TAMIS_API const char *tamis_version(void);

/* ---- Watching a call ------------------------------------------------------------------------------------------- */

struct tamis_progress {
	const char *phase; /* "score", "search", ...; valid during the call only */
	double fraction;   /* of the whole call, 0 to 1, never decreasing */
	double remaining;  /* estimated seconds to the end; negative while there is no estimate */
};

struct tamis_observer {
	void *ctx;
	/* Called from the calling thread, a few times a second at most. Non-zero cancels: TAMIS_E_CANCELLED. May be NULL. */
	int (*progress)(void *ctx, const struct tamis_progress *p);
	/* A warning: something the caller should know and that did not stop the call. One sentence. May be NULL. */
	void (*warn)(void *ctx, const char *sentence);
};

/* ---- Models ---------------------------------------------------------------------------------------------------- */

struct tamis_load_options {
	uint64_t max_bytes;  /* largest file read; default 2^31 - 1 (the limit of protobuf) */
	uint64_t max_memory; /* bytes that the model's tree, one decoded tensor and the values of one run may take, each;
	                      * default 0 = 16 GiB */
};
TAMIS_API void tamis_load_options_default(struct tamis_load_options *o);

/* Reads a model ("-" = standard input). TAMIS_E_INVALID when it is not a well-formed model by the checker's errors,
 * TAMIS_E_MEMORY. options NULL = defaults. *out is the caller's to close. O(file size). */
TAMIS_API enum tamis_status tamis_model_open(const char *path, const struct tamis_load_options *options,
                                             struct tamis_model **out, struct tamis_error *err);
/* The same from memory, which need not outlive the call. External data are looked for below `dir` (NULL: none allowed). */
TAMIS_API enum tamis_status tamis_model_open_memory(const void *bytes, size_t size, const char *dir,
                                                    const struct tamis_load_options *options,
                                                    struct tamis_model **out, struct tamis_error *err);
TAMIS_API void tamis_model_close(struct tamis_model *model);

struct tamis_save_options {
	bool external_data; /* put tensors of 1,024 bytes and more into one data file beside the model; default false */
	bool in_place;      /* allow the output to be the file the model came from; default false */
};
TAMIS_API void tamis_save_options_default(struct tamis_save_options *o);

/* Writes the model whole or not at all: a temporary file, synced, read back and checked, then renamed. "-" writes to
 * standard output. TAMIS_E_OUTPUT when it cannot be written, TAMIS_E_USAGE for the input's own file without in_place. */
TAMIS_API enum tamis_status tamis_model_save(struct tamis_model *model, const char *path,
                                             const struct tamis_save_options *options, struct tamis_error *err);

/* Every finding of the ONNX checker into a report; *errors (may be NULL) counts those of severity error. Unlike
 * tamis_model_open this takes any file, so that all findings are listed. options NULL = defaults. */
TAMIS_API enum tamis_status tamis_check(const char *path, const struct tamis_load_options *options,
                                        struct tamis_report **out, int64_t *errors, struct tamis_error *err);

/* Verifies tamis' own entries of metadata_props (written by tamis_slim) against a source model file; NULL = only that
 * they are there and well-formed. TAMIS_E_INVALID names what does not match. */
TAMIS_API enum tamis_status tamis_check_provenance(struct tamis_model *model, const char *source_path,
                                                   struct tamis_error *err);

/* A shape for a graph input with symbolic dimensions, as "NAME:1,3,224,224". */
struct tamis_info_options {
	const char *const *shapes; /* n_shapes strings; default none: a leading symbolic dimension counts as one item */
	size_t n_shapes;
	bool cpu;                  /* add the processor, BLAS core and kernels in use; default false */
	bool groups;               /* add the groups of channels that can only go together; default false */
};
TAMIS_API void tamis_info_options_default(struct tamis_info_options *o);

/* Operators, parameters, zeros, MACs an item, bytes, and what would be slimmed. */
TAMIS_API enum tamis_status tamis_info(struct tamis_model *model, const struct tamis_info_options *options,
                                       struct tamis_report **out, struct tamis_error *err);

/* Processor, BLAS core and kernels without a model. `cured` is set where the BLAS mistakes the processor and
 * OPENBLAS_CORETYPE in the environment would mend it; *advice (may be NULL) then gets its value, else NULL. */
TAMIS_API enum tamis_status tamis_cpu(struct tamis_report **out, const char **advice, struct tamis_error *err);

/* The supported operators, from the table, as a report. */
TAMIS_API enum tamis_status tamis_ops(struct tamis_report **out, struct tamis_error *err);

/* ---- Calibration items ------------------------------------------------------------------------------------------ */

struct tamis_calibration_options {
	int64_t random;     /* > 0: that many random items instead of specs (marked in the report); default 0 */
	uint64_t seed;      /* of the random items; default 1 */
	const char *labels; /* .npy of integers, one an item; NULL (default): none */
	/* A further source that is only held out; then every item of the main source is fitted on. Default none. */
	const char *const *holdout;
	size_t n_holdout;
	uint64_t max_memory; /* bytes that one batch, or one item beyond it, may take; default 0 = 8 GiB. Deflated arrays are kept
	                        in memory after a first pass while they take a sixteenth of it, and 256 MiB, at most */
	struct tamis_observer observer; /* warnings while opening; default none */
};
TAMIS_API void tamis_calibration_options_default(struct tamis_calibration_options *o);

/* Opens items for a model. Each spec is a .npz, a directory of .npz or .npy, a directory in the ONNX layout
 * (test_data_set_N/input_M.pb), NAME:file.npy, a single .npy, or a Polygraphy .json. Names, types and shapes are
 * checked against the model's inputs: TAMIS_E_INVALID says what was expected and what came. */
TAMIS_API enum tamis_status tamis_calibration_open(struct tamis_model *model, const char *const *specs, size_t n_specs,
                                                   const struct tamis_calibration_options *options,
                                                   struct tamis_calibration **out, struct tamis_error *err);

/* One tensor of a feed. `type` is the number of TensorProto.DataType; `data` row-major, the callback's to keep valid
 * until its next call. */
struct tamis_feed_tensor {
	const char *name;
	int type, rank;
	const int64_t *dims;
	const void *data;
};

/* Items from the caller, shaped as onnxruntime's CalibrationDataReader: one feed a call, or the end, or a rewind. */
struct tamis_reader {
	void *ctx;
	/* Sets *tensors and *n (0 = the end). A non-zero return cancels. */
	int (*next)(void *ctx, const struct tamis_feed_tensor **tensors, size_t *n);
	int (*rewind)(void *ctx);
};
TAMIS_API enum tamis_status tamis_calibration_from_reader(struct tamis_model *model, const struct tamis_reader *reader,
                                                          struct tamis_calibration **out, struct tamis_error *err);
TAMIS_API void tamis_calibration_close(struct tamis_calibration *c);

/* ---- Slimming --------------------------------------------------------------------------------------------------- */

/* Single connections (zeros), whole channels out of the tensors, or channels first and then connections. */
enum tamis_granularity { TAMIS_WEIGHT = 1, TAMIS_CHANNEL = 2, TAMIS_BOTH = 3 };
enum tamis_features { TAMIS_FEATURES_LINEAR, TAMIS_FEATURES_RICH }; /* of a signal: itself; and Fourier features */
enum tamis_fdr { TAMIS_FDR_BH, TAMIS_FDR_BY }; /* Benjamini-Hochberg; Benjamini-Yekutieli, for any dependence */
enum tamis_storage { TAMIS_STORAGE_AUTO, TAMIS_STORAGE_DENSE, TAMIS_STORAGE_SPARSE };

struct tamis_slim_options {
	const char *criterion;   /* pii (default), fisher, obs, taylor, wanda, magnitude, random */
	const char *head;        /* what the outputs are: auto (default), logits, probabilities, general */
	enum tamis_features features; /* what the test sees of a signal; default TAMIS_FEATURES_LINEAR */
	enum tamis_fdr fdr;      /* how the tests share alpha; default TAMIS_FDR_BH */
	double alpha;            /* false discovery rate of the significance pass, 0 to 1; default 0.05 */
	double tolerance;        /* greatest expected accuracy loss (or relative squared error), 0 to 1; default 0.01 */
	double max_disagree;     /* greatest share of items whose class changes, 0 to 1; default -1: not gated */
	/* Of the original's probabilities, as a run with labels reports it, 0.05 to 20: the loss is also estimated at it, and
	 * the gate takes the larger bound. Default -1: not known. */
	double temperature;
	double confidence;       /* of the gate's bound, below 1; default 0.95 */
	double keep;             /* share of connections to keep, (0, 1]; default -1: the gate decides */
	uint64_t target_bytes;   /* deepest cut needed to reach this file size; default 0: none */
	double target_size;      /* the same as a share of the input's size; default -1: none */
	double target_macs;      /* channels go until this share of the MACs is left, (0, 1), and nothing else; default -1: none */
	int64_t round_to;        /* widths of narrowed layers become multiples of it, >= 0; default 0: 8, which kernels like, or 16
	                            where only channels go and this processor has AVX-512 */
	double holdout_share;    /* share of items held out for the gate, (0, 1); default -1: a fifth, of fewer than 3,200 items up to
	                            two fifths, so that 640 are */
	bool refit;              /* fit what survives to the original's layer outputs after each cut; default true */
	int rounds;              /* of score, cut and refit on the way to `keep`, 1 or more; default 8 */
	int distil;              /* epochs of training what survives to the original's outputs, at each depth that was asked for, or
	                            where what refitting leaves is more than two fifths of what the gate allows; default 0: none */
	double distil_rate;      /* of that: the largest step of a weight, (0, 1], lowered where it would undo what refitting
	                            found; default 0.002 */
	bool mixup;              /* half of the items of that training are mixed with another one, x w + y (1 - w), where all inputs
	                            are of floating types or UINT8; default true */
	double regrow;           /* share of what is kept that cut connections take over in each round of it, [0, 1); default 0 */
	/* A file that each round of the search is put away in, so that the same call goes on from there after it was stopped,
	 * to the same result; removed once that is reached. TAMIS_E_INVALID when it is of another call. Default NULL. */
	const char *checkpoint;
	/* A score file of this model and these options (tamis_score), that the first cut is ranked by instead of by scoring; as
	 * if it had been scored here, where its items are those that slimming fits on. Default NULL. */
	const char *scores;
	enum tamis_granularity granularity; /* default TAMIS_BOTH */
	enum tamis_storage storage;         /* default TAMIS_STORAGE_AUTO: the smaller by measured bytes */
	const char *only, *skip; /* POSIX extended regular expressions on node and initializer names; default NULL */
	bool mutable_initializers; /* slim initializers that are graph inputs too; default false */
	bool provenance;         /* add tamis.* entries to metadata_props; default true */
	/* Score, cut and judge nothing: report what would be tested, items, rounds, a bound on the memory with its terms, and
	 * an estimate of the time. The model stays as it is. Default false. */
	bool dry_run;
	const char *dump;        /* name of a pass after which its state is written to dump_file; default NULL */
	const char *dump_file;   /* default NULL: standard error is not touched, nothing is dumped */
	uint64_t seed;           /* of the split, the features and the probes; default 1 */
	int threads;             /* workers; 0 = every processor this process may use; default 0 */
	int chunk;               /* items a chunk: fixes the bytes of the result; default 0 = chosen from the model alone */
	uint64_t max_memory;     /* bytes the call may plan for; default 0 = no limit */
	struct tamis_observer observer; /* default none */
};
TAMIS_API void tamis_slim_options_default(struct tamis_slim_options *o);

/* Slims the model in memory. TAMIS_OK: the model is slimmer and has passed the gate on held-out items.
 * TAMIS_E_GATE: no cut passed, the model is as it was. On every other failure the model is as it was too. *out (may be
 * NULL) gets the report on success and on TAMIS_E_GATE. */
TAMIS_API enum tamis_status tamis_slim(struct tamis_model *model, struct tamis_calibration *data,
                                       const struct tamis_slim_options *options, struct tamis_report **out,
                                       struct tamis_error *err);

/* ---- Scoring once, cutting many times ------------------------------------------------------------------------------ */

struct tamis_score_options {
	int shard, shards;       /* score only part `shard`, from 1, of `shards` parts of the items; default 0, 0: all */
	const char *criterion;   /* fisher, taylor, obs: store what they need too (obs: 4 bytes for each pair of inputs of a
	                            group); default pii */
	const char *head;        /* as in tamis_slim_options, like all that follows */
	double alpha;            /* behind which p-values are exact; default 0.05 */
	double holdout_share;    /* the items that slimming with this share would fit on are scored; default -1 */
	enum tamis_features features;
	enum tamis_fdr fdr;
	const char *only, *skip;
	bool mutable_initializers;
	bool dry_run;            /* as in tamis_slim_options; no file is written, and its path may be NULL */
	uint64_t seed;
	int threads, chunk;
	uint64_t max_memory;
	struct tamis_observer observer;
};
TAMIS_API void tamis_score_options_default(struct tamis_score_options *o);

/* Tests and scores every connection of the model and writes a score file (proto/tamis_scores.proto), whole or not at
 * all. The shards of a set, merged, are the file of one run, bit by bit, for any number of threads. *out (may be NULL)
 * gets a report. */
TAMIS_API enum tamis_status tamis_score(struct tamis_model *model, struct tamis_calibration *data, const char *path,
                                        const struct tamis_score_options *options, struct tamis_report **out,
                                        struct tamis_error *err);

/* Adds up the shards of one set, each given once, in any order. TAMIS_E_INVALID says which is missing or does not
 * belong. *out (may be NULL) gets a report. Memory: two shards. */
TAMIS_API enum tamis_status tamis_scores_merge(const char *const *paths, size_t n_paths, const char *out_path,
                                               struct tamis_report **out, struct tamis_error *err);

struct tamis_scores_options {
	const char *tensor; /* show connections of this weight too; default NULL */
	int64_t output, input; /* the one between this output channel and input feature; default -1, -1: the first and last */
	uint64_t max_bytes; /* largest file read; default 0: 2^31 - 1 */
};
TAMIS_API void tamis_scores_options_default(struct tamis_scores_options *o);

/* What a score file says: layers, significance, the best and worst channels, and why single connections are cut. */
TAMIS_API enum tamis_status tamis_scores(const char *path, const struct tamis_scores_options *options,
                                         struct tamis_report **out, struct tamis_error *err);

/* ---- Running and comparing --------------------------------------------------------------------------------------- */

struct tamis_run_options {
	int threads;          /* as above; default 0 */
	int64_t items;        /* first items only; default 0 = all */
	struct tamis_observer observer;
};
TAMIS_API void tamis_run_options_default(struct tamis_run_options *o);

/* Runs the model over the items and writes an .npz with one member per graph output, items stacked on the first axis
 * (the output as it is for one feed in the ONNX layout; NAME/N for several). */
TAMIS_API enum tamis_status tamis_run(struct tamis_model *model, struct tamis_calibration *data, const char *npz_path,
                                      const struct tamis_run_options *options, struct tamis_error *err);

/* Agreement of two models on the same items (graph inputs must match): share of equal classes with an exact interval,
 * output differences, and with labels the paired accuracies and McNemar's test. */
TAMIS_API enum tamis_status tamis_compare(struct tamis_model *a, struct tamis_model *b, struct tamis_calibration *data,
                                          const struct tamis_run_options *options, struct tamis_report **out,
                                          struct tamis_error *err);

/* ---- Reports ----------------------------------------------------------------------------------------------------- */

/* For a person: a table of at most 100 columns. *text is malloc'ed, NUL-terminated, the caller's to free(). */
TAMIS_API enum tamis_status tamis_report_text(const struct tamis_report *r, char **text, struct tamis_error *err);
/* One self-contained HTML page with charts: no scripts, no references; of slimming and of scores (TAMIS_E_USAGE for other
 * reports). As above. */
TAMIS_API enum tamis_status tamis_report_html(const struct tamis_report *r, char **html, struct tamis_error *err);
/* For a script: one JSON object whose "schema" member names its version ("tamis.slim/1"). As above. */
TAMIS_API enum tamis_status tamis_report_json(const struct tamis_report *r, char **json, struct tamis_error *err);
/* Writes bytes to a path atomically ("-" = standard output). For reports. */
TAMIS_API enum tamis_status tamis_write_file(const char *path, const void *data, size_t size, struct tamis_error *err);
TAMIS_API void tamis_report_free(struct tamis_report *r);

/* Removes the temporary files of every output now being written, by any thread. Async-signal-safe: for the handler of a
 * signal that is about to end the process, and for nothing else. */
TAMIS_API void tamis_remove_temporaries(void);

#ifdef __cplusplus
}
#endif
#endif
