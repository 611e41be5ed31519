/*
 * template.h
 *		The texts of recovery messages: their variables, and which language.
 *
 * The fields of a text are mustache templates.  What they may name is the one
 * list here: the checker asks it, template_variables() shows it, and the tests
 * hold the renderer of the program beside the server against it.
 */
#ifndef ICO_TEMPLATE_H
#define ICO_TEMPLATE_H

#include "fmgr.h"

/* how a variable may be used */
typedef enum IcoVariableKind
{
	ICO_VARIABLE_TEXT,			/* {{x}}, always something */
	ICO_VARIABLE_OPTIONAL,		/* {{x}}, may be empty: also {{#x}}...{{/x}} */
	ICO_VARIABLE_LIST,			/* {{#x}}...{{/x}} alone */
	ICO_VARIABLE_CONDITION		/* the same */
} IcoVariableKind;

/* V(name, inside of which list or "", kind, meaning, example) */
#define ICO_TEMPLATE_VARIABLES(V) \
	V("customer_name", "", OPTIONAL, "The customer's name; empty where it is not known or reads like a link or a message", "Jane Doe") \
	V("shop_name", "", TEXT, "The shop's name", "Harbour Books") \
	V("items", "", LIST, "What is left to buy: a section that is repeated for each line, for twenty at most", "{{#items}}{{quantity}} x {{name}}, {{/items}}") \
	V("total_items", "", TEXT, "How many pieces that are", "3") \
	V("item_count", "", TEXT, "The same as total_items", "3") \
	V("total_amount", "", TEXT, "What it costs, without the currency, written as in German in a German text, else as in English", "59.70") \
	V("currency", "", TEXT, "The currency's code", "EUR") \
	V("reference", "", TEXT, "The order's reference", "INC-0123456789") \
	V("recovery_url", "", TEXT, "Where the cart is restored, or the order paid; the button leads there, too", "https://shop.example/r/AbCd") \
	V("days_until_expiry", "", OPTIONAL, "How many whole days the order is kept; empty on the last one", "27") \
	V("discount_offer", "", OPTIONAL, "The discount that comes with this message; empty where there is none", "SAVE10: -10 %") \
	V("one_item", "", CONDITION, "Is it one piece? For the singular", "{{#one_item}}item{{/one_item}}{{^one_item}}items{{/one_item}}") \
	V("one_day", "", CONDITION, "Is it kept for one day? For the singular", "{{#one_day}}day{{/one_day}}{{^one_day}}days{{/one_day}}") \
	V("name", "items", TEXT, "The article", "Blue shirt") \
	V("variant", "items", OPTIONAL, "Which one of them: its size, its colour", "M") \
	V("quantity", "items", TEXT, "How many", "2") \
	V("unit_price", "items", TEXT, "What one costs, without the currency", "19.90") \
	V("line_total", "items", TEXT, "What all of this line cost", "39.80") \
	V("image_url", "items", OPTIONAL, "Its picture", "https://shop.example/shirt.png") \
	V("link", "items", TEXT, "Its page in the shop, through a link that is counted", "https://shop.example/c/AbCd/1")

/* The longest tag of a language that is kept. */
#define ICO_LOCALE_CHARS 35

/*
 * How well a text in one language is for a reader of another, in SQL: zh-Hans-CN
 * reads zh-Hans-CN, else zh-Hans, else zh; null: not at all.
 */
#define ICO_LOCALE_FIT(has, wanted) \
	"CASE WHEN pg_catalog.starts_with(" wanted CONCAT "'-', " has CONCAT "'-') THEN pg_catalog.length(" has ") END"

/*
 * "de_at.UTF-8" as "de-AT"; NULL when it cannot be the tag of a language.
 */
extern text *ico_locale_tag(const text *captured);

#endif							/* ICO_TEMPLATE_H */
