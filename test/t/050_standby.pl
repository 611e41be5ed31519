# A hot standby answers what reads and refuses what writes with the server's
# own error; after a promotion nothing collides with what was made before.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Invariants qw(violations);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "log_statement = none\n");
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();
	SELECT incomplete_orders.configure_webhook(\'crm\', \'https://crm.example/\');');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\n");
$standby->start;

my $cart = q{'[{"sku":"A","quantity":2,"unit_price":"1.25"}]'};
$primary->safe_psql('postgres', qq{
	SELECT incomplete_orders.capture_cart('open-' || n, $cart, email => 'p' || n || '\@example.com', customer_id => 'c') FROM generate_series(1, 50) n;
	SELECT c.* FROM generate_series(1, 50) n, incomplete_orders.convert_order(incomplete_orders.capture_cart('done-' || n, $cart)) c});
$primary->wait_for_catchup($standby);

# Reading
my $open = $primary->safe_psql('postgres', q{SELECT id FROM incomplete_orders.open_orders WHERE session_id = 'open-1'});
my $done = $primary->safe_psql('postgres', q{SELECT id FROM incomplete_orders.closed_orders WHERE session_id = 'done-1'});
my $order = $primary->safe_psql('postgres', qq{SELECT order_id FROM incomplete_orders.orders WHERE incomplete_order_id = '$done'});
foreach (
	[ 'the view', q{SELECT count(*), sum(total) FROM incomplete_orders.incomplete_orders}, '100|250.00' ],
	[ 'list_orders', q{SELECT count(*) FROM incomplete_orders.list_orders(page_size => 20)}, '20' ],
	[ 'list_orders by status', q{SELECT count(*) FROM incomplete_orders.list_orders(status => '{converted}', page_size => 100)}, '50' ],
	[ 'find_orders', q{SELECT count(*) FROM incomplete_orders.find_orders('p7@example.com')}, '1' ],
	[ 'orders_of', q{SELECT count(*) FROM incomplete_orders.orders_of('c')}, '50' ],
	[ 'order_history', qq{SELECT string_agg(event, ' ') FROM incomplete_orders.order_history('$done')}, 'created converted' ],
	[ 'can_convert', qq{SELECT can FROM incomplete_orders.can_convert('$open')}, 't' ],
	[ 'shop_settings', q{SELECT incomplete_orders.shop_settings() ->> 'currency'}, 'USD' ],
	[ 'the functions of the type', qq{SELECT incomplete_orders.total(${cart}::incomplete_orders.line_items)}, '2.5' ])
{
	my ($what, $sql, $want) = @$_;
	my ($rc, $out, $err) = $standby->psql('postgres', $sql);
	is("$out$err", $want, "$what works on a standby");
}

# Writing
foreach (
	"capture_cart('new', $cart)", "capture_cart('open-1', $cart)", "capture_carts('[{\"session_id\":\"x\",\"items\":[]}]')", "convert_order('$open')", "record_order('web', total => 1)", "record_refund('$order', 1)",
	"dismiss_order('$open')", "mark_abandoned('$open')", "mark_payment_pending('$open', 'p')", "add_note('$open', 'n')", "edit_order('$open', '{\"name\":\"x\"}', 1)", "save_checkout('open-1', '{\"email\":\"a\@b\"}')",
	"track_abandonment('open-1')", "identify_cart('open-1', 'c2')", "merge_carts('open-1', 'open-2')", "create_shop('x', 'x')", "setup()")
{
	my ($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM incomplete_orders.$_");
	# capture_carts tells each cart's fault in its row, but a standby refuses them all
	like("$out$err", qr/25006|read-only transaction|during recovery/, "$_ is refused on a standby");
	unlike($err, qr/server closed|PANIC|internal error|XX000/, '... in the server\'s words');
}
is($standby->safe_psql('postgres', 'SELECT count(*) FROM incomplete_orders.open_orders'), '50', 'the standby is as it was');

# Promotion under load: the primary is lost in the middle of it.
my $log = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
append_to_file($log, join '', map { ($_ % 50 ? '' : "CALL incomplete_orders.tick();\n") . "SELECT c.order_id, c.order_number FROM incomplete_orders.convert_order(incomplete_orders.capture_cart('load-$_', $cart)) c;\n" } 1 .. 3000);
my $out = '';
my $load = IPC::Run::start([ 'psql', '-XAtq', '-d', $primary->connstr('postgres'), '-f', $log ], '>', \$out, '2>', \my $err);
ok($standby->poll_query_until('postgres', q{SELECT count(*) > 150 FROM incomplete_orders.orders}), 'the standby follows');
$primary->stop('immediate');
$load->finish;
$standby->promote;
is(violations($standby), '', 'nothing is half done after the promotion');
cmp_ok($standby->safe_psql('postgres', 'SELECT sum(converted) FROM incomplete_orders.rollup_states'), '>', 0, 'events had been folded');
is($standby->safe_psql('postgres', 'SELECT incomplete_orders.rebuild_analytics()'), '0', 'each of them is counted once');
$standby->safe_psql('postgres', 'CALL incomplete_orders.tick()');
is($standby->safe_psql('postgres', q{SELECT count(DISTINCT event_id) || ' ' || count(*) FROM incomplete_orders.webhook_deliveries}),
	$standby->safe_psql('postgres', q{SELECT count(*) || ' ' || count(*) FROM incomplete_orders.order_events WHERE event = 'converted'}), 'and queued for a webhook once');
my $before = $standby->safe_psql('postgres', q{SELECT max(substr(order_number, 4)::bigint) FROM incomplete_orders.orders});
$standby->safe_psql('postgres', qq{
	SELECT c.* FROM generate_series(1, 500) n, incomplete_orders.convert_order(incomplete_orders.capture_cart('after-' || n, $cart)) c;
	SELECT incomplete_orders.capture_cart('open-1', $cart), incomplete_orders.capture_cart('after-open', $cart)});
is(violations($standby), '', 'ids, references and order numbers do not meet');
cmp_ok($standby->safe_psql('postgres', q{SELECT min(substr(order_number, 4)::bigint) FROM incomplete_orders.orders o JOIN incomplete_orders.closed_orders c ON c.id = o.incomplete_order_id WHERE c.session_id LIKE 'after-%'}),
	'>', $before, 'order numbers go on rising');
is($standby->safe_psql('postgres', q{SELECT count(DISTINCT id) || ' ' || count(DISTINCT reference) || ' ' || count(*) FROM incomplete_orders.incomplete_orders WHERE session_id LIKE 'after-%'}),
	'501 501 501', 'every order has its own');
$standby->stop;
done_testing();
