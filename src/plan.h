/*
 * plan.h
 *		Kept SPI plans, and the OIDs of our own types that they need.
 */
#ifndef ICO_PLAN_H
#define ICO_PLAN_H

#include "executor/spi.h"

/* our enums, in the order of their CREATE TYPE */
typedef enum IcoKind
{
	ICO_CART, ICO_PAYMENT, ICO_PARTIAL
} IcoKind;
#define ICO_KINDS 3

typedef enum IcoStatus
{
	ICO_PENDING, ICO_PAYMENT_PENDING, ICO_PAYMENT_FAILED, ICO_ABANDONED,
	ICO_CONVERTED, ICO_EXPIRED, ICO_DISMISSED, ICO_DELETED, ICO_REVERSED
} IcoStatus;
#define ICO_STATUSES 9

typedef enum IcoStep
{
	ICO_STEP_CART, ICO_STEP_CONTACT, ICO_STEP_SHIPPING, ICO_STEP_PAYMENT, ICO_STEP_REVIEW
} IcoStep;
#define ICO_STEPS 5

typedef struct IcoCatalog
{
	Oid			schema;
	Oid			owner;			/* role incomplete_orders_owner */
	Oid			line_items;
	Oid			kind_type;
	Oid			status_type;
	Oid			step_type;
	Oid			kind[ICO_KINDS];
	Oid			status[ICO_STATUSES];
	Oid			step[ICO_STEPS];
} IcoCatalog;

extern const char *const ico_kind_names[ICO_KINDS];
extern const char *const ico_status_names[ICO_STATUSES];
extern const char *const ico_step_names[ICO_STEPS];

/* valid until the next invalidation message: do not keep the pointer */
extern const IcoCatalog *ico_catalog(void);
extern IcoStatus ico_status_of(Datum enum_oid);
extern IcoKind ico_kind_of(Datum enum_oid);
extern Datum ico_status_datum(IcoStatus status);
extern Datum ico_kind_datum(IcoKind kind);
extern Datum ico_step_datum(IcoStep step);

/*
 * A statement and its kept plan.  Define it static; argtypes has one letter
 * per parameter:
 *	i int4  I int8  u uuid  t text  z timestamptz  n numeric  j jsonb  b bool
 *	l line_items  k order_kind  s order_status  c checkout_step  U uuid[]  A int4[]
 *	S order_status[]  L int8[]  T text[]  Z timestamptz[]  R tid[]  v interval
 * Operators and functions in query must be qualified: it is parsed under the
 * caller's search_path.
 */
typedef struct IcoPlan
{
	const char *argtypes;
	const char *query;
	SPIPlanPtr	plan;
	struct IcoPlan *next;		/* list of prepared ones */
	const Oid  *types;			/* instead of argtypes, ntypes of them */
	int			ntypes;
	bool		custom;			/* planned anew for each set of parameters */
} IcoPlan;

extern void ico_plan_init(void);
/* the caller is connected to SPI; returns the number of rows processed */
extern uint64 ico_execute(IcoPlan *plan, Datum *values, const char *nulls);
extern uint64 ico_execute_read(IcoPlan *plan, Datum *values, const char *nulls, Snapshot snapshot);
extern void ico_plan_free(IcoPlan *plan);

/* a column of the current SPI row, by position; sets *isnull */
extern Datum ico_column(int row, int column, bool *isnull);

/* an argument list under construction */
#define ICO_MAX_ARGS 40
typedef struct IcoArgs
{
	int			n;
	Datum		values[ICO_MAX_ARGS];
	char		nulls[ICO_MAX_ARGS];
} IcoArgs;

static inline void
ico_arg(IcoArgs *args, Datum value)
{
	Assert(args->n < ICO_MAX_ARGS);
	args->values[args->n] = value;
	args->nulls[args->n++] = ' ';
}

static inline void
ico_arg_null(IcoArgs *args)
{
	Assert(args->n < ICO_MAX_ARGS);
	args->values[args->n] = (Datum) 0;
	args->nulls[args->n++] = 'n';
}

static inline void
ico_arg_text(IcoArgs *args, text *value)
{
	if (value == NULL)
		ico_arg_null(args);
	else
		ico_arg(args, PointerGetDatum(value));
}

/* SQL operators as they must be written in plans */
#define EQ " OPERATOR(pg_catalog.=) "
#define NE " OPERATOR(pg_catalog.<>) "
#define LT " OPERATOR(pg_catalog.<) "
#define LE " OPERATOR(pg_catalog.<=) "
#define GT " OPERATOR(pg_catalog.>) "
#define GE " OPERATOR(pg_catalog.>=) "
#define PLUS " OPERATOR(pg_catalog.+) "
#define MINUS " OPERATOR(pg_catalog.-) "
#define CONCAT " OPERATOR(pg_catalog.||) "
#define ARROW " OPERATOR(pg_catalog.->) "
#define ARROW_TEXT " OPERATOR(pg_catalog.->>) "

#endif							/* ICO_PLAN_H */
