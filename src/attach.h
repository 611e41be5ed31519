/*
 * attach.h
 *		A shop's own tables: reading its carts, and what they become.
 */
#ifndef ICO_ATTACH_H
#define ICO_ATTACH_H

#include "datatype/timestamp.h"
#include "utils/array.h"
#include "utils/jsonb.h"

#include "capture.h"
#include "tenant.h"

/* A row of attached_tables, in the caller's context. */
typedef struct IcoAttachment
{
	int32		attachment;
	char	   *name;
	IcoShop		shop;
	char	   *role;
	Oid			role_oid;		/* InvalidOid: of another cluster, setup() was not called yet */
	char	   *read_query;
	char	   *list_query;
	Jsonb	   *key_queries;
	int			decimals;		/* places that the shop leaves out of money; -1: as many as the currency has */
	bool		tells_progress; /* in_progress is mapped */
	bool		links_orders;	/* so are the shop's orders, in a table of their own */
	bool		gone_is_bought; /* a cart that is gone was bought */
	int64		settle;
	TimestampTz attached_at;
	bool		renewed;		/* its queries were made anew */
	bool		broken;
	int32		failures;
} IcoAttachment;

/* What a cart says in the shop's tables: the columns of read_query, null or as they are. */
typedef enum IcoCartText
{
	ICO_C_KEY, ICO_C_SESSION, ICO_C_CUSTOMER, ICO_C_EMAIL, ICO_C_PHONE, ICO_C_NAME, ICO_C_LOCALE, ICO_C_TIME_ZONE,
	ICO_C_CONSENT, ICO_C_CURRENCY, ICO_C_TOTAL, ICO_C_ITEMS, ICO_C_ORDER_REF
} IcoCartText;
#define ICO_C_TEXTS 13

typedef enum IcoCartTruth
{
	ICO_C_COMPLETED, ICO_C_IN_PROGRESS, ICO_C_SUPERSEDED, ICO_C_DELETED
} IcoCartTruth;
#define ICO_C_TRUTHS 4

typedef struct IcoCart
{
	text	   *texts[ICO_C_TEXTS];
	bool		truths[ICO_C_TRUTHS];
	TimestampTz updated_at;		/* ICO_NONE: not known */
	TimestampTz completed_at;
} IcoCart;

/* Why something could not be read.  message is ours, or of the server about names: no personal data. */
typedef struct IcoTrouble
{
	int			sqlstate;
	char	   *message;
} IcoTrouble;

/* lock: with its row FOR SHARE, or false when somebody changes it just now */
extern bool ico_attachment(int32 attachment, bool lock, IcoAttachment *found);

/*
 * Runs a query of an attachment as the role that attached, read-only; read() takes
 * the rows from SPI_tuptable, copying what is to stay.  types and values are of its n
 * arguments, a null where nulls says so.  False and why when it failed.  The caller
 * is connected to SPI and runs as incomplete_orders_owner.
 */
extern bool ico_read_as(const IcoAttachment *attachment, const char *query, int n, const Oid *types, const Datum *values,
						const char *nulls, void (*read) (void *arg, uint64 rows), void *arg, IcoTrouble *trouble);

/* The carts of these keys that there are, each once, in the caller's context. */
extern bool ico_read_carts(const IcoAttachment *attachment, ArrayType *keys, IcoCart **carts, int *n, IcoTrouble *trouble);

/* by their bytes */
extern int	ico_compare_texts(const text *a, const text *b);

/* An attachment could, or could not, be read: for health() and when it is tried again. */
extern void ico_note_read(const IcoAttachment *attachment, const IcoTrouble *trouble);

/* --- what a cart's values are (attach_cart.c) ------------------------------- */

typedef struct IcoCartValues
{
	LineItems  *items;
	IcoFacts	facts;			/* session apart */
	text	   *session;
	text	   *order_ref;
	bool		has_total;
	int64		total;
	const char *fault;			/* why it cannot be captured, or NULL */
} IcoCartValues;

extern void ico_cart_values(const IcoAttachment *attachment, const IcoCart *cart, IcoCartValues *values);

/* --- what a cart becomes (attach_apply.c) ------------------------------------ */

/* A cart that is due, and what was read of it. */
typedef struct IcoDueCart
{
	text	   *key;
	TimestampTz first_marked_at;
	TimestampTz marked_at;
	TimestampTz read_until;		/* later marks are of later changes */
	bool		repeated;		/* nobody acted: it is only told of again */
	const IcoCart *cart;		/* NULL: there is none */
	IcoCartValues values;		/* where there is one */
	bool		later;			/* somebody has its order: to be read again */
	ErrorData  *error;			/* or what refused it */
} IcoDueCart;

/* whether the lines of two carts are the same in everything */
extern bool ico_same_lines(const LineItems *a, const LineItems *b);
/* whether there is the same in two carts, whatever it costs and is called */
extern bool ico_same_content(const LineItems *a, const LineItems *b);
extern void ico_apply_carts(const IcoAttachment *attachment, IcoDueCart *due, int n, TimestampTz at);

/*
 * Expands the due rows that stand for all carts of an attachment into one for each, so
 * many at a time; *more: there are others yet.  False when the shop's tables could not
 * be read (attach_list.c).
 */
extern bool ico_list_carts(const IcoAttachment *attachment, TimestampTz at, bool *more, IcoTrouble *trouble);

/* --- before a message leaves (attach_claim.c) ---------------------------------- */

/* a place in a shop's queue of messages: those behind it are meant */
typedef struct IcoPlace
{
	TimestampTz due_at;
	pg_uuid_t	id;
} IcoPlace;

/* The orders whose cart is in the shop as it is here. */
typedef struct IcoTold
{
	int			n;
	int			size;
	pg_uuid_t  *ids;
} IcoTold;

/*
 * Reads the carts of the orders whose messages are next, and adds to told; what is not
 * as it was becomes due to be read by tick.  False when there are none.
 */
extern bool ico_ask_carts(int32 shop_id, const IcoPlace *after, TimestampTz now, int most, IcoTold *told);
extern bool ico_was_told(const IcoTold *told, const pg_uuid_t *id);

#endif							/* ICO_ATTACH_H */
