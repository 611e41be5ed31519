/*
 * direct_row.h
 *		One row by its key, read and updated without the executor.
 */
#ifndef ICO_DIRECT_ROW_H
#define ICO_DIRECT_ROW_H

#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

#define ICO_ROW_COLUMNS 24

/* A table with the primary key (shop_id, id).  Define it static, with the first
 * three fields; the others are found out. */
typedef struct IcoRowTable
{
	const char *name;
	int			written;		/* columns[0 .. written) may be updated */
	const char *columns[ICO_ROW_COLUMNS];	/* up to a NULL */
	bool		known;
	bool		possible;
	Oid			table_oid;
	Oid			index_oid;
	AttrNumber	attnums[ICO_ROW_COLUMNS];
	struct IcoRowTable *next;
} IcoRowTable;

typedef struct IcoRow
{
	IcoRowTable *table;
	Relation	relation;
	TupleTableSlot *slot;
} IcoRow;

extern void ico_row_init(void);

/* whether an update of those columns of a table can be done without the executor */
typedef bool (*IcoIsWritten) (AttrNumber attnum, const void *arg);
extern bool ico_direct_allowed(Relation table, IcoIsWritten is_written, const void *arg);
/* the valid unique index on exactly (shop_id, column) */
extern Oid ico_direct_index(Relation table, const char *column);
/* the row of that key under the active snapshot; equal compares the second column */
extern bool ico_direct_find(Relation table, Oid index, int32 shop_id, RegProcedure equal, Datum value, TupleTableSlot *slot);
/* a new version of that row, from the values in slot; false: somebody changed it, nothing is written */
extern bool ico_direct_write(Relation table, TupleTableSlot *old, TupleTableSlot *slot);

/*
 * Finds a row as a statement that begins now would see it.  False: there is
 * none, or the executor has to do it; then the row must not be closed.
 */
extern bool ico_row_fetch(IcoRowTable *table, int32 shop_id, const pg_uuid_t *id, IcoRow *row);
/* a column by its number in table->columns; valid until the row is closed */
extern Datum ico_row_value(const IcoRow *row, int column, bool *isnull);
/* new values of columns[0 .. written); waits for who has the row; false: that one changed it, nothing is written */
extern bool ico_row_update(IcoRow *row, const Datum *values, const bool *nulls);
extern void ico_row_close(IcoRow *row);

#endif							/* ICO_DIRECT_ROW_H */
