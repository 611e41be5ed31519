/*
 * rest_schema.h
 *		What bodies, answers and parameters of the REST API are made of.
 *
 * One table of fields for each object.  Bodies are checked against theirs before the
 * database sees them; the OpenAPI document shows them all.
 */
#ifndef ICO_REST_SCHEMA_H
#define ICO_REST_SCHEMA_H

#include "rest.h"

typedef enum RestType
{
	TYPE_TEXT,
	TYPE_INTEGER,
	TYPE_NUMBER,				/* in a body also as text, which keeps every digit */
	TYPE_BOOLEAN,
	TYPE_DATE,
	TYPE_INSTANT,				/* date-time */
	TYPE_SPAN,					/* an interval, as text */
	TYPE_UUID,
	TYPE_WORD,					/* one of `words` */
	TYPE_OBJECT,				/* of the schema in `words`, or of anything */
	TYPE_LIST,					/* of objects of the schema in `words`, or of anything */
	TYPE_TEXTS,
	TYPE_UUIDS,
	TYPE_ANY,
	TYPE_WORDS,					/* several of `words`, with commas between them; in an answer a list */
} RestType;

#define FIELD_NEEDED 0x01		/* it must be there, and not be null */
#define FIELD_CLEARS 0x02		/* null means: make it empty; else null is the same as nothing */

typedef struct RestField
{
	const char *name;			/* NULL ends a table */
	RestType	type;
	unsigned	flags;
	const char *words;			/* "a,b,c", or the name of a schema */
	const char *meaning;		/* or NULL */
	const char *example;		/* JSON, or NULL */
} RestField;

#define SCHEMA_OPEN 0x01		/* other members are taken, too */

typedef struct RestSchema
{
	const char *name;			/* NULL ends a table */
	const RestField *fields;
	unsigned	flags;
	const char *meaning;
} RestSchema;

extern const RestSchema order_schemas[];
extern const RestSchema list_schemas[];
extern const RestSchema campaign_schemas[];
extern const RestSchema staff_schemas[];
extern const RestSchema session_schemas[];
extern const RestSchema statistics_schemas[];
extern const RestSchema page_schemas[];
extern const RestSchema hook_schemas[];

extern const RestSchema *schema_named(const char *name);
extern void schema_each(void (*use) (void *arg, const RestSchema *schema), void *arg);
/* a parameter of a query or a path, by its name there; NULL: nothing is known of it */
extern const RestField *schema_parameter(const RestRoute *route, const char *name);
/* answers itself and says false where the request does not fit its route */
extern bool schema_check(RestCall *call);

#endif							/* ICO_REST_SCHEMA_H */
