/* SPDX-License-Identifier: Apache-2.0 */
#include "figures.h"

#include <math.h>
#include <string.h>

static const char hostile_name[] = "</script>\x1b[2J\xff\xfe\xe2\x80\xae\n\"quoted\"\\ ";

/* A name of 700 bytes with everything that could spoil a terminal or a JSON file. */
static const char *name(struct tamis_report *r, enum filling f, const char *plain)
{
	char *s;

	if (f != FILL_HOSTILE)
		return plain;
	s = arena_alloc(&r->arena, 701);
	if (!s)
		return NULL;
	for (int i = 0; i < 700; i++)
		s[i] = hostile_name[(size_t)i % (sizeof hostile_name - 1)];
	return s;
}

static const struct layer_histogram histogram = {
	.all = {.count = 500,
            .zeros = 2,
            .quantile = {0, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2},
            .low = 1e-9,
            .high = 1e-2,
            .bin = {[0] = 8, [20] = 400, [39] = 90}},
	.kept = {[20] = 310, [39] = 90},
	.cut = 3e-6,
};

static bool fill_slim(struct tamis_report *r, enum filling f)
{
	struct slim_figures *s = &r->slim;
	bool hostile = f == FILL_HOSTILE;

	s->model = name(r, f, "model.onnx");
	s->criterion = "pii";
	s->alpha = 0.05;
	s->seed = 1;
	s->before = (struct model_figures){10,      8,       431080,  431080,  430500, 430500,
	                                   2293000, 2293000, 1726311, 1600000, 580};
	s->after = (struct model_figures){10,      8,      300000, 150000, 299500, 149500,
	                                  1800000, 900000, 800000, 600000, 520};
	s->gate = (struct gate_figures){
		.kind = "expected accuracy loss",
		.fit_items = 4800,
		.held_out_items = 1200,
		.tolerance = 0.01,
		.confidence = 0.95,
		.value = hostile ? INFINITY : 0.0042,
		.bound = hostile ? -INFINITY : 0.0087,
		.disagreement = 0.012,
		.disagreement_upper = 0.019,
		.worst = hostile ? 1e308 : 0.87,
		.looks = 5,
		.spending = "fixed sequence",
		.passed = true,
		.label_loss = NAN,
		.label_p = NAN,
		.accuracy_before = NAN,
		.accuracy_after = NAN, .calibration_error = NAN, .temperature = NAN,
		.expected = 0.0042, .tempered = hostile ? -INFINITY : NAN,
	};
	s->n_layers = hostile ? 40 : 2;
	s->layers = arena_array(&r->arena, s->n_layers, sizeof *s->layers);
	s->looks = arena_array(&r->arena, 1, sizeof *s->looks);
	if (!s->layers || !s->looks)
		return false;
	for (size_t i = 0; i < s->n_layers; i++)
		s->layers[i] = (struct layer_line){
			.node = name(r, f, "/conv1/Conv"),
			.op = name(r, f, "Conv"),
			.weight = name(r, f, "conv1.weight"),
			.shape = name(r, f, "20x1x5x5"),
			.entries = hostile ? INT64_MAX : 500,
			.kept = 400,
			.features = 25,
			.significant = 20,
			.channels = 20,
			.channels_kept = hostile ? 0 : 18,
			.storage = "sparse",
			.note = i % 2 ? name(r, f, "an input of the graph too") : NULL,
			.scores = i % 2 ? NULL : &histogram,
		};
	s->n_looks = 1;
	s->looks[0] = (struct look_line){0.3, 3.3, NAN, 0.0087, 0.012, true};
	s->tests = 825;
	s->significant = 720;
	s->inverted = 11;
	s->keep = 0.347;
	s->channels_removed = 60;
	s->seconds_total = 7.3;
	s->blas_core = "Haswell";
	return true;
}

static bool fill_info(struct tamis_report *r, enum filling f)
{
	struct info_figures *i = &r->info;

	i->model = name(r, f, "model.onnx");
	i->producer = name(r, f, "pytorch 1.13");
	i->ir_version = 8;
	i->opsets = "ai.onnx 17";
	i->inputs = name(r, f, "image: uint8[batch,1,28,28]\nscale: float32[]");
	i->outputs = "logits: float32[batch,10]";
	i->figures = (struct model_figures){10,      8,       431080,  431000,  430500, 430420,
	                                    2293000, 2292000, 1726311, 1600000, 580};
	i->layers = arena_array(&r->arena, 1, sizeof *i->layers);
	i->ops = arena_array(&r->arena, 1, sizeof *i->ops);
	if (!i->layers || !i->ops)
		return false;
	i->n_layers = i->n_ops = 1;
	i->layers[0] = (struct info_layer){
		name(r, f, "/fc/Gemm"), "Gemm", name(r, f, "fc.weight"), "500x800", 400000, 3, NAN, false,
		name(r, f, "int8")};
	i->groups = arena_array(&r->arena, 2, sizeof *i->groups);
	if (!i->groups || !(i->groups[0].members = arena_array(&r->arena, 2, sizeof *i->groups->members)))
		return false;
	i->n_groups = 2;
	i->groups[0] = (struct info_group){500, 800, NAN, name(r, f, "it runs over space"), name(r, f, "/pool/MaxPool"),
		"MaxPool", i->groups[0].members, 2};
	i->groups[0].members[0] = (struct info_member){"makes", name(r, f, "/fc/Gemm"), "Gemm"};
	i->groups[0].members[1] = (struct info_member){"holds", name(r, f, "fc.weight"), NULL};
	i->groups[1] = (struct info_group){1, 0, 4, "it is one channel", NULL, NULL, NULL, 0};
	i->ops[0] = (struct info_count){name(r, f, "ai.onnx"), name(r, f, "Gemm"), 2, false};
	r->cpu = (struct cpu_figures){"Processor", "OpenBLAS", "Prescott", "SkylakeX", "oneDNN", 2};
	return true;
}

static bool fill_check(struct tamis_report *r, enum filling f)
{
	struct check_figures *c = &r->check;

	c->model = name(r, f, "model.onnx");
	c->lines = arena_array(&r->arena, 1, sizeof *c->lines);
	if (!c->lines)
		return false;
	c->lines[0] = (struct check_line){"graph-sorted", "error", name(r, f, "node 'a'"),
	                                  name(r, f, "it comes too early")};
	c->n_lines = 1;
	c->errors = 1;
	return true;
}

static bool fill_compare(struct tamis_report *r, enum filling f)
{
	struct compare_figures *c = &r->compare;

	*c = (struct compare_figures){
		.a = name(r, f, "a.onnx"),
		.b = name(r, f, "b.onnx"),
		.items = 1000,
		.agree = 990,
		.agree_lower = 0.98,
		.agree_upper = 0.995,
		.max_abs = f == FILL_HOSTILE ? INFINITY : 3e-6,
		.max_rel = NAN,
		.relative_squared_error = 1e-12,
		.expected_loss = 0.001,
		.accuracy_a = 0.91,
		.accuracy_b = 0.9,
		.mcnemar_p = 0.3,
		.only_a = 5,
		.only_b = 4,
	};
	return true;
}

static bool fill_ops(struct tamis_report *r, enum filling f)
{
	r->ops.lines = arena_array(&r->arena, 2, sizeof *r->ops.lines);
	if (!r->ops.lines)
		return false;
	r->ops.n_lines = 2;
	r->ops.lines[0] = (struct op_line){"ai.onnx", name(r, f, "Conv"), 1, 10, true, true};
	r->ops.lines[1] = (struct op_line){"ai.onnx", name(r, f, "Conv"), 11, -1, true, true};
	return true;
}

static bool fill_scores(struct tamis_report *r, enum filling f)
{
	struct scores_figures *s = &r->scores;
	bool hostile = f == FILL_HOSTILE;

	s->path = name(r, f, "model.scores");
	s->options = name(r, f, "head=auto features=linear");
	s->source_sha256 = "e68cb3cfac623550bb00fdd67e83789dd2f3121e1a2c130fbddc5a3c9b4247e6";
	s->items = hostile ? INT64_MAX : 3604;
	s->alpha = hostile ? NAN : 0.05;
	s->n_layers = hostile ? 20 : 2;
	s->layers = arena_array(&r->arena, s->n_layers, sizeof *s->layers);
	s->connections_shown = arena_array(&r->arena, 2, sizeof *s->connections_shown);
	if (!s->layers || !s->connections_shown)
		return false;
	for (size_t i = 0; i < s->n_layers; i++)
		s->layers[i] = (struct scores_layer){
			.node = name(r, f, "/conv1/Conv"),
			.op = name(r, f, "Conv"),
			.weight = name(r, f, "conv1.weight"),
			.entries = hostile ? INT64_MAX : 500,
			.features = 25,
			.significant = 20,
			.channels = 20,
			.score = histogram.all,
			.p = histogram.all,
			.gain_median = hostile ? NAN : 0.02,
			.n_ends = 2,
			.best = {{INT64_MAX, 1e300, 1}, {2, 1e-300, 1}},
			.worst = {{3, hostile ? NAN : 0, INFINITY}, {0, 1, 1}},
			.note = i % 2 ? name(r, f, "an input of the graph too") : NULL,
		};
	s->tensor = hostile ? name(r, f, "") : NULL;
	s->n_connections = 2;
	s->connections_shown[0] = (struct connection_line){3,      4,      0.3,  0.2,  1.06, 0.01,
	                                                   1e-300, 1e-299, 0.02, 1e-5, true, 17};
	s->connections_shown[1] = (struct connection_line){INT64_MAX, 0, NAN, -INFINITY, 1e300, 0,
	                                                   1,         1, 0,   0,         false, 0};
	return true;
}

static bool fill_plan(struct tamis_report *r, enum filling f)
{
	struct forecast_figures *p = &r->plan;
	bool hostile = f == FILL_HOSTILE;

	p->model = name(r, f, "model.onnx");
	p->criterion = "pii";
	p->features = "rich";
	p->fdr = "bh";
	p->scores_only = hostile;
	p->shards = p->shard = hostile ? 3 : 0;
	p->items = hostile ? -1 : 6000;
	p->fitting = p->guessing = p->held_out = p->scored_again = p->refitted = hostile ? -1 : 1200;
	p->n_layers = 3;
	p->layers = arena_array(&r->arena, p->n_layers, sizeof *p->layers);
	p->n_parts = 2;
	p->parts = arena_array(&r->arena, p->n_parts, sizeof *p->parts);
	p->n_stages = 1;
	p->stages = arena_array(&r->arena, p->n_stages, sizeof *p->stages);
	if (!p->layers || !p->parts || !p->stages)
		return false;
	for (size_t i = 0; i < p->n_layers; i++)
		p->layers[i] = (struct forecast_layer){ .node = name(r, f, "conv1"), .op = "Conv", .weight = name(r, f, "w1"),
			.shape = "20x1x5x5", .entries = 500, .features = 25, .channels = 20, .positions = 576, .tested = 16,
			.macs = hostile ? INFINITY : 288000, .note = i ? name(r, f, "its bias is not a constant vector") : NULL };
	p->parts[0] = (struct forecast_part){ FORECAST_THROUGHOUT, "process", name(r, f, "12 + 2"), hostile ? 1e300 : 14 };
	p->parts[1] = (struct forecast_part){ FORECAST_WRITING, "file", "3 x 4", 12 };
	p->phase_bytes[FORECAST_THROUGHOUT] = p->parts[0].bytes;
	p->phase_bytes[FORECAST_WRITING] = 12;
	p->bytes = p->parts[0].bytes + 12;
	p->stages[0] = (struct forecast_stage){ "scoring", hostile ? 1e18 : 3600, 1, 6 };
	p->rounds_least = hostile ? 8 : 6;
	p->rounds = p->rounds_most = 8;
	p->seconds_forward = hostile ? NAN : 1e-4;
	p->seconds = p->seconds_least = p->seconds_most = hostile ? NAN : 130;
	return true;
}

static bool fill(struct tamis_report *r, enum filling f)
{
	switch (r->kind) {
	case REPORT_SLIM: return fill_slim(r, f);
	case REPORT_INFO: return fill_info(r, f);
	case REPORT_CHECK: return fill_check(r, f);
	case REPORT_COMPARE: return fill_compare(r, f);
	case REPORT_OPS: return fill_ops(r, f);
	case REPORT_SCORES: return fill_scores(r, f);
	case REPORT_CPU:
		r->cpu = (struct cpu_figures){name(r, f, "Processor"), "OpenBLAS", "Haswell", NULL, "oneDNN", 2};
		return true;
	case REPORT_PLAN: return fill_plan(r, f);
	}
	return false;
}

struct tamis_report *make_report(enum report_kind kind, enum filling filling)
{
	struct tamis_report *r = report_create(kind);

	if (r && filling != FILL_NOTHING
	    && (!fill(r, filling) || report_warn(r, name(r, filling, "few items")) != TAMIS_OK)) {
		report_free(r);
		return NULL;
	}
	return r;
}
