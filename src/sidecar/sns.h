/*
 * sns.h
 *		Notifications of Amazon SNS: are they Amazon's, and of a topic of ours?
 */
#ifndef ICO_SNS_H
#define ICO_SNS_H

#include <stdbool.h>

#include "log.h"

typedef struct Sns Sns;

/* What a notification is. */
typedef enum SnsVerdict
{
	SNS_NOTIFICATION,			/* its Message is for us */
	SNS_SUBSCRIPTION,			/* asks whether we want the topic */
	SNS_UNSUBSCRIPTION,			/* says that we do not any more */
	SNS_MALFORMED,
	SNS_FOREIGN,				/* of a topic that is not ours */
	SNS_FORGED,
	SNS_STALE,					/* Amazon's, but too old, or of the future */
} SnsVerdict;

extern Sns *sns_new(const char *certificate, const char *topics, Failure *failure);
extern void sns_free(Sns *sns);
extern SnsVerdict sns_check(const Sns *sns, const char *body, char **subscribe_url);
extern bool sns_is_amazon(const char *url);
extern void sns_confirm(const char *url);

#endif							/* ICO_SNS_H */
