/*
 * notify.h
 *		What systemd is told.
 */
#ifndef ICO_NOTIFY_H
#define ICO_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct Notify
{
	int			fd;				/* -1: nobody wants to know */
	struct sockaddr_un address;
	socklen_t	address_length;
	int64_t		interval;		/* microseconds between two pings; 0: no watchdog */
	int64_t		next_ping;
} Notify;

extern void notify_init(Notify *notify);
extern void notify_send(const Notify *notify, const char *message);
extern void notify_status(const Notify *notify, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern int64_t notify_watchdog(Notify *notify, int64_t now);

#endif							/* ICO_NOTIFY_H */
