# Staff on the admin's pages: signing in with a cookie, what a cookie is good for and for
# how long; and the files that the pages are.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('session');
$node->init;
# All that the program says is in the server's log.
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_connections = 60\nlog_statement = all\nlog_parameter_max_length = -1\n");
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', "local all +asked scram-sha-256\nlocal all all trust\n");
$node->start;
connect_to($node, 'postgres');

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION incomplete_orders;
SELECT incomplete_orders.setup();
SELECT incomplete_orders.create_shop('books', 'Books');
CREATE ROLE asked;
CREATE ROLE clock LOGIN;
SELECT incomplete_orders.grant_to('clock', 'sender');
CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE "jürgen" LOGIN PASSWORD 'p:ä ß"\' IN ROLE asked;
CREATE ROLE needle LOGIN PASSWORD 'the-haystack-has-4711-needles' IN ROLE asked;
CREATE ROLE bookworm LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE reports LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE twofold LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE webshop LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE nobody LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE trusted LOGIN PASSWORD 'secret';
CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE gone NOLOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE crowd LOGIN PASSWORD 'secret' CONNECTION LIMIT 0 IN ROLE asked;
CREATE ROLE changing LOGIN PASSWORD 'first' IN ROLE asked;
CREATE ROLE leaving LOGIN PASSWORD 'secret' IN ROLE asked;
SELECT incomplete_orders.grant_to(r, 'admin') FROM unnest('{ann,jürgen,needle,changing,leaving,trusted,crowd}'::text[]) r;
SELECT incomplete_orders.grant_to('bookworm', 'admin', 'books'), incomplete_orders.grant_to('reports', 'analyst'), incomplete_orders.grant_to('webshop', 'app'),
	incomplete_orders.grant_to('twofold', 'admin', 'books'), incomplete_orders.grant_to('twofold', 'analyst', 'default');
SELECT count(incomplete_orders.capture_cart('s' || i, '[{"sku":"A","name":"Tea","quantity":1,"unit_price":"10.50"}]')) FROM generate_series(1, 5) i;
SQL

$ENV{ICO_SUPERUSER} = $node->connstr('postgres');
$ENV{ICO_SERVER_LOG} = $node->logfile;
delete $ENV{PGUSER};
$ENV{ICO_TRUSTED_USER} = 'clock';
# 104_session_mutants.pl asks for one of them.
python_tests("103_$_.py") for $ENV{SESSION_PART} || qw(session admin_files);
$node->stop;
done_testing();
