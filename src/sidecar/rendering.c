/*
 * rendering.c
 *		Mails that staff look at while they write their texts.
 *
 * The database makes the message that a sender would get, with the fields that are not
 * saved yet, and the mail is made of it as every other one is.  Nothing is queued,
 * written or sent, and its links lead nowhere.  A shop that has no sender yet can look
 * at its mails, too.
 *
 * Memory: all of it is of this call.
 */
#include <jansson.h>
#include <string.h>

#include "mail.h"
#include "problem.h"
#include "rendering.h"

#define RETRY_AFTER 5

/* The language that the text is in. */
static json_t *
locale_of(const char *object)
{
	json_t	   *message = json_loads(object, 0, NULL);
	json_t	   *locale = json_incref(json_object_get(json_object_get(message, "message"), "locale"));

	json_decref(message);
	return locale;
}

void
rendering_take(RestCall *call, const PGresult *row)
{
	const MailDefaults defaults = {.from = "shop@shop.example",.base_url = "https://shop.example"};
	const char *object = PQgetvalue(row, 0, PQfnumber(row, "object"));
	json_t	   *problems = json_loads(PQgetvalue(row, 0, PQfnumber(row, "problems")), 0, NULL);
	Mail		mail = {0};

	if (!mail_init())
		problem_answer(call->request, &(Problem) {.status = HTTP_UNAVAILABLE,.detail = "The program is out of memory.",.retry_after = RETRY_AFTER});
	else if (mail_make(object, "jane@example.com", &defaults, &mail) == MAIL_MADE)
		rest_answer(call, HTTP_OK, json_pack("{so* ss ss ss ss sI sO}", "locale", locale_of(object), "subject", mail.subject, "html", mail.html,
											 "text", mail.text, "sender", mail.sender, "bytes", (json_int_t) mail.length, "problems", problems));
	else
		rest_answer(call, HTTP_OK, json_pack("{so* ss* sO}", "locale", locale_of(object), "reason", mail.reason, "problems", problems));
	json_decref(problems);
	mail_free(&mail);
}
