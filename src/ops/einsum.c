/* SPDX-License-Identifier: Apache-2.0 */
/* Einsum for any number of operands. Two at a time are brought to [batch, M, K] and [batch, K, N] by
 * strided walks and multiplied by GEMM; labels no longer needed are summed on the way. A gradient is the
 * same contraction with the output's gradient in the operand's place. */
#include <ctype.h>
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/blas.h"
#include "ops/family.h"
#include "ops/strided.h"

#define MAX_LABELS STRIDED_MAX_RANK
#define MAX_OPERANDS 32

/* A term as written: letters, and where the ellipsis stands (-1: nowhere), counted in letters before it. */
struct term { int n, ellipsis; char letters[TENSOR_MAX_RANK]; };

struct equation { int n; struct term in[MAX_OPERANDS], out; };

/* Labels are numbered 0 .. n - 1: first the axes of the ellipsis, then letters as they are met. */
struct labels { int n, ellipsis; char letter[MAX_LABELS]; int64_t dim[MAX_LABELS]; };

/* A tensor as labels see it: a stride each, 0 where it has no such label or is broadcast along it. */
struct factor { const void *data; uint64_t has; int64_t stride[MAX_LABELS]; };

/* ---- Reading the equation ---- */

static enum tamis_status bad_equation(struct op_parse *p, const char *text, const char *why)
{
	return tm_fail(p->err, TAMIS_E_INVALID, "equation '%.60s' %s", text, why);
}

/* Reads one term up to ',', '-' or the end; blanks are skipped. */
static enum tamis_status read_term(struct op_parse *p, const char *text, const char **at, struct term *t)
{
	t->n = 0;
	t->ellipsis = -1;
	for (; **at && **at != ',' && **at != '-'; (*at)++) {
		if (**at == ' ')
			continue;
		if (!strncmp(*at, "...", 3) && t->ellipsis < 0) {
			t->ellipsis = t->n;
			*at += 2;
		} else if (!isalpha((unsigned char)**at)) {
			return bad_equation(p, text, "may hold letters, commas, one '->' and one '...' a term");
		} else if (t->n == TENSOR_MAX_RANK) {
			return bad_equation(p, text, "has a term with too many letters");
		} else {
			t->letters[t->n++] = **at;
		}
	}
	return TAMIS_OK;
}

static int occurrences(const struct equation *e, char letter)
{
	int count = 0;

	for (int k = 0; k < e->n; k++)
		for (int i = 0; i < e->in[k].n; i++)
			count += e->in[k].letters[i] == letter;
	return count;
}

/* Without '->' the output has the ellipsis and then, in the order of the alphabet, each letter that occurs
 * once. */
static enum tamis_status implicit_output(struct op_parse *p, const char *text, struct equation *e)
{
	e->out = (struct term){.n = 0, .ellipsis = -1};
	for (int k = 0; k < e->n; k++)
		if (e->in[k].ellipsis >= 0)
			e->out.ellipsis = 0;
	for (int letter = 'A'; letter <= 'z'; letter++) {
		if (!isalpha(letter) || occurrences(e, (char)letter) != 1)
			continue;
		if (e->out.n == TENSOR_MAX_RANK)
			return bad_equation(p, text, "has an output with too many letters");
		e->out.letters[e->out.n++] = (char)letter;
	}
	return TAMIS_OK;
}

static enum tamis_status check_output(struct op_parse *p, const char *text, const struct equation *e)
{
	bool ellipsis = false;

	for (int k = 0; k < e->n; k++)
		ellipsis |= e->in[k].ellipsis >= 0;
	if (e->out.ellipsis >= 0 && !ellipsis)
		return bad_equation(p, text, "has '...' in the output only");
	for (int i = 0; i < e->out.n; i++)
		if (occurrences(e, e->out.letters[i]) == 0 ||
		    memchr(e->out.letters, e->out.letters[i], (size_t)i))
			return bad_equation(p, text, "has an output letter that no input has or that comes twice");
	return TAMIS_OK;
}

static enum tamis_status einsum_parse(struct op_parse *p, void **attr)
{
	struct equation *e = *attr = args_alloc(p, sizeof *e);
	const char *text, *at;
	enum tamis_status status = e ? attr_required(p, "equation") : TAMIS_E_MEMORY;

	if (!status)
		status = attr_string(p, "equation", "", &text);
	if (status)
		return status;
	for (at = text;; at++) {
		if (e->n == MAX_OPERANDS)
			return tm_fail(p->err, TAMIS_E_UNSUPPORTED, "Einsum has more than %d operands", MAX_OPERANDS);
		status = read_term(p, text, &at, &e->in[e->n++]);
		if (status)
			return status;
		if (*at != ',')
			break;
	}
	if (*at == '\0')
		return implicit_output(p, text, e);
	if (at[1] != '>')
		return bad_equation(p, text, "has a '-' without '>'");
	at += 2;
	status = read_term(p, text, &at, &e->out);
	if (!status && *at)
		return bad_equation(p, text, "goes on after its output");
	return status ? status : check_output(p, text, e);
}

/* ---- Labels of one call ---- */

static int label_of(const struct labels *l, char letter)
{
	for (int i = l->ellipsis; i < l->n; i++)
		if (l->letter[i] == letter)
			return i;
	return -1;
}

/* Label of axis i of a term whose ellipsis stands for `width` axes, aligned at the last. */
static int axis_label(const struct labels *l, const struct term *t, int width, int i)
{
	if (t->ellipsis < 0 || i < t->ellipsis)
		return label_of(l, t->letters[i]);
	if (i < t->ellipsis + width)
		return l->ellipsis - width + (i - t->ellipsis);
	return label_of(l, t->letters[i - width]);
}

static enum tamis_status note_letters(const struct op_call *c, const struct term *t, struct labels *l)
{
	for (int i = 0; i < t->n; i++) {
		if (label_of(l, t->letters[i]) >= 0)
			continue;
		if (l->n == MAX_LABELS)
			return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "Einsum has more than %d labels", MAX_LABELS);
		l->letter[l->n] = t->letters[i];
		l->dim[l->n++] = 1;
	}
	return TAMIS_OK;
}

/* Lengths that differ must be 1 on one side. */
static enum tamis_status note_dims(const struct op_call *c, int k, struct labels *l)
{
	const struct equation *e = c->node->attr;
	const struct tensor *x = c->in[k];
	int width = x->rank - e->in[k].n;

	for (int i = 0; i < x->rank; i++) {
		int64_t *dim = &l->dim[axis_label(l, &e->in[k], width, i)];

		if (*dim != 1 && x->dims[i] != 1 && *dim != x->dims[i])
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "axis %d of input %d is %lld long; its label has length %lld", i, k,
			               (long long)x->dims[i], (long long)*dim);
		*dim = *dim == 1 ? x->dims[i] : *dim;
	}
	return TAMIS_OK;
}

static enum tamis_status find_labels(const struct op_call *c, struct labels *l)
{
	const struct equation *e = c->node->attr;
	enum tamis_status status = TAMIS_OK;

	memset(l, 0, sizeof *l);
	if (e->n != c->n_in)
		return tm_fail(c->err, TAMIS_E_INVALID, "the equation has %d terms for %d inputs", e->n, c->n_in);
	for (int k = 0; k < e->n; k++) {
		int width = c->in[k] ? c->in[k]->rank - e->in[k].n : -1;

		if (width < 0 || (width > 0 && e->in[k].ellipsis < 0))
			return tm_fail(c->err, TAMIS_E_INVALID, "input %d does not have the %d axes of its term", k,
			               e->in[k].n);
		l->ellipsis = width > l->ellipsis ? width : l->ellipsis;
	}
	l->n = l->ellipsis;
	for (int i = 0; i < l->n; i++)
		l->dim[i] = 1;
	for (int k = 0; !status && k < e->n; k++)
		status = note_letters(c, &e->in[k], l);
	for (int k = 0; !status && k < e->n; k++)
		status = note_dims(c, k, l);
	if (!status && l->ellipsis && e->out.ellipsis < 0)
		status = tm_fail(c->err, TAMIS_E_INVALID, "the output must have the '...' that the inputs have");
	return status;
}

static enum tamis_status einsum_shape(struct op_call *c)
{
	const struct equation *e = c->node->attr;
	struct labels l;
	int64_t dims[TENSOR_MAX_RANK];
	int rank;
	enum tamis_status status = find_labels(c, &l);

	for (int k = 0; !status && k < c->n_in; k++)
		if (!dtype_is_float((int)c->in[k]->type) || c->in[k]->type != c->in[0]->type)
			status = tm_fail(c->err, TAMIS_E_UNSUPPORTED, "Einsum takes floats of one type, not %s and %s",
			                 dtype_name((int)c->in[0]->type), dtype_name((int)c->in[k]->type));
	if (status)
		return status;
	rank = e->out.n + l.ellipsis;
	if (rank > TENSOR_MAX_RANK)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "the output has rank %d; at most %d is supported", rank,
		               TENSOR_MAX_RANK);
	for (int i = 0; i < rank; i++)
		dims[i] = l.dim[axis_label(&l, &e->out, l.ellipsis, i)];
	return op_set_out(c, 0, c->in[0]->type, rank, dims);
}

/* ---- Contraction ---- */

/* A letter that comes twice in a term walks the diagonal: its strides add up. */
static struct factor factor_of(const struct labels *l, const struct term *t, const struct tensor *x)
{
	struct factor f = {.data = x->data};
	int64_t strides[TENSOR_MAX_RANK];

	args_strides(x->rank, x->dims, strides);
	for (int i = 0; i < x->rank; i++) {
		int label = axis_label(l, t, x->rank - t->n, i);

		f.has |= (uint64_t)1 << label;
		f.stride[label] += x->dims[i] == l->dim[label] ? strides[i] : 0;
	}
	return f;
}

/* Product of the lengths of some labels; a saturated one is more than can be allocated. */
static int64_t count_of(const struct labels *l, uint64_t mask)
{
	int64_t n = 1;

	for (int i = 0; i < l->n; i++)
		if (mask >> i & 1 && !tm_mul(n, l->dim[i], &n))
			return INT64_MAX;
	return n;
}

/* Three groups of labels in order, the last innermost. */
struct layout { int n, label[3 * MAX_LABELS]; };

static struct layout layout_of(uint64_t first, uint64_t second, uint64_t third)
{
	const uint64_t groups[] = {first, second, third};
	struct layout order = {.n = 0};

	for (int g = 0; g < 3; g++)
		for (int i = 0; i < MAX_LABELS; i++)
			if (groups[g] >> i & 1)
				order.label[order.n++] = i;
	return order;
}

static void dense_strides(const struct labels *l, const struct layout *order, int64_t *stride)
{
	int64_t step = 1;

	for (int i = order->n - 1; i >= 0; i--) {
		stride[order->label[i]] = step;
		step *= l->dim[order->label[i]];
	}
}

/* Inserts an axis so that strides fall, first those of the target, then those of the source. */
static void insert_axis(struct strided *s, int64_t dim, int64_t from, int64_t to)
{
	int at = s->rank;

	strided_axis(s, dim, from, to);
	for (; at > 0 && (s->to[at - 1] < to || (s->to[at - 1] == to && s->from[at - 1] < from)); at--) {
		s->dims[at] = s->dims[at - 1];
		s->from[at] = s->from[at - 1];
		s->to[at] = s->to[at - 1];
	}
	s->dims[at] = dim;
	s->from[at] = from;
	s->to[at] = to;
}

/* to += from over all labels that either has: those of `from` alone are summed, those of `to` alone
 * repeat. */
static void add_factor(const struct labels *l, enum dtype type, const struct factor *from,
                       const int64_t *to_stride, uint64_t to_has, void *to)
{
	struct strided s = {.rank = 0};

	for (int i = 0; i < l->n; i++)
		if ((from->has | to_has) >> i & 1)
			insert_axis(&s, l->dim[i], from->stride[i], to_has >> i & 1 ? to_stride[i] : 0);
	strided_add(&s, type, from->data, to);
}

/* A dense copy of f with its labels in the order of three groups; labels in none of them are summed. */
static const void *arrange(struct op_call *c, const struct labels *l, enum dtype type, const struct factor *f,
                           uint64_t first, uint64_t second, uint64_t third)
{
	struct layout order = layout_of(first, second, third);
	int64_t stride[MAX_LABELS] = {0}, count = count_of(l, first | second | third);
	void *to = scratch_alloc(c->scratch, (size_t)count, blas_size(type));

	if (!to)
		return NULL;
	dense_strides(l, &order, stride);
	memset(to, 0, (size_t)count * blas_size(type));
	add_factor(l, type, f, stride, first | second | third, to);
	return to;
}

/* One product: of the labels of a and b those in `keep` stay. The result is dense, in scratch. */
static enum tamis_status contract(struct op_call *c, const struct labels *l, enum dtype type,
                                  const struct factor *a, const struct factor *b, uint64_t keep,
                                  struct factor *out)
{
	uint64_t both = a->has & b->has, batch = both & keep, inner = both & ~keep;
	uint64_t rows = a->has & ~both & keep, cols = b->has & ~both & keep;
	int64_t batches = count_of(l, batch), m = count_of(l, rows), n = count_of(l, cols);
	int64_t k = count_of(l, inner);
	struct layout order = layout_of(batch, rows, cols);
	const void *left = arrange(c, l, type, a, batch, rows, inner);
	const void *right = arrange(c, l, type, b, batch, inner, cols);
	void *product = scratch_alloc(c->scratch, (size_t)count_of(l, batch | rows | cols), blas_size(type));

	if (!left || !right || !product || !blas_fits(k) || !blas_fits(n))
		return tm_no_memory(c->err, "contracting tensors");
	for (int64_t i = 0; i < batches; i++)
		blas_gemm(type, false, false, m, n, k, 1, blas_at(type, left, i * m * k), k,
		          blas_at(type, right, i * k * n), n, 0, blas_at(type, product, i * m * n), n);
	*out = (struct factor){.data = product, .has = batch | rows | cols};
	dense_strides(l, &order, out->stride);
	return TAMIS_OK;
}

static uint64_t term_labels(const struct labels *l, const struct term *t, int width)
{
	uint64_t mask = 0;

	for (int i = 0; i < t->n + width; i++)
		mask |= (uint64_t)1 << axis_label(l, t, width, i);
	return mask;
}

/* acc = acc times every input but `skip`, keeping the labels of `target`. */
static enum tamis_status contract_all(struct op_call *c, const struct labels *l, enum dtype type, int skip,
                                      uint64_t target, struct factor *acc)
{
	const struct equation *e = c->node->attr;
	uint64_t later[MAX_OPERANDS + 1];

	later[c->n_in] = target;
	for (int k = c->n_in - 1; k >= 0; k--)
		later[k] = later[k + 1] |
			(k == skip ? 0 : term_labels(l, &e->in[k], c->in[k]->rank - e->in[k].n));
	for (int k = 0; k < c->n_in; k++) {
		struct factor next = factor_of(l, &e->in[k], c->in[k]), a = *acc;
		enum tamis_status status = k == skip ? TAMIS_OK : contract(c, l, type, &a, &next, later[k + 1], acc);

		if (status)
			return status;
	}
	return TAMIS_OK;
}

static bool any_empty(const struct labels *l)
{
	for (int i = 0; i < l->n; i++)
		if (l->dim[i] == 0)
			return true;
	return false;
}

/* The first input takes the place that the output's gradient has in reverse. */
static enum tamis_status einsum_run(struct op_call *c)
{
	const struct equation *e = c->node->attr;
	struct tensor *y = c->out[0];
	struct factor acc, out;
	struct labels l;
	enum tamis_status status = y ? find_labels(c, &l) : TAMIS_OK;

	if (status || !y || y->count == 0)
		return status;
	memset(y->data, 0, tensor_bytes(y));
	if (any_empty(&l))
		return TAMIS_OK;
	out = factor_of(&l, &e->out, y);
	acc = factor_of(&l, &e->in[0], c->in[0]);
	status = contract_all(c, &l, y->type, 0, out.has, &acc);
	if (!status)
		add_factor(&l, y->type, &acc, out.stride, out.has, y->data);
	return status;
}

static enum tamis_status einsum_reverse(struct op_grad *g)
{
	struct op_call *c = g->call;
	const struct equation *e = c->node->attr;
	const struct tensor *gy = g->gout[0];
	struct labels l;
	enum tamis_status status = gy ? find_labels(c, &l) : TAMIS_OK;

	if (status || !gy || any_empty(&l))
		return status;
	for (int i = 0; !status && i < c->n_in; i++) {
		struct factor acc, x;

		if (!g->gin[i])
			continue;
		acc = factor_of(&l, &e->out, gy);
		x = factor_of(&l, &e->in[i], c->in[i]);
		status = contract_all(c, &l, gy->type, i, x.has, &acc);
		if (!status)
			add_factor(&l, gy->type, &acc, x.stride, x.has, g->gin[i]->data);
	}
	return status;
}

const struct op ops_einsum[] = {
	{.name = "Einsum", .domain = "", .since = 12, .until = OP_LATEST, .min_in = 1, .max_in = -1, .min_out = 1,
	 .max_out = 1, .parse = einsum_parse, .shape = einsum_shape, .run = einsum_run,
	 .reverse = einsum_reverse},
	{0},
};
