/*
 * hook.h
 *		Functions that a shop names and we call with the rights of who named them.
 */
#ifndef ICO_HOOK_H
#define ICO_HOOK_H

/*
 * Calls SELECT function(argument) as role, which must still be allowed to
 * configure the shop (42501 else), under a restricted security context
 * and in a subtransaction.  True and the answer (NULL for null) in the current
 * context; false and the SQLSTATE when it failed.  A cancel, a shutdown, a
 * deadlock and a serialization failure are not caught.  The caller is connected
 * to SPI.
 */
extern bool ico_call_text_hook(int32 shop_id, const char *function, const char *role, text *argument,
							   char **answer, int *sqlstate);

#endif							/* ICO_HOOK_H */
