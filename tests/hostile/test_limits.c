/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 2, bounded resources: what a small file may claim stays under the limit, measured; a process that runs out of
 * address space says so; a long chain takes constant stack. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "onnx/edit.h"
#include "scenario.h"
#include "world.h"

/* AddressSanitizer needs more of everything, and ends a process that gets no memory. */
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1, STACK = 2 << 20 };
#else
enum { SANITIZED = 0, STACK = 128 << 10 };
#endif

TestSuite(limits, .init = scenario_enter, .fini = scenario_leave);

#define LIMIT ((uint64_t)32 << 20)
#define ROOM ((long)160 << 10) /* kB: a tree, a decoded tensor, a run and a batch of LIMIT each, and the library's own */

/* ---- small files with large claims ---------------------------------------------------------------------------- */

/* x is float[1,1,8,8]; the node's other input is the list `values`. */
struct claim {
	const char *op, *inputs, *attribute;
	int64_t values[8];
	int n;
};

static const struct claim claims[] = {
	{ "ConstantOfShape", "k", NULL, { 1 << 20, 1 << 20 }, 2 },
	{ "ConstantOfShape", "k", NULL, { 1 << 14, 1 << 14 }, 2 },
	{ "Expand", "x k", NULL, { 1 << 12, 1 << 12, 8, 8 }, 4 },
	{ "Tile", "x k", NULL, { 1 << 12, 1 << 12, 1, 1 }, 4 },
	{ "Pad", "x k", NULL, { 0, 0, 1 << 15, 0, 0, 0, 0, 1 << 15 }, 8 },
	{ "Conv", "x w", "pads", { 1 << 14, 1 << 14, 1 << 14, 1 << 14 }, 4 },
	{ "ConvTranspose", "x w", "strides", { 1 << 14, 1 << 14 }, 2 },
	{ "MaxPool", "x", "pads", { 1 << 14, 1 << 14, 1 << 14, 1 << 14 }, 4 },
	{ "Reshape", "x k", NULL, { 1 << 30, 1 << 30, 1 << 30, -1 }, 4 },
};

static void write_claim(const struct claim *c)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(1, 1);
	Onnx__NodeProto *n;

	build_input(d, "x", 4, (const int64_t[]){ 1, 1, 8, 8 });
	build_output(d, "y", 4, (const int64_t[]){ -1, -1, -1, -1 });
	build_ints(d, "k", c->n, c->values);
	build_floats(d, "w", 4, (const int64_t[]){ 1, 1, 3, 3 }, 1, &r);
	n = build_node(d, c->op, c->inputs, "y");
	if (c->attribute)
		build_attribute(d, n, c->attribute, c->n, c->values);
	if (!strcmp(c->op, "MaxPool"))
		build_attribute(d, n, "kernel_shape", 2, (const int64_t[]){ 3, 3 });
	world_write_model(d, "claim.onnx");
}

static enum tamis_status open_limited(struct tamis_model **m, struct tamis_error *err)
{
	struct tamis_load_options load;

	tamis_load_options_default(&load);
	load.max_memory = LIMIT;
	return tamis_model_open("claim.onnx", &load, m, err);
}

static enum tamis_status run_claim(struct tamis_error *err)
{
	const struct tamis_calibration_options items = { .random = 2, .seed = 1, .max_memory = LIMIT };
	const struct tamis_run_options one = { .threads = 1 };
	struct tamis_calibration *c = NULL;
	struct tamis_model *m = NULL;
	enum tamis_status s = open_limited(&m, err);

	if (s == TAMIS_OK)
		s = tamis_calibration_open(m, NULL, 0, &items, &c, err);
	if (s == TAMIS_OK)
		s = tamis_run(m, c, "out.npz", &one, err);
	tamis_calibration_close(c);
	tamis_model_close(m);
	return s;
}

/* In a process of its own: its status, and how many kB it grew. */
static int grown(enum tamis_status (*call)(struct tamis_error *err), long *kb)
{
	struct rusage mine, its;
	int status;
	pid_t child;

	getrusage(RUSAGE_SELF, &mine);
	child = fork();
	if (child == 0) {
		struct tamis_error err = { 0 };

		_exit(call(&err));
	}
	cr_assert_eq(wait4(child, &status, 0, &its), child);
	*kb = its.ru_maxrss - mine.ru_maxrss;
	return status;
}

static void expect_refused(enum tamis_status (*call)(struct tamis_error *err), const char *what)
{
	long kb;
	int status = grown(call, &kb), code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	cr_log_info("%s: status %d, %ld kB", what, code, kb);
	cr_expect(code == TAMIS_E_MEMORY || code == TAMIS_E_INVALID || code == TAMIS_E_UNSUPPORTED, "%s: status %d", what, code);
	cr_expect(SANITIZED || kb < ROOM, "%s: %ld kB", what, kb);
}

Test(limits, operators_that_ask_for_much)
{
	for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
		write_claim(&claims[i]);
		expect_refused(run_claim, claims[i].op);
	}
}

/* Ten megabytes of two-byte empty initializers, which protobuf-c would make 1.4 GB of. */
Test(limits, five_million_empty_messages)
{
	enum { N = 5000000 };
	unsigned char head[] = { 0x3a, 0, 0, 0, 0 };
	unsigned char *bytes = malloc(sizeof head + 2 * N);

	for (int i = 1, n = 2 * N; i < 5; i++, n >>= 7)
		head[i] = (unsigned char)((n & 127) | (i < 4 ? 128 : 0));
	memcpy(bytes, head, sizeof head);
	for (int i = 0; i < N; i++)
		memcpy(bytes + sizeof head + 2 * i, "\x2a\x00", 2);
	world_write("claim.onnx", bytes, sizeof head + 2 * N);
	free(bytes);
	expect_refused(run_claim, "empty messages");
}

/* ---- an address space that is full ---------------------------------------------------------------------------- */

static rlim_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	cr_assert(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* Room for ever more; what libraries set up at their first use is there already. */
Test(limits, address_space_runs_out)
{
	if (SANITIZED)
		cr_skip_test("address space is the sanitizer's");
	for (int i = 0; i < n_scenarios; i++) {
		struct tamis_error err = { 0 };
		rlim_t now;

		cr_assert_eq(scenarios[i].play(&err), TAMIS_OK, "%s", err.message);
		now = address_space();
		for (rlim_t room = 0; room < (rlim_t)2 << 20; room += (rlim_t)96 << 10) {
			const struct rlimit limit = { now + room, now + room };
			int status;
			pid_t child;

			scenario_reset(scenarios[i].output);
			child = fork();
			if (child == 0) {
				struct tamis_error e = { 0 };

				setrlimit(RLIMIT_AS, &limit);
				_exit(scenarios[i].play(&e));
			}
			cr_assert_eq(waitpid(child, &status, 0), child);
			cr_expect(WIFEXITED(status), "%s with %lu kB: signal %d", scenarios[i].name, (unsigned long)room >> 10,
			          WTERMSIG(status));
			cr_expect(WEXITSTATUS(status) == TAMIS_OK || WEXITSTATUS(status) == TAMIS_E_MEMORY,
			          "%s with %lu kB: status %d", scenarios[i].name, (unsigned long)room >> 10, WEXITSTATUS(status));
		}
	}
}

/* ---- a long chain --------------------------------------------------------------------------------------------- */

static void write_chain(int n)
{
	struct document *d = build_model(13);
	Onnx__GraphProto *g = d->model->graph;
	char from[32] = "x", to[32] = "x";

	build_input(d, "x", 1, (const int64_t[]){ 1 });
	g->node = doc_alloc(d, (size_t)n * sizeof(void *)); /* inserting one by one would be quadratic in the test */
	for (int i = 0; i < n; i++) {
		Onnx__NodeProto *node;

		snprintf(to, sizeof to, "v%d", i);
		cr_assert_eq(edit_node(d, "Relu", NULL, NULL, &node, NULL), TAMIS_OK);
		cr_assert_eq(edit_string_insert(d, &node->n_input, &node->input, 0, from, NULL), TAMIS_OK);
		cr_assert_eq(edit_string_insert(d, &node->n_output, &node->output, 0, to, NULL), TAMIS_OK);
		g->node[g->n_node++] = node;
		memcpy(from, to, sizeof from);
	}
	build_output(d, to, 1, (const int64_t[]){ 1 });
	world_write_model(d, "claim.onnx");
}

static enum tamis_status run_chain(struct tamis_model *m, struct tamis_error *err)
{
	const struct tamis_calibration_options items = { .random = 2, .seed = 1 };
	const struct tamis_run_options one = { .threads = 1 };
	struct tamis_calibration *c = NULL;
	enum tamis_status s = tamis_calibration_open(m, NULL, 0, &items, &c, err);

	if (s == TAMIS_OK)
		s = tamis_run(m, c, "out.npz", &one, err);
	tamis_calibration_close(c);
	return s;
}

struct chain { int nodes; bool run; enum tamis_status status; };

static void *use_chain(void *ctx)
{
	struct chain *chain = ctx;
	struct tamis_model *m = NULL;
	struct tamis_report *r = NULL;
	struct tamis_error err = { 0 };

	chain->status = tamis_model_open("claim.onnx", NULL, &m, &err);
	if (chain->status == TAMIS_OK)
		chain->status = tamis_info(m, NULL, &r, &err);
	if (chain->status == TAMIS_OK && chain->run)
		chain->status = run_chain(m, &err);
	tamis_report_free(r);
	tamis_model_close(m);
	return NULL;
}

/* On a stack of about a tenth of a byte for each node, or one. What is not linear in time does not end in time. */
static void expect_chain(struct chain chain)
{
	pthread_attr_t attr;
	pthread_t thread;

	chain.status = TAMIS_E_INTERNAL;
	write_chain(chain.nodes);
	pthread_attr_init(&attr);
	cr_assert_eq(pthread_attr_setstacksize(&attr, STACK), 0);
	cr_assert_eq(pthread_create(&thread, &attr, use_chain, &chain), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
	cr_expect_eq(chain.status, TAMIS_OK, "%d nodes: status %d", chain.nodes, (int)chain.status);
}

Test(limits, a_chain_of_a_million_nodes_in_little_stack)
{
	expect_chain((struct chain){ .nodes = 1000000 });
}

Test(limits, a_chain_of_a_hundred_thousand_nodes_runs_in_little_stack)
{
	expect_chain((struct chain){ .nodes = 100000, .run = true });
}
