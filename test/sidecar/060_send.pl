# Sending: what becomes of a mail, whatever its server does.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('send');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
queue_database($node, 'sends');
connect_to($node, 'sends');
$ENV{PGDATA_OF_TEST} = $node->data_dir;
python_tests('060_send.py');
done_testing();
