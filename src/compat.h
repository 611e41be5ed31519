/*
 * compat.h
 *		Differences between PostgreSQL 14 and 18, and nothing else.
 */
#ifndef ICO_COMPAT_H
#define ICO_COMPAT_H

#include "postgres.h"

#include "common/jsonapi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#if PG_VERSION_NUM < 140000 || PG_VERSION_NUM >= 190000
#error "incomplete_orders needs PostgreSQL 14 to 18"
#endif

/* Soft errors came with 16; before, every error is a hard one. */
#if PG_VERSION_NUM < 160000
#define errsave(context, ...) ereport(ERROR, __VA_ARGS__)
#endif

/* A lexer that does not decode strings (need_escapes false). */
static inline JsonLexContext *
ico_make_json_lexer(const char *json, int len)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, json, len, GetDatabaseEncoding(), false);
#else
	return makeJsonLexContextCstringLen((char *) json, len, GetDatabaseEncoding(), false);
#endif
}

#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* A function that returns all its rows at once; came with 15. */
#if PG_VERSION_NUM < 150000
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, int flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc	desc;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || !(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	rsinfo->setDesc = desc;
	MemoryContextSwitchTo(old);
}
#endif

/* Three calls of the table and index access methods. */
#if PG_VERSION_NUM >= 160000
#define IcoUpdateIndexes TU_UpdateIndexes
#define ico_insert_index_tuples(result, slot, estate, indexes) \
	ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL, (indexes) == TU_Summarizing)
#else
#define IcoUpdateIndexes bool
#define ico_insert_index_tuples(result, slot, estate, indexes) \
	ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL)
#endif
#if PG_VERSION_NUM >= 180000
#define ico_index_beginscan(table, index, snapshot, n) index_beginscan(table, index, snapshot, NULL, n, 0)
#else
#define ico_index_beginscan(table, index, snapshot, n) index_beginscan(table, index, snapshot, n, 0)
#endif

/* the number of this backend's running transaction; needs storage/proc.h */
#if PG_VERSION_NUM >= 170000
#define ICO_LXID (MyProc->vxid.lxid)
#else
#define ICO_LXID (MyProc->lxid)
#endif

#endif							/* ICO_COMPAT_H */
