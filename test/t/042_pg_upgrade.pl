# pg_upgrade, as far as one version of the server can show it: the same
# programs on both sides. It keeps the oids of roles, but the new cluster has
# another identity, so members count again only after setup().
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Deployment;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = new_node('old');
make_roles($old);
fill($old, 'shop');
my $wanted = fingerprint($old, 'shop');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', "fsync = off\njit = off\ntimezone = 'UTC'\n");

my ($bin) = run_command([ 'pg_config', '--bindir' ]);
# it writes into its working folder
chdir PostgreSQL::Test::Utils::tempdir() or die $!;
command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin, '-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
same('everything is there', $wanted, fingerprint($new, 'shop'));

my ($code, $out, $err) = $new->psql('shop', q{SET ROLE web_north; SELECT incomplete_orders.capture_cart('s3', '[]')});
like($err, qr/no such shop/, 'before setup() nobody is a member');
$new->safe_psql('shop', 'SELECT incomplete_orders.setup()');
my $id = $new->safe_psql('shop', q{SELECT id FROM incomplete_orders.open_orders WHERE session_id = 's3'});
is($new->safe_psql('shop', q{SET ROLE web_north; SELECT incomplete_orders.capture_cart('s3', '[{"sku":"Z","quantity":1,"unit_price":1}]')}), $id, 'a capture continues the open order');
is($new->safe_psql('shop', q{SET ROLE web_south; SELECT count(c.order_id) FROM incomplete_orders.capture_cart('new', '[{"sku":"Z","quantity":1,"unit_price":1}]') AS id, incomplete_orders.convert_order(id) c}),
	'1', 'and a conversion makes an order');
$new->stop;
chdir '/';
done_testing();
