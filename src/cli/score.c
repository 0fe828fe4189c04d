/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"
#include "cli/session.h"

static struct tamis_score_options options_of(const struct arguments *a)
{
	struct tamis_score_options o;

	tamis_score_options_default(&o);
	o.shard = a->shard;
	o.shards = a->shards;
	o.criterion = a->slim.criterion;
	o.head = a->slim.head;
	o.alpha = a->slim.alpha;
	o.holdout_share = a->slim.holdout_share;
	o.features = a->slim.features;
	o.fdr = a->slim.fdr;
	o.only = a->slim.only;
	o.skip = a->slim.skip;
	o.mutable_initializers = a->slim.mutable_initializers;
	o.dry_run = a->slim.dry_run;
	o.seed = a->slim.seed;
	o.threads = a->slim.threads;
	o.max_memory = a->slim.max_memory;
	return o;
}

static enum tamis_status score(struct session *s, const struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_score_options o = options_of(a);
	struct tamis_report *report = NULL;
	enum tamis_status status;

	o.observer = s->observer;
	status = tamis_score(s->model, s->data, a->output, &o, &report, &err);
	progress_clear(&s->progress);
	status = status == TAMIS_OK ? say_report(a, report) : say_error(&err);
	tamis_report_free(report);
	return status;
}

enum tamis_status command_score(struct arguments *a)
{
	struct session s;
	enum tamis_status status;

	if (!a->output && !a->slim.dry_run)
		return usage_error("score wants a file to write: -o SCORES");
	status = session_check_outputs(a);
	if (status != TAMIS_OK)
		return status;
	status = session_open(&s, a);
	if (status == TAMIS_OK)
		status = score(&s, a);
	session_close(&s);
	return status;
}
