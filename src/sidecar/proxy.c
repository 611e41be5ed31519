/*
 * proxy.c
 *		Who a client is when proxies stand in between.
 *
 * X-Forwarded-For is believed only where a proxy that was named with --trusted-proxy
 * sends it.  Of the addresses in X-Forwarded-For the last one that
 * is no such proxy counts: what stands before it is what the client says of itself.  Some
 * proxies add a line of their own behind the client's, so all lines are read as one.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* An address as 16 bytes; IPv4 is mapped. */
static bool
read_address(const char *text, unsigned char *address, bool *is_4)
{
	*is_4 = inet_pton(AF_INET, text, address + 12) == 1;
	if (*is_4)
		memcpy(address, mapped, sizeof(mapped));
	return *is_4 || inet_pton(AF_INET6, text, address) == 1;
}

/* "127.0.0.1", "10.0.0.0/8", "fd00::/8" */
static bool
read_network(const char *text, size_t length, Network *network)
{
	char		copy[64];
	char	   *slash;
	bool		is_4;
	int			bits;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash++ = '\0';
	if (!read_address(copy, network->address, &is_4))
		return false;
	network->bits = 128;
	if (slash == NULL)
		return true;
	if (*slash == '\0' || strlen(slash) > 3 || strspn(slash, "0123456789") != strlen(slash))
		return false;
	bits = atoi(slash);
	if (bits > (is_4 ? 32 : 128))
		return false;
	network->bits = is_4 ? 96 + bits : bits;
	return true;
}

/* Addresses and networks, with commas between; false: there is another word. */
bool
proxies_read(Proxies *proxies, const char *text)
{
	proxies->n = 0;
	while (text != NULL && *text != '\0')
	{
		size_t		length = strcspn(text, ",");

		if (proxies->n == PROXIES_MOST || !read_network(text, length, &proxies->networks[proxies->n]))
			return false;
		proxies->n++;
		text += length + (text[length] == ',');
	}
	return true;
}

static bool
is_in(const Network *network, const unsigned char *address)
{
	int			whole = network->bits / 8;
	int			rest = network->bits % 8;

	return memcmp(network->address, address, (size_t) whole) == 0 &&
		(rest == 0 || ((network->address[whole] ^ address[whole]) >> (8 - rest)) == 0);
}

static bool
trust(const Proxies *proxies, const char *address)
{
	unsigned char bytes[16];
	bool		is_4;

	if (proxies == NULL || proxies->n == 0 || !read_address(address, bytes, &is_4))
		return false;
	for (int i = 0; i < proxies->n; i++)
	{
		if (is_in(&proxies->networks[i], bytes))
			return true;
	}
	return false;
}

/* The last address in "a, b, c", of which *length bytes are left, as one writes it. */
static bool
take_last(const char *text, size_t *length, char *address, size_t size)
{
	size_t		end = *length;
	size_t		start;
	unsigned char bytes[16];
	bool		is_4;

	while (end > 0 && strchr(" \t,", text[end - 1]) != NULL)
		end--;
	for (start = end; start > 0 && strchr(" \t,", text[start - 1]) == NULL; start--)
		;
	*length = start;
	if (end == start || end - start >= size)
		return false;
	memcpy(address, text + start, end - start);
	address[end - start] = '\0';
	return read_address(address, bytes, &is_4);
}

/* The client's address, "" if that cannot be said. */
void
proxy_client(const Proxies *proxies, const Request *request, char *address, size_t size)
{
	char	   *forwarded;
	size_t		left;
	char		before[64];

	http_peer(request, address, size);
	forwarded = trust(proxies, address) ? http_header_lines(request, "X-Forwarded-For") : NULL;
	left = forwarded != NULL ? strlen(forwarded) : 0;
	while (left > 0 && trust(proxies, address) && take_last(forwarded, &left, before, sizeof(before)))
		snprintf(address, size, "%s", before);
	free(forwarded);
}

/* Did the client come by https, as a proxy says whose word counts? */
bool
proxy_is_https(const Proxies *proxies, const Request *request)
{
	const char *said = http_header(request, "X-Forwarded-Proto");
	char		peer[64];

	if (said == NULL || strncasecmp(said, "https", 5) != 0 || strchr(", \t", said[5]) == NULL)
		return false;
	http_peer(request, peer, sizeof(peer));
	return trust(proxies, peer);
}

/*
 * By what tries and requests of an address are counted: whoever has one address of IPv6 has
 * 2^64 of them, the network of its first 64 bits.  A proxy may write IPv4 as ::ffff:192.0.2.1.
 */
void
proxy_network(const char *address, char *network, size_t size)
{
	unsigned char bytes[16];
	bool		is_4 = true;

	if (read_address(address, bytes, &is_4) && !is_4)
	{
		if (memcmp(bytes, mapped, sizeof(mapped)) == 0 && inet_ntop(AF_INET, bytes + 12, network, (socklen_t) size) != NULL)
			return;
		memset(bytes + 8, 0, 8);
		if (inet_ntop(AF_INET6, bytes, network, (socklen_t) size) != NULL)
			return;
	}
	snprintf(network, size, "%s", address);
}
