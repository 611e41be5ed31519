# Logical replication: a shop whose database does not know us is attached on a
# subscriber (how shops on managed databases use us), and a shop with our tables
# is published FOR ALL TABLES.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Shop;
use Test::More;

sub node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', "fsync = off\njit = off\nlog_statement = none\n");
	$node->start;
	return $node;
}

my $shop = node('shop');
my $ours = node('ours');
shop_tables($shop, 'postgres', 10);
$shop->safe_psql('postgres', 'INSERT INTO line (cart) SELECT id FROM cart; CREATE PUBLICATION shop FOR TABLE cart, line');
$ours->safe_psql('postgres', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');
shop_tables($ours, 'postgres', 0);
attach_shop($ours, 'postgres', ', "always": true');
shop_reader($ours, 'postgres');
is($ours->safe_psql('postgres', q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'incomplete\_orders\_mark%' AND tgenabled = 'A' AND tgrelid = 'line'::regclass}), '2', 'the triggers fire always');

sub in_sync
{
	$ours->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')}) or die 'no first copy';
	$shop->wait_for_catchup('s');
	$ours->safe_psql('postgres', 'CALL read_marks()');
	return missed($ours, 'postgres');
}

$ours->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION 'host=" . $shop->host . ' port=' . $shop->port . " dbname=postgres' PUBLICATION shop");
is(in_sync(), '0', 'the first copy is marked');
is($ours->safe_psql('postgres', 'SELECT count(*) FROM seen'), '10', 'every cart of it');
$shop->safe_psql('postgres', 'UPDATE cart SET version = version + 1 WHERE id < 4');
is(in_sync(), '0', 'changes of carts');
$ours->safe_psql('postgres', 'DELETE FROM seen');
$shop->safe_psql('postgres', 'BEGIN; UPDATE line SET quantity = 2 WHERE cart = 5; SAVEPOINT a; DELETE FROM line WHERE cart = 6; ROLLBACK TO a; UPDATE line SET cart = 7 WHERE cart = 8; COMMIT');
in_sync();
is($ours->safe_psql('postgres', 'SELECT string_agg(id::text, $$ $$ ORDER BY id) FROM seen'), '5 7 8', 'changes of lines, old and new cart');
$shop->safe_psql('postgres', 'DELETE FROM line WHERE cart = 9; UPDATE cart SET version = 9 WHERE id = 10; INSERT INTO cart VALUES (11)');
$ours->safe_psql('postgres', 'DELETE FROM seen');
in_sync();
is($ours->safe_psql('postgres', 'SELECT string_agg(id::text, $$ $$ ORDER BY id) FROM seen'), '9 10 11', 'deleted, updated, inserted');
$shop->safe_psql('postgres', 'TRUNCATE line');
$ours->safe_psql('postgres', 'DELETE FROM seen');
in_sync();
is($ours->safe_psql('postgres', 'SELECT count(*) FROM seen'), '11', 'TRUNCATE: all carts');
# a column of ours is gone: the apply worker goes on
$ours->safe_psql('postgres', 'ALTER TABLE line RENAME cart TO basket; ALTER TABLE line ADD cart integer');
$shop->safe_psql('postgres', 'INSERT INTO line (cart) VALUES (3); UPDATE cart SET version = version + 1 WHERE id = 3');
is(in_sync(), '0', 'the subscriber renamed the key');
unlike(slurp_file($ours->logfile), qr/background worker .*(?:exited with exit code [^01]|terminated by signal)/, 'no worker crashed');
$ours->safe_psql('postgres', 'DROP SUBSCRIPTION s');

# Published FOR ALL TABLES, marks included: the shop's writes and our TRUNCATE go on,
# and a copy of it all stays as small.
my $copy = node('copy');
$ours->safe_psql('postgres', 'CREATE DATABASE all_tables');
for my $node ($ours, $copy)
{
	$node->safe_psql($node == $ours ? 'all_tables' : 'postgres', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');
	shop_tables($node, $node == $ours ? 'all_tables' : 'postgres', $node == $ours ? 10 : 0);
}
attach_shop($ours, 'all_tables');
shop_reader($ours, 'all_tables');
$copy->safe_psql('postgres', 'CREATE TABLE seen (id integer PRIMARY KEY, version integer)');
$copy->safe_psql('postgres', 'DELETE FROM incomplete_orders.shops; DELETE FROM incomplete_orders.templates; DELETE FROM incomplete_orders.secret_keys');
$ours->safe_psql('all_tables', 'CREATE PUBLICATION everything FOR ALL TABLES');
$copy->safe_psql('postgres', "CREATE SUBSCRIPTION e CONNECTION 'host=" . $ours->host . ' port=' . $ours->port . " dbname=all_tables' PUBLICATION everything");
$copy->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')}) or die 'no first copy';
$ours->safe_psql('all_tables', 'INSERT INTO line (cart) SELECT id FROM cart; UPDATE cart SET version = version + 1; DELETE FROM line WHERE cart = 3');
$ours->safe_psql('all_tables', 'CALL read_marks()');
is(missed($ours, 'all_tables'), '0', 'FOR ALL TABLES: marks are written and read');
$ours->safe_psql('all_tables', 'TRUNCATE line');
$ours->wait_for_catchup('e');
my $marks = q{SELECT count(*), count(DISTINCT key) FROM incomplete_orders.cart_marks};
is($copy->safe_psql('postgres', $marks), $ours->safe_psql('all_tables', $marks), 'the copy has the marks');
# a partition that rests is emptied here and there
my $s = $ours->safe_psql('all_tables', 'SELECT (extract(epoch FROM now())::bigint / 60 + 2) % 4');
$ours->safe_psql('all_tables', "INSERT INTO incomplete_orders.cart_marks SELECT pg_current_xact_id(), now(), a.attachment, 0, $s, i::text FROM incomplete_orders.attached_tables a, generate_series(1, 100) i");
$ours->wait_for_catchup('e');
is($copy->safe_psql('postgres', "SELECT count(*) FROM incomplete_orders.cart_marks WHERE segment = $s"), '100', 'a partition is filled');
$ours->safe_psql('all_tables', 'CALL read_marks(); CALL read_marks()');
is($ours->safe_psql('all_tables', "SELECT count(*) FROM incomplete_orders.cart_marks WHERE segment = $s"), '0', 'and emptied');
$ours->wait_for_catchup('e');
is($copy->safe_psql('postgres', "SELECT pg_relation_size('incomplete_orders.cart_marks_$s')"), '0', 'on the copy, too');

$_->stop for $copy, $ours, $shop;
done_testing();
