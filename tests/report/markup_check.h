/* SPDX-License-Identifier: Apache-2.0 */
/* Is a text well-formed markup, and harmless? */
#ifndef TEST_REPORT_MARKUP_CHECK_H
#define TEST_REPORT_MARKUP_CHECK_H

/* NULL when every element is closed in order, every attribute is quoted, nothing is a script, an event
 * handler or a reference to something outside; otherwise what is wrong. HTML's empty elements (meta, br) need
 * no end. */
const char *markup_fault(const char *text);

#endif
