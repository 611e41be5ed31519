/*
 * mailtext.c
 *		UTF-8 for mails: one clean line, wrapped lines, addresses.
 *
 * Whatever comes in may have been typed by anybody: names, addresses and texts
 * of a shop.  What goes out can stand in a header or in a line of a mail.
 */
#include <glib.h>
#include <string.h>

#include "mailtext.h"

#define MAX_ADDRESS 254
#define MAX_NAME 60

/* Line separators of Unicode are white space here, and so are other controls. */
static bool
is_blank(gunichar c)
{
	return g_unichar_isspace(c) || g_unichar_iscntrl(c) || c == 0x2028 || c == 0x2029;
}

char *
text_line(const char *text, size_t most)
{
	GString    *line = g_string_new(NULL);
	size_t		length = 0;
	bool		gap = false;

	for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at))
	{
		gunichar	c = g_utf8_get_char(at);

		if (is_blank(c))
		{
			gap = length > 0;
			continue;
		}
		if (length + (gap ? 1 : 0) >= most)
		{
			g_string_append(line, "…");
			break;
		}
		if (gap)
		{
			g_string_append_c(line, ' ');
			length++;
			gap = false;
		}
		g_string_append_unichar(line, c);
		length++;
	}
	return g_string_free(line, FALSE);
}

char *
text_lines(const char *text)
{
	GString    *lines = g_string_new(NULL);

	for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at))
	{
		gunichar	c = g_utf8_get_char(at);

		if (c == '\r' && at[1] == '\n')
			continue;
		if (c == '\n' || c == '\r' || c == 0x2028 || c == 0x2029)
			g_string_append_c(lines, '\n');
		else if (c == '\t')
			g_string_append_c(lines, ' ');
		else if (!g_unichar_iscntrl(c))
			g_string_append_unichar(lines, c);
	}
	return g_strstrip(g_string_free(lines, FALSE));
}

/* How many bytes of a line that is too long go into this one. */
static size_t
cut_of(const char *line, size_t room)
{
	const char *at = line;
	const char *space = NULL;
	size_t		word = strcspn(line, " ");

	/* A link is of no use in two parts. */
	if (g_strstr_len(line, (gssize) word, "http://") != NULL || g_strstr_len(line, (gssize) word, "https://") != NULL)
		return word;
	for (size_t n = 0; n < room && *at != '\0'; n++)
	{
		if (*at == ' ')
			space = at;
		at = g_utf8_next_char(at);
	}
	if (*at == '\0' || *at == ' ')
		return (size_t) (at - line);
	return (size_t) ((space != NULL ? space : at) - line);
}

static void
wrap_line(GString *out, const char *line)
{
	size_t		indent = strspn(line, " ");

	/* What belongs to a point of a list stands below its text. */
	if (strncmp(line + indent, "* ", 2) == 0)
		indent += 2;
	if (indent > TEXT_WIDTH / 2)
		indent = 0;
	g_string_append_len(out, line, (gssize) indent);
	line += indent;
	for (;;)
	{
		size_t		cut = (size_t) g_utf8_strlen(line, -1) <= TEXT_WIDTH - indent ? strlen(line) : cut_of(line, TEXT_WIDTH - indent);

		g_string_append_len(out, line, (gssize) cut);
		line += cut;
		line += strspn(line, " ");
		if (*line == '\0')
			break;
		g_string_append_printf(out, "\n%*s", (int) indent, "");
	}
	while (out->len > 0 && out->str[out->len - 1] == ' ')
		g_string_truncate(out, out->len - 1);
	g_string_append_c(out, '\n');
}

/* Also takes away white space at the end of lines, and all but one of several empty lines. */
char *
text_wrap(const char *text)
{
	char	  **lines = g_strsplit(text, "\n", -1);
	GString    *out = g_string_new(NULL);

	for (char **line = lines; *line != NULL; line++)
	{
		g_strchomp(*line);
		if (**line != '\0')
			wrap_line(out, *line);
		else if (out->len > 1 && out->str[out->len - 2] != '\n')
			g_string_append_c(out, '\n');
	}
	while (out->len > 1 && out->str[out->len - 2] == '\n')
		g_string_truncate(out, out->len - 1);
	g_strfreev(lines);
	return g_string_free(out, FALSE);
}

/*
 * Anybody can put anything into a form, together with an address of somebody
 * else, to have us mail it there.  A name that reads like a message or holds a
 * link is none.
 */
char *
text_person(const char *name)
{
	char	   *line = text_line(name, MAX_NAME + 1);

	if (*line == '\0' || g_utf8_strlen(line, -1) > MAX_NAME || strpbrk(line, "/@:<>{}[]|\\=&%$#") != NULL ||
		g_ascii_strncasecmp(line, "www.", 4) == 0)
	{
		g_free(line);
		return NULL;
	}
	for (const char *dot = strchr(line, '.'); dot != NULL; dot = strchr(dot + 1, '.'))
	{
		/* shop.example, but not J.R. or St. Something */
		if (g_ascii_isalnum(dot[1]) && dot[2] != '.' && dot[2] != ' ' && dot[2] != '\0')
		{
			g_free(line);
			return NULL;
		}
	}
	return line;
}

char *
text_address(const char *address, const char **why)
{
	const char *at = strrchr(address, '@');
	char	   *domain;
	char	   *made;

	*why = NULL;
	if (!g_utf8_validate(address, -1, NULL))
		*why = "the address is not UTF-8";
	for (const char *c = address; *why == NULL && *c != '\0'; c = g_utf8_next_char(c))
	{
		gunichar	u = g_utf8_get_char(c);

		if (is_blank(u) || strchr("<>,;:()[]\\\"", (int) (u < 128 ? u : 'x')) != NULL)
			*why = "the address has a character that no address has";
	}
	if (*why == NULL && (at == NULL || at == address || at[1] == '\0' || strchr(address, '@') != at))
		*why = "the address is not of the form name@domain";
	if (*why == NULL && strlen(address) > MAX_ADDRESS)
		*why = "the address is too long";
	if (*why != NULL)
		return NULL;
	domain = g_hostname_to_ascii(at + 1);
	if (domain == NULL)
	{
		*why = "the domain of the address is none";
		return NULL;
	}
	made = g_strdup_printf("%.*s@%s", (int) (at - address), address, domain);
	g_free(domain);
	return made;
}

bool
text_is_url(const char *url)
{
	if (!g_str_has_prefix(url, "http://") && !g_str_has_prefix(url, "https://"))
		return false;
	for (const char *c = url; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= ' ' || *c == 0x7f || strchr("<>\"'`\\^{}|", *c) != NULL)
			return false;
	}
	return strlen(url) <= 2000 && strchr(url, '/')[2] != '\0';
}

char *
text_colour(const char *colour, const char *preset)
{
	size_t		digits = colour[0] == '#' ? strspn(colour + 1, "0123456789abcdefABCDEF") : 0;

	if ((digits != 3 && digits != 6) || colour[digits + 1] != '\0')
		return g_strdup(preset);
	if (digits == 6)
		return g_strdup(colour);
	return g_strdup_printf("#%c%c%c%c%c%c", colour[1], colour[1], colour[2], colour[2], colour[3], colour[3]);
}

/* The point where both have the same contrast by WCAG, near enough by luma. */
const char *
text_contrast(const char *colour)
{
	int			parts[3];

	for (int i = 0; i < 3; i++)
		parts[i] = g_ascii_xdigit_value(colour[1 + 2 * i]) * 16 + g_ascii_xdigit_value(colour[2 + 2 * i]);
	return 299 * parts[0] + 587 * parts[1] + 114 * parts[2] > 150 * 1000 ? "#000000" : "#ffffff";
}
