/*
 * stock.h
 *		What a shop can still sell: its function availability(skus).
 */
#ifndef ICO_STOCK_H
#define ICO_STOCK_H

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

#include "line_items.h"
#include "plan.h"

/* One of those that were asked for. */
typedef struct IcoSku
{
	text	   *sku;
	int64		available;		/* PG_INT64_MAX: as many as anybody wants */
	int64		unit_price;		/* scaled by 10^6, or -1: as captured */
	int64		left;			/* of those, in the walk number */
	uint64		walk;
} IcoSku;

typedef struct IcoStock
{
	int32		shop_id;
	char		currency[4];	/* of the prices: the shop's */
	bool		failed;			/* nothing is known */
	int			sqlstate;		/* why */
	int			n;
	IcoSku	   *skus;			/* sorted */
	uint64		walk;
} IcoStock;

/* how long what nobody can say anything of waits */
#define ICO_STOCK_WAIT (15 * SECS_PER_MINUTE * USECS_PER_SEC)

/* What a walk made of a line: as it was captured, where that differs. */
typedef struct IcoLineChange
{
	int32		gone;			/* so many of it cannot be sold */
	bool		repriced;		/* it cost old_price */
	int64		old_price;
} IcoLineChange;

/* A walk over the lines of one cart. */
typedef struct IcoStockWalk
{
	IcoStock   *stock;			/* or NULL: every line can be sold */
	bool		prices;
	int64		total;			/* of the lines with new prices */
	bool		changed;		/* some line so far */
} IcoStockWalk;

/*
 * Asks for the skus of these carts; NULL when the shop names no function or no
 * line has a sku.  The caller holds no locks; the answer is in its context.
 */
extern IcoStock *ico_ask_stock(int32 shop_id, LineItems **carts, int n, Snapshot snapshot);
/* the same for the carts that a plan returns, which is asked only if the shop names a function */
extern IcoStock *ico_ask_for(int32 shop_id, IcoPlan *carts, Datum *values, Snapshot snapshot);
/* whether all skus of a cart were asked for */
extern bool ico_stock_knows(const IcoStock *stock, const LineItems *items);
extern void ico_stock_begin(IcoStockWalk *walk, IcoStock *stock, const char *currency);
/*
 * Makes of the next line what can be sold of what is left of it; false: nothing.
 * A sku that was not asked for can be sold.
 */
extern bool ico_stock_line(IcoStockWalk *walk, IcoLine *line, IcoLineChange *change);
/* what a sku that can be sold costs; false: nothing is known, or it has no price of its own */
extern bool ico_stock_price(const IcoStock *stock, const char *sku, int len, int64 *unit_price);
/*
 * Runs step(arg); what the statements in it decide by (_left_value, _sale_fault,
 * _answer_due) are these answers, of which the last one of a shop counts.
 */
extern void ico_decide_by(IcoStock **stocks, int n, void (*step) (void *), void *arg);
/* that of a shop in such a statement, or NULL */
extern IcoStock *ico_deciding_stock(int32 shop_id);
/* tells who asked for a preview that nothing is known */
extern void ico_warn_of_stock(const IcoStock *stock);
/* keeps the failure for health(), or takes it back; waits for nobody */
extern void ico_note_stock(const IcoStock *stock);

#endif							/* ICO_STOCK_H */
