/*
 * message.h
 *		Recovery messages, for those who end them or tell of them.
 */
#ifndef ICO_MESSAGE_H
#define ICO_MESSAGE_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "lifecycle.h"

/*
 * Messages of an order that wait, or are being sent, are cancelled, each with a
 * row of the ledger.  To be called while the order's row is locked: a message
 * whose row somebody else holds is left to the next claim, which finds the order
 * changed, because waiting for it here could deadlock with an ack.  What was
 * already being sent may still arrive; its ack is then recorded.
 */
extern void ico_cancel_messages(const IcoOrder *order, const char *reason, TimestampTz at);

/* One step of a message's life, as it goes to the events of its order. */
typedef struct IcoMessageEvent
{
	const char *event;			/* message_sent, ... */
	TimestampTz at;
	bool		by_clock;		/* no actor */
	const char *reason;			/* a code for reports, or NULL */
	const bool *machine;		/* by a machine, or NULL: nothing is known of that */
} IcoMessageEvent;

/* false when the message, or its order, is gone */
extern bool ico_append_message_event(int32 shop_id, const pg_uuid_t *message_id, const IcoMessageEvent *event);

#endif							/* ICO_MESSAGE_H */
