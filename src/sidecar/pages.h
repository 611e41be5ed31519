/*
 * pages.h
 *		The HTML of the shopper pages.
 */
#ifndef ICO_PAGES_H
#define ICO_PAGES_H

#include <libpq-fe.h>

#include "http.h"
#include "texts.h"

/* Whose page it is; all but the language may be NULL. */
typedef struct Look
{
	Language	language;
	const char *shop_name;
	const char *logo_url;
	const char *colour;
} Look;

/* The columns of a cart as the pages read it: one row for each line, at least one. */
typedef enum CartColumn
{
	CART_MESSAGE_ID,
	CART_SHOP_NAME,
	CART_LOCALE,
	CART_REFERENCE,
	CART_STATUS,
	CART_TOTAL,
	CART_CURRENCY,
	CART_LOGO_URL,
	CART_COLOUR,
	CART_RESTORE_URL,
	CART_NAME,					/* NULL: a cart without lines */
	CART_VARIANT,
	CART_QUANTITY,
	CART_LINE_TOTAL,
	CART_IMAGE_URL,
	CART_URL,
} CartColumn;

extern bool is_web_url(const char *url);

extern void page_message(Request *request, int status, const Look *look, Text title, Text text);
extern void page_confirm(Request *request, const Look *look, Text title, Text text, Text button);
extern void page_cart(Request *request, const Look *look, const PGresult *cart);
extern void page_restored(Request *request, const Look *look, const PGresult *cart, const char *removed, const char *changed);

#endif							/* ICO_PAGES_H */
