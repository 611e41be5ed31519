/*
 * loop.c
 *		Waiting for a socket, for a time, for signals, all in one poll().
 *
 * Signals: the handler of SIGTERM and SIGINT writes one byte into a pipe and
 * nothing else; poll() sees it.  SIGHUP is ignored, there is nothing to reload;
 * SIGPIPE too, a closed socket or output is an error where it is written to.
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
on_stop(int signal_number)
{
	int			saved = errno;
	ssize_t		written = write(signal_pipe[1], "", 1);

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
	action.sa_handler = on_stop;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);
	/* The child that cancels (db.c) needs nobody to wait for it. */
	sigaction(SIGCHLD, &action, NULL);
	loop->stops = 0;
	notify_init(&loop->notify);
	return true;
}

/* Microseconds of a clock that nobody sets. */
int64_t
loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec / 1000;
}

static bool
take_stops(Loop *loop)
{
	char		bytes[16];
	ssize_t		n;
	int			before = loop->stops;

	while ((n = read(signal_pipe[0], bytes, sizeof(bytes))) > 0)
		loop->stops += (int) n;
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

/*
 * Waits for events on fd (-1: for none) until the deadline.  A request to stop
 * that came before counts as well, unless it was reported already.
 */
Wakeup
loop_wait(Loop *loop, int fd, short events, int64_t deadline)
{
	struct pollfd fds[2] = {{signal_pipe[0], POLLIN, 0}, {fd, events, 0}};

	for (;;)
	{
		int64_t		now = loop_now();
		int64_t		ping = notify_watchdog(&loop->notify, now);
		int			n = poll(fds, 2, poll_timeout(now, deadline < ping ? deadline : ping));

		if (take_stops(loop))
			return WAKE_STOP;
		if (n > 0 && fds[1].revents != 0)
			return WAKE_READY;
		if (loop_now() >= deadline)
			return WAKE_TIMEOUT;
	}
}
