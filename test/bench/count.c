/*
 * count.c
 *		Switches callgrind's counting on and off from within a backend.
 *
 * count_on() and count_off() are SQL functions for the benchmark's server under
 * valgrind --tool=callgrind --instr-atstart=no; elsewhere they do nothing.
 * count_off() writes what was counted since count_on() to a file of its own.
 */
#include "postgres.h"

#include <valgrind/callgrind.h>

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(count_on);
PG_FUNCTION_INFO_V1(count_off);

Datum
count_on(PG_FUNCTION_ARGS)
{
	CALLGRIND_START_INSTRUMENTATION;
	CALLGRIND_ZERO_STATS;
	PG_RETURN_VOID();
}

Datum
count_off(PG_FUNCTION_ARGS)
{
	CALLGRIND_DUMP_STATS;
	CALLGRIND_STOP_INSTRUMENTATION;
	PG_RETURN_VOID();
}
