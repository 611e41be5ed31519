/*
 * smtp.c
 *		Mails over SMTP by libcurl: some connections at once, one loop.
 *
 * libcurl keeps the connections and uses them again.  What became of a mail is
 * decided here, by its result first and by the server's reply second: after a
 * connection that broke, libcurl's reply code is that of an older command.  So the
 * conversation is followed (on_trace): which command was the last, and was it
 * answered?
 *
 * Before MAIL nothing is the mail's fault; neither is a connection that breaks at
 * MAIL, which is how a kept one ends that the server closed.  After 354 the server
 * may have taken the mail, whatever we hear.
 *
 * Memory: a Slot for each connection that may be open, for as long as the Smtp.
 * The SmtpMail and its bytes are the caller's.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "smtp.h"

#define CONNECT_SECONDS 15

typedef struct Slot
{
	CURL	   *easy;
	SmtpMail   *mail;			/* NULL: it is free */
	struct curl_slist *recipients;
	size_t		sent;			/* of the body */
	int			reply;			/* to the last command; 0: none yet */
	bool		login;			/* the last command was of AUTH */
	bool		leaving;		/* it was QUIT, behind a refusal */
	char		error[CURL_ERROR_SIZE];
} Slot;

struct Smtp
{
	CURLM	   *multi;
	SmtpSettings settings;
	Slot	   *slots;
	int			in_flight;
};

/* ---- what the server says ---- */

static bool
is_command(const char *line, size_t length, const char *command)
{
	size_t		n = strlen(command);

	return length >= n && strncmp(line, command, n) == 0;
}

static void
follow_command(Slot *slot, const char *line, size_t length)
{
	static const struct
	{
		const char *command;
		SmtpPhase	phase;
	}			commands[] = {{"MAIL ", SMTP_MAIL}, {"RCPT ", SMTP_RCPT}, {"DATA", SMTP_DATA}};

	/* libcurl takes its leave after a refusal; the refusal is what counts. */
	slot->leaving = slot->reply >= 400 && is_command(line, length, "QUIT");
	if (slot->leaving)
		return;
	slot->reply = 0;
	slot->login = is_command(line, length, "AUTH ");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		if (is_command(line, length, commands[i].command))
			slot->mail->phase = commands[i].phase;
	}
}

static bool
are_digits(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
	}
	return true;
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
	if (n > 4 && mail->response[4] == line[0] && mail->response[5] == '.')
		figures = 4 + strspn(mail->response + 4, "0123456789.");
	if (figures >= sizeof(mail->code))
		figures = 3;
	memcpy(mail->code, mail->response, figures);
	mail->code[figures] = '\0';
}

/* One line of a reply; only the last of several has a space behind its code. */
static void
follow_reply(Slot *slot, const char *line, size_t length)
{
	while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
		length--;
	if (slot->leaving || length < 3 || !are_digits(line, 3) || (length > 3 && line[3] == '-'))
		return;
	slot->reply = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	keep_reply(slot->mail, line, length);
	if (slot->mail->phase == SMTP_DATA && slot->reply == 354)
	{
		slot->mail->phase = SMTP_BODY;
		slot->reply = 0;
	}
}

static int
on_trace(CURL *easy, curl_infotype type, char *data, size_t length, void *arg)
{
	Slot	   *slot = arg;

	if (slot->mail == NULL)
		return 0;
	if (type == CURLINFO_HEADER_OUT)
		follow_command(slot, data, length);
	else if (type == CURLINFO_HEADER_IN)
		follow_reply(slot, data, length);
	return 0;
}

/* What it says goes to on_trace already. */
static size_t
on_output(char *data, size_t size, size_t n, void *arg)
{
	return size * n;
}

static size_t
on_body(char *buffer, size_t size, size_t n, void *arg)
{
	Slot	   *slot = arg;
	size_t		room = size * n;
	size_t		left = slot->mail->length - slot->sent;

	if (left < room)
		room = left;
	memcpy(buffer, slot->mail->bytes + slot->sent, room);
	slot->sent += room;
	return room;
}

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

/*
 * The server refused a command.  What it has against the sender is for the shop
 * to mend, and says nothing of the recipient: later again.  Only a mail that is
 * too large for it stays so.
 */
static SmtpResult
judge_reply(const Slot *slot)
{
	const SmtpMail *mail = slot->mail;

	if (mail->phase == SMTP_CONNECT)
		return SMTP_UNTRIED;
	if (slot->reply == 530 || slot->reply == 421)	/* wants a login; closes */
		return mail->phase == SMTP_MAIL ? SMTP_UNTRIED : SMTP_DEFERRED;
	if (mail->phase == SMTP_MAIL && slot->reply != 552 && strstr(mail->code, "5.3.4") == NULL)
		return SMTP_DEFERRED;
	return slot->reply / 100 == 5 ? SMTP_REJECTED : SMTP_DEFERRED;
}

/* The connection broke, or nothing was said in time. */
static SmtpResult
judge_silence(Slot *slot, CURLcode code)
{
	SmtpMail   *mail = slot->mail;
	const char *more = slot->error[0] != '\0' ? slot->error : curl_easy_strerror(code);

	switch (mail->phase)
	{
		case SMTP_CONNECT:
			say(mail, "no connection", more);
			return SMTP_UNTRIED;
		case SMTP_MAIL:
			say(mail, "the connection ended at MAIL", more);
			return code == CURLE_OPERATION_TIMEDOUT ? SMTP_DEFERRED : SMTP_UNTRIED;
		case SMTP_RCPT:
			say(mail, "the connection ended at RCPT", more);
			break;
		case SMTP_DATA:
			say(mail, "the connection ended at DATA", more);
			break;
		case SMTP_BODY:
			say(mail, slot->sent < mail->length ? "the connection ended in the middle of the mail" :
				"outcome unknown: the connection ended before the server answered to the mail", more);
			break;
	}
	return SMTP_DEFERRED;
}

/* libcurl's own doing, whatever the server said. */
static bool
is_never_of_the_mail(CURLcode code)
{
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
		case CURLE_COULDNT_CONNECT:
		case CURLE_LOGIN_DENIED:
		case CURLE_USE_SSL_FAILED:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ENGINE_NOTFOUND:
		case CURLE_URL_MALFORMAT:
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_OUT_OF_MEMORY:
		case CURLE_FAILED_INIT:
			return true;
		default:
			return false;
	}
}

static SmtpResult
judge(Slot *slot, CURLcode code)
{
	SmtpMail   *mail = slot->mail;

	if (code == CURLE_OK)
		return SMTP_SENT;
	/* A password is refused with a reply worth reading; TLS is not. */
	if (is_never_of_the_mail(code) && !(code == CURLE_LOGIN_DENIED && slot->reply != 0))
	{
		say(mail, "no connection", slot->error[0] != '\0' ? slot->error : curl_easy_strerror(code));
		return mail->phase < SMTP_DATA ? SMTP_UNTRIED : SMTP_DEFERRED;
	}
	if (slot->reply >= 400)
		return judge_reply(slot);
	return judge_silence(slot, code);
}

/* ---- transfers ---- */

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
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long) (settings->timeout < CONNECT_SECONDS ? settings->timeout : CONNECT_SECONDS));
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long) settings->timeout);
	curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long) settings->timeout);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_output);
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
	if (smtp->multi == NULL || smtp->slots == NULL)
	{
		smtp_free(smtp);
		return NULL;
	}
	curl_multi_setopt(smtp->multi, CURLMOPT_MAXCONNECTS, (long) settings->connections);
	curl_multi_setopt(smtp->multi, CURLMOPT_PIPELINING, 0L);
	return smtp;
}

static void
release(Smtp *smtp, Slot *slot)
{
	curl_multi_remove_handle(smtp->multi, slot->easy);
	curl_slist_free_all(slot->recipients);
	slot->recipients = NULL;
	slot->mail = NULL;
	smtp->in_flight--;
}

void
smtp_free(Smtp *smtp)
{
	if (smtp == NULL)
		return;
	for (int i = 0; smtp->slots != NULL && i < smtp->settings.connections; i++)
	{
		if (smtp->slots[i].mail != NULL)
			release(smtp, &smtp->slots[i]);
		curl_easy_cleanup(smtp->slots[i].easy);
	}
	curl_multi_cleanup(smtp->multi);
	free(smtp->slots);
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

static Slot *
free_slot(Smtp *smtp)
{
	for (int i = 0; i < smtp->settings.connections; i++)
	{
		if (smtp->slots[i].mail == NULL)
			return &smtp->slots[i];
	}
	return NULL;
}

static bool
set_mail(Slot *slot, const SmtpMail *mail)
{
	char		address[512];

	snprintf(address, sizeof(address), "<%s>", mail->recipient);
	slot->recipients = curl_slist_append(NULL, address);
	snprintf(address, sizeof(address), "<%s>", mail->sender);
	curl_easy_setopt(slot->easy, CURLOPT_MAIL_RCPT, slot->recipients);
	curl_easy_setopt(slot->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(slot->easy, CURLOPT_READFUNCTION, on_body);
	curl_easy_setopt(slot->easy, CURLOPT_READDATA, slot);
	curl_easy_setopt(slot->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) mail->length);
	curl_easy_setopt(slot->easy, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(slot->easy, CURLOPT_DEBUGFUNCTION, on_trace);
	curl_easy_setopt(slot->easy, CURLOPT_DEBUGDATA, slot);
	curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot);
	return curl_easy_setopt(slot->easy, CURLOPT_MAIL_FROM, address) == CURLE_OK && slot->recipients != NULL;
}

/* false: out of memory, or there is no room; the mail is the caller's still. */
bool
smtp_start(Smtp *smtp, SmtpMail *mail)
{
	Slot	   *slot = free_slot(smtp);

	if (slot == NULL)
		return false;
	if (slot->easy == NULL && (slot->easy = curl_easy_init()) == NULL)
		return false;
	slot->error[0] = '\0';
	slot->sent = 0;
	slot->reply = 0;
	slot->leaving = false;
	mail->phase = SMTP_CONNECT;
	mail->response[0] = mail->code[0] = '\0';
	mail->began = loop_now();
	slot->mail = mail;
	if (set_options(slot->easy, &smtp->settings, mail->server, slot->error) && set_mail(slot, mail) &&
		curl_multi_add_handle(smtp->multi, slot->easy) == CURLM_OK)
	{
		smtp->in_flight++;
		return true;
	}
	curl_slist_free_all(slot->recipients);
	slot->recipients = NULL;
	slot->mail = NULL;
	return false;
}

/* poll() of the caller's descriptors and of all connections; moves the mails on. */
int
smtp_poll(Smtp *smtp, struct pollfd *fds, int n, int timeout)
{
	struct curl_waitfd extra[8];
	int			running;
	int			ready = 0;

	for (int i = 0; i < n; i++)
	{
		extra[i].fd = fds[i].fd;
		extra[i].events = (short) ((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) | (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
		extra[i].revents = 0;
	}
	curl_multi_poll(smtp->multi, extra, (unsigned int) n, timeout < 0 ? 3600 * 1000 : timeout, NULL);
	for (int i = 0; i < n; i++)
	{
		fds[i].revents = extra[i].revents;
		ready += fds[i].revents != 0;
	}
	curl_multi_perform(smtp->multi, &running);
	return ready;
}

/* The next mail of which something became, or NULL. */
SmtpMail *
smtp_next(Smtp *smtp)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(smtp->multi, &left)) != NULL)
	{
		Slot	   *slot = NULL;
		SmtpMail   *mail;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &slot);
		mail = slot->mail;
		mail->result = judge(slot, message->data.result);
		mail->ended = loop_now();
		release(smtp, slot);
		return mail;
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
		mail->result = mail->phase < SMTP_BODY ? SMTP_UNTRIED : SMTP_DEFERRED;
		say(mail, mail->phase < SMTP_BODY ? "stopped before the mail was sent" : "outcome unknown: stopped before the server answered to the mail", "");
		mail->ended = loop_now();
		release(smtp, slot);
		return mail;
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

	if (easy != NULL && set_options(easy, settings, server, error))
	{
		curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
		code = curl_easy_perform(easy);
	}
	curl_easy_cleanup(easy);
	return code == CURLE_OK ? NULL : strdup(error[0] != '\0' ? error : curl_easy_strerror(code));
}
