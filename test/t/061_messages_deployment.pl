# Messages that wait survive dump and restore, and the promotion of a standby:
# nothing is queued or notified by the restore itself, and afterwards each goes on
# with the Message-ID, the link and the attempts that it had.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Invariants qw(violations);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Queue;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = off\nlog_statement = none\n");
$node->start;
make_shop($node, 'shop');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $states = q{SELECT string_agg(concat_ws(' ', recipient, status, attempts, token, mail_message_id, reason), E'\n' ORDER BY recipient) FROM incomplete_orders.messages};
my $rows = q{SELECT string_agg(m::text, E'\n' ORDER BY id) FROM incomplete_orders.messages m};

# What each claim said, by its recipient: Message-ID and links are the same at every attempt.
my %said;
my $differences = 0;

sub claim_all
{
	my ($n, $database) = @_;
	my %claimed;
	# Each copy queues these by itself.
	delete @said{ map { "due-$_\@shop.example" } 1 .. 3 };
	for (claim($n, $database, 1000))
	{
		my ($recipient, $token, $id, $link) = split / /;
		$said{$recipient} //= "$id $link";
		$differences++ if $said{$recipient} ne "$id $link";
		$claimed{$recipient} = $token;
	}
	return \%claimed;
}

sub ack
{
	my ($n, $database, $recipient, $token) = @_;
	return $n->safe_psql($database, "SELECT incomplete_orders.ack_message(id, $token, '250') FROM incomplete_orders.messages WHERE recipient = '$recipient'");
}

sub leases_end { my ($n, $database) = @_; return $n->safe_psql($database, q{UPDATE incomplete_orders.messages SET due_at = now() WHERE status = 'sending'}) }

# In every state: sent, dead, cancelled, unsubscribed, being sent, given back, waiting.
make_carts($node, 'shop', 'person', 8);
my $claimed = claim_all($node, 'shop');
is(scalar(keys %$claimed), 8, 'all were claimed once');
ack($node, 'shop', 'person-1@shop.example', $claimed->{'person-1@shop.example'});
$node->safe_psql('shop', q{
	SELECT incomplete_orders.fail_message(id, token, true, '550 5.1.1 no such user') FROM incomplete_orders.messages WHERE recipient = 'person-2@shop.example';
	SELECT incomplete_orders.convert_order(order_id) FROM incomplete_orders.messages WHERE recipient = 'person-3@shop.example';
	SELECT incomplete_orders.unsubscribe((incomplete_orders._link_tokens(id, queued_at)).unsubscribe) FROM incomplete_orders.messages WHERE recipient = 'person-4@shop.example';
	SELECT incomplete_orders.extend_message(id, token, '0') FROM incomplete_orders.messages WHERE recipient = 'person-5@shop.example';
	SELECT incomplete_orders.fail_message(id, token, false, '451 4.7.1 later') FROM incomplete_orders.messages WHERE recipient = 'person-6@shop.example';
	UPDATE incomplete_orders.messages SET due_at = now() + interval '1 hour' WHERE recipient = 'person-6@shop.example'});
make_carts($node, 'shop', 'new', 2);
# ... and carts whose message tick has not queued yet.
$node->safe_psql('shop', q{SELECT count(incomplete_orders.capture_cart('due-' || i, '[{"sku":"A","quantity":1,"unit_price":1}]', email => 'due-' || i || '@shop.example',
	at => now() - interval '150 minutes')) FROM generate_series(1, 3) i});
my $expected = $node->safe_psql('shop', $states);
note $expected;

## Dump and restore.

my @ways = (
	[ 'plain', sub { my ($db) = @_; run_log([ 'pg_dump', '--no-sync', '-f', "$dir/plain.sql", 'shop' ]) and run_log([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $db, '-f', "$dir/plain.sql" ]) } ],
	[ 'schema, then data', sub {
		my ($db) = @_;
		run_log([ 'pg_dump', '--no-sync', '-Fc', '-f', "$dir/custom", 'shop' ]) and run_log([ 'pg_restore', '-d', $db, '--exit-on-error', '--schema-only', "$dir/custom" ])
		  and run_log([ 'pg_restore', '-d', $db, '--exit-on-error', '--data-only', '--disable-triggers', "$dir/custom" ]) } ]);
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
my $n = 0;
for my $way (@ways)
{
	my ($name, $restore) = @$way;
	my $db = 'copy' . ++$n;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	# Whoever listens hears of new messages.
	my ($in, $out) = ("LISTEN incomplete_orders;\n\\echo here\n", '');
	my $listener = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($db) ], '<', \$in, '>', \$out, '2>', \my $err);
	my $end = time + 60;
	until ($out =~ /^here$/m || time > $end) { $listener->pump_nb; sleep 0.01 }
	ok($restore->($db), "$name: restored");
	is($node->safe_psql($db, $rows), $node->safe_psql('shop', $rows), "$name: every message as it was");
	$node->safe_psql($db, 'SELECT incomplete_orders.setup()');
	is($node->safe_psql($db, $rows), $node->safe_psql('shop', $rows), "$name: setup() changes none");
	is($node->safe_psql($db, q{SELECT count(*) FROM incomplete_orders.suppressions}), $node->safe_psql('shop', q{SELECT count(*) FROM incomplete_orders.suppressions}),
		"$name: who unsubscribed is known");
	$in .= "SELECT 'heard nothing';\n\\q\n";
	$listener->finish;
	unlike($out, qr/notification/, "$name: nobody is notified by it");
	# It goes on: what waited, and what tick queues now.
	$node->safe_psql($db, 'CALL incomplete_orders.tick()');
	is($node->safe_psql($db, q{SELECT count(*) FROM incomplete_orders.messages WHERE recipient LIKE 'due-%' AND status = 'queued'}), '3', "$name: the next tick queues what is due");
	leases_end($node, $db);
	my $again = claim_all($node, $db);
	is(join(' ', sort keys %$again), join(' ', map { "$_\@shop.example" } qw(due-1 due-2 due-3 new-1 new-2 person-5 person-7 person-8)), "$name: what waited is claimed");
	is($differences, 0, "$name: with the same Message-ID and link");
	is(ack($node, $db, 'person-7@shop.example', $claimed->{'person-7@shop.example'}), 'f', "$name: a token from before is stale");
	is(ack($node, $db, 'person-7@shop.example', $again->{'person-7@shop.example'}), 't', "$name: that of now is not");
	is($node->safe_psql($db, q{SELECT attempts FROM incomplete_orders.messages WHERE recipient = 'person-7@shop.example'}), '2', "$name: attempts went on");
	is($node->safe_psql($db, q{SELECT status FROM incomplete_orders.preview_cart(} . "'" . (split / /, $said{'person-8@shop.example'})[1] . "')"), 'abandoned',
		"$name: a link that is out leads to the cart");
	is($node->safe_psql($db, q{SELECT incomplete_orders.capture_cart('unsubscribed', '[{"sku":"A","quantity":1,"unit_price":1}]', email => 'PERSON-4@shop.example', at => now() - interval '150 minutes') IS NOT NULL}), 't', "$name: who unsubscribed is back");
	$node->safe_psql($db, 'CALL incomplete_orders.tick()');
	is($node->safe_psql($db, q{SELECT s.reason FROM incomplete_orders.message_skips s JOIN incomplete_orders.open_orders o ON o.id = s.order_id WHERE o.session_id = 'unsubscribed'}),
		'unsubscribed', "$name: and is not mailed");
	is(violations($node, $db), '', "$name: all is well");
}

## A standby, and its promotion.

$node->wait_for_catchup($standby);
is($standby->safe_psql('shop', $rows), $node->safe_psql('shop', $rows), 'the standby has every message');
my $id = $node->safe_psql('shop', q{SELECT id FROM incomplete_orders.messages WHERE recipient = 'person-7@shop.example'});
for my $call ("claim_messages('test')", "ack_message('$id', 1)", "fail_message('$id', 1, true)", "extend_message('$id', 1, '1 min')", "retry_message('$id')")
{
	my ($code, $out, $err) = $standby->psql('shop', "\\set VERBOSITY verbose\nSELECT * FROM incomplete_orders.$call");
	like($err, qr/25006/, "$call is refused on a standby");
}
my $status = $standby->safe_psql('shop', q{SELECT string_agg(status || ' ' || messages, ', ' ORDER BY status) FROM incomplete_orders.queue_status()});
is($status, $node->safe_psql('shop', q{SELECT string_agg(status || ' ' || messages, ', ' ORDER BY status) FROM incomplete_orders.queue_status()}), 'queue_status works there');
$node->stop('immediate');
$standby->promote;
is($standby->safe_psql('shop', $states), $expected, 'after the promotion every message is there');
is(ack($standby, 'shop', 'person-8@shop.example', $claimed->{'person-8@shop.example'}), 't', 'who was sending acks there');
leases_end($standby, 'shop');
$standby->safe_psql('shop', 'CALL incomplete_orders.tick()');
my $again = claim_all($standby, 'shop');
is(join(' ', sort keys %$again), join(' ', map { "$_\@shop.example" } qw(due-1 due-2 due-3 new-1 new-2 person-5 person-7)), 'what waited is claimed there');
is($differences, 0, 'with the same Message-ID and link');
ack($standby, 'shop', $_, $again->{$_}) for keys %$again;
is(join(' ', claim($standby, 'shop')), '', 'and nothing is left');
is(violations($standby, 'shop'), '', 'all is well');
$standby->stop;
done_testing();
