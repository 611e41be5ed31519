# tick as a process: what it writes, what it does when it is asked to stop, and
# how it lives through a server that does not.  A stand-in for the extension
# behaves as each test needs it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('tick');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_connections = 20\n");
$node->start;
mock_database($node, 'mock');
connect_to($node, 'mock');

my $idle = '{"busy":false,"finished":true,"seconds":0.001,"batches":0,"abandoned":0}';
my $done = '{"busy":false,"finished":true,"seconds":0.5,"batches":2,"abandoned":7,"purged":0}';
my $unfinished = '{"busy":false,"finished":false,"seconds":0.5,"batches":2,"abandoned":7}';
my $busy = '{"busy":true,"finished":false,"seconds":0.001,"batches":0,"abandoned":0}';

sub ticks { return $node->safe_psql('mock', 'SELECT count(*) FROM incomplete_orders.ticks') }
sub batches { return $node->safe_psql('mock', 'SELECT count(*) FILTER (WHERE half = 1) || \' \' || count(*) FILTER (WHERE half = 2) FROM incomplete_orders.batches') }

# The program's connections.
sub backends { return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'incomplete-orders'}) }

sub whole_batches
{
	my ($name) = @_;
	my ($first, $second) = split / /, batches();
	is($first, $second, "$name: whole batches only");
	return $first;
}

## Once.

behave($node, 'mock', report => $idle);
is_deeply([ program('tick') ], [ 0, '', '' ], 'nothing to do: says nothing');
my ($code, $out, $err) = program('tick', '--verbose');
like($err, qr/^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ level=info event=tick busy=false finished=true seconds=0.001 batches=0 abandoned=0\n\z/,
	'--verbose: says so in one line');
is($out, '', 'on stderr only');
behave($node, 'mock', report => $done);
($code, $out, $err) = program('tick', '--max-seconds=7');
is($code, 0, 'a tick: exit code');
like($err, qr/^time=\S+ level=info event=tick busy=false finished=true seconds=0.5 batches=2 abandoned=7 purged=0\n\z/, 'a tick: its line');
is($node->safe_psql('mock', 'SELECT max_seconds, application FROM incomplete_orders.ticks ORDER BY n DESC LIMIT 1'),
	'7|incomplete-orders', 'the limit and the name arrive');
behave($node, 'mock', report => $busy);
($code, $out, $err) = program('tick');
is($code, 0, 'another tick is at work: exit code');
like($err, qr/level=warn event=tick busy=true/, 'says so');
behave($node, 'mock', report => $unfinished);
like((program('tick'))[2], qr/finished=false/, 'a tick that was too short says so');
behave($node, 'mock', report => '{"busy":false,"finished":true,"a b":"x\"y","nested":{"k":[1,2]},"abandoned":1}');
like((program('tick'))[2], qr/ nested="\{\\"k\\": \[1, 2\]\}"/, 'an unknown key is quoted');

## Errors: their code, and nothing of what they might quote.

for my $case (
	[ 'IC001', 78, 'not set up', 'the detail', 'the hint' ],
	[ 'IC002', 77, 'no right', 'the detail', 'the hint' ],
	[ '22023', 64, 'malformed', 'the detail', 'the hint' ],
	[ '42501', 77, 'denied', undef, 'the hint' ],
	[ '40P01', 75, 'deadlock', undef, 'the hint' ],
	[ '53100', 75, 'disk full', undef, 'the hint' ],
	[ '25006', 75, 'a standby', undef, 'the hint' ],
	[ 'XX000', 70, 'internal', undef, 'the hint' ],
	[ '23505', 70, 'duplicate', undef, 'the hint' ],
	[ '22P02', 70, undef, undef, undef ],
	[ 'P0001', 70, undef, undef, undef ],)
{
	my ($sqlstate, $expected, $message, $detail, $hint) = @$case;
	behave($node, 'mock', sqlstate => $sqlstate, message => $message // 'jane@shop.example', detail => $detail // 'jane@shop.example',
		hint => $hint // 'jane@shop.example');
	($code, $out, $err) = program('tick');
	is($code, $expected, "$sqlstate: exit code");
	like($err, $message ? qr/^incomplete-orders: tick: $message \($sqlstate\)$/m : qr/^incomplete-orders: tick: .*server's log.* \($sqlstate\)$/m, "$sqlstate: is named");
	is(scalar($err =~ /^DETAIL: the detail$/m), scalar(defined $detail), "$sqlstate: detail");
	is(scalar($err =~ /^HINT: the hint$/m), scalar(defined $hint), "$sqlstate: hint");
	unlike($err, qr/jane/, "$sqlstate: no data");
}
behave($node, 'mock', sqlstate => undef);

is((program('tick', '-d', 'nowhere'))[0], 78, 'no such database');
is((program('tick', '-d', 'postgres'))[0], 78, 'no extension there');
like((program('tick', '-d', 'postgres'))[2], qr/^HINT: .*CREATE EXTENSION incomplete_orders/m, 'and what to do');
is((program('tick', '-d', 'dbname=mock user=stranger'))[0], 77, 'no such role');
unlike((program('tick', '-d', 'dbname=mock user=stranger'))[2], qr/28000:|\.c:\d/, 'without what is for programmers');
$node->safe_psql('mock', 'CREATE ROLE stranger LOGIN');
is((program('tick', '-d', "dbname=mock user=stranger"))[0], 77, 'no right');
$node->safe_psql('mock', 'ALTER ROLE stranger CONNECTION LIMIT 0');
is((program('tick', '-d', 'dbname=mock user=stranger'))[0], 75, 'no connection left');
like((program('tick', '-d', 'dbname=mock user=stranger'))[2], qr/too many connections for role "stranger" \(53300\)$/, 'and its code');

# A service file, and values of libpq's own.
my $folder = PostgreSQL::Test::Utils::tempdir();
append_to_file("$folder/services", "[shop]\ndbname=mock\n");
{
	local $ENV{PGSERVICEFILE} = "$folder/services";
	local $ENV{PGSERVICE} = 'shop';
	local $ENV{PGDATABASE};
	delete $ENV{PGDATABASE};
	is((program('tick'))[0], 0, 'a service by PGSERVICE');
	delete $ENV{PGSERVICE};
	is((program('tick', '-d', 'service=shop'))[0], 0, 'a service by -d');
}
is((program('tick', '-d', 'postgresql:///mock'))[0], 0, 'a URI by -d');

## Asked to stop.

# A short tick ends by itself.
behave($node, 'mock', report => $done, batches => 20, pause => 0.05);
for my $signal (qw(TERM INT))
{
	my $before = ticks();
	my $run = begin('tick', '--every=1h');
	ok(await(undef, sub { ticks() > $before }), "SIG$signal: the tick runs");
	($code) = finish($run, $signal);
	is($code, 0, "SIG$signal during a short tick: exit code");
	like($run->{err}, qr/event=tick .*abandoned=7.*\n.*event=stop/, "SIG$signal during a short tick: it ended by itself");
	is(whole_batches("SIG$signal") % 20, 0, 'all of them');
}

# A long one is cancelled between two commits, or in the middle of a batch.
for my $every ([], ['--every=1h'])
{
	my $name = "SIGTERM during a long tick @$every";
	my $before = batches();
	behave($node, 'mock', batches => 1000, pause => 0.2);
	my $run = begin('tick', @$every);
	ok(await(undef, sub { batches() ne $before }), "$name: it runs");
	my ($status, $seconds) = finish($run, 'TERM');
	is($status, 0, "$name: exit code");
	cmp_ok($seconds, '>=', 4, "$name: it was given some seconds");
	cmp_ok($seconds, '<', 20, "$name: not all that it wanted");
	ok(await(undef, sub { backends() == 0 }), "$name: the server does not work on");
	whole_batches($name);
	unlike($run->{err}, qr/error|cancel/i, "$name: this is no error");
}

# Who asks twice is in a hurry.
{
	my $before = batches();
	my $run = begin('tick');
	ok(await(undef, sub { batches() ne $before }), 'two signals: it runs');
	kill 'INT', $run->{pid};
	sleep 0.3;
	my ($status, $seconds) = finish($run, 'INT');
	is($status, 0, 'two signals: exit code');
	cmp_ok($seconds, '<', 4, 'two signals: at once');
	whole_batches('two signals');
}

# SIGHUP does nothing; the tick goes on.
{
	behave($node, 'mock', batches => 10, pause => 0.05);
	my $before = ticks();
	my $run = begin('tick');
	ok(await(undef, sub { ticks() > $before }), 'SIGHUP: it runs');
	is(scalar(finish($run, 'HUP')), 0, 'SIGHUP: exit code');
	like($run->{err}, qr/abandoned=7/, 'SIGHUP: the tick went on to its end');
}

# Asleep, it stops at once.
{
	behave($node, 'mock', batches => 0);
	my $run = begin('tick', '--every=1h');
	ok(await($run, sub { $run->{err} =~ /event=tick/ }), 'asleep');
	my ($status, $seconds) = finish($run, 'TERM');
	is($status, 0, 'asleep: exit code');
	cmp_ok($seconds, '<', 3, 'asleep: stops at once');
}

## Again and again.

# An idle tick says nothing, and there is one each second.
{
	behave($node, 'mock', report => $idle);
	my $before = ticks();
	my $run = begin('tick', '--every=1s');
	ok(await($run, sub { ticks() >= $before + 3 }), 'every second: they come');
	finish($run, 'TERM');
	my @lines = split /\n/, $run->{err};
	is(scalar(@lines), 2, 'every second: says nothing when there was nothing to do');
	like($lines[0], qr/event=start version=\S+ every=1.0$/, 'but that it began');
	like($lines[-1], qr/event=stop/, 'and that it stopped');
}

# Work is left: the next tick follows at once.  Another is at work: it does not.
for my $case ([ $unfinished, 1 ], [ $busy, 0 ])
{
	my ($report, $follows) = @$case;
	behave($node, 'mock', report => $report, batches => 1, pause => 0.1);
	my $before = ticks();
	my $run = begin('tick', '--every=2h', '-v');
	if ($follows)
	{
		ok(await($run, sub { ticks() >= $before + 3 }), 'work is left: the next tick follows');
	}
	else
	{
		ok(await($run, sub { $run->{err} =~ /busy=true/ }), 'it gave way');
	}
	finish($run, 'TERM');
	is(ticks(), $before + 1, 'and waited for the next time') if !$follows;
}

# An error that passes: it tries again.  One that stays: it ends.
{
	behave($node, 'mock', report => $idle, batches => 0, sqlstate => '40001', message => 'passing', detail => '', hint => '');
	my $run = begin('tick', '--every=1h');
	ok(await($run, sub { (() = $run->{err} =~ /event=tick sqlstate=40001 message=passing .*retry_in=/g) >= 2 }), 'an error that passes: tried again');
	my @pauses = $run->{err} =~ /retry_in=([\d.]+)/g;
	cmp_ok($pauses[0], '>=', 1, 'not before a second');
	cmp_ok($pauses[0], '<=', 2, 'nor after more than two');
	cmp_ok($pauses[1], '>=', 2, 'then later');
	behave($node, 'mock', sqlstate => undef, report => $done);
	ok(await($run, sub { $run->{err} =~ /abandoned=7/ }), 'until it passes');
	is(scalar(finish($run, 'TERM')), 0, 'exit code');
	behave($node, 'mock', sqlstate => 'IC001', message => 'not set up', detail => 'the detail', hint => 'the hint');
	is(scalar(finish(begin('tick', '--every=1h'))), 78, 'an error that stays: it ends with its code');
	behave($node, 'mock', sqlstate => undef);
}

## systemd.

for my $path ("$folder/notify", "\@incomplete-orders-test-$$")
{
	my $socket = notify_socket($path);
	local $ENV{NOTIFY_SOCKET} = $path;
	local $ENV{WATCHDOG_USEC} = 400_000;
	behave($node, 'mock', report => $done, batches => 40, pause => 0.05);
	my $run = begin('tick', '--every=1h');
	my $all = '';
	my $kind = $path =~ /^@/ ? 'an abstract socket' : 'a socket';
	ok(await($run, sub { $all .= received($socket); $all =~ /^STATUS=The last tick did all that was due\.$/m }), "$kind: is told how the tick went");
	like($all, qr/^READY=1$/m, "$kind: is told that we are ready");
	like($all, qr/READY=1.*WATCHDOG=1\n.*WATCHDOG=1\n.*The last tick/s, "$kind: the watchdog is fed during a tick");
	my $pings = () = $all =~ /WATCHDOG=1/g;
	$all = '';
	ok(await($run, sub { $all .= received($socket); (() = $all =~ /WATCHDOG=1/g) >= 3 }), "$kind: and between ticks");
	cmp_ok($pings, '<', 40, "$kind: not all the time");
	unlike($all, qr/STOPPING/, "$kind: it is not stopping");
	finish($run, 'TERM');
	like(received($socket), qr/^STOPPING=1$/m, "$kind: now it is");
}
{
	my $socket = notify_socket("$folder/other");
	local $ENV{NOTIFY_SOCKET} = "$folder/other";
	local $ENV{WATCHDOG_USEC} = 200_000;
	local $ENV{WATCHDOG_PID} = 1;
	my $run = begin('tick', '--every=1h');
	my $all = '';
	ok(await($run, sub { $all .= received($socket); $all =~ /The last tick/ }), 'the watchdog of another process');
	finish($run, 'TERM');
	unlike($all, qr/WATCHDOG/, 'is not fed');
}
{
	local $ENV{NOTIFY_SOCKET} = "$folder/nobody";
	is((program('tick'))[0], 0, 'a service manager that is gone does not matter');
}

## The server goes away.

# The processes below the postmaster, by pid.
sub children_of
{
	my ($parent) = @_;
	my @children;
	for my $stat (glob '/proc/[0-9]*/stat')
	{
		open my $file, '<', $stat or next;
		my $line = <$file> // next;
		push @children, $1 if $line =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $parent;
	}
	return @children;
}

# kill -9 the server, and wait until nothing of it is left that would be in the way of the next.
sub crash
{
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	my @children = children_of($postmaster);
	$node->kill9;
	return await(undef, sub { !grep { kill 0, $_ } @children });
}

{
	behave($node, 'mock', report => $done, batches => 0);
	my $run = begin('tick', '--every=1h');
	ok(await($run, sub { $run->{err} =~ /event=tick/ }), 'a crash while asleep: before it');
	ok(crash(), 'the server is gone');
	ok(await($run, sub { $run->{err} =~ /level=error event=connect message=.* retry_in=/ }), 'a crash while asleep: noticed at once, tried again');
	is((program('tick'))[0], 69, 'a single tick says that there is no server');
	$node->start;
	ok(await($run, sub { (() = $run->{err} =~ /event=tick/g) >= 2 }), 'a crash while asleep: goes on');

	behave($node, 'mock', batches => 1000, pause => 0.1);
	finish($run, 'TERM');
	my $before = batches();
	$run = begin('tick', '--every=1s');
	ok(await(undef, sub { batches() ne $before }), 'a crash during a tick: before it');
	behave($node, 'mock', batches => 0);	# for the next one
	ok(crash(), 'the server is gone');
	ok(await($run, sub { $run->{err} =~ /level=error event=tick message="server closed the connection unexpectedly" retry_in=/ }), 'a crash during a tick: says so');
	$node->start;
	whole_batches('a crash during a tick');
	ok(await($run, sub { $run->{err} =~ /event=tick .*abandoned=7/ }), 'a crash during a tick: goes on');
	is(scalar(finish($run, 'TERM')), 0, 'exit code');
}

# It may start before the server, and be stopped while there is none.
{
	$node->stop;
	my $run = begin('tick', '--every=1h');
	ok(await($run, sub { $run->{err} =~ /event=connect/ }), 'started before the server');
	my ($status, $seconds) = finish($run, 'TERM');
	is($status, 0, 'stopped while there is none: exit code');
	cmp_ok($seconds, '<', 3, 'at once');
	$node->start;
}

# A server that is frozen: we can be stopped all the same.
{
	behave($node, 'mock', batches => 1000, pause => 0.1);
	my $before = batches();
	my $run = begin('tick', '--every=1h');
	ok(await(undef, sub { batches() ne $before }), 'frozen: before it');
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	my @all = ($postmaster, children_of($postmaster));
	kill 'STOP', @all;
	my ($status, $seconds) = finish($run, 'TERM');
	kill 'CONT', @all;
	is($status, 0, 'frozen: exit code');
	cmp_ok($seconds, '<', 20, 'frozen: it did not wait for ever');
	ok(await(undef, sub { backends() == 0 }), 'frozen: the server comes to its end later');
	whole_batches('frozen');
}

## Hosts that do not answer.

# One that accepts and says nothing.
{
	my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die $!;
	local $ENV{PGHOST} = '127.0.0.1';
	local $ENV{PGPORT} = $silent->sockport;
	local $ENV{PGCONNECT_TIMEOUT} = 2;
	my $began = time;
	is((program('tick'))[0], 69, 'a silent server: exit code');
	cmp_ok(time - $began, '<', 20, 'a silent server: after connect_timeout');
	local $ENV{PGCONNECT_TIMEOUT} = 0;
	my $run = begin('tick', '--every=1h');
	ok(await($run, sub { $run->{err} =~ /event=start/ }), 'a silent server, for ever');
	my ($status, $seconds) = finish($run, 'TERM');
	is($status, 0, 'can be stopped');
	cmp_ok($seconds, '<', 3, 'at once');
}

# One that does not even accept is given up for the next.
{
	my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die $!;
	my @waiting = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 5;
	local $ENV{PGHOST} = '127.0.0.1,' . $node->host;
	local $ENV{PGPORT} = $full->sockport . ',' . $node->port;
	local $ENV{PGCONNECT_TIMEOUT} = 2;
	behave($node, 'mock', report => $idle, batches => 0);
	my $began = time;
	is((program('tick', '-v'))[0], 0, 'a host that does not accept: the next one is taken');
	cmp_ok(time - $began, '>=', 1.5, 'after connect_timeout');
}

$node->stop;
done_testing();
