/*
 * hook.c
 *		Functions that a shop names and we call with the rights of who named them.
 *
 * Never as our owner: the function's body is the shop's.  It runs under
 * SECURITY_RESTRICTED_OPERATION with a pinned search_path, in a subtransaction,
 * and whatever it set is set back, so that it leaves nothing behind in the
 * session.  The role that named it is the acting role meanwhile: our own
 * functions ask for its rights and not for those of the session, which is
 * mostly a scheduler's.  It may take incomplete_orders.hook_timeout, not longer.
 *
 * Memory: the answer is copied to the caller's context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

#include "compat.h"
#include "guc.h"
#include "hook.h"
#include "tenant.h"

/* A text for a text. */
typedef struct TextAnswer
{
	char	   *text;
	MemoryContext context;
} TextAnswer;

static TimeoutId hook_timer = MAX_TIMEOUTS;
static volatile sig_atomic_t late = false;
static bool running = false;

static void
time_is_over(void)
{
	late = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

/* Somebody cancelled us: not an error that says so, nor a hook that is late. */
static bool
is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && !late &&
		error->funcname != NULL && strcmp(error->funcname, "ProcessInterrupts") == 0;
}

ErrorData *
ico_try(void (*step) (void *), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Oid			acting = ico_act_as(InvalidOid);
	ErrorData  *volatile error = NULL;

	(void) ico_act_as(acting);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		(void) ico_act_as(acting);
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (is_cancel(error))
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/* The call itself; an error leaves what is to be set back to the subtransaction. */
static void
call(void *arg)
{
	const IcoHook *hook = arg;
	Oid			types[1] = {hook->type};
	Datum		values[1] = {hook->argument};
	Oid			role = get_role_oid(hook->role, false);
	Oid			acting;
	Oid			user;
	int			security;
	int			guc_level;

	GetUserIdAndSecContext(&user, &security);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	acting = ico_act_as(role);
	SetUserIdAndSecContext(role, security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	if (SPI_execute_with_args(hook->query, 1, types, values, NULL, false, hook->most) == SPI_OK_SELECT)
		hook->read(hook->arg, SPI_processed);
	SetUserIdAndSecContext(user, security);
	(void) ico_act_as(acting);
	AtEOXact_GUC(false, guc_level);
}

bool
ico_call_hook(IcoHook *hook, int *sqlstate)
{
	ErrorData  *volatile error = NULL;

	hook->error = NULL;
	if (!ico_role_may(hook->role, ICO_RIGHT_configure_shop, hook->shop_id))
	{
		*sqlstate = ERRCODE_INSUFFICIENT_PRIVILEGE;
		return false;
	}
	ico_refuse_in_hook();
	if (hook_timer == MAX_TIMEOUTS)
		hook_timer = RegisterTimeout(USER_TIMEOUT, time_is_over);
	late = false;
	running = true;
	enable_timeout_after(hook_timer, ico_hook_timeout);
	PG_TRY();
	{
		error = ico_try(call, hook);
	}
	PG_FINALLY();
	{
		running = false;
		disable_timeout(hook_timer, false);
		/* it came back in the very moment in which its time was over */
		if (late)
			QueryCancelPending = false;
	}
	PG_END_TRY();
	hook->error = error;
	if (error != NULL)
		*sqlstate = error->sqlerrcode;
	return error == NULL;
}

static void
read_text(void *arg, uint64 rows)
{
	TextAnswer *answer = arg;
	char	   *value = rows == 1 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;

	if (value != NULL)
		answer->text = MemoryContextStrdup(answer->context, value);
}

bool
ico_call_text_hook(int32 shop_id, const char *function, const char *role, text *argument, char **answer, int *sqlstate)
{
	TextAnswer	text_answer = {NULL, CurrentMemoryContext};
	IcoHook		hook = {
		.shop_id = shop_id, .role = role, .query = psprintf("SELECT %s($1)::pg_catalog.text", function),
		.type = TEXTOID, .argument = PointerGetDatum(argument), .most = 1, .read = read_text, .arg = &text_answer
	};
	bool		done = ico_call_hook(&hook, sqlstate);

	*answer = text_answer.text;
	return done;
}

void
ico_refuse_in_hook(void)
{
	if (running)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a hook cannot call what calls hooks"),
				 errhint("It answers from the tables of the shop.")));
}

bool
ico_hook_was_late(void)
{
	return late;
}
