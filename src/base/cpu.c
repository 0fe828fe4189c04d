/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"

int cpu_vector_floats(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f"))
		return 16;
#endif
	return 8;
}
