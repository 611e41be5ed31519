/*
 * uuid7.c
 *		Ids that are ordered in time and know their shop; references of orders.
 *
 * Inside one backend ids rise strictly, also within one tick of the clock; two
 * backends can only meet in the same quarter of a microsecond with the same 30
 * random bits.  The clock is the wall clock, never the caller's `at`.
 * No memory, no locks.
 */
#include "postgres.h"

#include <time.h>

#include "access/xlog.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "uuid7.h"

/* 12 bits of fraction below the millisecond */
#define TICKS_PER_MS 4096
/* a clock that was set back by more is believed again */
#define MAX_RUN_AHEAD ((uint64) TICKS_PER_MS * 1000)

PG_FUNCTION_INFO_V1(ico_shop_of_sql);
PG_FUNCTION_INFO_V1(ico_new_id);
PG_FUNCTION_INFO_V1(ico_id_at);
PG_FUNCTION_INFO_V1(ico_reference_of);
PG_FUNCTION_INFO_V1(ico_cluster_id);

static uint64
next_tick(void)
{
	static uint64 last = 0;
	struct timespec now;
	uint64		tick;

	clock_gettime(CLOCK_REALTIME, &now);
	tick = ((uint64) now.tv_sec * 1000 + now.tv_nsec / 1000000) * TICKS_PER_MS +
		((uint64) (now.tv_nsec % 1000000) * TICKS_PER_MS) / 1000000;
	if (tick <= last && last - tick < MAX_RUN_AHEAD)
		tick = last + 1;
	last = tick;
	return tick;
}

static void
put_time(uint64 tick, pg_uuid_t *id)
{
	uint64		ms = tick / TICKS_PER_MS;
	uint32		fraction = tick % TICKS_PER_MS;

	for (int i = 0; i < 6; i++)
		id->data[i] = (unsigned char) (ms >> (8 * (5 - i)));
	id->data[6] = 0x70 | (fraction >> 8);
	id->data[7] = fraction & 0xff;
}

void
ico_uuid7_make(int32 shop_id, pg_uuid_t *id)
{
	uint32		random;
	uint64		low;

	if (!pg_strong_random(&random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	put_time(next_tick(), id);
	low = ((uint64) 2 << 62) | ((uint64) (uint32) shop_id << 30) | (random & 0x3fffffff);
	for (int i = 0; i < 8; i++)
		id->data[8 + i] = (unsigned char) (low >> (8 * (7 - i)));
}

int32
ico_shop_of(const pg_uuid_t *id)
{
	uint64		low = 0;

	if ((id->data[6] >> 4) != 7 || (id->data[8] >> 6) != 2)
		return 0;
	for (int i = 0; i < 8; i++)
		low = (low << 8) | id->data[8 + i];
	return (int32) (uint32) (low >> 30);
}

Datum
ico_shop_of_sql(PG_FUNCTION_ARGS)
{
	int32		shop_id = ico_shop_of(PG_GETARG_UUID_P(0));

	if (shop_id <= 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(shop_id);
}

Datum
ico_new_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	ico_uuid7_make(PG_GETARG_INT32(0), id);
	PG_RETURN_UUID_P(id);
}

/* The least id of a millisecond: a bound of a partition. */
Datum
ico_id_at(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	pg_uuid_t  *id = palloc0(sizeof(pg_uuid_t));
	int64		us = at + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	if (TIMESTAMP_NOT_FINITE(at) || us < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no id has that time"),
				 errdetail("Ids carry milliseconds since 1970.")));
	put_time((uint64) (us / 1000) * TICKS_PER_MS, id);
	id->data[6] = 0;			/* below every version */
	PG_RETURN_UUID_P(id);
}

/*
 * INC- and 10 characters of Crockford's base32: 50 bits.  A Feistel network of
 * five rounds over two halves of 25 bits is a permutation, so references are
 * distinct as long as the numbers are, and neighbours look unlike.
 */
Datum
ico_reference_of(PG_FUNCTION_ARGS)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	static const uint32 keys[] = {0x1d4e3c5b, 0x0b7f29a1, 0x16c3d5e9, 0x09e8a4d7, 0x1357bd2f};
	const uint32 mask = (1 << 25) - 1;
	uint64		n = (uint64) PG_GETARG_INT64(0);
	uint32		left = (n >> 25) & mask;
	uint32		right = n & mask;
	char		out[14] = "INC-";

	for (int i = 0; i < lengthof(keys); i++)
	{
		uint64		mixed = ((uint64) right ^ keys[i]) * UINT64CONST(0x9E3779B97F4A7C15);
		uint32		swap = right;

		right = left ^ ((uint32) (mixed >> 32) & mask);
		left = swap;
	}
	n = ((uint64) left << 25) | right;
	for (int i = 0; i < 10; i++)
		out[4 + i] = digits[(n >> (5 * (9 - i))) & 31];
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out, sizeof(out)));
}

Datum
ico_cluster_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}
