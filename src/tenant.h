/*
 * tenant.h
 *		Shops, and who may act for them.
 */
#ifndef ICO_TENANT_H
#define ICO_TENANT_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/uuid.h"

#include "rights.h"

/* an interval in microseconds: days of 24 hours, months of 30 days */
extern int64 ico_span(Datum interval);

/* What C code needs of a row of shops; spans in microseconds. */
typedef enum IcoPagePrices
{
	ICO_PRICES_REFUSED, ICO_PRICES_CHECKED, ICO_PRICES_ACCEPTED
} IcoPagePrices;

typedef struct IcoShop
{
	int32		shop_id;
	char		currency[4];
	int64		cut_off;
	int64		expiry;
	int64		attribution_window;
	bool		strict_consent;
	IcoPagePrices page_prices;	/* what of them its pages may say */
	int			purposes;		/* of the acting role in this shop */
} IcoShop;

extern void ico_tenant_init(void);

/*
 * The acting role: SET ROLE is honoured, SECURITY DEFINER is seen through.
 * ico_act_as lets a role act instead, or nobody (InvalidOid), and returns who did
 * before.  The caller sets it back, after errors too: ico_try() does that.
 */
extern Oid	ico_act_as(Oid role);
/* its name for the history, with that of the person where it is given */
extern const char *ico_actor(void);

/*
 * The doors: every public function passes one of them first.  The caller is
 * connected to SPI and runs as incomplete_orders_owner.
 *	shop		by the argument shop (NULL: the only shop of the acting role, else
 *				`default`); IC002 when there is none or no right to it
 *	order		by the shop in an order's id; IC003 likewise, so that nothing can
 *				be learned of another shop's ids
 *	message		by the shop in a message's id; IC003 too
 *	any shop	IC002 when the right is held in none
 */
extern void ico_enter_shop(IcoRight right, text *shop, IcoShop *found);
extern void ico_enter_any_shop(IcoRight right);
extern void ico_enter_order(IcoRight right, const pg_uuid_t *id, IcoShop *found);
/* the same for any id of ours: false instead of an error of the order's */
extern bool ico_may_enter(IcoRight right, const pg_uuid_t *id, IcoShop *found);
extern void ico_enter_message(IcoRight right, const pg_uuid_t *id, IcoShop *found);
/* shop_ids for a list: shop as above, or '*' for all in which the right is held */
extern int	ico_enter_shops(IcoRight right, text *shop, int32 **shop_ids);
/* leaves those shops in the array in which the right is held; returns how many */
extern int	ico_keep_permitted(IcoRight right, int32 *shop_ids, int n);
/* whether a role, by name, holds the right in the shop; false when it is gone */
extern bool ico_role_may(const char *role, IcoRight right, int32 shop_id);
/* a shop by its id without asking for a right: for work that entered otherwise */
extern bool ico_shop_by_id(int32 shop_id, IcoShop *found);
/* whether there is such a shop, as of now; nobody's right is asked */
extern bool ico_shop_exists(int32 shop_id);
extern void ico_refuse_order(const pg_uuid_t *id) pg_attribute_noreturn();
extern void ico_refuse_message(const pg_uuid_t *id) pg_attribute_noreturn();

/*
 * The argument `at`: null means now.  Any other instant than the transaction's
 * needs the purpose admin, and must be finite.
 */
extern TimestampTz ico_enter_at(FunctionCallInfo fcinfo, int argument, const IcoShop *shop);
extern void ico_check_at(TimestampTz at, const IcoShop *shop);

#endif							/* ICO_TENANT_H */
