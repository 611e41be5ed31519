/*
 * log.h
 *		Lines for an operator, and what went wrong.
 */
#ifndef ICO_LOG_H
#define ICO_LOG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Why something failed.  The texts belong to it; failure_clear() frees them. */
typedef struct Failure
{
	int			code;			/* for exit(): one of sysexits.h */
	char		sqlstate[6];	/* or "" */
	char	   *message;
	char	   *detail;
	char	   *hint;
	char	   *field;			/* the error's column: which member of the request is wrong */
} Failure;

extern void failure_clear(Failure *failure);
extern void failure_set(Failure *failure, int code, const char *format,...)
			__attribute__((format(printf, 3, 4)));
extern void failure_print(const Failure *failure, const char *what);

/* One line of key=value; it appears on stderr when it ends. */
typedef struct LogLine
{
	char	   *text;
	size_t		length;
	FILE	   *stream;
} LogLine;

extern void log_begin(LogLine *line, const char *level, const char *event);
extern void log_text(LogLine *line, const char *key, const char *value);
extern void log_seconds(LogLine *line, const char *key, int64_t microseconds);
extern void log_failure(LogLine *line, const Failure *failure);
extern void log_end(LogLine *line);
extern void log_trouble(const Failure *failure, const char *event, int64_t pause);

#endif							/* ICO_LOG_H */
