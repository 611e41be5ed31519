/*
 * closing.h
 *		An open order's row leaves open_orders and enters closed_orders.
 */
#ifndef ICO_CLOSING_H
#define ICO_CLOSING_H

#include "lifecycle.h"
#include "line_items.h"

/* The row of an open order, taken out of its table: one value for each attribute. */
typedef struct IcoTaken
{
	Datum	   *values;
	bool	   *nulls;
} IcoTaken;

extern void ico_closing_init(void);

/*
 * Columns that both tables have, a user's own included, but status, items and
 * what says when something is due: "a, b, ", valid until the next call.  The
 * number changes with the list.
 */
extern uint64 ico_shared_columns(const char **columns);

/*
 * Takes the row of a pending order for which nothing is due at `at`, and reads
 * it; false when it is not such an order, or there is none: then it must be
 * read, locked and settled first.
 */
extern bool ico_take_ordinary(const IcoShop *shop, const pg_uuid_t *id, TimestampTz at, IcoTaken *taken,
							  IcoOrder *order);
/* takes the row of an order that was read under a lock */
extern void ico_take_locked(const IcoOrder *order, IcoTaken *taken);
/* whose it was; NULL where it is not known */
extern void ico_taken_person(const IcoTaken *taken, text **customer_id, text **email, text **phone);
/* the coupon that it carries, or NULL */
extern text *ico_taken_coupon(const IcoTaken *taken);
/* puts it among the closed ones; items NULL: as they were */
extern void ico_put_closed(const IcoTaken *taken, IcoStatus status, LineItems *items, const IcoEvent *event, bool late);
/* after a statement that was vouched for: it wrote as many rows as it should */
extern void ico_require_rows(const char *table, uint64 written, uint64 wanted);

/* What became of an order that was bought, as its event says it. */
typedef struct IcoSale
{
	const pg_uuid_t *order_ref; /* the order that was made */
	Datum		currency;
	Datum		value;			/* or 0: what is in the incomplete one */
	Datum		paid_amount;	/* or 0 */
	Datum		coupon_cost;	/* what a coupon took off, or 0 */
} IcoSale;

/* the event of closing; sale may be NULL */
extern void ico_put_closed_event(const IcoTaken *taken, const IcoOrder *order, LineItems *items, const IcoEvent *event,
								 IcoStatus after, const IcoSale *sale);

#endif							/* ICO_CLOSING_H */
