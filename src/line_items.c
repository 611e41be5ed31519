/*
 * line_items.c
 *		The type line_items: stored form, reader, builder.
 *
 * Stored form, after the varlena header; nothing in it is aligned:
 *
 *		version byte (1)
 *		per line:	flags byte (which optional keys are there)
 *					sku, [name], unit_price, [product_id], [variant], [extras]
 *					[image_url], [url]
 *		per line:	quantity * 2 + (filled > 0), [filled]
 *		trailer:	bytes of those quantities (2 bytes), number of lines (2),
 *					sum of quantity (4), total (8), little-endian
 *
 * Numbers are varints (7 bits a byte, low ones first), texts a varint length
 * and the bytes, prices scaled by 10^6.  The URLs of a cart mostly begin alike:
 * each is the number of bytes that it shares with the last one of its kind, all
 * that are equal, and then the rest.  Quantities and sums stand together, last:
 * heap_update logs only what lies between the common prefix and suffix of two
 * tuple versions, so that another quantity costs a few bytes of WAL and not the
 * cart.  One cart has one stored form, so equality is memcmp.
 *
 * Memory: all results are in the current context.  No locks, no state.
 */
#include "postgres.h"

#include "common/int.h"
#include "miscadmin.h"

#include "compat.h"
#include "line_items.h"

#define ITEMS_VERSION	1
#define TRAILER_SIZE	16
#define VARINT_MAX		10
/* beyond this many bytes in bodies the canonical JSON might exceed its limit:
 * a control character becomes six bytes, the keys of a line less than 150 */
#define SURELY_SMALL	(ICO_ITEMS_MAX_JSON / 8)

#define HAS_NAME		0x01
#define HAS_PRODUCT_ID	0x02
#define HAS_VARIANT		0x04
#define HAS_IMAGE_URL	0x08
#define HAS_URL			0x10
#define HAS_EXTRAS		0x20

static const struct
{
	const char *name;
	int			max_bytes;		/* of a text, else 0 */
	const char *rule;
}			item_keys[] = {
	[ICO_KEY_SKU] = {"sku", 128, "must be a text of 1 to 128 bytes"},
	[ICO_KEY_NAME] = {"name", 1000, "must be a text of at most 1000 bytes"},
	[ICO_KEY_QUANTITY] = {"quantity", 0, "must be a whole number from 1 to 1000000"},
	[ICO_KEY_UNIT_PRICE] = {"unit_price", 0, "must be a number from 0 to below 1000000000000 with at most 6 decimals"},
	[ICO_KEY_FILLED] = {"filled", 0, "must be a whole number from 0 to the quantity"},
	[ICO_KEY_PRODUCT_ID] = {"product_id", 255, "must be a text or number of at most 255 bytes"},
	[ICO_KEY_VARIANT] = {"variant", 255, "must be a text or number of at most 255 bytes"},
	[ICO_KEY_IMAGE_URL] = {"image_url", 2048, "must be a text of at most 2048 bytes"},
	[ICO_KEY_URL] = {"url", 2048, "must be a text of at most 2048 bytes"},
};

/* ---- bytes ---- */

static inline char *
put_varint(char *p, uint64 value)
{
	while (value >= 0x80)
	{
		*p++ = (char) (value | 0x80);
		value >>= 7;
	}
	*p++ = (char) value;
	return p;
}

static inline char *
put_text(char *p, const char *s, int len)
{
	p = put_varint(p, len);
	memcpy(p, s, len);
	return p + len;
}

static inline char *
put_fixed(char *p, uint64 value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		*p++ = (char) (value >> (8 * i));
	return p;
}

static inline uint64
get_fixed(const unsigned char *p, int bytes)
{
	uint64		value = 0;

	for (int i = 0; i < bytes; i++)
		value |= (uint64) p[i] << (8 * i);
	return value;
}

static void
corrupted(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("stored line_items value is corrupted")));
}

static inline uint64
take_varint(const unsigned char **next, const unsigned char *end)
{
	uint64		value = 0;

	for (int shift = 0; shift < 7 * VARINT_MAX; shift += 7)
	{
		unsigned char c;

		if (*next >= end)
			break;
		c = *(*next)++;
		value |= (uint64) (c & 0x7f) << shift;
		if (c < 0x80)
			return value;
	}
	corrupted();
	return 0;					/* not reached */
}

static inline void
take_text(IcoLineReader *reader, const char **s, int *len)
{
	uint64		n = take_varint(&reader->next, reader->end);

	if (n > reader->end - reader->next)
		corrupted();
	*s = (const char *) reader->next;
	*len = (int) n;
	reader->next += n;
}

/* An URL: the beginning of the last one of its kind, and the rest. */
static void
take_url(IcoLineReader *reader, const char **last, int *last_len, const char **s, int *len)
{
	uint64		shared = take_varint(&reader->next, reader->end);
	const char *rest;
	int			rest_len;
	char	   *whole;

	take_text(reader, &rest, &rest_len);
	if (shared > *last_len)
		corrupted();
	if (shared > 0)
	{
		whole = MemoryContextAlloc(reader->context, shared + rest_len);
		memcpy(whole, *last, shared);
		memcpy(whole + shared, rest, rest_len);
		rest = whole;
	}
	*s = *last = rest;
	*len = *last_len = (int) shared + rest_len;
}

/* The trailer, after a check that this is a value we can read. */
static const unsigned char *
items_trailer(const LineItems *items)
{
	const unsigned char *data = (const unsigned char *) VARDATA_ANY(items);
	int			size = VARSIZE_ANY_EXHDR(items);

	if (size < 1 + TRAILER_SIZE)
		corrupted();
	if (data[0] != ITEMS_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored line_items value has version %d, which this library cannot read", data[0]),
				 errhint("Install the library that belongs to this database.")));
	return data + size - TRAILER_SIZE;
}

/* ---- reading ---- */

int
ico_items_lines(const LineItems *items)
{
	return (int) get_fixed(items_trailer(items) + 2, 2);
}

int64
ico_items_count(const LineItems *items)
{
	return (int64) get_fixed(items_trailer(items) + 4, 4);
}

int64
ico_items_total(const LineItems *items)
{
	return (int64) get_fixed(items_trailer(items) + 8, 8);
}

void
ico_line_reader_init(IcoLineReader *reader, const LineItems *items)
{
	const unsigned char *trailer = items_trailer(items);
	int			quantities = (int) get_fixed(trailer, 2);

	if (quantities > VARSIZE_ANY_EXHDR(items) - 1 - TRAILER_SIZE)
		corrupted();
	memset(reader, 0, sizeof(*reader));
	reader->left = ico_items_lines(items);
	reader->context = CurrentMemoryContext;
	reader->next = (const unsigned char *) VARDATA_ANY(items) + 1;
	reader->end = reader->next_quantity = trailer - quantities;
	reader->quantities_end = trailer;
}

bool
ico_line_next(IcoLineReader *reader, IcoLine *line)
{
	int			flags;
	uint64		quantity;

	if (reader->left == 0)
		return false;
	reader->left--;

	memset(line, 0, sizeof(*line));
	if (reader->next >= reader->end)
		corrupted();
	flags = *reader->next++;
	take_text(reader, &line->sku, &line->sku_len);
	if (flags & HAS_NAME)
		take_text(reader, &line->name, &line->name_len);
	line->unit_price = (int64) take_varint(&reader->next, reader->end);
	if (flags & HAS_PRODUCT_ID)
		take_text(reader, &line->product_id, &line->product_id_len);
	if (flags & HAS_VARIANT)
		take_text(reader, &line->variant, &line->variant_len);
	if (flags & HAS_EXTRAS)
	{
		take_text(reader, &line->extras, &line->extras_len);
		if (line->extras_len < 2)
			corrupted();
	}
	if (flags & HAS_IMAGE_URL)
		take_url(reader, &reader->image_url, &reader->image_url_len,
				 &line->image_url, &line->image_url_len);
	if (flags & HAS_URL)
		take_url(reader, &reader->url, &reader->url_len, &line->url, &line->url_len);

	quantity = take_varint(&reader->next_quantity, reader->quantities_end);
	line->quantity = (int32) (quantity >> 1);
	if (quantity & 1)
		line->filled = (int32) take_varint(&reader->next_quantity, reader->quantities_end);
	return true;
}

/* ---- building ---- */

const char *
ico_item_key_name(IcoItemKey key)
{
	return item_keys[key].name;
}

/*
 * Refusals name the line and the key, never what was given: errors end in
 * logs, and a cart is personal data.  All return false, for the caller to
 * return in turn when the error was a soft one.
 */
bool
ico_items_refuse_key(IcoItemsBuilder *builder, IcoItemKey key)
{
	errsave(builder->escontext,
			(errcode(builder->sqlstate),
			 errmsg("line item %d: \"%s\" %s", builder->given + 1,
					item_keys[key].name, item_keys[key].rule)));
	return false;
}

bool
ico_items_refuse_size(IcoItemsBuilder *builder)
{
	errsave(builder->escontext,
			(errcode(builder->sqlstate),
			 errmsg("line items are larger than %d bytes", ICO_ITEMS_MAX_JSON)));
	return false;
}

static bool
refuse_total(IcoItemsBuilder *builder)
{
	errsave(builder->escontext,
			(errcode(builder->sqlstate),
			 errmsg("total of the line items is too large"),
			 errdetail("It exceeds the limit at line item %d.", builder->given + 1)));
	return false;
}

void
ico_items_begin(IcoItemsBuilder *builder)
{
	builder->bodies = builder->local_bodies;
	builder->bodies_used = 0;
	builder->bodies_size = sizeof(builder->local_bodies);
	builder->lines = builder->local_lines;
	builder->nlines = 0;
	builder->lines_size = lengthof(builder->local_lines);
	builder->given = 0;
	builder->total = 0;
	builder->count = 0;
	builder->sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
	builder->escontext = NULL;
}

/* Make room for one more line whose body takes at most so many bytes. */
static void
reserve_line(IcoItemsBuilder *builder, int body_max)
{
	if (builder->nlines == builder->lines_size)
	{
		int			size = builder->lines_size * 2;

		if (builder->lines == builder->local_lines)
		{
			builder->lines = palloc(size * sizeof(IcoBuiltLine));
			memcpy(builder->lines, builder->local_lines, sizeof(builder->local_lines));
		}
		else
			builder->lines = repalloc(builder->lines, size * sizeof(IcoBuiltLine));
		builder->lines_size = size;
	}
	if (body_max > builder->bodies_size - builder->bodies_used)
	{
		int			size = Max(builder->bodies_size * 2, builder->bodies_used + body_max);

		if (builder->bodies == builder->local_bodies)
		{
			builder->bodies = palloc(size);
			memcpy(builder->bodies, builder->local_bodies, builder->bodies_used);
		}
		else
			builder->bodies = repalloc(builder->bodies, size);
		builder->bodies_size = size;
	}
}

static inline bool
text_fits(IcoItemKey key, const char *s, int len)
{
	return s == NULL || len <= item_keys[key].max_bytes;
}

static bool
check_line(IcoItemsBuilder *builder, const IcoLine *line)
{
	if (line->sku == NULL || line->sku_len < 1 || !text_fits(ICO_KEY_SKU, line->sku, line->sku_len))
		return ico_items_refuse_key(builder, ICO_KEY_SKU);
	if (!text_fits(ICO_KEY_NAME, line->name, line->name_len))
		return ico_items_refuse_key(builder, ICO_KEY_NAME);
	if (line->quantity < 1 || line->quantity > ICO_ITEM_MAX_QUANTITY)
		return ico_items_refuse_key(builder, ICO_KEY_QUANTITY);
	if (line->unit_price < 0 || line->unit_price >= ICO_ITEM_PRICE_LIMIT)
		return ico_items_refuse_key(builder, ICO_KEY_UNIT_PRICE);
	if (line->filled < 0 || line->filled > line->quantity)
		return ico_items_refuse_key(builder, ICO_KEY_FILLED);
	if (!text_fits(ICO_KEY_PRODUCT_ID, line->product_id, line->product_id_len))
		return ico_items_refuse_key(builder, ICO_KEY_PRODUCT_ID);
	if (!text_fits(ICO_KEY_VARIANT, line->variant, line->variant_len))
		return ico_items_refuse_key(builder, ICO_KEY_VARIANT);
	if (!text_fits(ICO_KEY_IMAGE_URL, line->image_url, line->image_url_len))
		return ico_items_refuse_key(builder, ICO_KEY_IMAGE_URL);
	if (!text_fits(ICO_KEY_URL, line->url, line->url_len))
		return ico_items_refuse_key(builder, ICO_KEY_URL);
	if (line->extras != NULL && line->extras_len > ICO_ITEMS_MAX_JSON)
		return ico_items_refuse_size(builder);
	return true;
}

/*
 * Write the body behind the others: all but quantity and filled, URLs whole
 * and without lengths.  built tells where its parts are.
 */
static void
write_body(IcoItemsBuilder *builder, const IcoLine *line, IcoBuiltLine *built)
{
	char	   *start;
	char	   *p;

	reserve_line(builder, 1 + 8 * VARINT_MAX + line->sku_len + line->name_len +
				 line->product_id_len + line->variant_len + line->image_url_len +
				 line->url_len + line->extras_len);
	start = p = builder->bodies + builder->bodies_used;

	*p++ = (line->name ? HAS_NAME : 0) |
		(line->product_id ? HAS_PRODUCT_ID : 0) |
		(line->variant ? HAS_VARIANT : 0) |
		(line->image_url ? HAS_IMAGE_URL : 0) |
		(line->url ? HAS_URL : 0) |
		(line->extras ? HAS_EXTRAS : 0);
	p = put_text(p, line->sku, line->sku_len);
	if (line->name)
		p = put_text(p, line->name, line->name_len);
	p = put_varint(p, (uint64) line->unit_price);
	if (line->product_id)
		p = put_text(p, line->product_id, line->product_id_len);
	if (line->variant)
		p = put_text(p, line->variant, line->variant_len);
	if (line->extras)
		p = put_text(p, line->extras, line->extras_len);

	built->body = builder->bodies_used;
	built->urls = p - start;
	built->image_url_len = -1;
	built->url_len = -1;
	if (line->image_url)
	{
		memcpy(p, line->image_url, line->image_url_len);
		p += line->image_url_len;
		built->image_url_len = line->image_url_len;
	}
	if (line->url)
	{
		memcpy(p, line->url, line->url_len);
		p += line->url_len;
		built->url_len = line->url_len;
	}
	built->body_len = p - start;
	built->quantity = line->quantity;
	built->filled = line->filled;
}

/* The earlier line with this body, or NULL.  Most differ within a few bytes. */
static IcoBuiltLine *
find_equal(IcoItemsBuilder *builder, const IcoBuiltLine *line)
{
	for (int i = 0; i < builder->nlines; i++)
	{
		IcoBuiltLine *other = &builder->lines[i];

		if (other->body_len == line->body_len &&
			other->image_url_len == line->image_url_len &&
			memcmp(builder->bodies + other->body, builder->bodies + line->body, line->body_len) == 0)
			return other;
	}
	return NULL;
}

bool
ico_items_try_add(IcoItemsBuilder *builder, const IcoLine *line)
{
	IcoBuiltLine built;
	IcoBuiltLine *equal;
	int64		sum;

	CHECK_FOR_INTERRUPTS();
	if (!check_line(builder, line))
		return false;
	if (builder->given == ICO_ITEMS_MAX_LINES)
	{
		errsave(builder->escontext,
				(errcode(builder->sqlstate),
				 errmsg("more than %d line items", ICO_ITEMS_MAX_LINES)));
		return false;
	}
	if (pg_mul_s64_overflow(line->unit_price, line->quantity, &sum) ||
		pg_add_s64_overflow(builder->total, sum, &builder->total))
		return refuse_total(builder);

	write_body(builder, line, &built);
	equal = find_equal(builder, &built);
	if (equal == NULL)
	{
		builder->lines[builder->nlines++] = built;
		builder->bodies_used += built.body_len;
	}
	else
	{
		if (line->quantity > ICO_ITEM_MAX_QUANTITY - equal->quantity)
		{
			errsave(builder->escontext,
					(errcode(builder->sqlstate),
					 errmsg("line item %d: \"quantity\", added to that of an equal line, exceeds %d",
							builder->given + 1, ICO_ITEM_MAX_QUANTITY)));
			return false;
		}
		equal->quantity += line->quantity;
		equal->filled += line->filled;
	}
	builder->count += line->quantity;
	builder->given++;
	return true;
}

static char *
put_url(char *p, const char *s, int len, const char **last, int *last_len)
{
	int			most = Min(len, *last_len);
	int			shared = 0;

	while (shared < most && s[shared] == (*last)[shared])
		shared++;
	*last = s;
	*last_len = len;
	p = put_varint(p, shared);
	return put_text(p, s + shared, len - shared);
}

LineItems *
ico_items_try_finish(IcoItemsBuilder *builder)
{
	Size		size = VARHDRSZ + 1 + builder->bodies_used +
		builder->nlines * 6 * VARINT_MAX + TRAILER_SIZE;
	LineItems  *items = palloc(size);
	char	   *p = VARDATA(items);
	char	   *quantities;
	const char *image_url = NULL;
	const char *url = NULL;
	int			image_url_len = 0;
	int			url_len = 0;
	bool		may_exceed;

	*p++ = ITEMS_VERSION;
	for (int i = 0; i < builder->nlines; i++)
	{
		IcoBuiltLine *line = &builder->lines[i];
		const char *body = builder->bodies + line->body;

		memcpy(p, body, line->urls);
		p += line->urls;
		if (line->image_url_len >= 0)
			p = put_url(p, body + line->urls, line->image_url_len, &image_url, &image_url_len);
		if (line->url_len >= 0)
			p = put_url(p, body + line->body_len - line->url_len, line->url_len, &url, &url_len);
	}
	quantities = p;
	for (int i = 0; i < builder->nlines; i++)
	{
		IcoBuiltLine *line = &builder->lines[i];

		p = put_varint(p, ((uint64) line->quantity << 1) | (line->filled > 0));
		if (line->filled > 0)
			p = put_varint(p, line->filled);
	}
	p = put_fixed(p, p - quantities, 2);
	p = put_fixed(p, builder->nlines, 2);
	p = put_fixed(p, builder->count, 4);
	p = put_fixed(p, builder->total, 8);
	SET_VARSIZE(items, p - (char *) items);

	may_exceed = builder->bodies_used > SURELY_SMALL;
	if (builder->bodies != builder->local_bodies)
		pfree(builder->bodies);
	if (builder->lines != builder->local_lines)
		pfree(builder->lines);

	/*
	 * The canonical JSON can be longer than what was given ("qty" becomes
	 * "quantity").  It must be acceptable as input, or a dump could not be
	 * restored.
	 */
	if (may_exceed)
	{
		StringInfoData json;
		bool		fits;

		initStringInfo(&json);
		ico_items_to_json(items, &json);
		fits = json.len <= ICO_ITEMS_MAX_JSON;
		pfree(json.data);
		if (!fits)
		{
			ico_items_refuse_size(builder);
			return NULL;
		}
	}
	return items;
}

void
ico_items_add(IcoItemsBuilder *builder, const IcoLine *line)
{
	(void) ico_items_try_add(builder, line);
}

LineItems *
ico_items_finish(IcoItemsBuilder *builder)
{
	return ico_items_try_finish(builder);
}
