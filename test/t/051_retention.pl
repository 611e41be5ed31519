# The housekeeping of tick among other sessions: it never waits longer than its
# lock_timeout, never fails, never takes what a session at work still needs, and
# catches up later.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('retention');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');

sub sql { return $node->safe_psql('postgres', $_[0]); }

# One tick: what it says of partitions and of deleted orders, and how long it took.
sub tick
{
	my $began = time;
	my $report = sql('CALL incomplete_orders.tick()');
	my ($partitions) = $report =~ /"partitions": (-?\d+)/;
	my ($purged) = $report =~ /"purged": (\d+)/;
	return ($partitions, $purged, time - $began);
}

sub partitions
{
	return sql(q(SELECT string_agg(relation::text, ' ' ORDER BY low) FROM incomplete_orders._partitions('closed_orders') WHERE low < now() - interval '40 days'));
}

# An expired order of that time, in its month.
sub expired
{
	my ($session, $began, $closed) = @_;
	return sql(<<"EOF");
DO \$\$
DECLARE
	made uuid := incomplete_orders.capture_cart('$session', '[{"sku":"A","quantity":1,"unit_price":1}]', at => '$began');
	old uuid := (left(incomplete_orders._id_at('$began')::text, 14) || substr(made::text, 15))::uuid;
BEGIN
	PERFORM incomplete_orders._expire_order(made, now(), false), incomplete_orders._allow_retention(), incomplete_orders._allow_purge();
	WITH g AS (DELETE FROM incomplete_orders.closed_orders c WHERE id = made RETURNING *)
	INSERT INTO incomplete_orders.closed_orders SELECT (jsonb_populate_record(NULL::incomplete_orders.closed_orders, to_jsonb(g)
		|| jsonb_build_object('id', old, 'root_id', old, 'closed_at', '$closed', 'items', items::jsonb))).* FROM g;
END
\$\$;
SELECT id FROM incomplete_orders.closed_orders WHERE session_id = '$session';
EOF
}

is((tick())[0], 0, 'nothing to do');

#
# A month whose retention is over, and a session that reads.
#
my $old = expired('old', '2020-01-10', '2020-02-10');
is((tick())[0], 1, 'its month is made');
is(partitions(), 'closed_orders_2020_01', 'and it is there');
my $reader = $node->background_psql('postgres', on_error_stop => 1);
$reader->query_safe('BEGIN; SELECT count(*) FROM incomplete_orders.closed_orders');
my ($done, $purged, $seconds) = tick();
is($done, 0, 'it is not dropped while somebody reads');
cmp_ok($seconds, '<', 2, 'and not waited for');
is(partitions(), 'closed_orders_2020_01', 'it is still there');
is(sql('SELECT count(*) FROM incomplete_orders.closed_orders'), 1, 'and nobody waits for tick');
$reader->query_safe('COMMIT');
is((tick())[0], 1, 'the next tick drops it');
is(partitions(), '', 'it is gone');
is((tick())[0], 0, 'there is nothing more');

# A month that somebody only reads by name.
expired('old-2', '2020-02-10', '2020-03-10');
tick();
$reader->query_safe('BEGIN; SELECT count(*) FROM incomplete_orders.closed_orders_2020_02');
($done, $purged, $seconds) = tick();
is($done, 0, 'a reader of the month itself is not waited for');
cmp_ok($seconds, '<', 2, 'nor for long');
$reader->query_safe('COMMIT');

#
# A payment that comes in the very last moment.
#
my $late = expired('late', '2020-02-11', '2020-03-11');
my $payer = $node->background_psql('postgres', on_error_stop => 1);
$payer->query_safe("BEGIN; SELECT incomplete_orders.convert_order('$late', paid => true)");
is((tick())[0], 0, 'a month in which an order is being paid late is not dropped');
$payer->query_safe('COMMIT');
is((tick())[0], 0, 'nor afterwards');
is(sql("SELECT status FROM incomplete_orders.incomplete_orders WHERE id = '$late'"), 'converted', 'the late order is there');

# What remains of such a month goes row by row, but for what is locked.
sql(q(UPDATE incomplete_orders.heartbeats SET at = '-infinity' WHERE job = 'retention'));
$payer->query_safe("BEGIN; SELECT id FROM incomplete_orders.closed_orders WHERE session_id = 'old-2' FOR UPDATE");
($done, $purged, $seconds) = tick();
is($purged, 0, 'a row that somebody holds is passed by');
cmp_ok($seconds, '<', 2, 'and not waited for');
$payer->query_safe('COMMIT');
sql(q(UPDATE incomplete_orders.heartbeats SET at = '-infinity' WHERE job = 'retention'));
is((tick())[1], 1, 'until the next sweep');
is(sql('SELECT session_id FROM incomplete_orders.closed_orders'), 'late', 'what was paid late stays');

#
# A month that is missing, and a session that reads DEFAULT.
#
sql(q(DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE incomplete_orders.%I', relation) FROM incomplete_orders._partitions('closed_orders') WHERE low <= now() AND high > now()); END $$));
sql(q(SELECT incomplete_orders.dismiss_order(incomplete_orders.capture_cart('now', '[{"sku":"A","quantity":1,"unit_price":1}]'))));
$reader->query_safe('BEGIN; SELECT count(*) FROM incomplete_orders.closed_orders');
($done, $purged, $seconds) = tick();
is($done, 0, 'no partition is made while somebody reads DEFAULT');
cmp_ok($seconds, '<', 2, 'and nobody is waited for');
is(sql(q(SELECT incomplete_orders.dismiss_order(incomplete_orders.capture_cart('then', '[{"sku":"A","quantity":1,"unit_price":1}]')))), 'dismissed', 'orders close into DEFAULT');
is(sql(q(SELECT state FROM incomplete_orders.health() WHERE check_name = 'partitions of closed_orders')), 'alarm', 'which alarms');
$reader->query_safe('COMMIT');
is((tick())[0], 1, 'the next tick makes it');
is(sql('SELECT count(*) FROM incomplete_orders.closed_orders_default'), 0, 'and moves what came meanwhile');
is(sql(q(SELECT count(*) FROM incomplete_orders.closed_orders WHERE session_id IN ('now', 'then'))), 2, 'which is all there');
is(sql(q(SELECT state FROM incomplete_orders.health() WHERE check_name = 'partitions of closed_orders')), 'ok', 'health() is content');

#
# What stands in the way for good does not stop tick.
#
sql('CREATE TABLE incomplete_orders.closed_orders_2019_05 (x integer)');
expired('may', '2019-05-10', '2019-06-10');
my ($stdout, $stderr);
is($node->psql('postgres', 'CALL incomplete_orders.tick()', stdout => \$stdout, stderr => \$stderr), 0, 'a table of that name does not stop tick');
like($stderr, qr/WARNING:  could not make the partition of closed_orders for 2019-05\n.*DETAIL:  .*"closed_orders_2019_05" already exists/s, 'it says what is wrong');
sql('DROP TABLE incomplete_orders.closed_orders_2019_05');
is((tick())[0], 1, 'when it is gone tick goes on');
sql('CREATE TABLE mine (shop_id integer, id uuid, FOREIGN KEY (shop_id, id) REFERENCES incomplete_orders.closed_orders);
	INSERT INTO mine SELECT shop_id, id FROM incomplete_orders.closed_orders WHERE session_id = \'may\'');
is($node->psql('postgres', 'CALL incomplete_orders.tick()', stdout => \$stdout, stderr => \$stderr), 0, 'nor does a foreign key of the user');
like($stderr, qr/WARNING:  could not drop a partition whose retention is over\n.*DETAIL:  .* mine$/m, 'it says so too');
# Months later its rows would go one by one; that cannot be either.
sql(q(UPDATE incomplete_orders.heartbeats SET at = '-infinity' WHERE job = 'retention'));
is($node->psql('postgres', 'CALL incomplete_orders.tick()', stdout => \$stdout, stderr => \$stderr), 0, 'nor then');
like($stderr, qr/WARNING:  could not delete orders of shop "default" whose retention is over\n.*DETAIL:  .*foreign key constraint/s, 'it says so');
is(sql(q(SELECT state, value ~ 'of 1 shop not$' FROM incomplete_orders.health() WHERE check_name = 'retention')), 'warn|t', 'and health() too');
sql('DROP TABLE mine');
is((tick())[0], 1, 'without it the month goes');

$reader->quit;
$payer->quit;
$node->stop;
done_testing();
