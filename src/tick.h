/*
 * tick.h
 *		What the batches of tick have in common.
 */
#ifndef ICO_TICK_H
#define ICO_TICK_H

#include "datatype/timestamp.h"
#include "utils/array.h"
#include "utils/uuid.h"

#include "lifecycle.h"

/* what could not be done, or not be asked, is tried again after this */
#define ICO_TRY_AGAIN (15 * USECS_PER_MINUTE)

/* the transaction's lock of tick; false when another tick has it */
extern bool ico_try_lock_tick(void);
/* IC002 unless the acting role may tick all of these shops at that instant */
extern void ico_check_tick_right(ArrayType *shops, TimestampTz at);
extern bool ico_may_tick(int32 shop_id, TimestampTz at);
/* writes what is due for the orders of one shop, in this transaction, but payments to be asked for */
extern void ico_settle_shop(int32 shop_id, TimestampTz at);
/* an order is looked at again at that instant, if it is still in that state */
extern void ico_look_again(const IcoOrder *order, TimestampTz at);
/* for health(): what tick did for that shop failed */
extern void ico_record_failure(int32 shop_id, const char *hook, int sqlstate);

#endif							/* ICO_TICK_H */
