/*
 * template.c
 *		Which texts of recovery messages can be saved: a checker for mustache.
 *
 * It reads a template as the renderer does (src/sidecar/render.cc), but is
 * stricter: what it lets pass can be rendered, and names nothing that is not
 * there.  The renderer shows nothing for a variable that it does not know; a
 * customer would be greeted by a gap.
 *
 * Positions are counted in characters, from 1.  Memory: the caller's context.
 * No locks.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "compat.h"
#include "rights.h"
#include "template.h"
#include "tenant.h"

PG_FUNCTION_INFO_V1(ico_template_variables);
PG_FUNCTION_INFO_V1(ico_check_template);
PG_FUNCTION_INFO_V1(ico_locale_tag_sql);

/* sections inside of each other; the renderer allows as many */
#define MAX_DEPTH 8
/* characters of a field that is one line, and of one that has lines */
#define MAX_LINE 500
#define MAX_TEXT 10000

typedef struct Variable
{
	const char *name;
	const char *inside;
	IcoVariableKind kind;
	const char *meaning;
	const char *example;
} Variable;

#define VARIABLE_ROW(name, inside, kind, meaning, example) {name, inside, ICO_VARIABLE_##kind, meaning, example},
static const Variable variables[] = {
	ICO_TEMPLATE_VARIABLES(VARIABLE_ROW)
};

static const char *const kind_names[] = {"text", "text, may be empty", "list", "condition"};

/* The fields of a text: may it have lines, may it be empty? */
static const struct
{
	const char *name;
	bool		lines;
	bool		optional;
}			fields[] = {
	{"subject", false, false},
	{"preheader", false, true},
	{"headline", false, false},
	{"body", true, false},
	{"button", false, false},
	{"footer", true, true},
};

typedef struct Section
{
	const Variable *variable;
	const char *start;			/* its {{ */
	bool		inverted;
} Section;

typedef struct Checking
{
	const char *field;
	const char *source;
	const char *end;
	Section		open[MAX_DEPTH];
	int			depth;
	bool		says_something;	/* whatever the order is */
} Checking;

/* One tag: what is between the braces, without the white space around it. */
typedef struct Tag
{
	const char *start;
	const char *after;			/* behind its braces */
	char		sigil;			/* # ^ / & ! > = { or 0 */
	const char *name;
	int			len;
} Tag;

/* ---- languages ---- */

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_figure(char c)
{
	return c >= '0' && c <= '9';
}

/* One part of a tag, written as is the custom: de, AT, Latn. */
static void
write_part(char *part, int len, bool first)
{
	bool		letters = true;

	for (int i = 0; i < len; i++)
	{
		part[i] = pg_ascii_tolower((unsigned char) part[i]);
		letters = letters && is_letter(part[i]);
	}
	if (first || !letters)
		return;
	for (int i = 0; i < len && (len == 2 || (len == 4 && i == 0)); i++)
		part[i] = pg_ascii_toupper((unsigned char) part[i]);
}

text *
ico_locale_tag(const text *captured)
{
	const char *s = VARDATA_ANY(captured);
	int			len = VARSIZE_ANY_EXHDR(captured);
	char		tag[ICO_LOCALE_CHARS];
	int			part = 0;
	int			n = 0;

	/* what follows is an encoding, or a variant of libc */
	while (n < len && s[n] != '.' && s[n] != '@')
		n++;
	if (n == 0 || n > ICO_LOCALE_CHARS)
		return NULL;
	for (int i = 0; i <= n; i++)
	{
		if (i < n && s[i] != '-' && s[i] != '_')
		{
			if (!is_letter(s[i]) && !(is_figure(s[i]) && part > 0))
				return NULL;
			tag[i] = s[i];
			continue;
		}
		if (i - part < (part == 0 ? 2 : 1) || i - part > 8)
			return NULL;
		write_part(tag + part, i - part, part == 0);
		if (i < n)
			tag[i] = '-';
		part = i + 1;
	}
	return cstring_to_text_with_len(tag, n);
}

/* _locale_tag(locale) -> text */
Datum
ico_locale_tag_sql(PG_FUNCTION_ARGS)
{
	text	   *tag = ico_locale_tag(PG_GETARG_TEXT_PP(0));

	if (tag == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(tag);
}

/* ---- what is wrong, and where ---- */

/* "Line 2, column 7." of a place in the source */
static char *
place_of(const Checking *checking, const char *at)
{
	const char *line = checking->source;
	int			lines = 1;

	for (const char *c = checking->source; c < at; c++)
	{
		if (*c == '\n')
		{
			lines++;
			line = c + 1;
		}
	}
	return psprintf("Line %d, column %d.", lines, pg_mbstrlen_with_len(line, at - line) + 1);
}

/* The fault of a field, with its place; what to do about it. */
#define REFUSE(checking, at, hint, ...) \
	ereport(ERROR, \
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), \
			 errmsg(__VA_ARGS__), \
			 errdetail("%s", place_of(checking, at)), \
			 errhint("%s", hint)))

static char *
names_that_exist(void)
{
	StringInfoData names;
	bool		lines = false;

	initStringInfo(&names);
	appendStringInfoString(&names, "There are ");
	for (int i = 0; i < lengthof(variables); i++)
	{
		bool		inside = variables[i].inside[0] != '\0';

		if (inside && !lines)
			appendStringInfo(&names, "; and between {{#%s}} and {{/%s}} also ", variables[i].inside, variables[i].inside);
		else if (i > 0)
			appendStringInfoString(&names, ", ");
		lines = inside;
		appendStringInfoString(&names, variables[i].name);
	}
	appendStringInfoString(&names, ". template_variables() explains them.");
	return names.data;
}

/* ---- tags ---- */

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *
find_text(const char *from, const char *end, const char *wanted, int len)
{
	for (; end - from >= len; from++)
	{
		if (memcmp(from, wanted, len) == 0)
			return from;
	}
	return NULL;
}

/* The tag that begins at start, which is "{{". */
static void
read_tag(const Checking *checking, const char *start, Tag *tag)
{
	bool		three = start + 2 < checking->end && start[2] == '{';
	const char *from = start + (three ? 3 : 2);
	const char *to = find_text(from, checking->end, three ? "}}}" : "}}", three ? 3 : 2);

	tag->start = start;
	if (to == NULL)
		REFUSE(checking, start, three ? "A tag that begins with {{{ ends with }}}." : "A tag begins with {{ and ends with }}.",
			   "field \"%s\" has a tag without an end", checking->field);
	tag->after = to + (three ? 3 : 2);
	while (from < to && is_space(*from))
		from++;
	while (to > from && is_space(to[-1]))
		to--;
	tag->sigil = three ? '{' : '\0';
	if (!three && from < to && strchr("#^/&!>=", *from) != NULL)
	{
		tag->sigil = *from++;
		while (from < to && is_space(*from))
			from++;
	}
	tag->name = from;
	tag->len = to - from;
	if (tag->sigil != '!' && (memchr(from, '{', tag->len) != NULL || memchr(from, '}', tag->len) != NULL))
		REFUSE(checking, start, "A tag begins with {{ and ends with }}, and has one name between them.",
			   "field \"%s\" has a tag without an end", checking->field);
}

static char *
name_of(const Tag *tag)
{
	return pnstrdup(tag->name, pg_mbcliplen(tag->name, tag->len, 60));
}

static bool
is_inside(const Checking *checking, const char *list)
{
	for (int i = 0; i < checking->depth; i++)
	{
		if (!checking->open[i].inverted && strcmp(checking->open[i].variable->name, list) == 0)
			return true;
	}
	return false;
}

/* The variable that a tag names, where it may be named. */
static const Variable *
find_variable(const Checking *checking, const Tag *tag)
{
	const Variable *found = NULL;

	if (tag->len == 0)
		REFUSE(checking, tag->start, names_that_exist(), "field \"%s\" has a tag that names nothing", checking->field);
	for (int i = 0; i < lengthof(variables) && found == NULL; i++)
	{
		if (strlen(variables[i].name) == tag->len && memcmp(variables[i].name, tag->name, tag->len) == 0)
			found = &variables[i];
	}
	if (found == NULL)
		REFUSE(checking, tag->start, names_that_exist(), "field \"%s\" names an unknown variable \"%s\"", checking->field, name_of(tag));
	if (found->inside[0] != '\0' && !is_inside(checking, found->inside))
		REFUSE(checking, tag->start, psprintf("Put it between {{#%s}} and {{/%s}}.", found->inside, found->inside),
			   "field \"%s\" names \"%s\", which belongs to a line, outside of the lines", checking->field, found->name);
	return found;
}

static void
open_section(Checking *checking, const Tag *tag)
{
	const Variable *variable = find_variable(checking, tag);

	if (checking->depth == MAX_DEPTH)
		REFUSE(checking, tag->start, psprintf("There may be %d.", MAX_DEPTH),
			   "field \"%s\" has too many sections inside of each other", checking->field);
	if (variable->kind == ICO_VARIABLE_LIST && is_inside(checking, variable->name))
		REFUSE(checking, tag->start, psprintf("Close the one before with {{/%s}} first.", variable->name),
			   "field \"%s\" has the section \"%s\" inside of itself", checking->field, variable->name);
	checking->open[checking->depth].variable = variable;
	checking->open[checking->depth].start = tag->start;
	checking->open[checking->depth++].inverted = tag->sigil == '^';
}

static void
close_section(Checking *checking, const Tag *tag)
{
	const char *open = checking->depth > 0 ? checking->open[checking->depth - 1].variable->name : NULL;

	if (open == NULL)
		REFUSE(checking, tag->start, "A section begins with {{#name}} or {{^name}}.",
			   "field \"%s\" ends a section \"%s\" that has not begun", checking->field, name_of(tag));
	if (strlen(open) != tag->len || memcmp(open, tag->name, tag->len) != 0)
		REFUSE(checking, tag->start, "Sections may stand inside of each other, but must not overlap.",
			   "field \"%s\" ends a section \"%s\" where \"%s\" is to end", checking->field, name_of(tag), open);
	checking->depth--;
}

static void
use_variable(Checking *checking, const Tag *tag)
{
	const Variable *variable = find_variable(checking, tag);

	if (variable->kind == ICO_VARIABLE_LIST || variable->kind == ICO_VARIABLE_CONDITION)
		REFUSE(checking, tag->start, psprintf("As in %s.", variable->example),
			   "field \"%s\" uses the %s \"%s\" as a text", checking->field, kind_names[variable->kind], variable->name);
	if (variable->kind == ICO_VARIABLE_TEXT && checking->depth == 0)
		checking->says_something = true;
}

static void
take_tag(Checking *checking, const Tag *tag)
{
	switch (tag->sigil)
	{
		case '!':
			break;
		case '=':
			REFUSE(checking, tag->start, "Tags are {{name}}, {{#name}}, {{^name}} and {{/name}} everywhere.",
				   "field \"%s\" changes the delimiters of tags", checking->field);
			break;
		case '>':
			REFUSE(checking, tag->start, "There are no partials: write the text here.",
				   "field \"%s\" includes another template", checking->field);
			break;
		case '#':
		case '^':
			open_section(checking, tag);
			break;
		case '/':
			close_section(checking, tag);
			break;
		default:
			use_variable(checking, tag);
			break;
	}
}

static void
check_tags(Checking *checking)
{
	const char *at = checking->source;

	while (at < checking->end)
	{
		Tag			tag;

		CHECK_FOR_INTERRUPTS();
		if (checking->end - at >= 2 && at[0] == '{' && at[1] == '{')
		{
			read_tag(checking, at, &tag);
			take_tag(checking, &tag);
			at = tag.after;
			continue;
		}
		if (checking->depth == 0 && !is_space(*at))
			checking->says_something = true;
		at++;
	}
	if (checking->depth > 0)
	{
		const Section *open = &checking->open[checking->depth - 1];

		REFUSE(checking, open->start, psprintf("It ends with {{/%s}}.", open->variable->name),
			   "field \"%s\" has a section \"%s\" without an end", checking->field, open->variable->name);
	}
}

static void
check_characters(const Checking *checking, bool lines)
{
	int			most = lines ? MAX_TEXT : MAX_LINE;

	if (pg_mbstrlen_with_len(checking->source, checking->end - checking->source) > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("field \"%s\" is too long", checking->field),
				 errdetail("It may have %d characters.", most)));
	for (const char *c = checking->source; c < checking->end; c++)
	{
		if (((unsigned char) *c >= ' ' && *c != 0x7f) || (lines && (*c == '\n' || *c == '\r' || *c == '\t')))
			continue;
		REFUSE(checking, c, lines ? "It may have lines and tabs, but no other control characters." : "It is one line of text.",
			   "field \"%s\" has a control character", checking->field);
	}
}

/* _check_template(field, source) -> void: 22023 unless the source can be that field */
Datum
ico_check_template(PG_FUNCTION_ARGS)
{
	text	   *source = PG_GETARG_TEXT_PP(1);
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Checking	checking = {.field = name, .source = VARDATA_ANY(source)};
	int			f = 0;

	checking.end = checking.source + VARSIZE_ANY_EXHDR(source);
	while (f < lengthof(fields) && strcmp(fields[f].name, name) != 0)
		f++;
	if (f == lengthof(fields))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown field \"%s\"", name),
				 errdetail("The fields of a text are subject, preheader, headline, body, button and footer."),
				 errhint("Logo and colour are settings of the shop: configure_shop().")));
	check_characters(&checking, fields[f].lines);
	check_tags(&checking);
	if (!checking.says_something && !fields[f].optional)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("field \"%s\" may come out empty", name),
				 errdetail("It has no text beside variables and sections that may be empty."),
				 errhint("Write something that is always there.")));
	PG_RETURN_VOID();
}

/* template_variables() -> setof (name, inside, kind, meaning, example) */
Datum
ico_template_variables(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_enter_any_shop(ICO_RIGHT_template_variables);
	SPI_finish();
	for (int i = 0; i < lengthof(variables); i++)
	{
		const Variable *v = &variables[i];
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = CStringGetTextDatum(v->name);
		nulls[1] = v->inside[0] == '\0';
		values[1] = CStringGetTextDatum(v->inside);
		values[2] = CStringGetTextDatum(kind_names[v->kind]);
		values[3] = CStringGetTextDatum(v->meaning);
		values[4] = CStringGetTextDatum(v->example);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
