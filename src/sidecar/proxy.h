/*
 * proxy.h
 *		Who a client is when proxies stand in between.
 */
#ifndef ICO_PROXY_H
#define ICO_PROXY_H

#include "http.h"

#define PROXIES_MOST 16

/* A network whose word counts: the first bits of an address, IPv4 as ::ffff:a.b.c.d. */
typedef struct Network
{
	unsigned char address[16];
	int			bits;
} Network;

typedef struct Proxies
{
	Network		networks[PROXIES_MOST];
	int			n;
} Proxies;

extern bool proxies_read(Proxies *proxies, const char *text);
extern void proxy_network(const char *address, char *network, size_t size);
extern bool proxy_is_https(const Proxies *proxies, const Request *request);
extern void proxy_client(const Proxies *proxies, const Request *request, char *address, size_t size);

#endif							/* ICO_PROXY_H */
