/* SPDX-License-Identifier: Apache-2.0 */
/* Score files with one field wrong, each refused with the sentence for it: a row a check of the reader. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tamis_scores.pb-c.h>

#include "base/file.h"
#include "slim/scorefile/file.h"

enum { SET, DROP, SHORTEN };

/* A field by its path in proto/tamis_scores.proto, elements by their position: set to a value, left out, or a repeated
 * one without its last element. */
struct change {
	const char *seed, *path;
	int what;
	double value;
	const char *sentence;
};

static const char origin[] = "it does not say what it was made of", head[] = "it does not say what the outputs are",
	view[] = "the view of a weight does not fit its shape", statistics[] = "the statistics of a layer do not fit its shape",
	exact[] = "exact sums do not have the shape they should", sums[] = "a layer of a shard has no sums",
	moments[] = "co-moments do not have the shape they should", shard[] = "it is no shard of a set",
	psi[] = "the moments of the outputs do not have the shape they should", distribution[] = "a distribution is not one",
	shape[] = "a shape is negative or too large", copies[] = "a list of copies is none";

static const struct change changes[] = {
	{ "whole", "schema", DROP, 0, "the file is no score file" },
	{ "whole", "version", SET, 1, "the score file is of version 1, and version 3 is read here" },
	{ "whole", "origin", DROP, 0, origin },
	{ "whole", "origin.source_sha256", DROP, 0, origin },
	{ "whole", "origin.source_sha256", SET, 'g', origin },
	{ "whole", "origin.source_sha256", SHORTEN, 0, origin },
	{ "whole", "origin.calibration_sha256", SET, '0', origin },
	{ "whole", "origin.from", SET, -0.5, origin },
	{ "whole", "origin.from", SET, 0.7, origin },
	{ "whole", "origin.from", SET, NAN, origin },
	{ "whole", "origin.to", SET, 1.5, origin },
	{ "whole", "origin.items", SET, -1, origin },
	{ "whole", "origin.items", SET, 0x1p62, origin },
	{ "whole", "origin.chunk", SET, 0, origin },
	{ "whole", "origin.alpha", SET, -0.1, origin },
	{ "whole", "origin.alpha", SET, 1.1, origin },
	{ "whole", "origin.fdr", SET, 2, origin },
	{ "whole", "origin.head", DROP, 0, head },
	{ "whole", "origin.head.kind", SET, 3, head },
	{ "whole", "origin.head.output", SET, 0x1p31, head },
	{ "whole", "origin.head.classes", SET, -1, head },
	{ "whole", "origin.head.classes", SET, 1, head },
	{ "whole", "origin.head.rows", SET, 0, head },
	{ "whole", "origin.head.width", SET, 0, head },
	{ "whole", "origin.head.width", SET, 0x1p31, head },
	{ "whole", "origin.input.0.type", SET, 99, "a graph input has an unknown type" },
	{ "whole", "origin.input.0.dims.1", SET, -4, shape },
	{ "whole", "layer.0.positions", SET, -1, "a number of positions is negative" },
	{ "whole", "layer.0.dims.0", SET, -5, shape },
	{ "whole", "layer.0.dims.0", SET, 0x1p62, shape },
	{ "whole", "layer.0.dims.0", SET, 6, "a weight does not have as many entries as its shape" },
	{ "whole", "layer.0.w", SHORTEN, 0, "a weight does not have as many entries as its shape" },
	{ "whole", "layer.0.view", DROP, 0, "a layer has no view of its weight" },
	{ "whole", "layer.0.view.groups", SET, 0, view },
	{ "whole", "layer.0.view.groups", SET, 2, view },
	{ "whole", "layer.0.view.fan_in", SET, 0, view },
	{ "whole", "layer.0.view.fan_in", SET, 3, view },
	{ "whole", "layer.0.view.outs", SET, 0, view },
	{ "whole", "layer.0.view.outs", SET, 0x1p62, view },
	{ "whole", "layer.0.view.inner", SET, 0, view },
	{ "whole", "layer.0.view.inner", SET, 3, view },
	{ "whole", "layer.0.view.stride_group", SET, -1, view },
	{ "whole", "layer.0.view.stride_out", SET, -1, view },
	{ "whole", "layer.0.view.stride_out", SET, 5, view },
	{ "whole", "layer.0.view.stride_out", SET, 0x1p62, view },
	{ "whole", "layer.0.view.stride_channel", SET, -1, view },
	{ "whole", "layer.0.view.stride_channel", SET, 2, view },
	{ "whole", "layer.0.view.stride_channel", SET, 0x1p62, view },
	{ "whole", "layer.0.view.weight_scale", SET, INFINITY, view },
	{ "whole", "layer.0.mean", SHORTEN, 0, statistics },
	{ "whole", "layer.0.second", SHORTEN, 0, statistics },
	{ "whole", "layer.0.relevance", SHORTEN, 0, statistics },
	{ "whole", "layer.0.p", SHORTEN, 0, statistics },
	{ "whole", "layer.0.q", SHORTEN, 0, statistics },
	{ "whole", "layer.0.gain", SHORTEN, 0, statistics },
	{ "gradient", "layer.0.gradient2", SHORTEN, 0, statistics },
	{ "energy", "layer.0.energy", SHORTEN, 0, statistics },
	{ "covariance", "layer.0.covariance", SHORTEN, 0, statistics },
	{ "whole", "layer.0.p.1", SET, -0.1, "a p-value is not between 0 and 1" },
	{ "whole", "layer.0.p.1", SET, NAN, "a p-value is not between 0 and 1" },
	{ "whole", "layer.0.q.1", SET, 1.5, "a p-value is not between 0 and 1" },
	{ "whole", "layer.0.score", DROP, 0, distribution },
	{ "whole", "layer.0.score.count", SET, 21, distribution },
	{ "whole", "layer.0.score.zeros", SET, -1, distribution },
	{ "whole", "layer.0.score.zeros", SET, 21, distribution },
	{ "whole", "layer.0.score.quantile", SHORTEN, 0, distribution },
	{ "whole", "layer.0.score.bin", SHORTEN, 0, distribution },
	{ "whole", "layer.0.score.low", DROP, 0, distribution },
	{ "whole", "layer.0.score.low", SET, 0, distribution },
	{ "whole", "layer.0.score.high", SET, 1e-9, distribution },
	{ "whole", "layer.0.score.high", SET, INFINITY, distribution },
	{ "whole", "layer.0.score.bin.0", SET, -1, "a histogram counts more than there is" },
	{ "whole", "layer.0.score.bin.0", SET, 21, "a histogram counts more than there is" },
	{ "whole", "layer.0.p_value", DROP, 0, distribution },
	{ "whole", "parameter.0.dims.0", SET, -5, shape },
	{ "whole", "parameter.0.score", SHORTEN, 0, "an initializer does not have as many scores as entries" },
	{ "shard", "parameter.0.w", SHORTEN, 0, "an initializer does not have as many scores as entries" },
	{ "shard", "parameter.0.sum", DROP, 0, exact },
	{ "shard", "shard.index", SET, 0, shard },
	{ "shard", "shard.index", SET, 3, shard },
	{ "shard", "shard.count", SET, 0, shard },
	{ "shard", "shard.count", SET, 65537, shard },
	{ "shard", "shard.psi", DROP, 0, psi },
	{ "shard", "shard.psi.r", SET, 0, psi },
	{ "shard", "shard.psi.r", SET, 4097, psi },
	{ "shard", "shard.psi.items", SET, -1, psi },
	{ "shard", "shard.psi.shift", SHORTEN, 0, psi },
	{ "shard", "shard.psi.sum", SHORTEN, 0, psi },
	{ "shard", "shard.psi.second", SHORTEN, 0, psi },
	{ "shard", "layer.0.sums", DROP, 0, sums },
	{ "shard", "layer.0.sums.signals", SET, -1, sums },
	{ "shard", "layer.0.positions", SET, 0, sums },
	{ "shard", "layer.0.tested_positions", SET, 2, sums },
	{ "shard", "layer.0.sums.moment", DROP, 0, moments },
	{ "shard", "layer.0.sums.width", SET, 0, moments },
	{ "shard", "layer.0.sums.width", SET, 100000, moments },
	{ "shard", "layer.0.sums.r", SET, 0, moments },
	{ "shard", "layer.0.sums.r", SET, 4097, moments },
	{ "shard", "layer.0.sums.moment.items", SET, -1, moments },
	{ "shard", "layer.0.sums.moment.shift", SHORTEN, 0, moments },
	{ "shard", "layer.0.sums.moment.scale", SHORTEN, 0, moments },
	{ "shard", "layer.0.sums.moment.psi_shift", SHORTEN, 0, moments },
	{ "shard", "layer.0.sums.moment.sum", SHORTEN, 0, moments },
	{ "shard", "layer.0.sums.moment.sum_psi", SHORTEN, 0, moments },
	{ "shard", "layer.0.sums.moment.cross", SHORTEN, 0, moments },
	{ "shard", "layer.0.sums.moment.within", SHORTEN, 0, moments },
	{ "shard", "layer.0.sums.mean", DROP, 0, exact },
	{ "shard", "layer.0.sums.second.digits", SET, 4, exact },
	{ "shard", "layer.0.sums.second.top", SET, 1000, exact },
	{ "shard", "layer.0.sums.second.top", SET, -1000, exact },
	{ "shard", "layer.0.sums.gain.digit", SHORTEN, 0, exact },
	{ "shard", "layer.0.sums.mean.broken", SET, -1, "an index of exact sums is out of range" },
	{ "shard", "layer.0.sums.mean.broken", SET, 4, "an index of exact sums is out of range" },
	{ "shard_covariance", "layer.0.sums.products.digit", SHORTEN, 0, exact },
	{ "shard_covariance", "layer.0.sums.grid_rows", SET, -1, "a number of rows is none" },
	{ "whole", "layer.0.copy_of", SET, 0, "a list of copies does not fit its layer" },
	{ "copies", "layer.0.copy_of.2", SET, -1, copies },
	{ "copies", "layer.0.copy_of.2", SET, 3, copies },
	{ "copies", "layer.0.copy_of.2", SET, 1, copies },
};

/* ---- the seeds ---------------------------------------------------------------------------------------------- */

static uint8_t *read_seed(const char *name, size_t *size)
{
	char path[4096];
	FILE *f;
	uint8_t *bytes = malloc(1 << 16);

	snprintf(path, sizeof path, "%s/%s", SEEDS, name);
	f = fopen(path, "rb");
	cr_assert(f && bytes, "%s", path);
	*size = fread(bytes, 1, 1 << 16, f);
	fclose(f);
	return bytes;
}

/* "copies": of the four features of the first layer of "whole", the second is said to be a copy of the first. */
static Tamis__ScoreFile *open_seed(const char *name)
{
	bool with_copies = !strcmp(name, "copies");
	size_t size;
	uint8_t *bytes = read_seed(with_copies ? "whole" : name, &size);
	Tamis__ScoreFile *m = tamis__score_file__unpack(NULL, size, bytes);

	cr_assert_not_null(m);
	free(bytes);
	if (with_copies) {
		static const int64_t first[] = { 0, 0, 2, 3 };

		m->layer[0]->n_copy_of = 4;
		m->layer[0]->copy_of = malloc(sizeof first);
		memcpy(m->layer[0]->copy_of, first, sizeof first);
	}
	return m;
}

/* ---- changing one field ------------------------------------------------------------------------------------- */

static void set_scalar(void *at, ProtobufCType type, double value)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
		*(int32_t *)at = (int32_t)value;
		break;
	case PROTOBUF_C_TYPE_UINT32:
		*(uint32_t *)at = (uint32_t)value;
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
		*(int64_t *)at = (int64_t)value;
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		*(double *)at = value;
		break;
	default:
		cr_assert_fail("a type without numbers: %d", type);
	}
}

static size_t scalar_size(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_FLOAT || type == PROTOBUF_C_TYPE_INT32 || type == PROTOBUF_C_TYPE_SINT32
	       || type == PROTOBUF_C_TYPE_UINT32 ? 4 : 8;
}

/* A value of one character becomes a text of it alone. */
static void change_text(char **at, const struct change *c)
{
	char *old = *at;

	if (c->what == SHORTEN) {
		old[strlen(old) - 1] = '\0';
		return;
	}
	*at = NULL;
	free(old);
	if (c->what == SET) {
		*at = calloc(2, 1);
		(*at)[0] = (char)c->value;
	}
}

/* An element behind the position, or where there is none an only one. */
static void change_repeated(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const char *rest, const struct change *c)
{
	size_t *n = (size_t *)(void *)((char *)m + f->quantifier_offset);
	char **at = (char **)(void *)((char *)m + f->offset);

	if (c->what == SHORTEN) {
		cr_assert_gt((*n)--, 0);
		return;
	}
	if (!rest) {
		cr_assert_eq(*n, 0);
		*n = 1;
		*at = calloc(1, scalar_size(f->type));
	}
	set_scalar(*at + (rest ? strtoul(rest, NULL, 10) : 0) * scalar_size(f->type), f->type, c->value);
}

static void change_at(ProtobufCMessage *m, const char *path, const struct change *c);

static void change_message(ProtobufCMessage **at, const char *rest, const struct change *c)
{
	if (rest) {
		change_at(*at, rest, c);
		return;
	}
	cr_assert_eq(c->what, DROP);
	protobuf_c_message_free_unpacked(*at, NULL);
	*at = NULL;
}

static void change_at(ProtobufCMessage *m, const char *path, const struct change *c)
{
	const char *dot = strchr(path, '.'), *rest = dot ? dot + 1 : NULL;
	char name[64];
	const ProtobufCFieldDescriptor *f;
	char *at;

	snprintf(name, sizeof name, "%.*s", (int)(dot ? dot - path : (long)strlen(path)), path);
	f = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
	cr_assert_not_null(f, "%s: no field %s", c->path, name);
	at = (char *)m + f->offset;
	if (f->type == PROTOBUF_C_TYPE_MESSAGE && f->label == PROTOBUF_C_LABEL_REPEATED) {
		change_at((*(ProtobufCMessage ***)(void *)at)[strtoul(rest, NULL, 10)], strchr(rest, '.') + 1, c);
	} else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		change_message((ProtobufCMessage **)(void *)at, rest, c);
	} else if (f->type == PROTOBUF_C_TYPE_STRING) {
		change_text((char **)(void *)at, c);
	} else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		change_repeated(m, f, rest, c);
	} else {
		*(protobuf_c_boolean *)(void *)((char *)m + f->quantifier_offset) = c->what == SET;
		if (c->what == SET)
			set_scalar(at, f->type, c->value);
	}
}

static enum tamis_status take(const Tamis__ScoreFile *m, struct tamis_error *err)
{
	size_t size = tamis__score_file__get_packed_size(m);
	uint8_t *bytes = malloc(size);
	struct score_file f = { 0 };
	enum tamis_status status;

	tamis__score_file__pack(m, bytes);
	status = score_file_unpack(bytes, size, &f, err);
	score_file_free(&f);
	free(bytes);
	return status;
}

Test(scorefile, one_wrong_field_is_refused_with_its_sentence)
{
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		const struct change *c = &changes[i];
		Tamis__ScoreFile *m = open_seed(c->seed);
		struct tamis_error err = { 0 };

		cr_expect_eq(take(m, &err), TAMIS_OK, "%s, as it is: %s", c->seed, err.message);
		change_at(&m->base, c->path, c);
		err = (struct tamis_error){ 0 };
		cr_expect_eq(take(m, &err), TAMIS_E_INVALID, "%s, %s %g: %s", c->seed, c->path, c->value, err.message);
		cr_expect_not_null(strstr(err.message, c->sentence), "%s, %s %g: '%s'", c->seed, c->path, c->value, err.message);
		tamis__score_file__free_unpacked(m, NULL);
	}
}
