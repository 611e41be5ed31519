/*
 * client.c
 *		Measures variants of one piece of work against each other.
 *
 *	client CLIENTS ROUNDS AMOUNT SETUP NAME STATEMENT PARAMETERS [NAME ...]
 *
 * CLIENTS connections (of as many processes; where to, says the environment)
 * run SETUP once and prepare every variant's STATEMENT.  In each round each
 * variant has a short slot, which all connections begin together; the order of
 * the variants changes from round to round.  A slot lasts AMOUNT seconds
 * ("0.25"), or AMOUNT transactions of each connection ("40x").  Parameters are
 * bound as text, as most drivers do: one line of the file PARAMETERS is one
 * set, its values separated by tabs; connection i takes the lines i, i +
 * CLIENTS, ... and, in slots that last seconds, starts anew at their end.
 *
 * A second statement may follow the first one behind the line "for each:"; it
 * runs for each row of the first one's result, in a transaction of its own, with
 * the row's first columns as parameters.  A variant named NAME@DATABASE runs on
 * connections to that database.
 *
 * A transaction of several statements has them behind lines "then:"; each takes
 * as many of the parameters as it names.
 *
 * The latency of a transaction is the time from sending its message to having
 * its result; where there are two statements, that of the first one.  Output: a
 * line for each slot but those of the first round, which warms up: name, round,
 * transactions, seconds, median and 95th percentile of the latency in
 * microseconds, rows for which a second statement ran.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#define MAX_VARIANTS 16
#define MAX_CLIENTS 64
#define MAX_VALUES 8
#define MAX_STATEMENTS 8
#define MAX_SAMPLES (4 * 1024 * 1024)

typedef struct Variant
{
	const char *name;
	const char *database;		/* NULL: that of the environment */
	int			nstatements;
	char	   *statements[MAX_STATEMENTS];
	char		names[MAX_STATEMENTS][64];	/* of them as prepared statements */
	int			nparameters[MAX_STATEMENTS];
	const char *for_each;		/* or NULL */
	char		each_name[64];	/* name of for_each as a prepared statement */
	int			each_values;
	PGconn	   *conn;			/* of this client */
	int			nvalues;
	int			nsets;
	char	  **values;			/* nsets * nvalues */
	int			next;			/* set that this client takes next */
} Variant;

typedef struct Sample
{
	uint32_t	slot;
	uint32_t	rows;
	float		micros;
} Sample;

/* shared by all processes; pages come into being when they are written */
typedef struct Shared
{
	pthread_barrier_t barrier;
	int			nsamples[MAX_CLIENTS];
} Shared;

static Variant variants[MAX_VARIANTS];
static int	nvariants;
static int	nclients;
static int	nrounds;
static double slot_seconds;
static int	slot_transactions;
static Shared *shared;
static Sample *samples;			/* MAX_SAMPLES for each client */
static double *elapsed;			/* for each slot, as client 0 saw it */

static void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "client: %s: %s\n", what, detail);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *
share(size_t size)
{
	void	   *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap", strerror(errno));
	return p;
}

static char *
read_file(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *data = NULL;
	size_t		size = 0;

	if (file == NULL || getdelim(&data, &size, '\0', file) < 0)
		fail(path, strerror(errno));
	fclose(file);
	return data;
}

/* The values point into the file's text, which is cut at tabs and line ends. */
static void
read_parameters(Variant *variant, const char *path)
{
	char	   *text = read_file(path);
	int			values = 1;
	int			used = 0;

	variant->nvalues = 1;
	for (char *c = text; *c != '\n' && *c != '\0'; c++)
		variant->nvalues += *c == '\t';
	for (char *c = text; *c != '\0'; c++)
		values += *c == '\t' || *c == '\n';
	variant->values = malloc(values * sizeof(char *));
	if (variant->values == NULL || variant->nvalues > MAX_VALUES)
		fail(path, "too many values");
	for (char *value = text; *value != '\0';)
	{
		size_t		len = strcspn(value, "\t\n");

		variant->values[used++] = value;
		value += len;
		if (*value != '\0')
			*value++ = '\0';
	}
	variant->nsets = used / variant->nvalues;
	if (used == 0 || used % variant->nvalues != 0)
		fail(path, "its lines have different numbers of values");
}

#define FOR_EACH "\nfor each:\n"
#define THEN "\nthen:\n"

static void
set_variant(Variant *variant, char *name, char *statement)
{
	char	   *database = strchr(name, '@');
	char	   *for_each = strstr(statement, FOR_EACH);

	variant->name = name;
	if (database != NULL)
	{
		*database = '\0';
		variant->database = database + 1;
	}
	if (for_each != NULL)
	{
		*for_each = '\0';
		variant->for_each = for_each + strlen(FOR_EACH);
	}
	for (char *next; statement != NULL; statement = next)
	{
		if (variant->nstatements == MAX_STATEMENTS)
			fail(name, "too many statements");
		next = strstr(statement, THEN);
		if (next != NULL)
		{
			*next = '\0';
			next += strlen(THEN);
		}
		variant->statements[variant->nstatements++] = statement;
	}
}

static void
check(PGconn *conn, PGresult *result, const char *what)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail(what, PQerrorMessage(conn));
	PQclear(result);
}

static PGconn *
connect_to(const char *database, const char *setup)
{
	const char *keywords[] = {database ? "dbname" : NULL, NULL};
	const char *values[] = {database, NULL};
	PGconn	   *conn = PQconnectdbParams(keywords, values, 0);

	if (PQstatus(conn) != CONNECTION_OK)
		fail("connection", PQerrorMessage(conn));
	check(conn, PQexec(conn, setup), setup);
	return conn;
}

/* The number of its parameters. */
static int
prepare(PGconn *conn, const char *name, const char *statement)
{
	PGresult   *result;
	int			n;

	check(conn, PQprepare(conn, name, statement, 0, NULL), name);
	result = PQdescribePrepared(conn, name);
	n = PQnparams(result);
	check(conn, result, name);
	if (n > MAX_VALUES)
		fail(statement, "too many values");
	return n;
}

/* Variants of one database share a connection. */
static void
open_connection(Variant *variant, const char *setup)
{
	for (Variant *other = variants; other < variant && variant->conn == NULL; other++)
	{
		if (strcmp(other->database ? other->database : "", variant->database ? variant->database : "") == 0)
			variant->conn = other->conn;
	}
	if (variant->conn == NULL)
		variant->conn = connect_to(variant->database, setup);
	for (int i = 0; i < variant->nstatements; i++)
	{
		snprintf(variant->names[i], sizeof(variant->names[i]), "%s %d", variant->name, i);
		variant->nparameters[i] = prepare(variant->conn, variant->names[i], variant->statements[i]);
		if (variant->nparameters[i] > variant->nvalues)
			fail(variant->statements[i], "more parameters than values");
	}
	if (variant->for_each == NULL)
		return;
	snprintf(variant->each_name, sizeof(variant->each_name), "each %s", variant->name);
	variant->each_values = prepare(variant->conn, variant->each_name, variant->for_each);
}

/* Runs the second statement for each row of the first one's result. */
static void
run_for_each(Variant *variant, PGresult *rows)
{
	const char *values[MAX_VALUES];

	for (int row = 0; row < PQntuples(rows); row++)
	{
		for (int i = 0; i < variant->each_values; i++)
			values[i] = PQgetvalue(rows, row, i);
		check(variant->conn, PQexecPrepared(variant->conn, variant->each_name, variant->each_values, values, NULL, NULL, 0),
			  variant->each_name);
	}
}

/* The last one's result. */
static PGresult *
run_statements(Variant *variant, const char *const *values)
{
	PGresult   *result = NULL;

	for (int i = 0; i < variant->nstatements; i++)
	{
		if (i > 0)
			check(variant->conn, result, variant->names[i - 1]);
		result = PQexecPrepared(variant->conn, variant->names[i], variant->nparameters[i], values, NULL, NULL, 0);
	}
	return result;
}

/* One transaction, and those for its rows. */
static void
run_one(Variant *variant, Sample *sample)
{
	const char *const *values;
	double		start;
	PGresult   *result;

	if (variant->next >= variant->nsets)
	{
		if (slot_transactions > 0)
			fail(variant->name, "not enough parameters");
		variant->next %= nclients;
	}
	values = (const char *const *) variant->values + (size_t) variant->next * variant->nvalues;
	variant->next += nclients;
	start = now();
	result = run_statements(variant, values);
	sample->micros = (now() - start) * 1e6;
	sample->rows = 0;
	if (variant->for_each != NULL && PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		sample->rows = PQntuples(result);
		run_for_each(variant, result);
	}
	check(variant->conn, result, variant->name);
}

static void
run_slot(int client, int slot, Variant *variant)
{
	Sample	   *mine = samples + (size_t) client * MAX_SAMPLES;
	double		start;

	pthread_barrier_wait(&shared->barrier);
	start = now();
	for (int n = 0; slot_transactions > 0 ? n < slot_transactions : now() - start < slot_seconds; n++)
	{
		Sample	   *sample = &mine[shared->nsamples[client]];

		run_one(variant, sample);
		sample->slot = slot;
		if (++shared->nsamples[client] == MAX_SAMPLES)
			fail(variant->name, "too many transactions");
	}
	pthread_barrier_wait(&shared->barrier);
	if (client == 0)
		elapsed[slot] = now() - start;
}

/* The order turns by one and changes its direction from round to round. */
static int
variant_at(int round, int position)
{
	int			v = (round / 2 + position) % nvariants;

	return round % 2 == 0 ? v : nvariants - 1 - v;
}

static void
run_client(int client, const char *setup)
{
	for (int v = 0; v < nvariants; v++)
	{
		variants[v].next = client;
		open_connection(&variants[v], setup);
	}
	for (int round = 0; round < nrounds; round++)
	{
		for (int position = 0; position < nvariants; position++)
		{
			int			v = variant_at(round, position);

			run_slot(client, round * nvariants + v, &variants[v]);
		}
	}
}

static int
compare_floats(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return (x > y) - (x < y);
}

static void
print_slot(int slot, float *latencies)
{
	int			n = 0;
	long		rows = 0;

	for (int client = 0; client < nclients; client++)
	{
		Sample	   *theirs = samples + (size_t) client * MAX_SAMPLES;

		for (int i = 0; i < shared->nsamples[client]; i++)
		{
			if (theirs[i].slot != slot)
				continue;
			latencies[n++] = theirs[i].micros;
			rows += theirs[i].rows;
		}
	}
	qsort(latencies, n, sizeof(float), compare_floats);
	printf("%s\t%d\t%d\t%.6f\t%.1f\t%.1f\t%ld\n", variants[slot % nvariants].name, slot / nvariants, n, elapsed[slot],
		   latencies[n / 2], latencies[(int) (n * 0.95)], rows);
}

/* Waits for all clients; the first that fails ends the others. */
static void
wait_for_clients(pid_t *pids)
{
	for (int left = nclients; left > 0; left--)
	{
		int			status;

		if (wait(&status) > 0 && status == 0)
			continue;
		for (int i = 0; i < nclients; i++)
			kill(pids[i], SIGTERM);
		exit(1);
	}
}

int
main(int argc, char **argv)
{
	pthread_barrierattr_t attr;
	pid_t		pids[MAX_CLIENTS];
	float	   *latencies;

	if (argc < 8 || (argc - 5) % 3 != 0 || (argc - 5) / 3 > MAX_VARIANTS)
		fail("usage", "client CLIENTS ROUNDS AMOUNT SETUP NAME STATEMENT PARAMETERS [NAME ...]");
	nclients = atoi(argv[1]);
	nrounds = atoi(argv[2]);
	if (argv[3][strlen(argv[3]) - 1] == 'x')
		slot_transactions = atoi(argv[3]);
	else
		slot_seconds = atof(argv[3]);
	if (nclients < 1 || nclients > MAX_CLIENTS || nrounds < 2)
		fail("usage", "1 to 64 clients, 2 rounds or more");
	for (int i = 5; i < argc; i += 3)
	{
		Variant    *variant = &variants[nvariants++];

		set_variant(variant, argv[i], argv[i + 1]);
		read_parameters(variant, argv[i + 2]);
	}

	shared = share(sizeof(Shared));
	samples = share((size_t) nclients * MAX_SAMPLES * sizeof(Sample));
	elapsed = share(nrounds * nvariants * sizeof(double));
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->barrier, &attr, nclients);
	for (int client = 0; client < nclients; client++)
	{
		pids[client] = fork();
		if (pids[client] < 0)
			fail("fork", strerror(errno));
		if (pids[client] == 0)
		{
			run_client(client, argv[4]);
			_exit(0);
		}
	}
	wait_for_clients(pids);

	latencies = malloc((size_t) nclients * MAX_SAMPLES * sizeof(float));
	if (latencies == NULL)
		fail("malloc", strerror(errno));
	for (int slot = nvariants; slot < nrounds * nvariants; slot++)
		print_slot(slot, latencies);
	return 0;
}
