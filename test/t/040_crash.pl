# What was acknowledged survives kill -9 of the server, and nothing is left
# half done: 8 clients capture and convert while it is killed, 20 times; then
# an immediate stop under the same load.
use strict;
use warnings;
use IPC::Run ();
use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Invariants qw(violations);

my $rounds = $ENV{CRASH_ROUNDS} // 20;
my $clients = 8;
my $seed = $ENV{CRASH_SEED} // time;
srand($seed);
note "CRASH_SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
# Children that lose their postmaster must not linger; small WAL buffers make
# commits meet the disk at many moments.
$node->append_conf('postgresql.conf', "max_connections = 40\nwal_buffers = 64kB\nautovacuum_naptime = 1s\nlog_statement = none\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');
my $dir = PostgreSQL::Test::Utils::tempdir();

# The script of one client: every line it prints was acknowledged.
sub script
{
	my ($round, $client) = @_;
	my $file = "$dir/script-$round-$client.sql";
	my $sql = '';
	for my $n (1 .. 400)
	{
		my $session = "r$round-c$client-$n";
		# half of the sessions are shared by two clients
		$session = "r$round-p" . int($client / 2) . "-$n" if $n % 2;
		my $items = sub { sprintf q('[{"sku":"A-%d","quantity":%d,"unit_price":"%d.%02d"},{"sku":"B","quantity":2,"unit_price":"0.35"}]'), $n, $_[0], $n % 90, $n % 100 };
		$sql .= "SELECT incomplete_orders.capture_cart('$session', " . $items->($_) . ", email => 'c$client\@example.com', shipping => 4.90) AS id \\gset\nSELECT 'captured', '$session', :'id';\n" for 1 .. 1 + $n % 3;
		my $q = 1 + $n % 3;
		my $convert = "SELECT '%s', '$session', order_id, order_number, incomplete_order_id, part, total FROM incomplete_orders.convert_order(:'id'%s);\n";
		$sql .= sprintf $convert, 'converted', ", '[{\"sku\":\"B\",\"quantity\":1,\"unit_price\":\"0.35\"}]', idempotency_key => 'k-$client'" if $n % 5 == 0;
		$sql .= sprintf $convert, 'converted', '' if $n % 4;
	}
	append_to_file($file, $sql);
	return $file;
}

sub load
{
	my ($round) = @_;
	my @running;
	for my $client (1 .. $clients)
	{
		my $log = "$dir/ack-$round-$client";
		my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', script($round, $client) ],
			'<', \undef, '>', $log, '2>', "$log.err");
		push @running, [ $run, $log ];
	}
	# events are folded meanwhile
	my $ticks = "$dir/ticks-$round.sql";
	append_to_file($ticks, "CALL incomplete_orders.tick();\n" x 2000);
	push @running, [ IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $ticks ], '<', \undef, '>', '/dev/null', '2>', '/dev/null'), '/dev/null' ];
	return @running;
}

# Waits until the clients have really begun.
sub wait_for_load
{
	my @running = @_;
	for my $n (1 .. 1800)
	{
		return 1 if $clients == grep { -s $_->[1] } @running;
		usleep(10_000);
	}
	return 0;
}

# Ends the postmaster and all its children at once, and waits until they are gone.
sub kill_all
{
	my $postmaster = $node->{_pid};
	my @children = split ' ', `ps -o pid= --ppid $postmaster`;
	$node->kill9;
	kill 'KILL', @children;
	for my $pid ($postmaster, @children)
	{
		for my $n (1 .. 1000)
		{
			# a zombie counts as alive: the next server would believe so too
			kill(0, $pid) or last;
			usleep(10_000);
		}
	}
}

sub acknowledged
{
	my ($round) = @_;
	my @lines;
	foreach my $file (glob("$dir/ack-$round-*"))
	{
		push @lines, grep { /\|/ } split /\n/, slurp_file($file) if $file !~ /err$/;
	}
	return @lines;
}

my $folded = 0;

# Every acknowledged call is to be found, just as it was answered.
sub check
{
	my ($round) = @_;
	my $data = join "\n", map { my @f = split /\|/; join "\t", @f[0 .. 2], map { $_ // '\N' } @f[3 .. 6] } acknowledged($round);
	$node->safe_psql('postgres', 'CREATE TABLE IF NOT EXISTS acknowledged (what text, session text, a uuid, order_number text, incomplete uuid, part integer, total numeric)');
	$node->psql('postgres', "COPY acknowledged FROM STDIN;\n$data\n\\.\n", on_error_die => 1);
	is($node->safe_psql('postgres', q{
		SELECT a.what, a.session, a.a FROM acknowledged a WHERE what = 'converted' AND NOT EXISTS (
			SELECT FROM incomplete_orders.orders o WHERE (o.order_id, o.order_number, o.incomplete_order_id, o.part, o.total) = (a.a, a.order_number, a.incomplete, a.part, a.total))
		UNION ALL
		SELECT a.what, a.session, a.a FROM acknowledged a WHERE what = 'captured' AND NOT EXISTS (
			SELECT FROM incomplete_orders.incomplete_orders o WHERE (o.id, o.session_id) = (a.a, a.session)) LIMIT 10}),
		'', "round $round: all that was acknowledged is there");
	is(violations($node), '', "round $round: nothing is half done");
	$folded += $node->safe_psql('postgres', 'SELECT count(*) FROM incomplete_orders.order_events') - $node->safe_psql('postgres', 'SELECT count(*) FROM incomplete_orders.order_event_tail') > 0;
	is($node->safe_psql('postgres', 'SELECT incomplete_orders.rebuild_analytics()'), '0', "round $round: each event is counted once");
}

my ($died, $mid) = (0, 0);
for my $round (1 .. $rounds)
{
	my @running = load($round);
	ok(wait_for_load(@running), "round $round: the clients work");
	usleep(int(rand(600_000)));
	if ($round == $rounds)
	{
		$node->stop('immediate');
	}
	else
	{
		kill_all();
	}
	foreach (@running)
	{
		$_->[0]->finish;
		$died++ if $_->[0]->full_result(0) != 0;
	}
	$node->start;
	check($round);
}
cmp_ok($folded, '>', $rounds / 2, 'and events were folded');
cmp_ok($died, '>', $rounds * $clients / 2, 'most clients were in the middle of their work');

# Whatever was lost on the way is made up by calling again; nothing twice.
$node->safe_psql('postgres', q{
	SELECT count(*) FROM incomplete_orders.open_orders o, incomplete_orders.convert_order(o.id) c;
	SELECT count(*) FROM acknowledged a, incomplete_orders.convert_order(a.incomplete) c WHERE a.what = 'converted'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM incomplete_orders.open_orders}), '0', 'the rest can be converted');
is(violations($node), '', 'and all is well');
note $node->safe_psql('postgres', q{SELECT count(*) || ' orders, ' || (SELECT count(*) FROM acknowledged WHERE what = 'converted') || ' acknowledged' FROM incomplete_orders.orders});

# Two-phase commit: prepared work survives a kill, and holds its locks.
$node->stop;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 5\n");
$node->start;
my $cart = q{'[{"sku":"P","quantity":1,"unit_price":3}]'};
$node->safe_psql('postgres', qq{
	SELECT incomplete_orders.capture_cart('prepared-1', $cart), incomplete_orders.capture_cart('prepared-2', $cart);
	BEGIN;
	SELECT c.* FROM incomplete_orders.open_orders o, incomplete_orders.convert_order(o.id) c WHERE session_id = 'prepared-1';
	SELECT incomplete_orders.capture_cart('prepared-3', $cart);
	PREPARE TRANSACTION 'one';
	BEGIN;
	SELECT c.* FROM incomplete_orders.record_order('web-p', session_id => 'prepared-2', total => 4) c;
	PREPARE TRANSACTION 'two'});
kill_all();
$node->start;
my ($rc, $out, $err) = $node->psql('postgres', qq{SET lock_timeout = '200ms'; SELECT incomplete_orders.capture_cart('prepared-1', $cart)});
like($err, qr/lock timeout/, 'a prepared conversion is still in the way');
$node->safe_psql('postgres', "COMMIT PREPARED 'one'; ROLLBACK PREPARED 'two'");
is($node->safe_psql('postgres', q{SELECT string_agg(session_id || ' ' || status, ', ' ORDER BY session_id) FROM incomplete_orders.incomplete_orders WHERE session_id LIKE 'prepared%'}),
	'prepared-1 converted, prepared-2 pending, prepared-3 pending', 'prepared work is done or undone as a whole');
is($node->safe_psql('postgres', q{SELECT total FROM incomplete_orders.record_order('web-p', session_id => 'prepared-2', total => 4)}), '4.00', 'the reference is free again');
is(violations($node), '', 'and all is well');
$node->stop;
done_testing();
