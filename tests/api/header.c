/* SPDX-License-Identifier: Apache-2.0 */
/* A caller in C: nothing but the public header before it, which is asked for twice. */
#include <tamis/tamis.h>
#include <tamis/error.h>
#include <tamis/tamis.h>

int main(void)
{
	struct tamis_slim_options o;

	tamis_slim_options_default(&o);
	return o.confidence > 0 && *tamis_version() && *tamis_status_text(TAMIS_OK) ? 0 : 1;
}
