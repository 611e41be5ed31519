/*
 * shopper.h
 *		What the links in a message lead to.
 */
#ifndef ICO_SHOPPER_H
#define ICO_SHOPPER_H

#include "http.h"
#include "visits.h"

/* The context of every request. */
typedef struct Shopper
{
	Pool	   *pool;
	Visits	   *visits;
	struct Traffic *traffic;
} Shopper;

extern void show_cart(Request *request);
extern void restore_cart(Request *request);
extern void follow_link(Request *request);
extern void send_picture(Request *request);
extern void ask_unsubscribe(Request *request);
extern void unsubscribe(Request *request);
extern void refuse_request(Request *request);

#endif							/* ICO_SHOPPER_H */
