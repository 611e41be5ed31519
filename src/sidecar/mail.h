/*
 * mail.h
 *		A message of the queue as a mail.
 *
 * Needs neither a database nor a mail server: whoever has the JSON object that
 * claim_messages() gives, or one like it, gets the subject, both texts and the
 * bytes that go out.  The same object makes the same bytes, always.
 */
#ifndef ICO_MAIL_H
#define ICO_MAIL_H

#include <stdbool.h>
#include <stddef.h>

/* What a shop that says nothing else gets; each may be NULL. */
typedef struct MailDefaults
{
	const char *from;			/* an address */
	const char *relay_from;		/* the same, instead of the shop's own */
	const char *base_url;		/* where the pages are */
} MailDefaults;

/* All of it belongs to the mail: mail_free(). */
typedef struct Mail
{
	char	   *sender;			/* for MAIL FROM, and */
	char	   *recipient;		/* for RCPT TO: checked, domains in ASCII */
	char	   *subject;
	char	   *text;
	char	   *html;
	char	   *bytes;			/* the whole of it, lines ended by CRLF */
	size_t		length;
	char	   *reason;			/* why there is none */
} Mail;

typedef enum MailResult
{
	MAIL_MADE,
	MAIL_UNFIT,					/* and never will be: the message is at fault */
	MAIL_NOT_YET,				/* something is not set up */
} MailResult;

extern bool mail_init(void);
extern MailResult mail_make(const char *message, const char *recipient, const MailDefaults *defaults, Mail *mail);
extern void mail_free(Mail *mail);

#endif							/* ICO_MAIL_H */
