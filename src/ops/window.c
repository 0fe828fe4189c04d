/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/window.h"

#include "base/checked.h"

static const char *const auto_pads[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", NULL};

enum tamis_status window_parse(const struct op_parse *p, struct window_attr *a)
{
	enum tamis_status s;

	if ((s = attr_choice(p, "auto_pad", auto_pads, AUTO_PAD_NOTSET, &a->auto_pad)) ||
	    (s = attr_ints(p, "kernel_shape", &a->kernel, &a->n_kernel)) ||
	    (s = attr_ints(p, "strides", &a->strides, &a->n_strides)) ||
	    (s = attr_ints(p, "dilations", &a->dilations, &a->n_dilations)))
		return s;
	return attr_ints(p, "pads", &a->pads, &a->n_pads);
}

/* Copies a list of `rank` values, each in least..INT32_MAX, to the last axes of `to`. */
static enum tamis_status take(const char *what, const int64_t *list, int n, int rank, int64_t least,
                              int64_t *to, struct tamis_error *err)
{
	if (n != rank)
		return tm_fail(err, TAMIS_E_INVALID, "%s has %d values; %d spatial axes need as many", what, n, rank);
	for (int i = 0; i < n; i++) {
		if (list[i] < least)
			return tm_fail(err, TAMIS_E_INVALID, "%s has the value %lld; at least %lld is expected", what,
			               (long long)list[i], (long long)least);
		if (list[i] > INT32_MAX)
			return tm_fail(err, TAMIS_E_UNSUPPORTED, "%s has the value %lld; at most %d is supported", what,
			               (long long)list[i], INT32_MAX);
		to[WINDOW_AXES - rank + i] = list[i];
	}
	return TAMIS_OK;
}

static enum tamis_status take_optional(const char *what, const int64_t *list, int n, int rank, int64_t least,
                                       int64_t *to, struct tamis_error *err)
{
	return n < 0 ? TAMIS_OK : take(what, list, n, rank, least, to, err);
}

static enum tamis_status take_kernel(const struct window_attr *a, const int64_t *kernel, struct window *w,
                                     struct tamis_error *err)
{
	enum tamis_status s;

	if (!kernel && a->n_kernel < 0)
		return tm_fail(err, TAMIS_E_INVALID, "the attribute kernel_shape is missing");
	s = take_optional("kernel_shape", a->kernel, a->n_kernel, w->rank, 1, w->kernel, err);
	if (s || !kernel)
		return s;
	for (int i = 0; i < w->rank && a->n_kernel >= 0; i++)
		if (a->kernel[i] != kernel[i])
			return tm_fail(err, TAMIS_E_INVALID, "kernel_shape has %lld on axis %d, the weight %lld",
			               (long long)a->kernel[i], i, (long long)kernel[i]);
	return take("the weight's kernel", kernel, w->rank, w->rank, 1, w->kernel, err);
}

static enum tamis_status take_pads(const struct window_attr *a, struct window *w, struct tamis_error *err)
{
	enum tamis_status s;

	if (a->n_pads < 0)
		return TAMIS_OK;
	if (a->n_pads != 2 * w->rank)
		return tm_fail(err, TAMIS_E_INVALID, "pads has %d values; %d spatial axes need %d", a->n_pads, w->rank,
		               2 * w->rank);
	s = take("pads", a->pads, w->rank, w->rank, 0, w->begin, err);
	return s ? s : take("pads", a->pads + w->rank, w->rank, w->rank, 0, w->end, err);
}

/* Everything but the output: image, kernel, strides, dilations, and pads as written. */
static enum tamis_status start(const struct window_attr *a, const struct tensor *x, const int64_t *kernel,
                               struct window *w, struct tamis_error *err)
{
	enum tamis_status s;

	if (x->rank < 3)
		return tm_fail(err, TAMIS_E_INVALID,
		               "the input has rank %d; at least 3 (batch, channels, space) is expected", x->rank);
	*w = (struct window){.rank = x->rank - 2};
	if (w->rank > WINDOW_AXES)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "the input has %d spatial axes; at most %d are supported", w->rank,
		               WINDOW_AXES);
	for (int i = 0; i < WINDOW_AXES; i++)
		w->in[i] = w->kernel[i] = w->stride[i] = w->dilation[i] = w->out[i] = 1;
	if ((s = take("the input's shape", x->dims + 2, w->rank, w->rank, 0, w->in, err)) ||
	    (s = take_kernel(a, kernel, w, err)) ||
	    (s = take_optional("strides", a->strides, a->n_strides, w->rank, 1, w->stride, err)) ||
	    (s = take_optional("dilations", a->dilations, a->n_dilations, w->rank, 1, w->dilation, err)))
		return s;
	return take_pads(a, w, err);
}

/* The products, and that all values still fit. */
static enum tamis_status finish(struct window *w, struct tamis_error *err)
{
	for (int i = 0; i < WINDOW_AXES; i++)
		if (w->out[i] > INT32_MAX || w->in[i] > INT32_MAX || w->begin[i] > INT32_MAX || w->end[i] > INT32_MAX)
			return tm_fail(err, TAMIS_E_UNSUPPORTED, "a spatial axis exceeds %d elements", INT32_MAX);
	if (!tm_product(w->in, WINDOW_AXES, &w->in_size) || !tm_product(w->out, WINDOW_AXES, &w->out_size) ||
	    !tm_product(w->kernel, WINDOW_AXES, &w->kernel_size))
		return tm_fail(err, TAMIS_E_INVALID, "the number of elements under the window overflows");
	return TAMIS_OK;
}

/* Elements that the kernel spans, holes included. */
static int64_t extent(const struct window *w, int axis)
{
	return (w->kernel[axis] - 1) * w->dilation[axis] + 1;
}

/* Ceiling of a / b for b > 0. */
static int64_t ceil_div(int64_t a, int64_t b)
{
	return a / b + (a % b > 0);
}

/* Padding `total` (none when negative) split in two; the odd element goes to the end, or to the beginning. */
static void split_padding(struct window *w, int axis, int64_t total, bool odd_at_begin)
{
	total = total < 0 ? 0 : total;
	w->begin[axis] = odd_at_begin ? total - total / 2 : total / 2;
	w->end[axis] = total - w->begin[axis];
}

/* With ceil_mode the last window may reach past the padding, but must not start in the padding at the end. */
static int64_t explicit_extent(const struct window *w, int axis, bool ceil_mode)
{
	int64_t room = w->in[axis] + w->begin[axis] + w->end[axis] - extent(w, axis), out;

	if (!ceil_mode)
		return room < 0 ? 0 : room / w->stride[axis] + 1;
	out = ceil_div(room, w->stride[axis]) + 1;
	return out > 0 && (out - 1) * w->stride[axis] >= w->in[axis] + w->begin[axis] ? out - 1 : out;
}

static enum tamis_status set_output(const struct window_attr *a, struct window *w, int axis,
                                    struct tamis_error *err)
{
	if (a->auto_pad == AUTO_PAD_NOTSET) {
		w->out[axis] = explicit_extent(w, axis, a->ceil_mode);
	} else if (a->auto_pad == AUTO_PAD_VALID) {
		w->begin[axis] = w->end[axis] = 0;
		w->out[axis] = explicit_extent(w, axis, false);
	} else {
		w->out[axis] = ceil_div(w->in[axis], w->stride[axis]);
		split_padding(w, axis, (w->out[axis] - 1) * w->stride[axis] + extent(w, axis) - w->in[axis],
		              a->auto_pad == AUTO_PAD_SAME_LOWER);
	}
	if (w->out[axis] < 1)
		return tm_fail(err, TAMIS_E_INVALID, "the kernel spans %lld elements; the padded input has only %lld",
		               (long long)extent(w, axis), (long long)(w->in[axis] + w->begin[axis] + w->end[axis]));
	return TAMIS_OK;
}

enum tamis_status window_resolve(const struct window_attr *a, const struct tensor *x, const int64_t *kernel,
                                 struct window *w, struct tamis_error *err)
{
	enum tamis_status s = start(a, x, kernel, w, err);

	if (s)
		return s;
	for (int i = WINDOW_AXES - w->rank; !s && i < WINDOW_AXES; i++)
		s = set_output(a, w, i, err);
	return s ? s : finish(w, err);
}

/* From the image's extent x and output_padding to the output's extent and the padding that cuts it. */
static enum tamis_status set_transposed(const struct window_attr *a, struct window *w, int axis,
                                        int64_t padding, int64_t wanted, struct tamis_error *err)
{
	int64_t x = w->in[axis], full, out;

	if (padding >= w->stride[axis] && padding >= w->dilation[axis])
		return tm_fail(err, TAMIS_E_INVALID,
		               "output_padding %lld is not below the stride %lld or the dilation %lld", (long long)padding,
		               (long long)w->stride[axis], (long long)w->dilation[axis]);
	full = (x - 1) * w->stride[axis] + extent(w, axis) + padding;
	if (a->auto_pad == AUTO_PAD_VALID)
		w->begin[axis] = w->end[axis] = 0;
	out = full - w->begin[axis] - w->end[axis];
	if (wanted < 0 && (a->auto_pad == AUTO_PAD_SAME_UPPER || a->auto_pad == AUTO_PAD_SAME_LOWER))
		wanted = x * w->stride[axis];
	if (wanted >= 0) {
		out = wanted;
		split_padding(w, axis, full - wanted, a->auto_pad != AUTO_PAD_SAME_UPPER);
	}
	if (x < 1 || out < 1)
		return tm_fail(err, TAMIS_E_INVALID, "a spatial axis of %lld elements would give %lld", (long long)x,
		               (long long)out);
	w->in[axis] = out;
	w->out[axis] = x;
	return TAMIS_OK;
}

enum tamis_status window_resolve_transposed(const struct window_attr *a, const struct tensor *x,
                                            const int64_t *kernel, const int64_t *padding, int n_padding,
                                            const int64_t *shape, int n_shape, struct window *w,
                                            struct tamis_error *err)
{
	int64_t extra[WINDOW_AXES] = {0}, wanted[WINDOW_AXES] = {-1, -1, -1};
	enum tamis_status s = start(a, x, kernel, w, err);

	if (s || (s = take_optional("output_padding", padding, n_padding, w->rank, 0, extra, err)) ||
	    (s = take_optional("output_shape", shape, n_shape, w->rank, 1, wanted, err)))
		return s;
	for (int i = WINDOW_AXES - w->rank; !s && i < WINDOW_AXES; i++)
		s = set_transposed(a, w, i, extra[i], wanted[i], err);
	return s ? s : finish(w, err);
}

bool window_inside(const struct window *w)
{
	for (int i = 0; i < WINDOW_AXES; i++)
		if (w->begin[i] > 0 || (w->out[i] - 1) * w->stride[i] + extent(w, i) > w->in[i])
			return false;
	return true;
}

bool window_is_identity(const struct window *w)
{
	for (int i = 0; i < WINDOW_AXES; i++)
		if (w->kernel[i] != 1 || w->stride[i] != 1 || w->begin[i] || w->in[i] != w->out[i])
			return false;
	return true;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

struct window_span window_span(const struct window *w, int axis, int64_t k)
{
	int64_t first = w->begin[axis] - k * w->dilation[axis]; /* o * stride >= first, o * stride < first + in */
	struct window_span s;

	s.lo = clamp(ceil_div(first, w->stride[axis]), 0, w->out[axis]);
	s.hi = clamp(ceil_div(first + w->in[axis], w->stride[axis]), s.lo, w->out[axis]);
	return s;
}

struct window_span *window_spans(const struct window *w, struct scratch *scratch)
{
	struct window_span *spans = scratch_alloc(scratch, (size_t)w->kernel[2], sizeof *spans);

	for (int64_t k = 0; spans && k < w->kernel[2]; k++)
		spans[k] = window_span(w, 2, k);
	return spans;
}
