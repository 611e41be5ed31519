# An attachment goes along with a dump: into another database of the cluster, and into
# another cluster, where it waits for setup() to find its role again.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %nodes;
for my $name (qw(here elsewhere))
{
	$nodes{$name} = PostgreSQL::Test::Cluster->new($name);
	$nodes{$name}->init;
	$nodes{$name}->append_conf('postgresql.conf', "fsync = off\njit = off\n");
	$nodes{$name}->start;
}
my $here = $nodes{here};
# so that neither roles nor tables have the same oids
$here->safe_psql('postgres', 'CREATE ROLE other; CREATE ROLE keeper; CREATE DATABASE shop');
$nodes{elsewhere}->safe_psql('postgres', 'CREATE ROLE keeper');
$here->safe_psql('shop', q{
	CREATE EXTENSION incomplete_orders;
	SELECT incomplete_orders.setup();
	SELECT incomplete_orders.grant_to('keeper', 'admin');
	CREATE SCHEMA own AUTHORIZATION keeper;
	SET ROLE keeper;
	SET search_path = own;
	CREATE TABLE gone (i integer);
	CREATE TABLE carts (dropped text, id integer PRIMARY KEY, paid boolean DEFAULT false);
	ALTER TABLE carts DROP COLUMN dropped;
	CREATE TABLE lines (dropped text, cart integer, id serial, sku text, quantity integer, price numeric) PARTITION BY RANGE (id);
	ALTER TABLE lines DROP COLUMN dropped;
	CREATE TABLE lines_all PARTITION OF lines DEFAULT;
	INSERT INTO carts VALUES (1), (2);
	INSERT INTO lines (cart, sku, quantity, price) VALUES (1, 'A', 1, 5), (2, 'B', 1, 5);
	SELECT incomplete_orders.attach('own', mapping => '{"cart": {"table": "carts", "id": "id"}, "money": "major", "completed": "cart.paid", "always": true,
		"lines": {"table": "lines", "id": "id", "cart": "cart", "sku": "sku", "quantity": "quantity", "unit_price": "price"}}');
});

sub tick { $_[0]->safe_psql($_[1], q{CALL incomplete_orders.tick(NULL, clock_timestamp() + interval '10 s')}); return; }
sub carts { return $_[0]->safe_psql($_[1], q{SELECT string_agg(cart_key || ' ' || status || ' ' || incomplete_orders.item_count(items::incomplete_orders.line_items), ', ' ORDER BY cart_key) FROM incomplete_orders.incomplete_orders}); }

tick($here, 'shop');
is(carts($here, 'shop'), '1 pending 1, 2 pending 1', 'captured');
# marks that nobody has read go along
$here->safe_psql('shop', q{UPDATE own.lines SET quantity = 3 WHERE cart = 1});
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$here->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'shop' ], 'dump');

for my $target ([ 'here', 'another database' ], [ 'elsewhere', 'another cluster' ])
{
	my ($name, $what) = @$target;
	my $node = $nodes{$name};
	$node->safe_psql('postgres', 'CREATE DATABASE copy');
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ], "$what: restored");
	if ($name eq 'elsewhere')
	{
		tick($node, 'copy');
		is(carts($node, 'copy'), '1 pending 1, 2 pending 1', "$what: nothing is read for a role of elsewhere");
		like($node->safe_psql('copy', 'SELECT problem FROM incomplete_orders.attachments'), qr/another cluster/, "$what: and it says why");
	}
	$node->safe_psql('copy', 'SELECT incomplete_orders.setup(); UPDATE incomplete_orders.attached_tables SET retry_at = NULL');
	is($node->safe_psql('copy', q{SELECT bool_and((t ->> 'relation')::oid = to_regclass(t ->> 'table') AND (t ->> 'attnum')::integer = (SELECT attnum FROM pg_attribute
		WHERE attrelid = to_regclass(t ->> 'table') AND attname = t ->> 'column')) FROM incomplete_orders.attached_tables, jsonb_array_elements(tables) t}), 't', "$what: its tables are found");
	is($node->safe_psql('copy', q{SELECT state FROM incomplete_orders.health() WHERE check_name = 'attached tables'}), 'ok', "$what: and watched, partitions too");
	tick($node, 'copy');
	is(carts($node, 'copy'), '1 pending 3, 2 pending 1', "$what: the marks of then are read");
	$node->safe_psql('copy', q{UPDATE own.carts SET paid = true WHERE id = 2; INSERT INTO own.carts VALUES (3); INSERT INTO own.lines (cart, sku, quantity, price) VALUES (3, 'C', 2, 1)});
	$node->safe_psql('copy', q{SET session_replication_role = replica; INSERT INTO own.lines (cart, sku, quantity, price) VALUES (1, 'D', 1, 1)});
	tick($node, 'copy');
	is(carts($node, 'copy'), '1 pending 4, 2 converted 1, 3 pending 2', "$what: and those of now");
	$node->safe_psql('copy', q{SET ROLE keeper; SELECT incomplete_orders.detach('own')});
	is($node->safe_psql('copy', q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'incomplete_orders_mark%'}), '0', "$what: and it can be detached");
}
$_->stop for values %nodes;
done_testing();
