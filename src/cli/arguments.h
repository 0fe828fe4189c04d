/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of commands and one of options, from which come parsing, help, the manual
 * page and shell completion. */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tamis/tamis.h"

enum command_bit {
	CHECK = 1,
	COMPARE = 2,
	INFO = 4,
	OPS = 8,
	RUN = 16,
	SLIM = 32,
	MERGE = 64,
	SCORE = 128,
	EVERY = 255
};

enum progress_mode { PROGRESS_AUTO, PROGRESS_ALWAYS, PROGRESS_NEVER };

struct texts {
	const char **at; /* owned; the strings are those of main's argv */
	size_t n;
};

/* All that a command line can say. Defaults are those of the library. */
struct arguments {
	const struct command *command; /* NULL: none was named */
	struct texts operands;
	const char *output; /* OUT of slim, -o of run, score and merge; "-" = standard output; NULL: none */
	struct texts data, holdout, shapes;
	const char *labels, *json, *html, *source;
	const char *scores, *tensor;
	int shard, shards;  /* 0, 0: no shard */
	int64_t random, items;
	int progress; /* enum progress_mode */
	struct tamis_slim_options slim; /* its seed, threads and max_memory serve every command */
	bool quiet, verbose, check_provenance, cpu, groups, external_data, in_place, help, version, man;
	const char *completion;
};

struct command {
	const char *name;
	enum command_bit bit;
	const char *operands;    /* as in the usage line */
	int min_operands, max_operands;
	int inputs;              /* how many operands, from the first, are models to read */
	const char *summary;     /* one line */
	const char *description; /* paragraphs for --help and the manual page */
	enum tamis_status (*run)(struct arguments *a); /* has printed its own error when it fails */
};

enum option_kind {
	OPTION_FLAG,    /* bool: true */
	OPTION_CLEAR,   /* bool: false */
	OPTION_TEXT,    /* const char * */
	OPTION_LIST,    /* struct texts; may be repeated */
	OPTION_NUMBER,  /* double within the range */
	OPTION_INT,     /* int within the range */
	OPTION_INT64,   /* int64_t or uint64_t within the range */
	OPTION_BYTES,   /* uint64_t, with an optional K, M or G (powers of 1,024) */
	OPTION_SIZE,    /* bytes as above into slim.target_bytes, or a percentage into slim.target_size */
	OPTION_SHARD,   /* I/N into shard and shards */
	OPTION_SHARE,   /* double: a percentage between 0 and 100, as a share */
	OPTION_CHOICE,  /* int: the value of one of the words of `metavar` */
	OPTION_WORD     /* const char *: one of the words of `metavar` */
};

struct option {
	const char *name;
	char letter;          /* 0: none */
	enum option_kind kind;
	unsigned commands;    /* enum command_bit; 0: before any command (tamis --version) */
	size_t offset;        /* into struct arguments */
	const char *metavar;  /* "FILE", or the words of a choice as "auto|always|never" */
	double low, high;     /* range of a number */
	bool open_low, open_high; /* the end itself is excluded */
	const int *values;    /* of the words of a choice; NULL: 0, 1, 2, ... */
	const char *help;
};

extern const struct command commands[];
extern const size_t n_commands;
extern const struct option options[];
extern const size_t n_options;

/* Parses argv[1..]. On failure one sentence has been printed and TAMIS_E_USAGE (TAMIS_E_MEMORY) comes
 * back. `a` is to be freed in either case. */
enum tamis_status arguments_parse(struct arguments *a, int argc, char **argv);
void arguments_free(struct arguments *a);

/* What `a` holds before any option; allocates nothing. */
void arguments_default(struct arguments *a);

/* Whether a row belongs to a command (NULL: before any command). */
bool option_of(const struct option *o, const struct command *c);

/* How an option is written in a message: "--alpha", "-j". */
const char *option_shown(const struct option *o, char buf[32]);

enum tamis_status command_check(struct arguments *a);
enum tamis_status command_compare(struct arguments *a);
enum tamis_status command_info(struct arguments *a);
enum tamis_status command_merge(struct arguments *a);
enum tamis_status command_ops(struct arguments *a);
enum tamis_status command_run(struct arguments *a);
enum tamis_status command_score(struct arguments *a);
enum tamis_status command_slim(struct arguments *a);

#endif
