/*
 * render.h
 *		Mustache templates, filled from JSON.
 *
 * Sections, inverted sections, variables and comments.  What a template may not
 * do: partials, which would take data for a template, other delimiters, more than
 * a few sections inside of each other, and output without end.
 *
 * Texts that come back, errors too, are malloc()ed and belong to the caller.
 */
#ifndef ICO_RENDER_H
#define ICO_RENDER_H

#include <jansson.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C"
{
#endif

typedef struct Template Template;
/* what templates are filled from, taken over from JSON once for all of them */
typedef struct TemplateData TemplateData;

extern TemplateData *template_data_new(const json_t *json);
extern void template_data_free(TemplateData *data);

/* html: what is put in is escaped.  NULL: it is no template, and error says why. */
extern Template *template_new(const char *text, bool html, char **error);
extern char *template_render(Template *tmpl, const TemplateData *data, char **error);
extern void template_free(Template *tmpl);

#ifdef __cplusplus
}
#endif

#endif							/* ICO_RENDER_H */
