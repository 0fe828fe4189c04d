/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/help.h"
#include "cli/message.h"

/* A BLAS that takes the processor for an older one is told better through the environment, which it
 * reads when it is loaded, before main: so the program starts once more. Where that fails it goes on,
 * only slower. Its own threads, which nobody here uses, would spin for a while. */
static void cure_blas(char **argv)
{
	const char *advice = NULL;

	if (getenv("OPENBLAS_CORETYPE") || getenv("TAMIS_BLAS_CURED"))
		return;
	if (tamis_cpu(NULL, &advice, NULL) != TAMIS_OK || !advice)
		return;
	if (setenv("TAMIS_BLAS_CURED", "1", 1) == 0 && setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0
	    && setenv("OPENBLAS_CORETYPE", advice, 1) == 0)
		execv("/proc/self/exe", argv);
	unsetenv("OPENBLAS_CORETYPE");
}

/* A standard descriptor that came closed would be given to the next file opened. A descriptor that
 * cannot be used the wrong way round keeps the place: reading from it, or writing to it, fails as it
 * would have. */
static void hold_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			_exit(TAMIS_E_INTERNAL);
}

/* Leaves no half-written file, then dies as if there had been no handler (SA_RESETHAND). */
static void die(int signal_number)
{
	tamis_remove_temporaries();
	raise(signal_number);
}

static void handle_signals(void)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction end = {.sa_handler = die, .sa_flags = SA_RESETHAND | SA_NODEFER}, old;

	for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
		if (sigaction(ending[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(ending[i], &end, NULL);
	signal(SIGPIPE, SIG_IGN); /* a closed pipe and a full limit are failed writes: exit code 6 */
	signal(SIGXFSZ, SIG_IGN);
}

static enum tamis_status print_help(const struct arguments *a)
{
	if (a->version)
		printf("tamis %s\n", tamis_version());
	else if (a->command)
		help_command(stdout, a->command);
	else if (a->man)
		help_man(stdout);
	else if (a->completion)
		help_bash(stdout);
	else
		help_general(stdout);
	if (fflush(stdout) != 0 || ferror(stdout))
		return output_error("standard output", "cannot be written");
	return TAMIS_OK;
}

static enum tamis_status run(struct arguments *a, int argc, char **argv)
{
	enum tamis_status status = arguments_parse(a, argc, argv);

	if (status != TAMIS_OK)
		return status;
	if (a->help || a->version || (!a->command && (a->man || a->completion)))
		return print_help(a);
	if (!a->command)
		return usage_error("a command was expected; see 'tamis --help'");
	return a->command->run(a);
}

static int exit_code(enum tamis_status status)
{
	return status > TAMIS_E_OUTPUT ? TAMIS_E_INTERNAL : (int)status;
}

int main(int argc, char **argv)
{
	struct arguments a;
	enum tamis_status status;

	cure_blas(argv);
	hold_descriptors();
	handle_signals();
	status = run(&a, argc, argv);
	arguments_free(&a);
	return exit_code(status);
}
