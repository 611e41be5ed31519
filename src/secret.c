/*
 * secret.c
 *		Keys of our own: hashes of persons, signatures of links.
 *
 * The rows of secret_keys are read once per backend, into static memory, and
 * read again when that table's relation cache entry is invalidated: a row
 * trigger ENABLE ALWAYS sends that.  They are read under the latest snapshot, for
 * the reason that tenant.c gives.
 *
 * A person's key is SipHash-2-4 over the shop, a letter for the kind of identity
 * and its normal form: 64 bits that nobody can compute without the key, so a
 * table of them says nothing about an address, and they are the same after a
 * dump and restore.  An HMAC says no more and takes 26 thousand instructions,
 * three times for each message and each conversion; this takes a few hundred.
 * Who is held out and who gets which variant is drawn from the same key.
 * Locks: ACCESS SHARE on secret_keys while it is read.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hmac.h"
#include "fmgr.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "errors.h"
#include "plan.h"
#include "secret.h"

/* the person's key comes first; rotate_link_key() keeps fewer link keys than that */
#define MAX_SECRETS 64

PG_FUNCTION_INFO_V1(ico_person_keys_sql);
PG_FUNCTION_INFO_V1(ico_draw);
PG_FUNCTION_INFO_V1(ico_hmac_sha256);

static IcoSecret secrets[MAX_SECRETS];
static int	n_secrets;
static bool secrets_valid = false;
static Oid	secrets_relid = InvalidOid;

static void
forget_secrets(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == secrets_relid)
		secrets_valid = false;
}

void
ico_secret_init(void)
{
	CacheRegisterRelcacheCallback(forget_secrets, (Datum) 0);
}

static void
read_secrets(void)
{
	static IcoPlan plan = {
		"",
		"SELECT k.purpose" EQ "'link', k.key_id, k.secret FROM incomplete_orders.secret_keys k"
		" ORDER BY 1, k.key_id DESC LIMIT 64"
	};
	uint64		n;
	bool		isnull;

	secrets_relid = get_relname_relid("secret_keys", ico_catalog()->schema);
	if (!OidIsValid(secrets_relid))
		ereport(ERROR,
				(errcode(ICO_ERR_NOT_SET_UP),
				 errmsg("incomplete_orders is not set up in this database"),
				 errdetail("The extension is installed, but its tables were not made yet."),
				 errhint("SELECT incomplete_orders.setup();")));
	n = ico_execute_read(&plan, NULL, NULL, GetLatestSnapshot());
	for (n_secrets = 0; n_secrets < n && n_secrets < MAX_SECRETS; n_secrets++)
	{
		IcoSecret  *secret = &secrets[n_secrets];
		bytea	   *value = DatumGetByteaPP(ico_column(n_secrets, 3, &isnull));

		secret->purpose = DatumGetBool(ico_column(n_secrets, 1, &isnull)) ? ICO_SECRET_LINK : ICO_SECRET_PERSON;
		secret->key_id = DatumGetInt32(ico_column(n_secrets, 2, &isnull));
		memcpy(secret->secret, VARDATA_ANY(value), Min(VARSIZE_ANY_EXHDR(value), ICO_SECRET_BYTES));
	}
	SPI_freetuptable(SPI_tuptable);
}

const IcoSecret *
ico_secret(IcoSecretPurpose purpose, int32 key_id)
{
	if (!secrets_valid)
	{
		/* what is invalidated from here on is read again */
		secrets_valid = true;
		PG_TRY();
		{
			read_secrets();
		}
		PG_CATCH();
		{
			secrets_valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	for (int i = 0; i < n_secrets; i++)
	{
		if (secrets[i].purpose == purpose && (key_id == 0 || secrets[i].key_id == key_id))
			return &secrets[i];
	}
	return NULL;
}

static void
compute_hmac(pg_cryptohash_type type, const uint8 *key, size_t key_len, const void *data, size_t len, uint8 *mac, size_t mac_len)
{
	pg_hmac_ctx *context = pg_hmac_create(type);
	bool		good = context != NULL &&
		pg_hmac_init(context, key, key_len) >= 0 &&
		pg_hmac_update(context, data, len) >= 0 &&
		pg_hmac_final(context, mac, mac_len) >= 0;

	if (context != NULL)
		pg_hmac_free(context);
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute an HMAC")));
}

void
ico_hmac512(const IcoSecret *secret, const void *data, int len, uint8 mac[PG_SHA512_DIGEST_LENGTH])
{
	compute_hmac(PG_SHA512, secret->secret, ICO_SECRET_BYTES, data, len, mac, PG_SHA512_DIGEST_LENGTH);
}

/* _hmac_sha256(key, data) -> bytea */
Datum
ico_hmac_sha256(PG_FUNCTION_ARGS)
{
	bytea	   *key = PG_GETARG_BYTEA_PP(0);
	bytea	   *data = PG_GETARG_BYTEA_PP(1);
	bytea	   *mac = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	SET_VARSIZE(mac, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	compute_hmac(PG_SHA256, (const uint8 *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data),
				 (uint8 *) VARDATA(mac), PG_SHA256_DIGEST_LENGTH);
	PG_RETURN_BYTEA_P(mac);
}

/* --- SipHash-2-4 --- */

static inline uint64
read_word(const uint8 *data, int len)
{
	uint64		word = 0;

	for (int i = 0; i < len; i++)
		word |= (uint64) data[i] << (8 * i);
	return word;
}

static inline uint64
turned(uint64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static void
sip_rounds(uint64 v[4], int n)
{
	while (n-- > 0)
	{
		v[0] += v[1];
		v[1] = turned(v[1], 13) ^ v[0];
		v[0] = turned(v[0], 32);
		v[2] += v[3];
		v[3] = turned(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = turned(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = turned(v[1], 17) ^ v[2];
		v[2] = turned(v[2], 32);
	}
}

static void
sip_word(uint64 v[4], uint64 word)
{
	v[3] ^= word;
	sip_rounds(v, 2);
	v[0] ^= word;
}

/* Words are read as little-endian on every machine: a dump moves between them. */
static uint64
siphash(const uint8 key[16], const uint8 *data, int len)
{
	uint64		k0 = read_word(key, 8);
	uint64		k1 = read_word(key + 8, 8);
	uint64		v[4] = {
		k0 ^ UINT64CONST(0x736f6d6570736575), k1 ^ UINT64CONST(0x646f72616e646f6d),
		k0 ^ UINT64CONST(0x6c7967656e657261), k1 ^ UINT64CONST(0x7465646279746573)
	};
	int			whole = len & ~7;

	for (int i = 0; i < whole; i += 8)
		sip_word(v, read_word(data + i, 8));
	sip_word(v, read_word(data + whole, len - whole) | (uint64) (len & 0xff) << 56);
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The normal form behind the kind's letter, both in buffer; its length. */
static int
normal_form(char kind, text *value, char *buffer)
{
	const char *s = VARDATA_ANY(value);
	int			len = VARSIZE_ANY_EXHDR(value);
	int			n = 0;

	buffer[n++] = kind;
	while (kind == 'e' && len > 0 && s[0] == ' ')
		s++, len--;
	while (kind == 'e' && len > 0 && s[len - 1] == ' ')
		len--;
	for (int i = 0; i < len; i++)
	{
		if (kind == 'p' && (s[i] < '0' || s[i] > '9'))
			continue;
		buffer[n++] = kind == 'e' && s[i] >= 'A' && s[i] <= 'Z' ? s[i] + ('a' - 'A') : s[i];
	}
	return n;
}

text *
ico_normal_email(text *email)
{
	char	   *buffer = palloc(1 + VARSIZE_ANY_EXHDR(email));
	int			len = normal_form('e', email, buffer);

	return cstring_to_text_with_len(buffer + 1, len - 1);
}

static const IcoSecret *
person_secret(void)
{
	const IcoSecret *secret = ico_secret(ICO_SECRET_PERSON, 0);

	if (secret == NULL)
		ereport(ERROR,
				(errcode(ICO_ERR_NOT_SET_UP),
				 errmsg("table \"incomplete_orders.secret_keys\" has no key for persons"),
				 errdetail("Suppressions were made with that key; a new one would forget them."),
				 errhint("Restore the table from a dump; only where there is none, call incomplete_orders.setup().")));
	return secret;
}

int
ico_person_keys(int32 shop_id, text *customer_id, text *email, text *phone, int64 keys[ICO_PERSON_KEYS])
{
	text	   *values[ICO_PERSON_KEYS] = {customer_id, email, phone};
	static const char kinds[ICO_PERSON_KEYS] = {'c', 'e', 'p'};
	uint32		shop = pg_hton32((uint32) shop_id);
	int			n = 0;

	for (int i = 0; i < ICO_PERSON_KEYS; i++)
	{
		const IcoSecret *secret;
		char	   *buffer;
		int			len;

		if (values[i] == NULL)
			continue;
		buffer = palloc(sizeof(shop) + 1 + VARSIZE_ANY_EXHDR(values[i]));
		memcpy(buffer, &shop, sizeof(shop));
		len = normal_form(kinds[i], values[i], buffer + sizeof(shop));
		if (len == 1)
			continue;
		secret = person_secret();
		keys[n++] = (int64) siphash(secret->secret, (const uint8 *) buffer, sizeof(shop) + len);
		pfree(buffer);
	}
	return n;
}

/* _person_keys(shop_id, customer_id, email, phone) -> bigint[] */
Datum
ico_person_keys_sql(PG_FUNCTION_ARGS)
{
	text	   *values[ICO_PERSON_KEYS];
	int64		keys[ICO_PERSON_KEYS];
	Datum		elements[ICO_PERSON_KEYS];
	int			n;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	for (int i = 0; i < ICO_PERSON_KEYS; i++)
		values[i] = PG_ARGISNULL(i + 1) ? NULL : PG_GETARG_TEXT_PP(i + 1);
	SPI_connect();
	n = ico_person_keys(PG_GETARG_INT32(0), values[0], values[1], values[2], keys);
	SPI_finish();
	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(keys[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * _draw(shop_id, purpose, email) -> double precision: between 0 and 1, evenly, and
 * always the same for that address and purpose.  The letter in front keeps it apart
 * from the keys of persons.
 */
Datum
ico_draw(PG_FUNCTION_ARGS)
{
	text	   *purpose = PG_GETARG_TEXT_PP(1);
	text	   *email = PG_GETARG_TEXT_PP(2);
	uint32		shop = pg_hton32((uint32) PG_GETARG_INT32(0));
	int			purpose_len = VARSIZE_ANY_EXHDR(purpose);
	char	   *buffer = palloc(sizeof(shop) + 3 + purpose_len + VARSIZE_ANY_EXHDR(email));
	int			len = sizeof(shop);
	uint64		hash;

	memcpy(buffer, &shop, sizeof(shop));
	buffer[len++] = 'd';
	memcpy(buffer + len, VARDATA_ANY(purpose), purpose_len);
	len += purpose_len;
	buffer[len++] = '\0';
	len += normal_form('e', email, buffer + len);
	SPI_connect();
	hash = siphash(person_secret()->secret, (const uint8 *) buffer, len);
	SPI_finish();
	pfree(buffer);
	/* 53 bits are what a double holds, and neither 0, of which there is no logarithm, nor 1 */
	PG_RETURN_FLOAT8(((double) (hash >> 12) + 0.5) / (double) (UINT64CONST(1) << 52));
}
