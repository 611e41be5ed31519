/*
 * main.c
 *		incomplete-orders: the program beside the database.
 *
 * A command is one file with a Command (options.h); it is listed below, and in
 * the manual page.  Everything is passed as arguments; the only global state
 * is what a signal handler needs (loop.c).
 *
 * Memory: the struct of a command's options is made here and lives until the
 * end.  Exit codes are those of sysexits.h; health adds 1 and 2.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "loop.h"

static const Command *const commands[] = {
	&tick_command,
	&cleanup_command,
	&health_command,
	&send_command,
	&send_recovery_emails_command,
	&preview_mail_command,
	&test_mail_command,
	&serve_command,
	&run_command,
	&report_command,
	&update_analytics_command,
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char surroundings[] =
"The database is found as by psql: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSFILE,\n"
"PGSERVICE and all other variables and files of libpq.\n"
"\n"
"Exit codes: 0 done, 64 wrong usage, 65 there can be no such mail, 69 no server,\n"
"70 an unexpected error, 75 try again later, 77 no permission, 78 something is not\n"
"set up. health: 2 on an alarm.\n";

static void
print_help(void)
{
	puts("incomplete-orders runs beside a database with the extension incomplete_orders.\n\n"
		 "Usage: incomplete-orders COMMAND [OPTION]...\n"
		 "       incomplete-orders COMMAND --help\n"
		 "       incomplete-orders --help | --version\n");
	for (size_t i = 0; i < COMMANDS; i++)
	{
		options_help(stdout, commands[i]);
		putchar('\n');
	}
	options_help_common(stdout);
	printf("\n%s", surroundings);
}

static void
print_command_help(const Command *command)
{
	printf("Usage: incomplete-orders %s [OPTION]...\n\n", command->name);
	options_help(stdout, command);
	putchar('\n');
	options_help_common(stdout);
	printf("\n%s", surroundings);
}

static const Command *
find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
	{
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

static int
execute(const Command *command, int argc, char **argv)
{
	CommonOptions *options = calloc(1, command->size);
	Loop		loop;
	int			code = EX_USAGE;

	if (options == NULL || !loop_init(&loop))
	{
		perror("incomplete-orders");
		free(options);
		return EX_OSERR;
	}
	if (options_parse(command, argc, argv, options))
	{
		code = EX_OK;
		if (options->help)
			print_command_help(command);
		else
			code = command->run(options, &loop);
	}
	free(options);
	return code;
}

/* What was printed must have arrived, or it was not done. */
static int
close_output(int code)
{
	if (fclose(stdout) == 0)
		return code;
	perror("incomplete-orders: could not write the output");
	return code == EX_OK ? EX_IOERR : code;
}

int
main(int argc, char **argv)
{
	const Command *command;

	if (argc < 2)
	{
		usage_error(NULL, "no command was given");
		return EX_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0)
	{
		print_help();
		return close_output(EX_OK);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
	{
		puts("incomplete-orders " ICO_VERSION);
		return close_output(EX_OK);
	}
	command = find_command(argv[1]);
	if (command == NULL)
	{
		usage_error(NULL, argv[1][0] == '-' ? "the command comes before \"%s\"" : "there is no command \"%s\"", argv[1]);
		return EX_USAGE;
	}
	return close_output(execute(command, argc - 2, argv + 2));
}
