/*
 * table.h
 *		A result as people or programs read it.
 */
#ifndef ICO_TABLE_H
#define ICO_TABLE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

/* the words of --format, in this order */
#define FORMATS "text|json"
typedef enum Format
{
	FORMAT_TEXT,
	FORMAT_JSON,
} Format;

/* The first columns are for people; the one behind them is the row as JSON. */
extern void table_print(const PGresult *result, int columns, int format, int state_column);
extern int	table_width(const char *text);
extern size_t table_cut(const char *text, int width);
extern void table_put(const char *text);
extern void table_put_in(const char *text, bool utf8);
extern void table_put_json(const char *json);

#endif							/* ICO_TABLE_H */
