/*
 * smtp_loop.c
 *		The least that libcurl must do to send mails that are ready.
 *
 *	smtp_loop URL CONNECTIONS COUNT FILE ...
 *
 * Sends COUNT mails, the FILEs over and over, through one multi handle with so
 * many easy handles, each of which takes the next mail when it is done with one
 * and keeps its connection.  A file is a mail as it goes over the wire, with
 * CRLF; the first of its lines "From:" and "To:" say from whom and to whom.
 * Prints the seconds from the first connection to the last answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#define MAX_CONNECTIONS 64

typedef struct Mail
{
	char	   *text;
	size_t		size;
	char	   *from;
	struct curl_slist *to;
} Mail;

typedef struct Sending
{
	CURL	   *easy;
	const Mail *mail;
	size_t		read;
} Sending;

static Mail *mails;
static int	nmails;
static int	count;
static int	begun;
static int	done;

static void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "smtp_loop: %s: %s\n", what, detail);
	exit(1);
}

/* The address in the header line that begins so. */
static char *
address_of(const Mail *mail, const char *header, const char *path)
{
	/* the header begins with the line end before it, but for that of the first line */
	char	   *line = strncmp(mail->text, header + 1, strlen(header + 1)) == 0 ? mail->text : strstr(mail->text, header);
	char	   *end = line == NULL ? NULL : strstr(line, "\r\n");
	char	   *address;
	size_t		len;

	if (end == NULL)
		fail(path, "it lacks From or To, or has no CRLF");
	for (address = end; address > line && address[-1] != ' ' && address[-1] != '<';)
		address--;
	len = strcspn(address, ">\r");
	return strndup(address, len);
}

static void
read_mail(Mail *mail, const char *path)
{
	FILE	   *file = fopen(path, "r");
	size_t		allocated = 0;
	char	   *to;
	ssize_t		size;

	if (file == NULL || (size = getdelim(&mail->text, &allocated, '\0', file)) <= 0)
		fail(path, "cannot be read");
	fclose(file);
	mail->size = size;
	mail->from = address_of(mail, "\nFrom: ", path);
	to = address_of(mail, "\nTo: ", path);
	mail->to = curl_slist_append(NULL, to);
	free(to);
}

static size_t
give(char *buffer, size_t size, size_t n, void *data)
{
	Sending    *sending = data;
	size_t		left = sending->mail->size - sending->read;

	if (left > size * n)
		left = size * n;
	memcpy(buffer, sending->mail->text + sending->read, left);
	sending->read += left;
	return left;
}

static void
begin(CURLM *multi, Sending *sending)
{
	sending->mail = &mails[begun++ % nmails];
	sending->read = 0;
	curl_easy_setopt(sending->easy, CURLOPT_MAIL_FROM, sending->mail->from);
	curl_easy_setopt(sending->easy, CURLOPT_MAIL_RCPT, sending->mail->to);
	curl_easy_setopt(sending->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) sending->mail->size);
	curl_multi_add_handle(multi, sending->easy);
}

static void
finish(CURLM *multi, const CURLMsg *message)
{
	CURL	   *easy = message->easy_handle;
	Sending    *sending;

	if (message->data.result != CURLE_OK)
		fail("sending", curl_easy_strerror(message->data.result));
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &sending);
	curl_multi_remove_handle(multi, easy);
	done++;
	if (begun < count)
		begin(multi, sending);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	Sending		sendings[MAX_CONNECTIONS];
	int			connections;
	double		start;
	CURLM	   *multi;

	if (argc < 5)
		fail("usage", "smtp_loop URL CONNECTIONS COUNT FILE ...");
	connections = atoi(argv[2]);
	count = atoi(argv[3]);
	if (connections < 1 || connections > MAX_CONNECTIONS || count < connections)
		fail("usage", "1 to 64 connections, at least as many mails");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	nmails = argc - 4;
	mails = calloc(nmails, sizeof(Mail));
	multi = curl_multi_init();
	if (mails == NULL || multi == NULL)
		fail("start", "no memory");
	for (int i = 0; i < nmails; i++)
		read_mail(&mails[i], argv[i + 4]);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) connections);
	curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) connections);

	start = now();
	for (int i = 0; i < connections; i++)
	{
		CURL	   *easy = sendings[i].easy = curl_easy_init();

		curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, give);
		curl_easy_setopt(easy, CURLOPT_READDATA, &sendings[i]);
		curl_easy_setopt(easy, CURLOPT_PRIVATE, &sendings[i]);
		begin(multi, &sendings[i]);
	}
	while (done < count)
	{
		int			running;
		int			left;
		CURLMsg    *message;

		curl_multi_perform(multi, &running);
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			if (message->msg == CURLMSG_DONE)
				finish(multi, message);
		}
		if (done < count && running > 0)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	printf("%.6f\n", now() - start);
	return 0;
}
