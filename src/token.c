/*
 * token.c
 *		The tokens of the links in recovery messages.
 *
 * A token is 32 bytes: the message's id (16), the number of the key that signed
 * it (2), the day of issue since 2020-01-01 (2), both in network order, and 12
 * bytes of HMAC-SHA512 over those 20.  The five links of a message take one
 * slice each of the same HMAC, so a token opens one link and nothing else can be
 * made of it.  Written as 43 characters of base64url.  Nothing is stored.
 *
 * Whoever holds the token acts for the customer as far as the link goes; the
 * database role that hands it in still needs the right in the message's shop.
 *
 * Memory: all on the stack.  Locks: none but those of secret.c.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "secret.h"
#include "token.h"
#include "uuid7.h"

PG_FUNCTION_INFO_V1(ico_link_tokens_sql);

#define SIGNED_BYTES 20
#define TAG_BYTES 12
#define TOKEN_BYTES (SIGNED_BYTES + TAG_BYTES)
#define MAC_BYTES 64
StaticAssertDecl(ICO_LINKS * TAG_BYTES <= MAC_BYTES, "one HMAC has no room for all links");

/* 2020-01-01 as a TimestampTz; both epochs are at midnight UTC */
#define FIRST_DAY ((TimestampTz) 7305 * USECS_PER_DAY)
#define LAST_DAY PG_UINT16_MAX

/* days after the one of issue */
#define CART_DAYS 60
#define UNSUBSCRIBE_DAYS (5 * 366)
static const int valid_days[ICO_LINKS] = {
	[ICO_LINK_RESTORE] = CART_DAYS,
	[ICO_LINK_CLICK] = CART_DAYS,
	[ICO_LINK_OPEN] = CART_DAYS,
	[ICO_LINK_UNSUBSCRIBE] = UNSUBSCRIBE_DAYS,
	[ICO_LINK_NOT_ME] = UNSUBSCRIBE_DAYS,
};

typedef struct Parsed
{
	uint8		bytes[TOKEN_BYTES];
	pg_uuid_t	message_id;
	int			key_id;
	int			day;
} Parsed;

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* 32 bytes to 43 characters and a NUL */
static void
encode(const uint8 bytes[TOKEN_BYTES], char *out)
{
	uint32		bits = 0;
	int			n = 0;

	for (int i = 0; i < TOKEN_BYTES; i++)
	{
		bits = (bits << 8) | bytes[i];
		for (n += 8; n >= 6; n -= 6)
			*out++ = alphabet[(bits >> (n - 6)) & 63];
	}
	*out++ = alphabet[(bits << (6 - n)) & 63];
	*out = '\0';
}

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

/* The one spelling that encode() has; the two bits left over are 0. */
static bool
decode(const text *token, uint8 bytes[TOKEN_BYTES])
{
	const char *s = VARDATA_ANY(token);
	uint32		bits = 0;
	int			n = 0;

	if (VARSIZE_ANY_EXHDR(token) != ICO_TOKEN_CHARS)
		return false;
	for (int i = 0; i < ICO_TOKEN_CHARS; i++)
	{
		int			value = value_of(s[i]);

		if (value < 0)
			return false;
		bits = (bits << 6) | value;
		n += 6;
		if (n >= 8)
		{
			n -= 8;
			*bytes++ = bits >> n;
		}
	}
	return (bits & ((1 << n) - 1)) == 0;
}

static void
parse(Parsed *parsed)
{
	uint16		word;

	memcpy(&parsed->message_id, parsed->bytes, sizeof(pg_uuid_t));
	memcpy(&word, parsed->bytes + 16, sizeof(word));
	parsed->key_id = pg_ntoh16(word);
	memcpy(&word, parsed->bytes + 18, sizeof(word));
	parsed->day = pg_ntoh16(word);
}

static void
sign(const IcoSecret *key, const pg_uuid_t *message_id, int day, uint8 plain[SIGNED_BYTES], uint8 mac[MAC_BYTES])
{
	uint16		word = pg_hton16((uint16) key->key_id);

	memcpy(plain, message_id, sizeof(pg_uuid_t));
	memcpy(plain + 16, &word, sizeof(word));
	word = pg_hton16((uint16) day);
	memcpy(plain + 18, &word, sizeof(word));
	ico_hmac512(key, plain, SIGNED_BYTES, mac);
}

static void
write_tokens(const uint8 plain[SIGNED_BYTES], const uint8 mac[MAC_BYTES], IcoLinkTokens *tokens)
{
	uint8		bytes[TOKEN_BYTES];

	memcpy(bytes, plain, SIGNED_BYTES);
	for (int link = 0; link < ICO_LINKS; link++)
	{
		memcpy(bytes + SIGNED_BYTES, mac + link * TAG_BYTES, TAG_BYTES);
		encode(bytes, tokens->token[link]);
	}
}

static int
day_of(TimestampTz at)
{
	if (at < FIRST_DAY)
		return 0;
	return Min((at - FIRST_DAY) / USECS_PER_DAY, LAST_DAY);
}

void
ico_link_tokens(const pg_uuid_t *message_id, TimestampTz issued, IcoLinkTokens *tokens)
{
	const IcoSecret *key = ico_secret(ICO_SECRET_LINK, 0);
	uint8		plain[SIGNED_BYTES];
	uint8		mac[MAC_BYTES];

	if (key == NULL)
		ereport(ERROR,
				(errcode(ICO_ERR_NOT_SET_UP),
				 errmsg("table \"incomplete_orders.secret_keys\" has no key for links"),
				 errhint("SELECT incomplete_orders.rotate_link_key();")));
	sign(key, message_id, day_of(issued), plain, mac);
	write_tokens(plain, mac, tokens);
}

void
ico_refuse_token(const char *detail)
{
	ereport(ERROR,
			(errcode(ICO_ERR_BAD_TOKEN),
			 errmsg("the link is not valid"),
			 errdetail("%s", detail),
			 errhint("A link is the one of a recovery message, whole and unchanged.")));
}

/* Takes as long whatever differs. */
static bool
same_tag(const uint8 *a, const uint8 *b)
{
	volatile uint8 difference = 0;

	for (int i = 0; i < TAG_BYTES; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

/* The link that a token opens, or -1; no door yet. */
static int
verify(text *given, Parsed *parsed, IcoToken *found)
{
	const IcoSecret *key;
	uint8		plain[SIGNED_BYTES];
	uint8		mac[MAC_BYTES];
	int			match = -1;

	if (given == NULL || !decode(given, parsed->bytes))
		return -1;
	parse(parsed);
	/* 0 would be whichever is the newest */
	if (parsed->key_id == 0)
		return -1;
	key = ico_secret(ICO_SECRET_LINK, parsed->key_id);
	if (key == NULL)
		return -1;
	sign(key, &parsed->message_id, parsed->day, plain, mac);
	for (int link = 0; link < ICO_LINKS; link++)
	{
		if (same_tag(parsed->bytes + SIGNED_BYTES, mac + link * TAG_BYTES))
			match = link;
	}
	if (match < 0)
		return -1;
	found->message_id = parsed->message_id;
	found->link = match;
	write_tokens(plain, mac, &found->all);
	found->key_id = parsed->key_id;
	return match;
}

void
ico_enter_token(IcoRight right, text *given, int links, IcoToken *found)
{
	Parsed		parsed;
	int			link = verify(given, &parsed, found);

	if (link < 0 || !(links & ICO_LINK_BIT(link)) ||
		!ico_may_enter(right, &found->message_id, &found->shop))
		ico_refuse_token(ICO_NOT_THAT_LINK);
	/* by the clock, whatever instant the caller works at */
	if (day_of(GetCurrentTransactionStartTimestamp()) > parsed.day + valid_days[link])
		ico_refuse_token("It has expired.");
}

/*
 * The same key signs it as the token, but other bytes than any token's, so
 * neither can be made of the other.
 */
void
ico_token_session(const IcoToken *token, char session[ICO_TOKEN_CHARS + 1])
{
	static const char prefix[] = "session";
	const IcoSecret *key = ico_secret(ICO_SECRET_LINK, token->key_id);
	uint8		plain[sizeof(prefix) + sizeof(pg_uuid_t)];
	uint8		mac[MAC_BYTES];

	if (key == NULL)			/* deleted since the token was read */
		ico_refuse_token(ICO_NOT_THAT_LINK);
	memcpy(plain, prefix, sizeof(prefix));
	memcpy(plain + sizeof(prefix), &token->message_id, sizeof(pg_uuid_t));
	ico_hmac512(key, plain, sizeof(plain), mac);
	encode(mac, session);
}

/* _link_tokens(message_id, issued, OUT restore, OUT click, OUT open, OUT unsubscribe, OUT not_me) */
Datum
ico_link_tokens_sql(PG_FUNCTION_ARGS)
{
	IcoLinkTokens tokens;
	TupleDesc	desc;
	Datum		values[ICO_LINKS];
	bool		nulls[ICO_LINKS] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	SPI_connect();
	ico_link_tokens(PG_GETARG_UUID_P(0), PG_GETARG_TIMESTAMPTZ(1), &tokens);
	SPI_finish();
	for (int link = 0; link < ICO_LINKS; link++)
		values[link] = CStringGetTextDatum(tokens.token[link]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
