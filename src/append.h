/*
 * append.h
 *		Rows appended to a table without the executor.
 */
#ifndef ICO_APPEND_H
#define ICO_APPEND_H

#include "postgres.h"

#include "access/attnum.h"

#define ICO_APPEND_COLUMNS 32

/*
 * A table of our schema, and the columns of which the caller has values, in that
 * order; NULL: a value that this table does not keep.  Of a table that is
 * partitioned by range of one column, that is the first one, and is never null.
 * Define it static.
 */
typedef struct IcoAppend
{
	const char *table;
	int			ncolumns;
	const char *const *columns;
	/* what is known of it, for one state of its relation cache entries */
	bool		known;
	bool		possible;
	Oid			root;
	Oid			leaf;			/* the same where it is not partitioned */
	AttrNumber	attributes[ICO_APPEND_COLUMNS];
	struct IcoAppend *next;
} IcoAppend;

extern void ico_append_init(void);

/*
 * Does what an INSERT of that row does, and makes it visible to what follows.
 * False, and nothing was done: that table needs the executor.
 */
extern bool ico_append_row(IcoAppend *append, const Datum *values, const bool *nulls);

#endif							/* ICO_APPEND_H */
