/*
 * pages.c
 *		The HTML of the shopper pages.
 *
 * Plain pages without a script: they work at 320 pixels, with a keyboard, with a
 * screen reader, in light and dark.  The button has the shop's colour; its text is
 * black or white, whichever differs more from it (always 4.5:1 or more), and where the
 * colour itself differs too little from the page, the button gets a border.
 *
 * Everything that comes from a shop or an order passes put_html(); addresses of
 * pictures and pages are used only if they are http or https.  Nothing about a person
 * is known here.
 *
 * Policy: nothing but our own style, by a nonce made for each answer, and pictures
 * over https.  Browsers hold a form's redirects against form-action as well, and a
 * shop may redirect further (to its www host, to a checkout elsewhere): so a form
 * that leads to a shop may end at any https page, any other only here.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "pages.h"

#define LINES_MOST 100
#define RETRY_AFTER 5			/* seconds */

static const char default_colour[] = "#0072b2";
static const char paper_light[] = "#ffffff";
static const char paper_dark[] = "#14171c";

typedef struct Page
{
	Request    *request;
	const Look *look;
	FILE	   *out;
	char	   *text;
	size_t		length;
	char		nonce[33];
	bool		pictures;
	const char *form;			/* the sources of form-action */
} Page;

/* ---------------------------------------------------------------------------
 * Text
 */

static void
put(Page *page, const char *html)
{
	fputs(html, page->out);
}

/* Text as text, whatever is in it; control characters have no place in HTML. */
static void
put_html(Page *page, const char *text)
{
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		switch (c)
		{
			case '&':
				put(page, "&amp;");
				break;
			case '<':
				put(page, "&lt;");
				break;
			case '>':
				put(page, "&gt;");
				break;
			case '"':
				put(page, "&quot;");
				break;
			case '\'':
				put(page, "&#39;");
				break;
			default:
				fputc(c < ' ' || c == 0x7f ? ' ' : c, page->out);
		}
	}
}

/* A text of the table, with a value in place of its %s. */
static void
put_text(Page *page, Text key, const char *value)
{
	const char *text = text_of(page->look->language, key);
	const char *place = strstr(text, "%s");

	if (place == NULL)
	{
		put_html(page, text);
		return;
	}
	fwrite(text, 1, (size_t) (place - text), page->out);
	put_html(page, value != NULL ? value : "");
	put_html(page, place + 2);
}

static void
put_element(Page *page, const char *before, Text key, const char *value, const char *after)
{
	put(page, before);
	put_text(page, key, value);
	put(page, after);
}

/* http or https, with a host, and nothing in it that no URL has. */
bool
is_web_url(const char *url)
{
	const char *host;

	if (url == NULL)
		return false;
	if (strncasecmp(url, "https://", 8) == 0)
		host = url + 8;
	else if (strncasecmp(url, "http://", 7) == 0)
		host = url + 7;
	else
		return false;
	if (!isalnum((unsigned char) *host) && *host != '[' && (unsigned char) *host < 0x80)
		return false;
	for (const char *p = url; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= ' ' || *p == 0x7f || *p == '\\')
			return false;
	}
	return true;
}

static bool
is_picture_url(const char *url)
{
	return is_web_url(url) && strncasecmp(url, "https:", 6) == 0;
}

/* ---------------------------------------------------------------------------
 * Colour
 */

static bool
is_colour(const char *colour)
{
	return colour != NULL && colour[0] == '#' && strlen(colour) == 7 && strspn(colour + 1, "0123456789abcdefABCDEF") == 6;
}

static double
channel(const char *digits)
{
	char		two[3] = {digits[0], digits[1], '\0'};
	double		value = (double) strtoul(two, NULL, 16) / 255;

	return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4);
}

/* WCAG's relative luminance, and how much two colours differ by it. */
static double
luminance(const char *colour)
{
	return 0.2126 * channel(colour + 1) + 0.7152 * channel(colour + 3) + 0.0722 * channel(colour + 5);
}

static double
contrast(const char *a, const char *b)
{
	double		one = luminance(a) + 0.05;
	double		other = luminance(b) + 0.05;

	return one > other ? one / other : other / one;
}

/* The border of a button on paper of that colour: its own, or that of the text. */
static const char *
edge(const char *colour, const char *paper)
{
	return contrast(colour, paper) >= 3 ? "var(--accent)" : "var(--ink)";
}

static void
put_style(Page *page)
{
	const char *colour = is_colour(page->look->colour) ? page->look->colour : default_colour;

	fprintf(page->out,
			"<style nonce=\"%s\">"
			":root{color-scheme:light dark;--paper:%s;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--accent:%s;--on:%s;--edge:%s}"
			"@media(prefers-color-scheme:dark){:root{--paper:%s;--ink:#e8ebef;--soft:#a5afbb;--line:#3b434d;--edge:%s}}",
			page->nonce, paper_light, colour, contrast(colour, "#ffffff") >= contrast(colour, "#000000") ? "#ffffff" : "#000000",
			edge(colour, paper_light), paper_dark, edge(colour, paper_dark));
	put(page,
		"*{box-sizing:border-box}"
		"body{margin:0;background:var(--paper);color:var(--ink);font:1.0625rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
		"header,main{max-width:38rem;margin:0 auto;padding:1rem}"
		"header{font-weight:600}"
		"header img{display:block;max-width:100%;max-height:3.5rem}"
		"h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}"
		"h2{font-size:1.1rem;margin:1.5rem 0 .5rem}"
		"a{color:inherit}"
		"ul{list-style:none;margin:1rem 0;padding:0}"
		"li{display:flex;gap:1rem;padding:.75rem 0;border-bottom:1px solid var(--line)}"
		"li img{flex:none;width:4rem;height:4rem;object-fit:contain;background:#fff;border-radius:.25rem}"
		"li div{flex:1;min-width:0}"
		".soft{color:var(--soft);font-size:.9375rem}"
		".money{white-space:nowrap;font-variant-numeric:tabular-nums}"
		".total{display:flex;justify-content:space-between;gap:1rem;font-weight:600}"
		"button{width:100%;margin:1rem 0;padding:.8rem 1rem;border:2px solid var(--edge);border-radius:.4rem;"
		"background:var(--accent);color:var(--on);font:inherit;font-weight:600;cursor:pointer}"
		"@media(min-width:30rem){button{width:auto;padding:.8rem 2rem}}"
		":focus-visible{outline:3px solid var(--ink);outline-offset:3px}"
		"</style>");
}

/* ---------------------------------------------------------------------------
 * The frame of every page
 */

static bool
make_nonce(char *nonce)
{
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
	return true;
}

static void
put_brand(Page *page)
{
	const Look *look = page->look;

	if (look->shop_name == NULL || *look->shop_name == '\0')
		return;
	put(page, "<header>");
	if (is_picture_url(look->logo_url))
	{
		page->pictures = true;
		put(page, "<img src=\"");
		put_html(page, look->logo_url);
		put(page, "\" alt=\"");
		put_html(page, look->shop_name);
		put(page, "\">");
	}
	else
		put_html(page, look->shop_name);
	put(page, "</header>\n");
}

static bool
begin_page(Page *page, Request *request, const Look *look, Text title)
{
	memset(page, 0, sizeof(*page));
	page->request = request;
	page->look = look;
	page->form = "'none'";
	page->out = make_nonce(page->nonce) ? open_memstream(&page->text, &page->length) : NULL;
	if (page->out == NULL)
	{
		http_answer(request, &(Answer) {.status = HTTP_INTERNAL_ERROR});
		return false;
	}
	fprintf(page->out, "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
			"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>", language_tag(look->language));
	put_text(page, title, NULL);
	if (look->shop_name != NULL && *look->shop_name != '\0')
	{
		put(page, " \u2013 ");
		put_html(page, look->shop_name);
	}
	put(page, "</title>\n");
	put_style(page);
	put(page, "\n</head>\n<body>\n");
	put_brand(page);
	put_element(page, "<main>\n<h1>", title, NULL, "</h1>\n");
	return true;
}

static void
send_page(Page *page, int status)
{
	char		policy[256];

	put(page, "</main>\n</body>\n</html>\n");
	snprintf(policy, sizeof(policy),
			 "default-src 'none'; style-src 'nonce-%s'; img-src 'self'%s; form-action %s; base-uri 'none'; frame-ancestors 'none'",
			 page->nonce, page->pictures ? " https:" : "", page->form);
	if (fclose(page->out) != 0)
	{
		free(page->text);
		http_answer(page->request, &(Answer) {.status = HTTP_INTERNAL_ERROR});
		return;
	}
	http_answer(page->request, &(Answer) {
		.status = status,.type = "text/html; charset=utf-8",.body = page->text,.length = page->length,.policy = policy,
			.retry_after = status == HTTP_UNAVAILABLE ? RETRY_AFTER : 0
	});
}

/* A form without an action: it goes to the address of its page. */
static void
put_form(Page *page, Text button, const char *sources)
{
	page->form = sources;
	put_element(page, "<form method=\"post\"><button>", button, NULL, "</button></form>\n");
}

/* ---------------------------------------------------------------------------
 * The pages
 */

void
page_message(Request *request, int status, const Look *look, Text title, Text text)
{
	Page		page;

	if (!begin_page(&page, request, look, title))
		return;
	put_element(&page, "<p>", text, NULL, "</p>\n");
	send_page(&page, status);
}

void
page_confirm(Request *request, const Look *look, Text title, Text text, Text button)
{
	Page		page;

	if (!begin_page(&page, request, look, title))
		return;
	put_element(&page, "<p>", text, NULL, "</p>\n");
	put_form(&page, button, "'self'");
	send_page(&page, HTTP_OK);
}

/* NULL where SQL says so. */
static const char *
cell(const PGresult *result, int row, CartColumn column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

static void
put_money(Page *page, const char *amount, const char *currency)
{
	char		text[160];

	if (amount == NULL || currency == NULL)
		return;
	money_text(text, sizeof(text), page->look->language, amount, currency);
	put(page, "<span class=\"money\">");
	put_html(page, text);
	put(page, "</span>");
}

static void
put_line(Page *page, const PGresult *cart, int row)
{
	const char *image = cell(cart, row, CART_IMAGE_URL);
	const char *url = cell(cart, row, CART_URL);
	const char *variant = cell(cart, row, CART_VARIANT);

	put(page, "<li>");
	if (is_picture_url(image))
	{
		/* The name stands beside it. */
		page->pictures = true;
		put(page, "<img src=\"");
		put_html(page, image);
		put(page, "\" alt=\"\" width=\"64\" height=\"64\" loading=\"lazy\">");
	}
	put(page, "<div>");
	if (is_web_url(url))
	{
		put(page, "<a href=\"");
		put_html(page, url);
		put(page, "\">");
	}
	put_html(page, cell(cart, row, CART_NAME));
	put(page, is_web_url(url) ? "</a>" : "");
	if (variant != NULL && *variant != '\0')
	{
		put(page, "<br><span class=\"soft\">");
		put_html(page, variant);
		put(page, "</span>");
	}
	put_element(page, "<br><span class=\"soft\">", T_QUANTITY, cell(cart, row, CART_QUANTITY), "</span></div>");
	put_money(page, cell(cart, row, CART_LINE_TOTAL), cell(cart, row, CART_CURRENCY));
	put(page, "</li>\n");
}

static bool
has_lines(const PGresult *cart)
{
	return cell(cart, 0, CART_NAME) != NULL;
}

static void
put_lines(Page *page, const PGresult *cart)
{
	int			rows = PQntuples(cart);
	char		more[16];

	put(page, "<ul aria-label=\"");
	put_text(page, T_CART_LIST, NULL);
	put(page, "\">\n");
	for (int row = 0; row < rows && row < LINES_MOST; row++)
		put_line(page, cart, row);
	put(page, "</ul>\n");
	if (rows > LINES_MOST)
	{
		snprintf(more, sizeof(more), "%d", rows - LINES_MOST);
		put_element(page, "<p>", rows - LINES_MOST == 1 ? T_CART_MORE_ONE : T_CART_MORE, more, "</p>\n");
	}
	if (cell(cart, 0, CART_TOTAL) != NULL)
	{
		put_element(page, "<p class=\"total\"><span>", T_TOTAL, NULL, "</span>");
		put_money(page, cell(cart, 0, CART_TOTAL), cell(cart, 0, CART_CURRENCY));
		put(page, "</p>\n");
	}
}

static void
put_reference(Page *page, const PGresult *cart)
{
	if (cell(cart, 0, CART_REFERENCE) != NULL)
		put_element(page, "<p class=\"soft\">", T_REFERENCE, cell(cart, 0, CART_REFERENCE), "</p>\n");
}

/* What the link of a message leads to: a look, and a button. */
void
page_cart(Request *request, const Look *look, const PGresult *cart)
{
	const char *restore_url = cell(cart, 0, CART_RESTORE_URL);
	Page		page;

	if (!begin_page(&page, request, look, T_CART_TITLE))
		return;
	if (has_lines(cart))
	{
		put_element(&page, "<p>", T_CART_INTRO, NULL, "</p>\n");
		put_lines(&page, cart);
		put_form(&page, T_CART_BUTTON, !is_web_url(restore_url) ? "'self'" :
				 is_picture_url(restore_url) ? "'self' https:" : "'self' https: http:");
	}
	else
		put_element(&page, "<p>", T_CART_EMPTY, NULL, "</p>\n");
	put_reference(&page, cart);
	send_page(&page, HTTP_OK);
}

static void
put_note(Page *page, Text title, const char *names)
{
	if (names == NULL || *names == '\0')
		return;
	put_element(page, "<p>", title, NULL, " ");
	put_html(page, names);
	put(page, "</p>\n");
}

/* After the button, where the shop has no page of its own for it. */
void
page_restored(Request *request, const Look *look, const PGresult *cart, const char *removed, const char *changed)
{
	Page		page;

	if (!begin_page(&page, request, look, T_RESTORED_TITLE))
		return;
	put_element(&page, "<p role=\"status\">", T_RESTORED_INTRO, NULL, "</p>\n");
	put_note(&page, T_REMOVED, removed);
	put_note(&page, T_CHANGED, changed);
	if (has_lines(cart))
		put_lines(&page, cart);
	put_reference(&page, cart);
	send_page(&page, HTTP_OK);
}
