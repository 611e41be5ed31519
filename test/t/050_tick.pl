# tick at work: what it examines, who is served, and what a tick that is
# cancelled or killed leaves behind.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run qw(start finish run timeout);
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('tick');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\nrestart_after_crash = on\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');

# n orders of a shop, abandoned an hour ago or active just now
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION make_orders(shop integer, n integer, due boolean) RETURNS void LANGUAGE sql AS $$
	INSERT INTO incomplete_orders.open_orders (shop_id, id, root_id, reference, session_id, items, created_at, last_activity_at, expires_at, next_action_at, currency)
	SELECT shop, i, i, incomplete_orders._reference_of(nextval('incomplete_orders.reference_seq')), i::text,
		'[{"sku":"A","quantity":1,"unit_price":"1.50"}]', t, t, t + interval '30 days', t + interval '1 hour', 'USD'
	FROM (SELECT incomplete_orders._new_id(shop) AS i, now() - CASE WHEN due THEN interval '2 hours' ELSE interval '0' END AS t FROM generate_series(1, n)) x
$$;
SQL

sub make
{
	my ($who, $n, $due) = @_;
	$node->safe_psql('postgres',
		"SET session_replication_role = replica; SELECT make_orders(s, $n, $due) FROM unnest(ARRAY($who)) s; VACUUM ANALYZE incomplete_orders.open_orders;");
	return;
}

sub forget_events
{
	value("DELETE FROM incomplete_orders.$_") for qw(order_events order_event_tail order_outcomes rollup_states rollup_episodes rollup_messages rollup_products rollup_recovered_products);
	return;
}

sub value { return $node->safe_psql('postgres', $_[0]); }

sub tick
{
	my ($arguments) = @_;
	my %report = value('CALL incomplete_orders.tick(' . ($arguments // '') . ')') =~ /"(\w+)": ([\w.]+)/g;
	return \%report;
}

# rows of open_orders and entries of its due index read so far, and whole scans
sub read_so_far
{
	$node->safe_psql('postgres', 'SELECT pg_stat_force_next_flush()') if $node->pg_version >= 15;
	return split /\|/, value(q{SELECT t.idx_tup_fetch + t.seq_tup_read, (SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'open_orders_due'), t.seq_scan
		FROM pg_stat_user_tables t WHERE t.relname = 'open_orders'});
}

# What the last statement read is counted when its session has ended.
sub reading
{
	my ($act) = @_;
	my @before = read_so_far();
	$act->();
	my @after = read_so_far();
	return map { $after[$_] - $before[$_] } 0 .. 2;
}

sub sane
{
	my ($name) = @_;
	is(value(q{
		SELECT count(*) FROM incomplete_orders.open_orders o
		WHERE (status = 'abandoned') <> (abandoned_at IS NOT NULL)
			OR (SELECT count(*) FROM incomplete_orders.order_events e WHERE e.shop_id = o.shop_id AND e.order_id = o.id AND e.event = 'abandoned' AND e.at = o.abandoned_at)
				<> (status = 'abandoned')::integer
			OR status = 'abandoned' AND abandoned_at <> last_activity_at + interval '1 hour'}),
		0, "$name: each abandoned order has its event, at its instant, and no other has one");
	is(value(q{SELECT count(*) FROM (SELECT event_id FROM incomplete_orders.order_event_tail EXCEPT SELECT event_id FROM incomplete_orders.order_events) x}),
		0, "$name: no event waits that did not happen");
	is(value('SELECT incomplete_orders.rebuild_analytics()'), 0, "$name: what was folded was folded once");
	return;
}

#
# Cost follows what is due.
#
make('SELECT 1', 100_000, 'false');
make('SELECT 1', 1_000, 'true');
tick();
is(value("SELECT count(*) FROM incomplete_orders.open_orders WHERE status = 'abandoned'"), 1000, 'what was due is abandoned, nothing else');
sane('after the first tick');
make('SELECT 1', 1_000, 'true');
my $report;
my ($rows, $entries, $scans) = reading(sub { $report = tick() });
is($report->{abandoned}, 1000, 'a tick over 101,000 open orders of which 1,000 are due');
cmp_ok($entries, '<=', 2_500, '... reads about as many entries of the index');
cmp_ok($rows, '<=', 4_000, '... and rows: to look, to change, to check');
is($scans, 0, '... and never the table');
($rows, $entries, $scans) = reading(sub { $report = tick() });
cmp_ok($rows + $entries, '<=', 2_500, 'one with nothing due only passes over what the last one left');
is($report->{abandoned}, 0, '... and does nothing');
($rows, $entries, $scans) = reading(sub { tick() });
cmp_ok($rows + $entries + $scans, '<=', 10, '... once');

#
# Everybody is served, though one shop has very much to do.
#
value(q{INSERT INTO incomplete_orders.shops (shop, name) SELECT 'shop-' || n, 'x' FROM generate_series(2, 2000) n});
my $crowded = value(q{SELECT shop_id FROM incomplete_orders.shops WHERE shop = 'shop-1000'});
make("SELECT shop_id FROM incomplete_orders.shops WHERE shop <> 'shop-1000'", 1, 'true');
make("SELECT $crowded", 30_000, 'true');
$report = tick('max_seconds => 50');
is($report->{abandoned}, 31_999, 'one shop of 2,000 has 30,000 due');
cmp_ok(value("SELECT count(*) FROM incomplete_orders.order_events WHERE shop_id = $crowded AND event_id <
		(SELECT max(event_id) FROM incomplete_orders.order_events WHERE shop_id <> $crowded)"),
	'<=', 2_000, '... and every other shop is served before that is a batch further');
forget_events();
make("SELECT shop_id FROM incomplete_orders.shops WHERE shop <> 'shop-1000'", 1, 'true');
make("SELECT $crowded", 50_000, 'true');
$report = tick('max_seconds => 1');
is(value("SELECT count(*) FROM incomplete_orders.open_orders WHERE status = 'pending' AND next_action_at <= now() AND shop_id <> $crowded"), 0,
	'... even when the time is over before it is done');
is($report->{finished}, value("SELECT (count(*) = 0)::text FROM incomplete_orders.open_orders WHERE status = 'pending' AND next_action_at <= now()"),
	'... which the report says');
cmp_ok($report->{seconds}, '<', 10, '... in time');

#
# Cancelled, terminated, killed: whole batches remain, and the next tick goes on.
#

# psql may be gone before it has read its standard input, where poll_query_until() writes.
sub wait_for_server
{
	my ($out, $err);
	for (1 .. 1800)
	{
		return if run [ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT 1' ], '<', \undef, '>', \$out, '2>', \$err;
		usleep(100_000);
	}
	die 'the server does not come back';
}

sub interrupted
{
	my ($name, $end, $expected) = @_;
	my ($out, $err) = ('', '');

	forget_events();
	$node->safe_psql('postgres', 'SET session_replication_role = replica; DELETE FROM incomplete_orders.open_orders');
	make('SELECT 1', 40_000, 'true');
	my $tick = start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', 'CALL incomplete_orders.tick()' ],
		'>', \$out, '2>', \$err, timeout(180));
	$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM incomplete_orders.order_events}) or die 'tick does not begin';
	my $pid = value(q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL incomplete_orders.tick%' AND pid <> pg_backend_pid() AND state = 'active'});
	die 'tick was too fast' unless $pid;
	$end->($pid);
	finish $tick;
	like($err, $expected, "$name: psql says so");
	wait_for_server();
	my $done = value("SELECT count(*) FROM incomplete_orders.open_orders WHERE status = 'abandoned'");
	cmp_ok($done, '>', 0, "$name: some batches are done");
	cmp_ok($done, '<', 40_000, "$name: others are not");
	# one of 100 while the other shops had their turn, then 2,000 each
	is($done % 2000, 100, "$name: whole ones");
	sane($name);
	$report = tick();
	is($report->{abandoned}, 40_000 - $done, "$name: the next tick does the rest");
	is($report->{finished}, 'true', "$name: all of it");
	is(value('SELECT count(*) FROM incomplete_orders.order_event_tail'), 0, "$name: and folds what happened");
	sane("$name, and went on");
	return;
}

interrupted('cancelled', sub { value("SELECT pg_cancel_backend($_[0])") }, qr/canceling statement due to user request/);
interrupted('terminated', sub { value("SELECT pg_terminate_backend($_[0])") }, qr/terminating connection due to administrator command/);
interrupted('killed', sub { kill 'KILL', $_[0] }, qr/server closed the connection|terminating connection/);
interrupted('server stopped at once', sub { $node->stop('immediate'); $node->start; }, qr/server closed the connection|terminating connection/);
$node->stop;
done_testing();
