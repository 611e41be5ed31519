/*
 * convert_lines.c
 *		Which lines of an incomplete order become an order.
 *
 * Memory: lines are made in the caller's context.  No locks: the caller holds the
 * order's row.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "convert_lines.h"
#include "errors.h"

void
ico_refuse_empty(const pg_uuid_t *id, const char *why)
{
	ereport(ERROR,
			(errcode(ICO_ERR_NOTHING_TO_CONVERT),
			 errmsg("nothing to convert in order %s",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))),
			 errdetail("%s", why),
			 errhint("Call can_convert(id) first, or capture the cart again.")));
}

/* Whether a line that was asked for means this line of the order. */
static bool
line_matches(const IcoLine *asked, const IcoLine *line)
{
#define MATCHES(field) \
	(asked->field == NULL || \
	 (line->field != NULL && asked->field##_len == line->field##_len && \
	  memcmp(asked->field, line->field, asked->field##_len) == 0))
	return MATCHES(sku) && MATCHES(variant) && MATCHES(product_id) && asked->unit_price == line->unit_price;
#undef MATCHES
}

static void
add_quantity(IcoItemsBuilder *builder, const IcoLine *line, int32 quantity)
{
	IcoLine		taken = *line;

	taken.quantity = quantity;
	taken.filled = 0;
	ico_items_add(builder, &taken);
}

static IcoLine *
read_lines(const LineItems *items, int *n)
{
	IcoLineReader reader;
	IcoLine    *lines;

	*n = ico_items_lines(items);
	lines = palloc((*n + 1) * sizeof(IcoLine));
	ico_line_reader_init(&reader, items);
	for (int i = 0; i < *n; i++)
		(void) ico_line_next(&reader, &lines[i]);
	return lines;
}

/*
 * Takes the asked quantities out of what remains, first line first; a line is
 * named by sku and price, and by variant and product_id where they are given.
 */
static void
select_asked(IcoPart *part, const pg_uuid_t *id, IcoLine *lines, int n, const LineItems *asked_items)
{
	IcoItemsBuilder builder;
	int			n_asked;
	IcoLine    *asked = read_lines(asked_items, &n_asked);

	if (n_asked == 0)
		ico_refuse_empty(id, "The argument \"lines\" is empty.");
	ico_items_begin(&builder);
	for (int a = 0; a < n_asked; a++)
	{
		int32		wanted = asked[a].quantity;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n && wanted > 0; i++)
		{
			int32		taken = Min(wanted, lines[i].quantity - lines[i].filled);

			if (taken == 0 || !line_matches(&asked[a], &lines[i]))
				continue;
			add_quantity(&builder, &lines[i], taken);
			lines[i].filled += taken;
			wanted -= taken;
		}
		if (wanted > 0)
			ereport(ERROR,
					(errcode(ICO_ERR_NOTHING_TO_CONVERT),
					 errmsg("line %d of \"lines\" asks for more than remains", a + 1),
					 errdetail("%d of %d are not in the order at that price, or are ordered already.",
							   wanted, asked[a].quantity),
					 errhint("A line is found by sku and unit_price, and by variant and product_id where given.")));
	}
	part->lines = ico_items_finish(&builder);
}

static void
select_remaining(IcoPart *part, const pg_uuid_t *id, IcoLine *lines, int n, bool or_none)
{
	IcoItemsBuilder builder;
	bool		any = false;

	ico_items_begin(&builder);
	for (int i = 0; i < n; i++)
	{
		int32		remaining = lines[i].quantity - lines[i].filled;

		if (remaining == 0)
			continue;
		add_quantity(&builder, &lines[i], remaining);
		lines[i].filled = lines[i].quantity;
		any = true;
	}
	if (!any && !or_none)
		ico_refuse_empty(id, "It has no lines, or all of them are ordered already.");
	part->lines = ico_items_finish(&builder);
}

/* True when every line is filled now. */
static bool
rebuild_items(IcoPart *part, const IcoLine *lines, int n)
{
	IcoItemsBuilder builder;
	bool		all = true;

	ico_items_begin(&builder);
	for (int i = 0; i < n; i++)
	{
		ico_items_add(&builder, &lines[i]);
		all = all && lines[i].filled == lines[i].quantity;
	}
	part->items_after = ico_items_finish(&builder);
	return all;
}

static bool
has_filled(const LineItems *items)
{
	IcoLineReader reader;
	IcoLine		line;

	ico_line_reader_init(&reader, items);
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		if (line.filled > 0)
			return true;
	}
	return false;
}

bool
ico_select_lines(const IcoOrder *order, const LineItems *asked, bool or_none, IcoPart *part)
{
	LineItems  *items = DatumGetLineItemsP(order->items);
	IcoLine    *lines;
	int			n;

	if (asked == NULL && order->kind != ICO_PARTIAL && !has_filled(items))
	{
		if (order->empty && !or_none)
			ico_refuse_empty(&order->id, "It has no lines.");
		part->lines = items;
		return true;
	}
	lines = read_lines(items, &n);
	if (asked != NULL)
		select_asked(part, &order->id, lines, n, asked);
	else
		select_remaining(part, &order->id, lines, n, or_none);
	return rebuild_items(part, lines, n);
}
