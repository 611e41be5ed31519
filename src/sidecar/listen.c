/*
 * listen.c
 *		Listening sockets.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "listen.h"

/* Splits "HOST:PORT" or "[HOST]:PORT" in place. */
static bool
split_address(char *text, char **host, char **port)
{
	char	   *colon = strrchr(text, ':');

	if (colon == NULL || colon == text || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return false;
	*colon = '\0';
	*port = colon + 1;
	*host = text;
	if (text[0] == '[' && colon[-1] == ']')
	{
		colon[-1] = '\0';
		*host = text + 1;
		return **host != '\0';
	}
	return strchr(text, ':') == NULL;
}

static void
name_address(int fd, char *text, size_t size)
{
	struct sockaddr_storage address;
	socklen_t	length = sizeof(address);
	char		host[80];
	char		port[16];

	if (getsockname(fd, (struct sockaddr *) &address, &length) != 0 ||
		getnameinfo((struct sockaddr *) &address, length, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	snprintf(text, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* A listening socket, or -1 and why. */
static int
listen_on(const struct addrinfo *address, const char **why)
{
	int			on = 1;
	int			fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
	{
		(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (address->ai_family == AF_INET6)
			(void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
			return fd;
	}
	*why = strerror(errno);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* A socket that listens on "HOST:PORT"; address says where, with the port that port 0 became.  -1: failure says why. */
int
listen_open(const char *listen, char *address, size_t size, Failure *failure)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,.ai_socktype = SOCK_STREAM};
	struct addrinfo *addresses;
	const char *why = "out of memory";
	char	   *copy = strdup(listen);
	char	   *host;
	char	   *port;
	int			fd = -1;
	int			code = 0;

	failure->code = EX_UNAVAILABLE;
	if (copy != NULL && !split_address(copy, &host, &port))
	{
		failure->code = EX_USAGE;
		why = "it is not HOST:PORT";
	}
	else if (copy != NULL)
	{
		code = getaddrinfo(host, port, &hints, &addresses);
		if (code != 0)
			why = gai_strerror(code);
		else
		{
			fd = listen_on(addresses, &why);
			freeaddrinfo(addresses);
		}
	}
	free(copy);
	if (fd >= 0)
		name_address(fd, address, size);
	else
		failure_set(failure, failure->code, "could not listen on \"%s\": %s", listen, why);
	return fd;
}
