/*
 * log.c
 *		Lines of key=value on stderr, and failures as text.
 *
 * A line is built in memory and written at once, so that lines of several
 * programs do not mix.  What may be in it: figures, and messages that db.c has
 * let through; never a value of an order.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"

void
failure_clear(Failure *failure)
{
	free(failure->message);
	free(failure->detail);
	free(failure->hint);
	free(failure->field);
	memset(failure, 0, sizeof(*failure));
}

/* Replaces what was in it. */
void
failure_set(Failure *failure, int code, const char *format,...)
{
	va_list		args;

	failure_clear(failure);
	failure->code = code;
	va_start(args, format);
	if (vasprintf(&failure->message, format, args) < 0)
		failure->message = NULL;
	va_end(args);
}

void
failure_print(const Failure *failure, const char *what)
{
	fprintf(stderr, "incomplete-orders: %s: %s", what, failure->message ? failure->message : "out of memory");
	if (failure->sqlstate[0] != '\0')
		fprintf(stderr, " (%s)", failure->sqlstate);
	fputc('\n', stderr);
	if (failure->detail != NULL)
		fprintf(stderr, "DETAIL: %s\n", failure->detail);
	if (failure->hint != NULL)
		fprintf(stderr, "HINT: %s\n", failure->hint);
}

void
log_begin(LogLine *line, const char *level, const char *event)
{
	char		stamp[32] = "";
	time_t		now = time(NULL);
	struct tm	parts;

	line->text = NULL;
	line->stream = open_memstream(&line->text, &line->length);
	if (gmtime_r(&now, &parts) != NULL)
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &parts);
	log_text(line, "time", stamp);
	log_text(line, "level", level);
	log_text(line, "event", event);
}

/* Quotes what would end a word; control characters do not get through. */
static void
put_value(FILE *stream, const char *value)
{
	bool		plain = *value != '\0' && strpbrk(value, " \"=\\\t\r\n") == NULL;

	if (!plain)
		fputc('"', stream);
	for (; *value != '\0'; value++)
	{
		unsigned char c = (unsigned char) *value;

		if (c == '"' || c == '\\')
			fputc('\\', stream);
		if (c == '\n')
			fputs("\\n", stream);
		else
			fputc(c < ' ' || c == 0x7f ? '?' : c, stream);
	}
	if (!plain)
		fputc('"', stream);
}

void
log_text(LogLine *line, const char *key, const char *value)
{
	if (line->stream == NULL || value == NULL)
		return;
	fprintf(line->stream, "%s%s=", strcmp(key, "time") == 0 ? "" : " ", key);
	put_value(line->stream, value);
}

void
log_seconds(LogLine *line, const char *key, int64_t microseconds)
{
	if (line->stream != NULL)
		fprintf(line->stream, " %s=%.1f", key, (double) microseconds / 1e6);
}

void
log_failure(LogLine *line, const Failure *failure)
{
	if (failure->sqlstate[0] != '\0')
		log_text(line, "sqlstate", failure->sqlstate);
	log_text(line, "message", failure->message);
	log_text(line, "detail", failure->detail);
	log_text(line, "hint", failure->hint);
}

/* Without memory for the line there is none: the program goes on. */
void
log_end(LogLine *line)
{
	if (line->stream == NULL)
		return;
	fputc('\n', line->stream);
	if (fclose(line->stream) == 0)
		fwrite(line->text, 1, line->length, stderr);
	free(line->text);
	line->stream = NULL;
	line->text = NULL;
}

/* Says what failed, and when it is tried again; 0: it is not. */
void
log_trouble(const Failure *failure, const char *event, int64_t pause)
{
	LogLine		line;

	log_begin(&line, "error", event);
	log_failure(&line, failure);
	if (pause > 0)
		log_seconds(&line, "retry_in", pause);
	log_end(&line);
}
