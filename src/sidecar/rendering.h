/*
 * rendering.h
 *		Mails that staff look at while they write their texts.
 */
#ifndef ICO_RENDERING_H
#define ICO_RENDERING_H

#include "rest.h"

/* a RestTaker: the row has object and problems */
extern void rendering_take(RestCall *call, const PGresult *row);

#endif							/* ICO_RENDERING_H */
