/*
 * commands.h
 *		Every command; main.c has them in a table.
 */
#ifndef ICO_COMMANDS_H
#define ICO_COMMANDS_H

#include "options.h"

extern const Command tick_command;
extern const Command cleanup_command;
extern const Command health_command;
extern const Command serve_command;
extern const Command run_command;
extern const Command send_command;
extern const Command send_recovery_emails_command;
extern const Command preview_mail_command;
extern const Command test_mail_command;
extern const Command update_analytics_command;
extern const Command report_command;

#endif							/* ICO_COMMANDS_H */
