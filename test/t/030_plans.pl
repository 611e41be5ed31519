# A new installation is quick from the first minute: before ANALYZE has ever
# run, kept plans must not stay with an index that reads a whole shop.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('plans');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\n");
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');

# One session throughout: its plans are made while the tables are empty.
my $captures = 6000;
$node->safe_psql(
	'postgres', qq{
	DO \$\$
	BEGIN
		FOR i IN 1..$captures LOOP
			PERFORM incomplete_orders.capture_cart('s-' || i % ($captures / 2),
				('[{"sku":"A-' || i || '","quantity":1,"unit_price":"1.50"}]')::incomplete_orders.line_items);
			COMMIT;
		END LOOP;
	END
	\$\$});

is($node->safe_psql('postgres', 'SELECT count(*) FROM incomplete_orders.open_orders'),
	$captures / 2, 'each session has its order');
ok($node->poll_query_until('postgres', "SELECT n_tup_ins >= $captures / 2 FROM pg_stat_user_tables WHERE relname = 'open_orders'"),
	'the statistics are there');
my $read = $node->safe_psql('postgres', q{
	SELECT (sum(idx_tup_read) + (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'open_orders'))::bigint
	FROM pg_stat_user_indexes WHERE relname = 'open_orders'});
# Reading the whole shop each time would be half the square of the captures.
cmp_ok($read, '<', $captures**2 / 16, 'a capture does not read the whole shop');
note "$read index entries and rows read by $captures captures";
$node->stop;
done_testing();
