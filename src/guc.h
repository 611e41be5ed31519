/*
 * guc.h
 *		Settings of a session.
 */
#ifndef ICO_GUC_H
#define ICO_GUC_H

extern void ico_guc_init(void);

/* incomplete_orders.staff: the name of the person behind a shared role, or '' */
extern char *ico_staff;

#endif							/* ICO_GUC_H */
