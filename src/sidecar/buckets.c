/*
 * buckets.c
 *		Token buckets for anybody, in memory of a fixed size.
 *
 * Each name has a bucket that holds `burst` tokens and gets `rate` of them in a second;
 * a request takes one.  Names are kept as keyed hashes (SipHash-2-4 with a secret of
 * this process), so that nobody can choose names that meet.  A name has WAYS places
 * where its bucket may be; where others have them all, the fullest bucket makes room,
 * which forgets the least.  Whoever invents names to be forgotten is limited by the
 * bucket of something that he cannot invent.
 *
 * Memory: SETS * WAYS buckets, from buckets_init() to buckets_free().
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "buckets.h"
#include "loop.h"

#define SETS 2048
#define WAYS 4

/* Without memory there is no limit: it is better than no answer. */
void
buckets_init(Buckets *buckets, int rate, int burst)
{
	memset(buckets, 0, sizeof(*buckets));
	buckets->rate = rate;
	buckets->burst = burst > rate ? burst : rate;
	if (rate > 0 && getrandom(buckets->secret, sizeof(buckets->secret), 0) == (ssize_t) sizeof(buckets->secret))
		buckets->slots = calloc(SETS * WAYS, sizeof(Bucket));
}

void
buckets_free(Buckets *buckets)
{
	free(buckets->slots);
	buckets->slots = NULL;
}

/* ---------------------------------------------------------------------------
 * SipHash-2-4
 */

static uint64_t
rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

static uint64_t
hash(const Buckets *buckets, const char *who)
{
	size_t		length = strlen(who);
	uint64_t	v[4] = {
		buckets->secret[0] ^ UINT64_C(0x736f6d6570736575), buckets->secret[1] ^ UINT64_C(0x646f72616e646f6d),
		buckets->secret[0] ^ UINT64_C(0x6c7967656e657261), buckets->secret[1] ^ UINT64_C(0x7465646279746573)
	};
	uint64_t	last = (uint64_t) length << 56;

	for (; length >= 8; who += 8, length -= 8)
	{
		uint64_t	word = 0;

		for (int i = 0; i < 8; i++)
			word |= (uint64_t) (unsigned char) who[i] << (8 * i);
		sip_word(v, word);
	}
	for (size_t i = 0; i < length; i++)
		last |= (uint64_t) (unsigned char) who[i] << (8 * i);
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---------------------------------------------------------------------------
 * Taking
 */

static double
tokens_now(const Buckets *buckets, const Bucket *bucket, int64_t now)
{
	double		tokens = bucket->tokens + buckets->rate * (double) (now - bucket->at) / SECOND;

	return tokens < buckets->burst ? tokens : buckets->burst;
}

/* The name's bucket, maybe a new one. */
static Bucket *
find(const Buckets *buckets, uint64_t who, int64_t now)
{
	Bucket	   *set = &buckets->slots[(who % SETS) * WAYS];
	Bucket	   *fullest = NULL;

	for (int i = 0; i < WAYS; i++)
	{
		if (set[i].who == who)
			return &set[i];
		if (fullest == NULL || (fullest->who != 0 &&
								(set[i].who == 0 || tokens_now(buckets, &set[i], now) > tokens_now(buckets, fullest, now))))
			fullest = &set[i];
	}
	*fullest = (Bucket) {.who = who,.at = now,.tokens = buckets->burst};
	return fullest;
}

/* Takes one token: 0, or after how many seconds there will be one. */
int
buckets_take(Buckets *buckets, const char *who, int64_t now)
{
	Bucket	   *bucket;

	if (buckets->slots == NULL || buckets->rate <= 0)
		return 0;
	bucket = find(buckets, hash(buckets, who) | 1, now);
	bucket->tokens = tokens_now(buckets, bucket, now);
	bucket->at = now;
	if (bucket->tokens < 1)
		return 1 + (int) ((1 - bucket->tokens) / buckets->rate);
	bucket->tokens -= 1;
	return 0;
}
