/*
 * options.h
 *		Commands and their options as tables.
 *
 * A command is a static Command that names its options; main.c lists the
 * commands.  Parsing, --help and the defaults all come from these tables.
 */
#ifndef ICO_OPTIONS_H
#define ICO_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct Loop;

/* the type of the field that an option fills */
typedef enum OptionKind
{
	OPTION_FLAG,				/* bool */
	OPTION_TEXT,				/* const char *: a part of argv, or the preset */
	OPTION_NUMBER,				/* int */
	OPTION_SPAN,				/* int: seconds, given as 90, 90s, 5m or 1h */
	OPTION_CHOICE,				/* int: which one of the words in argument, "a|b" */
} OptionKind;

typedef struct OptionDef
{
	const char *name;			/* without dashes; NULL ends a list */
	char		letter;			/* or 0 */
	OptionKind	kind;
	size_t		offset;			/* of its field in the command's struct */
	const char *argument;		/* what --help calls its value; NULL for a flag */
	const char *preset;			/* the default as one would type it, or NULL: 0 */
	int			min;
	int			max;
	const char *help;
} OptionDef;

/* The struct of every command begins with these. */
typedef struct CommonOptions
{
	const char *dbname;
	bool		verbose;
	bool		help;
} CommonOptions;

typedef struct Command
{
	const char *name;
	const char *summary;
	const OptionDef *options;
	size_t		size;			/* of the struct that the options fill */
	int			(*run) (const void *options, struct Loop *loop);	/* returns the exit code */
} Command;

extern bool options_parse(const Command *command, int argc, char **argv, void *values);
extern bool date_is_written(const char *text);
extern void options_help(FILE *out, const Command *command);
extern void options_help_common(FILE *out);
extern void usage_error(const Command *command, const char *format,...)
			__attribute__((format(printf, 2, 3)));

#endif							/* ICO_OPTIONS_H */
