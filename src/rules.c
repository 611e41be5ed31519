/*
 * rules.c
 *		What a shop's settings say of who may be mailed, and when: consent,
 *		exclusions, quiet hours.  Functions for the statements that decide.
 *
 * Lists in exclusions are read where they lie, without making arrays of them; a
 * shop that excludes nothing pays for one comparison.
 *
 * Memory: the context of the call.  No locks.
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "line_items.h"
#include "money.h"
#include "stock.h"
#include "zones.h"

PG_FUNCTION_INFO_V1(ico_exclusion);
PG_FUNCTION_INFO_V1(ico_mailed_items);
PG_FUNCTION_INFO_V1(ico_left_value);
PG_FUNCTION_INFO_V1(ico_sale_fault);
PG_FUNCTION_INFO_V1(ico_awake);

typedef struct Text
{
	const char *s;
	int			len;
} Text;

static JsonbValue *
key_of(JsonbContainer *object, const char *key, JsonbValue *buffer)
{
	if (!JsonContainerIsObject(object))
		return NULL;
	return getKeyJsonValueFromContainer(object, key, strlen(key), buffer);
}

static bool
text_of(JsonbContainer *object, const char *key, Text *found)
{
	JsonbValue	buffer;
	JsonbValue *value = key_of(object, key, &buffer);

	if (value == NULL || value->type != jbvString)
		return false;
	found->s = value->val.string.val;
	found->len = value->val.string.len;
	return true;
}

/* --- exclusions ------------------------------------------------------------------ */

typedef bool (*Matches) (Text listed, Text text);

static bool
is_same(Text listed, Text text)
{
	return listed.len == text.len && memcmp(listed.s, text.s, text.len) == 0;
}

static Text
trimmed(Text text)
{
	while (text.len > 0 && text.s[0] == ' ')
		text.s++, text.len--;
	while (text.len > 0 && text.s[text.len - 1] == ' ')
		text.len--;
	return text;
}

static bool
is_same_address(Text listed, Text text)
{
	listed = trimmed(listed);
	return listed.len == text.len && pg_strncasecmp(listed.s, text.s, text.len) == 0;
}

/* example.com is the domain of a@example.com and of a@mail.example.com */
static bool
is_domain_of(Text listed, Text text)
{
	Text		domain = trimmed(listed);

	if (domain.len > 0 && domain.s[0] == '@')
		domain.s++, domain.len--;
	if (domain.len == 0 || text.len <= domain.len || strchr("@.", text.s[text.len - domain.len - 1]) == NULL)
		return false;
	return pg_strncasecmp(text.s + text.len - domain.len, domain.s, domain.len) == 0;
}

/* Whether that list of the exclusions has something that matches. */
static bool
is_listed(Jsonb *exclusions, const char *key, Text text, Matches matches)
{
	JsonbValue	buffer;
	JsonbValue	element;
	JsonbValue *list = key_of(&exclusions->root, key, &buffer);
	JsonbIterator *iterator;
	JsonbIteratorToken token;

	if (list == NULL || list->type != jbvBinary)
		return false;
	iterator = JsonbIteratorInit(list->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_ELEM && element.type == jbvString &&
			matches((Text) {element.val.string.val, element.val.string.len}, text))
			return true;
	}
	return false;
}

static bool
is_excluded_line(Jsonb *exclusions, const IcoLine *line)
{
	return is_listed(exclusions, "products", (Text) {line->sku, line->sku_len}, is_same) ||
		(line->product_id != NULL &&
		 is_listed(exclusions, "products", (Text) {line->product_id, line->product_id_len}, is_same));
}

static bool
has_key(Jsonb *exclusions, const char *key)
{
	JsonbValue	buffer;

	return key_of(&exclusions->root, key, &buffer) != NULL;
}

/*
 * What is left to buy, and can be sold, of lines that are not excluded, scaled by
 * 10^6; how many lines.  Without a stock all of it can be sold.
 */
static int64
left_value(const LineItems *items, Jsonb *exclusions, IcoStock *stock, const char *currency, int *lines)
{
	bool		by_product = exclusions != NULL && has_key(exclusions, "products");
	IcoStockWalk walk;
	IcoLineReader reader;
	IcoLine		line;
	int64		value = 0;

	*lines = 0;
	ico_stock_begin(&walk, stock, currency);
	ico_line_reader_init(&reader, items);
	while (ico_line_next(&reader, &line))
	{
		IcoLineChange change;

		CHECK_FOR_INTERRUPTS();
		if ((by_product && is_excluded_line(exclusions, &line)) || !ico_stock_line(&walk, &line, &change))
			continue;
		value += line.unit_price * (line.quantity - line.filled);
		(*lines)++;
	}
	return value;
}

/* What programs that look at shops call themselves. */
static bool
names_a_bot(Text agent)
{
	static const char *const words[] = {
		"bot", "crawl", "spider", "slurp", "scrape", "headless", "preview", "monitor", "curl/", "wget/", "python",
		"java/", "go-http-client", "phantomjs", "lighthouse"
	};

	for (int w = 0; w < lengthof(words); w++)
	{
		int			len = strlen(words[w]);

		for (int i = 0; i + len <= agent.len; i++)
		{
			if (pg_strncasecmp(agent.s + i, words[w], len) == 0)
				return true;
		}
	}
	return false;
}

static bool
is_excluded_bot(Jsonb *exclusions, Jsonb *context, bool flagged)
{
	JsonbValue	buffer;
	JsonbValue *bots = key_of(&exclusions->root, "bots", &buffer);
	Text		agent;

	if (bots == NULL || bots->type != jbvBool || !bots->val.boolean)
		return false;
	return flagged || (context != NULL && text_of(&context->root, "user_agent", &agent) && names_a_bot(agent));
}

static bool
is_too_little(Jsonb *exclusions, int64 value)
{
	JsonbValue	buffer;
	JsonbValue *least = key_of(&exclusions->root, "minimum_value", &buffer);

	return least != NULL && least->type == jbvNumeric &&
		DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(ico_amount_numeric(value, 0)), NumericGetDatum(least->val.numeric)));
}

/* The lines leave something to be mailed, and it is worth it; or why not. */
static const char *
value_fault(Jsonb *exclusions, const LineItems *items)
{
	int			lines;
	int64		value;

	if (!has_key(exclusions, "minimum_value") && !has_key(exclusions, "products"))
		return NULL;
	value = left_value(items, exclusions, NULL, NULL, &lines);
	if (lines == 0)
		return "excluded_products";
	return is_too_little(exclusions, value) ? "excluded_value" : NULL;
}

/* _exclusion(exclusions, items, customer_id, email, context, bot) -> text */
Datum
ico_exclusion(PG_FUNCTION_ARGS)
{
	Jsonb	   *exclusions = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	const char *reason = NULL;
	Text		given;

	if (exclusions == NULL || !JB_ROOT_IS_OBJECT(exclusions) || JB_ROOT_COUNT(exclusions) == 0)
		PG_RETURN_NULL();
	if (is_excluded_bot(exclusions, PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4), !PG_ARGISNULL(5) && PG_GETARG_BOOL(5)))
		reason = "bot";
	if (reason == NULL && !PG_ARGISNULL(3))
	{
		given = trimmed((Text) {VARDATA_ANY(PG_GETARG_TEXT_PP(3)), VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(3))});
		if (is_listed(exclusions, "addresses", given, is_same_address))
			reason = "excluded_address";
		else if (is_listed(exclusions, "domains", given, is_domain_of))
			reason = "excluded_domain";
	}
	if (reason == NULL && !PG_ARGISNULL(2))
	{
		given = (Text) {VARDATA_ANY(PG_GETARG_TEXT_PP(2)), VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(2))};
		if (is_listed(exclusions, "customers", given, is_same))
			reason = "excluded_customer";
	}
	if (reason == NULL && !PG_ARGISNULL(1))
		reason = value_fault(exclusions, PG_GETARG_LINE_ITEMS_P(1));
	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

/* _mailed_items(items, exclusions) -> line_items: without the excluded lines */
Datum
ico_mailed_items(PG_FUNCTION_ARGS)
{
	Jsonb	   *exclusions = PG_GETARG_JSONB_P(1);
	IcoItemsBuilder builder;
	IcoLineReader reader;
	IcoLine		line;

	if (!has_key(exclusions, "products"))
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	ico_items_begin(&builder);
	ico_line_reader_init(&reader, PG_GETARG_LINE_ITEMS_P(0));
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_excluded_line(exclusions, &line))
			ico_items_add(&builder, &line);
	}
	PG_RETURN_LINE_ITEMS_P(ico_items_finish(&builder));
}

/* The same for the functions below, by what the shop said of its stock. */
static int64
sellable_value(FunctionCallInfo fcinfo, int *lines)
{
	return left_value(PG_GETARG_LINE_ITEMS_P(2), PG_GETARG_JSONB_P(3), ico_deciding_stock(PG_GETARG_INT32(0)),
					  text_to_cstring(PG_GETARG_TEXT_PP(1)), lines);
}

/* _left_value(shop_id, currency, items, exclusions) -> numeric: what a mail could still sell */
Datum
ico_left_value(PG_FUNCTION_ARGS)
{
	int			lines;

	PG_RETURN_NUMERIC(ico_amount_numeric(sellable_value(fcinfo, &lines), 0));
}

/* _sale_fault(shop_id, currency, items, exclusions) -> text: why not even that, or null */
Datum
ico_sale_fault(PG_FUNCTION_ARGS)
{
	IcoStock   *stock = ico_deciding_stock(PG_GETARG_INT32(0));
	int			lines;
	int64		value;

	if (stock == NULL || stock->failed)
		PG_RETURN_NULL();
	value = sellable_value(fcinfo, &lines);
	if (lines == 0)
		PG_RETURN_TEXT_P(cstring_to_text("unavailable"));
	if (is_too_little(PG_GETARG_JSONB_P(3), value))
		PG_RETURN_TEXT_P(cstring_to_text("excluded_value"));
	PG_RETURN_NULL();
}

/* --- quiet hours -------------------------------------------------------------------- */

static pg_tz *
zone_by_name(Text name)
{
	char		buffer[TZ_STRLEN_MAX + 1];

	if (name.len == 0 || name.len > TZ_STRLEN_MAX)
		return NULL;
	memcpy(buffer, name.s, name.len);
	buffer[name.len] = '\0';
	return pg_tzset(buffer);
}

static pg_tz *
zone_of_country(Text country)
{
	int			low = 0;
	int			high = lengthof(ico_country_zones);
	char		code[3] = "";

	country = trimmed(country);
	if (country.len != 2)
		return NULL;
	for (int i = 0; i < 2; i++)
		code[i] = pg_ascii_toupper((unsigned char) country.s[i]);
	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(code, ico_country_zones[middle].country);

		if (order == 0)
			return pg_tzset(ico_country_zones[middle].zone);
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Where the person lives: as captured, else by the country, else where the shop is. */
static pg_tz *
zone_of_person(Jsonb *context, Jsonb *address, text *shop_zone)
{
	pg_tz	   *zone = NULL;
	Text		name;

	if (context != NULL && text_of(&context->root, "time_zone", &name))
		zone = zone_by_name(name);
	if (zone == NULL && address != NULL && text_of(&address->root, "country", &name))
		zone = zone_of_country(name);
	if (zone == NULL)
		zone = zone_by_name((Text) {VARDATA_ANY(shop_zone), VARSIZE_ANY_EXHDR(shop_zone)});
	return zone != NULL ? zone : pg_tzset("UTC");
}

/* The clock on the wall there, in microseconds of the day. */
static TimeADT
wall_clock(TimestampTz at, pg_tz *zone, struct pg_tm *tm)
{
	fsec_t		fsec;
	int			offset;

	if (timestamp2tm(at, &offset, tm, &fsec, NULL, zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return ((tm->tm_hour * MINS_PER_HOUR + tm->tm_min) * SECS_PER_MINUTE + tm->tm_sec) * USECS_PER_SEC + fsec;
}

static bool
is_quiet(TimeADT clock, TimeADT from, TimeADT to)
{
	return from < to ? clock >= from && clock < to : clock >= from || clock < to;
}

/* When the wall clock shows `to` next, on the day of tm or the day after. */
static TimestampTz
next_time(struct pg_tm *tm, TimeADT clock, TimeADT to, pg_tz *zone)
{
	Timestamp	local;
	fsec_t		fsec = to % USECS_PER_SEC;
	int			seconds = to / USECS_PER_SEC;
	int			offset;

	if (clock >= to)
		j2date(date2j(tm->tm_year, tm->tm_mon, tm->tm_mday) + 1, &tm->tm_year, &tm->tm_mon, &tm->tm_mday);
	tm->tm_hour = seconds / SECS_PER_HOUR;
	tm->tm_min = seconds / SECS_PER_MINUTE % MINS_PER_HOUR;
	tm->tm_sec = seconds % SECS_PER_MINUTE;
	tm->tm_isdst = -1;
	/* where that time does not exist it is as much later, where it is twice the later one */
	offset = DetermineTimeZoneOffset(tm, zone);
	if (tm2timestamp(tm, fsec, &offset, &local) != 0)
		return DT_NOEND;
	return local;
}

/* _awake(at, context, address, shop_zone, quiet_from, quiet_to) -> timestamptz */
Datum
ico_awake(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	TimeADT		from = PG_GETARG_TIMEADT(4) % USECS_PER_DAY;
	TimeADT		to = PG_GETARG_TIMEADT(5) % USECS_PER_DAY;
	pg_tz	   *zone;

	if (from == to || TIMESTAMP_NOT_FINITE(at))
		PG_RETURN_TIMESTAMPTZ(at);
	zone = zone_of_person(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2),
						  PG_GETARG_TEXT_PP(3));
	/* a clock that was set back may be quiet again */
	for (int i = 0; i < 3; i++)
	{
		struct pg_tm tm;
		TimeADT		clock = wall_clock(at, zone, &tm);
		TimestampTz next;

		if (!is_quiet(clock, from, to))
			break;
		next = next_time(&tm, clock, to, zone);
		at = next > at ? next : at + USECS_PER_HOUR;
	}
	PG_RETURN_TIMESTAMPTZ(at);
}
