/* SPDX-License-Identifier: Apache-2.0 */
#include "base/checked.h"

bool tm_product(const int64_t *dims, int n, int64_t *out)
{
	int64_t product = 1;
	bool empty = false;

	for (int i = 0; i < n; i++) {
		if (dims[i] < 0)
			return false;
		empty = empty || dims[i] == 0;
	}
	for (int i = 0; i < n && !empty; i++)
		if (!tm_mul(product, dims[i], &product))
			return false;
	*out = empty ? 0 : product;
	return true;
}
