/*
 * rest_openapi.c
 *		The OpenAPI 3.1 document, made from the tables of routes and schemas.
 *
 * Made once, when it is first asked for, and kept until the program ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "problem.h"
#include "rest_schema.h"

#define JSON_TYPE "application/json"
#define PROBLEM_TYPE "application/problem+json"

static char *document;

/* ---------------------------------------------------------------------------
 * Schemas
 */

static json_t *
reference(const char *name, size_t length)
{
	return json_pack("{so}", "$ref", json_sprintf("#/components/schemas/%.*s", (int) length, name));
}

/* "a,b,c" as a list */
static json_t *
words(const char *list, bool with_null)
{
	json_t	   *values = json_array();

	while (*list != '\0')
	{
		size_t		length = strcspn(list, ",");

		(void) json_array_append_new(values, json_stringn(list, length));
		list += length + (list[length] == ',');
	}
	if (with_null)
		(void) json_array_append_new(values, json_null());
	return values;
}

/* {"type": t}, or {"type": [t, "null"]} */
static json_t *
typed(const char *type, bool nullable)
{
	if (nullable)
		return json_pack("{s[ss]}", "type", type, "null");
	return json_pack("{ss}", "type", type);
}

static json_t *
with_format(json_t *schema, const char *format)
{
	(void) json_object_set_new(schema, "format", json_string(format));
	return schema;
}

static json_t *
list_of(json_t *items, bool nullable)
{
	json_t	   *schema = typed("array", nullable);

	(void) json_object_set_new(schema, "items", items);
	return schema;
}

static json_t *
chosen(const char *list, bool nullable)
{
	json_t	   *schema = typed("string", nullable);

	(void) json_object_set_new(schema, "enum", words(list, nullable));
	return schema;
}

static json_t *
named(const RestField *field)
{
	return field->words != NULL ? reference(field->words, strlen(field->words)) : json_object();
}

static json_t *
type_of(const RestField *field, bool nullable)
{
	switch (field->type)
	{
		case TYPE_ANY:
			return json_object();
		case TYPE_INTEGER:
			return typed("integer", nullable);
		case TYPE_NUMBER:
			return nullable ? json_pack("{s[sss]}", "type", "number", "string", "null") : json_pack("{s[ss]}", "type", "number", "string");
		case TYPE_BOOLEAN:
			return typed("boolean", nullable);
		case TYPE_DATE:
			return with_format(typed("string", nullable), "date");
		case TYPE_INSTANT:
			return with_format(typed("string", nullable), "date-time");
		case TYPE_UUID:
			return with_format(typed("string", nullable), "uuid");
		case TYPE_WORD:
			return chosen(field->words, nullable);
		case TYPE_WORDS:
			return list_of(chosen(field->words, false), nullable);
		case TYPE_TEXTS:
			return list_of(typed("string", false), nullable);
		case TYPE_UUIDS:
			return list_of(with_format(typed("string", false), "uuid"), nullable);
		case TYPE_OBJECT:
			return field->words != NULL ? named(field) : typed("object", nullable);
		case TYPE_LIST:
			return list_of(named(field), nullable);
		default:
			return typed("string", nullable);
	}
}

static void
put_meaning(json_t *object, const char *meaning)
{
	if (meaning != NULL)
		(void) json_object_set_new(object, "description", json_string(meaning));
}

static json_t *
example_of(const RestField *field)
{
	return field->example != NULL ? json_loads(field->example, JSON_DECODE_ANY, NULL) : NULL;
}

static void
put_schema(void *arg, const RestSchema *schema)
{
	json_t	   *properties = json_object();
	json_t	   *needed = json_array();
	json_t	   *example = json_object();
	bool		whole = true;	/* the example has all that is needed */
	json_t	   *object = json_pack("{ssso}", "type", "object", "properties", properties);

	for (const RestField *field = schema->fields; field->name != NULL; field++)
	{
		json_t	   *property = type_of(field, !(field->flags & FIELD_NEEDED));
		json_t	   *value = example_of(field);

		put_meaning(property, field->meaning);
		(void) json_object_set_new(properties, field->name, property);
		if (field->flags & FIELD_NEEDED)
			(void) json_array_append_new(needed, json_string(field->name));
		if (value != NULL)
			(void) json_object_set_new(example, field->name, value);
		else if (field->flags & FIELD_NEEDED)
			whole = false;
	}
	put_meaning(object, schema->meaning);
	if (json_array_size(needed) > 0)
		(void) json_object_set(object, "required", needed);
	if (whole && json_object_size(example) > 0)
		(void) json_object_set_new(object, "examples", json_pack("[O]", example));
	/* What is not listed is refused in a body; so no answer has it either. */
	if (!(schema->flags & SCHEMA_OPEN))
		(void) json_object_set_new(object, "additionalProperties", json_false());
	json_decref(needed);
	json_decref(example);
	(void) json_object_set_new(arg, schema->name, object);
}

static json_t *
problem_schema(void)
{
	return json_pack("{ss ss s[ss] s{s{ss} s{ss} s{ss} s{ss} s{ssss} s{ss} s{ssss}}}",
					 "description", "A problem document (RFC 9457)", "type", "object", "required", "title", "status",
					 "properties", "type", "type", "string", "title", "type", "string", "status", "type", "integer", "detail", "type", "string",
					 "code", "type", "string", "description", "The SQLSTATE of what the database said", "hint", "type", "string",
					 "field", "type", "string", "description", "Which member of the body is wrong");
}

/* ---------------------------------------------------------------------------
 * Operations
 */

static json_t *
parameter(const RestRoute *route, const char *name, size_t length, const char *place, bool needed)
{
	char		key[64];
	const RestField *field;
	json_t	   *object;
	json_t	   *example = NULL;

	snprintf(key, sizeof(key), "%.*s", (int) length, name);
	field = schema_parameter(route, key);
	object = json_pack("{ssss}", "name", key, "in", place);
	if (needed)
		(void) json_object_set_new(object, "required", json_true());
	if (field != NULL)
	{
		/* A date will do for an instant. */
		(void) json_object_set_new(object, "schema", field->type == TYPE_INSTANT ? typed("string", false) : type_of(field, false));
		put_meaning(object, field->meaning);
		example = field->type == TYPE_WORDS ? NULL : example_of(field);
		if (field->type == TYPE_WORDS)
			(void) json_object_set_new(object, "explode", json_false());
	}
	else
		(void) json_object_set_new(object, "schema", typed("string", false));
	if (example != NULL)
		(void) json_object_set_new(object, "example", example);
	return object;
}

static void
put_query(json_t *list, const RestRoute *route, const char *names)
{
	while (names != NULL && *names != '\0')
	{
		size_t		length = strcspn(names, ",");

		(void) json_array_append_new(list, parameter(route, names, length, "query", false));
		names += length + (names[length] == ',');
	}
}

static json_t *
parameters_of(const RestRoute *route)
{
	json_t	   *list = json_array();

	for (const char *at = strchr(route->pattern, '{'); at != NULL; at = strchr(at + 1, '{'))
		(void) json_array_append_new(list, parameter(route, at + 1, strcspn(at + 1, "}"), "path", true));
	put_query(list, route, route->query);
	if (route->access == REST_STAFF)
		put_query(list, route, "shop");
	if (route->access == REST_PAGE && !(route->flags & REST_NO_SESSION))
		(void) json_array_append_new(list, json_pack("{ss ss s{sssisi} ss}", "name", "X-Session-Id", "in", "header", "schema", "type", "string",
													 "minLength", 16, "maxLength", 128, "description", "The visitor's session, which nobody can guess; a body may say it instead"));
	if (route->access == REST_STAFF && (route->flags & REST_WRITES) && strcmp(route->method, "POST") == 0)
		(void) json_array_append_new(list, json_pack("{ss ss s{sssi} ss}", "name", "Idempotency-Key", "in", "header", "schema", "type", "string", "maxLength", 255,
													 "description", "The same key does the same thing once, where the operation knows keys"));
	if (strcmp(route->method, "PATCH") == 0)
		(void) json_array_append_new(list, json_pack("{ss ss s{ss} ss}", "name", "If-Match", "in", "header", "schema", "type", "string",
													 "description", "The version that was read"));
	return list;
}

/* "Order", "Order*" for {"results": [...]}, "Order+" for a page */
static json_t *
answer_schema(const char *answer)
{
	size_t		length = strcspn(answer, "*+");
	json_t	   *schema;

	if (schema_named(answer) == NULL)
		return json_object();
	if (answer[length] == '\0')
		return reference(answer, length);
	schema = json_pack("{ss s[s] s{s{ss so}}}", "type", "object", "required", "results", "properties", "results", "type", "array",
					   "items", reference(answer, length));
	if (answer[length] == '+')
	{
		json_t	   *properties = json_object_get(schema, "properties");

		(void) json_object_set_new(properties, "count", json_pack("{ss ss}", "type", "integer", "description", "How many there are, at least"));
		(void) json_object_set_new(properties, "count_capped", json_pack("{ss ss}", "type", "boolean", "description", "There may be more than count"));
		(void) json_object_set_new(properties, "next", json_pack("{s[ss] ss}", "type", "string", "null", "description", "The URL of the page behind this one"));
		(void) json_object_set_new(properties, "previous", json_pack("{s[ss]}", "type", "string", "null"));
		(void) json_object_set_new(schema, "required", json_pack("[sssss]", "count", "count_capped", "next", "previous", "results"));
	}
	return schema;
}

static json_t *
content(const char *type, json_t *schema)
{
	size_t		length = strcspn(type, ";");

	return json_pack("{so}", "content", json_pack("{s%o}", type, length, json_pack("{so}", "schema", schema)));
}

static json_t *
responses_of(const RestRoute *route)
{
	json_t	   *good;

	if (route->flags & REST_STREAM)
		good = content(route->type != NULL ? route->type : JSON_TYPE, typed("string", false));
	else if (route->answer != NULL)
		good = content(JSON_TYPE, answer_schema(route->answer));
	else
		good = json_object();
	(void) json_object_set_new(good, "description", json_string("It is done"));
	return json_pack("{so so so}", "2XX", good, "4XX", json_pack("{ss}", "$ref", "#/components/responses/Problem"),
					 "5XX", json_pack("{ss}", "$ref", "#/components/responses/Problem"));
}

static json_t *
body_of(const RestRoute *route)
{
	const RestSchema *schema = schema_named(route->body);
	json_t	   *body;
	json_t	   *types;

	if (!(route->flags & (REST_BODY | REST_MAY_BODY | REST_ANY_BODY)))
		return NULL;
	body = content(JSON_TYPE, schema != NULL ? reference(schema->name, strlen(schema->name)) : json_object());
	types = json_object_get(body, "content");
	if (route->flags & (REST_TEXT | REST_ANY_BODY))
		(void) json_object_set(types, "text/plain", json_object_get(types, JSON_TYPE));
	if (route->flags & REST_BODY)
		(void) json_object_set_new(body, "required", json_true());
	return body;
}

/* The part of the API that it belongs to: the first word of its path. */
static json_t *
tag_of(const RestRoute *route)
{
	return json_pack("[o]", json_stringn(route->pattern, strcspn(route->pattern, "/")));
}

static bool
put_operation(void *arg, const RestRoute *route)
{
	json_t	   *paths = arg;
	char		path[200];
	char		method[16];
	json_t	   *item;
	json_t	   *operation = json_pack("{ss ss so so so}", "operationId", route->name, "summary", route->summary, "tags", tag_of(route),
									  "parameters", parameters_of(route), "responses", responses_of(route));
	json_t	   *body = body_of(route);

	if (body != NULL)
		(void) json_object_set_new(operation, "requestBody", body);
	if (route->access == REST_STAFF && (route->flags & REST_WRITES))
		(void) json_object_set_new(operation, "security", json_pack("[{s[]}, {s[] s[]}]", "role", "session", "csrf_token"));
	else if (route->access == REST_STAFF)
		(void) json_object_set_new(operation, "security", json_pack("[{s[]}, {s[]}]", "role", "session"));
	else if ((route->flags & REST_SESSION) && strcmp(route->method, "GET") == 0)
		(void) json_object_set_new(operation, "security", json_pack("[{s[]}]", "session"));
	else if ((route->flags & REST_SESSION) && strcmp(route->method, "DELETE") == 0)
		(void) json_object_set_new(operation, "security", json_pack("[{s[] s[]}]", "session", "csrf_token"));
	else if (route->access == REST_PAGE)
		(void) json_object_set_new(operation, "security", json_pack("[{s[]}, {s[]}]", "key", "key_in_query"));
	snprintf(path, sizeof(path), "/%s", route->pattern);
	for (size_t i = 0; i < sizeof(method); i++)
	{
		method[i] = (char) (route->method[i] >= 'A' && route->method[i] <= 'Z' ? route->method[i] + ('a' - 'A') : route->method[i]);
		if (route->method[i] == '\0')
			break;
	}
	item = json_object_get(paths, path);
	if (item == NULL)
	{
		item = json_object();
		(void) json_object_set_new(paths, path, item);
	}
	(void) json_object_set_new(item, method, operation);
	return true;
}

static json_t *
make_document(const char *prefix)
{
	json_t	   *paths = json_object();
	json_t	   *schemas = json_object();
	size_t		root = strlen(REST_ROOT) - 1;

	(void) rest_each_route(put_operation, paths);
	schema_each(put_schema, schemas);
	(void) json_object_set_new(schemas, "Problem", problem_schema());
	return json_pack("{ss s{ss ss ss} s[{so}] so s{so s{so} s{s{ssssss} s{ssssssss} s{ssssssss} s{ssssss} s{ssssss}}}}",
					 "openapi", "3.1.0",
					 "info", "title", "Incomplete orders", "version", ICO_VERSION,
					 "description", "Carts that became no order: their life, the messages that recover them, and what came of it. Money is a number with all its digits.",
					 "servers", "url", json_sprintf("%s%.*s", prefix, (int) root, REST_ROOT),
					 "paths", paths,
					 "components", "schemas", schemas,
					 "responses", "Problem", json_pack("{ss so}", "description", "Why not", "content",
													   json_pack("{s{s{ss}}}", PROBLEM_TYPE, "schema", "$ref", "#/components/schemas/Problem")),
					 "securitySchemes",
					 "role", "type", "http", "scheme", "basic", "description", "A role of the database and its password",
					 "session", "type", "apiKey", "in", "cookie", "name", "incomplete_orders_session", "description", "What POST session/ sets, for the admin's pages",
					 "csrf_token", "type", "apiKey", "in", "header", "name", "X-CSRF-Token", "description", "That of the session; Origin must be this address, too",
					 "key", "type", "apiKey", "in", "header", "name", "X-Publishable-Key",
					 "key_in_query", "type", "apiKey", "in", "query", "name", "key");
}

static void
send_document(RestCall *call)
{
	if (document == NULL)
	{
		json_t	   *made = make_document(call->rest->prefix);

		document = made != NULL ? json_dumps(made, JSON_COMPACT) : NULL;
		json_decref(made);
	}
	if (document == NULL)
		problem_refuse(call->request, HTTP_INTERNAL_ERROR, "The document could not be made.");
	else
		http_answer(call->request, &(Answer) {.status = HTTP_OK,.type = JSON_TYPE,.body = strdup(document),.length = strlen(document)});
}

const RestRoute document_routes[] = {
	{"GET", "openapi.json", "openapi", REST_OPEN, 0, NULL, NULL, "This document", NULL, NULL, NULL, NULL, send_document},
	{NULL}
};
