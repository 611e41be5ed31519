/*
 * smtp.c
 *		Mails over SMTP: some connections at once, one loop.
 *
 * libcurl connects, does TLS and logs in; the few commands of a mail are spoken
 * here.  libcurl could send them too, but waits for the answer to a mail in a way
 * that stops all other connections, answers a connection that broke with the code of
 * an older command, and closes one on which a recipient was refused.
 *
 * What became of a mail is decided by how far it came.  Before MAIL nothing is
 * its fault; neither is a connection that breaks at MAIL, which is how a kept one
 * ends that the server closed.  After 354 the server may have taken the mail,
 * whatever we hear.
 *
 * Memory: a Slot for each connection that may be open, for as long as the Smtp.  Its
 * easy handle stays in the multi handle while the connection is open: taken out, it
 * would lose it.  The SmtpMail and its bytes are the caller's.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "smtp.h"

#define CONNECT_SECONDS 15
/* an open connection without a mail is closed after that */
#define IDLE_LIMIT (30 * SECOND)
#define LINE_LENGTH 2048

typedef enum SlotState
{
	SLOT_CLOSED,
	SLOT_CONNECTING,
	SLOT_OPEN,
} SlotState;

/* what a server says that it can do */
typedef struct Abilities
{
	bool		size;
	bool		utf8;
} Abilities;

typedef struct Slot
{
	CURL	   *easy;
	SlotState	state;
	char	   *url;			/* of its server, while it is not closed */
	char	   *user;			/* or NULL */
	curl_socket_t fd;
	Abilities	abilities;
	bool		used;			/* a mail was refused on it: begin with RSET */
	bool		resetting;
	int64_t		since;			/* of its last answer */
	int64_t		deadline;		/* of its mail */
	SmtpMail   *mail;			/* NULL: it is free */
	bool		done;			/* the result of its mail is known */
	char	   *out;			/* what is to be sent */
	size_t		out_length;
	size_t		sent;
	char		line[LINE_LENGTH];	/* what was received of a line */
	size_t		length;
	char		error[CURL_ERROR_SIZE];
} Slot;

struct Smtp
{
	CURLM	   *multi;
	SmtpSettings settings;
	Slot	   *slots;
	struct curl_waitfd *fds;
	int			in_flight;
};

/* ---- what became of it ---- */

static void
say(SmtpMail *mail, const char *what, const char *more)
{
	snprintf(mail->response, sizeof(mail->response), "%s%s%s", what, *more != '\0' ? ": " : "", more);
	mail->code[0] = '\0';
	for (char *c = mail->response; *c != '\0'; c++)
	{
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}

/* The reply as it was said, and its figures: 550 5.1.1. */
static void
keep_reply(SmtpMail *mail, const char *line, size_t length)
{
	size_t		figures = 3;
	size_t		n = 0;

	for (; n < length && n < sizeof(mail->response) - 1; n++)
		mail->response[n] = line[n] < ' ' || line[n] > '~' ? '?' : line[n];
	mail->response[n] = '\0';
	if (n > 5 && mail->response[4] == line[0] && mail->response[5] == '.')
		figures = 4 + strspn(mail->response + 4, "0123456789.");
	if (figures >= sizeof(mail->code))
		figures = 3;
	memcpy(mail->code, mail->response, figures);
	mail->code[figures] = '\0';
}

/*
 * The server refused a command.  What it has against the sender is for the shop
 * to mend, and says nothing of the recipient: later again.  Only a mail that is
 * too large for it stays so.
 */
static SmtpResult
judge_reply(const SmtpMail *mail, int reply)
{
	/* It wants a login or TLS first, or closes. */
	if (mail->phase <= SMTP_MAIL && (mail->phase == SMTP_CONNECT || reply == 530 || reply == 421))
		return SMTP_UNTRIED;
	if (mail->phase == SMTP_MAIL && reply != 552 && strstr(mail->code, "5.3.4") == NULL)
		return SMTP_DEFERRED;
	return reply / 100 == 5 ? SMTP_REJECTED : SMTP_DEFERRED;
}

/* The connection broke, or nothing was said in time. */
static SmtpResult
judge_silence(const Slot *slot, SmtpMail *mail, bool late, const char *why)
{
	switch (mail->phase)
	{
		case SMTP_CONNECT:
			say(mail, "no connection", why);
			return SMTP_UNTRIED;
		case SMTP_MAIL:
			say(mail, "the connection ended at MAIL", why);
			return late ? SMTP_DEFERRED : SMTP_UNTRIED;
		case SMTP_RCPT:
			say(mail, "the connection ended at RCPT", why);
			break;
		case SMTP_DATA:
			say(mail, "the connection ended at DATA", why);
			break;
		case SMTP_BODY:
			say(mail, slot->sent < slot->out_length ? "the connection ended in the middle of the mail" :
				"outcome unknown: the connection ended before the server answered to the mail", why);
			break;
	}
	return SMTP_DEFERRED;
}

/* ---- connections ---- */

static size_t
on_greeting(char *data, size_t size, size_t n, void *arg)
{
	Slot	   *slot = arg;
	size_t		length = size * n;

	while (length > 0 && (data[length - 1] == '\n' || data[length - 1] == '\r'))
		length--;
	if (length < 4)
		return size * n;
	if (strncmp(data, "250", 3) == 0 && length >= 8 && strncasecmp(data + 4, "SIZE", 4) == 0)
		slot->abilities.size = true;
	if (strncmp(data, "250", 3) == 0 && length >= 12 && strncasecmp(data + 4, "SMTPUTF8", 8) == 0)
		slot->abilities.utf8 = true;
	/* Why we are not let in. */
	if (slot->mail != NULL && (data[0] == '4' || data[0] == '5'))
		keep_reply(slot->mail, data, length);
	return size * n;
}

static bool
set_options(CURL *easy, const SmtpSettings *settings, const SmtpServer *server, char *error)
{
	bool		login = server->user != NULL || settings->netrc_file != NULL;
	int			starttls = settings->starttls == STARTTLS_TRY && login ? STARTTLS_REQUIRE : settings->starttls;
	bool		verify = starttls != STARTTLS_TRY || strncmp(server->url, "smtps:", 6) == 0;
	static const long use_ssl[] = {CURLUSESSL_NONE, CURLUSESSL_TRY, CURLUSESSL_ALL};

	curl_easy_reset(easy);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long) (settings->timeout < CONNECT_SECONDS ? settings->timeout : CONNECT_SECONDS));
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long) settings->timeout);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_greeting);
	curl_easy_setopt(easy, CURLOPT_USE_SSL, use_ssl[starttls]);
	/* Who could pretend to be the server could also hide that it offers TLS. */
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
	if (settings->ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_file);
	if (server->user != NULL)
	{
		curl_easy_setopt(easy, CURLOPT_USERNAME, server->user);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, server->password);
	}
	else if (settings->netrc_file != NULL)
	{
		curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_OPTIONAL);
		curl_easy_setopt(easy, CURLOPT_NETRC_FILE, settings->netrc_file);
	}
	return curl_easy_setopt(easy, CURLOPT_URL, server->url) == CURLE_OK;
}

static void
forget_output(Slot *slot)
{
	free(slot->out);
	slot->out = NULL;
	slot->out_length = slot->sent = 0;
}

/* QUIT is a courtesy: nobody waits for what is said to it. */
static void
close_slot(Smtp *smtp, Slot *slot)
{
	size_t		n;

	if (slot->state == SLOT_CLOSED)
		return;
	if (slot->state == SLOT_OPEN && slot->mail == NULL)
		(void) curl_easy_send(slot->easy, "QUIT\r\n", 6, &n);
	curl_multi_remove_handle(smtp->multi, slot->easy);
	free(slot->url);
	free(slot->user);
	slot->url = slot->user = NULL;
	slot->state = SLOT_CLOSED;
	slot->length = 0;
	forget_output(slot);
}

/* What became of its mail is known; smtp_next() hands it out. */
static void
end_mail(Slot *slot, SmtpResult result)
{
	slot->mail->result = result;
	slot->mail->ended = loop_now();
	slot->since = slot->mail->ended;
	slot->done = true;
	forget_output(slot);
}

static void
break_off(Smtp *smtp, Slot *slot, bool late, const char *why)
{
	if (slot->mail != NULL && !slot->done)
		end_mail(slot, judge_silence(slot, slot->mail, late, why));
	close_slot(smtp, slot);
}

/* ---- the conversation ---- */

/* Takes over text, which malloc() made; NULL: there was no memory. */
static bool
put_out(Slot *slot, char *text, size_t length)
{
	forget_output(slot);
	slot->out = text;
	slot->out_length = text != NULL ? length : 0;
	return text != NULL;
}

static bool
put_command(Slot *slot, const char *format, const char *address, const char *rest)
{
	char	   *text = NULL;
	int			length = asprintf(&text, format, address, rest);

	return put_out(slot, length < 0 ? NULL : text, (size_t) length);
}

/* Lines that begin with a dot get another one (RFC 5321, 4.5.2), and the end its own line. */
static bool
put_body(Slot *slot)
{
	const char *from = slot->mail->bytes;
	const char *end = from + slot->mail->length;
	char	   *text = malloc(slot->mail->length + slot->mail->length / 2 + 8);
	char	   *to = text;
	bool		at_start = true;

	if (text == NULL)
		return false;
	for (; from < end; from++)
	{
		if (at_start && *from == '.')
			*to++ = '.';
		at_start = *from == '\n';
		*to++ = *from;
	}
	memcpy(to, at_start ? ".\r\n" : "\r\n.\r\n", at_start ? 3 : 5);
	to += at_start ? 3 : 5;
	return put_out(slot, text, (size_t) (to - text));
}

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text >= 0x80)
			return false;
	}
	return true;
}

static bool
put_mail_command(Slot *slot)
{
	const SmtpMail *mail = slot->mail;
	char		size[32] = "";
	char		rest[64];

	if (slot->abilities.size)
		snprintf(size, sizeof(size), " SIZE=%zu", mail->length);
	snprintf(rest, sizeof(rest), "%s%s", size, is_ascii(mail->sender) && is_ascii(mail->recipient) ? "" : " SMTPUTF8");
	return put_command(slot, "MAIL FROM:<%s>%s\r\n", mail->sender, rest);
}

/* The connection is there: the mail begins. */
static void
begin_mail(Smtp *smtp, Slot *slot)
{
	SmtpMail   *mail = slot->mail;
	bool		well;

	mail->response[0] = mail->code[0] = '\0';
	if (!slot->abilities.utf8 && !(is_ascii(mail->sender) && is_ascii(mail->recipient)))
	{
		say(mail, "the mail server takes no address that is not ASCII (5.6.7)", "");
		end_mail(slot, SMTP_REJECTED);
		return;
	}
	slot->resetting = slot->used;
	slot->used = false;
	mail->phase = SMTP_MAIL;
	well = slot->resetting ? put_command(slot, "RSET%s%s\r\n", "", "") : put_mail_command(slot);
	if (!well)
		break_off(smtp, slot, false, "out of memory");
}

/* The server agreed: what comes next?  false: out of memory. */
static bool
next_command(Slot *slot)
{
	SmtpMail   *mail = slot->mail;

	if (slot->resetting)
	{
		slot->resetting = false;
		return put_mail_command(slot);
	}
	switch (mail->phase)
	{
		case SMTP_MAIL:
			mail->phase = SMTP_RCPT;
			return put_command(slot, "RCPT TO:<%s>%s\r\n", mail->recipient, "");
		case SMTP_RCPT:
			mail->phase = SMTP_DATA;
			return put_command(slot, "DATA%s%s\r\n", "", "");
		case SMTP_DATA:
			mail->phase = SMTP_BODY;
			return put_body(slot);
		default:
			end_mail(slot, SMTP_SENT);
			return true;
	}
}

static void
take_reply(Smtp *smtp, Slot *slot, const char *line, size_t length)
{
	int			reply = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	int			wanted = slot->mail != NULL && slot->mail->phase == SMTP_DATA ? 3 : 2;

	/* Nothing was asked: it says goodbye. */
	if (slot->mail == NULL || slot->done)
	{
		close_slot(smtp, slot);
		return;
	}
	keep_reply(slot->mail, line, length);
	if (reply / 100 == wanted)
	{
		if (!next_command(slot))
			break_off(smtp, slot, false, "out of memory");
		return;
	}
	if (reply / 100 < 4)
	{
		say(slot->mail, "the mail server does not speak SMTP", "");
		end_mail(slot, SMTP_DEFERRED);
	}
	else
		end_mail(slot, judge_reply(slot->mail, reply));
	slot->used = true;
	if (reply == 421 || reply / 100 < 4 || slot->mail->result == SMTP_UNTRIED)
		close_slot(smtp, slot);
}

static bool
is_reply(const char *line, size_t length)
{
	return length >= 3 && strspn(line, "0123456789") >= 3;
}

/* Only the last of several lines has a space, or nothing, behind its code. */
static void
take_line(Smtp *smtp, Slot *slot, size_t length)
{
	if (length > 0 && slot->line[length - 1] == '\r')
		length--;
	slot->line[length] = '\0';
	if (!is_reply(slot->line, length))
		break_off(smtp, slot, false, "what the mail server says is not SMTP");
	else if (length == 3 || slot->line[3] != '-')
		take_reply(smtp, slot, slot->line, length);
}

static void
take_bytes(Smtp *smtp, Slot *slot)
{
	char	   *end;

	while (slot->state == SLOT_OPEN && (end = memchr(slot->line, '\n', slot->length)) != NULL)
	{
		size_t		length = (size_t) (end - slot->line);
		size_t		rest = slot->length - length - 1;

		take_line(smtp, slot, length);
		if (slot->state != SLOT_OPEN)
			return;
		memmove(slot->line, slot->line + length + 1, rest);
		slot->length = rest;
	}
	if (slot->length == sizeof(slot->line))
		break_off(smtp, slot, false, "what the mail server says is not SMTP");
}

/* Sends what is to be sent; false: there is no connection any more. */
static bool
send_some(Smtp *smtp, Slot *slot)
{
	while (slot->sent < slot->out_length)
	{
		size_t		n = 0;
		CURLcode	code = curl_easy_send(slot->easy, slot->out + slot->sent, slot->out_length - slot->sent, &n);

		slot->sent += n;
		if (code == CURLE_AGAIN)
			return true;
		if (code != CURLE_OK)
		{
			/* It may have said why before it closed. */
			slot->out_length = slot->sent;
			return slot->mail != NULL && slot->mail->phase == SMTP_BODY ? (break_off(smtp, slot, false, curl_easy_strerror(code)), false) : true;
		}
	}
	return true;
}

/* As much as goes without waiting. */
static void
converse(Smtp *smtp, Slot *slot)
{
	while (slot->state == SLOT_OPEN)
	{
		size_t		n = 0;
		CURLcode	code;

		if (!send_some(smtp, slot))
			return;
		code = curl_easy_recv(slot->easy, slot->line + slot->length, sizeof(slot->line) - slot->length, &n);
		if (code == CURLE_AGAIN)
			return;
		if (code != CURLE_OK || n == 0)
		{
			break_off(smtp, slot, false, code != CURLE_OK ? curl_easy_strerror(code) : "closed by the mail server");
			return;
		}
		slot->length += n;
		take_bytes(smtp, slot);
	}
}

/* ---- mails ---- */

Smtp *
smtp_new(const SmtpSettings *settings)
{
	Smtp	   *smtp = calloc(1, sizeof(Smtp));

	if (smtp == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
	{
		free(smtp);
		return NULL;
	}
	smtp->settings = *settings;
	smtp->multi = curl_multi_init();
	smtp->slots = calloc((size_t) settings->connections, sizeof(Slot));
	smtp->fds = calloc((size_t) settings->connections + SMTP_EXTRA_FDS, sizeof(smtp->fds[0]));
	if (smtp->multi == NULL || smtp->slots == NULL || smtp->fds == NULL)
	{
		smtp_free(smtp);
		return NULL;
	}
	return smtp;
}

void
smtp_free(Smtp *smtp)
{
	if (smtp == NULL)
		return;
	for (int i = 0; smtp->slots != NULL && i < smtp->settings.connections; i++)
	{
		close_slot(smtp, &smtp->slots[i]);
		curl_easy_cleanup(smtp->slots[i].easy);
	}
	curl_multi_cleanup(smtp->multi);
	free(smtp->slots);
	free(smtp->fds);
	free(smtp);
	curl_global_cleanup();
}

bool
smtp_has_room(const Smtp *smtp)
{
	return smtp->in_flight < smtp->settings.connections;
}

int
smtp_in_flight(const Smtp *smtp)
{
	return smtp->in_flight;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* A connection to that server that is open, or none, or one to another server. */
static Slot *
find_slot(Smtp *smtp, const SmtpServer *server)
{
	Slot	   *found = NULL;

	for (int i = 0; i < smtp->settings.connections; i++)
	{
		Slot	   *slot = &smtp->slots[i];

		if (slot->mail != NULL)
			continue;
		if (slot->state == SLOT_OPEN && same_text(slot->url, server->url) && same_text(slot->user, server->user))
			return slot;
		if (found == NULL || (found->state != SLOT_CLOSED && slot->state == SLOT_CLOSED))
			found = slot;
	}
	return found;
}

static bool
connect_slot(Smtp *smtp, Slot *slot, const SmtpServer *server)
{
	close_slot(smtp, slot);
	if (slot->easy == NULL && (slot->easy = curl_easy_init()) == NULL)
		return false;
	slot->error[0] = '\0';
	memset(&slot->abilities, 0, sizeof(slot->abilities));
	slot->used = slot->resetting = false;
	slot->url = strdup(server->url);
	slot->user = server->user != NULL ? strdup(server->user) : NULL;
	if (slot->url != NULL && set_options(slot->easy, &smtp->settings, server, slot->error) &&
		curl_easy_setopt(slot->easy, CURLOPT_HEADERDATA, slot) == CURLE_OK &&
		curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot) == CURLE_OK &&
		curl_multi_add_handle(smtp->multi, slot->easy) == CURLM_OK)
	{
		slot->state = SLOT_CONNECTING;
		return true;
	}
	free(slot->url);
	free(slot->user);
	slot->url = slot->user = NULL;
	return false;
}

/* false: out of memory, or there is no room; the mail is the caller's still. */
bool
smtp_start(Smtp *smtp, SmtpMail *mail)
{
	Slot	   *slot = find_slot(smtp, mail->server);

	if (slot == NULL)
		return false;
	if (!(slot->state == SLOT_OPEN && same_text(slot->url, mail->server->url) && same_text(slot->user, mail->server->user)) &&
		!connect_slot(smtp, slot, mail->server))
		return false;
	mail->phase = SMTP_CONNECT;
	mail->response[0] = mail->code[0] = '\0';
	mail->began = loop_now();
	mail->fresh = slot->state == SLOT_CONNECTING;
	slot->mail = mail;
	slot->done = false;
	slot->deadline = mail->began + smtp->settings.timeout * SECOND;
	smtp->in_flight++;
	if (slot->state == SLOT_OPEN)
	{
		begin_mail(smtp, slot);
		converse(smtp, slot);
	}
	return true;
}

/* A connection was made, or could not be. */
static void
take_connection(Smtp *smtp, Slot *slot, CURLcode code)
{
	const char *why = slot->error[0] != '\0' ? slot->error : curl_easy_strerror(code);

	if (code == CURLE_OK && curl_easy_getinfo(slot->easy, CURLINFO_ACTIVESOCKET, &slot->fd) == CURLE_OK && slot->fd != CURL_SOCKET_BAD)
	{
		slot->state = SLOT_OPEN;
		slot->length = 0;
		begin_mail(smtp, slot);
		converse(smtp, slot);
		return;
	}
	/* What the server said is worth more. */
	if (slot->mail->code[0] != '\0')
		end_mail(slot, SMTP_UNTRIED);
	break_off(smtp, slot, false, why);
}

static void
take_connections(Smtp *smtp)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(smtp->multi, &left)) != NULL)
	{
		Slot	   *slot = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &slot);
		take_connection(smtp, slot, message->data.result);
	}
}

/* Those that are late, and open ones that nobody uses. */
static void
sweep(Smtp *smtp)
{
	int64_t		now = loop_now();

	for (int i = 0; i < smtp->settings.connections; i++)
	{
		Slot	   *slot = &smtp->slots[i];

		if (slot->mail != NULL && !slot->done && now >= slot->deadline)
			break_off(smtp, slot, true, "no answer in time");
		else if (slot->mail == NULL && slot->state == SLOT_OPEN && now >= slot->since + IDLE_LIMIT)
			close_slot(smtp, slot);
	}
}

/* Milliseconds until sweep() has something to do, no more than timeout. */
static int
timeout_of(const Smtp *smtp, int timeout)
{
	int64_t		now = loop_now();

	if (timeout < 0 || timeout > 3600 * 1000)
		timeout = 3600 * 1000;
	for (int i = 0; i < smtp->settings.connections; i++)
	{
		const Slot *slot = &smtp->slots[i];
		int64_t		at = slot->mail != NULL ? slot->deadline : slot->since + IDLE_LIMIT;

		if (slot->done)
			return 0;
		if (slot->mail == NULL && slot->state != SLOT_OPEN)
			continue;
		if (at <= now)
			return 0;
		if ((at - now + 999) / 1000 < timeout)
			timeout = (int) ((at - now + 999) / 1000);
	}
	return timeout;
}

/* poll() of the caller's descriptors, at most SMTP_EXTRA_FDS, and of all connections; moves the mails on. */
int
smtp_poll(Smtp *smtp, struct pollfd *fds, int n, int timeout)
{
	Slot	   *slots[SMTP_CONNECTIONS];
	int			opened = 0;
	int			running;
	int			ready = 0;

	for (int i = 0; i < n; i++)
		smtp->fds[i] = (struct curl_waitfd) {fds[i].fd, (short) ((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
																  (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0)), 0};
	for (int i = 0; i < smtp->settings.connections; i++)
	{
		Slot	   *slot = &smtp->slots[i];

		if (slot->state != SLOT_OPEN)
			continue;
		smtp->fds[n + opened] = (struct curl_waitfd) {slot->fd, (short) (CURL_WAIT_POLLIN | (slot->sent < slot->out_length ? CURL_WAIT_POLLOUT : 0)), 0};
		slots[opened++] = slot;
	}
	curl_multi_poll(smtp->multi, smtp->fds, (unsigned) (n + opened), timeout_of(smtp, timeout), NULL);
	for (int i = 0; i < n; i++)
	{
		fds[i].revents = smtp->fds[i].revents;
		ready += fds[i].revents != 0;
	}
	for (int i = 0; i < opened; i++)
	{
		if (smtp->fds[n + i].revents != 0)
			converse(smtp, slots[i]);
	}
	curl_multi_perform(smtp->multi, &running);
	take_connections(smtp);
	sweep(smtp);
	return ready;
}

static SmtpMail *
take_mail(Smtp *smtp, Slot *slot)
{
	SmtpMail   *mail = slot->mail;

	slot->mail = NULL;
	slot->done = false;
	smtp->in_flight--;
	return mail;
}

/* The next mail of which something became, or NULL. */
SmtpMail *
smtp_next(Smtp *smtp)
{
	for (int i = 0; smtp->in_flight > 0 && i < smtp->settings.connections; i++)
	{
		if (smtp->slots[i].done)
			return take_mail(smtp, &smtp->slots[i]);
	}
	return NULL;
}

/* Ends one that is on its way, or returns NULL. */
SmtpMail *
smtp_abort_one(Smtp *smtp)
{
	for (int i = 0; i < smtp->settings.connections; i++)
	{
		Slot	   *slot = &smtp->slots[i];
		SmtpMail   *mail = slot->mail;

		if (mail == NULL)
			continue;
		if (!slot->done)
		{
			/* In the middle of it the server knows that it has not all of it. */
			bool		arrived = mail->phase == SMTP_BODY && slot->sent == slot->out_length;

			say(mail, arrived ? "outcome unknown: stopped before the server answered to the mail" : "stopped before the mail was sent", "");
			end_mail(slot, arrived ? SMTP_DEFERRED : SMTP_UNTRIED);
			close_slot(smtp, slot);
		}
		return take_mail(smtp, slot);
	}
	return NULL;
}

/* ---- servers ---- */

/* What is wrong with the URL of a mail server; NULL: nothing. */
const char *
smtp_url_problem(const char *url)
{
	CURLU	   *parsed = curl_url();
	char	   *user = NULL;
	const char *problem = NULL;

	if (strncmp(url, "smtp://", 7) != 0 && strncmp(url, "smtps://", 8) != 0)
		problem = "begins with smtp:// or smtps://";
	else if (parsed == NULL || curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK)
		problem = "is of the form smtp://host:port";
	else if (curl_url_get(parsed, CURLUPART_USER, &user, 0) == CURLUE_OK)
		problem = "does not hold a user or a password: everybody could read them in the list of processes";
	curl_free(user);
	curl_url_cleanup(parsed);
	return problem;
}

/* Without what nobody needs to see; the caller frees it. */
char *
smtp_url_shown(const char *url)
{
	const char *at = strrchr(url, '@');
	const char *host = strstr(url, "://");

	return strdup(at != NULL ? at + 1 : host != NULL ? host + 3 : url);
}

/*
 * Connects, does STARTTLS, logs in, and leaves.  NULL: all is well, else why not;
 * the caller frees it.
 */
char *
smtp_try_server(const SmtpSettings *settings, const SmtpServer *server)
{
	CURL	   *easy = curl_easy_init();
	char		error[CURL_ERROR_SIZE] = "";
	CURLcode	code = CURLE_FAILED_INIT;
	Slot	   *slot = calloc(1, sizeof(Slot));

	if (slot != NULL && easy != NULL && set_options(easy, settings, server, error))
	{
		curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
		code = curl_easy_perform(easy);
	}
	curl_easy_cleanup(easy);
	free(slot);
	return code == CURLE_OK ? NULL : strdup(error[0] != '\0' ? error : curl_easy_strerror(code));
}
