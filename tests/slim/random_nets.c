/* SPDX-License-Identifier: Apache-2.0 */
#include "random_nets.h"

#include <stdio.h>
#include <string.h>

#include "build.h"

#define DIMS(...) ((const int64_t[]){ __VA_ARGS__ })

/* The net being built: an image [N, channels, side, side], or a sequence [N, length, channels]. */
struct net {
	struct document *d;
	struct rng r;
	int64_t channels, side, length; /* side 0: a sequence */
	int n;
	char at[32];
};

static const char *fresh(struct net *t, const char *stem, char *buf)
{
	snprintf(buf, 32, "%s%d", stem, t->n++);
	return buf;
}

static bool one_in(struct net *t, uint64_t n)
{
	return rng_below(&t->r, n) == 0;
}

/* A node on the value in hand, whose output is in hand then. */
static Onnx__NodeProto *step(struct net *t, const char *op, const char *more)
{
	char inputs[200], to[32];
	Onnx__NodeProto *n;

	snprintf(inputs, sizeof inputs, "%s %s", t->at, more);
	n = build_node(t->d, op, inputs, fresh(t, "v", to));
	strcpy(t->at, to);
	return n;
}

static void conv(struct net *t, int64_t outs, int64_t k, int64_t groups)
{
	char w[32], b[32], more[80];
	Onnx__NodeProto *n;

	build_floats(t->d, fresh(t, "w", w), 4, DIMS(outs, t->channels / groups, k, k), 0.5, &t->r);
	build_floats(t->d, fresh(t, "b", b), 1, &outs, 1, &t->r);
	snprintf(more, sizeof more, "%s %s", w, b);
	n = step(t, "Conv", more);
	build_attribute(t->d, n, "pads", 4, DIMS(k / 2, k / 2, k / 2, k / 2));
	if (groups > 1)
		build_number(t->d, n, "group", groups);
	t->channels = outs;
}

static void dense(struct net *t, int64_t outs)
{
	char w[32], b[32];

	build_floats(t->d, fresh(t, "w", w), 2, DIMS(t->channels, outs), 0.5, &t->r);
	build_floats(t->d, fresh(t, "b", b), 1, &outs, 1, &t->r);
	step(t, "MatMul", w);
	step(t, "Add", b);
	t->channels = outs;
}

static void parameters(struct net *t, const char *op, int n, int64_t count)
{
	char more[200] = "", name[32];

	for (int i = 0; i < n; i++) {
		float *p = build_floats(t->d, fresh(t, "p", name), 1, &count, 1, &t->r);

		for (int64_t k = 0; i == 3 && k < count; k++)
			p[k] = 0.5f + p[k] * p[k];
		strcat(strcat(more, " "), name);
	}
	step(t, op, more);
}

/* ---- blocks of images ---- */

static void residual(struct net *t)
{
	char from[32];
	int64_t channels = t->channels;

	strcpy(from, t->at);
	conv(t, 2 + (int64_t)rng_below(&t->r, 5), 3, 1);
	parameters(t, "BatchNormalization", 4, t->channels);
	step(t, "Relu", "");
	conv(t, channels, 1, 1);
	step(t, one_in(t, 4) ? "Mul" : "Add", from);
}

static void concat(struct net *t)
{
	char from[32];
	int64_t channels = t->channels;

	strcpy(from, t->at);
	conv(t, 1 + (int64_t)rng_below(&t->r, 4), 3, 1);
	build_number(t->d, step(t, "Concat", from), "axis", 1);
	t->channels += channels;
}

static void split(struct net *t)
{
	char sizes[32], inputs[80], a[32], b[32], outputs[80];
	int64_t half = t->channels / 2, rest = t->channels - half;
	bool listed = t->channels % 2 || one_in(t, 2);
	Onnx__NodeProto *n;

	build_ints(t->d, fresh(t, "s", sizes), 2, DIMS(half, rest));
	snprintf(inputs, sizeof inputs, listed ? "%s %s" : "%s", t->at, sizes);
	snprintf(outputs, sizeof outputs, "%s %s", fresh(t, "v", a), fresh(t, "v", b));
	n = build_node(t->d, "Split", inputs, outputs);
	build_number(t->d, n, "axis", 1);
	if (!listed)
		build_number(t->d, n, "num_outputs", 2);
	strcpy(t->at, a);
	step(t, "Tanh", "");
	if (half == rest && one_in(t, 2)) {
		step(t, "Add", b);
		t->channels = half;
	} else {
		build_number(t->d, step(t, "Concat", b), "axis", 1);
	}
}

static void slice(struct net *t)
{
	char s[32], e[32], a[32], more[120];
	int64_t start = (int64_t)rng_below(&t->r, 2), end = t->channels - (int64_t)rng_below(&t->r, 2);

	build_ints(t->d, fresh(t, "s", s), 1, &start);
	build_ints(t->d, fresh(t, "e", e), 1, DIMS(end == t->channels && one_in(t, 2) ? INT64_MAX : end));
	build_ints(t->d, fresh(t, "a", a), 1, DIMS(1));
	snprintf(more, sizeof more, "%s %s %s", s, e, a);
	step(t, "Slice", more);
	t->channels = end - start;
}

static void grouped(struct net *t)
{
	int64_t groups = t->channels % 2 || one_in(t, 2) ? t->channels : t->channels / 2;

	conv(t, t->channels * (1 + (int64_t)one_in(t, 3)), 3, groups);
}

static void squeeze_and_excite(struct net *t)
{
	char from[32];
	int64_t channels = t->channels;

	strcpy(from, t->at);
	step(t, "GlobalAveragePool", "");
	conv(t, 3, 1, 1);
	step(t, "Relu", "");
	conv(t, channels, 1, 1);
	step(t, "Sigmoid", "");
	step(t, "Mul", from);
}

static void transposed(struct net *t)
{
	char w[32];
	int64_t outs = 2 + (int64_t)rng_below(&t->r, 4);

	build_floats(t->d, fresh(t, "w", w), 4, DIMS(t->channels, outs, 1, 1), 0.5, &t->r);
	step(t, "ConvTranspose", w);
	t->channels = outs;
}

static void norm(struct net *t)
{
	if (t->channels % 2 == 0 && one_in(t, 2)) {
		char s[32], b[32], more[80];

		build_floats(t->d, fresh(t, "p", s), 1, &t->channels, 1, &t->r);
		build_floats(t->d, fresh(t, "p", b), 1, &t->channels, 1, &t->r);
		snprintf(more, sizeof more, "%s %s", s, b);
		build_number(t->d, step(t, "GroupNormalization", more), "num_groups", t->channels / 2);
	} else {
		parameters(t, "InstanceNormalization", 2, t->channels);
	}
}

/* Four channels become one of twice the side, by DepthToSpace or by what exporters make of PixelShuffle. */
static void shuffle(struct net *t)
{
	char a[32], b[32];
	int64_t side = t->side;

	conv(t, 8, 1, 1);
	if (one_in(t, 2)) {
		build_number(t->d, step(t, "DepthToSpace", ""), "blocksize", 2);
	} else {
		build_ints(t->d, fresh(t, "s", a), 6, DIMS(0, 2, 2, 2, side, side));
		build_ints(t->d, fresh(t, "s", b), 4, DIMS(0, 2, 2 * side, 2 * side));
		step(t, "Reshape", a);
		build_attribute(t->d, step(t, "Transpose", ""), "perm", 6, DIMS(0, 1, 4, 2, 5, 3));
		step(t, "Reshape", b);
	}
	t->channels = 2;
	t->side = 2 * side;
	conv(t, 4, 1, 1);
}

static void widen(struct net *t)
{
	static const char *const ops[] = { "Relu", "HardSwish", "LeakyRelu", "Sigmoid" };

	conv(t, 3 + (int64_t)rng_below(&t->r, 4), 1, 1);
	step(t, ops[rng_below(&t->r, 4)], "");
}

/* ---- blocks of sequences ---- */

/* The length of an axis of a value, computed. */
static const char *take_length(struct net *t, const char *of, int64_t axis, char buf[32])
{
	char shape[32], at[32], both[80];

	build_node(t->d, "Shape", of, fresh(t, "v", shape));
	build_ints(t->d, fresh(t, "s", at), 1, &axis);
	snprintf(both, sizeof both, "%s %s", shape, at);
	build_node(t->d, "Gather", both, fresh(t, "v", buf));
	return buf;
}

/* Lengths for a Reshape as exporters compute them, joined: the batch from the input's shape, the last from that of `like`
 * (NULL = not so), the others constants. */
static void join_lengths(struct net *t, int n, const int64_t *lengths, const char *like, const char *to)
{
	char part[32], cast[32], parts[200];

	take_length(t, t->at, 0, part);
	strcpy(parts, part);
	for (int i = 1; i < n; i++) {
		if (i == n - 1 && like) {
			strcat(strcat(parts, " "), take_length(t, like, 2, part));
			break;
		}
		build_ints(t->d, fresh(t, "s", part), 1, &lengths[i]);
		if (i % 2)
			build_number(t->d, build_node(t->d, "Cast", part, fresh(t, "v", cast)), "to", DT_INT64);
		strcat(strcat(parts, " "), i % 2 ? cast : part);
	}
	build_number(t->d, build_node(t->d, "Concat", parts, to), "axis", 0);
}

/* The value in hand, reshaped; lengths[0] is 0: the batch. like: NULL, or of so many channels. */
static void reshape(struct net *t, int n, const int64_t *lengths, const char *like)
{
	char to[32];

	fresh(t, "s", to);
	if (one_in(t, 2))
		join_lengths(t, n, lengths, like, to);
	else
		build_ints(t->d, to, n, lengths);
	step(t, "Reshape", to);
}

/* [N, length, channels] -> heads -> the same. */
static void attention(struct net *t)
{
	char from[32], part[3][32], scale[32];
	int64_t n = 3, channels = t->channels, each = channels % n ? 4 : channels / n, width = n * each;

	strcpy(from, t->at);
	*build_floats(t->d, fresh(t, "f", scale), 0, NULL, 1, &t->r) = 0.5f;
	for (int i = 0; i < 3; i++) {
		strcpy(t->at, from);
		t->channels = channels;
		dense(t, width);
		reshape(t, 4, DIMS(0, t->length, n, each), NULL);
		build_attribute(t->d, step(t, "Transpose", ""), "perm", 4,
		                i == 1 ? DIMS(0, 2, 3, 1) : DIMS(0, 2, 1, 3));
		strcpy(part[i], t->at);
	}
	strcpy(t->at, part[0]);
	step(t, "MatMul", part[1]);
	step(t, "Mul", scale);
	build_number(t->d, step(t, "Softmax", ""), "axis", -1);
	step(t, "MatMul", part[2]);
	build_attribute(t->d, step(t, "Transpose", ""), "perm", 4, DIMS(0, 2, 1, 3));
	reshape(t, 3, one_in(t, 2) ? DIMS(0, t->length, width) : DIMS(0, t->length, -1), width == channels ? from : NULL);
	dense(t, channels);
	step(t, "Add", from);
}

static void feed_forward(struct net *t)
{
	char from[32], normed[32], s[32], b[32], more[80];
	int64_t channels = t->channels;

	strcpy(from, t->at);
	build_floats(t->d, fresh(t, "p", s), 1, &channels, 1, &t->r);
	build_floats(t->d, fresh(t, "p", b), 1, &channels, 1, &t->r);
	snprintf(more, sizeof more, "%s %s", s, b);
	step(t, "LayerNormalization", more);
	dense(t, 7);
	strcpy(normed, t->at);
	step(t, "Erf", "");
	step(t, "Mul", normed);
	dense(t, channels);
	step(t, "Add", from);
}

/* Both directions of an LSTM or GRU, put side by side. */
static void recurrent(struct net *t)
{
	static const struct { const char *op; int64_t gates; } cells[] = { { "LSTM", 4 }, { "GRU", 3 }, { "RNN", 1 } };
	char w[32], r[32], b[32], s[32], more[120];
	int64_t hidden = 5;
	int kind = (int)rng_below(&t->r, 3);
	Onnx__NodeProto *n;

	build_floats(t->d, fresh(t, "w", w), 3, DIMS(2, cells[kind].gates * hidden, t->channels), 0.4, &t->r);
	build_floats(t->d, fresh(t, "r", r), 3, DIMS(2, cells[kind].gates * hidden, hidden), 0.4, &t->r);
	build_floats(t->d, fresh(t, "b", b), 2, DIMS(2, 2 * cells[kind].gates * hidden), 0.4, &t->r);
	snprintf(more, sizeof more, "%s %s %s", w, r, b);
	build_attribute(t->d, step(t, "Transpose", ""), "perm", 3, DIMS(1, 0, 2));
	n = step(t, cells[kind].op, more);
	build_number(t->d, n, "hidden_size", hidden);
	build_text(t->d, n, "direction", "bidirectional");
	build_attribute(t->d, step(t, "Transpose", ""), "perm", 4, DIMS(2, 0, 1, 3));
	build_ints(t->d, fresh(t, "s", s), 3, DIMS(0, 0, -1));
	step(t, "Reshape", s);
	t->channels = 2 * hidden;
}

/* ---- nets ---- */

static void (*const image_blocks[])(struct net *) = { residual, concat, split, slice, grouped, squeeze_and_excite,
	transposed, norm, shuffle, widen };
static void (*const sequence_blocks[])(struct net *) = { attention, feed_forward, recurrent };

#define N_IMAGE_BLOCKS (sizeof image_blocks / sizeof *image_blocks)
#define N_SEQUENCE_BLOCKS (sizeof sequence_blocks / sizeof *sequence_blocks)

const size_t n_random_blocks = N_IMAGE_BLOCKS + N_SEQUENCE_BLOCKS;

static void to_sequence(struct net *t)
{
	char s[32];

	t->length = t->side * t->side;
	build_ints(t->d, fresh(t, "s", s), 3, DIMS(0, 0, -1));
	step(t, "Reshape", s);
	build_attribute(t->d, step(t, "Transpose", ""), "perm", 3, DIMS(0, 2, 1));
	t->side = 0;
}

static struct net begin(uint64_t seed)
{
	struct net t = { .d = build_model(21), .r = rng_make(seed, 41), .channels = 3, .side = 4, .at = "x" };

	build_input(t.d, "x", 4, DIMS(-1, 3, 4, 4));
	return t;
}

static void finish(struct net *t)
{
	char s[32];

	if (!t->side && one_in(t, 2)) {
		build_ints(t->d, fresh(t, "s", s), 1, DIMS(1));
		build_number(t->d, step(t, "ReduceMean", s), "keepdims", 0);
	} else {
		t->channels *= t->side ? t->side * t->side : t->length;
		build_number(t->d, step(t, "Flatten", ""), "axis", 1);
	}
	dense(t, 2);
	build_output(t->d, t->at, 2, DIMS(-1, 2));
}

struct document *random_block(size_t block, uint64_t seed)
{
	struct net t = begin(seed);

	widen(&t);
	if (block >= N_IMAGE_BLOCKS)
		to_sequence(&t);
	(block < N_IMAGE_BLOCKS ? image_blocks[block] : sequence_blocks[block - N_IMAGE_BLOCKS])(&t);
	finish(&t);
	return t.d;
}

struct document *random_net(uint64_t seed)
{
	struct net t = begin(seed);
	int images = (int)rng_below(&t.r, 5), sequences = (int)rng_below(&t.r, 3);

	widen(&t);
	for (int i = 0; i < images; i++)
		if (t.channels >= 4 && t.channels < 24)
			image_blocks[rng_below(&t.r, N_IMAGE_BLOCKS)](&t);
		else
			widen(&t);
	if (sequences)
		to_sequence(&t);
	for (int i = 0; i < sequences; i++)
		sequence_blocks[rng_below(&t.r, N_SEQUENCE_BLOCKS)](&t);
	finish(&t);
	return t.d;
}

struct document *random_transformer(uint64_t seed)
{
	struct net t = begin(seed);

	widen(&t);
	to_sequence(&t);
	attention(&t);
	feed_forward(&t);
	finish(&t);
	return t.d;
}
