/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "report/report.h"
#include "tamis/tamis.h"

const char *tamis_version(void)
{
	return TAMIS_VERSION;
}

enum tamis_status tamis_report_text(const struct tamis_report *r, char **text, struct tamis_error *err)
{
	if (!r || !text)
		return tm_fail(err, TAMIS_E_USAGE, "a report and a place for its text were expected, and NULL came");
	return report_text(r, text, err);
}

enum tamis_status tamis_report_json(const struct tamis_report *r, char **json, struct tamis_error *err)
{
	if (!r || !json)
		return tm_fail(err, TAMIS_E_USAGE, "a report and a place for its JSON were expected, and NULL came");
	return report_json(r, json, err);
}

enum tamis_status tamis_report_html(const struct tamis_report *r, char **html, struct tamis_error *err)
{
	if (!r || !html)
		return tm_fail(err, TAMIS_E_USAGE, "a report and a place for its page were expected, and NULL came");
	return report_html(r, html, err);
}

void tamis_report_free(struct tamis_report *r)
{
	report_free(r);
}

enum tamis_status tamis_write_file(const char *path, const void *data, size_t size, struct tamis_error *err)
{
	struct file_writer w;
	enum tamis_status status;

	if (!path || !*path || (!data && size > 0))
		return tm_fail(err, TAMIS_E_USAGE, "a path and data were expected, and none came");
	status = file_writer_open(&w, path, err);
	if (status != TAMIS_OK)
		return status;
	status = file_writer_write(&w, data, size, err);
	if (status == TAMIS_OK)
		return file_writer_commit(&w, err);
	file_writer_abort(&w);
	return status;
}

void tamis_remove_temporaries(void)
{
	file_remove_temporaries();
}
