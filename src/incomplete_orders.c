/*
 * incomplete_orders.c
 *		The library's entry: magic block and _PG_init.
 *
 * Nothing is preloaded and no shared memory is used; what a backend keeps
 * (plans, shops, memberships) is set up by the modules on first use.
 */
#include "postgres.h"

#include "fmgr.h"

#include "append.h"
#include "closing.h"
#include "compat.h"
#include "direct.h"
#include "direct_row.h"
#include "guc.h"
#include "mark.h"
#include "plan.h"
#include "secret.h"
#include "tenant.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	ico_guc_init();
	ico_plan_init();
	ico_tenant_init();
	ico_secret_init();
	ico_direct_init();
	ico_row_init();
	ico_append_init();
	ico_closing_init();
	ico_mark_init();
}
