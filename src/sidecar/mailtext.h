/*
 * mailtext.h
 *		UTF-8 for mails: one clean line, wrapped lines, addresses.
 *
 * What comes back was made by g_malloc() and belongs to the caller.
 */
#ifndef ICO_MAILTEXT_H
#define ICO_MAILTEXT_H

#include <stdbool.h>
#include <stddef.h>

/* what RFC 5322 wants of a line, in characters */
#define TEXT_WIDTH 78

/* White space and control characters become single spaces; longer than most characters: cut. */
extern char *text_line(const char *text, size_t most);
/* Line ends as \n, no other control characters, no white space around it. */
extern char *text_lines(const char *text);
extern char *text_wrap(const char *text);
/* A person's name as it may stand in a greeting; NULL: it is none. */
extern char *text_person(const char *name);
/* The address with its domain in ASCII; NULL: why says what is wrong with it. */
extern char *text_address(const char *address, const char **why);
/* Is it http:// or https://, and without anything that ends an attribute or a header? */
extern bool text_is_url(const char *url);
/* The colour as #rrggbb, or the preset. */
extern char *text_colour(const char *colour, const char *preset);
/* Black or white: what can be read on it. */
extern const char *text_contrast(const char *colour);

#endif							/* ICO_MAILTEXT_H */
