# What a shop's page may do over HTTP, with the extension itself: carts by session,
# consent, CORS, limits, and what another shop, another visitor or a forger gets.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('page');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
connect_to($node, 'postgres');
$node->safe_psql('postgres', q{CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();
	CREATE ROLE zq_sidecar LOGIN; CREATE ROLE zq_other LOGIN; SELECT incomplete_orders.grant_to('zq_other', 'sender'); SELECT incomplete_orders.grant_to('zq_sidecar', 'app');
	SELECT incomplete_orders.create_shop('lamps', 'Lamps', 'EUR'), incomplete_orders.create_shop('books', 'Books', 'EUR'), incomplete_orders.create_shop('shut', 'Shut');
	SELECT incomplete_orders.configure_shop('lamps', '{"allowed_origins": ["https://lamps.example", "http://localhost:3000"], "page_prices": "accept", "consent_rule": "strict"}');
	SELECT incomplete_orders.configure_shop('books', '{"allowed_origins": ["https://books.example"], "consent_rule": "none"}');
	SELECT incomplete_orders.rotate_publishable_key(s) FROM unnest('{lamps,books}'::text[]) s});
$ENV{ICO_SUPERUSER} = $node->connstr('postgres');
$ENV{SIDECAR_ROLE} = 'zq_sidecar';
delete $ENV{PGUSER};
python_tests('097_page.py');
$node->stop;
done_testing();
