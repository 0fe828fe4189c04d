/* SPDX-License-Identifier: Apache-2.0 */
#include "data/npy.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

enum tamis_status npy_header_bytes(const uint8_t *data, size_t size, size_t *bytes, struct tamis_error *err)
{
	uint32_t length;
	size_t fixed;

	if (size < 10 || memcmp(data, magic, sizeof magic) != 0)
		return tm_fail(err, TAMIS_E_INVALID, "an array in .npy format was expected, and its magic number is "
		               "missing");
	if (data[6] < 1 || data[6] > 3 || data[7] != 0)
		return tm_fail(err, TAMIS_E_INVALID, "the .npy format is version %d.%d; 1.0, 2.0 and 3.0 are known",
		               data[6], data[7]);
	fixed = data[6] == 1 ? 10 : 12;
	if (size < fixed)
		return tm_fail(err, TAMIS_E_INVALID, "the .npy header ends before its length");
	length = data[8] | (uint32_t)data[9] << 8;
	if (fixed == 12)
		length |= (uint32_t)data[10] << 16 | (uint32_t)data[11] << 24;
	if (length > NPY_MAX_HEADER - fixed)
		return tm_fail(err, TAMIS_E_INVALID, "the .npy header claims %u bytes; at most %d are accepted",
		               length, NPY_MAX_HEADER);
	*bytes = fixed + length;
	return TAMIS_OK;
}

/* ---- the dictionary: a Python literal of fixed form, spaces allowed between tokens ---- */

struct cursor {
	const char *at, *end;
};

static void skip_space(struct cursor *c)
{
	while (c->at < c->end && strchr(" \t\r\n", *c->at) && *c->at)
		c->at++;
}

static bool accept(struct cursor *c, char wanted)
{
	skip_space(c);
	if (c->at >= c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

static bool accept_word(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	skip_space(c);
	if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
		return false;
	c->at += len;
	return true;
}

/* A quoted string without escapes or control characters, cut to nothing but its bytes. */
static bool accept_string(struct cursor *c, const char **text, size_t *len)
{
	char quote = accept(c, '\'') ? '\'' : accept(c, '"') ? '"' : 0;

	if (!quote)
		return false;
	*text = c->at;
	while (c->at < c->end && *c->at != quote) {
		if (*c->at == '\\' || (unsigned char)*c->at < ' ')
			return false;
		c->at++;
	}
	*len = (size_t)(c->at - *text);
	return accept(c, quote);
}

/* A decimal number; Python 2 wrote an L behind long ones. */
static bool accept_int(struct cursor *c, int64_t *out)
{
	int64_t value = 0;
	const char *first;

	skip_space(c);
	first = c->at;
	for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
		if (!tm_mul(value, (int64_t)10, &value) || !tm_add(value, (int64_t)(*c->at - '0'), &value))
			return false;
	if (c->at == first)
		return false;
	if (c->at < c->end && *c->at == 'L')
		c->at++;
	*out = value;
	return true;
}

struct fields {
	const char *descr;
	size_t descr_len;
	bool has_descr, has_order, has_shape, fortran;
	int rank;                           /* all dimensions counted, also those that no longer fit */
	int64_t dims[TENSOR_MAX_RANK];
};

static bool parse_shape(struct cursor *c, struct fields *f)
{
	bool comma = true; /* was there one since the last number? */
	int64_t dim;

	if (!accept(c, '('))
		return false;
	while (!accept(c, ')')) {
		if (!comma || !accept_int(c, &dim))
			return false;
		if (f->rank < TENSOR_MAX_RANK)
			f->dims[f->rank] = dim;
		f->rank++;
		comma = accept(c, ',');
	}
	return f->rank != 1 || comma; /* "(3)" is a number in parentheses */
}

static bool parse_value(struct cursor *c, struct fields *f, const char *key, size_t len)
{
	if (len == 5 && memcmp(key, "descr", 5) == 0 && !f->has_descr) {
		f->has_descr = true;
		if (accept_string(c, &f->descr, &f->descr_len))
			return true;
		f->descr = NULL;
		return accept(c, '['); /* a structured type: told apart in the message, not parsed */
	}
	if (len == 13 && memcmp(key, "fortran_order", 13) == 0 && !f->has_order) {
		f->has_order = true;
		f->fortran = accept_word(c, "True");
		return f->fortran || accept_word(c, "False");
	}
	if (len == 5 && memcmp(key, "shape", 5) == 0 && !f->has_shape) {
		f->has_shape = true;
		return parse_shape(c, f);
	}
	return false;
}

static bool parse_dictionary(struct cursor *c, struct fields *f)
{
	bool comma = true;

	if (!accept(c, '{'))
		return false;
	while (!accept(c, '}')) {
		const char *key;
		size_t len;

		if (!comma || !accept_string(c, &key, &len) || !accept(c, ':') || !parse_value(c, f, key, len))
			return false;
		if (f->has_descr && !f->descr)
			return true;
		comma = accept(c, ',');
	}
	skip_space(c);
	return c->at == c->end && f->has_descr && f->has_order && f->has_shape;
}

/* ---- the element type: byte order, kind, bytes ---- */

static enum dtype type_of_code(const char *code, size_t len)
{
	if (len == 1 && code[0] == '?')
		return DT_BOOL;
	for (int type = 1; type < DT_COUNT; type++) {
		const char *descr = dtype_descr(type);

		if (descr[0] && strlen(descr) == len && memcmp(descr, code, len) == 0)
			return (enum dtype)type;
	}
	return DT_UNDEFINED;
}

static enum tamis_status unknown_descr(const char *descr, size_t len, struct tamis_error *err)
{
	int shown = len > 40 ? 40 : (int)len;
	char kind = len > 0 ? descr[0] : '\0';

	if (kind && strchr("OUSaV", kind))
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "the array holds %s ('%.*s'); only numbers and booleans can "
		               "be read", kind == 'O' ? "Python objects" : kind == 'V' ? "raw bytes" : "strings",
		               shown, descr);
	return tm_fail(err, TAMIS_E_UNSUPPORTED, "the element type '%.*s' is not supported", shown, descr);
}

/* "V1" and "V2" are how numpy stores types it has no name for. */
static bool is_void(const char *code, size_t len)
{
	return len == 2 && code[0] == 'V' && (code[1] == '1' || code[1] == '2');
}

static enum tamis_status parse_descr(const struct fields *f, struct npy *out, enum dtype *type,
                                     struct tamis_error *err)
{
	const char *code = f->descr;
	size_t len = f->descr_len;
	char order = '|';

	if (len > 0 && code[0] && strchr("<>|=", code[0])) {
		order = *code++;
		len--;
	}
	*type = type_of_code(code, len);
	if (*type == DT_UNDEFINED && !is_void(code, len))
		return unknown_descr(code, len, err);
	out->item_bytes = *type == DT_UNDEFINED ? code[1] - '0' : dtype_bits((int)*type) / 8;
	out->swap = order == '>' && out->item_bytes > 1 && *type != DT_UNDEFINED;
	return TAMIS_OK;
}

enum tamis_status npy_parse(const uint8_t *data, size_t size, struct npy *out, struct tamis_error *err)
{
	struct fields f = {0};
	struct cursor c;
	size_t bytes;
	int64_t payload;
	enum dtype type;
	enum tamis_status status = npy_header_bytes(data, size, &bytes, err);

	if (status != TAMIS_OK)
		return status;
	if (size != bytes)
		return tm_fail(err, TAMIS_E_INVALID, "the .npy header claims %zu bytes, and %zu came", bytes, size);
	c = (struct cursor){(const char *)data + (data[6] == 1 ? 10 : 12), (const char *)data + size};
	if (!parse_dictionary(&c, &f))
		return tm_fail(err, TAMIS_E_INVALID, "the .npy header is not a dictionary of descr, fortran_order and "
		               "shape");
	if (!f.descr)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "the array is structured; only plain numbers and booleans "
		               "can be read");
	*out = (struct npy){.fortran = f.fortran, .header_bytes = bytes};
	status = parse_descr(&f, out, &type, err);
	if (status == TAMIS_OK)
		status = tensor_shape(&out->shape, type, f.rank, f.dims, err);
	if (status == TAMIS_OK && !tm_mul(out->shape.count, (int64_t)out->item_bytes, &payload))
		status = tm_fail(err, TAMIS_E_INVALID, "the size of the array overflows");
	return status;
}

uint64_t npy_payload_bytes(const struct npy *h)
{
	return (uint64_t)h->shape.count * (uint64_t)h->item_bytes;
}

char *npy_describe(const struct npy *h, char *buf, size_t size)
{
	struct tensor t = h->shape;
	char shape[160];
	const char *dims;

	tensor_describe(&t, shape, sizeof shape);
	dims = strchr(shape, '[');
	if (t.type == DT_UNDEFINED)
		snprintf(buf, size, "%d-byte void%s", h->item_bytes, dims ? dims : "");
	else
		snprintf(buf, size, "%s", shape);
	return buf;
}

/* ---- writing ---- */

static size_t format_dictionary(const struct tensor *t, char *text, size_t size)
{
	const char *descr = dtype_descr((int)t->type);
	int n = snprintf(text, size, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
	                 dtype_bits((int)t->type) > 8 ? '<' : '|', descr);
	size_t at;

	for (int i = 0; n >= 0 && i < t->rank; i++) {
		at = (size_t)n;
		if (at >= size)
			return 0;
		n += snprintf(text + at, size - at, i ? ", %lld" : "%lld", (long long)t->dims[i]);
	}
	at = (size_t)n;
	if (n < 0 || at >= size)
		return 0;
	n += snprintf(text + at, size - at, t->rank == 1 ? ",), }" : "), }");
	return (size_t)n < size ? (size_t)n : 0;
}

void npy_format(const struct tensor *t, uint8_t *buf, size_t size, size_t *bytes)
{
	size_t len, total;

	*bytes = 0;
	if (size < 64 || !dtype_descr((int)t->type)[0])
		return;
	len = format_dictionary(t, (char *)buf + 10, size - 10);
	total = (10 + len + 1 + 63) / 64 * 64; /* with a newline at the end */
	if (len == 0 || total > size)
		return;
	memcpy(buf, magic, sizeof magic);
	buf[6] = 1;
	buf[7] = 0;
	buf[8] = (uint8_t)((total - 10) & 255);
	buf[9] = (uint8_t)((total - 10) >> 8);
	memset(buf + 10 + len, ' ', total - 10 - len);
	buf[total - 1] = '\n';
	*bytes = total;
}

void npy_swap(void *data, size_t n, int width)
{
	uint8_t *p = data;

	for (size_t i = 0; i < n; i++, p += width)
		for (int k = 0; k < width / 2; k++) {
			uint8_t byte = p[k];

			p[k] = p[width - 1 - k];
			p[width - 1 - k] = byte;
		}
}
