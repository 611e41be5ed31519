/*
 * guc.h
 *		Settings of a session.
 */
#ifndef ICO_GUC_H
#define ICO_GUC_H

extern void ico_guc_init(void);

/* incomplete_orders.staff: the name of the person behind a shared role, or '' */
extern char *ico_staff;
/* incomplete_orders.hook_timeout, in ms */
extern int	ico_hook_timeout;

#endif							/* ICO_GUC_H */
