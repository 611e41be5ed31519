# What mail services tell: POST email-webhook/, signed by HMAC or by Amazon SNS, with the
# extension itself.  The messages of SNS are fixed (data/sns), so `serve` has their clock.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my ($library) = grep { -e } glob('/usr/lib/*/faketime/libfaketime.so.1 /usr/lib64/faketime/libfaketime.so.1 /usr/local/lib/faketime/libfaketime.so.1');
plan skip_all => 'libfaketime is not installed' unless $library;

my $node = PostgreSQL::Test::Cluster->new('events');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE events');
connect_to($node, 'events');
$ENV{FAKETIME_LIBRARY} = $library;
python_tests('mail_events.py');
done_testing();
