/*
 * mail.c
 *		A message of the queue as a mail: texts, HTML, MIME.
 *
 * The fields of a shop's template (subject, body, ...) are plain text with
 * variables of mustache.  What comes out of them is put into two layouts that
 * are compiled in (assets/): so neither a shop's text nor the name of a product
 * can become markup, and every mail has its footer.
 *
 * Nothing here depends on the clock, on chance or on the attempt: a mail that is
 * sent again is the same mail, with the same Message-ID.
 *
 * Memory: what is made on the way belongs to a Making and ends with it; the
 * layouts, the words and the parsed texts of shops live as long as the program.
 */
#include <gmime/gmime.h>
#include <jansson.h>
#include <string.h>

#include "mail.h"
#include "render.h"
#include "mailtext.h"
#include "texts.h"

#define SUBJECT_LENGTH 200
#define NAME_LENGTH 100
#define LINE_LENGTH 2000
#define COLOUR "#1f5fbf"

static const char token_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const char layout_html[] =
#include "mail_html.inc"
;
static const char layout_text[] =
#include "mail_text.inc"
;
static const char words_json[] =
#include "words.inc"
;

static Template *html_template;
static Template *text_template;
/* texts of shops, parsed: a shop's mails say the same again and again */
static GHashTable *shop_templates;
#define SHOP_TEMPLATES_MOST 1000
static json_t *words;

typedef struct Making
{
	const json_t *message;
	const json_t *shop;
	const json_t *order;
	const json_t *text;
	const json_t *links;
	const char *locale;
	Language	language;		/* of what the layouts say themselves */
	char	   *base_url;
	json_t	   *fields;			/* what the shop's texts may name */
	TemplateData *data;			/* the same, for the templates */
	json_t	   *layout;			/* what the layouts name; holds the rendered texts */
	Mail	   *mail;
	MailResult	result;			/* MAIL_MADE until something fails */
} Making;

/* The layouts are ours: that they are good is a matter of tests. */
bool
mail_init(void)
{
	char	   *error = NULL;

	if (words != NULL)
		return true;
	g_mime_init();
	html_template = template_new(layout_html, true, &error);
	if (html_template != NULL)
		text_template = template_new(layout_text, false, &error);
	free(error);
	words = json_loads(words_json, 0, NULL);
	shop_templates = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) template_free);
	return html_template != NULL && text_template != NULL && words != NULL;
}

static void give_up(Making *making, MailResult result, const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* The first failure counts. */
static void
give_up(Making *making, MailResult result, const char *format,...)
{
	va_list		args;

	if (making->result != MAIL_MADE)
		return;
	making->result = result;
	va_start(args, format);
	making->mail->reason = g_strdup_vprintf(format, args);
	va_end(args);
}

/* A member as text, or "". */
static const char *
member(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

/* The same for one that may be a number, written as in that language; the caller frees it. */
static char *
figure_of(const Making *making, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	char	   *figure = json_is_integer(value) ? g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value)) :
		text_line(member(object, key), 40);
	char		shown[256];

	count_text(shown, sizeof(shown), making->language, figure);
	g_free(figure);
	return g_strdup(shown);
}

/* For what is not worth a word when there is none of it. */
static char *
figure_if_any(const Making *making, const json_t *object, const char *key)
{
	char	   *figure = figure_of(making, object, key);

	if (strcmp(figure, "0") == 0)
		*figure = '\0';
	return figure;
}

/* Takes over a text that g_malloc() made. */
static void
put(json_t *object, const char *key, char *text)
{
	json_object_set_new(object, key, json_string(text));
	g_free(text);
}

static void
put_line(json_t *object, const char *key, const json_t *from, const char *name)
{
	put(object, key, text_line(member(from, name), LINE_LENGTH));
}

static char *
link_to(const Making *making, const char *page, const char *token)
{
	char	   *clean = text_line(member(making->links, token), 100);
	char	   *link = g_strdup_printf("%s/%s/%s", making->base_url, page, g_strcanon(clean, token_letters, '-'));

	g_free(clean);
	return link;
}

/* ---- what a mail is about ---- */

/*
 * The reader's, which may name a country, if the text that was found for them is in
 * that language; else that of the text, for what the layouts say goes with it.
 */
static const char *
locale_of(const Making *making)
{
	const char *wanted = member(making->message, "locale");
	const char *found = member(making->text, "locale");
	size_t		language = strcspn(found, "-_");

	if (*found == '\0' || (strcspn(wanted, "-_") == language && g_ascii_strncasecmp(wanted, found, language) == 0))
		return wanted;
	return found;
}

static void
take_parts(Making *making, const json_t *root)
{
	making->message = json_object_get(root, "message");
	making->shop = json_object_get(root, "shop");
	making->order = json_object_get(root, "order");
	making->text = json_object_get(root, "text");
	making->links = json_object_get(root, "links");
	if (!json_is_object(making->message) || !json_is_object(making->shop) || !json_is_object(making->order) ||
		!json_is_object(making->text) || !json_is_object(making->links))
		give_up(making, MAIL_UNFIT, "the message is not complete");
	making->locale = locale_of(making);
	making->language = language_of(making->locale, NULL);
}

static void
find_base_url(Making *making, const MailDefaults *defaults)
{
	const char *url = member(making->shop, "base_url");
	size_t		length;

	if (*url == '\0')
		url = defaults->base_url != NULL ? defaults->base_url : "";
	if (*url == '\0')
		give_up(making, MAIL_NOT_YET, "the shop has no base_url, and there is no --base-url");
	else if (!text_is_url(url))
		give_up(making, MAIL_NOT_YET, "the base_url of the shop is no address of a web site");
	making->base_url = g_strdup(url);
	length = strlen(making->base_url);
	while (length > 0 && making->base_url[length - 1] == '/')
		making->base_url[--length] = '\0';
}

static void
find_addresses(Making *making, const char *recipient, const MailDefaults *defaults)
{
	const char *from = defaults->relay_from != NULL ? defaults->relay_from : member(making->shop, "from_email");
	const char *why;

	making->mail->recipient = text_address(recipient, &why);
	if (making->mail->recipient == NULL)
		give_up(making, MAIL_UNFIT, "recipient: %s", why);
	if (*from == '\0')
		from = defaults->from != NULL ? defaults->from : "";
	if (*from == '\0')
	{
		give_up(making, MAIL_NOT_YET, "the shop has no from_email, and there is no --from");
		return;
	}
	making->mail->sender = text_address(from, &why);
	if (making->mail->sender == NULL)
		give_up(making, MAIL_NOT_YET, "from_email of the shop: %s", why);
}

/* An amount twice: without its currency, for the texts of a shop, and with it. */
static void
put_amount(const Making *making, json_t *object, const char *key, const char *shown_key, const char *amount, const char *currency)
{
	char		shown[256];
	char	   *clean = text_line(amount, 40);

	money_text(shown, sizeof(shown), making->language, clean, currency);
	put(object, shown_key, g_strdup(shown));
	amount_text(shown, sizeof(shown), making->language, clean, currency);
	put(object, key, g_strdup(shown));
	g_free(clean);
}

static json_t *
item_of(const Making *making, const json_t *line, const char *currency, size_t number)
{
	json_t	   *item = json_object();
	const char *image = member(line, "image_url");
	char	   *click = link_to(making, "c", "click");
	json_int_t	place = json_integer_value(json_object_get(line, "line"));

	/* its place in the cart, where lines before it are left out here */
	if (place < 1)
		place = number;
	put_line(item, "name", line, "name");
	if (json_string_length(json_object_get(item, "name")) == 0)
		put_line(item, "name", line, "sku");
	put_line(item, "variant", line, "variant");
	put(item, "quantity", figure_of(making, line, "quantity"));
	put_amount(making, item, "unit_price", "shown_price", member(line, "unit_price"), currency);
	put_amount(making, item, "line_total", "shown_total", member(line, "line_total"), currency);
	put(item, "shown_price_was", g_strdup(""));
	if (*member(line, "unit_price_was") != '\0')
		put_amount(making, item, "unit_price_was", "shown_price_was", member(line, "unit_price_was"), currency);
	put(item, "quantity_was", figure_if_any(making, line, "quantity_was"));
	put(item, "image_url", g_strdup(text_is_url(image) ? image : ""));
	put(item, "link", g_strdup_printf("%s/%" JSON_INTEGER_FORMAT, click, place));
	/* A list inside of itself would be long. */
	json_object_set_new(item, "items", json_false());
	g_free(click);
	return item;
}

/* Is it one? For plurals. */
static void
put_flag(json_t *object, const char *key, const json_t *from, const char *name)
{
	json_object_set_new(object, key, json_boolean(json_integer_value(json_object_get(from, name)) == 1));
}

/* Everything that the template of a shop may name. */
static void
collect_fields(Making *making)
{
	json_t	   *fields = making->fields = json_object();
	json_t	   *items = json_array();
	const json_t *line;
	size_t		i;
	char	   *currency = text_line(member(making->order, "currency"), 8);
	char	   *person = text_person(member(making->order, "customer_name"));

	if (person != NULL)
		put(fields, "customer_name", person);
	put(fields, "shop_name", text_line(member(making->shop, "name"), NAME_LENGTH));
	json_array_foreach(json_object_get(making->order, "items"), i, line)
		json_array_append_new(items, item_of(making, line, currency, i + 1));
	json_object_set_new(fields, "items", items);
	put(fields, "item_count", figure_of(making, making->order, "item_count"));
	put(fields, "total_items", figure_of(making, making->order, "item_count"));
	put_amount(making, fields, "total_amount", "shown_amount", member(making->order, "total"), currency);
	put(fields, "reference", text_line(member(making->order, "reference"), NAME_LENGTH));
	put(fields, "recovery_url", link_to(making, "r", "restore"));
	put(fields, "days_until_expiry", figure_if_any(making, making->order, "days_until_expiry"));
	put_line(fields, "discount_offer", making->order, "discount_offer");
	put_flag(fields, "one_item", making->order, "item_count");
	put_flag(fields, "one_day", making->order, "days_until_expiry");
	put(fields, "currency", currency);
}

/* ---- texts ---- */

/* A text of a shop as a template, which stays ours; NULL: it is none. */
static Template *
shop_template(const char *text, char **error)
{
	Template   *tmpl = g_hash_table_lookup(shop_templates, text);

	if (tmpl != NULL)
		return tmpl;
	tmpl = template_new(text, false, error);
	if (tmpl == NULL)
		return NULL;
	if (g_hash_table_size(shop_templates) >= SHOP_TEMPLATES_MOST)
		g_hash_table_remove_all(shop_templates);
	g_hash_table_insert(shop_templates, g_strdup(text), tmpl);
	return tmpl;
}

/* One field of the template, filled; NULL after a failure. */
static char *
fill(Making *making, const char *field)
{
	char	   *error = NULL;
	char	   *filled = NULL;
	Template   *tmpl;

	if (making->result != MAIL_MADE)
		return NULL;
	if (making->data == NULL)
		making->data = template_data_new(making->fields);
	tmpl = shop_template(member(making->text, field), &error);
	if (tmpl != NULL)
		filled = template_render(tmpl, making->data, &error);
	if (filled == NULL)
		give_up(making, MAIL_UNFIT, "template, %s: %s", field, error != NULL ? error : "out of memory");
	free(error);
	return filled;
}

static void
put_filled_line(Making *making, const char *field, size_t most)
{
	char	   *filled = fill(making, field);

	if (filled == NULL)
		return;
	put(making->layout, field, text_line(filled, most));
	free(filled);
}

/* Lines as [[line, ...], ...]: one inner list for each paragraph. */
static void
put_paragraphs(json_t *layout, const char *key, const char *text)
{
	char	   *clean = text_lines(text);
	char	  **lines = g_strsplit(clean, "\n", -1);
	json_t	   *paragraphs = json_array();
	json_t	   *paragraph = NULL;

	for (char **line = lines; *line != NULL; line++)
	{
		g_strchomp(*line);
		if (**line == '\0')
		{
			paragraph = NULL;
			continue;
		}
		if (paragraph == NULL)
		{
			paragraph = json_array();
			json_array_append_new(paragraphs, json_pack("{s:o}", "lines", paragraph));
		}
		json_array_append_new(paragraph, json_pack("{s:s, s:b}", "line", *line, "first", json_array_size(paragraph) == 0));
	}
	json_object_set_new(layout, key, paragraphs);
	g_strfreev(lines);
	g_free(clean);
}

static void
put_filled_paragraphs(Making *making, const char *field)
{
	char	   *filled = fill(making, field);

	if (filled == NULL)
		return;
	put_paragraphs(making->layout, field, filled);
	free(filled);
}

/* en for en-GB; only what can be a language tag. */
static char *
tag_of(const char *locale)
{
	char	   *language = g_strdup(locale);

	g_strdelimit(language, "_", '-');
	language[strspn(language, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")] = '\0';
	if (*language != '\0' && strlen(language) <= 35)
		return language;
	g_free(language);
	return g_strdup("en");
}

static void
put_pictures(Making *making)
{
	char	   *colour = text_colour(member(making->shop, "colour"), COLOUR);
	const char *logo = member(making->shop, "logo_url");
	const json_t *item;
	bool		pictures = false;
	size_t		i;

	/* Where no line has one the lines need no room for it. */
	json_array_foreach(json_object_get(making->fields, "items"), i, item)
		pictures = pictures || *member(item, "image_url") != '\0';
	json_object_set_new(making->layout, "pictures", json_boolean(pictures));
	put(making->layout, "logo_url", g_strdup(text_is_url(logo) ? logo : ""));
	put(making->layout, "button_colour", g_strdup(text_contrast(colour)));
	put(making->layout, "colour", colour);
	put(making->layout, "open_url", link_to(making, "o", "open"));
}

/* "and 7 more", or nothing */
static void
put_more(const Making *making)
{
	char	   *more = figure_if_any(making, making->order, "more_items");
	char	  **words_around = g_strsplit(member(json_object_get(making->layout, "words"),
											  strcmp(more, "1") == 0 ? "one_more" : "more"), "%s", 2);

	put(making->layout, "more_items", *more != '\0' ? g_strjoinv(more, words_around) : g_strdup(""));
	g_strfreev(words_around);
	g_free(more);
}

/* "Sold out: ..." in one line, or nothing. */
static void
put_unavailable(const Making *making)
{
	const json_t *name;
	GString    *names = g_string_new(NULL);
	size_t		i;

	json_array_foreach(json_object_get(making->order, "unavailable"), i, name)
		g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", json_is_string(name) ? json_string_value(name) : "");
	put(making->layout, "unavailable", text_line(names->str, LINE_LENGTH));
	g_string_free(names, TRUE);
}

/* What the layouts say themselves: ours in that language, or the shop's. */
static json_t *
words_of(const Making *making)
{
	json_t	   *said = json_copy(json_object_get(words, language_tag(making->language)));
	const json_t *own = json_object_get(making->text, "words");
	const char *key;
	json_t	   *value;

	json_object_foreach(said, key, value)
	{
		if (*member(own, key) != '\0')
			put(said, key, text_line(member(own, key), LINE_LENGTH));
	}
	return said;
}

static void
collect_layout(Making *making)
{
	json_t	   *layout = making->layout = json_object();
	char	   *language = tag_of(making->locale);

	json_object_update(layout, making->fields);
	json_object_set_new(layout, "words", words_of(making));
	put(layout, "language", language);
	put_more(making);
	put_unavailable(making);
	put_filled_line(making, "subject", SUBJECT_LENGTH);
	put_filled_line(making, "preheader", SUBJECT_LENGTH);
	put_filled_line(making, "headline", SUBJECT_LENGTH);
	put_filled_line(making, "button", NAME_LENGTH);
	put_filled_paragraphs(making, "body");
	put_filled_paragraphs(making, "footer");
	put_paragraphs(layout, "postal_address", member(making->shop, "postal_address"));
	put(layout, "unsubscribe_url", link_to(making, "u", "unsubscribe"));
	put(layout, "not_me_url", link_to(making, "n", "not_me"));
	put_pictures(making);
	if (making->result == MAIL_MADE && *member(layout, "subject") == '\0')
		give_up(making, MAIL_UNFIT, "the subject is empty");
}

static void
render_layouts(Making *making)
{
	char	   *error = NULL;
	char	   *text;
	TemplateData *data = template_data_new(making->layout);

	making->mail->subject = g_strdup(member(making->layout, "subject"));
	making->mail->html = template_render(html_template, data, &error);
	text = making->mail->html != NULL ? template_render(text_template, data, &error) : NULL;
	template_data_free(data);
	if (text == NULL)
		give_up(making, MAIL_UNFIT, "layout: %s", error != NULL ? error : "out of memory");
	else
		making->mail->text = text_wrap(text);
	free(text);
	free(error);
}

/* ---- MIME ---- */

static GMimeObject *
make_part(const char *subtype, const char *text)
{
	GMimePart  *part = g_mime_part_new_with_type("text", subtype);
	GMimeStream *stream = g_mime_stream_mem_new_with_buffer(text, strlen(text));
	GMimeDataWrapper *content = g_mime_data_wrapper_new_with_stream(stream, GMIME_CONTENT_ENCODING_DEFAULT);

	g_mime_object_set_content_type_parameter(GMIME_OBJECT(part), "charset", "utf-8");
	g_mime_part_set_content(part, content);
	/* Whatever the lines are: nothing on the way has a reason to change them. */
	g_mime_part_set_content_encoding(part, GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE);
	g_object_unref(content);
	g_object_unref(stream);
	return GMIME_OBJECT(part);
}

static GMimeObject *
make_body(const Making *making)
{
	GMimeMultipart *body = g_mime_multipart_new_with_subtype("alternative");
	char	   *id = text_line(member(making->message, "id"), 64);
	char	   *boundary = g_strdup_printf("=_%s", g_strcanon(id, "0123456789abcdef-", '-'));
	GMimeObject *parts[] = {make_part("plain", making->mail->text), make_part("html", making->mail->html)};

	/* =_ does not occur in quoted-printable */
	g_mime_multipart_set_boundary(body, boundary);
	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
	{
		g_mime_multipart_add(body, parts[i]);
		g_object_unref(parts[i]);
	}
	g_free(boundary);
	g_free(id);
	return GMIME_OBJECT(body);
}

/* <name@domain> as the queue gave it, without the brackets. */
static void
set_message_id(Making *making, GMimeMessage *mime)
{
	const char *given = member(making->message, "mail_message_id");
	size_t		length = strlen(given);
	char	   *id = length > 2 && given[0] == '<' && given[length - 1] == '>' ? g_strndup(given + 1, length - 2) : NULL;

	if (id == NULL || strlen(id) > 200 || strpbrk(id, "<> \t\r\n") != NULL || strchr(id, '@') == NULL)
		give_up(making, MAIL_UNFIT, "the Message-ID is none");
	else
		g_mime_message_set_message_id(mime, id);
	g_free(id);
}

static void
set_date(Making *making, GMimeMessage *mime)
{
	const char *queued_at = member(making->message, "queued_at");
	GTimeZone  *utc = g_time_zone_new_utc();
	GDateTime  *given = g_date_time_new_from_iso8601(queued_at, utc);
	GDateTime  *date = given != NULL ? g_date_time_to_utc(given) : NULL;

	if (date == NULL)
		give_up(making, MAIL_UNFIT, "queued_at is no date");
	else
		g_mime_message_set_date(mime, date);
	g_clear_pointer(&date, g_date_time_unref);
	g_clear_pointer(&given, g_date_time_unref);
	g_time_zone_unref(utc);
}

static void
set_people(Making *making, GMimeMessage *mime)
{
	const char *reply_to = member(making->shop, "reply_to");
	const char *shop_name = member(making->fields, "shop_name");
	const char *why;

	g_mime_message_add_mailbox(mime, GMIME_ADDRESS_TYPE_FROM, *shop_name != '\0' ? shop_name : NULL, making->mail->sender);
	g_mime_message_add_mailbox(mime, GMIME_ADDRESS_TYPE_TO, json_string_value(json_object_get(making->fields, "customer_name")),
							   making->mail->recipient);
	if (*reply_to != '\0')
	{
		char	   *address = text_address(reply_to, &why);

		if (address == NULL)
			give_up(making, MAIL_NOT_YET, "reply_to of the shop: %s", why);
		else
			g_mime_message_add_mailbox(mime, GMIME_ADDRESS_TYPE_REPLY_TO, *shop_name != '\0' ? shop_name : NULL, address);
		g_free(address);
	}
}

/*
 * RFC 8058 allows one click over https only: whoever could change the request
 * on its way could as well not have it arrive.
 */
static void
set_list_headers(const Making *making, GMimeMessage *mime)
{
	const char *url = member(making->layout, "unsubscribe_url");
	char	   *list = g_strdup_printf("<%s>", url);

	g_mime_object_set_header(GMIME_OBJECT(mime), "List-Unsubscribe", list, NULL);
	if (g_str_has_prefix(url, "https://"))
		g_mime_object_set_header(GMIME_OBJECT(mime), "List-Unsubscribe-Post", "List-Unsubscribe=One-Click", NULL);
	g_mime_object_set_header(GMIME_OBJECT(mime), "Auto-Submitted", "auto-generated", NULL);
	g_mime_object_set_header(GMIME_OBJECT(mime), "Content-Language", member(making->layout, "language"), NULL);
	g_free(list);
}

static void
make_bytes(Making *making)
{
	GMimeMessage *mime = g_mime_message_new(FALSE);
	GMimeFormatOptions *format = g_mime_format_options_new();
	GMimeObject *body = make_body(making);
	GMimeStream *stream = g_mime_stream_mem_new();
	GByteArray *bytes;

	set_people(making, mime);
	g_mime_message_set_subject(mime, making->mail->subject, "utf-8");
	set_date(making, mime);
	set_message_id(making, mime);
	set_list_headers(making, mime);
	g_mime_message_set_mime_part(mime, body);
	g_mime_format_options_set_newline_format(format, GMIME_NEWLINE_FORMAT_DOS);
	g_mime_object_write_to_stream(GMIME_OBJECT(mime), format, stream);
	bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
	making->mail->length = bytes->len;
	making->mail->bytes = g_malloc(bytes->len + 1);
	memcpy(making->mail->bytes, bytes->data, bytes->len);
	making->mail->bytes[bytes->len] = '\0';
	g_object_unref(stream);
	g_object_unref(body);
	g_mime_format_options_free(format);
	g_object_unref(mime);
}

/*
 * Makes the mail of a message of the queue.  MAIL_UNFIT and MAIL_NOT_YET: there
 * is none, and mail->reason says why.  Either way mail_free() is the caller's.
 */
MailResult
mail_make(const char *message, const char *recipient, const MailDefaults *defaults, Mail *mail)
{
	Making		making = {.mail = mail, .result = MAIL_MADE};
	json_error_t error;
	json_t	   *root = json_loads(message, 0, &error);

	memset(mail, 0, sizeof(*mail));
	if (root == NULL)
		give_up(&making, MAIL_UNFIT, "the message is no JSON");
	else
		take_parts(&making, root);
	if (making.result == MAIL_MADE)
	{
		find_base_url(&making, defaults);
		find_addresses(&making, recipient, defaults);
	}
	if (making.result == MAIL_MADE)
	{
		collect_fields(&making);
		collect_layout(&making);
	}
	if (making.result == MAIL_MADE)
		render_layouts(&making);
	if (making.result == MAIL_MADE)
		make_bytes(&making);
	template_data_free(making.data);
	json_decref(making.fields);
	json_decref(making.layout);
	json_decref(root);
	g_free(making.base_url);
	return making.result;
}

/* html comes from the renderer, the others from GLib. */
void
mail_free(Mail *mail)
{
	g_free(mail->sender);
	g_free(mail->recipient);
	g_free(mail->subject);
	g_free(mail->text);
	free(mail->html);
	g_free(mail->bytes);
	g_free(mail->reason);
	memset(mail, 0, sizeof(*mail));
}
