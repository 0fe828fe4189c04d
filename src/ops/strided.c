/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/strided.h"

#include <stdbool.h>
#include <string.h>

#include "ops/args.h"

/* Words of each element size. Elements of every type of that size are moved as such words. */
typedef uint8_t word1 __attribute__((may_alias));
typedef uint16_t word2 __attribute__((may_alias));
typedef uint32_t word4 __attribute__((may_alias));
typedef uint64_t word8 __attribute__((may_alias));
typedef struct { uint64_t low, high; } __attribute__((may_alias)) word16;

#define BLOCK 32 /* a block of 32 x 32 words of 8 bytes fills a quarter of a 32 KB cache on either side */

/* The two inner axes of a walk: rows x cols elements. */
struct plane {
	int64_t rows, cols, from_row, from_col, to_row, to_col;
};

typedef void plane_fn(const struct plane *p, const void *from, void *to);

void strided_init(struct strided *s, int rank, const int64_t *dims)
{
	s->rank = rank;
	memcpy(s->dims, dims, (size_t)rank * sizeof *dims);
	args_strides(rank, dims, s->from);
	memcpy(s->to, s->from, (size_t)rank * sizeof *dims);
}

void strided_axis(struct strided *s, int64_t dim, int64_t from, int64_t to)
{
	s->dims[s->rank] = dim;
	s->from[s->rank] = from;
	s->to[s->rank++] = to;
}

void strided_swap(struct strided *s)
{
	int64_t kept[STRIDED_MAX_RANK];
	size_t size = (size_t)s->rank * sizeof *kept;

	memcpy(kept, s->from, size);
	memcpy(s->from, s->to, size);
	memcpy(s->to, kept, size);
}

/* Copies one plane: whole rows where both sides are dense, one value over a row where the source is
 * broadcast, and square blocks elsewhere, so that a transposition reads and writes whole cache lines.
 * Words may alias anything, so what bounds a loop is copied first. */
#define COPY_PLANE(word) \
	static void copy_block_##word(const struct plane *p, int64_t r1, int64_t c1, const word *restrict from, \
	                              word *restrict to) \
	{ \
		const struct plane s = *p; \
		for (int64_t r = 0; r < r1; r++) \
			for (int64_t c = 0; c < c1; c++) \
				to[r * s.to_row + c * s.to_col] = from[r * s.from_row + c * s.from_col]; \
	} \
	static void copy_rows_##word(const struct plane *p, const word *restrict from, word *restrict to) \
	{ \
		for (int64_t r = 0; r < p->rows; r++) \
			memcpy(to + r * p->to_row, from + r * p->from_row, (size_t)p->cols * sizeof *to); \
	} \
	static void copy_spread_##word(const struct plane *p, const word *restrict from, word *restrict to) \
	{ \
		for (int64_t r = 0; r < p->rows; r++) { \
			word *restrict row = to + r * p->to_row; \
			const word value = from[r * p->from_row]; \
			const int64_t cols = p->cols; \
			for (int64_t c = 0; c < cols; c++) \
				row[c] = value; \
		} \
	} \
	static void copy_##word(const struct plane *p, const void *from, void *to) \
	{ \
		if (p->from_col == 1 && p->to_col == 1) { \
			copy_rows_##word(p, from, to); \
			return; \
		} \
		if (p->from_col == 0 && p->to_col == 1) { \
			copy_spread_##word(p, from, to); \
			return; \
		} \
		for (int64_t r = 0; r < p->rows; r += BLOCK) \
			for (int64_t c = 0; c < p->cols; c += BLOCK) \
				copy_block_##word(p, p->rows - r < BLOCK ? p->rows - r : BLOCK, \
				                  p->cols - c < BLOCK ? p->cols - c : BLOCK, \
				                  (const word *)from + (r * p->from_row + c * p->from_col), \
				                  (word *)to + (r * p->to_row + c * p->to_col)); \
	}

COPY_PLANE(word1)
COPY_PLANE(word2)
COPY_PLANE(word4)
COPY_PLANE(word8)
COPY_PLANE(word16)

/* Adds one plane: dense rows vectorise; a row that is summed into one element is summed in double. */
#define ADD_PLANE(real) \
	static void add_block_##real(const struct plane *p, int64_t r1, int64_t c1, const real *restrict from, \
	                             real *restrict to) \
	{ \
		for (int64_t r = 0; r < r1; r++) \
			for (int64_t c = 0; c < c1; c++) \
				to[r * p->to_row + c * p->to_col] += from[r * p->from_row + c * p->from_col]; \
	} \
	static void add_rows_##real(const struct plane *p, const real *restrict from, real *restrict to) \
	{ \
		for (int64_t r = 0; r < p->rows; r++) { \
			const real *restrict row = from + r * p->from_row; \
			real *restrict sum = to + r * p->to_row; \
			for (int64_t c = 0; c < p->cols; c++) \
				sum[c] += row[c]; \
		} \
	} \
	static void add_sums_##real(const struct plane *p, const real *restrict from, real *restrict to) \
	{ \
		for (int64_t r = 0; r < p->rows; r++) { \
			const real *restrict row = from + r * p->from_row; \
			double sum = 0; \
			for (int64_t c = 0; c < p->cols; c++) \
				sum += (double)row[c * p->from_col]; \
			to[r * p->to_row] += (real)sum; \
		} \
	} \
	static void add_##real(const struct plane *p, const void *from, void *to) \
	{ \
		if (p->to_col == 0) { \
			add_sums_##real(p, from, to); \
			return; \
		} \
		if (p->from_col == 1 && p->to_col == 1) { \
			add_rows_##real(p, from, to); \
			return; \
		} \
		for (int64_t r = 0; r < p->rows; r += BLOCK) \
			for (int64_t c = 0; c < p->cols; c += BLOCK) \
				add_block_##real(p, p->rows - r < BLOCK ? p->rows - r : BLOCK, \
				                 p->cols - c < BLOCK ? p->cols - c : BLOCK, \
				                 (const real *)from + (r * p->from_row + c * p->from_col), \
				                 (real *)to + (r * p->to_row + c * p->to_col)); \
	}

ADD_PLANE(float)
ADD_PLANE(double)

/* Drops axes of length one and merges neighbours that both sides step through as one. */
static void collapse(const struct strided *s, struct strided *out)
{
	int n = 0;

	for (int i = 0; i < s->rank; i++) {
		if (s->dims[i] == 1)
			continue;
		if (n && out->from[n - 1] == s->from[i] * s->dims[i] && out->to[n - 1] == s->to[i] * s->dims[i]) {
			n--;
			out->dims[n] *= s->dims[i];
		} else {
			out->dims[n] = s->dims[i];
		}
		out->from[n] = s->from[i];
		out->to[n++] = s->to[i];
	}
	out->rank = n;
}

static void move_axis(struct strided *s, int axis, int last)
{
	int64_t dim = s->dims[axis], from = s->from[axis], to = s->to[axis];

	for (int i = axis; i < last; i++) {
		s->dims[i] = s->dims[i + 1];
		s->from[i] = s->from[i + 1];
		s->to[i] = s->to[i + 1];
	}
	s->dims[last] = dim;
	s->from[last] = from;
	s->to[last] = to;
}

/* Where the innermost axis is dense on one side only, the axis that is dense on the other becomes its
 * neighbour: the plane of the two is what the square blocks transpose. */
static void pair_dense_axes(struct strided *s)
{
	int last = s->rank - 1;

	if (last < 2 || (s->from[last] == 1) == (s->to[last] == 1))
		return;
	for (int i = 0; i < last; i++) {
		if ((s->from[last] == 1 ? s->to[i] : s->from[i]) == 1) {
			move_axis(s, i, last - 1);
			return;
		}
	}
}

static struct plane inner_plane(const struct strided *s)
{
	struct plane p = {1, 1, 0, 1, 0, 1};
	int last = s->rank - 1;

	if (last >= 0) {
		p.cols = s->dims[last];
		p.from_col = s->from[last];
		p.to_col = s->to[last];
	}
	if (last >= 1) {
		p.rows = s->dims[last - 1];
		p.from_row = s->from[last - 1];
		p.to_row = s->to[last - 1];
	}
	return p;
}

static void walk(const struct strided *s, size_t size, const char *from, char *to, plane_fn *fn)
{
	struct plane p = inner_plane(s);
	int64_t at[STRIDED_MAX_RANK] = {0}, from_at = 0, to_at = 0;
	int axis;

	do {
		fn(&p, from + from_at * (int64_t)size, to + to_at * (int64_t)size);
		for (axis = s->rank - 3; axis >= 0; axis--) {
			from_at += s->from[axis];
			to_at += s->to[axis];
			if (++at[axis] < s->dims[axis])
				break;
			from_at -= s->from[axis] * s->dims[axis];
			to_at -= s->to[axis] * s->dims[axis];
			at[axis] = 0;
		}
	} while (axis >= 0);
}

static bool is_empty(const struct strided *s)
{
	for (int i = 0; i < s->rank; i++)
		if (s->dims[i] == 0)
			return true;
	return false;
}

static plane_fn *copier(size_t size)
{
	switch (size) {
	case 1: return copy_word1;
	case 2: return copy_word2;
	case 4: return copy_word4;
	case 8: return copy_word8;
	default: return copy_word16;
	}
}

void strided_copy(const struct strided *s, size_t size, const void *from, void *to)
{
	struct strided merged;

	if (is_empty(s))
		return;
	collapse(s, &merged);
	pair_dense_axes(&merged);
	walk(&merged, size, from, to, copier(size));
}

void strided_add(const struct strided *s, enum dtype type, const void *from, void *to)
{
	struct strided merged;

	if (is_empty(s))
		return;
	collapse(s, &merged);
	pair_dense_axes(&merged);
	if (type == DT_FLOAT)
		walk(&merged, sizeof(float), from, to, add_float);
	else
		walk(&merged, sizeof(double), from, to, add_double);
}

void strided_fill(void *to, int64_t n, size_t size, const void *value)
{
	const struct plane p = {1, n, 0, 0, 0, 1};

	copier(size)(&p, value, to);
}
