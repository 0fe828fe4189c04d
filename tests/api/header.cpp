/* SPDX-License-Identifier: Apache-2.0 */
/* The same in C++: names must link as C names. */
#include <tamis/error.h>
#include <tamis/tamis.h>

int main()
{
	tamis_error err{};
	tamis_model *model = nullptr;
	bool refused = tamis_model_open(nullptr, nullptr, &model, &err) == TAMIS_E_USAGE;

	tamis_model_close(model);
	return refused && err.message[0] ? 0 : 1;
}
