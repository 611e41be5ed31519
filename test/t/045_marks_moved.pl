# Marks that were not read yet survive what happens to databases: dump and restore
# (here, elsewhere, of data alone), a standby that is promoted, a copy of the
# database, pg_upgrade, counters of transactions that jump.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Shop;
use Test::More;

my $conf = "fsync = off\njit = off\nlog_statement = none\n";
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', $conf);
$primary->start;
# many transactions, so that the numbers of here are those of the future elsewhere
$primary->safe_psql('postgres', 'CREATE TABLE burn (i integer)');
$primary->safe_psql('postgres', 'DO $$ BEGIN FOR i IN 1 .. 5000 LOOP INSERT INTO burn VALUES (i); COMMIT; END LOOP; END $$');
$primary->safe_psql('postgres', 'CREATE DATABASE shop');
$primary->safe_psql('shop', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');
shop_tables($primary, 'shop', 20);
attach_shop($primary, 'shop');
shop_reader($primary, 'shop');
$primary->backup('base');

# some marks were read, some are in due_carts, some in cart_marks
$primary->safe_psql('shop', 'UPDATE cart SET version = version + 1 WHERE id <= 5; CALL read_marks(false)');
$primary->safe_psql('shop', 'UPDATE cart SET version = version + 1 WHERE id BETWEEN 3 AND 8');
$primary->safe_psql('shop', 'SELECT incomplete_orders._tick_marks(i, true) FROM generate_series(0, 3) i');
$primary->safe_psql('shop', 'UPDATE cart SET version = version + 1 WHERE id BETWEEN 7 AND 12; BEGIN; SAVEPOINT a; UPDATE cart SET version = version + 1 WHERE id = 14; RELEASE a; COMMIT');
is(missed($primary, 'shop'), '11', 'some carts are still to be read');

# go_on(NODE, DB, WHAT): reads what is there, and goes on as before
sub go_on
{
	my ($node, $db, $what) = @_;
	$node->safe_psql($db, 'CALL read_marks()');
	is(missed($node, $db), '0', "$what: every cart is read");
	$node->safe_psql($db, 'UPDATE cart SET version = version + 1 WHERE id IN (1, 9); INSERT INTO line (cart) VALUES (2); CALL read_marks()');
	is(missed($node, $db), '0', "$what: and those that change afterwards");
	$node->safe_psql($db, 'CALL read_marks(); CALL read_marks(); CALL read_marks()');
	is($node->safe_psql($db, 'DELETE FROM seen; CALL read_marks(false); SELECT count(*) FROM seen'), '0', "$what: nothing is read for ever");
	$node->safe_psql($db, 'INSERT INTO seen SELECT id, version FROM cart');
	return;
}

my $dir = PostgreSQL::Test::Utils::tempdir();
$primary->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/shop.dump", '-d', $primary->connstr('shop') ], 'dump');

my $fresh = PostgreSQL::Test::Cluster->new('fresh');
$fresh->init;
$fresh->append_conf('postgresql.conf', $conf);
$fresh->start;
for my $target ([ $primary, 'copy', 'another database of this cluster' ], [ $fresh, 'shop', 'another cluster, whose transactions have smaller numbers' ])
{
	my ($node, $db, $what) = @$target;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	$node->command_ok([ 'pg_restore', '-d', $node->connstr($db), "$dir/shop.dump" ], "restore: $what");
	go_on($node, $db, $what);
}

# the data alone, into tables of another setup() that has read marks before
$fresh->safe_psql('postgres', 'CREATE DATABASE data');
$fresh->safe_psql('data', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');
shop_tables($fresh, 'data', 20);
attach_shop($fresh, 'data');
shop_reader($fresh, 'data');
$fresh->safe_psql('data', 'UPDATE cart SET version = version + 1; CALL read_marks(false)');
$primary->command_ok([ 'pg_dump', '-Fc', '-a', '-t', 'incomplete_orders.cart_marks*', '-f', "$dir/marks.dump", '-d', $primary->connstr('shop') ], 'dump of the marks alone');
$fresh->command_ok([ 'pg_restore', '-d', $fresh->connstr('data'), "$dir/marks.dump" ], 'restored beside others');
$fresh->safe_psql('data', 'DELETE FROM seen; CALL read_marks(false)');
cmp_ok($fresh->safe_psql('data', 'SELECT count(*) FROM seen'), '>=', 7, 'and read');

# a template copies files, transactions included
$primary->safe_psql('postgres', 'CREATE DATABASE clone TEMPLATE shop');
go_on($primary, 'clone', 'a copy of the database');

# A standby follows, sees, and is promoted.
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->safe_psql('shop', 'UPDATE cart SET version = version + 1 WHERE id = 20');
$primary->wait_for_catchup($standby);
my ($rc, $out, $err) = $standby->psql('shop', 'SELECT incomplete_orders._tick_marks(i, true) FROM generate_series(0, 3) i');
like($err, qr/recovery|read-only/, 'marks are not taken over on a standby');
is(missed($standby, 'shop'), missed($primary, 'shop'), 'it has the marks');
$primary->stop('immediate');
$standby->promote;
go_on($standby, 'shop', 'a promoted standby');

# The counter of transactions jumps by four thousand millions; then the snapshot is too old to be compared.
$standby->safe_psql('shop', 'UPDATE cart SET version = version + 1 WHERE id <= 3; CALL read_marks(false); UPDATE cart SET version = version + 1 WHERE id > 15');
$standby->stop;
command_ok([ 'pg_resetwal', '-e', '1', $standby->data_dir ], 'another epoch');
$standby->start;
go_on($standby, 'shop', 'after the wrap');
$standby->stop;

# pg_upgrade, as far as one version of the server can show it
$fresh->safe_psql('shop', 'UPDATE cart SET version = version + 1 WHERE id <= 4; CALL read_marks(false); UPDATE cart SET version = version + 1 WHERE id > 17');
$fresh->safe_psql('postgres', 'DROP DATABASE data');
$fresh->stop;
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', $conf);
my ($bin) = run_command([ 'pg_config', '--bindir' ]);
chdir PostgreSQL::Test::Utils::tempdir() or die $!;
command_ok([ 'pg_upgrade', '--no-sync', '-d', $fresh->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin, '-s', $new->host, '-p', $fresh->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
go_on($new, 'shop', 'after pg_upgrade');
$new->stop;
chdir '/';
done_testing();
