/*
 * search.h
 *		What a word that somebody searches for can be.
 */
#ifndef ICO_SEARCH_H
#define ICO_SEARCH_H

#include "postgres.h"

#include "utils/uuid.h"

/* what a search can be: the ways by which ids are collected */
typedef enum IcoWay
{
	W_EMAIL, W_EMAIL_PREFIX, W_PHONE, W_CUSTOMER, W_SESSION, W_REFERENCE, W_NUMBER, W_ORDER_ID
} IcoWay;
#define ICO_WAYS 8
#define ICO_WAY_BIT(way) (1 << (way))

/* What to look for; a way that is not in `ways` has no value. */
typedef struct IcoMatch
{
	int			ways;
	text	   *email;
	text	   *above;
	text	   *phone;
	text	   *customer_id;
	text	   *session_id;
	text	   *reference;
	text	   *number;
	pg_uuid_t	id;
	bool		is_id;
} IcoMatch;

extern void ico_read_search(text *search, IcoMatch *match);
/* false unless s is exactly n bytes in hexadecimal */
extern bool ico_read_hex(const char *s, int len, unsigned char *out, int n);

#endif							/* ICO_SEARCH_H */
