# Webhooks out: what is told to whom, whatever the other side does, with the extension
# itself and real HTTP servers; and that nothing is lost when send or the server is killed.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('webhooks');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nrestart_after_crash = on\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE hooks');
connect_to($node, 'hooks');
$ENV{PGDATA_OF_TEST} = $node->data_dir;
python_tests('webhooks.py');
done_testing();
