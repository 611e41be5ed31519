/*
 * loop.c
 *		Waiting for a socket, for a time, for signals, all in one poll().
 *
 * Signals: the handlers of SIGTERM, SIGINT and SIGHUP write one byte into a pipe
 * and nothing else; poll() sees it.  SIGHUP is counted, for who has something to
 * read again, and so are children that ended, for who has asked for it.  SIGPIPE is ignored: a closed socket or output is an error where it
 * is written to.
 * The pipe is the only state that is not passed around: a handler gets none.
 * The watchdog is fed here, so it is fed as long as this loop turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

static int	signal_pipe[2] = {-1, -1};

static void
on_signal(int signal_number)
{
	int			saved = errno;
	ssize_t		written = write(signal_pipe[1], signal_number == SIGHUP ? "h" : signal_number == SIGCHLD ? "c" : "s", 1);

	/* A full pipe already says it. */
	(void) written;
	errno = saved;
}

bool
loop_init(Loop *loop)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	action.sa_handler = on_signal;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	/* The child that cancels (db.c) needs nobody to wait for it. */
	sigaction(SIGCHLD, &action, NULL);
	loop->stops = 0;
	loop->hangups = 0;
	loop->children = 0;
	loop->company = NULL;
	notify_init(&loop->notify);
	return true;
}

/* From now on somebody waits for the children that end. */
void
loop_watch_children(Loop *loop)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_handler = on_signal;
	action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
	sigaction(SIGCHLD, &action, NULL);
	loop->children = 0;
}

/* Microseconds of a clock that nobody sets. */
int64_t
loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec / 1000;
}

/* Was there one that asked us to stop? */
static bool
take_signals(Loop *loop)
{
	char		bytes[16];
	ssize_t		n;
	int			before = loop->stops;

	while ((n = read(signal_pipe[0], bytes, sizeof(bytes))) > 0)
	{
		for (ssize_t i = 0; i < n; i++)
		{
			if (bytes[i] == 'h')
				loop->hangups++;
			else if (bytes[i] == 'c')
				loop->children++;
			else
				loop->stops++;
		}
	}
	return loop->stops > before;
}

/* Milliseconds until then, rounded up: never early, and never busy. */
static int
poll_timeout(int64_t now, int64_t then)
{
	if (then == NEVER)
		return -1;
	if (then <= now)
		return 0;
	if (then - now > INT64_C(3600) * SECOND)
		return 3600 * 1000;
	return (int) ((then - now + 999) / 1000);
}

/* False: no signal has come, for sure. */
static bool
poll_all(Loop *loop, struct pollfd *fds, int n, int timeout)
{
	if (loop->company != NULL)
	{
		(void) loop->company->wait(loop->company->arg, fds, n, timeout);
		return true;
	}
	return poll(fds, (nfds_t) n, timeout) < 0 || fds[0].revents != 0;
}

static Wakeup
wait_for(Loop *loop, int fd, short events, int64_t deadline, bool want_news)
{
	struct pollfd fds[2] = {{signal_pipe[0], POLLIN, 0}, {fd, events, 0}};
	int			hangups = loop->hangups;
	int			children = loop->children;

	for (;;)
	{
		int64_t		now = loop_now();
		int64_t		ping = notify_watchdog(&loop->notify, now);
		int			timeout = poll_timeout(now, deadline < ping ? deadline : ping);

		fds[1].revents = 0;
		if (want_news && loop->company != NULL && loop->company->news)
			timeout = 0;
		if (poll_all(loop, fds, fd >= 0 ? 2 : 1, timeout) && take_signals(loop))
			return WAKE_STOP;
		if (fds[1].revents != 0)
			return WAKE_READY;
		if (want_news && (loop->hangups > hangups || loop->children > children || (loop->company != NULL && loop->company->news)))
			return WAKE_NEWS;
		if (loop_now() >= deadline)
			return WAKE_TIMEOUT;
	}
}

/*
 * Waits for events on fd (-1: for none) until the deadline.  A request to stop
 * that came before counts as well, unless it was reported already.
 */
Wakeup
loop_wait(Loop *loop, int fd, short events, int64_t deadline)
{
	return wait_for(loop, fd, events, deadline, false);
}

/* The same, ended by news of the company too, by SIGHUP, and by a child that ends. */
Wakeup
loop_wait_news(Loop *loop, int fd, short events, int64_t deadline)
{
	return wait_for(loop, fd, events, deadline, true);
}
