/*
 * sns.c
 *		Notifications of Amazon SNS: are they Amazon's, and of a topic of ours?
 *
 * The certificate comes from a file that the operator chose.  SNS also says where to fetch
 * it, which would let whoever sends decide whom we ask; that is not read.
 *
 * Memory: an Sns for as long as the program; what is read of a body only while it is
 * checked.
 */
#include <curl/curl.h>
#include <glib.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "sns.h"

#define CERTIFICATES_MOST 8
/* SNS repeats a notification for up to an hour */
#define AGE_MOST (2 * 3600)
#define EARLY_MOST 300
#define CONFIRM_SECONDS 10

struct Sns
{
	X509	   *certificates[CERTIFICATES_MOST];
	int			n;
	char	  **topics;			/* their ARNs */
};

/* ---- what the operator says ---- */

static void
read_certificates(Sns *sns, FILE *file)
{
	X509	   *certificate;

	while (sns->n < CERTIFICATES_MOST && (certificate = PEM_read_X509(file, NULL, NULL, NULL)) != NULL)
		sns->certificates[sns->n++] = certificate;
}

/* NULL: failure says why. */
Sns *
sns_new(const char *certificate, const char *topics, Failure *failure)
{
	Sns		   *sns = g_new0(Sns, 1);
	FILE	   *file = fopen(certificate, "re");

	sns->topics = g_strsplit(topics, ",", -1);
	for (char **topic = sns->topics; *topic != NULL; topic++)
		g_strstrip(*topic);
	if (file != NULL)
	{
		read_certificates(sns, file);
		fclose(file);
	}
	if (sns->n == 0)
		failure_set(failure, EX_NOINPUT, "--sns-certificate: %s has no certificate that can be read", certificate);
	for (char **topic = sns->topics; failure->message == NULL && *topic != NULL; topic++)
	{
		if (!g_str_has_prefix(*topic, "arn:"))
			failure_set(failure, EX_USAGE, "--sns-topics are ARNs, with commas between: arn:aws:sns:REGION:ACCOUNT:NAME");
	}
	if (failure->message == NULL)
		return sns;
	sns_free(sns);
	return NULL;
}

void
sns_free(Sns *sns)
{
	if (sns == NULL)
		return;
	for (int i = 0; i < sns->n; i++)
		X509_free(sns->certificates[i]);
	g_strfreev(sns->topics);
	g_free(sns);
}

/* ---- the signature ---- */

/* What was signed: names and values, each on a line of its own; NULL: something is missing. */
static GString *
signed_text(json_t *told, bool notification)
{
	static const char *const of_notification[] = {"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type", NULL};
	static const char *const of_others[] = {"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type", NULL};
	GString    *text = g_string_new(NULL);

	for (const char *const *name = notification ? of_notification : of_others; *name != NULL; name++)
	{
		json_t	   *value = json_object_get(told, *name);

		if (json_is_string(value))
		{
			g_string_append_printf(text, "%s\n", *name);
			g_string_append_len(text, json_string_value(value), (gssize) json_string_length(value));
			g_string_append_c(text, '\n');
		}
		/* the only one that may be missing */
		else if (strcmp(*name, "Subject") != 0)
		{
			g_string_free(text, true);
			return NULL;
		}
	}
	return text;
}

static bool
is_in_force(const X509 *certificate)
{
	return X509_cmp_current_time(X509_get0_notBefore(certificate)) < 0 && X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

static bool
holds(X509 *certificate, const EVP_MD *digest, const GString *text, const guchar *signature, gsize length)
{
	EVP_PKEY   *key = X509_get0_pubkey(certificate);
	EVP_MD_CTX *context;
	bool		good;

	if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || !is_in_force(certificate))
		return false;
	context = EVP_MD_CTX_new();
	good = context != NULL && EVP_DigestVerifyInit(context, NULL, digest, NULL, key) == 1 &&
		EVP_DigestVerify(context, signature, length, (const unsigned char *) text->str, text->len) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

static bool
is_signed(const Sns *sns, json_t *told, const GString *text)
{
	const char *version = json_string_value(json_object_get(told, "SignatureVersion"));
	const char *encoded = json_string_value(json_object_get(told, "Signature"));
	const EVP_MD *digest;
	guchar	   *signature;
	gsize		length;
	bool		good = false;

	if (version == NULL || encoded == NULL || *encoded == '\0')
		return false;
	if (strcmp(version, "1") == 0)
		digest = EVP_sha1();
	else if (strcmp(version, "2") == 0)
		digest = EVP_sha256();
	else
		return false;
	signature = g_base64_decode(encoded, &length);
	for (int i = 0; i < sns->n && !good; i++)
		good = holds(sns->certificates[i], digest, text, signature, length);
	g_free(signature);
	return good;
}

/* ---- the rest of it ---- */

static bool
is_ours(const Sns *sns, json_t *told)
{
	const char *topic = json_string_value(json_object_get(told, "TopicArn"));

	return topic != NULL && g_strv_contains((const gchar *const *) sns->topics, topic);
}

/* 2026-11-22T20:00:00.000Z */
static bool
is_fresh(json_t *told)
{
	const char *text = json_string_value(json_object_get(told, "Timestamp"));
	struct tm	parts = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
	double		age;

	if (end == NULL || (*end != '.' && *end != 'Z') || text[strlen(text) - 1] != 'Z')
		return false;
	age = difftime(time(NULL), timegm(&parts));
	return age <= AGE_MOST && age >= -EARLY_MOST;
}

static SnsVerdict
judge(const Sns *sns, json_t *told)
{
	const char *type = json_string_value(json_object_get(told, "Type"));
	SnsVerdict	kind;
	GString    *text;
	bool		genuine;

	if (type == NULL)
		return SNS_MALFORMED;
	if (strcmp(type, "Notification") == 0)
		kind = SNS_NOTIFICATION;
	else if (strcmp(type, "SubscriptionConfirmation") == 0)
		kind = SNS_SUBSCRIPTION;
	else if (strcmp(type, "UnsubscribeConfirmation") == 0)
		kind = SNS_UNSUBSCRIPTION;
	else
		return SNS_MALFORMED;
	text = signed_text(told, kind == SNS_NOTIFICATION);
	if (text == NULL)
		return SNS_MALFORMED;
	genuine = is_signed(sns, told, text);
	g_string_free(text, true);
	if (!genuine)
		return SNS_FORGED;
	if (!is_ours(sns, told))
		return SNS_FOREIGN;
	return is_fresh(told) ? kind : SNS_STALE;
}

/* *subscribe_url, of SNS_SUBSCRIPTION, is to be freed with g_free(). */
SnsVerdict
sns_check(const Sns *sns, const char *body, char **subscribe_url)
{
	json_t	   *told = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
	SnsVerdict	verdict = json_is_object(told) ? judge(sns, told) : SNS_MALFORMED;

	*subscribe_url = NULL;
	if (verdict == SNS_SUBSCRIPTION)
		*subscribe_url = g_strdup(json_string_value(json_object_get(told, "SubscribeURL")));
	json_decref(told);
	return verdict;
}

/* Is it an address of SNS itself, by https: https://sns.REGION.amazonaws.com/? */
bool
sns_is_amazon(const char *url)
{
	static const char start[] = "https://sns.";
	static const char *const ends[] = {".amazonaws.com/", ".amazonaws.com.cn/"};
	size_t		region;

	if (strncmp(url, start, sizeof(start) - 1) != 0)
		return false;
	url += sizeof(start) - 1;
	region = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789-");
	for (size_t i = 0; i < G_N_ELEMENTS(ends); i++)
	{
		if (region > 0 && strncmp(url + region, ends[i], strlen(ends[i])) == 0)
			return true;
	}
	return false;
}

static size_t
ignore(char *data, size_t size, size_t n, void *arg)
{
	return size * n;
}

static CURLcode
fetch(const char *url, long *status)
{
	CURL	   *easy = curl_easy_init();
	CURLcode	code;

	if (easy == NULL)
		return CURLE_OUT_OF_MEMORY;
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long) CONFIRM_SECONDS);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	code = curl_easy_perform(easy);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, status);
	curl_easy_cleanup(easy);
	return code;
}

/*
 * Visits the address, in a child: it happens once for a topic, and must not stop
 * anything else.  Nobody waits for the child (loop.c).
 */
void
sns_confirm(const char *url)
{
	long		status = 0;
	char		figures[16];
	CURLcode	code;
	LogLine		line;

	if (fork() != 0)
		return;
	/* what is being listened to and asked is not the child's */
	(void) close_range(3, ~0U, 0);
	code = fetch(url, &status);
	snprintf(figures, sizeof(figures), "%ld", status);
	log_begin(&line, code == CURLE_OK && status == 200 ? "info" : "warn", "sns_confirmed");
	log_text(&line, "status", figures);
	if (code != CURLE_OK)
		log_text(&line, "problem", curl_easy_strerror(code));
	log_end(&line);
	_exit(0);
}
