# No mark is lost: shops write in overlapping, long, nested, rolled back and
# prepared transactions, while marks are taken over, partitions are locked by
# somebody and emptied by us, and the server crashes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Shop;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('marks');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nmax_prepared_transactions = 50\nlog_statement = none\nautovacuum_naptime = 1s\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');
shop_tables($node, 'postgres', 60);
attach_shop($node, 'postgres');
shop_reader($node, 'postgres');
is(missed($node, 'postgres'), '0', 'attach() has every cart read once');

my $dir = PostgreSQL::Test::Utils::tempdir();
my %scripts = (
	one => "UPDATE cart SET version = version + 1 WHERE id = :c;\n",
	line => "BEGIN;\nINSERT INTO line (cart) VALUES (:c);\nUPDATE cart SET version = version + 1 WHERE id = :c;\nCOMMIT;\n",
	# more savepoints than a snapshot keeps (64)
	nested => "BEGIN;\nSAVEPOINT a;\nUPDATE cart SET version = version + 1 WHERE id = :c;\nSAVEPOINT b;\nUPDATE cart SET version = version + 1 WHERE id = :d;\n"
		. "ROLLBACK TO b;\nDO \$\$ BEGIN FOR i IN 1 .. 70 LOOP BEGIN INSERT INTO line (cart) VALUES (:c); EXCEPTION WHEN division_by_zero THEN END; END LOOP; END \$\$;\n"
		. "SELECT pg_sleep(0.01);\nRELEASE a;\nCOMMIT;\n",
	back => "BEGIN;\nSAVEPOINT a;\nUPDATE cart SET version = version + 1 WHERE id = :c;\nROLLBACK TO a;\nUPDATE cart SET version = version + 1 WHERE id = :c;\nCOMMIT;\n",
	gone => "BEGIN;\nUPDATE cart SET version = version + 1 WHERE id = :c;\nROLLBACK;\n",
	long => "BEGIN;\nUPDATE cart SET version = version + 1 WHERE id = :c;\nSELECT pg_sleep(0.3);\nCOMMIT;\n",
	prepared => "BEGIN;\nUPDATE cart SET version = version + 1 WHERE id = :c;\nPREPARE TRANSACTION 'p:client_id-:n';\n\\sleep 50 ms\nCOMMIT PREPARED 'p:client_id-:n';\n",
	repeatable => "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\nINSERT INTO line (cart) VALUES (:c);\nCOMMIT;\nUPDATE cart SET version = version + 1 WHERE id = :c;\n");
my %weights = (one => 10, line => 10, nested => 5, back => 5, gone => 3, long => 1, prepared => 1, repeatable => 5);
my @files;
for my $name (sort keys %scripts)
{
	# each client has carts of its own, so that nobody waits and nothing deadlocks
	append_to_file("$dir/$name.sql", "\\set c 1 + :client_id * 10 + random(0, 4)\n\\set d :c + 5\n\\set n random(1, 2000000000)\n$scripts{$name}");
	push @files, '-f', "$dir/$name.sql\@$weights{$name}";
}
# The reader, and somebody who locks one partition after the other, so that all of them are written to.
append_to_file("$dir/reader.sql", "CALL read_marks();\n\\sleep 3 ms\n");
append_to_file("$dir/locker.sql", "\\set i random(0, 3)\nBEGIN;\nLOCK incomplete_orders.cart_marks_:i;\n\\sleep 20 ms\nCOMMIT;\n\\sleep 5 ms\n");

sub run_all
{
	my ($seconds) = @_;
	my @runs;
	my %out;
	for my $run ([ 'shop', '-c', '6', @files ], [ 'reader', '-c', '1', '-f', "$dir/reader.sql" ], [ 'locker', '-c', '1', '-f', "$dir/locker.sql" ])
	{
		my ($name, @args) = @$run;
		$out{$name} = '';
		push @runs, IPC::Run::start([ 'pgbench', '-n', '-T', $seconds, @args, $node->connstr('postgres') ], '>', \my $ignored, '2>', \$out{$name});
	}
	return (\@runs, \%out);
}

sub last_look
{
	for my $gid (split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
	{
		$node->safe_psql('postgres', "COMMIT PREPARED '$gid'");
	}
	$node->safe_psql('postgres', 'CALL read_marks()');
	return missed($node, 'postgres');
}

my ($runs, $out) = run_all(8);
# an old snapshot, and a dump, in the middle of it
$node->command_ok([ 'pg_dump', '-f', "$dir/dump.sql", '-d', $node->connstr('postgres') ], 'a dump meanwhile');
$_->finish for @$runs;
is($out->{$_} =~ s/^pgbench.*\n//rmg =~ s/^(?:.*warning|starting|transaction type).*\n//rmg, '', "$_: no error") for sort keys %$out;
is(last_look(), '0', 'no change was missed');
cmp_ok($node->safe_psql('postgres', 'SELECT sum(version) FROM cart'), '>', 500, 'of many');
is($node->safe_psql('postgres', "SELECT count(*) FROM incomplete_orders.cart_marks WHERE xid::text::bigint < 0"), '0', 'the tables can be read');
$node->safe_psql('postgres', 'CALL read_marks(); CALL read_marks()');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM generate_series(0, 3) i WHERE pg_relation_size('incomplete_orders.cart_marks_' || i) = 0}), '>=', 3,
	'partitions that nobody writes to are empty');
my $log = slurp_file($node->logfile);
unlike($log, qr/could not mark|could not empty|deadlock|PANIC|TRAP/, 'nothing in the log');

# the server crashes under the same load
for my $round (1 .. 3)
{
	($runs, $out) = run_all(20);
	usleep(1_500_000 + rand(1_000_000));
	$node->stop('immediate');
	$_->finish for @$runs;
	$node->start;
	is(last_look(), '0', "no change was missed, crash $round");
}

# all partitions are locked: nobody waits, and the session that missed a mark says that all is to be read
my $locker = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \my $in, '>', \my $locked, '2>', \my $err);
$in = "BEGIN; LOCK incomplete_orders.cart_marks;\n\\echo locked\n";
$locker->pump until ($locked // '') =~ /locked/;
my $writer = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ], '<', \my $write, '>', \my $wrote, '2>', \my $trouble);
$write = "SET lock_timeout = '20s'; UPDATE cart SET version = version + 1 WHERE id = 7;\n\\echo one\n";
$writer->pump until ($wrote // '') =~ /one/ or ($trouble // '') ne '';
is($trouble // '', '', 'a write while all of cart_marks is locked');
$in = "COMMIT;\n\\q\n";
$locker->finish;
like(slurp_file($node->logfile), qr/could not mark a cart of attachment/, 'is in the log');
$write = "UPDATE cart SET version = version + 1 WHERE id = 8;\n\\q\n";
$writer->finish;
is(last_look(), '0', 'and is made up for');

# Without the extension the shop goes on.
$node->safe_psql('postgres', 'CREATE DATABASE bare');
$node->safe_psql('bare', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');
shop_tables($node, 'bare', 5);
attach_shop($node, 'bare');
my $session = IPC::Run::start([ 'psql', '-XAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('bare') ], '<', \my $ask, '>', \my $answer, '2>', \my $fault);
sub write_cart
{
	($answer, $fault) = ('', '');
	$ask = "UPDATE cart SET version = version + 1;\n\\echo done\n";
	$session->pump until $answer =~ /^done$/m or $fault ne '';
	return $answer =~ s/done\n//r . $fault;
}
is(write_cart(), "UPDATE 5\n", 'a session of the shop');
$node->safe_psql('bare', 'SET client_min_messages = error; DROP TABLE incomplete_orders.cart_marks CASCADE');
is(write_cart(), "UPDATE 5\n", 'without cart_marks');
$node->safe_psql('bare', 'SET client_min_messages = error; DROP EXTENSION incomplete_orders CASCADE');
is(write_cart(), "UPDATE 5\n", 'without the extension');
$node->safe_psql('bare', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();');
attach_shop($node, 'bare');
is(write_cart(), "UPDATE 5\n", 'made again');
is($node->safe_psql('bare', 'SELECT count(*) FROM incomplete_orders.cart_marks'), '5', 'the same session marks again');
$ask = "\\q\n";
$session->finish;

$node->stop;
done_testing();
