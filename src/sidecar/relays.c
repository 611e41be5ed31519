/*
 * relays.c
 *		Which mail server a shop's mails go to.
 *
 * The file: one shop in a line, its name, the URL of its mail server, and after
 * that, if it is to be another than the database says, its sender's address.  What
 * follows a # is for people.  Passwords stand in the netrc file.
 *
 * Memory: the list holds each relay, and so does each mail that is on its way.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "relays.h"
#include "mailtext.h"

static void
clear_relay(gpointer data)
{
	Relay	   *relay = data;

	g_free(relay->shop);
	g_free(relay->url);
	g_free(relay->from);
	free(relay->shown);
}

void
relay_release(Relay *relay)
{
	g_rc_box_release_full(relay, clear_relay);
}

Relay *
relay_hold(Relay *relay)
{
	return g_rc_box_acquire(relay);
}

static void
release(gpointer relay)
{
	relay_release(relay);
}

static Relay *
make_relay(const char *shop, const char *url, const char *from)
{
	Relay	   *relay = g_rc_box_new0(Relay);

	relay->shop = g_strdup(shop);
	relay->url = g_strdup(url);
	relay->from = g_strdup(from);
	relay->shown = smtp_url_shown(url);
	relay->server.url = relay->url;
	backoff_init(&relay->backoff);
	return relay;
}

/* Of the default one only, and from where no other user sees them. */
static Relay *
make_default(const char *url)
{
	Relay	   *relay = make_relay(NULL, url, NULL);

	relay->server.user = getenv("SMTP_USER");
	relay->server.password = getenv("SMTP_PASSWORD");
	if (relay->server.user != NULL && *relay->server.user == '\0')
		relay->server.user = NULL;
	if (relay->server.password == NULL)
		relay->server.password = "";
	return relay;
}

static Relay *
find(const GPtrArray *list, const char *shop)
{
	for (guint i = 0; i < list->len; i++)
	{
		Relay	   *relay = g_ptr_array_index(list, i);

		if (g_strcmp0(relay->shop, shop) == 0)
			return relay;
	}
	return NULL;
}

/* Words are separated by white space; NULL: nothing is wrong. */
static char *
add_line(GPtrArray *list, char *line)
{
	char	   *words[4] = {NULL};
	int			n = 0;
	const char *why = NULL;
	char	   *address = NULL;
	char	   *rest = NULL;

	line[strcspn(line, "#")] = '\0';
	for (char *word = strtok_r(line, " \t\r\n", &rest); word != NULL && n < 4; word = strtok_r(NULL, " \t\r\n", &rest))
		words[n++] = word;
	if (n == 0)
		return NULL;
	if (n < 2 || n > 3)
		return g_strdup("a line is: SHOP URL [FROM]");
	if (smtp_url_problem(words[1]) != NULL)
		return g_strdup_printf("the URL of a mail server %s", smtp_url_problem(words[1]));
	if (find(list, words[0]) != NULL)
		return g_strdup_printf("shop %s is there twice", words[0]);
	if (n == 3)
	{
		address = text_address(words[2], &why);
		if (address == NULL)
			return g_strdup(why);
		g_free(address);
	}
	g_ptr_array_add(list, make_relay(words[0], words[1], words[2]));
	return NULL;
}

static bool
read_file(GPtrArray *list, const char *file, Failure *failure)
{
	FILE	   *stream = fopen(file, "re");
	char	   *line = NULL;
	char	   *wrong = NULL;
	size_t		size = 0;
	int			number = 0;

	if (stream == NULL)
	{
		failure_set(failure, EX_NOINPUT, "could not read %s: %s", file, strerror(errno));
		return false;
	}
	while (wrong == NULL && getline(&line, &size, stream) >= 0)
	{
		number++;
		wrong = add_line(list, line);
	}
	if (wrong != NULL)
		failure_set(failure, EX_CONFIG, "%s, line %d: %s", file, number, wrong);
	else if (ferror(stream))
	{
		failure_set(failure, EX_NOINPUT, "could not read %s: %s", file, strerror(errno));
		wrong = g_strdup("");
	}
	free(line);
	fclose(stream);
	if (wrong == NULL)
		return true;
	g_free(wrong);
	return false;
}

void
relays_init(Relays *relays)
{
	relays->list = g_ptr_array_new_with_free_func(release);
}

/* After a failure everything is as it was. */
bool
relays_load(Relays *relays, const char *default_url, const char *file, Failure *failure)
{
	GPtrArray  *list = g_ptr_array_new_with_free_func(release);

	if (default_url != NULL)
		g_ptr_array_add(list, make_default(default_url));
	if (file != NULL && !read_file(list, file, failure))
	{
		g_ptr_array_unref(list);
		return false;
	}
	/* One that did not change stays paused if it was. */
	for (guint i = 0; i < list->len; i++)
	{
		Relay	   *relay = g_ptr_array_index(list, i);
		Relay	   *old = find(relays->list, relay->shop);

		if (old != NULL && strcmp(old->url, relay->url) == 0)
		{
			relay->paused_until = old->paused_until;
			relay->strikes = old->strikes;
			relay->backoff = old->backoff;
		}
	}
	g_ptr_array_unref(relays->list);
	relays->list = list;
	return true;
}

void
relays_free(Relays *relays)
{
	g_ptr_array_unref(relays->list);
	relays->list = NULL;
}

/* NULL: the shop has none, and there is no default. */
Relay *
relays_find(const Relays *relays, const char *shop)
{
	Relay	   *relay = find(relays->list, shop);

	return relay != NULL ? relay : find(relays->list, NULL);
}

/* When the first of them may be tried again; 0: one is not paused. */
int64_t
relays_paused_until(const Relays *relays)
{
	int64_t		first = NEVER;

	for (guint i = 0; i < relays->list->len; i++)
	{
		const Relay *relay = g_ptr_array_index(relays->list, i);

		if (relay->paused_until < first)
			first = relay->paused_until;
	}
	return first == NEVER ? 0 : first;
}

bool
relays_are_all_up(const Relays *relays)
{
	for (guint i = 0; i < relays->list->len; i++)
	{
		if (((const Relay *) g_ptr_array_index(relays->list, i))->paused_until != 0)
			return false;
	}
	return true;
}

/* Does at least one work, as far as we know? */
bool
relays_are_tested(const Relays *relays)
{
	for (guint i = 0; i < relays->list->len; i++)
	{
		if (((const Relay *) g_ptr_array_index(relays->list, i))->strikes == 0)
			return true;
	}
	return false;
}
