/*
 * render.cc
 *		Mustache by kainjow's library, for a program in C.
 *
 * Nothing is thrown beyond this file.  What the library would let a template do
 * to the program (partials, delimiters, recursion, output without end) is refused
 * before or while it is rendered.
 */
#include <cstring>
#include <stdexcept>
#include <string>

#include <kainjow/mustache.hpp>

#include "render.h"

using namespace kainjow;

/* sections inside of each other, bytes of what comes out */
static const int MAX_DEPTH = 8;
static const size_t MAX_OUTPUT = 256 * 1024;

struct Template
{
	mustache::mustache parsed;

	explicit Template(const std::string &text) : parsed(text) {}
};

struct TemplateData
{
	mustache::data data;
};

static std::string
escape(const std::string &text)
{
	std::string escaped;

	escaped.reserve(text.size() + text.size() / 4);
	for (char c : text)
	{
		switch (c)
		{
			case '&': escaped += "&amp;"; break;
			case '<': escaped += "&lt;"; break;
			case '>': escaped += "&gt;"; break;
			case '"': escaped += "&quot;"; break;
			/* &apos; is shown as it is by some mail readers */
			case '\'': escaped += "&#39;"; break;
			default: escaped += c;
		}
	}
	return escaped;
}

static std::string
verbatim(const std::string &text)
{
	return text;
}

/* Empty texts, nulls and what is no text are false: a section is there if there is something to say. */
static mustache::data
data_of(const json_t *json)
{
	if (json_is_string(json) && json_string_length(json) > 0)
		return mustache::data(std::string(json_string_value(json), json_string_length(json)));
	if (json_is_array(json))
	{
		mustache::data list(mustache::data::type::list);
		size_t		i;
		json_t	   *element;

		json_array_foreach(json, i, element)
			list << data_of(element);
		return list;
	}
	if (json_is_object(json))
	{
		mustache::data object;
		const char *key;
		json_t	   *value;

		json_object_foreach(const_cast<json_t *>(json), key, value)
			object.set(key, data_of(value));
		return object;
	}
	return mustache::data(json_is_true(json));
}

/*
 * Walks over the tags at least as the library will: it may see one more, inside
 * of three braces, but misses none.
 */
static void
check_tags(const std::string &text)
{
	int			depth = 0;

	for (size_t at = text.find("{{"); at != std::string::npos; at = text.find("{{", at))
	{
		size_t		end;

		at = text.find_first_not_of("{ \t\r\n\v\f", at + 2);
		if (at == std::string::npos)
			return;
		if (text[at] == '=')
			throw std::runtime_error("a template cannot change the delimiters");
		if (text[at] == '>')
			throw std::runtime_error("a template cannot contain another one");
		if (text[at] == '#' || text[at] == '^')
			depth++;
		else if (text[at] == '/')
			depth--;
		if (depth > MAX_DEPTH)
			throw std::runtime_error("a template has too many sections inside of each other");
		end = text.find("}}", at);
		at = end == std::string::npos ? at : end;
	}
}

extern "C" Template *
template_new(const char *text, bool html, char **error)
{
	Template   *made = nullptr;

	*error = nullptr;
	try
	{
		check_tags(text);
		made = new Template(text);
		made->parsed.set_custom_escape(html ? escape : verbatim);
		if (!made->parsed.is_valid())
			throw std::runtime_error(made->parsed.error_message());
	}
	catch (const std::exception &e)
	{
		delete made;
		made = nullptr;
		*error = strdup(e.what());
	}
	return made;
}

extern "C" char *
template_render(Template *tmpl, const TemplateData *data, char **error)
{
	*error = nullptr;
	try
	{
		std::string out;

		tmpl->parsed.render(data->data, [&out](const std::string &part) {
			if (out.size() + part.size() > MAX_OUTPUT)
				throw std::runtime_error("what came out of a template is too long");
			out += part;
		});
		if (!tmpl->parsed.is_valid())
			throw std::runtime_error(tmpl->parsed.error_message());
		return strdup(out.c_str());
	}
	catch (const std::exception &e)
	{
		*error = strdup(e.what());
		return nullptr;
	}
}

extern "C" TemplateData *
template_data_new(const json_t *json)
{
	return new TemplateData{data_of(json)};
}

extern "C" void
template_data_free(TemplateData *data)
{
	delete data;
}

extern "C" void
template_free(Template *tmpl)
{
	delete tmpl;
}
