# The program with the extension itself, as the roles that are to run it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('extension');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
connect_to($node, 'postgres');

# As the superuser, whoever runs the program.
sub sql
{
	delete local $ENV{PGUSER};
	return $node->safe_psql('postgres', $_[0]);
}

my ($code, $out, $err);
sql('CREATE EXTENSION incomplete_orders; CREATE ROLE clock LOGIN; CREATE ROLE staff LOGIN; CREATE ROLE webshop LOGIN; CREATE ROLE nobody LOGIN');
for my $command (qw(tick cleanup))
{
	($code, $out, $err) = program($command);
	is($code, 78, "$command before setup(): exit code");
	like($err, qr/\(IC001\)/, "$command before setup(): says so");
	like($err, qr/^HINT: .*incomplete_orders\.setup\(\)/m, "$command before setup(): and what to do");
}
($code, $out) = program('health');
is($code, 2, 'health before setup(): an alarm');
like($out, qr/ alarm .* SELECT incomplete_orders\.setup\(\);$/m, 'health before setup(): and what to do');

sql(q{SELECT incomplete_orders.setup();
	SELECT incomplete_orders.grant_to('clock', 'sender'), incomplete_orders.grant_to('staff', 'admin'), incomplete_orders.grant_to('webshop', 'app')});

## Rights: what each purpose may run; all of them are ordinary roles.

for my $case ([ 'clock', 0, 0, 77 ], [ 'staff', 0, 0, 0 ], [ 'webshop', 77, 77, 77 ], [ 'nobody', 77, 77, 77 ])
{
	my ($role, $tick, $health, $cleanup) = @$case;
	local $ENV{PGUSER} = $role;
	is((program('tick'))[0], $tick, "$role: tick");
	is((program('health', '--format=json'))[0], $health, "$role: health");
	is((program('cleanup', '--dry-run'))[0], $cleanup, "$role: cleanup");
}

## An order falls due.

{
	local $ENV{PGUSER} = 'clock';
	is((program('tick'))[2], '', 'nothing is due');
	sql(q{SELECT incomplete_orders.capture_cart('s-1', '[{"sku":"A","quantity":1,"unit_price":"1"}]', email => 'jane@shop.example', at => now() - interval '2 hours')});
	($code, $out, $err) = program('tick');
	is($code, 0, 'an order is due: exit code');
	like($err, qr/event=tick .*finished=true .*abandoned=1/, 'it is abandoned');
	is(sql('SELECT status, abandoned_at = last_activity_at + interval \'1 hour\' FROM incomplete_orders.open_orders'), 'abandoned|t', 'as of the exact moment');
	is((program('tick'))[2], '', 'and it is so once');
}

## Stopped in the middle of much work: what is committed is whole, the rest follows.

sql(q{DO $$ BEGIN FOR i IN 1..20000 LOOP
	PERFORM incomplete_orders.capture_cart('m-' || i, '[{"sku":"A","quantity":1,"unit_price":"1"}]', at => now() - interval '3 hours');
	END LOOP; END $$});
{
	local $ENV{PGUSER} = 'clock';
	my $abandoned = q{SELECT count(*) FROM incomplete_orders.open_orders WHERE session_id LIKE 'm-%' AND status = 'abandoned'};
	my $run = begin('tick', '--every=1s');
	ok(await(undef, sub { sql($abandoned) > 0 }), 'much work: it has begun');
	kill 'TERM', $run->{pid};
	is(scalar(finish($run, 'TERM')), 0, 'much work: stopped');
	my $n = sql($abandoned);
	note "$n of 20000 were done";
	is(sql(q{SELECT count(*) FROM incomplete_orders.order_events e JOIN incomplete_orders.open_orders o ON o.id = e.order_id
		WHERE o.session_id LIKE 'm-%' AND e.event = 'abandoned'}), $n, 'much work: each of them has its event');
	is((program('tick'))[0], 0, 'much work: the next tick');
	is(sql($abandoned), 20000, 'much work: does the rest');
}

## cleanup

# Everything in every table, as one figure.
sub everything
{
	return sql(q{SELECT string_agg(c.oid::regclass || ' ' || md5(query_to_xml('SELECT t::text FROM ' || c.oid::regclass || ' t ORDER BY 1', false, false, '')::text), E'\n' ORDER BY c.oid)
		FROM pg_class c WHERE relnamespace = 'incomplete_orders'::regnamespace AND relkind = 'r'});
}

sql(q{SELECT incomplete_orders.dismiss_order(incomplete_orders.capture_cart('old-' || i, '[{"sku":"A","quantity":1,"unit_price":"1"}]',
		email => 'jane@shop.example', at => now() - interval '101 days'), 'test', at => now() - interval '100 days')
	FROM generate_series(1, 20) i;
	SELECT incomplete_orders.dismiss_order(incomplete_orders.capture_cart('new', '[{"sku":"A","quantity":1,"unit_price":"1"}]'), 'test');
	SELECT incomplete_orders.convert_order(incomplete_orders.capture_cart('bought', '[{"sku":"A","quantity":1,"unit_price":"1"}]',
		at => now() - interval '200 days'), at => now() - interval '200 days')});
{
	local $ENV{PGUSER} = 'staff';
	my $before = everything();
	($code, $out, $err) = program('cleanup', '--dry-run');
	is($code, 0, 'a dry run: exit code');
	is(everything(), $before, 'a dry run changes nothing');
	like($out, qr/ 20  INC-/, 'a dry run counts, and has examples');
	unlike($out, qr/jane/, 'but nothing personal');
	my $orders = sql('SELECT count(*) FROM incomplete_orders.orders');
	($code, $out) = program('cleanup');
	is($code, 0, 'a cleanup: exit code');
	like($out, qr/ 20  INC-/, 'a cleanup says the same');
	is(sql(q{SELECT count(*) FROM incomplete_orders.closed_orders WHERE session_id LIKE 'old-%'}), 0, 'what is old is gone');
	is(sql(q{SELECT count(*) FROM incomplete_orders.closed_orders WHERE session_id = 'new'}), 1, 'what is new stays');
	is(sql('SELECT count(*) FROM incomplete_orders.orders'), $orders, 'completed orders stay');
}

## health

{
	local $ENV{PGUSER} = 'clock';
	is((program('tick'))[0], 0, 'a tick');
	($code, $out, $err) = program('health');
	is($code, 0, 'all is well after it') or diag($out);
	like($out, qr/^check +state +value +advice$/m, 'a table');
	my $checks = decode_json((program('health', '--format=json'))[1]);
	cmp_ok(scalar(@$checks), '>=', 5, 'there are some checks');
	is_deeply([ grep { $_->{state} !~ /^(?:ok|warn)$/ } @$checks ], [], 'no alarm');
	# A month of silence.
	sql(q{UPDATE incomplete_orders.heartbeats SET at = at - interval '1 month'});
	($code, $out) = program('health');
	is($code, 2, 'an alarm when nothing ticks');
	like($out, qr/^\S.* alarm .*\S/m, 'with what to do');
}

$node->stop;
done_testing();
