/*
 * trial.h
 *		Messages that staff send to themselves, to see them.
 */
#ifndef ICO_TRIAL_H
#define ICO_TRIAL_H

#include "rest.h"
#include "smtp.h"

typedef struct TrialSettings
{
	const char *smtp_url;		/* or NULL */
	const char *relays;			/* the file of send's option, or NULL */
	const char *from;
	const char *base_url;
	SmtpSettings smtp;
} TrialSettings;

typedef struct Trials Trials;

/* NULL: neither server nor file is set (then failure is untouched), or failure says why */
extern Trials *trials_new(const TrialSettings *settings, Loop *loop, Failure *failure);
extern void trials_turn(Trials *trials);
/* answers who still waits */
extern void trials_close(Trials *trials);
extern void trials_free(Trials *trials);

/* a RestTaker: the row has object, shop and recipient */
extern void trial_take(RestCall *call, const PGresult *row);

#endif							/* ICO_TRIAL_H */
