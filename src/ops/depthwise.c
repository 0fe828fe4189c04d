/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/depthwise.h"

#include <string.h>

#include "base/eight.h"
#include "base/loop.h"
#include "ops/blas.h"

enum {
	REACH = 4 * LANES, /* elements that vectors may read or write behind a plane */
	TAPS = 16          /* that go back together */
};

/* Which part of the padded image a plane holds: element (i, j) is (i * stride + y, j * stride + x). */
struct phase { int64_t y, x; };

/* The last two axes of a window, in planes. */
struct lattice {
	const struct window *win;
	int64_t rows, width, plane; /* of a plane, and rows * width */
	int64_t span;               /* from the first to the last output, in a plane */
	int64_t taps;               /* kernel elements of these axes */
	int64_t *shift;             /* by tap: where it meets the first output, in its plane, */
	int64_t *slot;              /* and which plane that is */
	int64_t *offset;            /* the two in one: slot * plane + shift */
	int64_t margin;             /* largest shift */
	int64_t slots;
	struct phase *phase;        /* by slot */
	void *image, *map, *sums;   /* buffers: slots planes; margin zeros and a plane; a plane */
};

static int64_t slot_of(struct lattice *l, struct phase p)
{
	int64_t s = 0;

	while (s < l->slots && (l->phase[s].y != p.y || l->phase[s].x != p.x))
		s++;
	if (s == l->slots)
		l->phase[l->slots++] = p;
	return s;
}

static void place_taps(struct lattice *l)
{
	const struct window *w = l->win;

	for (int64_t t = 0; t < l->taps; t++) {
		int64_t y = t / w->kernel[2] * w->dilation[1], x = t % w->kernel[2] * w->dilation[2];

		l->slot[t] = slot_of(l, (struct phase){y % w->stride[1], x % w->stride[2]});
		l->shift[t] = y / w->stride[1] * l->width + x / w->stride[2];
		l->margin = l->shift[t] > l->margin ? l->shift[t] : l->margin;
	}
	for (int64_t t = 0; t < l->taps; t++)
		l->offset[t] = l->slot[t] * l->plane + l->shift[t];
}

static bool reserve(struct lattice *l, const struct correlation *c)
{
	size_t size = blas_size(c->type), plane = (size_t)(l->plane + REACH);

	l->image = scratch_alloc(c->scratch, (size_t)(l->slots * l->plane + REACH), size);
	l->map = scratch_alloc(c->scratch, (size_t)l->margin + plane, size);
	l->sums = scratch_alloc(c->scratch, plane, size);
	if (!l->image || !l->map || !l->sums)
		return false;
	memset(l->image, 0, (size_t)(l->slots * l->plane + REACH) * size);
	memset(l->map, 0, ((size_t)l->margin + plane) * size);
	return true;
}

static enum tamis_status make_lattice(const struct correlation *c, struct lattice *l)
{
	const struct window *w = &c->win;
	size_t taps = (size_t)(w->kernel[1] * w->kernel[2]);

	*l = (struct lattice){.win = w, .taps = (int64_t)taps};
	l->rows = w->out[1] + (w->kernel[1] - 1) * w->dilation[1] / w->stride[1];
	l->width = w->out[2] + (w->kernel[2] - 1) * w->dilation[2] / w->stride[2];
	l->plane = l->rows * l->width;
	l->span = (w->out[1] - 1) * l->width + w->out[2];
	l->shift = scratch_alloc(c->scratch, taps, sizeof *l->shift);
	l->slot = scratch_alloc(c->scratch, taps, sizeof *l->slot);
	l->offset = scratch_alloc(c->scratch, taps, sizeof *l->offset);
	l->phase = scratch_alloc(c->scratch, taps, sizeof *l->phase);
	if (!l->shift || !l->slot || !l->offset || !l->phase)
		return tm_no_memory(c->err, "convolving");
	place_taps(l);
	return reserve(l, c) ? TAMIS_OK : tm_no_memory(c->err, "convolving");
}

/* Elements lo..hi-1 of a plane's axis that lie in the image, for a phase. */
static struct window_span inside(const struct window *w, int axis, int64_t phase, int64_t extent)
{
	int64_t stride = w->stride[axis], pad = w->begin[axis] - phase;
	struct window_span s = {pad > 0 ? (pad + stride - 1) / stride : 0, 0};

	s.hi = w->in[axis] + pad > 0 ? (w->in[axis] + pad + stride - 1) / stride : 0;
	s.hi = s.hi < extent ? s.hi : extent;
	return s;
}

#define T float
#define V eight
#define NAME(x) x##_float
#include "ops/depthwise.inc"
#undef T
#undef V
#undef NAME
#define T double
#define V four
#define NAME(x) x##_double
#include "ops/depthwise.inc"
#undef T
#undef V
#undef NAME

bool depthwise_fits(const struct correlation *c)
{
	return c->channels == 1 && c->maps <= DEPTHWISE_MAPS;
}

typedef void product(const struct correlation *c, const struct lattice *l, const void *a, const void *b, void *to);

static enum tamis_status run(const struct correlation *c, product *of_floats, product *of_doubles, const void *a,
                             const void *b, void *to)
{
	struct lattice l;
	enum tamis_status s = make_lattice(c, &l);

	if (s == TAMIS_OK)
		(c->type == DT_FLOAT ? of_floats : of_doubles)(c, &l, a, b, to);
	return s;
}

enum tamis_status depthwise(const struct correlation *c, const void *image, const void *weight, void *maps)
{
	return run(c, forward_float, forward_double, image, weight, maps);
}

enum tamis_status depthwise_back(const struct correlation *c, const void *maps, const void *weight, void *image)
{
	return run(c, back_float, back_double, maps, weight, image);
}

enum tamis_status depthwise_weight(const struct correlation *c, const void *image, const void *maps, void *weight)
{
	return run(c, weight_float, weight_double, image, maps, weight);
}
