/*
 * attach.c
 *		What attach() needs beside SQL: the caller's search_path, the grammar, and
 *		the rights of the role that attaches.
 *
 * Expressions of a mapping are the shop's SQL.  They become part of a query only
 * if they parse as one expression by themselves, so that none can end the
 * parentheses around it.  They are planned and run as the role that attaches,
 * under SECURITY_RESTRICTED_OPERATION (hook.c), never as our owner; the triggers
 * are made as that role too, so it needs its rights to the tables and gets none
 * from us.
 *
 * Memory: that of the call.  Locks: SHARE ROW EXCLUSIVE on a shop's tables until
 * the commit, to make triggers, ACCESS EXCLUSIVE to drop them.  All of them are
 * taken at once or none, without standing in a queue: who holds one table and waits
 * for the next could end one of the shop's transactions as a deadlock, and who waits
 * makes those wait that come after.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "errors.h"
#include "hook.h"
#include "plan.h"
#include "tenant.h"

/* milliseconds; lock_timeout may say less */
#define PATIENCE 5000
#define LOOK_AGAIN 20

PG_FUNCTION_INFO_V1(ico_attach);
PG_FUNCTION_INFO_V1(ico_expression_fault);
PG_FUNCTION_INFO_V1(ico_try_query);
PG_FUNCTION_INFO_V1(ico_lock_tables);
PG_FUNCTION_INFO_V1(ico_make_mark_trigger);
PG_FUNCTION_INFO_V1(ico_drop_mark_trigger);

/* --- attach --------------------------------------------------------------- */

/* The schemas of the caller's search_path that it may use, as text[]. */
static Datum
callers_schemas(void)
{
	List	   *path;
	Datum	   *names;
	int			n = 0;
	ListCell   *cell;
	Oid			user;
	int			security;

	/* what is in the path depends on who asks */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(GetOuterUserId(), security | SECURITY_LOCAL_USERID_CHANGE);
	path = fetch_search_path(false);
	SetUserIdAndSecContext(user, security);
	names = palloc((list_length(path) + 1) * sizeof(Datum));
	foreach(cell, path)
	{
		char	   *name = get_namespace_name(lfirst_oid(cell));

		if (name != NULL)
			names[n++] = CStringGetTextDatum(name);
	}
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
ico_attach(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"ittjbT", "SELECT check_name, result FROM incomplete_orders._attach($1, $2, $3, $4, $5, $6)"
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	IcoShop		shop;
	Datum		values[6];
	char		nulls[6] = {' ', ' ', ' ', ' ', ' ', ' '};
	uint64		n;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_refuse_in_hook();
	ico_enter_shop(ICO_RIGHT_attach, PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3), &shop);
	values[0] = Int32GetDatum(shop.shop_id);
	for (int i = 0; i < 3; i++)
	{
		values[i + 1] = PG_GETARG_DATUM(i);
		nulls[i + 1] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	values[4] = BoolGetDatum(!PG_ARGISNULL(4) && PG_GETARG_BOOL(4));
	values[5] = callers_schemas();
	n = ico_execute(&plan, values, nulls);
	for (uint64 i = 0; i < n; i++)
	{
		Datum		row[2];
		bool		row_nulls[2];

		for (int column = 0; column < lengthof(row); column++)
			row[column] = ico_column(i, column + 1, &row_nulls[column]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, row_nulls);
	}
	SPI_finish();
	return (Datum) 0;
}

/* --- expressions ------------------------------------------------------------ */

typedef struct Parsing
{
	const char *text;
	List	   *trees;
} Parsing;

static void
parse(void *arg)
{
	Parsing    *parsing = arg;

	parsing->trees = raw_parser(parsing->text, RAW_PARSE_PLPGSQL_EXPR);
}

/* One target without a name of its own, and nothing else of a SELECT. */
static bool
is_expression(List *trees)
{
	SelectStmt *select;
	ResTarget  *target;

	if (list_length(trees) != 1 || !IsA(linitial_node(RawStmt, trees)->stmt, SelectStmt))
		return false;
	select = (SelectStmt *) linitial_node(RawStmt, trees)->stmt;
	if (select->op != SETOP_NONE || select->distinctClause != NIL || select->intoClause != NULL ||
		select->fromClause != NIL || select->whereClause != NULL || select->groupClause != NIL ||
		select->havingClause != NULL || select->windowClause != NIL || select->valuesLists != NIL ||
		select->sortClause != NIL || select->limitOffset != NULL || select->limitCount != NULL ||
		select->lockingClause != NIL || select->withClause != NULL || list_length(select->targetList) != 1)
		return false;
	target = linitial_node(ResTarget, select->targetList);
	if (target->name != NULL || target->indirection != NIL)
		return false;
	return !(IsA(target->val, ColumnRef) && IsA(llast(((ColumnRef *) target->val)->fields), A_Star));
}

static bool
has_parameter(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, ParamRef) || raw_expression_tree_walker(node, has_parameter, context);
}

Datum
ico_expression_fault(PG_FUNCTION_ARGS)
{
	Parsing		parsing = {text_to_cstring(PG_GETARG_TEXT_PP(0)), NIL};
	ErrorData  *error;

	error = ico_try(parse, &parsing);
	if (error != NULL)
		PG_RETURN_TEXT_P(cstring_to_text(psprintf("It is not an SQL expression: %s.", error->message)));
	if (!is_expression(parsing.trees))
		PG_RETURN_TEXT_P(cstring_to_text("It must be one SQL expression and nothing else."));
	if (has_parameter(linitial_node(RawStmt, parsing.trees)->stmt, NULL))
		PG_RETURN_TEXT_P(cstring_to_text("It must not use parameters ($1)."));
	PG_RETURN_NULL();
}

/* --- queries, as the role that attaches -------------------------------------- */

/* The types of its columns, in that context. */
typedef struct Answer
{
	MemoryContext context;
	ArrayType  *types;
} Answer;

static void
read_types(void *arg, uint64 rows)
{
	Answer	   *answer = arg;
	TupleDesc	desc = SPI_tuptable->tupdesc;
	MemoryContext old = MemoryContextSwitchTo(answer->context);
	Datum	   *types = palloc(desc->natts * sizeof(Datum));

	for (int i = 0; i < desc->natts; i++)
		types[i] = CStringGetTextDatum(format_type_be_qualified(TupleDescAttr(desc, i)->atttypid));
	answer->types = construct_array(types, desc->natts, TEXTOID, -1, false, TYPALIGN_INT);
	MemoryContextSwitchTo(old);
}

static void
refuse_role(const char *role)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" may not read the tables of this shop", role),
			 errdetail("It is not an admin of the shop, or was dropped."),
			 errhint("Attach again as a role that is.")));
}

/* _try_query(shop_id, role, query, lists) -> (types, fault, hint, sqlstate) */
Datum
ico_try_query(PG_FUNCTION_ARGS)
{
	Answer		answer = {CurrentMemoryContext, NULL};
	IcoHook		hook = {
		.shop_id = PG_GETARG_INT32(0), .role = text_to_cstring(PG_GETARG_TEXT_PP(1)), .query = text_to_cstring(PG_GETARG_TEXT_PP(2)),
		.reading = true, .most = 1, .read = read_types, .arg = &answer
	};
	TupleDesc	desc;
	Datum		values[4] = {0};
	bool		nulls[4] = {true, true, true, true};
	int			sqlstate;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	SPI_connect();
	if (PG_GETARG_BOOL(3))
	{
		/* after nothing, no rows */
		hook.n_args = 2;
		hook.types[0] = TEXTOID;
		hook.nulls[0] = 'n';
		hook.types[1] = INT4OID;
		hook.values[1] = Int32GetDatum(0);
	}
	else
	{
		hook.n_args = 1;
		hook.types[0] = TEXTARRAYOID;
		hook.values[0] = PointerGetDatum(construct_empty_array(TEXTOID));
	}
	if (ico_call_hook(&hook, &sqlstate))
	{
		values[0] = PointerGetDatum(answer.types);
		nulls[0] = false;
	}
	else
	{
		MemoryContext old = MemoryContextSwitchTo(answer.context);

		if (hook.error == NULL)
			refuse_role(hook.role);
		values[1] = CStringGetTextDatum(hook.error->message);
		nulls[1] = false;
		nulls[2] = hook.error->hint == NULL;
		values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(hook.error->hint);
		values[3] = CStringGetTextDatum(unpack_sql_state(sqlstate));
		nulls[3] = false;
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* --- triggers ------------------------------------------------------------- */

/* Statements that the role runs itself; the caller is connected to SPI. */
typedef struct Commands
{
	Oid			role;
	List	   *texts;
} Commands;

static void
run(void *arg)
{
	Commands   *commands = arg;
	Oid			user;
	int			security;
	int			guc_level = NewGUCNestLevel();
	ListCell   *cell;

	GetUserIdAndSecContext(&user, &security);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SetUserIdAndSecContext(commands->role, security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	foreach(cell, commands->texts)
		(void) SPI_execute(lfirst(cell), false, 0);
	SetUserIdAndSecContext(user, security);
	AtEOXact_GUC(false, guc_level);
}

static char *
qualified_name(Oid relation)
{
	char	   *name = get_rel_name(relation);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table with OID %u is gone", relation)));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name);
}

/* Relations and their partitions. */
typedef struct Tables
{
	List	   *relations;
	LOCKMODE	mode;
	Oid			taken;			/* the first that somebody has, or InvalidOid */
} Tables;

static void
lock_tables(void *arg)
{
	Tables	   *tables = arg;
	ListCell   *cell;

	tables->taken = InvalidOid;
	foreach(cell, tables->relations)
	{
		if (ConditionalLockRelationOid(lfirst_oid(cell), tables->mode))
			continue;
		tables->taken = lfirst_oid(cell);
		/* those that were had are given back */
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE), errmsg("a table is locked")));
	}
}

/* _lock_tables(relations, exclusive) */
Datum
ico_lock_tables(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	Tables		tables = {NIL, PG_GETARG_BOOL(1) ? AccessExclusiveLock : ShareRowExclusiveLock, InvalidOid};
	int			patience = LockTimeout > 0 ? Min(LockTimeout, PATIENCE) : PATIENCE;
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), patience);
	ErrorData  *error;

	for (int i = 0; i < n; i++)
		tables.relations = list_concat_unique_oid(tables.relations, find_all_inheritors(((Oid *) ARR_DATA_PTR(array))[i], NoLock, NULL));
	SPI_connect();
	while ((error = ico_try(lock_tables, &tables)) != NULL)
	{
		if (!OidIsValid(tables.taken))
			ReThrowError(error);
		if (GetCurrentTimestamp() >= end)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("table %s is in use", qualified_name(tables.taken)),
					 errdetail("To make or drop a trigger every table must be free of writers for a moment (of readers, too, to drop one)."),
					 errhint("Nothing was changed. Try again; pg_stat_activity shows transactions that are open for long.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_AGAIN, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_finish();
	PG_RETURN_VOID();
}

static void
add_trigger(Commands *commands, const char *name, const char *event, const char *table, const char *each, const char *call, bool always)
{
	commands->texts = lappend(commands->texts, psprintf("CREATE OR REPLACE TRIGGER %s AFTER %s ON %s FOR EACH %s %s", name, event, table, each, call));
	if (always)
		commands->texts = lappend(commands->texts, psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, name));
}

/*
 * Two triggers: rows, and TRUNCATE.  Partitions get the first from their parent;
 * the second is theirs alone.
 */
Datum
ico_make_mark_trigger(PG_FUNCTION_ARGS)
{
	Commands	commands = {get_role_oid(text_to_cstring(PG_GETARG_TEXT_PP(0)), false), NIL};
	int32		attachment = PG_GETARG_INT32(1);
	int32		path = PG_GETARG_INT32(2);
	Oid			relation = PG_GETARG_OID(3);
	bool		always = PG_GETARG_BOOL(6);
	char	   *name = psprintf("incomplete_orders_mark_%d_%d", attachment, path);
	char	   *call = psprintf("EXECUTE FUNCTION incomplete_orders._mark_cart('%d', '%d', '%u', '%d', %s)", attachment, path,
								relation, PG_GETARG_INT32(4), quote_literal_cstr(text_to_cstring(PG_GETARG_TEXT_PP(5))));
	ListCell   *cell;

	add_trigger(&commands, name, "INSERT OR UPDATE OR DELETE", qualified_name(relation), "ROW", call, always);
	foreach(cell, find_all_inheritors(relation, NoLock, NULL))
	{
		if (lfirst_oid(cell) == relation || get_rel_relispartition(lfirst_oid(cell)))
			add_trigger(&commands, psprintf("%s_truncate", name), "TRUNCATE", qualified_name(lfirst_oid(cell)), "STATEMENT", call, always);
	}
	SPI_connect();
	run(&commands);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
ico_drop_mark_trigger(PG_FUNCTION_ARGS)
{
	Commands	commands = {get_role_oid(text_to_cstring(PG_GETARG_TEXT_PP(0)), true), NIL};
	MemoryContext context = CurrentMemoryContext;
	text	   *fault = NULL;
	ErrorData  *error;

	if (!OidIsValid(commands.role))
		PG_RETURN_TEXT_P(cstring_to_text("that role is gone"));
	commands.texts = list_make1(psprintf("DROP TRIGGER %s ON %s", quote_identifier(text_to_cstring(PG_GETARG_TEXT_PP(2))),
										 qualified_name(PG_GETARG_OID(1))));
	SPI_connect();
	error = ico_try(run, &commands);
	if (error != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		fault = cstring_to_text(error->message);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	if (fault == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(fault);
}
