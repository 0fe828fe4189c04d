/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/onednn_threads.h"

#ifdef HAVE_ONEDNN

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>

/* The OpenMP runtime is oneDNN's own dependency, so it is looked up rather than linked. */
bool onednn_find_threads(struct onednn_threads *t)
{
	*t = (struct onednn_threads){ 0 };
	if (dnnl_version()->cpu_runtime == DNNL_RUNTIME_SEQ)
		return true;
	*(void **)&t->get = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
	*(void **)&t->set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
	return dnnl_version()->cpu_runtime == DNNL_RUNTIME_OMP && t->get && t->set;
}

#else

bool onednn_find_threads(struct onednn_threads *t)
{
	*t = (struct onednn_threads){ 0 };
	return false;
}

#endif

int onednn_enter(const struct onednn_threads *t)
{
	int before = t->get ? t->get() : 1;

	if (t->set)
		t->set(1);
	return before;
}

void onednn_leave(const struct onednn_threads *t, int before)
{
	if (t->set)
		t->set(before);
}
