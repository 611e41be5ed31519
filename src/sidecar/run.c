/*
 * run.c
 *		incomplete-orders run: serve, send and tick together, for a small shop.
 *
 * Three children of this same program, in a process group of their own, so that what a
 * terminal sends reaches them through us alone and once.  They live and die together:
 * the first one that ends, however it ends, ends the others, and its exit code is ours;
 * whoever started us starts all of them again.  SIGTERM and SIGINT are passed on as
 * SIGTERM, each one, and so is SIGHUP.  If we are killed, the kernel ends them.
 *
 * The service manager hears of us only: that all were started, and that we live.
 *
 * Memory: the children's arguments, freed at the end.
 */
#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands.h"
#include "log.h"
#include "loop.h"

#define CHILDREN 3
/* what the children get to end; each of them has a shorter grace of its own */
#define STOP_LIMIT (30 * SECOND)

typedef struct RunOptions
{
	CommonOptions common;
	const char *listen;
	const char *staff_dbname;
	const char *prefix;
	const char *trusted_proxy;
	const char *smtp_url;
	const char *relays;
	const char *save;
	const char *from;
	const char *base_url;
	const char *netrc_file;
	const char *every;
	const char *serve;
	const char *send;
	const char *tick;
} RunOptions;

static const OptionDef run_options[] = {
	{"listen", 0, OPTION_TEXT, offsetof(RunOptions, listen), "HOST:PORT", "127.0.0.1:8080", 0, 0,
	"as of serve"},
	{"staff-dbname", 0, OPTION_TEXT, offsetof(RunOptions, staff_dbname), "NAME", NULL, 0, 0,
	"as of serve"},
	{"prefix", 0, OPTION_TEXT, offsetof(RunOptions, prefix), "PATH", NULL, 0, 0,
	"as of serve"},
	{"trusted-proxy", 0, OPTION_TEXT, offsetof(RunOptions, trusted_proxy), "LIST", NULL, 0, 0,
	"as of serve"},
	{"smtp-url", 0, OPTION_TEXT, offsetof(RunOptions, smtp_url), "URL", NULL, 0, 0,
	"as of serve and send"},
	{"relays", 0, OPTION_TEXT, offsetof(RunOptions, relays), "FILE", NULL, 0, 0,
	"as of serve and send"},
	{"save", 0, OPTION_TEXT, offsetof(RunOptions, save), "DIR", NULL, 0, 0,
	"as of send"},
	{"from", 0, OPTION_TEXT, offsetof(RunOptions, from), "ADDRESS", NULL, 0, 0,
	"as of serve and send"},
	{"base-url", 0, OPTION_TEXT, offsetof(RunOptions, base_url), "URL", NULL, 0, 0,
	"as of serve and send"},
	{"netrc-file", 0, OPTION_TEXT, offsetof(RunOptions, netrc_file), "FILE", NULL, 0, 0,
	"as of serve and send"},
	{"every", 0, OPTION_TEXT, offsetof(RunOptions, every), "TIME", "60s", 0, 0,
	"as of tick"},
	{"serve", 0, OPTION_TEXT, offsetof(RunOptions, serve), "OPTIONS", NULL, 0, 0,
	"further ones of serve, quoted as for a shell"},
	{"send", 0, OPTION_TEXT, offsetof(RunOptions, send), "OPTIONS", NULL, 0, 0,
	"further ones of send"},
	{"tick", 0, OPTION_TEXT, offsetof(RunOptions, tick), "OPTIONS", NULL, 0, 0,
	"further ones of tick"},
	{NULL}
};

typedef struct Child
{
	const char *name;
	GPtrArray  *arguments;
	pid_t		pid;			/* 0: it has ended, or was never there */
} Child;

typedef struct Family
{
	Loop	   *loop;
	Child		children[CHILDREN];
	pid_t		group;
	int			code;			/* of the first one that ended by itself */
	bool		stopping;
} Family;

/* ---------------------------------------------------------------------------
 * Their arguments
 */

static void
add(Child *child, const char *option, const char *value)
{
	if (value != NULL)
		g_ptr_array_add(child->arguments, g_strdup_printf("--%s=%s", option, value));
}

/* False: they are not quoted as they should be. */
static bool
add_all(Child *child, const char *text)
{
	char	  **words;
	int			n;

	if (text == NULL || text[strspn(text, " \t")] == '\0')
		return true;
	if (!g_shell_parse_argv(text, &n, &words, NULL))
		return false;
	for (int i = 0; i < n; i++)
		g_ptr_array_add(child->arguments, g_strdup(words[i]));
	g_strfreev(words);
	return true;
}

static void
begin_child(Child *child, const char *name, const RunOptions *options)
{
	child->name = name;
	child->arguments = g_ptr_array_new_with_free_func(g_free);
	g_ptr_array_add(child->arguments, g_strdup("incomplete-orders"));
	g_ptr_array_add(child->arguments, g_strdup(name));
	add(child, "dbname", options->common.dbname);
	if (options->common.verbose)
		g_ptr_array_add(child->arguments, g_strdup("--verbose"));
}

static void
add_mail(Child *child, const RunOptions *options)
{
	add(child, "smtp-url", options->smtp_url);
	add(child, "relays", options->relays);
	add(child, "from", options->from);
	add(child, "base-url", options->base_url);
	add(child, "netrc-file", options->netrc_file);
}

/* False: one of the texts with further options is no list of words. */
static bool
make_children(Family *family, const RunOptions *options)
{
	Child	   *serve = &family->children[0];
	Child	   *send = &family->children[1];
	Child	   *tick = &family->children[2];
	bool		good;

	begin_child(serve, "serve", options);
	add(serve, "listen", options->listen);
	add(serve, "staff-dbname", options->staff_dbname);
	add(serve, "prefix", options->prefix);
	add(serve, "trusted-proxy", options->trusted_proxy);
	/* It sends what staff want to see of a template. */
	add_mail(serve, options);
	begin_child(send, "send", options);
	add(send, "save", options->save);
	add_mail(send, options);
	begin_child(tick, "tick", options);
	add(tick, "every", options->every);
	good = add_all(serve, options->serve) && add_all(send, options->send) && add_all(tick, options->tick);
	for (int i = 0; i < CHILDREN; i++)
		g_ptr_array_add(family->children[i].arguments, NULL);
	return good;
}

/* ---------------------------------------------------------------------------
 * Their life
 */

/* Never returns. */
static void
be_child(const Child *child, pid_t parent, pid_t group)
{
	(void) setpgid(0, group);
	(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EX_TEMPFAIL);
	signal(SIGCHLD, SIG_DFL);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	execv("/proc/self/exe", (char *const *) child->arguments->pdata);
	_exit(EX_OSERR);
}

static bool
start_child(Family *family, Child *child)
{
	pid_t		parent = getpid();

	child->pid = fork();
	if (child->pid == 0)
		be_child(child, parent, family->group);
	if (child->pid < 0)
	{
		child->pid = 0;
		family->code = EX_OSERR;
		return false;
	}
	/* Here as well, so that it has happened for whoever is faster. */
	if (family->group == 0)
		family->group = child->pid;
	(void) setpgid(child->pid, family->group);
	return true;
}

static void
log_child(const char *level, const Child *child, int code)
{
	LogLine		line;
	char		text[16];

	snprintf(text, sizeof(text), "%d", code);
	log_begin(&line, level, "child");
	log_text(&line, "command", child->name);
	log_text(&line, "exit", text);
	log_end(&line);
}

/* Hears of those that have ended; how many are left. */
static int
look_after(Family *family)
{
	int			left = 0;

	for (int i = 0; i < CHILDREN; i++)
	{
		Child	   *child = &family->children[i];
		int			status;
		int			code;

		if (child->pid == 0)
			continue;
		if (waitpid(child->pid, &status, WNOHANG) != child->pid)
		{
			left++;
			continue;
		}
		child->pid = 0;
		code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (code != EX_OK || !family->stopping)
			log_child(family->stopping ? "warn" : "error", child, code);
		/* One that ends unasked fails us even if it says that all is well. */
		if (family->code == EX_OK)
			family->code = family->stopping || code != EX_OK ? code : EX_SOFTWARE;
	}
	return left;
}

static void
tell(const Family *family, int signal_number)
{
	for (int i = 0; i < CHILDREN; i++)
	{
		if (family->children[i].pid > 0)
			(void) kill(family->children[i].pid, signal_number);
	}
}

/* Until one has ended, or we are asked to stop. */
static void
watch(Family *family)
{
	int			hangups = family->loop->hangups;

	while (look_after(family) == CHILDREN && family->loop->stops == 0)
	{
		(void) loop_wait_news(family->loop, -1, 0, NEVER);
		if (family->loop->hangups > hangups)
			tell(family, SIGHUP);
		hangups = family->loop->hangups;
	}
}

/* Ends who is left; who does not end in time is killed. */
static void
stop(Family *family)
{
	int64_t		deadline = loop_now() + STOP_LIMIT;
	int			told = family->loop->stops > 0 ? family->loop->stops - 1 : -1;

	family->stopping = true;
	while (look_after(family) > 0)
	{
		if (loop_now() >= deadline)
		{
			tell(family, SIGKILL);
			deadline = NEVER;
		}
		/* Who asks twice is in a hurry, and so are they. */
		if (told < family->loop->stops)
		{
			tell(family, SIGTERM);
			told = told < 0 ? family->loop->stops : told + 1;
		}
		else
			(void) loop_wait_news(family->loop, -1, 0, deadline);
	}
}

static void
log_life(const char *event)
{
	LogLine		line;

	log_begin(&line, "info", event);
	log_text(&line, "version", ICO_VERSION);
	log_text(&line, "command", "run");
	log_end(&line);
}

static int
run_run(const void *arg, Loop *loop)
{
	Family		family = {.loop = loop};

	if (!make_children(&family, arg))
	{
		usage_error(&run_command, "--serve, --send and --tick have options as a shell would read them");
		family.code = EX_USAGE;
	}
	else
	{
		loop_watch_children(loop);
		log_life("start");
		for (int i = 0; i < CHILDREN && start_child(&family, &family.children[i]); i++)
			;
		notify_send(&loop->notify, "READY=1\nSTATUS=Serving, sending and ticking.");
		if (family.code == EX_OK)
			watch(&family);
		notify_send(&loop->notify, "STOPPING=1");
		stop(&family);
		log_life("stop");
	}
	for (int i = 0; i < CHILDREN; i++)
		g_ptr_array_free(family.children[i].arguments, true);
	return family.code;
}

const Command run_command = {
	"run", "serve, send and tick in one, for a small shop", run_options, sizeof(RunOptions), run_run
};
