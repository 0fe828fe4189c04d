/* SPDX-License-Identifier: Apache-2.0 */
#include <cblas.h>
#include <sched.h>
#include <string.h>
#ifdef HAVE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define HAVE_X86
#endif

#include "report/report.h"
#include "tamis/tamis.h"

/* Cores of OpenBLAS whose kernels use at most AVX: taken for a newer processor they cost a factor of two
 * to four. */
static bool is_old_core(const char *core)
{
	static const char *const old[] = {"Generic", "Katmai", "Coppermine", "Northwood", "Prescott", "Banias",
		"Core2",
		"Penryn", "Dunnington", "Nehalem", "Atom", "Athlon", "Opteron", "Opteron_SSE3", "Barcelona",
		"Bobcat", "Nano",
		"Sandybridge", "Bulldozer", "Piledriver", "Steamroller"};

	for (size_t i = 0; i < sizeof old / sizeof *old; i++)
		if (strcmp(core, old[i]) == 0)
			return true;
	return false;
}

/* What OPENBLAS_CORETYPE should say, or NULL where OpenBLAS has chosen well enough. OpenBLAS 0.3.21
 * knows processors by model number and takes those that came later for a Prescott; the feature flags
 * tell better. */
static const char *core_advice(const char *core)
{
#ifdef HAVE_X86
	if (!is_old_core(core))
		return NULL;
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return NULL;
	if (__builtin_cpu_is("amd"))
		return "Zen";
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
	    && __builtin_cpu_supports("avx512dq")
	    && __builtin_cpu_supports("avx512bw"))
		return "SkylakeX";
	return "Haswell";
#else
	(void)core;
	return NULL;
#endif
}

/* The brand string of leaves 0x80000002 to 0x80000004, 48 bytes, without the blanks some models put in
 * front. */
static const char *processor_name(struct arena *a)
{
#ifdef HAVE_X86
	unsigned words[12];
	char name[sizeof words + 1];

	for (unsigned leaf = 0; leaf < 3; leaf++) {
		unsigned *w = words + 4 * leaf;

		if (!__get_cpuid(0x80000002u + leaf, &w[0], &w[1], &w[2], &w[3]))
			return "unknown";
	}
	memcpy(name, words, sizeof words);
	name[sizeof words] = '\0';
	return arena_strdup(a, name + strspn(name, " "));
#else
	(void)a;
	return "unknown";
#endif
}

static const char *convolution_kernels(struct arena *a)
{
#ifdef HAVE_ONEDNN
	const dnnl_version_t *v = dnnl_version();

	return arena_printf(a, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
#else
	(void)a;
	return "im2col and BLAS";
#endif
}

static int processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

enum tamis_status tamis_cpu(struct tamis_report **out, const char **advice, struct tamis_error *err)
{
	const char *core = openblas_get_corename();
	struct tamis_report *r;

	if (advice)
		*advice = core_advice(core);
	if (!out)
		return TAMIS_OK;
	*out = NULL;
	r = report_create(REPORT_CPU);
	if (!r)
		return tm_no_memory(err, "describing the processor");
	r->cpu = (struct cpu_figures){
		.processor = processor_name(&r->arena),
		.blas = arena_strdup(&r->arena, openblas_get_config()),
		.blas_core = arena_strdup(&r->arena, core),
		.advice = core_advice(core),
		.convolution = convolution_kernels(&r->arena),
		.threads = processors(),
	};
	if (!r->cpu.processor || !r->cpu.blas || !r->cpu.blas_core || !r->cpu.convolution) {
		report_free(r);
		return tm_no_memory(err, "describing the processor");
	}
	*out = r;
	return TAMIS_OK;
}
