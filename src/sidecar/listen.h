/*
 * listen.h
 *		Listening sockets.
 */
#ifndef ICO_LISTEN_H
#define ICO_LISTEN_H

#include <stdbool.h>

#include "log.h"

extern int	listen_open(const char *listen, char *address, size_t size, Failure *failure);

#endif							/* ICO_LISTEN_H */
