/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"

enum {
	MAX_WORKERS = 1024,
	SPINS = 2000 /* looks before a thread sleeps, some tens of microseconds: loops often follow each other at once */
};

/* One loop. `next` hands out the indices in rising order, so when index i has failed every lower one was
 * handed out before it and is still run to its end: the lowest failure does not depend on timing. */
struct loop {
	pool_body body;
	void *ctx;
	int64_t n;
	_Atomic int64_t next;
	atomic_bool stop;
	int64_t failed_at; /* n: none; with the two below under the pool's lock */
	enum tamis_status status;
	struct tamis_error error;
};

struct worker {
	struct pool *pool;
	pthread_t thread;
	int number;
};

struct pool {
	int size;                   /* workers, with the caller, who is worker 0 */
	_Atomic int busy;           /* threads in the present loop */
	_Atomic uint64_t round;     /* counts loops; a change wakes the threads */
	bool quit;
	struct loop *loop;          /* NULL between loops: a thread that wakes late has missed one, and nobody waits for it */
	pthread_mutex_t lock;       /* held to write any of the above */
	pthread_cond_t start, done;
	struct worker workers[];
};

static void note_failure(struct pool *p, struct loop *l, int64_t index, enum tamis_status status,
                         const struct tamis_error *error)
{
	atomic_store(&l->stop, true);
	pthread_mutex_lock(&p->lock);
	if (index < l->failed_at) {
		l->failed_at = index;
		l->status = status;
		l->error = *error;
	}
	pthread_mutex_unlock(&p->lock);
}

static void run_share(struct pool *p, struct loop *l, int worker)
{
	struct tamis_error error;

	tamis_error_clear(&error);
	while (!atomic_load(&l->stop)) {
		int64_t index = atomic_fetch_add(&l->next, 1);
		enum tamis_status status;

		if (index >= l->n)
			return;
		status = l->body(l->ctx, index, worker, &error);
		if (status == TAMIS_OK)
			continue;
		tm_fail(&error, status, "%s", tamis_status_text(status));
		note_failure(p, l, index, status, &error);
		return;
	}
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

void pool_spin(const _Atomic uint64_t *count, uint64_t seen)
{
	for (int i = 0; i < SPINS && atomic_load(count) == seen; i++)
		relax();
}

/* The next loop, NULL at the end; the lock is held on return. */
static struct loop *await_loop(struct pool *p, uint64_t *seen)
{
	pool_spin(&p->round, *seen);
	pthread_mutex_lock(&p->lock);
	while (!p->quit && (p->round == *seen || !p->loop)) {
		*seen = p->round;
		pthread_cond_wait(&p->start, &p->lock);
	}
	*seen = p->round;
	return p->quit ? NULL : p->loop;
}

static void *thread_main(void *arg)
{
	struct worker *w = arg;
	struct pool *p = w->pool;
	uint64_t seen = 0;
	struct loop *l;

	while ((l = await_loop(p, &seen))) {
		p->busy++;
		pthread_mutex_unlock(&p->lock);
		run_share(p, l, w->number);
		pthread_mutex_lock(&p->lock);
		if (--p->busy == 0)
			pthread_cond_signal(&p->done);
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int usable_processors(void)
{
	cpu_set_t set;
	long online;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		return CPU_COUNT(&set);
	online = sysconf(_SC_NPROCESSORS_ONLN);
	return online < 1 ? 1 : online > MAX_WORKERS ? MAX_WORKERS : (int)online;
}

/* Signals stay with the threads of the caller. */
static void start_threads(struct pool *p, int want)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (p->size = 1; p->size < want; p->size++) {
		struct worker *w = &p->workers[p->size];

		*w = (struct worker){.pool = p, .number = p->size};
		if (pthread_create(&w->thread, NULL, thread_main, w) != 0)
			break;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

enum tamis_status pool_create(int workers, struct pool **out, struct tamis_error *err)
{
	struct pool *p;

	*out = NULL;
	if (workers < 0)
		return tm_fail(err, TAMIS_E_USAGE, "the number of threads must not be negative; %d came", workers);
	if (workers == 0)
		workers = usable_processors();
	if (workers > MAX_WORKERS)
		workers = MAX_WORKERS;
	p = tm_array(1, sizeof *p + (size_t)workers * sizeof p->workers[0]);
	if (!p)
		return tm_no_memory(err, "starting threads");
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->start, NULL);
	pthread_cond_init(&p->done, NULL);
	start_threads(p, workers);
	*out = p;
	return TAMIS_OK;
}

int pool_size(const struct pool *p)
{
	return p ? p->size : 1;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->quit = true;
	pthread_cond_broadcast(&p->start);
	pthread_mutex_unlock(&p->lock);
	for (int i = 1; i < p->size; i++)
		pthread_join(p->workers[i].thread, NULL);
	pthread_cond_destroy(&p->done);
	pthread_cond_destroy(&p->start);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static enum tamis_status run_here(int64_t n, pool_body body, void *ctx, struct tamis_error *err)
{
	for (int64_t i = 0; i < n; i++) {
		enum tamis_status status = body(ctx, i, 0, err);

		if (status != TAMIS_OK)
			return tm_fail(err, status, "%s", tamis_status_text(status));
	}
	return TAMIS_OK;
}

static void run_everywhere(struct pool *p, struct loop *l)
{
	pthread_mutex_lock(&p->lock);
	p->loop = l;
	p->round++;
	pthread_cond_broadcast(&p->start);
	pthread_mutex_unlock(&p->lock);
	run_share(p, l, 0);
	pthread_mutex_lock(&p->lock);
	p->loop = NULL;
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < SPINS && atomic_load(&p->busy) > 0; i++)
		relax();
	pthread_mutex_lock(&p->lock);
	while (p->busy > 0)
		pthread_cond_wait(&p->done, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

enum tamis_status pool_for(struct pool *p, int64_t n, pool_body body, void *ctx, struct tamis_error *err)
{
	struct loop l = {.body = body, .ctx = ctx, .n = n, .failed_at = n};

	if (n <= 0)
		return TAMIS_OK;
	if (pool_size(p) == 1 || n == 1)
		return run_here(n, body, ctx, err);
	run_everywhere(p, &l);
	if (l.failed_at < n && err && err->status == TAMIS_OK)
		*err = l.error;
	return l.status;
}
