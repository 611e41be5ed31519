/*
 * query.h
 *		Text as it comes in URLs.
 */
#ifndef ICO_QUERY_H
#define ICO_QUERY_H

#include <stdbool.h>
#include <stddef.h>

extern char *query_decode(const char *text, bool plus);
extern bool query_is_utf8(const char *text, size_t length);

#endif							/* ICO_QUERY_H */
