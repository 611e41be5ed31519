# The REST API's core: who may log in, what is a request, what is said of errors, what is
# counted; and incomplete-orders run.  Asked with Python's own client and over bare sockets.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('rest_core');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_connections = 60\nlisten_addresses = '127.0.0.1'\n");
# Who is asked for a password, and who is not.
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', "local all +asked scram-sha-256\nlocal all +plainly password\nlocal all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
$node->start;
connect_to($node, 'postgres');

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION incomplete_orders;
SELECT incomplete_orders.setup();
SELECT incomplete_orders.create_shop('books', 'Books');
CREATE ROLE asked; CREATE ROLE plainly;
CREATE ROLE clock LOGIN;
SELECT incomplete_orders.grant_to('clock', 'sender');
CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE "jürgen" LOGIN PASSWORD 'p:ä ß"\' IN ROLE asked;
CREATE ROLE plain LOGIN PASSWORD 'secret' IN ROLE plainly;
CREATE ROLE bookworm LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE reports LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE webshop LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE nobody LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE trusted LOGIN PASSWORD 'secret';
CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE gone NOLOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE crowd LOGIN PASSWORD 'secret' CONNECTION LIMIT 0 IN ROLE asked;
CREATE ROLE changing LOGIN PASSWORD 'first' IN ROLE asked;
CREATE ROLE slow LOGIN PASSWORD 'secret' IN ROLE asked;
CREATE ROLE hasty LOGIN PASSWORD 'secret' IN ROLE asked;
ALTER ROLE slow SET statement_timeout = '300ms';
ALTER ROLE hasty SET lock_timeout = '100ms';
SELECT incomplete_orders.grant_to(r, 'admin') FROM unnest('{ann,jürgen,plain,changing,trusted,slow,hasty,crowd}'::text[]) r;
SELECT incomplete_orders.grant_to('bookworm', 'admin', 'books'), incomplete_orders.grant_to('reports', 'analyst'), incomplete_orders.grant_to('webshop', 'app');
SELECT count(incomplete_orders.capture_cart('s' || i, '[{"sku":"A","name":"Tea","quantity":1,"unit_price":"10.50"}]',
	email => 'c' || i || '@example.com', shop => CASE WHEN i > 40 THEN 'books' ELSE 'default' END)) FROM generate_series(1, 45) i;
SQL

$ENV{ICO_SUPERUSER} = $node->connstr('postgres');
delete $ENV{PGUSER};
$ENV{ICO_TRUSTED_USER} = 'clock';
# 101_rest_mutants.pl asks for one of them.
python_tests("100_$_.py") for $ENV{REST_PART} || qw(rest_logins rest_core run);
$node->stop;
done_testing();
