/*
 * guc.c
 *		Settings of a session.
 *
 * None of them decides who may do what: rights are those of the acting role.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/guc.h"

#include "compat.h"
#include "guc.h"

#define STAFF_CHARS 60

char	   *ico_staff = NULL;
int			ico_hook_timeout = 5000;

static bool
check_staff(char **value, void **extra, GucSource source)
{
	int			len = *value == NULL ? 0 : strlen(*value);

	if (len > 0 && pg_mbcharcliplen(*value, len, STAFF_CHARS) < len)
	{
		GUC_check_errdetail("A name has at most %d characters.", STAFF_CHARS);
		return false;
	}
	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) (*value)[i] < ' ')
		{
			GUC_check_errdetail("A name has no control characters.");
			return false;
		}
	}
	return true;
}

void
ico_guc_init(void)
{
	DefineCustomStringVariable("incomplete_orders.staff",
							   "Name of the person who acts, shown in the history.",
							   "Programs whose staff share one PostgreSQL role set it for a transaction "
							   "(SET LOCAL); the history then shows the role and this name. "
							   "It gives no rights and takes none.",
							   &ico_staff, "", PGC_USERSET, 0, check_staff, NULL, NULL);
	DefineCustomIntVariable("incomplete_orders.hook_timeout",
							"How long a function that a shop named as a hook may take.",
							"One that takes longer is stopped, which counts as its failure.",
							&ico_hook_timeout, 5000, 10, 60000, PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	MarkGUCPrefixReserved("incomplete_orders");
}
