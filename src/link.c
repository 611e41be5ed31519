/*
 * link.c
 *		What the links in recovery messages do, and what is learned of a message
 *		after it was sent.
 *
 * The customer who follows a link is nobody to the database: the token names
 * message and shop, and the shop's program hands it in with a right of its own.
 * Nothing that is returned here holds an address or a name of a person: mails
 * are forwarded.
 *
 * Locks: unsubscribing takes those of suppress.c.  Memory: the SPI context of
 * the call.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "facts.h"
#include "message.h"
#include "plan.h"
#include "suppress.h"
#include "tenant.h"
#include "token.h"

PG_FUNCTION_INFO_V1(ico_unsubscribe);

static void
message_args(IcoArgs *args, int32 shop_id, const pg_uuid_t *message_id)
{
	args->n = 0;
	ico_arg(args, Int32GetDatum(shop_id));
	ico_arg(args, UUIDPGetDatum(message_id));
}

/* Whom a message went to, or NULL when it is not kept any more. */
static text *
recipient_of(int32 shop_id, const pg_uuid_t *message_id)
{
	static IcoPlan plan = {
		"iu", "SELECT m.recipient FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2"
	};
	IcoArgs		args;
	bool		isnull;

	message_args(&args, shop_id, message_id);
	if (ico_execute(&plan, args.values, args.nulls) == 0)
		return NULL;
	return DatumGetTextPP(ico_column(0, 1, &isnull));
}

static void
mark_unsubscribed(const IcoToken *token, TimestampTz at)
{
	static IcoPlan plan = {
		"iuz",
		"UPDATE incomplete_orders.messages m SET unsubscribed_at = $3"
		" WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.unsubscribed_at IS NULL"
	};
	IcoMessageEvent event = {.event = "message_unsubscribed", .at = at};
	IcoArgs		args;

	message_args(&args, token->shop.shop_id, &token->message_id);
	ico_arg(&args, TimestampTzGetDatum(at));
	if (ico_execute(&plan, args.values, args.nulls) == 0)
		return;
	if (token->link == ICO_LINK_NOT_ME)
		event.reason = "not_me";
	(void) ico_append_message_event(token->shop.shop_id, &token->message_id, &event);
}

/* unsubscribe(token, scope, at) -> boolean */
Datum
ico_unsubscribe(PG_FUNCTION_ARGS)
{
	char	   *scope = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	IcoToken	token;
	text	   *recipient;
	TimestampTz at;

	if (scope == NULL || (strcmp(scope, "recovery") != 0 && strcmp(scope, "all") != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"scope\" is not one of its words"),
				 errdetail("There are recovery and all.")));
	SPI_connect();
	ico_enter_token(ICO_RIGHT_unsubscribe, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0),
					ICO_LINK_BIT(ICO_LINK_UNSUBSCRIBE) | ICO_LINK_BIT(ICO_LINK_NOT_ME), &token);
	at = ico_enter_at(fcinfo, 2, &token.shop);
	recipient = recipient_of(token.shop.shop_id, &token.message_id);
	if (recipient == NULL)
		ico_refuse_token("Its message is not kept any more.");
	(void) ico_suppress(token.shop.shop_id, recipient, scope, token.link == ICO_LINK_NOT_ME ? "not_me" : "unsubscribed",
						at, &token.message_id, true);
	mark_unsubscribed(&token, at);
	SPI_finish();
	PG_RETURN_BOOL(true);
}
