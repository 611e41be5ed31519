/*
 * framing.h
 *		Is the head of a request one that everybody reads alike?
 */
#ifndef ICO_FRAMING_H
#define ICO_FRAMING_H

#include <microhttpd.h>

extern int	framing_refusal(struct MHD_Connection *connection, const char *version);

#endif							/* ICO_FRAMING_H */
