/* SPDX-License-Identifier: Apache-2.0 */
/* Separable: image lines that a kernel row meets are added to one line, whose elements that a kernel column meets are
 * added up. */
#include "ops/window_sums.h"

#include <string.h>

#include "base/eight.h"
#include "base/loop.h"

/* Elements of one axis that a kernel element meets: start, start + step, ... count of them. */
struct walk { int64_t start, step, count; };

static struct walk walk_of(const struct window *w, bool transposed, int axis, int64_t k)
{
	struct window_span s = window_span(w, axis, k);
	struct walk found = {s.lo, 1, s.hi > s.lo ? s.hi - s.lo : 0};

	if (!transposed) {
		found.start = s.lo * w->stride[axis] - w->begin[axis] + k * w->dilation[axis];
		found.step = w->stride[axis];
	}
	return found;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* A line of sums and one of sums of squares, side by side. */
struct lines {
	double *sum, *square;
	int64_t length;
};

enum { STRIP = 2 * LANES }; /* elements whose sums stay in registers: a cache line */

static inline __attribute__((always_inline)) void add_values(const float *x, eight_doubles *sum, eight_doubles *square)
{
	eight narrow;
	eight_doubles v;

	memcpy(&narrow, x, sizeof narrow);
	v = __builtin_convertvector(narrow, eight_doubles);
	*sum += v;
	*square += v * v;
}

/* STRIP elements of n lines. */
static inline __attribute__((always_inline)) void add_column(const float *line, int64_t n, int64_t pitch, double *sum,
                                                             double *square)
{
	eight_doubles s[2], q[2];

	memcpy(s, sum, sizeof s);
	memcpy(q, square, sizeof q);
	for (int64_t y = 0; y < n; y++) {
		add_values(line + y * pitch, &s[0], &q[0]);
		add_values(line + y * pitch + LANES, &s[1], &q[1]);
	}
	memcpy(sum, s, sizeof s);
	memcpy(square, q, sizeof q);
}

/* n lines, `pitch` from one to the next. */
LOOP_VERSIONS_WIDE
static void add_strip(const float *line, int64_t n, int64_t pitch, int64_t length, double *restrict sum,
                      double *restrict square)
{
	int64_t x = 0;

	for (; x + STRIP <= length; x += STRIP)
		add_column(line + x, n, pitch, sum + x, square + x);
	for (int64_t y = 0; x < length && y < n; y++)
		for (int64_t i = x; i < length; i++) {
			double v = line[y * pitch + i];

			sum[i] += v;
			square[i] += v * v;
		}
}

static void clear(struct lines *l)
{
	memset(l->sum, 0, (size_t)l->length * sizeof *l->sum);
	memset(l->square, 0, (size_t)l->length * sizeof *l->square);
}

/* Lines from, from + step, ... of every plane, in every depth of the walk. */
static void add_lines(const struct planes *p, int64_t height, const struct walk *depths, int64_t from, int64_t step,
                      int64_t count, struct lines *to)
{
	for (int64_t i = 0; count > 0 && i < p->n; i++)
		for (int64_t z = 0; z < depths->count; z++) {
			const float *slice = p->first + i * p->pitch + (depths->start + z * depths->step) * height * to->length;

			add_strip(slice + from * to->length, count, step * to->length, to->length, to->sum, to->square);
		}
}

/* Elements of an axis that every kernel element of it meets, from..to-1: only where they follow one another. */
static void shared_extent(const struct window *w, bool transposed, int axis, int64_t *from, int64_t *to)
{
	*from = 0;
	*to = transposed ? w->out[axis] : w->in[axis];
	for (int64_t k = 0; k < w->kernel[axis]; k++) {
		struct walk x = walk_of(w, transposed, axis, k);

		*from = larger(*from, x.start);
		*to = x.step == 1 ? smaller(*to, x.start + x.count) : *from;
	}
	*to = larger(*from, *to);
}

/* LANES of `lanes` lanes: elements from, from + step, ... of both lines, sums to total, squares behind them. */
LOOP_VERSIONS_WIDE
static void add_lanes(const struct lines *l, int lanes, int64_t from, int64_t step, int64_t count, double *total)
{
	eight_doubles s, q, v;

	memcpy(&s, total, sizeof s);
	memcpy(&q, total + WINDOW_LANES, sizeof q);
	for (int64_t at = from * lanes, n = 0; n < count; n++, at += step * lanes) {
		memcpy(&v, l->sum + at, sizeof v);
		s += v;
		memcpy(&v, l->square + at, sizeof v);
		q += v;
	}
	memcpy(total, &s, sizeof s);
	memcpy(total + WINDOW_LANES, &q, sizeof q);
}

/* The same of every lane. */
static void add_elements(const struct lines *l, int lanes, int64_t from, int64_t step, int64_t count, double *total)
{
	int i = 0;

	for (; i + LANES <= lanes; i += LANES) {
		const struct lines part = {l->sum + i, l->square + i, l->length};

		add_lanes(&part, lanes, from, step, count, total + i);
	}
	for (; i < lanes; i++)
		for (int64_t at = from, n = 0; n < count; n++, at += step) {
			total[i] += l->sum[at * lanes + i];
			total[WINDOW_LANES + i] += l->square[at * lanes + i];
		}
}

/* What one kernel row met, folded onto its kernel columns. */
static void fold(const struct window *w, bool transposed, const struct lines *l, int lanes, double *sum,
                 double *square, int64_t pitch)
{
	double shared[2 * WINDOW_LANES] = {0};
	int64_t from, to;

	shared_extent(w, transposed, 2, &from, &to);
	add_elements(l, lanes, from, 1, to - from, shared);
	for (int64_t kx = 0; kx < w->kernel[2]; kx++) {
		struct walk x = walk_of(w, transposed, 2, kx);
		double total[2 * WINDOW_LANES];

		memcpy(total, shared, sizeof total);
		if (to > from) {
			add_elements(l, lanes, x.start, 1, from - x.start, total);
			add_elements(l, lanes, to, 1, x.start + x.count - to, total);
		} else {
			add_elements(l, lanes, x.start, x.step, x.count, total);
		}
		for (int i = 0; i < lanes; i++) {
			sum[i * pitch + kx] += total[i];
			square[i * pitch + kx] += total[WINDOW_LANES + i];
		}
	}
}

/* Whether the kernel has one element, which meets every element of a plane. */
static bool meets_all(const struct window *w)
{
	for (int i = 0; i < 3; i++)
		if (w->kernel[i] != 1 || w->stride[i] != 1 || w->begin[i] || w->end[i])
			return false;
	return true;
}

/* Every plane from its first element to its last, in the order of memory. */
static void add_planes(const struct planes *p, int64_t elements, double *sum, double *square, int64_t pitch)
{
	double total[2 * WINDOW_LANES] = {0};

	for (int64_t i = 0; i < p->n; i++)
		add_strip(p->first + i * p->pitch, elements, p->lanes, p->lanes, total, total + WINDOW_LANES);
	for (int i = 0; i < p->lanes; i++) {
		sum[i * pitch] += total[i];
		square[i * pitch] += total[WINDOW_LANES + i];
	}
}

static void add_windows(const struct window *w, bool transposed, const struct planes *p, double *room, double *sum,
                        double *square, int64_t pitch)
{
	const int64_t *dims = transposed ? w->out : w->in, length = dims[2] * p->lanes;
	struct lines shared = {room, room + length, length}, row = {room + 2 * length, room + 3 * length, length};
	int64_t from, to;

	shared_extent(w, transposed, 1, &from, &to);
	for (int64_t kz = 0; kz < w->kernel[0]; kz++) {
		struct walk z = walk_of(w, transposed, 0, kz);

		clear(&shared);
		add_lines(p, dims[1], &z, from, 1, to - from, &shared);
		for (int64_t ky = 0; ky < w->kernel[1]; ky++) {
			struct walk y = walk_of(w, transposed, 1, ky);
			int64_t at = (kz * w->kernel[1] + ky) * w->kernel[2];

			memcpy(row.sum, room, 2 * (size_t)length * sizeof *room);
			if (to > from) {
				add_lines(p, dims[1], &z, y.start, 1, from - y.start, &row);
				add_lines(p, dims[1], &z, to, 1, y.start + y.count - to, &row);
			} else {
				add_lines(p, dims[1], &z, y.start, y.step, y.count, &row);
			}
			fold(w, transposed, &row, p->lanes, sum + at, square + at, pitch);
		}
	}
}

void window_sums(const struct window *w, bool transposed, const struct planes *p, double *room, double *sum,
                 double *square, int64_t pitch)
{
	const int64_t *dims = transposed ? w->out : w->in;

	if (meets_all(w) && p->lanes > 1) /* plain planes fill no vector that way */
		add_planes(p, dims[0] * dims[1] * dims[2], sum, square, pitch);
	else
		add_windows(w, transposed, p, room, sum, square, pitch);
}

void column_sums(const float *x, int64_t rows, int64_t n, double *sum, double *square)
{
	add_strip(x, rows, n, n, sum, square);
}
