/*
 * page.h
 *		Letting a shop's page in.
 */
#ifndef ICO_PAGE_H
#define ICO_PAGE_H

#include "buckets.h"
#include "rest.h"

/* requests in a second; 0: any number */
typedef struct PageLimits
{
	int			per_key;
	int			per_session;
	int			per_address;
} PageLimits;

typedef struct Page Page;

extern Page *page_new(const PageLimits *limits);
extern void page_free(Page *page);
extern bool page_is_asking(const RestCall *call);
extern void page_admit(RestCall *call, void (*go_on) (RestCall *call));
extern bool page_read(RestCall *call);
extern char *page_asked(const RestCall *call);
extern void page_failure(RestCall *call, const Failure *failure);

#endif							/* ICO_PAGE_H */
