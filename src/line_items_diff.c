/*
 * line_items_diff.c
 *		What changed between two carts: diff(before, after).
 *
 * Lines are paired first where all but quantity and filled is equal, then by
 * sku and variant, so that a line that merely moved is no change.  The result
 * is [] exactly when both carts hold the same lines, in whatever order.
 *
 * Memory: everything in the current context.  At most 1,000 lines a side.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "line_items.h"

PG_FUNCTION_INFO_V1(ico_line_items_diff);

typedef struct DiffLine
{
	IcoLine		line;
	int			partner;		/* index in the other cart, or -1 */
} DiffLine;

static DiffLine *
load_lines(const LineItems *items, int *n)
{
	DiffLine   *lines;
	IcoLineReader reader;

	ico_line_reader_init(&reader, items);
	*n = reader.left;
	lines = palloc((*n + 1) * sizeof(DiffLine));
	for (int i = 0; ico_line_next(&reader, &lines[i].line); i++)
		lines[i].partner = -1;
	return lines;
}

static bool
same_text(const char *a, int a_len, const char *b, int b_len)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static bool
same_product(const IcoLine *a, const IcoLine *b)
{
	return same_text(a->sku, a->sku_len, b->sku, b->sku_len) &&
		same_text(a->variant, a->variant_len, b->variant, b->variant_len);
}

/* all but quantity and filled */
static bool
same_facts(const IcoLine *a, const IcoLine *b)
{
	return same_product(a, b) &&
		a->unit_price == b->unit_price &&
		same_text(a->name, a->name_len, b->name, b->name_len) &&
		same_text(a->product_id, a->product_id_len, b->product_id, b->product_id_len) &&
		same_text(a->image_url, a->image_url_len, b->image_url, b->image_url_len) &&
		same_text(a->url, a->url_len, b->url, b->url_len) &&
		same_text(a->extras, a->extras_len, b->extras, b->extras_len);
}

static void
pair_lines(DiffLine *before, int nbefore, DiffLine *after, int nafter,
		   bool (*same) (const IcoLine *, const IcoLine *))
{
	for (int i = 0; i < nbefore; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < nafter && before[i].partner < 0; j++)
		{
			if (after[j].partner < 0 && same(&before[i].line, &after[j].line))
			{
				before[i].partner = j;
				after[j].partner = i;
			}
		}
	}
}

static void
diff_text(StringInfo out, const char *key, const char *a, int a_len, const char *b, int b_len)
{
	if (same_text(a, a_len, b, b_len))
		return;
	appendStringInfo(out, ",\"%s\":[", key);
	if (a)
		ico_append_json_string(out, a, a_len);
	else
		appendStringInfoString(out, "null");
	appendStringInfoChar(out, ',');
	if (b)
		ico_append_json_string(out, b, b_len);
	else
		appendStringInfoString(out, "null");
	appendStringInfoChar(out, ']');
}

/* NULL stands for a cart without the line */
static void
diff_number(StringInfo out, const char *key, const int32 *a, const int32 *b)
{
	if (a && b && *a == *b)
		return;
	appendStringInfo(out, ",\"%s\":[", key);
	if (a)
		appendStringInfo(out, "%d,", *a);
	else
		appendStringInfoString(out, "null,");
	if (b)
		appendStringInfo(out, "%d]", *b);
	else
		appendStringInfoString(out, "null]");
}

static void
diff_price(StringInfo out, const IcoLine *a, const IcoLine *b)
{
	char		a_text[ICO_MONEY_BUFFER];
	char		b_text[ICO_MONEY_BUFFER];

	if (a && b && a->unit_price == b->unit_price)
		return;
	diff_text(out, "unit_price",
			  a ? a_text : NULL, a ? ico_format_money(a->unit_price, a_text) : 0,
			  b ? b_text : NULL, b ? ico_format_money(b->unit_price, b_text) : 0);
}

static void
diff_extras(StringInfo out, const IcoLine *a, const IcoLine *b)
{
	if (same_text(a->extras, a->extras_len, b->extras, b->extras_len))
		return;
	appendStringInfoString(out, ",\"extras\":[");
	appendBinaryStringInfo(out, a->extras ? a->extras : "null", a->extras ? a->extras_len : 4);
	appendStringInfoChar(out, ',');
	appendBinaryStringInfo(out, b->extras ? b->extras : "null", b->extras ? b->extras_len : 4);
	appendStringInfoChar(out, ']');
}

/* One element of the result; a NULL: added, b NULL: removed. */
static void
diff_line(StringInfo out, const IcoLine *a, const IcoLine *b)
{
	const IcoLine *any = a ? a : b;
	int32		none = 0;

	if (out->len > 1)
		appendStringInfoChar(out, ',');
	appendStringInfoString(out, "{\"sku\":");
	ico_append_json_string(out, any->sku, any->sku_len);
	if (any->variant)
	{
		appendStringInfoString(out, ",\"variant\":");
		ico_append_json_string(out, any->variant, any->variant_len);
	}
	appendStringInfo(out, ",\"change\":\"%s\"", a == NULL ? "added" : b == NULL ? "removed" : "changed");
	diff_number(out, "quantity", a ? &a->quantity : NULL, b ? &b->quantity : NULL);
	diff_price(out, a, b);
	/* filled is 0 where nobody said otherwise */
	diff_number(out, "filled", a ? &a->filled : &none, b ? &b->filled : &none);
	if (a && b)
	{
		diff_text(out, "name", a->name, a->name_len, b->name, b->name_len);
		diff_text(out, "product_id", a->product_id, a->product_id_len, b->product_id, b->product_id_len);
		diff_text(out, "image_url", a->image_url, a->image_url_len, b->image_url, b->image_url_len);
		diff_text(out, "url", a->url, a->url_len, b->url, b->url_len);
		diff_extras(out, a, b);
	}
	appendStringInfoChar(out, '}');
}

Datum
ico_line_items_diff(PG_FUNCTION_ARGS)
{
	int			nbefore;
	int			nafter;
	DiffLine   *before = load_lines(PG_GETARG_LINE_ITEMS_P(0), &nbefore);
	DiffLine   *after = load_lines(PG_GETARG_LINE_ITEMS_P(1), &nafter);
	StringInfoData out;

	pair_lines(before, nbefore, after, nafter, same_facts);
	pair_lines(before, nbefore, after, nafter, same_product);

	initStringInfo(&out);
	appendStringInfoChar(&out, '[');
	for (int i = 0; i < nbefore; i++)
	{
		const IcoLine *a = &before[i].line;
		const DiffLine *partner = before[i].partner < 0 ? NULL : &after[before[i].partner];

		CHECK_FOR_INTERRUPTS();
		if (partner == NULL)
			diff_line(&out, a, NULL);
		else if (a->quantity != partner->line.quantity || a->filled != partner->line.filled ||
				 !same_facts(a, &partner->line))
			diff_line(&out, a, &partner->line);
	}
	for (int j = 0; j < nafter; j++)
	{
		if (after[j].partner < 0)
			diff_line(&out, NULL, &after[j].line);
	}
	appendStringInfoChar(&out, ']');
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data)));
}
