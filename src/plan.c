/*
 * plan.c
 *		Kept SPI plans, and the OIDs of our own types that they need.
 *
 * Plans live as long as the backend (SPI_keepplan) and are linked in `prepared`.
 * They are made generic at once: every one of them is a lookup by key, so five
 * custom plans first would be wasted.  The catalog of our types is looked up
 * once and dropped when pg_namespace changes; if the schema then has another
 * oid (the extension was dropped and made again), the plans go too.
 *
 * No locks but those that the plans themselves take.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "errors.h"
#include "plan.h"

const char *const ico_kind_names[ICO_KINDS] = {"cart", "payment", "partial"};
const char *const ico_status_names[ICO_STATUSES] = {
	"pending", "payment_pending", "payment_failed", "abandoned",
	"converted", "expired", "dismissed", "deleted", "reversed"
};
const char *const ico_step_names[ICO_STEPS] = {"cart", "contact", "shipping", "payment", "review"};

static IcoCatalog catalog;
static bool catalog_valid = false;
static IcoPlan *prepared = NULL;

static void
forget_catalog(Datum arg, int cacheid, uint32 hashvalue)
{
	catalog_valid = false;
}

void
ico_plan_init(void)
{
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_catalog, (Datum) 0);
}

static Oid
type_oid(Oid schema, const char *name)
{
	Oid			oid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
									  CStringGetDatum(name), ObjectIdGetDatum(schema));

	if (!OidIsValid(oid))
		elog(ERROR, "type incomplete_orders.%s does not exist", name);
	return oid;
}

static void
label_oids(Oid type, const char *const *names, int n, Oid *oids)
{
	for (int i = 0; i < n; i++)
	{
		oids[i] = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid,
								  ObjectIdGetDatum(type), CStringGetDatum(names[i]));
		if (!OidIsValid(oids[i]))
			elog(ERROR, "enum label \"%s\" does not exist", names[i]);
	}
}

static void
forget_plans(void)
{
	while (prepared != NULL)
		ico_plan_free(prepared);
}

const IcoCatalog *
ico_catalog(void)
{
	Oid			schema;

	if (catalog_valid)
		return &catalog;

	schema = get_namespace_oid("incomplete_orders", false);
	if (schema != catalog.schema)
	{
		forget_plans();
		memset(&catalog, 0, sizeof(catalog));
		catalog.owner = get_role_oid("incomplete_orders_owner", false);
		catalog.line_items = type_oid(schema, "line_items");
		catalog.kind_type = type_oid(schema, "order_kind");
		catalog.status_type = type_oid(schema, "order_status");
		catalog.step_type = type_oid(schema, "checkout_step");
		label_oids(catalog.kind_type, ico_kind_names, ICO_KINDS, catalog.kind);
		label_oids(catalog.status_type, ico_status_names, ICO_STATUSES, catalog.status);
		label_oids(catalog.step_type, ico_step_names, ICO_STEPS, catalog.step);
		catalog.schema = schema;
	}
	catalog_valid = true;
	return &catalog;
}

static int
label_index(Datum enum_oid, const Oid *oids, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (oids[i] == DatumGetObjectId(enum_oid))
			return i;
	}
	elog(ERROR, "unknown enum value %u", DatumGetObjectId(enum_oid));
	return 0;
}

IcoStatus
ico_status_of(Datum enum_oid)
{
	return (IcoStatus) label_index(enum_oid, ico_catalog()->status, ICO_STATUSES);
}

IcoKind
ico_kind_of(Datum enum_oid)
{
	return (IcoKind) label_index(enum_oid, ico_catalog()->kind, ICO_KINDS);
}

Datum
ico_status_datum(IcoStatus status)
{
	return ObjectIdGetDatum(ico_catalog()->status[status]);
}

Datum
ico_kind_datum(IcoKind kind)
{
	return ObjectIdGetDatum(ico_catalog()->kind[kind]);
}

Datum
ico_step_datum(IcoStep step)
{
	return ObjectIdGetDatum(ico_catalog()->step[step]);
}

static Oid
argument_type(char letter)
{
	switch (letter)
	{
		case 'i':
			return INT4OID;
		case 'I':
			return INT8OID;
		case 'u':
			return UUIDOID;
		case 't':
			return TEXTOID;
		case 'z':
			return TIMESTAMPTZOID;
		case 'n':
			return NUMERICOID;
		case 'j':
			return JSONBOID;
		case 'b':
			return BOOLOID;
		case 'v':
			return INTERVALOID;
		case 'l':
			return ico_catalog()->line_items;
		case 'k':
			return ico_catalog()->kind_type;
		case 's':
			return ico_catalog()->status_type;
		case 'S':
			return get_array_type(ico_catalog()->status_type);
		case 'c':
			return ico_catalog()->step_type;
		case 'U':
			return UUIDARRAYOID;
		case 'A':
			return INT4ARRAYOID;
		case 'L':
			return INT8ARRAYOID;
		case 'T':
			return TEXTARRAYOID;
		case 'Z':
			return TIMESTAMPTZARRAYOID;
		case 'R':
			return TIDARRAYOID;
	}
	elog(ERROR, "unknown argument type letter \"%c\"", letter);
	return InvalidOid;
}

/*
 * While a table is small and not analyzed yet, all its indexes cost the same,
 * and a plan may read a whole shop through the wrong one.  Kept, it would get
 * slower with every row until ANALYZE comes by (measured: 1,600 down to 270
 * captures a second).  So all plans are made anew at every doubling of the
 * number of executions.  Marking them is safe while one of them runs.
 */
static void
replan_as_tables_grow(void)
{
	static uint64 executions = 0;

	executions++;
	if (executions >= 64 && (executions & (executions - 1)) == 0)
		ResetPlanCache();
}

static void
prepare(IcoPlan *plan)
{
	Oid			letters[ICO_MAX_ARGS];
	const Oid  *types = plan->types;
	int			n = plan->ntypes;
	SPIPlanPtr	made;

	if (types == NULL)
	{
		types = letters;
		n = strlen(plan->argtypes);
		Assert(n <= ICO_MAX_ARGS);
		for (int i = 0; i < n; i++)
			letters[i] = argument_type(plan->argtypes[i]);
	}
	made = SPI_prepare_cursor(plan->query, n, unconstify(Oid *, types),
							  plan->custom ? CURSOR_OPT_CUSTOM_PLAN : CURSOR_OPT_GENERIC_PLAN);
	if (made == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(made);
	plan->plan = made;
	plan->next = prepared;
	prepared = plan;
}

void
ico_plan_free(IcoPlan *plan)
{
	for (IcoPlan **p = &prepared; *p != NULL; p = &(*p)->next)
	{
		if (*p == plan)
		{
			*p = plan->next;
			break;
		}
	}
	if (plan->plan != NULL)
		SPI_freeplan(plan->plan);
	plan->plan = NULL;
	plan->next = NULL;
}

uint64
ico_execute(IcoPlan *plan, Datum *values, const char *nulls)
{
	int			rc;

	(void) ico_catalog();		/* may drop plans of a former extension */
	replan_as_tables_grow();
	if (plan->plan == NULL)
		prepare(plan);
	rc = SPI_execute_plan(plan->plan, values, nulls, false, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

/* The same, read-only, in the given snapshot. */
uint64
ico_execute_read(IcoPlan *plan, Datum *values, const char *nulls, Snapshot snapshot)
{
	int			rc;

	(void) ico_catalog();
	replan_as_tables_grow();
	if (plan->plan == NULL)
		prepare(plan);
	rc = SPI_execute_snapshot(plan->plan, values, nulls, snapshot, InvalidSnapshot, true, false, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

Datum
ico_column(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}
