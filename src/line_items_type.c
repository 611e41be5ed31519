/*
 * line_items_type.c
 *		The type line_items as SQL sees it: input and output, casts, comparison,
 *		and what a cart holds.
 *
 * Memory: results are in the current context; unnest keeps its reader in the
 * context of its calls.  No locks, no state.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "compat.h"
#include "line_items.h"
#include "money.h"

PG_FUNCTION_INFO_V1(ico_line_items_in);
PG_FUNCTION_INFO_V1(ico_line_items_out);
PG_FUNCTION_INFO_V1(ico_line_items_recv);
PG_FUNCTION_INFO_V1(ico_line_items_send);
PG_FUNCTION_INFO_V1(ico_line_items_from_text);
PG_FUNCTION_INFO_V1(ico_line_items_from_jsonb);
PG_FUNCTION_INFO_V1(ico_line_items_to_jsonb);
PG_FUNCTION_INFO_V1(ico_line_items_eq);
PG_FUNCTION_INFO_V1(ico_line_items_ne);
PG_FUNCTION_INFO_V1(ico_line_items_lt);
PG_FUNCTION_INFO_V1(ico_line_items_le);
PG_FUNCTION_INFO_V1(ico_line_items_gt);
PG_FUNCTION_INFO_V1(ico_line_items_ge);
PG_FUNCTION_INFO_V1(ico_line_items_cmp);
PG_FUNCTION_INFO_V1(ico_line_items_hash);
PG_FUNCTION_INFO_V1(ico_line_items_hash_extended);
PG_FUNCTION_INFO_V1(ico_line_items_total);
PG_FUNCTION_INFO_V1(ico_line_items_item_count);
PG_FUNCTION_INFO_V1(ico_line_items_unnest);
PG_FUNCTION_INFO_V1(ico_order_total_sql);

/* ---- input, output, casts ---- */

Datum
ico_line_items_in(PG_FUNCTION_ARGS)
{
	char	   *json = PG_GETARG_CSTRING(0);
	LineItems  *items = ico_items_try_from_json(json, strlen(json),
												ERRCODE_INVALID_PARAMETER_VALUE,
												fcinfo->context);

	if (items == NULL)
		PG_RETURN_NULL();		/* a soft error */
	PG_RETURN_LINE_ITEMS_P(items);
}

Datum
ico_line_items_out(PG_FUNCTION_ARGS)
{
	StringInfoData json;

	initStringInfo(&json);
	ico_items_to_json(PG_GETARG_LINE_ITEMS_P(0), &json);
	PG_RETURN_CSTRING(json.data);
}

/*
 * On the wire, like jsonb: a version byte and the JSON text.  The stored form
 * would be shorter, but it holds texts in the server's encoding behind their
 * lengths, which neither another client_encoding nor a client could read.
 */
Datum
ico_line_items_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			version = pq_getmsgint(buf, 1);
	char	   *json;
	int			len;

	if (version != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unsupported line_items version number %d", version)));
	json = pq_getmsgtext(buf, buf->len - buf->cursor, &len);
	PG_RETURN_LINE_ITEMS_P(ico_items_try_from_json(json, len,
												   ERRCODE_INVALID_BINARY_REPRESENTATION,
												   NULL));
}

Datum
ico_line_items_send(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	StringInfoData json;

	initStringInfo(&json);
	ico_items_to_json(PG_GETARG_LINE_ITEMS_P(0), &json);
	pq_begintypsend(&buf);
	pq_sendint8(&buf, 1);
	pq_sendtext(&buf, json.data, json.len);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* text and json have the same stored form */
Datum
ico_line_items_from_text(PG_FUNCTION_ARGS)
{
	text	   *json = PG_GETARG_TEXT_PP(0);

	PG_RETURN_LINE_ITEMS_P(ico_items_from_json(VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json)));
}

static void
append_jsonb_scalar(StringInfo out, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			ico_append_json_string(out, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			appendStringInfoString(out, DatumGetCString(DirectFunctionCall1(numeric_out,
																			NumericGetDatum(value->val.numeric))));
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		default:
			appendStringInfoString(out, "null");
			break;
	}
}

/*
 * Not the server's own text of a jsonb, which has no bound: a number of eight
 * bytes can be 131,072 digits long.  This one ends soon after our limit.
 */
static void
append_jsonb(StringInfo out, JsonbContainer *jsonb)
{
	JsonbIterator *it = JsonbIteratorInit(jsonb);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		scalar = JsonContainerIsScalar(jsonb);	/* stored as an array of one */
	bool		comma = false;	/* before whatever comes next */

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE &&
		   out->len <= ICO_ITEMS_MAX_JSON)
	{
		CHECK_FOR_INTERRUPTS();
		if (scalar && token != WJB_ELEM)
			continue;
		if (comma && token != WJB_END_ARRAY && token != WJB_END_OBJECT)
			appendStringInfoChar(out, ',');
		comma = true;
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
				appendStringInfoChar(out, '[');
				comma = false;
				break;
			case WJB_BEGIN_OBJECT:
				appendStringInfoChar(out, '{');
				comma = false;
				break;
			case WJB_END_ARRAY:
				appendStringInfoChar(out, ']');
				break;
			case WJB_END_OBJECT:
				appendStringInfoChar(out, '}');
				break;
			case WJB_KEY:
				append_jsonb_scalar(out, &value);
				appendStringInfoChar(out, ':');
				comma = false;
				break;
			default:
				append_jsonb_scalar(out, &value);
				break;
		}
	}
}

LineItems *
ico_items_from_jsonb(JsonbContainer *jsonb)
{
	StringInfoData json;

	initStringInfo(&json);
	append_jsonb(&json, jsonb);
	return ico_items_from_json(json.data, json.len);
}

Datum
ico_line_items_from_jsonb(PG_FUNCTION_ARGS)
{
	PG_RETURN_LINE_ITEMS_P(ico_items_from_jsonb(&PG_GETARG_JSONB_P(0)->root));
}

Datum
ico_line_items_to_jsonb(PG_FUNCTION_ARGS)
{
	StringInfoData json;

	initStringInfo(&json);
	ico_items_to_json(PG_GETARG_LINE_ITEMS_P(0), &json);
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

/* ---- order and hash: of the stored bytes ---- */

static int
compare_items(const LineItems *a, const LineItems *b)
{
	int			a_len = VARSIZE_ANY_EXHDR(a);
	int			b_len = VARSIZE_ANY_EXHDR(b);
	int			result = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(a_len, b_len));

	if (result == 0)
		result = (a_len > b_len) - (a_len < b_len);
	return result;
}

/* Equal carts have equal sizes: most differing ones need not be detoasted. */
static bool
equal_items(FunctionCallInfo fcinfo)
{
	if (toast_raw_datum_size(PG_GETARG_DATUM(0)) != toast_raw_datum_size(PG_GETARG_DATUM(1)))
		return false;
	return compare_items(PG_GETARG_LINE_ITEMS_P(0), PG_GETARG_LINE_ITEMS_P(1)) == 0;
}

Datum
ico_line_items_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(equal_items(fcinfo));
}

Datum
ico_line_items_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!equal_items(fcinfo));
}

Datum
ico_line_items_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_items(PG_GETARG_LINE_ITEMS_P(0), PG_GETARG_LINE_ITEMS_P(1)) < 0);
}

Datum
ico_line_items_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_items(PG_GETARG_LINE_ITEMS_P(0), PG_GETARG_LINE_ITEMS_P(1)) <= 0);
}

Datum
ico_line_items_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_items(PG_GETARG_LINE_ITEMS_P(0), PG_GETARG_LINE_ITEMS_P(1)) > 0);
}

Datum
ico_line_items_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_items(PG_GETARG_LINE_ITEMS_P(0), PG_GETARG_LINE_ITEMS_P(1)) >= 0);
}

Datum
ico_line_items_cmp(PG_FUNCTION_ARGS)
{
	LineItems  *a = PG_GETARG_LINE_ITEMS_P(0);
	LineItems  *b = PG_GETARG_LINE_ITEMS_P(1);
	int			result = compare_items(a, b);

	/* a sort calls this often, within one memory context */
	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	PG_RETURN_INT32(result);
}

Datum
ico_line_items_hash(PG_FUNCTION_ARGS)
{
	LineItems  *items = PG_GETARG_LINE_ITEMS_P(0);
	Datum		result = hash_any((unsigned char *) VARDATA_ANY(items), VARSIZE_ANY_EXHDR(items));

	PG_FREE_IF_COPY(items, 0);
	return result;
}

Datum
ico_line_items_hash_extended(PG_FUNCTION_ARGS)
{
	LineItems  *items = PG_GETARG_LINE_ITEMS_P(0);
	Datum		result = hash_any_extended((unsigned char *) VARDATA_ANY(items),
										   VARSIZE_ANY_EXHDR(items), PG_GETARG_INT64(1));

	PG_FREE_IF_COPY(items, 0);
	return result;
}

/* ---- what a cart holds ---- */

Datum
ico_line_items_total(PG_FUNCTION_ARGS)
{
	PG_RETURN_NUMERIC(ico_amount_numeric(ico_items_total(PG_GETARG_LINE_ITEMS_P(0)), 0));
}

Datum
ico_line_items_item_count(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(ico_items_count(PG_GETARG_LINE_ITEMS_P(0)));
}

Datum
ico_order_total_sql(PG_FUNCTION_ARGS)
{
	int			exponent = ico_currency_exponent(text_to_cstring(PG_GETARG_TEXT_PP(5)));
	IcoCharges	charges;

	charges.shipping = ico_stored_money(PG_GETARG_DATUM(1));
	charges.tax = ico_stored_money(PG_GETARG_DATUM(2));
	charges.discount = ico_stored_money(PG_GETARG_DATUM(3));
	charges.coupon_discount = ico_stored_money(PG_GETARG_DATUM(4));
	PG_RETURN_NUMERIC(ico_total_numeric(ico_items_total(PG_GETARG_LINE_ITEMS_P(0)), &charges, exponent));
}

static void
set_text(Datum *value, bool *isnull, const char *s, int len)
{
	*isnull = s == NULL;
	*value = s == NULL ? (Datum) 0 : PointerGetDatum(cstring_to_text_with_len(s, len));
}

static HeapTuple
unnest_row(TupleDesc desc, int number, const IcoLine *line)
{
	Datum		values[11];
	bool		nulls[11] = {false};

	values[0] = Int32GetDatum(number);
	set_text(&values[1], &nulls[1], line->sku, line->sku_len);
	set_text(&values[2], &nulls[2], line->name, line->name_len);
	values[3] = Int32GetDatum(line->quantity);
	values[4] = NumericGetDatum(ico_amount_numeric(line->unit_price, 0));
	values[5] = Int32GetDatum(line->filled);
	set_text(&values[6], &nulls[6], line->product_id, line->product_id_len);
	set_text(&values[7], &nulls[7], line->variant, line->variant_len);
	set_text(&values[8], &nulls[8], line->image_url, line->image_url_len);
	set_text(&values[9], &nulls[9], line->url, line->url_len);
	nulls[10] = line->extras == NULL;
	values[10] = line->extras == NULL ? (Datum) 0 :
		DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(line->extras, line->extras_len)));
	return heap_form_tuple(desc, values, nulls);
}

Datum
ico_line_items_unnest(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	IcoLine		line;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		IcoLineReader *reader;

		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &call->tuple_desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "unnest must return rows");
		BlessTupleDesc(call->tuple_desc);
		/* detoasted here, so that a copy lives as long as the calls */
		reader = palloc(sizeof(IcoLineReader));
		ico_line_reader_init(reader, PG_GETARG_LINE_ITEMS_P(0));
		call->user_fctx = reader;
		MemoryContextSwitchTo(old);
	}

	call = SRF_PERCALL_SETUP();
	if (ico_line_next(call->user_fctx, &line))
	{
		/* not inside the macro, which counts first and evaluates then */
		HeapTuple	row = unnest_row(call->tuple_desc, (int) call->call_cntr + 1, &line);

		SRF_RETURN_NEXT(call, HeapTupleGetDatum(row));
	}
	SRF_RETURN_DONE(call);
}
