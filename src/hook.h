/*
 * hook.h
 *		Functions that a shop names and we call with the rights of who named them.
 */
#ifndef ICO_HOOK_H
#define ICO_HOOK_H

#include "executor/spi.h"

/*
 * Runs step(arg) in a subtransaction.  Its error, in the current context, when it
 * failed and was undone, else NULL; only a cancel passes.
 */
extern ErrorData *ico_try(void (*step) (void *), void *arg);
/* the same, undone in any case: what it found out is kept by step() */
extern ErrorData *ico_try_undone(void (*step) (void *), void *arg);

/*
 * A call: query, with its arguments and at most so many rows, as role.  read() takes
 * the rows from SPI_tuptable, with the role's rights and in the subtransaction: it
 * copies what is to stay.
 *
 * reading: it is a query of ours on the shop's own tables.  Then nothing that it
 * calls can write, and what the session has set of time zone, formats, row security
 * and JIT does not count.
 */
#define ICO_HOOK_ARGS 2
typedef struct IcoHook
{
	int32		shop_id;
	const char *role;
	Oid			role_oid;		/* that the role must have, or InvalidOid: any */
	const char *query;
	int			n_args;
	Oid			types[ICO_HOOK_ARGS];
	Datum		values[ICO_HOOK_ARGS];
	char		nulls[ICO_HOOK_ARGS];	/* ' ' or 'n', or 0: not null */
	SPIPlanPtr *plan;			/* where the plan is kept, or NULL */
	bool		reading;
	long		most;			/* rows, 0: all */
	void		(*read) (void *arg, uint64 rows);
	void	   *arg;
	ErrorData  *error;			/* set when it failed for more than the role's want of rights */
} IcoHook;

/*
 * Runs it as role, which must still be allowed to configure the shop (42501 else),
 * by ico_try().  False and the SQLSTATE when it failed.
 */
extern bool ico_call_hook(IcoHook *hook, int *sqlstate);
/* SELECT function(argument): the answer (NULL for null) in the current context */
extern bool ico_call_text_hook(int32 shop_id, const char *function, const char *role, text *argument,
							   char **answer, int *sqlstate);
/* for what would call hooks: 55006 while one runs */
extern void ico_refuse_in_hook(void);
/* whether the last one was stopped because it took too long */
extern bool ico_hook_was_late(void);

#endif							/* ICO_HOOK_H */
