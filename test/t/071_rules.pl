# Random shops, people, carts and clocks for a month, on a server with a clock of
# the test's: rules_property.py does it and checks that no rule is ever broken.
# Once over the changes to and from daylight saving time in spring, once in autumn.
# FUZZ_SEED and FUZZ_DAYS may be set: that seed alone.
use strict;
use warnings;
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($library) = grep { -e } glob('/usr/lib/*/faketime/libfaketime.so.1 /usr/lib64/faketime/libfaketime.so.1 /usr/local/lib/faketime/libfaketime.so.1');
plan skip_all => 'libfaketime is not installed' unless $library;

my $node = PostgreSQL::Test::Cluster->new('rules');
my $clock = $node->basedir . '/clock';

open(my $file, '>', $clock) or die $!;
print $file "2026-03-07 09:00:00\n";
close $file;
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\n");
{
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{FAKETIME_TIMESTAMP_FILE} = $clock;
	local $ENV{FAKETIME_NO_CACHE} = 1;
	local $ENV{FAKETIME_DONT_FAKE_MONOTONIC} = 1;
	# what sleeps must sleep by the real clock
	local $ENV{FAKETIME_DONT_RESET} = 1;
	local $ENV{TZ} = 'UTC';
	$node->start;
}
is($node->safe_psql('postgres', q{SELECT now() = '2026-03-07 09:00:00+0' AND clock_timestamp() = now()}), 't', 'the clock stands still where it was set')
	or BAIL_OUT('libfaketime does not work');

my @seeds = defined $ENV{FUZZ_SEED} ? ($ENV{FUZZ_SEED}) : (1 .. 3);
foreach my $seed (@seeds)
{
	$node->safe_psql('postgres', "CREATE DATABASE seed_$seed");
	$node->safe_psql("seed_$seed", 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup()');
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = "seed_$seed";
	local $ENV{CLOCK} = $clock;
	local $ENV{FUZZ_SEED} = $seed;
	my $said = qx{/usr/bin/python3 ${\ dirname(__FILE__)}/../rules_property.py 2>&1};
	is($? >> 8, 0, "seed $seed: no rule was broken, nothing that was due forgotten");
	diag($said) if $?;
	note($said);
	$node->safe_psql('postgres', "DROP DATABASE seed_$seed");
}
$node->stop;
done_testing();
