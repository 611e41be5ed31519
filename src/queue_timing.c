/*
 * queue_timing.c
 *		When a claimed message may leave: not too soon after another one, and not
 *		at night.
 *
 * tick has looked at all this when it queued the message; since then the one
 * before it may have waited for its sender, a member of staff may have written,
 * settings may have changed.  Here the clock on the wall counts, and what was sent.
 *
 * Of two messages to one person the one that was queued first goes first, the
 * other waits until it has been sent, and then for the gap.  Each claim sees what
 * others have committed, and of two that run at once at least one sees the other's
 * message as earlier than its own; so no two leave together, and one always may.
 * Messages by hand wait for nothing, but others wait for them, also those queued before.
 *
 * Locks: none; the caller has those of the messages.  Memory: its SPI context.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "plan.h"
#include "queue.h"
#include "rules.h"

/* how long a message waits for the one before it to be sent, and then again */
#define STEP_WAIT (5 * USECS_PER_SEC)
/* ICO_CAP_WINDOW */
#define CAP_WINDOW (30 * USECS_PER_DAY)

static bool
is_of_sequence(const IcoClaim *c)
{
	return c->locked && c->reason == NULL && c->step > 0;
}

static void
wait_until(IcoClaim *c, TimestampTz at)
{
	c->due_at = c->later ? Max(c->due_at, at) : at;
	c->later = true;
}

/* ---- the distance between the steps of a sequence ---- */

/* A step before that of c, in the row: c may not be sent before this. */
static TimestampTz
not_before(const IcoClaim *c, TimestampTz now, int row)
{
	bool		isnull;
	bool		waits = DatumGetBool(ico_column(row, 2, &isnull));
	TimestampTz due_at = DatumGetTimestampTz(ico_column(row, 3, &isnull));
	TimestampTz give_up_at = DatumGetTimestampTz(ico_column(row, 4, &isnull));
	TimestampTz sent_at;

	if (waits)
		return Max(due_at, now) + STEP_WAIT;
	sent_at = DatumGetTimestampTz(ico_column(row, 5, &isnull));
	/* both were given the same time to be sent: as far apart as they were queued */
	return isnull ? now : sent_at + Max(c->give_up_at - give_up_at, 0);
}

/*
 * A step that was sent late pushes those behind it: while no sender was there
 * several of them may have come together here.
 */
static void
keep_distance(IcoClaim **claims, int n_claims, TimestampTz now)
{
	static IcoPlan plan = {
		"AAUAA",
		"SELECT k.n, p.status" EQ "ANY ('{queued,sending}'::incomplete_orders.message_status[]), p.due_at, p.give_up_at, p.sent_at"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) k (n, shop_id, root_id, episode, step)"
		" JOIN incomplete_orders.messages p ON p.shop_id" EQ "k.shop_id AND p.root_id" EQ "k.root_id"
		" AND p.episode" EQ "k.episode AND p.step" LT "k.step AND p.step" GT "0"
		" AND p.status" EQ "ANY (" ICO_COUNTED ")"
	};
	Datum	   *columns[5];
	Datum		values[5];
	uint64		rows;
	bool		isnull;
	int			n = 0;

	for (int i = 0; i < lengthof(columns); i++)
		columns[i] = palloc((n_claims + 1) * sizeof(Datum));
	for (int i = 0; i < n_claims; i++)
	{
		IcoClaim   *c = claims[i];

		if (!is_of_sequence(c) || c->step < 2)
			continue;
		columns[0][n] = Int32GetDatum(i);
		columns[1][n] = Int32GetDatum(c->shop_id);
		columns[2][n] = UUIDPGetDatum(&c->root_id);
		columns[3][n] = Int32GetDatum(c->episode);
		columns[4][n++] = Int32GetDatum(c->step);
	}
	if (n == 0)
		return;
	for (int i = 0; i < lengthof(columns); i++)
		values[i] = ico_array_of(columns[i], n, i == 2 ? UUIDOID : INT4OID);
	rows = ico_execute(&plan, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		IcoClaim   *c = claims[DatumGetInt32(ico_column(i, 1, &isnull))];
		TimestampTz at = not_before(c, now, i);

		if (at > now)
			wait_until(c, at);
	}
}

/* ---- other messages to that person ---- */

/* Another message to the person of a claim. */
typedef struct Other
{
	pg_uuid_t	id;
	bool		by_hand;
	bool		sent;
	bool		sending;
	TimestampTz due_at;
	TimestampTz queued_at;
	TimestampTz sent_at;
	pg_uuid_t	root_id;
	int32		episode;
} Other;

static void
read_other(Other *other, int row)
{
	bool		isnull;

	other->id = *DatumGetUUIDP(ico_column(row, 2, &isnull));
	other->sent = DatumGetBool(ico_column(row, 3, &isnull));
	other->sending = DatumGetBool(ico_column(row, 4, &isnull));
	other->due_at = DatumGetTimestampTz(ico_column(row, 5, &isnull));
	other->queued_at = DatumGetTimestampTz(ico_column(row, 6, &isnull));
	other->sent_at = DatumGetTimestampTz(ico_column(row, 7, &isnull));
	other->sent = other->sent && !isnull;
	other->root_id = *DatumGetUUIDP(ico_column(row, 8, &isnull));
	other->episode = DatumGetInt32(ico_column(row, 9, &isnull));
	other->by_hand = DatumGetInt32(ico_column(row, 10, &isnull)) == 0;
}

/* The other one is to be sent first, or is on its way just now. */
static bool
goes_before(const Other *other, const IcoClaim *c, TimestampTz now)
{
	if (other->sending && other->due_at > now)
		return true;
	/* whenever it was queued: it waits for nobody, and would leave together with this one */
	if (other->by_hand)
		return true;
	if (other->queued_at != c->queued_at)
		return other->queued_at < c->queued_at;
	return memcmp(&other->id, &c->id, sizeof(pg_uuid_t)) < 0;
}

/* What was sent to one person, as far as it was counted. */
typedef struct Count
{
	int32		person;
	int32		episode;
} Count;

static void
look_at_other(IcoClaim *c, const Other *other, TimestampTz now, Count *count)
{
	if (memcmp(&other->id, &c->id, sizeof(pg_uuid_t)) == 0)
		return;
	if (other->sent)
	{
		count->person += other->sent_at > now - CAP_WINDOW;
		count->episode += other->episode == c->episode && memcmp(&other->root_id, &c->root_id, sizeof(pg_uuid_t)) == 0;
		if (other->sent_at <= now && now - other->sent_at < c->min_gap)
			wait_until(c, other->sent_at + c->min_gap);
	}
	else if (c->min_gap > 0 && goes_before(other, c, now))
		wait_until(c, Max(other->due_at, now) + STEP_WAIT);
}

static uint64
find_others(IcoClaim **claims, int n_claims)
{
	static IcoPlan plan = {
		"AAL",
		"SELECT DISTINCT k.n, p.id, p.status" EQ "'sent', p.status" EQ "'sending', p.due_at, p.queued_at, p.sent_at, p.root_id, p.episode, p.step"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) k (n, shop_id, person)"
		" CROSS JOIN LATERAL (SELECT h.message_id FROM incomplete_orders.person_messages h"
		"  WHERE h.shop_id" EQ "k.shop_id AND h.person" EQ "k.person OFFSET 0) h"
		" CROSS JOIN LATERAL (SELECT m.* FROM incomplete_orders.messages m WHERE m.shop_id" EQ "k.shop_id AND m.id" EQ "h.message_id"
		"  AND m.status" EQ "ANY (" ICO_COUNTED ") LIMIT 1) p"
	};
	Datum	   *columns[3];
	Datum		values[3];
	int			n = 0;

	for (int i = 0; i < lengthof(columns); i++)
		columns[i] = palloc((n_claims * ICO_PERSON_KEYS + 1) * sizeof(Datum));
	for (int i = 0; i < n_claims; i++)
	{
		for (int k = 0; is_of_sequence(claims[i]) && k < claims[i]->n_persons; k++)
		{
			columns[0][n] = Int32GetDatum(i);
			columns[1][n] = Int32GetDatum(claims[i]->shop_id);
			columns[2][n++] = Int64GetDatum(claims[i]->persons[k]);
		}
	}
	if (n == 0)
		return 0;
	for (int i = 0; i < lengthof(columns); i++)
		values[i] = ico_array_of(columns[i], n, i == 2 ? INT8OID : INT4OID);
	return ico_execute(&plan, values, NULL);
}

static void
keep_gap(IcoClaim **claims, int n, TimestampTz now)
{
	Count	   *counts = palloc0((n + 1) * sizeof(Count));
	uint64		rows = find_others(claims, n);
	bool		isnull;

	for (uint64 i = 0; i < rows; i++)
	{
		int			number = DatumGetInt32(ico_column(i, 1, &isnull));
		Other		other;

		CHECK_FOR_INTERRUPTS();
		read_other(&other, i);
		look_at_other(claims[number], &other, now, &counts[number]);
	}
	for (int i = 0; i < n; i++)
	{
		IcoClaim   *c = claims[i];

		if (!is_of_sequence(c))
			continue;
		if (counts[i].episode >= c->cap_per_episode)
			c->reason = "cap_per_episode";
		else if (counts[i].person >= c->cap_per_person)
			c->reason = "cap_per_person";
	}
}

/* ---- all of it ---- */

void
ico_move_claims(IcoClaim **claims, int n)
{
	static IcoPlan plan = {
		"RZ",
		"UPDATE incomplete_orders.messages m SET due_at = k.due_at"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) k (row, due_at) WHERE m.ctid" EQ "k.row"
	};
	Datum	   *rows = palloc((n + 1) * sizeof(Datum));
	Datum	   *instants = palloc((n + 1) * sizeof(Datum));
	Datum		values[2];

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		rows[i] = PointerGetDatum(&claims[i]->row);
		instants[i] = TimestampTzGetDatum(claims[i]->due_at);
	}
	values[0] = ico_array_of(rows, n, TIDOID);
	values[1] = ico_array_of(instants, n, TIMESTAMPTZOID);
	(void) ico_execute(&plan, values, NULL);
}

static void
move_later(IcoClaim **claims, int n_claims)
{
	IcoClaim  **moved = palloc((n_claims + 1) * sizeof(IcoClaim *));
	int			n = 0;

	for (int i = 0; i < n_claims; i++)
	{
		if (is_of_sequence(claims[i]) && claims[i]->later)
			moved[n++] = claims[i];
	}
	ico_move_claims(moved, n);
}

void
ico_time_claims(IcoClaim **claims, int n, TimestampTz now)
{
	keep_distance(claims, n, now);
	keep_gap(claims, n, now);
	for (int i = 0; i < n; i++)
	{
		if (is_of_sequence(claims[i]) && claims[i]->awake_at > now)
			wait_until(claims[i], claims[i]->awake_at);
	}
	move_later(claims, n);
}

void
ico_note_recipients(IcoClaim **claims, int n_claims)
{
	static IcoPlan plan = {
		"ALZU",
		"INSERT INTO incomplete_orders.person_messages (shop_id, person, queued_at, message_id) SELECT k.shop_id, k.person, k.queued_at, k.id"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4)) k (shop_id, person, queued_at, id)"
		" ON CONFLICT DO NOTHING"
	};
	static const Oid types[4] = {INT4OID, INT8OID, TIMESTAMPTZOID, UUIDOID};
	Datum	   *columns[4];
	Datum		values[4];
	int			n = 0;

	for (int i = 0; i < lengthof(columns); i++)
		columns[i] = palloc((n_claims * ICO_PERSON_KEYS + 1) * sizeof(Datum));
	for (int i = 0; i < n_claims; i++)
	{
		IcoClaim   *c = claims[i];
		int			len = VARSIZE_ANY_EXHDR(c->email);

		if (VARSIZE_ANY_EXHDR(c->recipient) == len && memcmp(VARDATA_ANY(c->recipient), VARDATA_ANY(c->email), len) == 0)
			continue;
		for (int k = 0; k < c->n_persons; k++)
		{
			columns[0][n] = Int32GetDatum(c->shop_id);
			columns[1][n] = Int64GetDatum(c->persons[k]);
			columns[2][n] = TimestampTzGetDatum(c->queued_at);
			columns[3][n++] = UUIDPGetDatum(&c->id);
		}
	}
	if (n == 0)
		return;
	for (int i = 0; i < lengthof(columns); i++)
		values[i] = ico_array_of(columns[i], n, types[i]);
	(void) ico_execute(&plan, values, NULL);
}
