/*
 * secret.h
 *		Keys of our own: hashes of persons, signatures of links.
 */
#ifndef ICO_SECRET_H
#define ICO_SECRET_H

#include "postgres.h"

#include "common/sha2.h"

#define ICO_SECRET_BYTES 32

typedef enum IcoSecretPurpose
{
	ICO_SECRET_PERSON, ICO_SECRET_LINK
} IcoSecretPurpose;

typedef struct IcoSecret
{
	IcoSecretPurpose purpose;
	int32		key_id;
	uint8		secret[ICO_SECRET_BYTES];
} IcoSecret;

extern void ico_secret_init(void);

/*
 * The key of that number, or the newest for 0; NULL when there is none.  Valid
 * until the next call.  The caller is connected to SPI and runs as
 * incomplete_orders_owner.
 */
extern const IcoSecret *ico_secret(IcoSecretPurpose purpose, int32 key_id);
extern void ico_hmac512(const IcoSecret *secret, const void *data, int len, uint8 mac[PG_SHA512_DIGEST_LENGTH]);

/*
 * The keys by which a person is found again, of what is not NULL and not empty:
 * customer, address in lower case, digits of the phone.  Returns how many.
 */
#define ICO_PERSON_KEYS 3
extern int	ico_person_keys(int32 shop_id, text *customer_id, text *email, text *phone, int64 keys[ICO_PERSON_KEYS]);
/* an address as it is compared: without spaces around it, A to Z in lower case */
extern text *ico_normal_email(text *email);

#endif							/* ICO_SECRET_H */
