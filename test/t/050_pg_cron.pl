# pg_cron itself calls tick(): in its own database and in another one, as a role
# that is no superuser, with background workers and over connections.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cart = q('[{"sku":"A","quantity":1,"unit_price":"1.50"}]');
my @nodes;

sub as
{
	my ($node, $role, $database, $sql) = @_;
	return $node->safe_psql($database, $sql, extra_params => [ '-U', $role ]);
}

# Two databases with an order that is due each; pg_cron lives in the first.
sub start
{
	my ($name, $workers) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	my $host = $node->host;
	$node->append_conf('postgresql.conf', <<"EOF");
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = $workers
cron.host = '$host'
max_worker_processes = 20
fsync = off
EOF
	$node->start;
	$node->safe_psql('postgres', <<'EOF');
CREATE EXTENSION pg_cron;
CREATE ROLE ticker LOGIN;
CREATE ROLE bystander LOGIN;
GRANT USAGE ON SCHEMA cron TO ticker, bystander;
CREATE ROLE stranger LOGIN;
CREATE DATABASE shop;
EOF
	for my $database ('postgres', 'shop')
	{
		$node->safe_psql($database, <<"EOF");
CREATE EXTENSION incomplete_orders;
SELECT incomplete_orders.setup();
SELECT incomplete_orders.grant_to('ticker', 'sender'), incomplete_orders.grant_to('stranger', 'sender');
SELECT incomplete_orders.capture_cart('due', $cart, at => now() - interval '2 hours'), incomplete_orders.capture_cart('not due', $cart);
EOF
	}
	push @nodes, $node;
	return $node;
}

my $workers = start('workers', 'on');
my $connections = start('connections', 'off');

for my $node (@nodes)
{
	my $name = $node->name;
	my $port = $node->port;

	# In its own database, as a role that may schedule.
	is(as($node, 'ticker', 'postgres', 'SELECT job, schedule, state FROM incomplete_orders.schedule_jobs()'),
		"incomplete_orders tick postgres|* * * * *|scheduled\nincomplete_orders prune postgres|17 3 * * *|scheduled",
		"$name: both jobs are scheduled");
	is(as($node, 'ticker', 'postgres', 'SELECT DISTINCT state FROM incomplete_orders.schedule_jobs()'),
		'was scheduled', "$name: and are not again");
	is($node->safe_psql('postgres', 'SELECT DISTINCT state FROM incomplete_orders.schedule_jobs()'),
		'was scheduled as role "ticker"', "$name: nor as another role, by a superuser, who sees them");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), 2, "$name: there are two");

	# Without any right to pg_cron, and from another database.
	my ($stdout, $stderr);
	$node->psql('postgres', 'SELECT state FROM incomplete_orders.schedule_jobs() LIMIT 1',
		stdout => \$stdout, stderr => \$stderr, extra_params => [ '-U', 'stranger' ]);
	is($stdout, 'to be run by a superuser in database "postgres"', "$name: who may not is told who may");
	like($stderr, qr/NOTICE:  role "stranger" cannot reach pg_cron from here: nothing was scheduled/, "$name: and why");
	is(as($node, 'stranger', 'postgres', "SELECT state, value FROM incomplete_orders.health() WHERE check_name LIKE 'pg_cron%'"),
		'ok|not shown to this role', "$name: health() does not guess");
	is(as($node, 'ticker', 'shop', 'SELECT DISTINCT state FROM incomplete_orders.schedule_jobs()'),
		'to be run by a superuser in the database that SHOW cron.database_name names', "$name: from another database it may not know where");
	is($node->safe_psql('shop', 'SELECT DISTINCT state FROM incomplete_orders.schedule_jobs()'),
		'to be run by a superuser in database "postgres"', "$name: a superuser is told where");
	# What is told works as it stands, and may be repeated.
	my $commands = as($node, 'ticker', 'shop', 'SELECT command FROM incomplete_orders.schedule_jobs()');
	$node->safe_psql('postgres', $commands);
	$node->safe_psql('postgres', $commands);
	is($node->safe_psql('postgres', q(SELECT jobname, database, username, active FROM cron.job WHERE jobname LIKE '% shop' ORDER BY 1)),
		"incomplete_orders prune shop|postgres|ticker|t\nincomplete_orders tick shop|shop|ticker|t", "$name: for the other database too");

	# The log to be pruned: old lines of ours, young ones, and somebody else's.
	$node->safe_psql('postgres', <<'EOF');
INSERT INTO cron.job_run_details (jobid, runid, username, command, status, start_time, end_time)
SELECT 0, nextval('cron.runid_seq'), role, command, status, at, CASE status WHEN 'running' THEN NULL ELSE at END
FROM unnest(ARRAY['ticker', 'bystander']) role, unnest(ARRAY['CALL incomplete_orders.tick()', 'SELECT 1']) command,
	unnest(ARRAY['succeeded', 'failed', 'running']) status, unnest(ARRAY[now() - interval '8 days', now() - interval '6 days']) at;
UPDATE cron.job SET schedule = '* * * * *' WHERE jobname LIKE 'incomplete_orders prune%';
EOF
}

# The real runs, of both servers at once: the next full minute.
for my $node (@nodes)
{
	my $name = $node->name;
	for my $database ('postgres', 'shop')
	{
		ok($node->poll_query_until($database, q(SELECT status = 'abandoned' AND abandoned_at = last_activity_at + interval '1 hour'
			FROM incomplete_orders.incomplete_orders WHERE session_id = 'due')), "$name: pg_cron has the order of $database abandoned, at its instant");
		is($node->safe_psql($database, q(SELECT status FROM incomplete_orders.incomplete_orders WHERE session_id = 'not due')),
			'pending', "$name: and nothing else");
		ok($node->poll_query_until($database, q(SELECT EXISTS (SELECT FROM incomplete_orders.heartbeats WHERE job = 'tick'))), "$name: tick says so");
		is($node->safe_psql($database, q(SELECT count(DISTINCT x.xmin::text) FROM (SELECT xmin FROM incomplete_orders.heartbeats WHERE job = 'tick'
			UNION ALL SELECT xmin FROM incomplete_orders.open_orders WHERE session_id = 'due') x)), 2, "$name: and commits by batches");
	}
	ok($node->poll_query_until('postgres', q(SELECT count(*) = 4 FROM incomplete_orders.jobs() j RIGHT JOIN cron.job c ON c.jobname = j.job
		JOIN LATERAL (SELECT d.status FROM cron.job_run_details d WHERE d.jobid = c.jobid ORDER BY d.runid DESC LIMIT 1) d ON d.status = 'succeeded'
		WHERE coalesce(j.state, d.status) = d.status)), "$name: all succeeded, and jobs() shows it");
	is(as($node, 'ticker', 'postgres', 'SELECT job, role FROM incomplete_orders.jobs()'),
		"incomplete_orders tick postgres|ticker\nincomplete_orders prune postgres|ticker", "$name: to the role itself");
	is(as($node, 'bystander', 'postgres', 'SELECT count(*) FROM cron.job'), 0, "$name: not to others");
	ok($node->poll_query_until('postgres', q(SELECT count(*) = 22 FROM cron.job_run_details WHERE jobid = 0)), "$name: the log is pruned");
	is($node->safe_psql('postgres', q(SELECT username, command, status FROM cron.job_run_details
		WHERE jobid = 0 AND start_time < now() - interval '7 days' ORDER BY 1, 2, 3)),
		join("\n", (map { "bystander|CALL incomplete_orders.tick()|$_" } qw(failed running succeeded)),
			(map { "bystander|SELECT 1|$_" } qw(failed running succeeded)),
			'ticker|CALL incomplete_orders.tick()|running', (map { "ticker|SELECT 1|$_" } qw(failed running succeeded))),
		"$name: of what is ours, over and a week old");
	is(as($node, 'ticker', 'postgres', "SELECT check_name, state FROM incomplete_orders.health() WHERE check_name LIKE 'pg_cron%' OR check_name = 'tick'"),
		"tick|ok\npg_cron job incomplete_orders tick postgres|ok\npg_cron job incomplete_orders prune postgres|ok", "$name: health() is content");
}

# What health() says when something is wrong.
my $node = $workers;
my $health = "SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'pg_cron job incomplete_orders tick postgres'";
my $run = q(INSERT INTO cron.job_run_details (jobid, runid, username, status, return_message, start_time, end_time)
	SELECT jobid, nextval('cron.runid_seq'), 'ticker', '%s', 'it broke', now(), now() FROM cron.job WHERE jobname = 'incomplete_orders tick postgres');
$node->safe_psql('postgres', sprintf($run, 'failed'));
is(as($node, 'ticker', 'postgres', $health), 'alarm|as role "ticker", failed: it broke, 1 failures within a day', 'a run that failed alarms');
$node->safe_psql('postgres', sprintf($run, 'succeeded'));
is(as($node, 'ticker', 'postgres', $health), 'warn|as role "ticker", succeeded, 1 failures within a day', 'the next success leaves a warning');
# Its heartbeat is measured by its schedule.
$node->safe_psql('postgres', q(UPDATE cron.job SET schedule = '*/5 * * * *' WHERE jobname = 'incomplete_orders tick postgres';
	UPDATE incomplete_orders.heartbeats SET at = now() - interval '9 minutes' WHERE job = 'tick'));
is(as($node, 'ticker', 'postgres', q(SELECT state FROM incomplete_orders.health() WHERE check_name = 'tick')), 'ok', 'every five minutes: nine are no alarm');
$node->safe_psql('postgres', q(UPDATE incomplete_orders.heartbeats SET at = now() - interval '11 minutes' WHERE job = 'tick'));
is(as($node, 'ticker', 'postgres', q(SELECT state FROM incomplete_orders.health() WHERE check_name = 'tick')), 'alarm', 'eleven are');
is(as($node, 'ticker', 'postgres', "SELECT schedule, state FROM incomplete_orders.schedule_jobs() WHERE job LIKE '%tick%'"),
	'*/5 * * * *|was scheduled', 'a schedule that somebody chose stays');
$node->safe_psql('postgres', "UPDATE cron.job SET active = false WHERE jobname = 'incomplete_orders tick postgres'");
like(as($node, 'ticker', 'postgres', $health), qr/^alarm\|as role "ticker", paused/, 'a paused job alarms');
is(as($node, 'ticker', 'postgres', "SELECT schedule, state FROM incomplete_orders.schedule_jobs() WHERE job LIKE '%tick%'"),
	'* * * * *|scheduled', 'and is scheduled anew');

# Away with them.
is(as($node, 'ticker', 'postgres', 'SELECT job, state FROM incomplete_orders.unschedule_jobs()'),
	"incomplete_orders tick postgres|unscheduled\nincomplete_orders prune postgres|unscheduled", 'unschedule_jobs()');
is(as($node, 'ticker', 'postgres', 'SELECT count(*) FROM incomplete_orders.jobs()'), 0, 'there are none');
is(as($node, 'ticker', 'postgres', $health), 'warn|not scheduled, or by a role whose jobs are not shown to this one', 'health() misses them');
$node->safe_psql('postgres', as($node, 'ticker', 'shop', 'SELECT command FROM incomplete_orders.unschedule_jobs()'));
is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), 0, 'nor of the other database');
as($node, 'ticker', 'postgres', 'SELECT incomplete_orders.schedule_jobs()');
is($node->safe_psql('postgres', "SELECT object FROM incomplete_orders.remove() WHERE action = 'unschedule'"),
	"job incomplete_orders prune postgres\njob incomplete_orders tick postgres", 'remove() says that they would go');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), 2, 'and they did not');
$node->safe_psql('postgres', 'SELECT incomplete_orders.remove(dry_run => false)');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), 0, 'remove() unschedules them');

$_->stop for @nodes;
done_testing();
