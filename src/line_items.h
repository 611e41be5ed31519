/*
 * line_items.h
 *		The base type line_items: the lines of a cart.
 *
 * A value is immutable and canonical: two equal carts have equal bytes.  Only
 * the builder makes values, and it checks every bound, so whoever reads one
 * needs no check of his own.
 */
#ifndef ICO_LINE_ITEMS_H
#define ICO_LINE_ITEMS_H

#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "money.h"

#define ICO_ITEMS_MAX_LINES		1000
#define ICO_ITEMS_MAX_JSON		(256 * 1024)	/* bytes, read and written */
#define ICO_ITEM_MAX_QUANTITY	1000000
/* one scaled unit above the highest price: 10^12 * ICO_MONEY_SCALE */
#define ICO_ITEM_PRICE_LIMIT	INT64CONST(1000000000000000000)

typedef struct varlena LineItems;

/* detoasted, but the header may be short: read only through the functions below */
#define DatumGetLineItemsP(X)		((LineItems *) PG_DETOAST_DATUM_PACKED(X))
#define PG_GETARG_LINE_ITEMS_P(n)	DatumGetLineItemsP(PG_GETARG_DATUM(n))
#define PG_RETURN_LINE_ITEMS_P(x)	PG_RETURN_POINTER(x)

/* One line.  A NULL pointer is an absent key; texts are not NUL-terminated. */
typedef struct IcoLine
{
	const char *sku;
	int			sku_len;
	const char *name;
	int			name_len;
	int32		quantity;
	int32		filled;
	int64		unit_price;		/* scaled by 10^6 */
	const char *product_id;
	int			product_id_len;
	const char *variant;
	int			variant_len;
	const char *image_url;
	int			image_url_len;
	const char *url;
	int			url_len;
	const char *extras;			/* compact JSON object with sorted keys */
	int			extras_len;
} IcoLine;

/*
 * Walks over the lines of a value.  What a line points to stays as long as the
 * value and the memory context that was current at ico_line_reader_init.
 */
typedef struct IcoLineReader
{
	const unsigned char *next;
	const unsigned char *end;
	const unsigned char *next_quantity;
	const unsigned char *quantities_end;
	int			left;			/* lines not yet read */
	const char *image_url;		/* the last ones: the next begin like them */
	int			image_url_len;
	const char *url;
	int			url_len;
	MemoryContext context;
} IcoLineReader;

typedef struct IcoBuiltLine
{
	int			body;			/* offset in bodies */
	int			body_len;
	int			urls;			/* offset in the body: image_url, url */
	int			image_url_len;	/* -1 = absent */
	int			url_len;		/* -1 = absent */
	int32		quantity;
	int32		filled;
} IcoBuiltLine;

/*
 * Builds a value.  Ordinary carts fit into the struct itself; larger ones take
 * memory from the current context.  Must not be copied or moved while in use.
 */
typedef struct IcoItemsBuilder
{
	char	   *bodies;
	int			bodies_used;
	int			bodies_size;
	IcoBuiltLine *lines;
	int			nlines;
	int			lines_size;
	int			given;			/* lines added, before merging */
	int64		total;			/* scaled by 10^6 */
	int64		count;
	int			sqlstate;		/* of refusals */
	struct Node *escontext;		/* NULL, or where soft errors go */
	IcoBuiltLine local_lines[16];
	char		local_bodies[2048];
} IcoItemsBuilder;

/* the known keys, in canonical order */
typedef enum IcoItemKey
{
	ICO_KEY_SKU,
	ICO_KEY_NAME,
	ICO_KEY_QUANTITY,
	ICO_KEY_UNIT_PRICE,
	ICO_KEY_FILLED,
	ICO_KEY_PRODUCT_ID,
	ICO_KEY_VARIANT,
	ICO_KEY_IMAGE_URL,
	ICO_KEY_URL,
	ICO_KEY_EXTRA
} IcoItemKey;

/* reading */
extern int64 ico_items_total(const LineItems *items);	/* scaled by 10^6 */
extern int64 ico_items_count(const LineItems *items);	/* sum of quantity */
extern int	ico_items_lines(const LineItems *items);	/* 0 = emptied */
extern void ico_line_reader_init(IcoLineReader *reader, const LineItems *items);
extern bool ico_line_next(IcoLineReader *reader, IcoLine *line);

/*
 * Building: lines equal but for quantity and filled are merged; anything out
 * of bounds is an error 22023.  extras must be canonical, as a reader gives it.
 */
extern void ico_items_begin(IcoItemsBuilder *builder);
extern void ico_items_add(IcoItemsBuilder *builder, const IcoLine *line);
extern LineItems *ico_items_finish(IcoItemsBuilder *builder);

/* the same with soft errors: false or NULL after errsave (line_items_json.c) */
extern bool ico_items_try_add(IcoItemsBuilder *builder, const IcoLine *line);
extern LineItems *ico_items_try_finish(IcoItemsBuilder *builder);
extern bool ico_items_refuse_key(IcoItemsBuilder *builder, IcoItemKey key);
extern bool ico_items_refuse_size(IcoItemsBuilder *builder);
extern const char *ico_item_key_name(IcoItemKey key);

/* JSON */
extern LineItems *ico_items_from_json(const char *json, int len);
extern LineItems *ico_items_from_jsonb(JsonbContainer *jsonb);
extern LineItems *ico_items_try_from_json(const char *json, int len, int sqlstate,
										  struct Node *escontext);
extern void ico_items_to_json(const LineItems *items, StringInfo out);
extern void ico_append_json_string(StringInfo out, const char *s, int len);

#endif							/* ICO_LINE_ITEMS_H */
