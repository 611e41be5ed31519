/*
 * queue.h
 *		A claimed message on its way to the sender.
 */
#ifndef ICO_QUEUE_H
#define ICO_QUEUE_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "secret.h"
#include "stock.h"

/* claims of one message, then it is dead */
#define ICO_MAX_ATTEMPTS 16
/* from queueing on, by wall clock; then it is dead */
#define ICO_GIVE_UP_AFTER (5 * USECS_PER_DAY)

/*
 * A message whose row is locked, and what is known of its order.  Texts may be
 * NULL; all points into the caller's SPI context.
 */
typedef struct IcoClaim
{
	ItemPointerData row;		/* stays, because it is locked */
	int32		shop_id;
	pg_uuid_t	id;
	TimestampTz due_at;
	int32		attempts;		/* before this claim */
	int64		token;			/* before this claim */
	pg_uuid_t	order_id;
	pg_uuid_t	root_id;
	int32		episode;
	int32		step;			/* of the sequence; 0: by hand */
	text	   *campaign;
	text	   *variant;		/* of the step, or NULL */
	text	   *message_type;
	text	   *template;
	text	   *subject;
	text	   *recipient;
	text	   *mail_message_id;
	TimestampTz queued_at;
	TimestampTz give_up_at;

	/* why it is not claimed after all, or NULL */
	const char *reason;
	bool		dead;			/* for that reason */
	bool		later;			/* somebody has the order's row: left as it is; or until due_at */
	bool		locked;			/* the order is open, and its row locked */

	/* the order, when it is locked */
	text	   *email;
	text	   *customer_id;
	text	   *phone;
	text	   *name;
	text	   *reference;
	Datum		kind;
	text	   *currency;
	Datum		items;			/* those that the shop mails */
	bool		left_out;		/* there are others */
	Datum		charges[4];		/* shipping, tax, discount, coupon_discount */
	TimestampTz abandoned_at;
	TimestampTz expires_at;
	text	   *locale;			/* as captured */
	int			n_persons;		/* who it goes to */
	int64		persons[ICO_PERSON_KEYS];
	TimestampTz awake_at;		/* from now on not in that person's quiet hours */
	int64		min_gap;
	int32		cap_per_episode;
	int32		cap_per_person;
	text	   *unwanted;		/* by the shop's settings: why it is not mailed, or NULL */
	bool		asks;			/* the shop names availability() */
	bool		attached;		/* its cart is one of the shop's own tables */
	text	   *unsold;			/* why what can be sold is not mailed, or NULL */
	IcoStock   *stock;			/* what it answered, or NULL */
	text	   *discount_offer;	/* what the reader is told of a discount */
	struct IcoCoupon *coupon;	/* the same for programs, or NULL */

	struct IcoClaimText *text;	/* its shop and its words */
} IcoClaim;

extern Datum ico_array_of(Datum *elements, int n, Oid type);

/*
 * queue_timing.c: moves those that must not be sent yet (later), and gives those
 * of which there would be too many their reason; remembers a person's message
 * where it goes to another address than when it was queued.
 */
extern void ico_time_claims(IcoClaim **claims, int n, TimestampTz now);
/* to their due_at */
extern void ico_move_claims(IcoClaim **claims, int n);
extern void ico_note_recipients(IcoClaim **claims, int n);

/* queue_message.c: finds shop and words, and sets mail_message_id where it is not set yet */
extern void ico_claim_texts(IcoClaim **claims, int n);
/* whether there is any text by the name of its template */
extern bool ico_claim_has_text(const IcoClaim *claim);
/* the language of that text, or NULL */
extern const text *ico_claim_language(const IcoClaim *claim);
/* what the shop says for one of the words around that text, or NULL */
extern char *ico_claim_word(const IcoClaim *claim, const char *word);
/* the object of claim_messages(); the name of the shop */
extern Jsonb *ico_claim_message(const IcoClaim *claim);
extern text *ico_claim_shop(const IcoClaim *claim);

#endif							/* ICO_QUEUE_H */
