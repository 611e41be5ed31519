# Through pgbouncer in transaction mode: many clients on few connections, as
# plain logins and with SET LOCAL ROLE, and nobody ever works for another's shop.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Deployment;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($program) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin';
plan skip_all => 'pgbouncer is not installed' unless $program;

my $node = new_node('pooled');
my $db = 'shop';
$node->safe_psql('postgres', "CREATE DATABASE $db");
$node->safe_psql('postgres', q{CREATE ROLE web_north LOGIN; CREATE ROLE web_south LOGIN; CREATE ROLE authenticator LOGIN NOINHERIT IN ROLE web_north, web_south});
$node->safe_psql($db, q{CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();
	SELECT incomplete_orders.create_shop('north', 'North'), incomplete_orders.create_shop('south', 'South');
	SELECT incomplete_orders.grant_to(r::name, p, s) FROM (VALUES ('web_north', 'north'), ('web_south', 'south')) v (r, s), unnest(ARRAY['app', 'admin']) p;});

# --- a pooler: "one" shares a single connection, "few" two; "logins" has a pool for each user
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $to = 'host=' . $node->host . ' port=' . $node->port . " dbname=$db";
PostgreSQL::Test::Utils::append_to_file("$dir/users", join '', map { "\"$_\" \"\"\n" } qw(web_north web_south authenticator));
PostgreSQL::Test::Utils::append_to_file("$dir/pgbouncer.ini", <<"INI");
[databases]
one = $to user=authenticator pool_size=1
few = $to user=authenticator pool_size=2
logins = $to pool_size=1
[pgbouncer]
pool_mode = transaction
listen_addr =
unix_socket_dir = $dir
listen_port = $port
auth_type = trust
auth_file = $dir/users
logfile = $dir/log
ignore_startup_parameters = extra_float_digits
INI
my $log = '';
my $pooler = IPC::Run::start([ $program, "$dir/pgbouncer.ini" ], '>', \$log, '2>', \$log);

END
{
	my $status = $?;
	$pooler->kill_kill if $pooler;
	$? = $status;
}

sub pooled
{
	my ($pool, $user, $sql) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-XAtq', '-d', "host=$dir port=$port dbname=$pool user=$user" ], '<', \$sql, '>', \$out, '2>', \$err);
	chomp $out;
	return wantarray ? ($out, $err) : $out;
}

for (1 .. 100)
{
	last if pooled('one', 'authenticator', 'SELECT 1') eq '1';
	select undef, undef, undef, 0.1;
}
is(pooled('one', 'authenticator', 'SELECT 1'), '1', 'the pooler answers') or diag($log);

my $capture = q{SELECT incomplete_orders.capture_cart('%s', '[{"sku":"A","quantity":1,"unit_price":1}]') IS NOT NULL};
my $shops_of = q{SELECT string_agg(shop || ' ' || session_id, ', ' ORDER BY shop, session_id) FROM incomplete_orders.incomplete_orders};

# --- SET LOCAL ROLE on one shared connection, two clients that take turns --------
my %client;
for my $name (qw(north south))
{
	my $c = $client{$name} = { in => '', out => '', err => '' };
	$c->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', "host=$dir port=$port dbname=one user=authenticator" ], '<', \$c->{in}, '>', \$c->{out}, '2>', \$c->{err});
}

sub say_to
{
	my ($c, $sql) = @_;
	$c->{out} = $c->{err} = '';
	$c->{in} .= "$sql;\n\\echo done\n";
	$c->{run}->pump until $c->{out} =~ /^done$/m;
	$c->{out} =~ s/^done\n//m;
	chomp $c->{out};
	return $c->{out};
}

my %pid;
for my $round (1 .. 3)
{
	for my $name (qw(north south))
	{
		my $answer = say_to($client{$name}, "BEGIN; SET LOCAL ROLE web_$name; " . sprintf($capture, "$name-$round") . "; PREPARE seen AS $shops_of; EXECUTE seen; DEALLOCATE seen; SELECT pg_backend_pid(); COMMIT");
		my ($ok, $seen, $pid) = split /\n/, $answer;
		$pid{$pid} = 1;
		is($seen, join(', ', map { "$name $name-$_" } 1 .. $round), "round $round: $name sees its own");
	}
}
is(keys %pid, 1, 'on one and the same connection');
# A client that names no role has no right, whoever used the connection before it.
say_to($client{south}, sprintf($capture, 'leak'));
like($client{south}{err}, qr/permission denied/, 'no role, no right');
# A role that was set in a transaction that failed is gone too.
say_to($client{north}, 'BEGIN; SET LOCAL ROLE web_north; SELECT 1/0; ROLLBACK');
say_to($client{south}, $shops_of);
like($client{south}{err}, qr/permission denied/, 'nothing left over from a failed transaction');
# One shop's name from the other's role, on the connection that just served it.
say_to($client{north}, 'BEGIN; SET LOCAL ROLE web_north; ' . sprintf($capture, 'north-1') . '; COMMIT');
say_to($client{south}, q{BEGIN; SET LOCAL ROLE web_south; SELECT incomplete_orders.capture_cart('x', '[]', shop => 'north'); ROLLBACK});
like($client{south}{err}, qr/no such shop, or no right to it/, 'the caches of the connection keep roles apart');
# A right that is taken away is gone on connections that live on.
$node->safe_psql($db, q{SELECT incomplete_orders.revoke_from('web_south', 'app'), incomplete_orders.revoke_from('web_south', 'admin'); GRANT EXECUTE ON FUNCTION incomplete_orders.capture_cart TO web_south});
say_to($client{south}, 'BEGIN; SET LOCAL ROLE web_south; ' . sprintf($capture, 'south-1') . '; ROLLBACK');
like($client{south}{err}, qr/no such shop, or no right to it/, 'a revoked right is gone at once');
$node->safe_psql($db, q{SELECT incomplete_orders.grant_to('web_south', p, 'south') FROM unnest(ARRAY['app', 'admin']) p});
is(say_to($client{south}, 'BEGIN; SET LOCAL ROLE web_south; ' . sprintf($capture, 'south-1') . '; COMMIT'), 't', 'and given again it is there');
for my $c (values %client)
{
	$c->{in} .= "\\q\n";
	$c->{run}->finish;
}

# --- plain logins -----------------------------------------------------------------
for my $name (qw(north south north))
{
	is(pooled('logins', "web_$name", sprintf($capture, "$name-login") . ';'), 't', "login of $name");
	is(pooled('logins', "web_$name", 'SELECT DISTINCT shop FROM incomplete_orders.incomplete_orders'), $name, "$name sees its own shop only");
}

# --- eight clients of two shops on two connections, with bound parameters ----------
for my $name (qw(north south))
{
	PostgreSQL::Test::Utils::append_to_file("$dir/$name.sql", <<"SQL");
\\set n random(1, 40)
BEGIN;
SET LOCAL ROLE web_$name;
SELECT incomplete_orders.capture_cart('$name-load-' || :n, '[{"sku":"A","quantity":1,"unit_price":"1"}]');
SELECT 1 / (count(*) FILTER (WHERE shop = '$name') = count(*))::integer FROM incomplete_orders.incomplete_orders;
COMMIT;
SQL
}
$node->command_ok([ 'pgbench', '-n', '-h', $dir, '-p', $port, '-U', 'authenticator', '-M', 'extended', '-c', 8, '-j', 2, '-t', 50, '-f', "$dir/north.sql", '-f', "$dir/south.sql", 'few' ],
	'eight clients on two connections');
is($node->safe_psql($db, q{SELECT count(*) FROM incomplete_orders.incomplete_orders WHERE session_id LIKE '%-load-%' AND NOT starts_with(session_id, shop)}), '0', 'no capture in the wrong shop');
cmp_ok($node->safe_psql($db, q{SELECT count(DISTINCT shop) FROM incomplete_orders.incomplete_orders WHERE session_id LIKE '%-load-%'}), '==', 2, 'captures in both');
is($node->safe_psql($db, q{SELECT count(*) FROM incomplete_orders.order_events e JOIN incomplete_orders.shops s USING (shop_id) WHERE e.actor <> 'web_' || s.shop}), '0', 'every event names the role that acted');

$pooler->kill_kill;
undef $pooler;
$node->stop;
done_testing();
