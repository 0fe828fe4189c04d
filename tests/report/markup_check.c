/* SPDX-License-Identifier: Apache-2.0 */
#include "markup_check.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { DEPTH = 64, NAME = 32 };

struct place {
	const char *at;
	char open[DEPTH][NAME];
	int depth;
	const char *fault;
};

static bool read_name(struct place *p, char name[NAME])
{
	int n = 0;

	while (isalnum((unsigned char)*p->at) || *p->at == '-' || *p->at == ':') {
		if (n < NAME - 1)
			name[n++] = *p->at;
		p->at++;
	}
	name[n] = '\0';
	return n > 0;
}

static bool is_empty_element(const char *name)
{
	return !strcasecmp(name, "meta") || !strcasecmp(name, "br");
}

static bool is_forbidden(const char *name)
{
	static const char *const bad[] = {"script", "iframe", "object", "embed",         "link",
	                                  "img",    "image",  "use",    "foreignObject", "a"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (!strcasecmp(name, bad[i]))
			return true;
	return false;
}

static const char *attribute_fault(const char *name, const char *value, size_t n)
{
	if (!strncasecmp(name, "on", 2) || !strcasecmp(name, "href") || !strcasecmp(name, "src"))
		return "an attribute that acts or refers";
	return memchr(value, '<', n) ? "'<' in an attribute" : NULL;
}

static const char *attributes(struct place *p)
{
	for (;;) {
		char name[NAME], quote;
		const char *value, *fault;

		while (isspace((unsigned char)*p->at))
			p->at++;
		if (*p->at == '>' || (*p->at == '/' && p->at[1] == '>'))
			return NULL;
		if (!read_name(p, name) || *p->at++ != '=' || (*p->at != '"' && *p->at != '\''))
			return "an attribute that is not name=\"value\"";
		quote = *p->at++;
		value = p->at;
		while (*p->at && *p->at != quote)
			p->at++;
		fault = attribute_fault(name, value, (size_t)(p->at - value));
		if (fault || !*p->at++)
			return fault ? fault : "an attribute without end";
	}
}

static const char *end_tag(struct place *p)
{
	char name[NAME];

	p->at += 2;
	if (!read_name(p, name) || *p->at++ != '>')
		return "an end tag that is none";
	if (p->depth == 0 || strcmp(p->open[--p->depth], name))
		return "an end tag that does not match";
	return NULL;
}

static const char *start_tag(struct place *p)
{
	char name[NAME];
	const char *fault;

	p->at++;
	if (!read_name(p, name))
		return "'<' that begins no tag";
	if (is_forbidden(name))
		return "an element that acts or refers";
	fault = attributes(p);
	if (fault)
		return fault;
	if (*p->at == '/')
		p->at++;
	else if (!is_empty_element(name)) {
		if (p->depth == DEPTH)
			return "nesting too deep";
		strcpy(p->open[p->depth++], name);
	}
	p->at++;
	return NULL;
}

static const char *reference(const char *s)
{
	static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&nbsp;"};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strncmp(s, known[i], strlen(known[i])))
			return NULL;
	return "'&' that begins no reference";
}

const char *markup_fault(const char *text)
{
	struct place p = {.at = text};
	const char *fault = NULL;

	if (!strncasecmp(p.at, "<!doctype html>", 15))
		p.at += 15;
	while (*p.at && !fault)
		if (*p.at == '<')
			fault = p.at[1] == '/' ? end_tag(&p) : start_tag(&p);
		else if (*p.at == '&')
			fault = reference(p.at++);
		else
			p.at++;
	return fault                  ? fault
	       : p.depth              ? "an element without end"
	       : strstr(text, "url(") ? "a reference in a style"
	                              : NULL;
}
