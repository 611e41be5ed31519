/*
 * guc.c
 *		Settings of a session.
 *
 * There is one, and it decides nothing: rights are those of the acting role.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/guc.h"

#include "compat.h"
#include "guc.h"

#define STAFF_CHARS 60

char	   *ico_staff = NULL;

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
	MarkGUCPrefixReserved("incomplete_orders");
}
