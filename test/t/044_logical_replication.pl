# Logical replication of ordinary tables: the first copy, then every kind of
# change; rights that the publisher takes away are gone on the subscriber too.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Deployment;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->append_conf('postgresql.conf', "fsync = off\njit = off\ntimezone = 'UTC'\n");
$publisher->start;
make_roles($publisher);
fill($publisher, 'shop');
# the user's own tables stay here
$publisher->safe_psql('shop', 'DROP TABLE invoices; DROP VIEW big; DROP TABLE carts; DROP TABLE links; CREATE PUBLICATION all_tables FOR ALL TABLES');

my $subscriber = new_node('subscriber');
make_roles($subscriber);
$subscriber->safe_psql('postgres', 'CREATE DATABASE shop TEMPLATE template0');
$subscriber->safe_psql('shop', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup()');
$subscriber->safe_psql('shop', q{ALTER TABLE incomplete_orders.open_orders ADD COLUMN warehouse text; ALTER TABLE incomplete_orders.orders ADD COLUMN erp_number integer});
# the seeds of its own setup() would collide with the publisher's
$subscriber->safe_psql('shop', 'DELETE FROM incomplete_orders.shops; DELETE FROM incomplete_orders.templates; DELETE FROM incomplete_orders.secret_keys');
$subscriber->safe_psql('shop', "CREATE SUBSCRIPTION s CONNECTION 'host=" . $publisher->host . ' port=' . $publisher->port . " dbname=shop' PUBLICATION all_tables");

sub rows
{
	my ($node) = @_;
	my $rows = fingerprint($node, 'shop')->{rows};
	# the subscriber knows its members under other oids after its setup()
	return join "\n", grep { !/shop_members/ } split /\n/, $rows;
}

$subscriber->wait_for_subscription_sync($publisher, 's') if $subscriber->can('wait_for_subscription_sync');
$subscriber->poll_query_until('shop', q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')}) or die 'no first copy';
$publisher->wait_for_catchup('s');
is(rows($subscriber), rows($publisher), 'the first copy');
$subscriber->safe_psql('shop', 'SELECT incomplete_orders.setup()');

# a session that has filled its caches before the changes come
my ($in, $out, $err) = ('', '', '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $subscriber->connstr('shop') ], '<', \$in, '>', \$out, '2>', \$err);
sub ask
{
	$out = $err = '';
	$in .= "$_[0];\n\\echo done\n";
	$session->pump until $out =~ /^done$/m;
	return $out . $err;
}
like(ask(q{SET ROLE web_south; SELECT incomplete_orders._visible_shops('can_convert', 'south') IS NULL}), qr/permission denied/, 'internal functions are not for roles');
my $id = $publisher->safe_psql('shop', q{SELECT o.id FROM incomplete_orders.open_orders o JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'south' AND o.kind = 'cart' LIMIT 1});
like(ask("SELECT can FROM incomplete_orders.can_convert('$id')"), qr/^t$/m, 'a right on the subscriber');

# every kind of change
$publisher->safe_psql('shop', q{
	SELECT count(incomplete_orders.capture_cart('n' || i, '[{"sku":"N","quantity":1,"unit_price":"3"}]')) FROM generate_series(1, 20) i;
	SELECT incomplete_orders.capture_cart('n1', '[{"sku":"N","quantity":2,"unit_price":"3"}]');
	SELECT count(c.order_id) FROM incomplete_orders.open_orders o, incomplete_orders.convert_order(o.id) c WHERE session_id IN ('n2', 'n3');
	SELECT count(incomplete_orders.dismiss_order(id)) FROM incomplete_orders.open_orders WHERE session_id IN ('n4', 'n5');
	SELECT incomplete_orders.configure_shop('south', '{"currency": "SEK"}');
	SELECT count(*) FROM incomplete_orders.delete_shop('north', false);});
$publisher->wait_for_catchup('s');
is(rows($subscriber), rows($publisher), 'captures, conversions, dismissals, settings, a shop deleted');
is($subscriber->safe_psql('shop', q{SELECT count(*) FROM incomplete_orders.order_events}), $publisher->safe_psql('shop', q{SELECT count(*) FROM incomplete_orders.order_events}), 'and no event of the subscriber\'s own');

$publisher->safe_psql('shop', q{SELECT incomplete_orders.revoke_from('web_south', 'app')});
$publisher->wait_for_catchup('s');
like(ask("SELECT can FROM incomplete_orders.can_convert('$id')"), qr/no such order/, 'a right that the publisher takes away is gone in a session of the subscriber');
$in .= "\\q\n";
$session->finish;
unlike($subscriber->safe_psql('shop', q{SELECT coalesce(string_agg(subname, ' '), '') FROM pg_subscription WHERE NOT subenabled}), qr/s/, 'the subscription still runs');
$subscriber->stop;
$publisher->stop;
done_testing();
