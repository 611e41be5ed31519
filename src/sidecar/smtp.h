/*
 * smtp.h
 *		Mails over SMTP: some connections at once, one loop.
 */
#ifndef ICO_SMTP_H
#define ICO_SMTP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* the words of --starttls, in this order */
#define STARTTLS "never|try|require"
typedef enum StartTls
{
	STARTTLS_NEVER,
	STARTTLS_TRY,
	STARTTLS_REQUIRE,
} StartTls;

/* A mail server; the texts belong to whoever made it. */
typedef struct SmtpServer
{
	const char *url;
	const char *user;			/* or NULL */
	const char *password;
} SmtpServer;

typedef struct SmtpSettings
{
	int			connections;
	int			starttls;
	const char *ca_file;		/* NULL: those of the system */
	const char *netrc_file;		/* NULL: none */
	int			timeout;		/* seconds for one mail */
} SmtpSettings;

/* What became of a mail. */
typedef enum SmtpResult
{
	SMTP_SENT,					/* the server answered 250 to the body */
	SMTP_REJECTED,				/* it will never take this mail */
	SMTP_DEFERRED,				/* not now, or nobody knows: later again */
	SMTP_UNTRIED,				/* the server is at fault, not the mail */
} SmtpResult;

/* How far a mail came: the last command that was sent. */
typedef enum SmtpPhase
{
	SMTP_CONNECT,				/* all that comes before MAIL */
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_BODY,					/* after 354: from here on it may arrive */
} SmtpPhase;

#define SMTP_RESPONSE 512
#define SMTP_CONNECTIONS 64		/* at most */
#define SMTP_EXTRA_FDS 8

/* The first part is the caller's, and stays where it is until the mail is back. */
typedef struct SmtpMail
{
	const SmtpServer *server;
	const char *sender;
	const char *recipient;
	const char *bytes;
	size_t		length;
	void	   *owner;

	SmtpResult	result;
	SmtpPhase	phase;
	bool		fresh;			/* its connection was made for it */
	char		response[SMTP_RESPONSE];	/* the server's, or why there is none; printable ASCII */
	char		code[16];		/* the reply as figures, "550 5.1.1", or "" */
	int64_t		began;
	int64_t		ended;
} SmtpMail;

typedef struct Smtp Smtp;

extern Smtp *smtp_new(const SmtpSettings *settings);
extern void smtp_free(Smtp *smtp);
extern bool smtp_has_room(const Smtp *smtp);
extern int	smtp_in_flight(const Smtp *smtp);
extern bool smtp_start(Smtp *smtp, SmtpMail *mail);
extern int	smtp_poll(Smtp *smtp, struct pollfd *fds, int n, int timeout);
extern SmtpMail *smtp_next(Smtp *smtp);
extern SmtpMail *smtp_abort_one(Smtp *smtp);
extern const char *smtp_url_problem(const char *url);
extern char *smtp_url_shown(const char *url);
extern char *smtp_try_server(const SmtpSettings *settings, const SmtpServer *server);

#endif							/* ICO_SMTP_H */
