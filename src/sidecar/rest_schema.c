/*
 * rest_schema.c
 *		Checks requests against the tables of fields.
 *
 * What does not fit is refused by its name, so that a client sees its typing error
 * instead of a member that has no effect.  What a value means is left to the database.
 *
 * Memory: the parsed body lives as long as the check.  No locks, no threads.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "problem.h"
#include "rest_schema.h"

/* deeper bodies are nobody's cart */
#define BODY_DEEPEST 32

static const RestSchema *const tables[] = {
	order_schemas,
	list_schemas,
	campaign_schemas,
	staff_schemas,
	session_schemas,
	statistics_schemas,
	page_schemas,
	hook_schemas,
};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

#define STATES "pending,payment_pending,payment_failed,abandoned,converted,expired,dismissed,deleted,reversed"

/* Parameters mean the same wherever they stand. */
static const RestField parameters[] = {
	{"shop", TYPE_TEXT, 0, NULL, "Which shop, * for all where a list can have them; without it the role's only shop, or default", "\"default\""},
	{"id", TYPE_UUID, 0, NULL, "The id of an incomplete order", NULL},
	{"order_id", TYPE_UUID, 0, NULL, "The id of a completed order", NULL},
	{"message_id", TYPE_UUID, 0, NULL, "The id of a message", NULL},
	{"session_id", TYPE_TEXT, 0, NULL, "The visitor's session", NULL},
	{"token", TYPE_TEXT, 0, NULL, "The token of a recovery link", NULL},
	{"key", TYPE_TEXT, 0, NULL, "The publishable key of the shop, which pages of another origin say here", NULL},
	{"campaign", TYPE_TEXT, 0, NULL, "A campaign: cart, payment or partial", NULL},
	{"step", TYPE_INTEGER, 0, NULL, "A step of a campaign, from 1", NULL},
	{"variant", TYPE_TEXT, 0, NULL, "A variant of a step", NULL},
	{"template", TYPE_TEXT, 0, NULL, "The name of a text", NULL},
	{"locale", TYPE_TEXT, 0, NULL, "A language tag", "\"en\""},
	{"status", TYPE_WORDS, 0, STATES, "Only these states, with commas between them", "\"abandoned,pending\""},
	{"recovery-emails:status", TYPE_WORDS, 0, "queued,sending,sent,cancelled,dead", "Only messages in these states, with commas between them", NULL},
	{"recipient", TYPE_TEXT, 0, NULL, "Only messages to this address, of orders that have it", NULL},
	{"webhook-deliveries:status", TYPE_TEXT, 0, NULL, "Only deliveries in this state", NULL},
	{"webhook", TYPE_TEXT, 0, NULL, "The name of a webhook", "\"crm\""},
	{"name", TYPE_TEXT, 0, NULL, "The name of an attachment", "\"main\""},
	{"preset", TYPE_TEXT, 0, NULL, "A shop that is known", "\"vendure\""},
	{"delivery_id", TYPE_UUID, 0, NULL, "The id of a delivery", NULL},
	{"kind", TYPE_WORD, 0, "cart,payment,partial", "Only incomplete orders of this kind", NULL},
	{"is_guest_order", TYPE_BOOLEAN, 0, NULL, "Only those of guests, or of customers", NULL},
	{"recovery_attempts", TYPE_INTEGER, 0, NULL, "Only those with so many recovery attempts", NULL},
	{"start_date", TYPE_INSTANT, 0, NULL, "From this instant, or the beginning of this day, on", "\"2026-01-01\""},
	{"end_date", TYPE_INSTANT, 0, NULL, "Until before this instant, or the end of this day", "\"2026-01-31\""},
	{"expired", TYPE_BOOLEAN, 0, NULL, "Only those whose time is over, or not", NULL},
	{"abandoned_start", TYPE_INSTANT, 0, NULL, "Only those abandoned from this instant, or the beginning of this day, on", NULL},
	{"abandoned_end", TYPE_INSTANT, 0, NULL, "Only those abandoned before this instant, or the end of this day", NULL},
	{"expires_start", TYPE_INSTANT, 0, NULL, "Only those that expire from this instant, or the beginning of this day, on", NULL},
	{"expires_end", TYPE_INSTANT, 0, NULL, "Only those that expire before this instant, or the end of this day", NULL},
	{"can_convert", TYPE_BOOLEAN, 0, NULL, "Only those that are open, not past their time and not empty, or the others", NULL},
	{"total_min", TYPE_NUMBER, 0, NULL, "Only those with this total or more", "50"},
	{"total_max", TYPE_NUMBER, 0, NULL, "Only those with this total or less", NULL},
	{"currency", TYPE_TEXT, 0, NULL, "Only those in this currency", "\"EUR\""},
	{"furthest_step", TYPE_WORD, 0, "cart,contact,shipping,payment,review", "Only those whose customer came so far", NULL},
	{"device", TYPE_TEXT, 0, NULL, "Only those from this device, as context.device says", NULL},
	{"source", TYPE_TEXT, 0, NULL, "Only those from this source, as context.source says", NULL},
	{"contactable", TYPE_BOOLEAN, 0, NULL, "Only those with an e-mail or a phone, or without", NULL},
	{"outcome", TYPE_WORD, 0, "recovered,assisted,unaided", "Only abandoned orders that were paid, in that way", NULL},
	{"search", TYPE_TEXT, 0, NULL, "E-mail (its beginning with a * behind it), phone, customer, session, reference, id or order number", NULL},
	{"ordering", TYPE_WORD, 0, "created_at,-created_at,updated_at,-updated_at,total_amount,-total_amount,recovery_attempts,-recovery_attempts",
	"By what it is sorted, with - the greatest first. By anything but created_at only where at most 10000 orders are left", "\"-created_at\""},
	{"page_size", TYPE_INTEGER, 0, NULL, "How many results, at most 100", "20"},
	{"cursor", TYPE_TEXT, 0, NULL, "Where the page begins: from next", NULL},
	{"incomplete_order", TYPE_UUID, 0, NULL, "Only those of this incomplete order", NULL},
	{"product", TYPE_TEXT, 0, NULL, "Only lines with this sku", NULL},
	{"action", TYPE_TEXT, 0, NULL, "Only these events, with commas between them", "\"created,abandoned\""},
	{"email_type", TYPE_WORD, 0, "abandoned_cart,payment_reminder,final_reminder,discount_offer", "Only messages of this type", NULL},
	{"email", TYPE_TEXT, 0, NULL, "Only of this address", NULL},
	{"customer_id", TYPE_TEXT, 0, NULL, "Only of this customer", NULL},
	{"reason", TYPE_TEXT, 0, NULL, "Why, for the history", NULL},
	{"at", TYPE_INSTANT, 0, NULL, "As of this instant", NULL},
	{"not_older_than", TYPE_SPAN, 0, NULL, "As if the campaign were turned on for carts that were left at most so long ago", "\"1 day\""},
	{"state", TYPE_WORD, 0, "open,used,expired", "Only those in this state", NULL},
	{NULL}
};

const RestSchema *
schema_named(const char *name)
{
	size_t		length = name != NULL ? strcspn(name, "*+") : 0;

	for (size_t i = 0; i < TABLES; i++)
	{
		for (const RestSchema *schema = tables[i]; schema->name != NULL; schema++)
		{
			if (strlen(schema->name) == length && strncmp(schema->name, name, length) == 0)
				return schema;
		}
	}
	return NULL;
}

void
schema_each(void (*use) (void *arg, const RestSchema *schema), void *arg)
{
	for (size_t i = 0; i < TABLES; i++)
	{
		for (const RestSchema *schema = tables[i]; schema->name != NULL; schema++)
			use(arg, schema);
	}
}

static const RestField *
field_named(const RestField *fields, const char *name)
{
	for (; fields->name != NULL; fields++)
	{
		if (strcmp(fields->name, name) == 0)
			return fields;
	}
	return NULL;
}

/* Below some paths a name has a meaning of its own: "path:name". */
const RestField *
schema_parameter(const RestRoute *route, const char *name)
{
	char		own[80];
	const RestField *field;

	snprintf(own, sizeof(own), "%.*s:%s", (int) strcspn(route->pattern, "/"), route->pattern, name);
	field = field_named(parameters, own);
	return field != NULL ? field : field_named(parameters, name);
}

/* ---------------------------------------------------------------------------
 * Values
 */

static bool
is_integer(const char *text)
{
	size_t		digits = strspn(text + (*text == '-'), "0123456789");

	return digits > 0 && digits <= 10 && text[(*text == '-') + digits] == '\0';
}

/* As in JSON, so that it is exact and neither NaN nor hexadecimal. */
static bool
is_number(const char *text)
{
	size_t		n = *text == '-';
	size_t		digits = strspn(text + n, "0123456789");

	n += digits;
	if (digits > 0 && text[n] == '.')
	{
		digits = strspn(text + n + 1, "0123456789");
		n += 1 + digits;
	}
	return digits > 0 && n <= 40 && text[n] == '\0';
}

static bool
is_uuid(const char *text)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(text) != strlen(form))
		return false;
	for (size_t i = 0; form[i] != '\0'; i++)
	{
		if (form[i] == '-' ? text[i] != '-' : strchr("0123456789abcdefABCDEF", text[i]) == NULL)
			return false;
	}
	return true;
}

/* "2026-01-31", and behind it maybe a time and a zone; which days there are the database knows. */
static bool
is_instant(const char *text, bool only_date)
{
	static const char form[] = "dddd-dd-dd";

	for (size_t i = 0; form[i] != '\0'; i++)
	{
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	}
	text += strlen(form);
	if (*text == '\0' || only_date)
		return *text == '\0';
	return (*text == 'T' || *text == 't' || *text == ' ') && strspn(text + 1, "0123456789:.+-Zz") == strlen(text + 1) && strlen(text) <= 40;
}

static bool
is_word(const char *words, const char *word, size_t length)
{
	while (*words != '\0')
	{
		size_t		part = strcspn(words, ",");

		if (part == length && strncmp(words, word, length) == 0)
			return true;
		words += part + (words[part] == ',');
	}
	return false;
}

static bool
are_words(const char *words, const char *text)
{
	do
	{
		size_t		part = strcspn(text, ",");

		if (!is_word(words, text, part))
			return false;
		text += part + (text[part] == ',');
	} while (*text != '\0');
	return true;
}

/* Is that text a value of the field's type? */
static bool
text_fits(const RestField *field, const char *text)
{
	switch (field->type)
	{
		case TYPE_INTEGER:
			return is_integer(text);
		case TYPE_NUMBER:
			return is_number(text);
		case TYPE_BOOLEAN:
			return is_word("true,false,1,0,True,False", text, strlen(text));
		case TYPE_DATE:
			return is_instant(text, true);
		case TYPE_INSTANT:
			return is_instant(text, false);
		case TYPE_UUID:
			return is_uuid(text);
		case TYPE_WORD:
			return is_word(field->words, text, strlen(text));
		case TYPE_WORDS:
			return are_words(field->words, text);
		default:
			return true;
	}
}

static bool
texts_fit(const json_t *list, bool uuids)
{
	size_t		i;
	json_t	   *value;

	if (!json_is_array(list))
		return false;
	json_array_foreach(list, i, value)
	{
		if (!json_is_string(value) || (uuids && !is_uuid(json_string_value(value))))
			return false;
	}
	return true;
}

static bool
value_fits(const RestField *field, const json_t *value)
{
	switch (field->type)
	{
		case TYPE_INTEGER:
			return json_is_integer(value);
		case TYPE_NUMBER:
			return json_is_number(value) || (json_is_string(value) && is_number(json_string_value(value)));
		case TYPE_BOOLEAN:
			return json_is_boolean(value);
		case TYPE_ANY:
			return true;
		case TYPE_OBJECT:
			return json_is_object(value);
		case TYPE_LIST:
			return json_is_array(value);
		case TYPE_TEXTS:
		case TYPE_UUIDS:
			return texts_fit(value, field->type == TYPE_UUIDS);
		default:
			return json_is_string(value) && text_fits(field, json_string_value(value));
	}
}

static const char *
type_in_words(const RestField *field)
{
	switch (field->type)
	{
		case TYPE_INTEGER:
			return "an integer";
		case TYPE_NUMBER:
			return "a number, or text that holds one";
		case TYPE_BOOLEAN:
			return "true or false";
		case TYPE_DATE:
			return "a date, as 2026-01-31";
		case TYPE_INSTANT:
			return "an instant, as 2026-01-31T12:00:00Z, or a date";
		case TYPE_SPAN:
			return "a length of time, as text: \"2 hours\"";
		case TYPE_UUID:
			return "an id, as text";
		case TYPE_OBJECT:
			return "an object";
		case TYPE_LIST:
			return "a list";
		case TYPE_TEXTS:
			return "a list of texts";
		case TYPE_UUIDS:
			return "a list of ids";
		case TYPE_WORD:
		case TYPE_WORDS:
			return field->words;
		default:
			return "text";
	}
}

/* ---------------------------------------------------------------------------
 * The check
 */

/* Answers: what is wrong with a part of the request.  Always false. */
static bool
refuse_part(RestCall *call, const char *part, const char *name, const char *what)
{
	char		detail[400];

	snprintf(detail, sizeof(detail), "%s \"%.100s\" %s.", part, name, what);
	problem_refuse(call->request, HTTP_BAD_REQUEST, detail);
	return false;
}

static bool
refuse_value(RestCall *call, const char *part, const char *name, const RestField *field)
{
	char		what[300];

	snprintf(what, sizeof(what), field->type == TYPE_WORD || field->type == TYPE_WORDS ? "must be one of %s" : "must be %s", type_in_words(field));
	return refuse_part(call, part, name, what);
}

static bool
check_parameters(RestCall *call)
{
	const char *name;
	json_t	   *value;

	json_object_foreach(call->path, name, value)
	{
		const RestField *field = schema_parameter(call->route, name);

		/* There is nothing of a name that cannot be. */
		if (field != NULL && !text_fits(field, json_string_value(value)))
		{
			problem_refuse(call->request, HTTP_NOT_FOUND, "There is nothing of that name, or it is not yours to see.");
			return false;
		}
	}
	json_object_foreach(call->query, name, value)
	{
		const RestField *field = schema_parameter(call->route, name);

		if (field == NULL)
			continue;
		if (!text_fits(field, json_string_value(value)))
			return refuse_value(call, "The parameter", name, field);
		if (strcmp(name, "page_size") == 0 && (atoi(json_string_value(value)) < 1 || atoi(json_string_value(value)) > 100))
			return refuse_part(call, "The parameter", name, "must be from 1 to 100");
	}
	return true;
}

static bool
check_members(RestCall *call, const RestSchema *schema, json_t *body)
{
	const char *name;
	json_t	   *value;

	json_object_foreach(body, name, value)
	{
		const RestField *field = field_named(schema->fields, name);

		if (field == NULL && !(schema->flags & SCHEMA_OPEN))
			return refuse_part(call, "The member", name, "is not known here");
		if (field != NULL && !json_is_null(value) && !value_fits(field, value))
			return refuse_value(call, "The member", name, field);
	}
	for (const RestField *field = schema->fields; field->name != NULL; field++)
	{
		value = json_object_get(body, field->name);
		if ((field->flags & FIELD_NEEDED) && (value == NULL || json_is_null(value)))
			return refuse_part(call, "The member", field->name, "must be there");
	}
	return true;
}

static bool
is_deep(const char *text, size_t length)
{
	int			depth = 0;
	bool		quoted = false;

	for (size_t i = 0; i < length; i++)
	{
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == '{' || text[i] == '[') && ++depth > BODY_DEEPEST)
			return true;
		else if (!quoted && (text[i] == '}' || text[i] == ']'))
			depth--;
	}
	return false;
}

static bool
check_body(RestCall *call, const RestSchema *schema)
{
	Request    *request = call->request;
	json_t	   *body = NULL;
	bool		good;

	if (is_deep(request->body, request->body_length))
		problem_refuse(request, HTTP_BAD_REQUEST, "The body is nested too deeply.");
	else
	{
		/* numbers stay as they are for the database; here only their type counts */
		body = json_loadb(request->body, request->body_length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
		if (body == NULL)
			problem_refuse(request, HTTP_BAD_REQUEST, "The body is not JSON, or a member comes twice.");
		else if (!json_is_object(body))
			problem_refuse(request, HTTP_BAD_REQUEST, "The body must be an object.");
	}
	good = json_is_object(body) && check_members(call, schema, body);
	json_decref(body);
	return good;
}

bool
schema_check(RestCall *call)
{
	const RestRoute *route = call->route;
	const RestSchema *schema = schema_named(route->body);

	if (!check_parameters(call))
		return false;
	/* a page's cart is not lost because of a member beside it */
	if (schema == NULL || route->access == REST_PAGE || (route->flags & REST_ANY_BODY) || call->request->body_length == 0)
		return true;
	return check_body(call, schema);
}
