# Nothing is claimed after its order was bought, dismissed or taken up again, or
# its person unsubscribed: also where the cancelling could not reach the message.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Queue;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('recheck');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nlog_statement = none\n");
$node->start;
make_shop($node, 'postgres');

sub sql { return $node->safe_psql('postgres', $_[0]) }

# meanwhile(statement, code): runs the code while another session has done the
# statement in a transaction that it has not ended; then that is rolled back, or committed.
sub meanwhile
{
	my ($statement, $code, $end) = @_;
	my ($in, $out) = ("BEGIN;\n$statement;\n\\echo here\n", '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \my $err);
	my $give_up = time + 60;
	until ($out =~ /^here$/m)
	{
		die "the other session did not begin: $err" if time > $give_up || !$session->pumpable;
		$session->pump_nb;
		sleep 0.01;
	}
	my $result = $code->();
	$in .= ($end // 'ROLLBACK') . ";\n\\q\n";
	$session->finish or die "the other session failed: $err";
	return $result;
}

sub order { return "(SELECT id FROM incomplete_orders.open_orders WHERE session_id = '$_[0]')" }
sub message { return "(SELECT m.id FROM incomplete_orders.messages m JOIN incomplete_orders.incomplete_orders o ON o.id = m.order_id WHERE o.session_id = '$_[0]')" }

sub end_of
{
	my ($session) = @_;
	return sql("SELECT concat_ws(' ', m.status, m.reason, 'attempts', m.attempts, 'ledger',
		(SELECT string_agg(reason, ' ') FROM incomplete_orders.message_skips s WHERE s.message_id = m.id))
		FROM incomplete_orders.messages m WHERE id = " . message($session));
}

# Somebody has the message's row, so what ends the order passes over it; the next claim must see.
my $cart = q{'[{"sku":"A","quantity":1,"unit_price":"1.00"}]'};
for my $case (
	[ converted => 'SELECT order_id FROM incomplete_orders.convert_order(%s)' ],
	[ dismissed => "SELECT incomplete_orders.dismiss_order(%s, 'test')" ],
	[ customer_returned => "SELECT incomplete_orders.capture_cart('%s', $cart)" ])
{
	my ($reason, $statement) = @$case;
	make_carts($node, 'postgres', $reason, 1);
	my $what = sprintf $statement, $reason eq 'customer_returned' ? "$reason-1" : order("$reason-1");
	meanwhile('SELECT FROM incomplete_orders.messages WHERE id = ' . message("$reason-1") . ' FOR UPDATE', sub { sql($what) });
	is(sql('SELECT status FROM incomplete_orders.messages WHERE id = ' . message("$reason-1")), 'queued', "$reason: the message was out of reach");
	is(claimed_of($node, 'postgres', $reason), '', "$reason: it is not claimed");
	is(end_of("$reason-1"), "cancelled $reason attempts 0 ledger $reason", "$reason: it is cancelled, and the ledger says why");
}

# Bought elsewhere, or unsubscribed: no message of this order is touched by the first, all are by the second.
make_carts($node, 'postgres', 'elsewhere', 1);
sql("SELECT order_id FROM incomplete_orders.convert_order(incomplete_orders.capture_cart('other', $cart, email => 'Elsewhere-1\@shop.example'))");
is(claimed_of($node, 'postgres', 'elsewhere'), '', 'bought under another session: it is not claimed');
is(end_of('elsewhere-1'), 'cancelled ordered attempts 0 ledger ordered', 'bought under another session: and why');
make_carts($node, 'postgres', 'unsubscribed', 1);
sql('SELECT incomplete_orders.unsubscribe((incomplete_orders._link_tokens(id, queued_at)).unsubscribe) FROM incomplete_orders.messages WHERE id = ' . message('unsubscribed-1'));
is(end_of('unsubscribed-1'), 'cancelled unsubscribed attempts 0 ledger unsubscribed', 'unsubscribed: cancelled at once');
is(claimed_of($node, 'postgres', 'unsubscribed'), '', 'unsubscribed: it is not claimed');
# What was queued again by hand meanwhile is found at the claim.
sql('UPDATE incomplete_orders.messages SET status = \'queued\', reason = NULL WHERE id = ' . message('unsubscribed-1'));
is(claimed_of($node, 'postgres', 'unsubscribed'), '', 'unsubscribed: nor later');

# A claim that has not ended holds up the purchase, so none is claimed behind it.
make_carts($node, 'postgres', 'holding', 1);
my $claim = q{SELECT recipient FROM incomplete_orders.claim_messages('other', 1000)};
my ($code, $out, $err);
meanwhile($claim, sub { ($code, $out, $err) = $node->psql('postgres', q{SET lock_timeout = '300ms'; SELECT order_id FROM incomplete_orders.convert_order(} . order('holding-1') . ')') });
like($err, qr/lock timeout/, 'a purchase waits for a claim that has looked at the order');
meanwhile($claim, sub { return }, 'COMMIT');
is(end_of('holding-1'), 'sending attempts 1 ledger', 'the claim was first');
sql('SELECT order_id FROM incomplete_orders.convert_order(' . order('holding-1') . ')');
is(end_of('holding-1'), 'cancelled converted attempts 1 ledger converted', 'the purchase cancels what is being sent');
is(sql('SELECT incomplete_orders.ack_message(id, token, \'250\') FROM incomplete_orders.messages WHERE id = ' . message('holding-1')), 't', 'the mail had left');
like(end_of('holding-1'), qr/^sent attempts 1/, 'and that is known');

# Who is buying just now is not waited for, and the message is neither claimed nor cancelled.
make_carts($node, 'postgres', 'buying', 1);
my $began = time;
is(meanwhile('SELECT FROM incomplete_orders.open_orders WHERE id = ' . order('buying-1') . ' FOR UPDATE', sub { return claimed_of($node, 'postgres', 'buying') }),
	'', 'an order that somebody has: its message is left alone');
is(end_of('buying-1'), 'queued attempts 0 ledger', 'for later');
is(claimed_of($node, 'postgres', 'buying'), 'buying-1', 'later it is claimed');

# An older snapshot would show orders as they were.
($code, $out, $err) = $node->psql('postgres', q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM incomplete_orders.claim_messages('test')});
like($err, qr/READ COMMITTED only/, 'REPEATABLE READ is refused');

# A sender that dies of a message, each time: attempts count at the claim, so it
# comes to its end, and the others go out meanwhile.
make_carts($node, 'postgres', 'poison', 1);
make_carts($node, 'postgres', 'fine', 3);
my ($times, $others) = (0, 0);
for (1 .. 40)
{
	for my $recipient (map { (split)[0] } claim($node, 'postgres', 1))
	{
		$times++ if $recipient =~ /^poison/;
		$others += sql("SELECT incomplete_orders.ack_message(id, token)::integer FROM incomplete_orders.messages WHERE recipient = '$recipient'")
		  if $recipient =~ /^fine/;
	}
	# its lease ends
	sql('UPDATE incomplete_orders.messages SET due_at = now() WHERE status = \'sending\' AND id = ' . message('poison-1'));
}
is($times, 16, 'a message that ends its sender is tried 16 times');
is(end_of('poison-1'), 'dead attempts_exhausted attempts 16 ledger attempts_exhausted', 'then it is dead, and why');
is($others, 3, 'it blocks nobody');
is(sql('SELECT count(*) FROM incomplete_orders.dead_messages()'), '1', 'staff see it');

$node->stop;
done_testing();
