/*
 * framing.c
 *		Is the head of a request one that everybody reads alike?
 *
 * A proxy stands in front, and where it and we disagree on where a request ends, what one
 * client sends becomes the beginning of another's request.  libmicrohttpd takes the first
 * of two lengths, prefers chunks to a length, waits for a body of a coding that it does not
 * know and takes names with blanks for other names.  So whatever has two readings is
 * refused here, before its body is looked at, and its connection ends.
 *
 * Nothing is kept; no memory is asked for.
 */
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "framing.h"

/* RFC 9110: what a name of a header is made of. */
static const char token[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

typedef struct Framing
{
	int			lengths;
	int			codings;
	int			hosts;
	bool		broken;			/* there is something that no reading of ours fits */
	bool		unknown;		/* a coding of the body that we have not */
} Framing;

static bool
is_number(const char *text)
{
	return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* Text in any language, but no control characters. */
static bool
is_text(const char *value)
{
	for (; *value != '\0'; value++)
	{
		if (((unsigned char) *value < ' ' && *value != '\t') || *value == 0x7f)
			return false;
	}
	return true;
}

static enum MHD_Result
look(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Framing    *framing = arg;

	if (value == NULL)
		value = "";
	if (*name == '\0' || name[strspn(name, token)] != '\0' || !is_text(value))
		framing->broken = true;
	else if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0)
		framing->hosts++;
	else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
	{
		framing->lengths++;
		framing->broken |= !is_number(value);
	}
	else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0)
	{
		framing->codings++;
		framing->unknown |= strcasecmp(value, "chunked") != 0;
	}
	return MHD_YES;
}

/* 0, or the status to refuse it with. */
int
framing_refusal(struct MHD_Connection *connection, const char *version)
{
	Framing		framing = {0};

	(void) MHD_get_connection_values(connection, MHD_HEADER_KIND, look, &framing);
	if (framing.broken || framing.hosts > 1 || framing.lengths > 1 || framing.codings > 1 || (framing.lengths > 0 && framing.codings > 0))
		return MHD_HTTP_BAD_REQUEST;
	/* HTTP/1.0 has no chunks: who passes them on does not know them. */
	if (framing.codings > 0 && strcmp(version, MHD_HTTP_VERSION_1_1) != 0)
		return MHD_HTTP_BAD_REQUEST;
	return framing.unknown ? MHD_HTTP_NOT_IMPLEMENTED : 0;
}
