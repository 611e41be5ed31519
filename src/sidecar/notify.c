/*
 * notify.c
 *		The sd_notify protocol: one datagram per message to $NOTIFY_SOCKET.
 *
 * Nothing here can fail in a way that matters: without a service manager, or
 * when it does not listen, the program does its work all the same.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"
#include "notify.h"

/* A decimal number from the environment; 0: none, or not one. */
static int64_t
number_from(const char *name)
{
	const char *text = getenv(name);
	int64_t		value = 0;

	if (text == NULL || *text == '\0' || strlen(text) > 18)
		return 0;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9')
			return 0;
		value = value * 10 + (*text - '0');
	}
	return value;
}

static void
open_socket(Notify *notify, const char *path)
{
	size_t		length = strlen(path);

	/* A path, or @ for Linux's abstract names, which begin with a zero byte. */
	if ((path[0] != '/' && path[0] != '@') || length < 2 || length >= sizeof(notify->address.sun_path))
		return;
	notify->address.sun_family = AF_UNIX;
	memcpy(notify->address.sun_path, path, length);
	if (path[0] == '@')
		notify->address.sun_path[0] = '\0';
	notify->address_length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length);
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void
notify_init(Notify *notify)
{
	const char *path = getenv("NOTIFY_SOCKET");
	int64_t		pid = number_from("WATCHDOG_PID");

	memset(notify, 0, sizeof(*notify));
	notify->fd = -1;
	if (path == NULL)
		return;
	open_socket(notify, path);
	if (pid == 0 || pid == (int64_t) getpid())
		notify->interval = number_from("WATCHDOG_USEC") / 2;
}

void
notify_send(const Notify *notify, const char *message)
{
	if (notify->fd >= 0)
		(void) sendto(notify->fd, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT,
					  (const struct sockaddr *) &notify->address, notify->address_length);
}

/* STATUS= is one line: what comes after its end would be another field. */
void
notify_status(const Notify *notify, const char *format,...)
{
	char		message[512] = "STATUS=";
	size_t		prefix = strlen(message);
	va_list		args;

	va_start(args, format);
	vsnprintf(message + prefix, sizeof(message) - prefix, format, args);
	va_end(args);
	message[strcspn(message, "\n")] = '\0';
	notify_send(notify, message);
}

/* Pings if it is time for it; returns when it is time again. */
int64_t
notify_watchdog(Notify *notify, int64_t now)
{
	if (notify->fd < 0 || notify->interval == 0)
		return NEVER;
	if (now >= notify->next_ping)
	{
		notify_send(notify, "WATCHDOG=1");
		notify->next_ping = now + notify->interval;
	}
	return notify->next_ping;
}
