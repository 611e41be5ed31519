# The REST API of staff over real HTTP: every route of its OpenAPI document, and what each
# refuses; the examples of the README.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('routes');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nlisten_addresses = '127.0.0.1'\npassword_encryption = 'scram-sha-256'\ntimezone = 'UTC'\n");
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
$node->start;
connect_to($node, 'routes');
$node->safe_psql('postgres', 'CREATE DATABASE routes');
python_tests('routes.py');
done_testing();
