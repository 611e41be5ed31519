/*
 * queue_message.c
 *		What a claim gives to the sender: everything that the mail is made of.
 *
 * The same message gives the same object at every attempt as long as nobody
 * changes the order, so that the mail is the same too: days are counted from
 * when it was queued, links are as old as the message.  Its values are put by
 * cart_json.c.
 *
 * Memory: the caller's SPI context.  No locks but those of reading.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "cart_json.h"
#include "coupon.h"
#include "line_items.h"
#include "money.h"
#include "plan.h"
#include "queue.h"
#include "template.h"
#include "token.h"

/* lines of a cart that a mail shows */
#define MAX_LINES 20
/* a host name has no more */
#define MAX_DOMAIN 253

/* columns of ico_claim_texts() behind the number */
enum
{
	T_NAME, T_SHOP, T_COLOUR, T_BASE_URL, T_LOGO_URL, T_REPLY_TO, T_FROM_EMAIL, T_RESTORE_URL, T_POSTAL_ADDRESS,
	T_BODY, T_BUTTON, T_FOOTER, T_LOCALE, T_SUBJECT, T_HEADLINE, T_PREHEADER, T_COLUMNS
};

/* Shop and words of the messages that have all three in common. */
typedef struct IcoClaimText
{
	int32		shop_id;
	text	   *template;
	text	   *locale;
	text	   *columns[T_COLUMNS];
	text	   *domain;			/* of the Message-ID */
	Jsonb	   *words;			/* the shop's own around the text, or NULL */
} IcoClaimText;

static const char *const column_names[T_COLUMNS] = {
	"name", "shop", "colour", "base_url", "logo_url", "reply_to", "from_email", "restore_url", "postal_address",
	"body", "button", "footer", "locale", "subject", "headline", "preheader"
};

/* ---- shops and words ---- */

static bool
same_text(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* What was captured as a locale, as a language tag; '' where it is none. */
static text *
language_tag(const text *captured)
{
	text	   *tag = captured == NULL ? NULL : ico_locale_tag(captured);

	return tag != NULL ? tag : cstring_to_text("");
}

/* The host name at the beginning of s, or NULL when it is none. */
static text *
host_name(const char *s, const char *end)
{
	const char *start = s;

	while (s < end && ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
					   *s == '.' || *s == '-'))
		s++;
	if (s == start || s - start > MAX_DOMAIN || (s < end && strchr("/:?#>", *s) == NULL))
		return NULL;
	return cstring_to_text_with_len(start, s - start);
}

/* Where the mail comes from: the sender's domain, else the host of the shop. */
static text *
message_domain(const text *from_email, const text *base_url)
{
	text	   *domain = NULL;

	if (from_email != NULL)
	{
		const char *s = VARDATA_ANY(from_email);
		const char *end = s + VARSIZE_ANY_EXHDR(from_email);

		for (const char *p = end; p > s && domain == NULL; p--)
		{
			if (p[-1] == '@')
				domain = host_name(p, end);
		}
	}
	if (domain == NULL && base_url != NULL)
	{
		const char *s = VARDATA_ANY(base_url);
		const char *end = s + VARSIZE_ANY_EXHDR(base_url);

		for (const char *p = s; p + 3 <= end && domain == NULL; p++)
		{
			if (memcmp(p, "://", 3) == 0)
				domain = host_name(p + 3, end);
		}
	}
	return domain != NULL ? domain : cstring_to_text("incomplete-orders.invalid");
}

/* Those that are not alike; each claim points to its own. */
static int
group_claims(IcoClaim **claims, int n, IcoClaimText *texts)
{
	int			found = 0;

	for (int i = 0; i < n; i++)
	{
		IcoClaim   *c = claims[i];
		text	   *locale = language_tag(c->locale);
		int			t = 0;

		while (t < found && !(texts[t].shop_id == c->shop_id && same_text(texts[t].template, c->template) &&
							  same_text(texts[t].locale, locale)))
			t++;
		if (t == found)
		{
			texts[t].shop_id = c->shop_id;
			texts[t].template = c->template;
			texts[t].locale = locale;
			found++;
		}
		c->text = &texts[t];
	}
	return found;
}

static void
read_texts(IcoClaimText *texts, int n)
{
#define LANGUAGE(locale) "pg_catalog.split_part(" locale ", '-', 1)"
	static IcoPlan plan = {
		"ATT",
		"SELECT k.n::pg_catalog.int4, l.locale, s.name, s.shop, s.colour, s.base_url, s.logo_url, s.reply_to, s.from_email,"
		" s.restore_url, s.postal_address, t.body, t.button, t.footer, t.locale, t.subject, t.headline, t.preheader,"
		" (SELECT s.words" ARROW "y.tag FROM pg_catalog.jsonb_object_keys(s.words) y (tag)"
		/* the reader's way to write the language of the text, else that of the text */
		"   CROSS JOIN LATERAL (SELECT CASE WHEN " LANGUAGE("l.locale") EQ LANGUAGE("t.locale") " THEN l.locale ELSE t.locale END AS locale) z"
		"  WHERE " ICO_LOCALE_FIT("y.tag", "z.locale") " IS NOT NULL ORDER BY pg_catalog.length(y.tag) DESC LIMIT 1)"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) WITH ORDINALITY k (shop_id, template, locale, n)"
		" JOIN incomplete_orders.shops s ON s.shop_id" EQ "k.shop_id"
		" CROSS JOIN LATERAL (SELECT CASE WHEN k.locale" EQ "'' THEN s.locale ELSE k.locale END AS locale) l"
		" LEFT JOIN LATERAL (SELECT w.* FROM incomplete_orders.templates w WHERE w.template" EQ "k.template"
		"  AND w.shop_id" EQ "ANY (ARRAY[k.shop_id, 0])"
		/* a name that is a shop's own may not have a text in English; any is better than none */
		"  ORDER BY " ICO_LOCALE_FIT("w.locale", "l.locale") " DESC NULLS LAST, w.locale" EQ "'en' DESC,"
		"  w.shop_id DESC, w.locale LIMIT 1) t ON true"
	};
	Datum	   *columns[3];
	Datum		values[3];
	uint64		rows;
	bool		isnull;

	for (int i = 0; i < 3; i++)
		columns[i] = palloc(n * sizeof(Datum));
	for (int i = 0; i < n; i++)
	{
		columns[0][i] = Int32GetDatum(texts[i].shop_id);
		columns[1][i] = PointerGetDatum(texts[i].template);
		columns[2][i] = PointerGetDatum(texts[i].locale);
	}
	values[0] = PointerGetDatum(construct_array(columns[0], n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	for (int i = 1; i < 3; i++)
		values[i] = PointerGetDatum(construct_array(columns[i], n, TEXTOID, -1, false, TYPALIGN_INT));
	rows = ico_execute(&plan, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		IcoClaimText *t = &texts[DatumGetInt32(ico_column(i, 1, &isnull)) - 1];
		Datum		value;

		t->locale = DatumGetTextPP(ico_column(i, 2, &isnull));
		for (int column = 0; column < T_COLUMNS; column++)
		{
			value = ico_column(i, column + 3, &isnull);
			t->columns[column] = isnull ? NULL : DatumGetTextPP(value);
		}
		value = ico_column(i, T_COLUMNS + 3, &isnull);
		t->words = isnull ? NULL : DatumGetJsonbP(value);
		t->domain = message_domain(t->columns[T_FROM_EMAIL], t->columns[T_BASE_URL]);
	}
}

void
ico_claim_texts(IcoClaim **claims, int n)
{
	IcoClaimText *texts = palloc0(n * sizeof(IcoClaimText));

	read_texts(texts, group_claims(claims, n, texts));
	for (int i = 0; i < n; i++)
	{
		IcoClaim   *c = claims[i];

		if (c->text->domain == NULL)
			elog(ERROR, "shop %d vanished under its messages", c->shop_id);
		if (c->mail_message_id == NULL)
			c->mail_message_id = cstring_to_text(psprintf("<%s@%s>",
														  DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&c->id))),
														  text_to_cstring(c->text->domain)));
	}
}

bool
ico_claim_has_text(const IcoClaim *claim)
{
	return claim->text->columns[T_SUBJECT] != NULL;
}

const text *
ico_claim_language(const IcoClaim *claim)
{
	return claim->text->columns[T_LOCALE];
}

char *
ico_claim_word(const IcoClaim *claim, const char *word)
{
	JsonbValue	buffer;
	JsonbValue *value = claim->text->words == NULL ? NULL :
		getKeyJsonValueFromContainer(&claim->text->words->root, word, strlen(word), &buffer);

	return value == NULL || value->type != jbvString ? NULL : pnstrdup(value->val.string.val, value->val.string.len);
}

text *
ico_claim_shop(const IcoClaim *claim)
{
	return claim->text->columns[T_SHOP];
}

/* ---- the object ---- */

static void
put_uuid(JsonbParseState **state, const char *key, const pg_uuid_t *id)
{
	ico_put_string(state, key, DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id))));
}

/* ISO 8601 in UTC */
static void
put_instant(JsonbParseState **state, const char *key, TimestampTz at)
{
	char	   *buffer = palloc(MAXDATELEN + 1);
	int			utc = 0;

	ico_put_string(state, key, JsonEncodeDateTime(buffer, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc));
}

static void
begin_object(JsonbParseState **state, const char *key)
{
	JsonbValue	v = {.type = jbvString};

	v.val.string.val = unconstify(char *, key);
	v.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &v);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
}

static void
put_message(JsonbParseState **state, const IcoClaim *c)
{
	begin_object(state, "message");
	put_uuid(state, "id", &c->id);
	ico_put_int(state, "step", c->step);
	ico_put_text(state, "locale", c->text->locale);
	ico_put_int(state, "attempt", c->attempts + 1);
	ico_put_text(state, "variant", c->variant);
	ico_put_text(state, "campaign", c->campaign);
	ico_put_text(state, "template", c->template);
	put_instant(state, "queued_at", c->queued_at);
	ico_put_text(state, "message_type", c->message_type);
	ico_put_text(state, "mail_message_id", c->mail_message_id);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
put_columns(JsonbParseState **state, const char *key, const IcoClaimText *t, int first, int last)
{
	begin_object(state, key);
	for (int column = first; column <= last; column++)
		ico_put_text(state, column_names[column], t->columns[column]);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* The names of those that cannot be sold any more, where there are any. */
static void
put_unavailable(JsonbParseState **state, IcoLine *const *lines, int n)
{
	JsonbValue	v = {.type = jbvString};

	if (n == 0)
		return;
	v.val.string.val = "unavailable";
	v.val.string.len = 11;
	pushJsonbValue(state, WJB_KEY, &v);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
	{
		bool		named = lines[i]->name_len > 0;

		v.val.string.val = unconstify(char *, named ? lines[i]->name : lines[i]->sku);
		v.val.string.len = named ? lines[i]->name_len : lines[i]->sku_len;
		pushJsonbValue(state, WJB_ELEM, &v);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* The total of the cart as it was captured; of another one the lines alone, as no charge was made for it. */
static void
put_total(JsonbParseState **state, const IcoClaim *c, int64 lines, bool other, int decimals)
{
	IcoCharges	charges = {
		ico_stored_money(c->charges[0]), ico_stored_money(c->charges[1]),
		ico_stored_money(c->charges[2]), ico_stored_money(c->charges[3])
	};

	if (other)
		ico_put_money(state, "total", lines, decimals);
	else
		ico_put_string(state, "total", DatumGetCString(DirectFunctionCall1(numeric_out,
																	   NumericGetDatum(ico_total_numeric(lines, &charges, decimals)))));
}

/* What is left to buy and can be sold, and its total: charges were borne by the first part. */
static void
put_lines(JsonbParseState **state, const IcoClaim *c, int decimals)
{
	JsonbValue	key = {.type = jbvString};
	IcoStockWalk walk;
	IcoLineReader reader;
	IcoLine		line;
	IcoLine    *gone[MAX_LINES];
	int64		count = 0;
	int64		lines = 0;
	bool		partial = c->left_out;
	int			number = 0;
	int			shown = 0;
	int			more = 0;
	int			n_gone = 0;

	key.val.string.val = "items";
	key.val.string.len = 5;
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	ico_stock_begin(&walk, c->stock, text_to_cstring(c->currency));
	ico_line_reader_init(&reader, DatumGetLineItemsP(c->items));
	while (ico_line_next(&reader, &line))
	{
		IcoLineChange change;

		partial |= line.filled > 0;
		number += line.quantity > line.filled;
		if (!ico_stock_line(&walk, &line, &change))
		{
			if (change.gone > 0 && n_gone < MAX_LINES)
				gone[n_gone++] = memcpy(palloc(sizeof(IcoLine)), &line, sizeof(IcoLine));
			continue;
		}
		count += line.quantity - line.filled;
		lines += line.unit_price * (line.quantity - line.filled);
		if (shown == MAX_LINES)
			more++;
		else
			ico_put_line(state, &line, &change, number == ++shown ? 0 : number, decimals);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	ico_put_int(state, "more_items", more);
	ico_put_int(state, "item_count", count);
	put_unavailable(state, gone, n_gone);
	put_total(state, c, lines, partial || walk.changed, decimals);
}

/* the offer's parts, for whoever makes mails of their own */
static void
put_coupon(JsonbParseState **state, const IcoCoupon *coupon)
{
	int			decimals = ico_currency_exponent(text_to_cstring(coupon->currency));

	begin_object(state, "coupon");
	ico_put_text(state, "code", coupon->code);
	if (coupon->percentage)
		ico_put_money(state, "percentage", coupon->value, 0);
	else
		ico_put_money(state, "amount", coupon->value, decimals);
	ico_put_text(state, "currency", coupon->currency);
	put_instant(state, "expires_at", coupon->expires_at);
	ico_put_money(state, "minimum_value", coupon->minimum_value, decimals);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
put_order(JsonbParseState **state, const IcoClaim *c)
{
	int64		left = (c->expires_at - c->queued_at) / USECS_PER_DAY;

	begin_object(state, "order");
	put_uuid(state, "id", &c->order_id);
	ico_put_text(state, "reference", c->reference);
	ico_put_string(state, "kind", ico_kind_names[ico_kind_of(c->kind)]);
	ico_put_text(state, "customer_name", c->name);
	ico_put_text(state, "discount_offer", c->discount_offer);
	if (c->coupon != NULL)
		put_coupon(state, c->coupon);
	ico_put_text(state, "currency", c->currency);
	put_lines(state, c, ico_currency_exponent(text_to_cstring(c->currency)));
	put_instant(state, "expires_at", c->expires_at);
	ico_put_int(state, "days_until_expiry", Max(left, 0));
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* what the mail says around it, where the shop has words of its own for that */
static void
put_own_words(JsonbParseState **state, Jsonb *words)
{
	JsonbValue	v = {.type = jbvString};

	v.val.string.val = "words";
	v.val.string.len = 5;
	pushJsonbValue(state, WJB_KEY, &v);
	v.type = jbvBinary;
	v.val.binary.data = &words->root;
	v.val.binary.len = VARSIZE_ANY_EXHDR(words);
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
put_words(JsonbParseState **state, const IcoClaim *c)
{
	begin_object(state, "text");
	if (c->text->words != NULL)
		put_own_words(state, c->text->words);
	for (int column = T_BODY; column <= T_PREHEADER; column++)
	{
		const text *words = c->text->columns[column];

		ico_put_text(state, column_names[column], column == T_SUBJECT && c->subject != NULL ? c->subject : words);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
put_links(JsonbParseState **state, const IcoClaim *c)
{
	static const struct
	{
		const char *name;
		IcoLink		link;
	}			links[ICO_LINKS] = {
		{"open", ICO_LINK_OPEN}, {"click", ICO_LINK_CLICK}, {"not_me", ICO_LINK_NOT_ME},
		{"restore", ICO_LINK_RESTORE}, {"unsubscribe", ICO_LINK_UNSUBSCRIBE}
	};
	IcoLinkTokens *tokens = palloc(sizeof(IcoLinkTokens));

	ico_link_tokens(&c->id, c->give_up_at - ICO_GIVE_UP_AFTER, tokens);
	begin_object(state, "links");
	for (int i = 0; i < ICO_LINKS; i++)
		ico_put_string(state, links[i].name, tokens->token[links[i].link]);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

Jsonb *
ico_claim_message(const IcoClaim *c)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	put_columns(&state, "shop", c->text, T_NAME, T_POSTAL_ADDRESS);
	put_words(&state, c);
	put_links(&state, c);
	put_order(&state, c);
	put_message(&state, c);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
