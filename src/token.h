/*
 * token.h
 *		The tokens of the links in recovery messages.
 */
#ifndef ICO_TOKEN_H
#define ICO_TOKEN_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "tenant.h"

/* what a link may be used for, and for nothing else */
typedef enum IcoLink
{
	ICO_LINK_RESTORE, ICO_LINK_CLICK, ICO_LINK_OPEN, ICO_LINK_UNSUBSCRIBE, ICO_LINK_NOT_ME
} IcoLink;
#define ICO_LINKS 5
#define ICO_LINK_BIT(link) (1 << (link))

/* 32 bytes as base64url without padding */
#define ICO_TOKEN_CHARS 43

/* by IcoLink, each NUL-terminated */
typedef struct IcoLinkTokens
{
	char		token[ICO_LINKS][ICO_TOKEN_CHARS + 1];
} IcoLinkTokens;

/*
 * The tokens of a message, issued on the day of that instant: the same as long
 * as the newest key is.  The caller is connected to SPI and runs as
 * incomplete_orders_owner.
 */
extern void ico_link_tokens(const pg_uuid_t *message_id, TimestampTz issued, IcoLinkTokens *tokens);

/* What a true token says. */
typedef struct IcoToken
{
	pg_uuid_t	message_id;
	IcoLink		link;
	IcoLinkTokens all;			/* the message's other ones, of the same key and day */
	int			key_id;
	IcoShop		shop;
} IcoToken;

/*
 * The door of functions that take a token: IC011 unless it is a true one of one
 * of these links (bits), not expired, of a shop in which the acting role holds
 * the right.  token may be NULL.
 */
extern void ico_enter_token(IcoRight right, text *token, int links, IcoToken *found);
/*
 * The name of a session for the cart of this message; nobody without a link of
 * the message can learn it.
 */
extern void ico_token_session(const IcoToken *token, char session[ICO_TOKEN_CHARS + 1]);
/* the detail of every refusal from which nothing may be learned */
#define ICO_NOT_THAT_LINK "It is not a link of this kind in a message of a shop that may be used here."
/* for a true token, another detail says why it leads nowhere any more; never returns */
extern void ico_refuse_token(const char *detail) pg_attribute_noreturn();

#endif							/* ICO_TOKEN_H */
