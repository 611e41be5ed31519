/*
 * tenant.c
 *		Shops, and who may act for them.
 *
 * Two caches per backend, both in TenantContext under TopMemoryContext and
 * thrown away together: rows of shops by name and by id, and what a role may do
 * in a shop.  They are dropped when the relation cache of shops or shop_members
 * is invalidated (row triggers ENABLE ALWAYS send that) and when roles or
 * memberships of roles change, so a right that was taken away is gone with the
 * next call.  Rows are read under the latest snapshot, not the transaction's:
 * under REPEATABLE READ an older one could be cached after its invalidation.
 *
 * Locks: ACCESS SHARE on shops and shop_members while they are read.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errors.h"
#include "guc.h"
#include "plan.h"
#include "tenant.h"
#include "uuid7.h"

/* 1970 and 10000 in UTC: cut-offs and expiries can be added without a look at
 * the ends of timestamptz; the infinities lie outside */
#define FIRST_INSTANT ((TimestampTz) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define LAST_INSTANT ((TimestampTz) 2921940 * USECS_PER_DAY)

typedef struct ShopByName
{
	char		name[NAMEDATALEN];
	int32		shop_id;
} ShopByName;

typedef struct RightsKey
{
	Oid			role;
	int32		shop_id;
} RightsKey;

typedef struct RightsEntry
{
	RightsKey	key;
	int			purposes;
} RightsEntry;

/* a row of shop_members that counts */
typedef struct Member
{
	Oid			role;
	int32		shop_id;		/* 0: all shops */
	int			purpose;
} Member;

static MemoryContext TenantContext = NULL;
static bool tenant_valid = false;
static HTAB *shops_by_name;
static HTAB *shops_by_id;
static HTAB *rights;
static Member *members;
static int	n_members;
static Oid	shops_relid = InvalidOid;
static Oid	members_relid = InvalidOid;
/* who acts instead of the session's role, while a hook runs */
static Oid	stand_in = InvalidOid;

PG_FUNCTION_INFO_V1(ico_enter_shop_sql);
PG_FUNCTION_INFO_V1(ico_visible_shops);
PG_FUNCTION_INFO_V1(ico_list_rights);
PG_FUNCTION_INFO_V1(ico_acting_role);
PG_FUNCTION_INFO_V1(ico_is_owner_sql);
PG_FUNCTION_INFO_V1(ico_invalidate_cache);

static void
forget_relation(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == shops_relid || relid == members_relid)
		tenant_valid = false;
}

static void
forget_roles(Datum arg, int cacheid, uint32 hashvalue)
{
	tenant_valid = false;
}

void
ico_tenant_init(void)
{
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, forget_roles, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_roles, (Datum) 0);
}

/* Row trigger on shops and shop_members. */
Datum
ico_invalidate_cache(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"_invalidate_cache\" was not called by a trigger")));
	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigger->tg_relation));
	return PointerGetDatum(NULL);
}

static Oid
acting_role_oid(void)
{
	return OidIsValid(stand_in) ? stand_in : GetOuterUserId();
}

Oid
ico_act_as(Oid role)
{
	Oid			before = stand_in;

	stand_in = role;
	return before;
}

static const char *
acting_role_name(void)
{
	return GetUserNameFromId(acting_role_oid(), false);
}

const char *
ico_actor(void)
{
	if (ico_staff == NULL || ico_staff[0] == '\0')
		return acting_role_name();
	return psprintf("%s (%s)", acting_role_name(), ico_staff);
}

Datum
ico_acting_role(PG_FUNCTION_ARGS)
{
	Name		name = palloc(NAMEDATALEN);

	namestrcpy(name, acting_role_name());
	PG_RETURN_NAME(name);
}

static bool
is_owner(Oid role)
{
	return superuser_arg(role) || has_privs_of_role(role, ico_catalog()->owner);
}

Datum
ico_is_owner_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_owner(acting_role_oid()));
}

static HTAB *
make_table(const char *name, Size keysize, Size entrysize, int flags)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = keysize;
	ctl.entrysize = entrysize;
	ctl.hcxt = TenantContext;
	return hash_create(name, 64, &ctl, HASH_ELEM | HASH_CONTEXT | flags);
}

/* A member counts only while its role has that name at that oid, in this cluster. */
static void
add_member(int row)
{
	bool		isnull;
	Oid			role = DatumGetObjectId(ico_column(row, 3, &isnull));
	char	   *purpose;
	HeapTuple	tuple;

	if (DatumGetInt64(ico_column(row, 5, &isnull)) != (int64) GetSystemIdentifier())
		return;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	if (!HeapTupleIsValid(tuple))
		return;
	if (strcmp(NameStr(((Form_pg_authid) GETSTRUCT(tuple))->rolname),
			   TextDatumGetCString(ico_column(row, 2, &isnull))) == 0)
	{
		members[n_members].role = role;
		members[n_members].shop_id = DatumGetInt32(ico_column(row, 1, &isnull));
		purpose = TextDatumGetCString(ico_column(row, 4, &isnull));
		for (int p = 0; p < ICO_PURPOSES; p++)
		{
			if (strcmp(purpose, ico_purposes[p].name) == 0)
				members[n_members++].purpose = ico_purposes[p].bit;
		}
	}
	ReleaseSysCache(tuple);
}

static void
read_members(void)
{
	static IcoPlan plan = {
		"", "SELECT shop_id, role_name, role_oid, purpose, cluster_id FROM incomplete_orders.shop_members"
	};
	uint64		n = ico_execute_read(&plan, NULL, NULL, GetLatestSnapshot());

	members = MemoryContextAlloc(TenantContext, (n + 1) * sizeof(Member));
	n_members = 0;
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		add_member(i);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Makes the caches, empty, when they are not valid. */
static void
make_caches(void)
{
	Oid			schema = ico_catalog()->schema;

	if (tenant_valid)
		return;
	shops_relid = get_relname_relid("shops", schema);
	members_relid = get_relname_relid("shop_members", schema);
	if (!OidIsValid(shops_relid) || !OidIsValid(members_relid))
		ereport(ERROR,
				(errcode(ICO_ERR_NOT_SET_UP),
				 errmsg("incomplete_orders is not set up in this database"),
				 errdetail("The extension is installed, but its tables were not made yet."),
				 errhint("SELECT incomplete_orders.setup();")));
	if (TenantContext == NULL)
		TenantContext = AllocSetContextCreate(TopMemoryContext, "incomplete_orders tenants",
											  ALLOCSET_DEFAULT_SIZES);
	else
		MemoryContextReset(TenantContext);
	shops_by_name = make_table("shops by name", NAMEDATALEN, sizeof(ShopByName), HASH_STRINGS);
	shops_by_id = make_table("shops by id", sizeof(int32), sizeof(IcoShop), HASH_BLOBS);
	rights = make_table("rights", sizeof(RightsKey), sizeof(RightsEntry), HASH_BLOBS);
	/* valid from here on: what is invalidated while we read is read again */
	tenant_valid = true;
	PG_TRY();
	{
		read_members();
	}
	PG_CATCH();
	{
		tenant_valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

int64
ico_span(Datum interval)
{
	Interval   *i = DatumGetIntervalP(interval);

	return i->time + (i->day + (int64) i->month * DAYS_PER_MONTH) * USECS_PER_DAY;
}

#define SHOP_COLUMNS "shop_id, shop, currency, cut_off, expiry, attribution_window, consent_rule, page_prices"

static IcoPagePrices
page_prices_of(const char *setting)
{
	if (strcmp(setting, "accept") == 0)
		return ICO_PRICES_ACCEPTED;
	return strcmp(setting, "check") == 0 ? ICO_PRICES_CHECKED : ICO_PRICES_REFUSED;
}

static const IcoShop *
keep_shop(void)
{
	bool		isnull;
	int32		shop_id = DatumGetInt32(ico_column(0, 1, &isnull));
	char	   *name = TextDatumGetCString(ico_column(0, 2, &isnull));
	IcoShop    *shop = hash_search(shops_by_id, &shop_id, HASH_ENTER, NULL);
	ShopByName *by_name;

	strlcpy(shop->currency, TextDatumGetCString(ico_column(0, 3, &isnull)), sizeof(shop->currency));
	shop->cut_off = ico_span(ico_column(0, 4, &isnull));
	shop->expiry = ico_span(ico_column(0, 5, &isnull));
	shop->attribution_window = ico_span(ico_column(0, 6, &isnull));
	shop->strict_consent = strcmp(TextDatumGetCString(ico_column(0, 7, &isnull)), "strict") == 0;
	shop->page_prices = page_prices_of(TextDatumGetCString(ico_column(0, 8, &isnull)));
	shop->purposes = 0;
	by_name = hash_search(shops_by_name, name, HASH_ENTER, NULL);
	by_name->shop_id = shop_id;
	SPI_freetuptable(SPI_tuptable);
	return shop;
}

static const IcoShop *
shop_by_id(int32 shop_id)
{
	static IcoPlan plan = {"i", "SELECT " SHOP_COLUMNS " FROM incomplete_orders.shops WHERE shop_id" EQ "$1"};
	const IcoShop *shop = hash_search(shops_by_id, &shop_id, HASH_FIND, NULL);
	Datum		value = Int32GetDatum(shop_id);

	if (shop != NULL)
		return shop;
	if (ico_execute_read(&plan, &value, NULL, GetLatestSnapshot()) == 0)
		return NULL;
	return keep_shop();
}

static const IcoShop *
shop_by_name(const char *name)
{
	static IcoPlan plan = {"t", "SELECT " SHOP_COLUMNS " FROM incomplete_orders.shops WHERE shop" EQ "$1"};
	ShopByName *by_name;
	Datum		value;

	if (strlen(name) >= NAMEDATALEN)
		return NULL;
	by_name = hash_search(shops_by_name, name, HASH_FIND, NULL);
	if (by_name != NULL)
		return shop_by_id(by_name->shop_id);
	value = CStringGetTextDatum(name);
	if (ico_execute_read(&plan, &value, NULL, GetLatestSnapshot()) == 0)
		return NULL;
	return keep_shop();
}

bool
ico_shop_exists(int32 shop_id)
{
	make_caches();
	return shop_by_id(shop_id) != NULL;
}

/* What the role may do in the shop, through any role whose rights it has. */
static int
purposes_in(Oid role, int32 shop_id)
{
	RightsKey	key = {role, shop_id};
	RightsEntry *entry = hash_search(rights, &key, HASH_FIND, NULL);
	int			purposes = 0;

	if (entry != NULL)
		return entry->purposes;
	if (is_owner(role))
		purposes = ICO_OWNER | ICO_APP | ICO_SENDER | ICO_ANALYST | ICO_ADMIN;
	else
	{
		for (int i = 0; i < n_members; i++)
		{
			if ((members[i].shop_id == shop_id || members[i].shop_id == 0) &&
				!(purposes & members[i].purpose) && has_privs_of_role(role, members[i].role))
				purposes |= members[i].purpose;
		}
	}
	entry = hash_search(rights, &key, HASH_ENTER, NULL);
	entry->purposes = purposes;
	return purposes;
}

static bool
may(int purposes, IcoRight right)
{
	return (purposes & (ico_rights[right].purposes | ICO_OWNER)) != 0;
}

/* The acting role's only shop, or 0. */
static int32
only_shop(Oid role)
{
	int32		found = 0;

	if (is_owner(role))
		return 0;
	for (int i = 0; i < n_members; i++)
	{
		if (members[i].shop_id == found || !has_privs_of_role(role, members[i].role))
			continue;
		if (members[i].shop_id == 0 || found != 0)
			return 0;
		found = members[i].shop_id;
	}
	return found;
}

static void
refuse_shop(void)
{
	ereport(ERROR,
			(errcode(ICO_ERR_NO_SUCH_SHOP),
			 errmsg("no such shop, or no right to it"),
			 errdetail("Role \"%s\" may not do this for the shop that was named, or there is none of that name.",
					   acting_role_name()),
			 errhint("Name a shop that exists in the argument \"shop\"; rights are given by incomplete_orders.grant_to(). After a restore or pg_upgrade call incomplete_orders.setup() first.")));
}

void
ico_refuse_order(const pg_uuid_t *id)
{
	ereport(ERROR,
			(errcode(ICO_ERR_NO_SUCH_ORDER),
			 errmsg("no such order: %s", DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))),
			 errdetail("There is no order of that id in a shop that role \"%s\" may use for this.",
					   acting_role_name()),
			 errhint("The id is the one that capture_cart() returned.")));
}

void
ico_refuse_message(const pg_uuid_t *id)
{
	ereport(ERROR,
			(errcode(ICO_ERR_NO_SUCH_ORDER),
			 errmsg("no such message: %s", DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))),
			 errdetail("There is no message of that id in a shop that role \"%s\" may use for this.",
					   acting_role_name()),
			 errhint("The id is the one that claim_messages() returned.")));
}

void
ico_enter_shop(IcoRight right, text *shop, IcoShop *found)
{
	Oid			role = acting_role_oid();
	const IcoShop *entry = NULL;
	int			purposes;

	make_caches();
	if (shop != NULL)
		entry = shop_by_name(text_to_cstring(shop));
	else
	{
		int32		only = only_shop(role);

		entry = only != 0 ? shop_by_id(only) : shop_by_name("default");
	}
	if (entry == NULL)
		refuse_shop();
	purposes = purposes_in(role, entry->shop_id);
	if (!may(purposes, right))
		refuse_shop();
	*found = *entry;
	found->purposes = purposes;
}

void
ico_enter_any_shop(IcoRight right)
{
	Oid			role = acting_role_oid();

	make_caches();
	if (is_owner(role))
		return;
	for (int i = 0; i < n_members; i++)
	{
		if (may(members[i].purpose, right) && has_privs_of_role(role, members[i].role))
			return;
	}
	refuse_shop();
}

bool
ico_may_enter(IcoRight right, const pg_uuid_t *id, IcoShop *found)
{
	int32		shop_id = ico_shop_of(id);
	const IcoShop *entry;
	int			purposes;

	make_caches();
	entry = shop_id > 0 ? shop_by_id(shop_id) : NULL;
	if (entry == NULL)
		return false;
	purposes = purposes_in(acting_role_oid(), shop_id);
	if (!may(purposes, right))
		return false;
	*found = *entry;
	found->purposes = purposes;
	return true;
}

void
ico_enter_order(IcoRight right, const pg_uuid_t *id, IcoShop *found)
{
	if (!ico_may_enter(right, id, found))
		ico_refuse_order(id);
}

void
ico_enter_message(IcoRight right, const pg_uuid_t *id, IcoShop *found)
{
	if (!ico_may_enter(right, id, found))
		ico_refuse_message(id);
}

int
ico_enter_shops(IcoRight right, text *shop, int32 **shop_ids)
{
	static IcoPlan plan = {"", "SELECT shop_id FROM incomplete_orders.shops ORDER BY 1"};
	Oid			role = acting_role_oid();
	IcoShop		one;
	uint64		n;
	int			kept = 0;
	bool		isnull;

	if (shop == NULL || strcmp(text_to_cstring(shop), "*") != 0)
	{
		ico_enter_shop(right, shop, &one);
		*shop_ids = SPI_palloc(sizeof(int32));
		(*shop_ids)[0] = one.shop_id;
		return 1;
	}
	make_caches();
	n = ico_execute_read(&plan, NULL, NULL, GetLatestSnapshot());
	*shop_ids = SPI_palloc((n + 1) * sizeof(int32));
	for (uint64 i = 0; i < n; i++)
	{
		int32		shop_id = DatumGetInt32(ico_column(i, 1, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (may(purposes_in(role, shop_id), right))
			(*shop_ids)[kept++] = shop_id;
	}
	SPI_freetuptable(SPI_tuptable);
	return kept;
}

int
ico_keep_permitted(IcoRight right, int32 *shop_ids, int n)
{
	Oid			role = acting_role_oid();
	int			kept = 0;

	make_caches();
	for (int i = 0; i < n; i++)
	{
		if (may(purposes_in(role, shop_ids[i]), right))
			shop_ids[kept++] = shop_ids[i];
	}
	return kept;
}

bool
ico_role_may(const char *role, IcoRight right, int32 shop_id)
{
	Oid			oid = get_role_oid(role, true);

	make_caches();
	return OidIsValid(oid) && may(purposes_in(oid, shop_id), right);
}

bool
ico_shop_by_id(int32 shop_id, IcoShop *found)
{
	const IcoShop *entry;

	make_caches();
	entry = shop_by_id(shop_id);
	if (entry == NULL)
		return false;
	*found = *entry;
	found->purposes = purposes_in(acting_role_oid(), shop_id);
	return true;
}

void
ico_check_at(TimestampTz at, const IcoShop *shop)
{
	if (at == GetCurrentTransactionStartTimestamp())
		return;
	if (at < FIRST_INSTANT || at >= LAST_INSTANT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"at\" is not an instant from 1970 to 9999"),
				 errhint("Leave it out for now().")));
	if (!(shop->purposes & (ICO_ADMIN | ICO_OWNER)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("argument \"at\" may be given by the purpose admin only"),
				 errdetail("Role \"%s\" does not have it in this shop.", acting_role_name()),
				 errhint("Leave it out for now().")));
}

TimestampTz
ico_enter_at(FunctionCallInfo fcinfo, int argument, const IcoShop *shop)
{
	if (PG_ARGISNULL(argument))
		return GetCurrentTransactionStartTimestamp();
	ico_check_at(PG_GETARG_TIMESTAMPTZ(argument), shop);
	return PG_GETARG_TIMESTAMPTZ(argument);
}

Datum
ico_enter_shop_sql(PG_FUNCTION_ARGS)
{
	IcoShop		shop;

	SPI_connect();
	ico_enter_shop(ico_right_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0))),
				   PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), &shop);
	(void) ico_enter_at(fcinfo, 2, &shop);
	SPI_finish();
	PG_RETURN_INT32(shop.shop_id);
}

Datum
ico_visible_shops(PG_FUNCTION_ARGS)
{
	int32	   *shop_ids;
	int			n;
	Datum	   *elements;

	SPI_connect();
	n = ico_enter_shops(ico_right_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0))),
						PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), &shop_ids);
	SPI_finish();
	elements = palloc((n + 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(shop_ids[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* What the acting role may use: in that shop, or with '*' in any. */
Datum
ico_list_rights(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int32	   *shop_ids;
	int32	   *kept;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	n = ico_enter_shops(ICO_RIGHT_list_rights, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), &shop_ids);
	SPI_finish();
	kept = palloc((n + 1) * sizeof(int32));
	for (int i = 0; i < ICO_RIGHT_COUNT; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};

		memcpy(kept, shop_ids, n * sizeof(int32));
		if (ico_rights[i].name[0] == '_' || ico_keep_permitted((IcoRight) i, kept, n) == 0)
			continue;
		values[0] = CStringGetTextDatum(ico_rights[i].name);
		values[1] = CStringGetTextDatum(ico_kind_name(ico_rights[i].kind));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
