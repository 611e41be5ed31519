# The API of `serve` under attack, over raw sockets, with the extension itself: what is
# no HTTP, what is slow, too large or too much, forged, of another shop or another person.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('attacks');
$node->init;
# Everything that reaches the server as SQL stands in its log, with its parameters apart.
$node->append_conf('postgresql.conf',
	"fsync = off\nautovacuum = off\nlisten_addresses = '127.0.0.1'\nlog_statement = 'all'\nlog_parameter_max_length = 200\npassword_encryption = 'scram-sha-256'\n");
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', "local all all trust\nhost all trusted 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
$node->start;
connect_to($node, 'attacks');
$node->safe_psql('postgres', 'CREATE DATABASE attacks');
$ENV{SERVER_LOG} = $node->logfile;
python_tests('attacks.py');
done_testing();
