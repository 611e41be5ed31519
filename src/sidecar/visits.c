/*
 * visits.c
 *		Who follows a link: a person, or a program that looks at it first.
 *
 * Shops are paid by what people do, so a doubtful visit counts as a machine's.  The
 * signs, which are all that is asked, stand in three tables and one rule below:
 *
 *	- the request: HEAD; a header that announces a prefetch or a preview; From, which robots
 *	  send; for links, what every browser sends when a person follows one is missing or
 *	  says something else (Accept, Accept-Language, Sec-Fetch-Mode, Sec-Fetch-Dest)
 *	- the program: no User-Agent, one of a known scanner, proxy, preview, tool, or one
 *	  that neither a browser nor a mail program has
 *	- the message: two different links of one message within 2 seconds, its picture
 *	  included; both visits are a machine's then
 *
 * The last rule is why a hit is held for 2 seconds before record_message_event()
 * gets it.  The same link again within that time is the same visit.  A click that we
 * send on to the restore page names that page as its link, so that both are one.
 *
 * Memory: hits are held in a list of at most HITS_MOST; when the database is away
 * they wait in it, and what does not fit is dropped and counted in the log.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "visits.h"

#define HITS_MOST 4096
#define HOLD (2 * SECOND)
#define RECORD_LIMIT (5 * SECOND)
/* between two tries while the database is away */
#define RETRY (2 * SECOND)
/* tokens of one message begin alike: 126 of the 128 bits of its id */
#define MESSAGE_KEY 21
#define TOKEN_LENGTH 43

struct Hit
{
	Hit		   *next;
	VisitKind	kind;
	char		message[MESSAGE_KEY + 1];
	char		link[16];
	char		subject[TOKEN_LENGTH + 1];	/* the message's id, or the picture's token */
	const char *sign;			/* of a machine, or NULL */
	int64_t		at;
	int64_t		due;
	Visits	   *visits;
};

typedef enum Test
{
	TEST_PRESENT,
	TEST_MISSING,
	TEST_CONTAINS,
	TEST_OTHER,					/* there, but something else */
} Test;

/* What headers say. pixel: asked of pictures, too; mail programs send less for them. */
static const struct
{
	const char *header;
	Test		test;
	const char *text;
	bool		pixel;
	const char *sign;
}			header_signs[] = {
	{"Purpose", TEST_PRESENT, NULL, true, "prefetch"},
	{"Sec-Purpose", TEST_PRESENT, NULL, true, "prefetch"},
	{"X-Purpose", TEST_PRESENT, NULL, true, "prefetch"},
	{"X-Moz", TEST_CONTAINS, "prefetch", true, "prefetch"},
	{"From", TEST_PRESENT, NULL, true, "robot"},
	{"User-Agent", TEST_MISSING, NULL, true, "no_user_agent"},
	{"Accept", TEST_MISSING, NULL, false, "no_accept"},
	{"Accept-Language", TEST_MISSING, NULL, false, "no_language"},
	{"Sec-Fetch-Mode", TEST_OTHER, "navigate", false, "no_navigation"},
	{"Sec-Fetch-Dest", TEST_OTHER, "document", false, "no_navigation"},
};

/* Words in the User-Agent, in lower case. */
static const struct
{
	const char *word;
	const char *sign;
}			programs[] = {
	/* telephones of that name are no robots */
	{"cubot", NULL},
	/* pictures through the mail provider, whoever looks or not */
	{"googleimageproxy", "proxy"},
	{"yahoomailproxy", "proxy"},
	{"yahoocachesystem", "proxy"},
	{"proxy", "proxy"},
	/* looks behind links before the mail is shown */
	{"barracuda", "scanner"},
	{"mimecast", "scanner"},
	{"proofpoint", "scanner"},
	{"safelinks", "scanner"},
	{"fireeye", "scanner"},
	{"trendmicro", "scanner"},
	{"trend micro", "scanner"},
	{"zscaler", "scanner"},
	{"sophos", "scanner"},
	{"symantec", "scanner"},
	{"messagelabs", "scanner"},
	{"forcepoint", "scanner"},
	{"cloudmark", "scanner"},
	{"ironport", "scanner"},
	{"ciscosecure", "scanner"},
	{"fortinet", "scanner"},
	{"f-secure", "scanner"},
	{"virustotal", "scanner"},
	{"urlscan", "scanner"},
	{"safebrowsing", "scanner"},
	{"google-safety", "scanner"},
	{"scan", "scanner"},
	{"checker", "scanner"},
	/* shows a picture of the page in a chat or a search */
	{"preview", "preview"},
	{"facebookexternalhit", "preview"},
	{"whatsapp", "preview"},
	{"embed", "preview"},
	/* robots say so */
	{"bot", "robot"},
	{"crawl", "robot"},
	{"spider", "robot"},
	{"slurp", "robot"},
	{"archive", "robot"},
	{"monitor", "robot"},
	{"+http", "robot"},
	/* browsers without a person */
	{"headless", "tool"},
	{"phantomjs", "tool"},
	{"puppeteer", "tool"},
	{"playwright", "tool"},
	{"selenium", "tool"},
	{"lighthouse", "tool"},
};

/* How a browser's or a mail program's User-Agent begins. Apple's mail proxy says "Mozilla/5.0" and no more. */
static const struct
{
	const char *beginning;
	bool		pixel;			/* only for pictures: it opens no links itself */
}			people[] = {
	{"Mozilla/5.0 (", false},
	{"Mozilla/4.0 (", true},	/* Outlook */
	{"Opera/9.80 (", false},
	{"Microsoft Office/", true},
	{"Outlook-iOS/", true},
	{"Outlook-Android/", true},
};

static const char *
sign_of_headers(const Request *request, bool pixel)
{
	for (size_t i = 0; i < sizeof(header_signs) / sizeof(header_signs[0]); i++)
	{
		const char *value = http_header(request, header_signs[i].header);
		bool		is = false;

		if (pixel && !header_signs[i].pixel)
			continue;
		switch (header_signs[i].test)
		{
			case TEST_PRESENT:
				is = value != NULL;
				break;
			case TEST_MISSING:
				is = value == NULL || *value == '\0';
				break;
			case TEST_CONTAINS:
				is = value != NULL && strcasestr(value, header_signs[i].text) != NULL;
				break;
			case TEST_OTHER:
				is = value != NULL && strcasecmp(value, header_signs[i].text) != 0;
				break;
		}
		if (is)
			return header_signs[i].sign;
	}
	return NULL;
}

static const char *
sign_of_program(const char *agent, bool pixel)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
	{
		if (strcasestr(agent, programs[i].word) == NULL)
			continue;
		if (programs[i].sign == NULL)
			break;
		return programs[i].sign;
	}
	for (size_t i = 0; i < sizeof(people) / sizeof(people[0]); i++)
	{
		if ((pixel || !people[i].pixel) && strncmp(agent, people[i].beginning, strlen(people[i].beginning)) == 0)
			return NULL;
	}
	return "unknown_program";
}

/* Why the request is a machine's, by itself; NULL: it looks like a person's. */
const char *
visit_sign(const Request *request, VisitKind kind)
{
	bool		pixel = kind == VISIT_OPEN;
	const char *sign = http_is_head(request) ? "head" : sign_of_headers(request, pixel);

	return sign != NULL ? sign : sign_of_program(http_header(request, "User-Agent"), pixel);
}

void
visits_init(Visits *visits, Pool *pool)
{
	memset(visits, 0, sizeof(*visits));
	visits->pool = pool;
	visits->last = &visits->first;
}

static void
append(Visits *visits, Hit *hit)
{
	hit->next = NULL;
	*visits->last = hit;
	visits->last = &hit->next;
	visits->n++;
}

/* Compares a new hit with those of its message; true: one of them is the same visit. */
static bool
compare(Visits *visits, Hit *hit)
{
	bool		same = false;

	for (Hit *other = visits->first; other != NULL; other = other->next)
	{
		if (hit->at - other->at > HOLD || strcmp(hit->message, other->message) != 0)
			continue;
		if (strcmp(hit->link, other->link) != 0)
		{
			hit->sign = hit->sign ? hit->sign : "several_links";
			other->sign = other->sign ? other->sign : "several_links";
		}
	}
	for (Hit *other = visits->first; other != NULL; other = other->next)
	{
		if (hit->at - other->at <= HOLD && strcmp(hit->message, other->message) == 0 && strcmp(hit->link, other->link) == 0 &&
			hit->kind == other->kind && (hit->sign == NULL) == (other->sign == NULL))
			same = true;
	}
	return same;
}

static void
log_dropped(Visits *visits)
{
	LogLine		line;

	/* One line for each power of two. */
	visits->dropped++;
	if ((visits->dropped & (visits->dropped - 1)) != 0)
		return;
	log_begin(&line, "warn", "visits_dropped");
	if (line.stream != NULL)
		fprintf(line.stream, " n=%d", visits->dropped);
	log_end(&line);
}

/*
 * A visit of a link.  token: of the link; message_id: NULL where only the database can
 * say it, later.  sign: what visit_sign() said.
 */
void
visits_add(Visits *visits, VisitKind kind, const char *token, const char *link, const char *message_id, const char *sign)
{
	Hit		   *hit = visits->n < HITS_MOST ? calloc(1, sizeof(*hit)) : NULL;

	if (hit == NULL)
	{
		log_dropped(visits);
		return;
	}
	hit->kind = kind;
	hit->sign = sign;
	hit->visits = visits;
	hit->at = loop_now();
	hit->due = hit->at + HOLD;
	snprintf(hit->message, sizeof(hit->message), "%.*s", MESSAGE_KEY, token);
	snprintf(hit->link, sizeof(hit->link), "%s", link);
	snprintf(hit->subject, sizeof(hit->subject), "%s", message_id != NULL ? message_id : token);
	if (compare(visits, hit))
		free(hit);
	else
		append(visits, hit);
}

static void
on_recorded(void *arg, const PGresult *result, const Failure *failure)
{
	Hit		   *hit = arg;
	Visits	   *visits = hit->visits;

	visits->asked--;
	if (result == NULL && (failure->code == EX_UNAVAILABLE || failure->code == EX_TEMPFAIL) && !visits->stopping &&
		visits->n < HITS_MOST)
	{
		/* Later; it is old enough to be compared with nobody any more. */
		hit->due = loop_now() + RETRY;
		append(visits, hit);
		return;
	}
	/* Anybody may fetch the picture of a message that does not exist. */
	if (result == NULL && strcmp(failure->sqlstate, "IC011") != 0)
	{
		LogLine		line;

		log_begin(&line, "error", "visit");
		log_failure(&line, failure);
		log_end(&line);
	}
	free(hit);
}

static void
record(Visits *visits, Hit *hit)
{
	const char *values[] = {hit->subject, hit->sign != NULL ? "true" : "false"};

	if (hit->kind == VISIT_LOOK)
	{
		free(hit);
		return;
	}
	visits->asked++;
	pool_ask(visits->pool, hit->kind == VISIT_CLICK ?
			 "SELECT incomplete_orders.record_message_event($1::pg_catalog.uuid, 'clicked',"
			 " pg_catalog.jsonb_build_object('machine', $2::pg_catalog.bool))" :
			 "SELECT incomplete_orders.record_message_event(incomplete_orders.open_link($1), 'opened',"
			 " pg_catalog.jsonb_build_object('machine', $2::pg_catalog.bool))",
			 2, values, RECORD_LIMIT, on_recorded, hit);
}

/* Records what was held long enough, as far as no request waits for the connections. */
void
visits_turn(Visits *visits)
{
	int64_t		now = loop_now();

	while (visits->first != NULL && (visits->stopping || visits->first->due <= now))
	{
		Hit		   *hit = visits->first;

		if (hit->kind != VISIT_LOOK && !pool_is_free(visits->pool) && !visits->stopping)
			return;
		visits->first = hit->next;
		if (visits->first == NULL)
			visits->last = &visits->first;
		visits->n--;
		record(visits, hit);
	}
}

/* When visits_turn() has something to do; it waits for a connection without a time. */
int64_t
visits_deadline(const Visits *visits)
{
	if (visits->first == NULL || (visits->first->due <= loop_now() && !pool_is_free(visits->pool)))
		return NEVER;
	return visits->first->due;
}

/* Records at once what is held, by what is known until now. */
void
visits_stop(Visits *visits)
{
	visits->stopping = true;
	visits_turn(visits);
}

void
visits_free(Visits *visits)
{
	while (visits->first != NULL)
	{
		Hit		   *hit = visits->first;

		visits->first = hit->next;
		free(hit);
	}
	visits_init(visits, visits->pool);
}
