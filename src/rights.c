/*
 * rights.c
 *		The role matrix as an array and as a table.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "compat.h"
#include "rights.h"

#define ICO_RIGHT_ROW(kind, name, purposes) {#kind[0], #name, purposes},
const IcoRightRow ico_rights[ICO_RIGHT_COUNT] = {
	ICO_RIGHTS(ICO_RIGHT_ROW)
};

const IcoPurpose ico_purposes[ICO_PURPOSES] = {
	{"app", ICO_APP},
	{"sender", ICO_SENDER},
	{"analyst", ICO_ANALYST},
	{"admin", ICO_ADMIN},
};

PG_FUNCTION_INFO_V1(ico_role_matrix);

IcoRight
ico_right_by_name(const char *name)
{
	for (int i = 0; i < ICO_RIGHT_COUNT; i++)
	{
		if (strcmp(ico_rights[i].name, name) == 0)
			return (IcoRight) i;
	}
	elog(ERROR, "\"%s\" is not in the role matrix", name);
	return ICO_RIGHT_COUNT;
}

const char *
ico_kind_name(char kind)
{
	return kind == 'V' ? "view" : kind == 'P' ? "procedure" : "function";
}

Datum
ico_role_matrix(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < ICO_RIGHT_COUNT; i++)
	{
		for (int p = 0; p < ICO_PURPOSES; p++)
		{
			Datum		values[3];
			bool		nulls[3] = {false, false, false};

			if (!(ico_rights[i].purposes & ico_purposes[p].bit))
				continue;
			values[0] = CStringGetTextDatum(ico_rights[i].name);
			values[1] = CStringGetTextDatum(ico_kind_name(ico_rights[i].kind));
			values[2] = CStringGetTextDatum(ico_purposes[p].name);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
