/* SPDX-License-Identifier: Apache-2.0 */
#include "data/zip_records.h"

#include <string.h>
#include <zlib.h>

enum { DOS_DATE = 0x0021 /* 1980-01-01, the first there is */ };
#define FIELD_MAX 0xffffffffULL /* what the classic 32-bit fields hold; the value itself says "see ZIP64" */

static void put16(uint8_t **p, unsigned v)
{
	*(*p)++ = (uint8_t)(v & 255);
	*(*p)++ = (uint8_t)(v >> 8 & 255);
}

static void put32(uint8_t **p, uint64_t v)
{
	put16(p, (unsigned)(v & 0xffff));
	put16(p, (unsigned)(v >> 16 & 0xffff));
}

static void put64(uint8_t **p, uint64_t v)
{
	put32(p, v & FIELD_MAX);
	put32(p, v >> 32);
}

static uint64_t field(uint64_t v)
{
	return v < FIELD_MAX ? v : FIELD_MAX;
}

enum tamis_status zip_emit(struct zip_out *out, const void *data, size_t size, struct tamis_error *err)
{
	enum tamis_status status = file_writer_write(&out->file, data, size, err);

	out->at += size;
	return status;
}

/* What both headers share, from "version needed" to the length of the name. */
static void put_common(uint8_t **p, const struct zip_entry *e, bool wide)
{
	bool ascii = true;

	for (const char *c = e->name; *c; c++)
		ascii = ascii && (unsigned char)*c < 128;
	put16(p, wide ? 45 : 20);
	put16(p, ascii ? 0 : 1 << 11); /* names are UTF-8 */
	put16(p, e->deflated ? Z_DEFLATED : 0);
	put16(p, 0);
	put16(p, DOS_DATE);
	put32(p, e->crc);
	put32(p, wide ? FIELD_MAX : e->packed);
	put32(p, wide ? FIELD_MAX : e->plain);
	put16(p, (unsigned)strlen(e->name) + 4);
}

static bool is_wide(const struct zip_entry *e)
{
	return e->plain >= FIELD_MAX || e->packed >= FIELD_MAX;
}

static enum tamis_status emit_name(struct zip_out *out, const struct zip_entry *e, struct tamis_error *err)
{
	enum tamis_status status = zip_emit(out, e->name, strlen(e->name), err);

	return status == TAMIS_OK ? zip_emit(out, ".npy", 4, err) : status;
}

enum tamis_status zip_local_header(struct zip_out *out, const struct zip_entry *e, struct tamis_error *err)
{
	uint8_t buf[64], *p = buf, *extra;
	bool wide = is_wide(e);
	enum tamis_status status;

	put32(&p, 0x04034b50);
	put_common(&p, e, wide);
	put16(&p, wide ? 20 : 0);
	extra = p;
	if (wide) {
		put16(&p, 1);
		put16(&p, 16);
		put64(&p, e->plain);
		put64(&p, e->packed);
	}
	status = zip_emit(out, buf, (size_t)(extra - buf), err);
	if (status == TAMIS_OK)
		status = emit_name(out, e, err);
	return status == TAMIS_OK ? zip_emit(out, extra, (size_t)(p - extra), err) : status;
}

enum tamis_status zip_central_header(struct zip_out *out, const struct zip_entry *e, struct tamis_error *err)
{
	uint8_t buf[96], *p = buf, *extra;
	bool wide = is_wide(e), far = e->offset >= FIELD_MAX;
	unsigned body = (wide ? 16U : 0U) + (far ? 8U : 0U);
	enum tamis_status status;

	put32(&p, 0x02014b50);
	put16(&p, 3 << 8 | 45); /* made on Unix: permissions follow */
	put_common(&p, e, wide);
	put16(&p, body ? body + 4 : 0);
	put16(&p, 0);
	put16(&p, 0);
	put16(&p, 0);
	put32(&p, 0100644ULL << 16);
	put32(&p, field(e->offset));
	extra = p;
	if (body) {
		put16(&p, 1);
		put16(&p, body);
	}
	if (wide) {
		put64(&p, e->plain);
		put64(&p, e->packed);
	}
	if (far)
		put64(&p, e->offset);
	status = zip_emit(out, buf, (size_t)(extra - buf), err);
	if (status == TAMIS_OK)
		status = emit_name(out, e, err);
	return status == TAMIS_OK ? zip_emit(out, extra, (size_t)(p - extra), err) : status;
}

enum tamis_status zip_end(struct zip_out *out, uint64_t start, uint64_t n, struct tamis_error *err)
{
	uint8_t buf[128], *p = buf;
	uint64_t size = out->at - start, end = out->at;
	unsigned count = n < 0xffff ? (unsigned)n : 0xffff;

	if (n >= 0xffff || start >= FIELD_MAX || size >= FIELD_MAX) {
		put32(&p, 0x06064b50);
		put64(&p, 44);
		put16(&p, 3 << 8 | 45);
		put16(&p, 45);
		put32(&p, 0);
		put32(&p, 0);
		put64(&p, n);
		put64(&p, n);
		put64(&p, size);
		put64(&p, start);
		put32(&p, 0x07064b50);
		put32(&p, 0);
		put64(&p, end);
		put32(&p, 1);
	}
	put32(&p, 0x06054b50);
	put16(&p, 0);
	put16(&p, 0);
	put16(&p, count);
	put16(&p, count);
	put32(&p, field(size));
	put32(&p, field(start));
	put16(&p, 0);
	return zip_emit(out, buf, (size_t)(p - buf), err);
}
