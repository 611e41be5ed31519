/*
 * rollup.c
 *		What folding and reports compute of every event: its kind as one character,
 *		which is compared and grouped by faster than its name, and the local time in
 *		a shop's zone.
 *
 * The server looks up a zone by its name, and its rules by the instant, for each
 * call of AT TIME ZONE.  Here the difference from UTC is kept for each zone, with
 * the span of time in which it is the same.  Memory: static.  Locks: none.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/*
 * _event_kind(event): ' ' for events that no rollup counts.
 */
static const struct
{
	const char *event;
	int			length;
	char		kind;
}			kinds[] = {
#define KIND(event, kind) {event, sizeof(event) - 1, kind}
	KIND("created", 'n'),
	KIND("abandoned", 'a'),
	KIND("converted", 'c'),
	KIND("expired", 'e'),
	KIND("lost", 'l'),
	KIND("message_queued", 'q'),
	KIND("message_sent", 's'),
	KIND("message_delivered", 'd'),
	KIND("message_opened", 'o'),
	KIND("message_clicked", 'k'),
	KIND("holdout", 'h'),
	KIND("message_failed", 'f'),
	KIND("message_replied", 'y'),
	KIND("message_unsubscribed", 'u'),
	KIND("message_bounced", 'b'),
	KIND("message_complained", 'p'),
	KIND("coupon_redeemed", 'x'),
	KIND("recounted", 't'),
	KIND("continued", 'w'),
	KIND("reversed", 'r'),
};

PG_FUNCTION_INFO_V1(ico_event_kind);

Datum
ico_event_kind(PG_FUNCTION_ARGS)
{
	text	   *event = PG_GETARG_TEXT_PP(0);
	const char *name = VARDATA_ANY(event);
	int			length = VARSIZE_ANY_EXHDR(event);

	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (length == kinds[i].length && memcmp(name, kinds[i].event, length) == 0)
			PG_RETURN_CHAR(kinds[i].kind);
	}
	PG_RETURN_CHAR(' ');
}

/* the difference is the same for from <= at < until */
typedef struct ZoneSpan
{
	int			length;			/* of the name; 0: not used */
	char		name[TZ_STRLEN_MAX + 1];
	TimestampTz from;
	TimestampTz until;
	int64		difference;
} ZoneSpan;

static ZoneSpan spans[64];

/* as AT TIME ZONE does it */
static Timestamp
local_time(TimestampTz at, text *zone)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamptz_zone, PointerGetDatum(zone), TimestampTzGetDatum(at)));
}

/*
 * Only names with a slash, and UTC: others may be abbreviations, which the server
 * looks up elsewhere.
 */
static void
find_span(ZoneSpan *span, TimestampTz at, int64 difference)
{
	pg_tz	   *tz;
	pg_time_t	first = timestamptz_to_time_t(at) - 60 * SECS_PER_DAY;
	pg_time_t	next;
	long int	before,
				after;
	int			before_dst,
				after_dst;

	span->difference = difference;
	if (strcmp(span->name, "UTC") == 0)
	{
		span->from = DT_NOBEGIN + 1;
		span->until = DT_NOEND;
		return;
	}
	span->from = span->until = at;
	if (strchr(span->name, '/') == NULL || (tz = pg_tzset(span->name)) == NULL)
		return;
	/* from one change of the clocks to the next; two may be within the sixty days */
	for (int i = 0; i < 4; i++)
	{
		int			found = pg_next_dst_boundary(&first, &before, &before_dst, &next, &after, &after_dst, tz);

		if (found < 0)
			return;
		if (found == 0 || time_t_to_timestamptz(next) > at)
		{
			if ((int64) before * USECS_PER_SEC != difference)
				return;
			span->from = time_t_to_timestamptz(first);
			span->until = found == 0 ? DT_NOEND : time_t_to_timestamptz(next);
			return;
		}
		first = next;
	}
}

PG_FUNCTION_INFO_V1(ico_local_time);

Datum
ico_local_time(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	text	   *zone = PG_GETARG_TEXT_PP(1);
	int			length = VARSIZE_ANY_EXHDR(zone);
	ZoneSpan   *span;
	Timestamp	local;

	if (TIMESTAMP_NOT_FINITE(at) || length == 0 || length > TZ_STRLEN_MAX)
		PG_RETURN_TIMESTAMP(local_time(at, zone));
	span = &spans[hash_bytes((unsigned char *) VARDATA_ANY(zone), length) % lengthof(spans)];
	if (span->length == length && at >= span->from && at < span->until && memcmp(span->name, VARDATA_ANY(zone), length) == 0)
		PG_RETURN_TIMESTAMP(at + span->difference);
	local = local_time(at, zone);
	span->length = length;
	memcpy(span->name, VARDATA_ANY(zone), length);
	span->name[length] = '\0';
	find_span(span, at, local - at);
	PG_RETURN_TIMESTAMP(local);
}
