# Mutants: each is the library with one promise of the queue taken out of its
# source.  The race that would break the promise must tell it from the real one.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $pgxs = `$pg_config --pgxs`);
my $tester = dirname(dirname($pgxs)) . '/test/isolation/isolationtester';

# what a claim or an answer does for its promise: the file, what to take out, what
# stands there then, and the race that shows it
my @mutants = (
	[ 'the state of the order is not looked at again', 'queue.c', 'c->reason = "customer_returned";', 'c->reason = NULL;', 'claim_capture' ],
	[ 'the order is not locked', 'queue.c', '  LIMIT 1 FOR SHARE SKIP LOCKED', '  LIMIT 1', 'claim_convert' ],
	[ 'the claim waits for the order', 'queue.c', '  LIMIT 1 FOR SHARE SKIP LOCKED', '  LIMIT 1 FOR SHARE', 'claim_convert' ],
	[ 'the order is looked at under the snapshot of the transaction', 'queue.c', 'if (IsolationUsesXactSnapshot())', 'if (false)', 'claim_convert' ],
	[ 'suppressions are not looked at again', 'queue.c', 'if (person.n == 0)', 'if (person.n >= 0)', 'claim_unsubscribe' ],
	[ 'messages are not locked', 'queue.c', 'LIMIT $5 FOR UPDATE SKIP LOCKED', 'LIMIT $5', 'claim_claim' ],
	[ 'a message to the same person that was queued before is not waited for', 'queue_timing.c', 'c->min_gap > 0 && goes_before', 'c->min_gap < 0 && goes_before', 'claim_person' ],
	[ 'the gap is not asked for again', 'queue_timing.c', 'now - other->sent_at < c->min_gap', 'false', 'claim_person' ],
	[ 'a stale token is good for an ack', 'queue_answer.c', 'EQ "$3 AND m.status" NE', 'GE "$3 AND m.status" NE', 'ack_lease' ],
	[ 'a lease is not for the sender alone', 'queue_answer.c', 'held->token == answer->token', 'held->token >= answer->token', 'ack_lease' ],
);

my $node = PostgreSQL::Test::Cluster->new('mutants');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;

# A copy of the source with what is compiled already.
my $build = PostgreSQL::Test::Utils::tempdir();
system('cp', '-Rp', map("$root/$_", qw(Makefile incomplete_orders.control sql src)), $build) == 0 or die 'cannot copy the source';

sub library
{
	my ($name) = @_;
	my $log = `make -s -C '$build' PG_CONFIG='$pg_config' with_llvm=no incomplete_orders.so 2>&1`;

	die "$name does not compile: $log" if $?;
	copy("$build/incomplete_orders.so", "$build/$name.so") or die $!;
	chmod 0755, "$build/$name.so";
	return "$build/$name.so";
}

# What the race shows in a database whose functions are in that library.
sub race
{
	my ($database, $library, $spec) = @_;
	my $out = "$build/$database.out";

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, "CREATE EXTENSION incomplete_orders");
	$node->safe_psql($database, "UPDATE pg_proc SET probin = '$library' WHERE probin LIKE '%incomplete\\_orders'");
	system("PGAPPNAME=mutant '$tester' '" . $node->connstr($database) . "' <'$root/test/isolation/specs/$spec.spec' >'$out' 2>&1");
	return slurp_file($out);
}

my %races = map { $_->[4] => 1 } @mutants;
my $real = library('real');
foreach my $spec (sort keys %races)
{
	is(race("real_$spec", $real, $spec), slurp_file("$root/test/isolation/expected/$spec.out"), "$spec with the library as it is");
}

my $n = 0;
foreach my $mutant (@mutants)
{
	my ($what, $file, $from, $to, $spec) = @$mutant;
	my $source = slurp_file("$root/src/$file");
	my $places = () = $source =~ /\Q$from\E/g;

	is($places, 1, "one place to change: $what") or next;
	$source =~ s/\Q$from\E/$to/;
	unlink "$build/src/$file";
	append_to_file("$build/src/$file", $source);
	my $shows = race('mutant_' . ++$n, library("mutant_$n"), $spec);
	like($shows, qr/starting permutation/, 'the race runs');
	isnt($shows, slurp_file("$root/test/isolation/expected/$spec.out"), "$spec shows it: $what");
	note scalar `diff '$root/test/isolation/expected/$spec.out' '$build/mutant_$n.out' | head -n 12`;
	copy("$root/src/$file", "$build/src/$file") or die $!;
}

$node->stop;
done_testing();
