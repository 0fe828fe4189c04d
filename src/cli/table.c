/* SPDX-License-Identifier: Apache-2.0 */
/* The commands and the options. Everything a user reads about them is made from these two tables. */
#include "cli/arguments.h"

const struct command commands[] = {
	{
		.name = "check", .bit = CHECK, .operands = "MODEL", .min_operands = 1, .max_operands = 1, .inputs = 1,
		.summary = "check a model against the ONNX rules",
		.description = "Lists every finding with the id of its rule and its place. Any error makes "
			"the exit code 3.",
		.run = command_check,
	}, {
		.name = "compare", .bit = COMPARE, .operands = "A B -c DATA", .min_operands = 2, .max_operands = 2,
		.inputs = 2,
		.summary = "compare the outputs of two models on the same items",
		.description = "Prints how often both models choose the same class, with an exact interval, "
			"and how far their outputs differ. With labels, both accuracies and McNemar's "
			"exact test too.",
		.run = command_compare,
	}, {
		.name = "info", .bit = INFO, .operands = "MODEL", .min_operands = 0, .max_operands = 1, .inputs = 1,
		.summary = "show operators, parameters, zeros, MACs and bytes",
		.description = "Describes a model and says which of its weights would be slimmed, and why "
			"others would not; with --groups, which channels can go together. MODEL may be left out with --cpu. With --scores it describes a "
			"score file instead: layers, significance, the best and worst channels; with "
			"--tensor, why connections are cut.",
		.run = command_info,
	}, {
		.name = "merge", .bit = MERGE, .operands = "SCORES... -o FILE", .min_operands = 1, .max_operands = 65536,
		.inputs = 65536,
		.summary = "add up the shards of a scoring",
		.description = "SCORES are the shards of one set, written by score --shard, each of them once, in any "
			"order. FILE is what one run over all items would have written, bit by bit.",
		.run = command_merge,
	}, {
		.name = "ops", .bit = OPS, .operands = "", .min_operands = 0, .max_operands = 0, .inputs = 0,
		.summary = "list the supported operators",
		.description = "One line for each operator and range of opset versions.",
		.run = command_ops,
	}, {
		.name = "run", .bit = RUN, .operands = "MODEL -c DATA -o OUT.npz", .min_operands = 1,
		.max_operands = 1,
		.inputs = 1,
		.summary = "run a model and save its outputs",
		.description = "Writes an .npz with one member for each graph output, items stacked on the "
			"first axis.",
		.run = command_run,
	}, {
		.name = "score", .bit = SCORE, .operands = "MODEL -c DATA -o SCORES", .min_operands = 1,
		.max_operands = 1,
		.inputs = 1,
		.summary = "test and score every connection",
		.description = "Writes a score file, to cut by many times (slim --scores) and to look at (info "
			"--scores). Only the items that slimming would fit on are scored; with the same seed "
			"and share, those that the cut is judged on stay unseen. With --shard, several "
			"machines share the work; merge adds up what they found.",
		.run = command_score,
	}, {
		.name = "slim", .bit = SLIM, .operands = "MODEL OUT -c DATA", .min_operands = 1, .max_operands = 2,
		.inputs = 1,
		.summary = "write a slimmer model that does the same",
		.description = "Tests every connection of MODEL for its relevance to the outputs on the "
			"calibration items, cuts as deep as the gate allows, and writes OUT. The gate "
			"is a bound on the expected accuracy loss, proved on items that were held "
			"out. No labels are needed. Where no cut passes, nothing is written and the "
			"exit code is 5. OUT may be left out with --dry-run and with --in-place.",
		.run = command_slim,
	},
};
const size_t n_commands = sizeof commands / sizeof *commands;

#define AT(field) offsetof(struct arguments, field)

const struct option options[] = {
	/* what goes in and out */
	{ .name = "calibration", .letter = 'c', .kind = OPTION_LIST, .commands = SLIM | SCORE | RUN | COMPARE,
	  .offset = AT(data), .metavar = "DATA",
	  .help = "items: an .npz, a directory of .npz or .npy, a directory in the ONNX layout "
	          "(test_data_set_N/input_M.pb), NAME:file.npy, or a Polygraphy .json; may be repeated" },
	{ .name = "random", .kind = OPTION_INT64, .commands = SLIM | SCORE | RUN | COMPARE, .offset = AT(random),
	  .metavar = "N", .low = 1, .high = 1e9,
	  .help = "N random items instead of -c; says nothing about real data" },
	{ .name = "labels", .kind = OPTION_TEXT, .commands = SLIM | COMPARE, .offset = AT(labels),
	  .metavar = "FILE", .help = "true classes of the items: an .npy of integers, one an item" },
	{ .name = "output", .letter = 'o', .kind = OPTION_TEXT, .commands = RUN | SCORE | MERGE, .offset = AT(output),
	  .metavar = "FILE", .help = "the file to write: outputs as an .npz, or scores" },
	{ .name = "items", .kind = OPTION_INT64, .commands = RUN | COMPARE, .offset = AT(items),
	  .metavar = "N", .low = 1, .high = 1e15, .help = "only the first N items" },
	{ .name = "shape", .kind = OPTION_LIST, .commands = INFO, .offset = AT(shapes),
	  .metavar = "NAME:DIMS",
	  .help = "shape of a graph input with symbolic dimensions, as image:1,3,224,224; may be "
	          "repeated" },
	{ .name = "scores", .kind = OPTION_TEXT, .commands = INFO, .offset = AT(scores), .metavar = "FILE",
	  .help = "a score file, written by score or merge" },
	{ .name = "scores", .kind = OPTION_TEXT, .commands = SLIM, .offset = AT(slim.scores), .metavar = "FILE",
	  .help = "take the scores of the first cut from this score file, made by score or merge from the same model with "
	          "the same options, instead of scoring" },
	{ .name = "tensor", .kind = OPTION_TEXT, .commands = INFO, .offset = AT(tensor), .metavar = "NAME[:OUT,IN]",
	  .help = "with --scores: the connections of a weight that go last and first, or the one between an output "
	          "channel and an input feature, each counted from 0" },
	{ .name = "shard", .kind = OPTION_SHARD, .commands = SCORE, .offset = AT(shard), .metavar = "I/N", .low = 1, .high = 65536,
	  .help = "score only part I of N parts of the items" },
	{ .name = "cpu", .kind = OPTION_FLAG, .commands = INFO, .offset = AT(cpu),
	  .help = "show the processor and the arithmetic kernels in use" },
	{ .name = "groups", .kind = OPTION_FLAG, .commands = INFO, .offset = AT(groups),
	  .help = "show the groups of channels that can only go together: what one of them takes, where they lie, or "
	          "what keeps them" },
	{ .name = "provenance", .kind = OPTION_FLAG, .commands = CHECK, .offset = AT(check_provenance),
	  .help = "verify the entries tamis leaves in a model's metadata" },
	{ .name = "source", .kind = OPTION_TEXT, .commands = CHECK, .offset = AT(source), .metavar = "FILE",
	  .help = "with --provenance: the model that this one was made from" },
	/* how deep */
	{ .name = "tolerance", .kind = OPTION_NUMBER, .commands = SLIM, .offset = AT(slim.tolerance),
	  .metavar = "F", .low = 0, .high = 1,
	  .help = "greatest expected accuracy loss (relative squared error where the outputs are no "
	          "classes)" },
	{ .name = "confidence", .kind = OPTION_NUMBER, .commands = SLIM, .offset = AT(slim.confidence),
	  .metavar = "F", .low = 0, .high = 1, .open_low = true, .open_high = true,
	  .help = "confidence of the bound on that loss" },
	{ .name = "max-disagree", .kind = OPTION_NUMBER, .commands = SLIM, .offset = AT(slim.max_disagree),
	  .metavar = "F", .low = 0, .high = 1,
	  .help = "also bound the share of items whose class changes" },
	{ .name = "temperature", .kind = OPTION_NUMBER, .commands = SLIM, .offset = AT(slim.temperature),
	  .metavar = "T", .low = 0.05, .high = 20,
	  .help = "temperature of the model's own probabilities, as a run with --labels reports it; the loss is also "
	          "estimated at it, and the larger bound counts" },
	{ .name = "keep", .kind = OPTION_NUMBER, .commands = SLIM, .offset = AT(slim.keep), .metavar = "F",
	  .low = 0, .high = 1, .open_low = true,
	  .help = "keep this share of the connections instead of searching" },
	{ .name = "target-size", .kind = OPTION_SIZE, .commands = SLIM, .offset = AT(slim.target_bytes),
	  .metavar = "BYTES|P%", .low = 1, .high = 9e15,
	  .help = "cut no deeper than this file size needs: bytes (1500000, 700K, 2M) or a percentage "
	          "of the input (30%)" },
	{ .name = "target-macs", .kind = OPTION_SHARE, .commands = SLIM, .offset = AT(slim.target_macs),
	  .metavar = "P%", .help = "take out channels until this share of the MACs is left, and nothing else" },
	{ .name = "alpha", .kind = OPTION_NUMBER, .commands = SLIM | SCORE, .offset = AT(slim.alpha),
	  .metavar = "F", .low = 0, .high = 1, .help = "false discovery rate of the significance test" },
	{ .name = "fdr", .kind = OPTION_CHOICE, .commands = SLIM | SCORE, .offset = AT(slim.fdr), .metavar = "bh|by",
	  .help = "Benjamini-Hochberg, or Benjamini-Yekutieli for tests that depend on each other in any way" },
	{ .name = "features", .kind = OPTION_CHOICE, .commands = SLIM | SCORE, .offset = AT(slim.features),
	  .metavar = "linear|rich",
	  .help = "what the test sees of a signal; rich finds dependence without correlation too, slower" },
	{ .name = "criterion", .kind = OPTION_WORD, .commands = SLIM | SCORE, .offset = AT(slim.criterion),
	  .metavar = "pii|fisher|obs|taylor|wanda|magnitude|random", .help = "how connections are ranked" },
	{ .name = "granularity", .kind = OPTION_CHOICE, .commands = SLIM, .offset = AT(slim.granularity),
	  .metavar = "weight|channel|both", .values = (const int[]){TAMIS_WEIGHT, TAMIS_CHANNEL, TAMIS_BOTH},
	  .help = "cut single connections, which become zeros; take whole channels out of the tensors; or channels "
	          "first, then connections" },
	{ .name = "round-to", .kind = OPTION_INT64, .commands = SLIM, .offset = AT(slim.round_to), .metavar = "N",
	  .low = 1, .high = 1024,
	  .help = "channels go until widths are multiples of N, which kernels like (default 8; 16 where only channels go "
	          "and this processor has AVX-512)" },
	{ .name = "head", .kind = OPTION_WORD, .commands = SLIM | SCORE, .offset = AT(slim.head),
	  .metavar = "auto|logits|probabilities|general",
	  .help = "what the outputs are: scores of classes, their probabilities, or anything; auto "
	          "looks at the graph" },
	{ .name = "no-refit", .kind = OPTION_CLEAR, .commands = SLIM, .offset = AT(slim.refit),
	  .help = "leave the surviving weights as they are" },
	{ .name = "rounds", .kind = OPTION_INT, .commands = SLIM, .offset = AT(slim.rounds),
	  .metavar = "N", .low = 1, .high = 1e6,
	  .help = "with --keep: rounds of scoring, cutting and refitting on the way there" },
	{ .name = "distill", .kind = OPTION_INT, .commands = SLIM, .offset = AT(slim.distil),
	  .metavar = "EPOCHS", .low = 0, .high = 1e6,
	  .help = "train what survives to give the original's outputs, so many times over the items, at "
	          "each depth where refitting alone does not do" },
	{ .name = "distill-rate", .kind = OPTION_NUMBER, .commands = SLIM, .offset = AT(slim.distil_rate),
	  .metavar = "F", .low = 0, .high = 1, .open_low = true,
	  .help = "largest step of a weight in that training" },
	{ .name = "no-mixup", .kind = OPTION_CLEAR, .commands = SLIM, .offset = AT(slim.mixup),
	  .help = "train on the items alone, not also on mixtures of two of them" },
	{ .name = "regrow", .kind = OPTION_NUMBER, .commands = SLIM, .offset = AT(slim.regrow),
	  .metavar = "F", .low = 0, .high = 1, .open_high = true,
	  .help = "let cut connections that are missed most replace this share of those kept, before each "
	          "round of that training" },
	{ .name = "checkpoint", .kind = OPTION_TEXT, .commands = SLIM, .offset = AT(slim.checkpoint),
	  .metavar = "FILE",
	  .help = "keep the rounds of the search there; the same command goes on from them after it was "
	          "stopped" },
	{ .name = "only", .kind = OPTION_TEXT, .commands = SLIM | SCORE, .offset = AT(slim.only),
	  .metavar = "REGEX", .help = "slim only nodes or initializers whose name matches" },
	{ .name = "skip", .kind = OPTION_TEXT, .commands = SLIM | SCORE, .offset = AT(slim.skip),
	  .metavar = "REGEX", .help = "leave alone nodes and initializers whose name matches" },
	{ .name = "mutable-initializers", .kind = OPTION_FLAG, .commands = SLIM | SCORE,
	  .offset = AT(slim.mutable_initializers),
	  .help = "also slim initializers that a caller could override, because they are graph inputs "
	          "too" },
	{ .name = "holdout", .kind = OPTION_LIST, .commands = SLIM, .offset = AT(holdout),
	  .metavar = "DATA",
	  .help = "items to judge the cut on, instead of a share of the calibration items; may be "
	          "repeated" },
	{ .name = "holdout-share", .kind = OPTION_NUMBER, .commands = SLIM | SCORE,
	  .offset = AT(slim.holdout_share), .metavar = "F", .low = 0, .high = 1, .open_low = true,
	  .open_high = true, .help = "share of the calibration items held out to judge the cut; a fifth, or up to two "
	          "fifths where that is fewer than 640 items" },
	/* the file */
	{ .name = "storage", .kind = OPTION_CHOICE, .commands = SLIM, .offset = AT(slim.storage),
	  .metavar = "auto|dense|sparse",
	  .help = "how cut tensors are stored; auto takes the smaller" },
	{ .name = "save-as-external-data", .kind = OPTION_FLAG, .commands = SLIM,
	  .offset = AT(external_data),
	  .help = "put tensors of 1,024 bytes and more into a data file beside OUT" },
	{ .name = "no-provenance", .kind = OPTION_CLEAR, .commands = SLIM, .offset = AT(slim.provenance),
	  .help = "leave out the tamis.* entries in the model's metadata" },
	{ .name = "in-place", .kind = OPTION_FLAG, .commands = SLIM, .offset = AT(in_place),
	  .help = "allow OUT to be MODEL itself" },
	{ .name = "dry-run", .kind = OPTION_FLAG, .commands = SLIM | SCORE, .offset = AT(slim.dry_run),
	  .help = "only tell what would be tested, on which items, how many rounds, and about how much memory and time it "
	          "would take; nothing is scored or written" },
	{ .name = "dump", .kind = OPTION_TEXT, .commands = SLIM, .offset = AT(slim.dump), .metavar = "PASS",
	  .help = "print the state after a pass on standard output" },
	/* common */
	{ .name = "threads", .letter = 'j', .kind = OPTION_INT, .commands = SLIM | SCORE | RUN | COMPARE,
	  .offset = AT(slim.threads), .metavar = "N", .low = 0, .high = 1024,
	  .help = "worker threads; 0 takes every processor. The result does not depend on it" },
	{ .name = "seed", .kind = OPTION_INT64, .commands = SLIM | SCORE | RUN | COMPARE, .offset = AT(slim.seed),
	  .metavar = "N", .low = 0, .high = 9007199254740992.0, .help = "of everything drawn at random" },
	{ .name = "max-memory", .kind = OPTION_BYTES, .commands = EVERY & ~OPS & ~MERGE, .offset = AT(slim.max_memory),
	  .metavar = "BYTES", .low = 1, .high = 9e15,
	  .help = "refuse a model, items or a plan that would take more memory than this (4G, 500M)" },
	{ .name = "json", .kind = OPTION_TEXT, .commands = EVERY & ~RUN, .offset = AT(json),
	  .metavar = "FILE",
	  .help = "write the report there as JSON; - is standard output, instead of the text" },
	{ .name = "html", .kind = OPTION_TEXT, .commands = SLIM | SCORE | MERGE | INFO, .offset = AT(html),
	  .metavar = "FILE", .help = "write the report there as one HTML page with charts (of scores, with info)" },
	{ .name = "progress", .kind = OPTION_CHOICE, .commands = SLIM | SCORE | RUN | COMPARE,
	  .offset = AT(progress), .metavar = "auto|always|never",
	  .help = "progress on standard error; auto shows it on a terminal" },
	{ .name = "quiet", .letter = 'q', .kind = OPTION_FLAG, .commands = EVERY, .offset = AT(quiet),
	  .help = "print nothing but errors" },
	{ .name = "verbose", .letter = 'v', .kind = OPTION_FLAG, .commands = SLIM | SCORE | RUN | COMPARE,
	  .offset = AT(verbose), .help = "a line for each phase on standard error" },
	{ .name = "help", .letter = 'h', .kind = OPTION_FLAG, .commands = EVERY, .offset = AT(help),
	  .help = "print this help" },
	{ .name = "version", .kind = OPTION_FLAG, .commands = EVERY, .offset = AT(version),
	  .help = "print the version" },
	/* before any command */
	{ .name = "help", .letter = 'h', .kind = OPTION_FLAG, .commands = 0, .offset = AT(help),
	  .help = "print this help" },
	{ .name = "version", .kind = OPTION_FLAG, .commands = 0, .offset = AT(version),
	  .help = "print the version" },
	{ .name = "man", .kind = OPTION_FLAG, .commands = 0, .offset = AT(man),
	  .help = "print the manual page, for man(1)" },
	{ .name = "completion", .kind = OPTION_WORD, .commands = 0, .offset = AT(completion),
	  .metavar = "bash", .help = "print the completion of the command line for a shell" },
};
const size_t n_options = sizeof options / sizeof *options;
