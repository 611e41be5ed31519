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

static ErrorData *
try_step(void (*step) (void *), void *arg, bool undo)
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
		if (undo)
			RollbackAndReleaseCurrentSubTransaction();
		else
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

ErrorData *
ico_try(void (*step) (void *), void *arg)
{
	return try_step(step, arg, false);
}

ErrorData *
ico_try_undone(void (*step) (void *), void *arg)
{
	return try_step(step, arg, true);
}

/* What a query of ours on a shop's tables must not depend on, beside search_path. */
static const char *const pinned[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"row_security", "on"}, {"timezone", "UTC"}, {"datestyle", "ISO, YMD"}, {"intervalstyle", "postgres"}, {"jit", "off"}
};

/*
 * A subtransaction gives back what it was when it ends.  Only a query that writes
 * itself is refused by SPI's read_only; this refuses what functions do, too.
 */
static void
forbid_writing(void)
{
	XactReadOnly = true;
}

static int
execute(IcoHook *hook)
{
	Oid		   *types = hook->types;
	Datum	   *values = hook->values;
	char		nulls[ICO_HOOK_ARGS];

	for (int i = 0; i < hook->n_args; i++)
		nulls[i] = hook->nulls[i] == 'n' ? 'n' : ' ';
	if (hook->plan == NULL)
		return SPI_execute_with_args(hook->query, hook->n_args, types, values, nulls, false, hook->most);
	if (*hook->plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare(hook->query, hook->n_args, types);

		if (made == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(made);
		*hook->plan = made;
	}
	return SPI_execute_plan(*hook->plan, values, nulls, false, hook->most);
}

/* The call itself; an error leaves what is to be set back to the subtransaction. */
static void
call(void *arg)
{
	IcoHook    *hook = arg;
	Oid			role = get_role_oid(hook->role, false);
	Oid			acting;
	Oid			user;
	int			security;
	int			guc_level;

	GetUserIdAndSecContext(&user, &security);
	guc_level = NewGUCNestLevel();
	for (int i = 0; i < (hook->reading ? lengthof(pinned) : 1); i++)
		(void) set_config_option(pinned[i][0], pinned[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	if (hook->reading)
		forbid_writing();
	acting = ico_act_as(role);
	SetUserIdAndSecContext(role, security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	if (execute(hook) == SPI_OK_SELECT)
		hook->read(hook->arg, SPI_processed);
	SetUserIdAndSecContext(user, security);
	(void) ico_act_as(acting);
	AtEOXact_GUC(false, guc_level);
}

/* The name still means the role that was meant, and that one may do it. */
static bool
role_holds(const IcoHook *hook)
{
	return (!OidIsValid(hook->role_oid) || get_role_oid(hook->role, true) == hook->role_oid) &&
		ico_role_may(hook->role, ICO_RIGHT_configure_shop, hook->shop_id);
}

bool
ico_call_hook(IcoHook *hook, int *sqlstate)
{
	ErrorData  *volatile error = NULL;

	hook->error = NULL;
	if (!role_holds(hook))
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
		.n_args = 1, .types = {TEXTOID}, .values = {PointerGetDatum(argument)}, .most = 1, .read = read_text, .arg = &text_answer
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
