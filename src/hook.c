/*
 * hook.c
 *		Functions that a shop names and we call with the rights of who named them.
 *
 * Never as our owner: the function's body is the shop's.  It runs under
 * SECURITY_RESTRICTED_OPERATION, so that it cannot leave anything behind in the
 * session, with a pinned search_path, in a subtransaction that is rolled back
 * when it fails.  Memory: the answer is copied to the caller's context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "hook.h"
#include "tenant.h"

static char *
run(const char *function, const char *role, text *argument, MemoryContext context)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {PointerGetDatum(argument)};
	char	   *query = psprintf("SELECT %s($1)::pg_catalog.text", function);
	char	   *answer = NULL;
	Oid			user;
	int			security;
	int			guc_level;

	GetUserIdAndSecContext(&user, &security);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SetUserIdAndSecContext(get_role_oid(role, false),
						   security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	if (SPI_execute_with_args(query, 1, types, values, NULL, false, 1) == SPI_OK_SELECT && SPI_processed == 1)
	{
		answer = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		if (answer != NULL)
			answer = MemoryContextStrdup(context, answer);
	}
	SetUserIdAndSecContext(user, security);
	AtEOXact_GUC(true, guc_level);
	return answer;
}

bool
ico_call_text_hook(int32 shop_id, const char *function, const char *role, text *argument, char **answer, int *sqlstate)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	if (!ico_role_may(role, ICO_RIGHT_configure_shop, shop_id))
	{
		*sqlstate = ERRCODE_INSUFFICIENT_PRIVILEGE;
		return false;
	}
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		*answer = run(function, role, argument, context);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
			error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
			error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE)
			PG_RE_THROW();
		FlushErrorState();
		*sqlstate = error->sqlerrcode;
		FreeErrorData(error);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}
