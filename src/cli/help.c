/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include <string.h>

#include "cli/value.h"

enum { WIDTH = 80, TEXT_COLUMN = 30 };

static const char *const exit_codes[] = {
	"done", "internal failure, or out of memory", "wrong usage", "the model or the data is invalid",
	"an operator, type or opset is not supported", "no cut passed the gate; nothing was written",
	"an output could not be written",
};

/* Words from column `column` on, wrapped and indented by `indent`, ended by a newline. */
static void wrap(FILE *out, int column, int indent, const char *text)
{
	while (*text) {
		int len = (int)strcspn(text, " ");

		if (column > indent && column + 1 + len > WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			column += fputc(' ', out) == ' ';
		}
		fprintf(out, "%.*s", len, text);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void option_text(char *buf, size_t size, const struct option *o)
{
	char letter[8] = "    ";

	if (o->letter)
		snprintf(letter, sizeof letter, "-%c, ", o->letter);
	snprintf(buf, size, "  %s--%s%s%s", letter, o->name, o->metavar ? " " : "", o->metavar ? o->metavar : "");
}

static void print_option(FILE *out, const struct option *o, const struct arguments *defaults)
{
	char left[160], value[64], text[512];
	int column;

	option_text(left, sizeof left, o);
	value_default(defaults, o, value);
	snprintf(text, sizeof text, "%s%s%s%s", o->help, *value ? " (default " : "", value, *value ? ")" : "");
	column = fprintf(out, "%s", left);
	if (column + 2 > TEXT_COLUMN) {
		fputc('\n', out);
		column = 0;
	}
	fprintf(out, "%*s", TEXT_COLUMN - column, "");
	wrap(out, TEXT_COLUMN, TEXT_COLUMN, text);
}

static void print_options(FILE *out, const struct command *c)
{
	struct arguments defaults;

	arguments_default(&defaults);
	for (size_t i = 0; i < n_options; i++)
		if (option_of(&options[i], c))
			print_option(out, &options[i], &defaults);
}

void help_general(FILE *out)
{
	fputs("Usage: tamis COMMAND [options]\n\n"
	      "Slims ONNX models by a significance test on every connection, under a gate that\n"
	      "bounds the loss.\n\n"
	      "    tamis slim model.onnx slim.onnx -c calib.npz\n\nCommands:\n", out);
	for (size_t i = 0; i < n_commands; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\nOptions:\n", out);
	print_options(out, NULL);
	fputs("\n'tamis COMMAND --help' tells more. - stands for standard input or output where a\n"
	      "model or a JSON report is read or written.\n\nExit codes:\n", out);
	for (int i = 0; i < (int)(sizeof exit_codes / sizeof *exit_codes); i++)
		fprintf(out, "  %d  %s\n", i, exit_codes[i]);
}

void help_command(FILE *out, const struct command *c)
{
	fprintf(out, "Usage: tamis %s%s%s [options]\n\n", c->name, *c->operands ? " " : "", c->operands);
	wrap(out, 0, 0, c->description);
	fputs("\nOptions:\n", out);
	print_options(out, c);
}

/* ---- manual page ---- */

/* Text for roff: hyphens that are to be typed, backslashes, and lines that would be requests. */
static void roff(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			fputc('\\', out);
		fputs(*text == '\\' ? "e" : (const char[2]){*text, '\0'}, out);
	}
}

static void man_option(FILE *out, const struct option *o, const struct arguments *defaults)
{
	char value[64];

	fputs(".TP\n\\fB", out);
	if (o->letter)
		fprintf(out, "\\-%c\\fR, \\fB", o->letter);
	fputs("\\-\\-", out);
	roff(out, o->name);
	fputs("\\fR", out);
	if (o->metavar) {
		fputs(" \\fI", out);
		roff(out, o->metavar);
		fputs("\\fR", out);
	}
	fputc('\n', out);
	roff(out, o->help);
	if (*value_default(defaults, o, value)) {
		fputs(" (default ", out);
		roff(out, value);
		fputc(')', out);
	}
	fputc('\n', out);
}

static void man_options(FILE *out, const struct command *c, const struct arguments *defaults)
{
	for (size_t i = 0; i < n_options; i++)
		if (option_of(&options[i], c))
			man_option(out, &options[i], defaults);
}

void help_man(FILE *out)
{
	struct arguments defaults;

	arguments_default(&defaults);
	fprintf(out, ".TH TAMIS 1 \"\" \"tamis %s\" \"User Commands\"\n.SH NAME\ntamis \\- slim ONNX models by "
	        "a significance test, under a gate that bounds the loss\n.SH SYNOPSIS\n", tamis_version());
	for (size_t i = 0; i < n_commands; i++) {
		fprintf(out, "%s\\fBtamis %s\\fR ", i ? ".br\n" : "", commands[i].name);
		roff(out, commands[i].operands);
		fputs(" [options]\n", out);
	}
	fputs(".SH DESCRIPTION\nStandard output carries results only; messages go to standard error. \\- stands "
	      "for standard input or output where a model or a JSON report is read or written.\n.SH OPTIONS\n",
	      out);
	man_options(out, NULL, &defaults);
	for (size_t i = 0; i < n_commands; i++) {
		fputs(".SH \"TAMIS ", out);
		for (const char *p = commands[i].name; *p; p++)
			fputc(*p - 'a' + 'A', out);
		fputs("\"\n", out);
		roff(out, commands[i].description);
		fputc('\n', out);
		man_options(out, &commands[i], &defaults);
	}
	fputs(".SH \"EXIT STATUS\"\n", out);
	for (int i = 0; i < (int)(sizeof exit_codes / sizeof *exit_codes); i++)
		fprintf(out, ".TP\n%d\n%s\n", i, exit_codes[i]);
	fputs(".SH EXAMPLE\n.nf\ntamis slim model.onnx slim.onnx \\-c calib.npz\n.fi\n", out);
}

/* ---- completion ---- */

static void bash_options(FILE *out, const struct command *c)
{
	const char *gap = "";

	for (size_t i = 0; i < n_options; i++)
		if (option_of(&options[i], c)) {
			fprintf(out, "%s--%s", gap, options[i].name);
			gap = " ";
		}
}

static void bash_values(FILE *out)
{
	for (size_t i = 0; i < n_options; i++) {
		const struct option *o = &options[i];
		const char *word;
		size_t len;

		if (o->kind != OPTION_CHOICE && o->kind != OPTION_WORD)
			continue;
		fprintf(out, "\t--%s) words='", o->name);
		for (int k = 0; (len = value_word(o->metavar, k, &word)) > 0; k++)
			fprintf(out, "%s%.*s", k ? " " : "", (int)len, word);
		fputs("' ;;\n", out);
	}
}

void help_bash(FILE *out)
{
	fputs("# bash completion of tamis\n_tamis()\n{\n\tlocal word=${COMP_WORDS[COMP_CWORD]} words=''\n"
	      "\tlocal before=${COMP_WORDS[COMP_CWORD-1]}\n\t[[ $before == '=' ]] && "
	      "before=${COMP_WORDS[COMP_CWORD-2]}\n"
	      "\t[[ $word == '=' ]] && word='' && before=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tcase $before in\n", out);
	bash_values(out);
	fputs("\tesac\n\tif [[ -z $words && $COMP_CWORD -eq 1 ]]; then\n\t\twords='", out);
	for (size_t i = 0; i < n_commands; i++)
		fprintf(out, "%s ", commands[i].name);
	bash_options(out, NULL);
	fputs("'\n\telif [[ -z $words && $word == -* ]]; then\n\t\tcase ${COMP_WORDS[1]} in\n", out);
	for (size_t i = 0; i < n_commands; i++) {
		fprintf(out, "\t\t%s) words='", commands[i].name);
		bash_options(out, &commands[i]);
		fputs("' ;;\n", out);
	}
	fputs("\t\tesac\n\tfi\n\tif [[ -n $words ]]; then\n\t\tCOMPREPLY=($(compgen -W \"$words\" -- "
	      "\"$word\"))\n"
	      "\telse\n"
	      "\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n\tfi\n}\ncomplete -o filenames -F _tamis tamis\n",
	      out);
}
