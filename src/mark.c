/*
 * mark.c
 *		The trigger on a shop's own tables.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(ico_mark_cart);

Datum
ico_mark_cart(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"_mark_cart\" was not called by a trigger")));
	return PointerGetDatum(NULL);
}
