/*
 * buckets.h
 *		No more than so many requests of somebody in a second.
 */
#ifndef ICO_BUCKETS_H
#define ICO_BUCKETS_H

#include <stddef.h>
#include <stdint.h>

typedef struct Bucket
{
	uint64_t	who;			/* a keyed hash; 0: nobody */
	int64_t		at;				/* when tokens was true */
	double		tokens;
} Bucket;

typedef struct Buckets
{
	double		rate;			/* tokens in a second; 0: no limit */
	double		burst;
	uint64_t	secret[2];
	Bucket	   *slots;			/* NULL: no limit */
} Buckets;

extern void buckets_init(Buckets *buckets, int rate, int burst);
extern void buckets_free(Buckets *buckets);
extern int	buckets_take(Buckets *buckets, const char *who, int64_t now);

#endif							/* ICO_BUCKETS_H */
