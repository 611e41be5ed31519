# Every way of dump and restore brings back the same rows, sequences, rights,
# triggers and what the user added, and nothing is queued or written on the way.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Deployment;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('source');
my $dir = PostgreSQL::Test::Utils::tempdir();

make_roles($node);
fill($node, 'source');
# some events are folded, and told to a webhook, others wait
$node->safe_psql('source', q{SELECT incomplete_orders.configure_webhook('crm', 'https://crm.example/', shop => s.shop, at => '2020-01-01') FROM incomplete_orders.shops s;
	SELECT incomplete_orders._tick_fold((SELECT count(*) FROM incomplete_orders.order_event_tail)::integer - 3)});
like($node->safe_psql('source', 'SELECT count(*) FROM incomplete_orders.webhook_deliveries'), qr/^[1-9]/, 'something is queued for webhooks');
like($node->safe_psql('source', 'SELECT (SELECT count(*) FROM incomplete_orders.rollup_states), (SELECT count(*) FROM incomplete_orders.order_event_tail)'),
	qr/^[1-9]\d*\|[1-9]/, 'rollups and the tail have rows');
my $wanted = fingerprint($node, 'source');
my $draw = q{SELECT incomplete_orders._draw(1, 'holdout', 'c3@example.com')};
my $drawn = $node->safe_psql('source', $draw);
like($wanted->{rows}, qr/incomplete_orders.orders /, 'the fingerprint sees tables');
like($wanted->{triggers}, qr/^incomplete_orders.shops A .*_invalidate_cache/m, 'and ENABLE ALWAYS');
like($wanted->{rights}, qr/capture_cart.* web_north EXECUTE/, 'and rights');

my $made = 0;

# A new empty database.
sub target
{
	my $db = 'target' . ++$made;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	return $db;
}

sub dump_to
{
	my ($file, @options) = @_;
	$node->command_ok([ 'pg_dump', '--no-sync', '-f', "$dir/$file", @options, 'source' ], "pg_dump @options");
	return "$dir/$file";
}

sub restore
{
	my ($db, $file, @options) = @_;
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $db, @options, $file ], "pg_restore @options");
	return;
}

sub run_script
{
	my ($db, $file, @options) = @_;
	$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $db, '-f', $file, @options ], "psql @options");
	return;
}

# It works again: setup() changes nothing (or repairs what it must), the members
# have their rights, captures continue where they were, the invariants hold.
sub alive
{
	my ($n, $db, $name) = @_;

	$n->safe_psql($db, 'SELECT incomplete_orders.setup()');
	my $before = fingerprint($n, $db);
	$n->safe_psql($db, 'SELECT incomplete_orders.setup()');
	same("$name: a second setup() changes nothing", $before, fingerprint($n, $db));
	my $id = $n->safe_psql($db, q{SELECT id FROM incomplete_orders.open_orders WHERE session_id = 's3'});
	is($n->safe_psql($db, q{SET ROLE web_north; SELECT incomplete_orders.capture_cart('s3', '[{"sku":"Z","quantity":1,"unit_price":1}]')}),
		$id, "$name: a capture continues the open order");
	is($n->safe_psql($db, q{SET ROLE web_north; SELECT count(c.order_id) FROM incomplete_orders.capture_cart('new', '[{"sku":"Z","quantity":1,"unit_price":1}]') AS id, incomplete_orders.convert_order(id) c}),
		'1', "$name: a new order gets a new reference and number");
	my ($code, $out, $err) = $n->psql($db, q{SET ROLE web_north; SELECT incomplete_orders.capture_cart('s1', '[]', shop => 'south')});
	like($err, qr/no such shop/, "$name: rights of one shop only");
	($code, $out, $err) = $n->psql($db, q{DELETE FROM incomplete_orders.closed_orders WHERE status = 'converted'});
	like($err, qr/order .* is neither open nor closed/, "$name: the invariants hold");
	is($n->safe_psql($db, 'SELECT incomplete_orders._tick_fold(1000) > 0, incomplete_orders.rebuild_analytics()'), 't|0', "$name: each event is counted once");
	is($n->safe_psql($db, q{SELECT count(*) - count(DISTINCT (d.shop_id, d.event_id, d.event)) || ' ' || count(*) FILTER (WHERE d.event = 'converted')
		- (SELECT count(*) FROM incomplete_orders.order_events e WHERE e.event IN ('converted', 'partly_converted') AND NOT e.bot) FROM incomplete_orders.webhook_deliveries d}), '0 0',
		"$name: and queued for webhooks once");
	my ($restore, $unsubscribe) = split /\|/, $n->safe_psql($db, 'SELECT restore, unsubscribe FROM links');
	is($n->safe_psql($db, "SET ROLE web_north; SELECT order_id FROM incomplete_orders.preview_cart('$restore')"), $id, "$name: links that are out stay valid");
	is($n->safe_psql($db, q{SELECT incomplete_orders.suppress(' C3@Example.com', 'suppressed', 'north')}), 'f', "$name: who was suppressed is known by the address");
	is($n->safe_psql($db, "SET ROLE web_north; SELECT incomplete_orders.unsubscribe('$unsubscribe')"), 't', "$name: unsubscribing works");
	is($n->safe_psql($db, $draw), $drawn, "$name: who is held out and who gets which variant is drawn the same");
	return;
}

# --- in the same cluster -------------------------------------------------------
my $plain = dump_to('plain.sql', '-Fp');
my $custom = dump_to('custom.dump', '-Fc');
my $directory = dump_to('directory.dump', '-Fd', '-j2');
my $inserts = dump_to('inserts.sql', '--inserts');
my $schema_only = dump_to('schema.dump', '-Fc', '--schema-only');
my $data_only = dump_to('data.dump', '-Fc', '--data-only');
my $db;

$db = target();
run_script($db, $plain);
same('plain', $wanted, fingerprint($node, $db));
alive($node, $db, 'plain');

$db = target();
run_script($db, $plain, '--single-transaction');
same('plain in one transaction', $wanted, fingerprint($node, $db));

$db = target();
restore($db, $custom, '--single-transaction');
same('custom in one transaction', $wanted, fingerprint($node, $db));

$db = target();
restore($db, $directory, '-j2');
same('directory with two jobs', $wanted, fingerprint($node, $db));
alive($node, $db, 'directory');

$db = target();
restore($db, $custom, "--section=$_") for qw(pre-data data post-data);
same('three sections', $wanted, fingerprint($node, $db));

$db = target();
run_script($db, $inserts);
same('inserts', $wanted, fingerprint($node, $db));

# schema, then data: the triggers are there already
$db = target();
restore($db, $schema_only);
is($node->safe_psql($db, 'SELECT count(*) FROM incomplete_orders.shops'), '0', 'schema only: no rows');
restore($db, $data_only, '--disable-triggers');
my $origin = sub { my $t = shift; $t =~ s/^(incomplete_orders\.\w+) [AO] /$1 /gm; return $t };
same('schema, then data', $wanted, fingerprint($node, $db), triggers => $origin);
$node->safe_psql($db, 'SELECT incomplete_orders.setup()');
same('schema, then data, then setup(): ENABLE ALWAYS is back', $wanted, fingerprint($node, $db));
alive($node, $db, 'schema, then data');

# schema, then setup(): the seeds are there again and everything works
$db = target();
restore($db, $schema_only);
$node->safe_psql($db, 'SELECT incomplete_orders.setup()');
is($node->safe_psql($db, q{SELECT string_agg(shop, ' ') FROM incomplete_orders.shops}), 'default', 'schema only, then setup(): the seed is back');
is($node->safe_psql($db, q{SELECT count(c.order_id) FROM incomplete_orders.capture_cart('x', '[{"sku":"Z","quantity":1,"unit_price":1}]') AS id, incomplete_orders.convert_order(id) c}),
	'1', 'schema only, then setup(): capture and convert');
# ... and the data still fit in when what was made meanwhile is deleted
$node->safe_psql($db, q{BEGIN; SELECT incomplete_orders._allow_purge(); DELETE FROM incomplete_orders.orders; DELETE FROM incomplete_orders.order_items;
	DELETE FROM incomplete_orders.closed_orders; DELETE FROM incomplete_orders.order_events; DELETE FROM incomplete_orders.order_event_tail; DELETE FROM incomplete_orders.shops;
	DELETE FROM incomplete_orders.person_orders; DELETE FROM incomplete_orders.campaigns; DELETE FROM incomplete_orders.templates; DELETE FROM incomplete_orders.secret_keys; COMMIT;});
restore($db, $data_only, '--disable-triggers');
$node->safe_psql($db, 'SELECT incomplete_orders.setup()');
same('schema, setup(), then data', $wanted, fingerprint($node, $db));

# our schema alone needs the extension named, too
$db = target();
restore($db, dump_to('schema_of_ours.dump', '-Fc', '-n', 'incomplete_orders', '-e', 'incomplete_orders'));
my $ours = sub { join "\n", grep { !/^(?:public\.)?(?:carts|invoices|links|big)/ } split /\n/, shift };
same('one schema and the extension', $wanted, fingerprint($node, $db), relations => sub { '' }, map { $_ => $ours } qw(rows sequences columns constraints));

$db = 'clone';
$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE source");
same('template clone', $wanted, fingerprint($node, $db));
alive($node, $db, 'template clone');

# --- by a member of incomplete_orders_owner who is no superuser -----------------
$node->safe_psql('postgres', 'GRANT incomplete_orders_owner TO restorer');
$node->safe_psql('postgres', 'CREATE DATABASE restored OWNER restorer TEMPLATE template0');
$node->safe_psql('restored', 'CREATE EXTENSION incomplete_orders');
# the extension itself, and the comment on it, are a superuser's
my ($list, undef) = run_command([ 'pg_restore', '-l', $custom ]);
$list =~ s/^.*\b(?:EXTENSION|COMMENT - EXTENSION)\b.*\n//mg;
PostgreSQL::Test::Utils::append_to_file("$dir/list", $list);
{
	local $ENV{PGUSER} = 'restorer';
	restore('restored', $custom, '-L', "$dir/list");
}
same('by a member of the owner role', $wanted, fingerprint($node, 'restored'));
alive($node, 'restored', 'by a member of the owner role');

# --- --no-owner: the tables are not incomplete_orders_owner's, and setup() says so ---
$db = target();
restore($db, $custom, '--no-owner');
my ($code, $out, $err) = $node->psql($db, 'SELECT incomplete_orders.setup()');
like($err, qr/does not belong to "incomplete_orders_owner".*HINT/s, 'without owners setup() gives a clear error');

# --- --no-comments: the version is not known ------------------------------------
$db = target();
restore($db, $custom, '--no-comments');
($code, $out, $err) = $node->psql($db, 'SELECT incomplete_orders.setup()');
like($err, qr/does not carry its schema version.*--no-comments.*HINT.*COMMENT ON TABLE incomplete_orders.shops/s, 'without comments setup() gives a clear error');
my ($hint) = $err =~ /HINT:\s+(COMMENT ON TABLE .*?'), /;
$node->safe_psql($db, "$hint; SELECT incomplete_orders.setup()");
same('without comments, then what the hint says', $wanted, fingerprint($node, $db));

# --- into another cluster, where the roles have other oids ----------------------
$node->command_ok([ 'pg_dumpall', '--no-sync', '-f', "$dir/all.sql", '-l', 'postgres' ], 'pg_dumpall');
my $other = new_node('other');
$other->safe_psql('postgres', join ';', map { "CREATE ROLE filler$_" } 1 .. 20);
# the file makes roles and databases that are there already, so errors are not the end
$other->command_ok([ 'psql', '-Xq', '-d', 'postgres', '-f', "$dir/all.sql" ], 'restore of pg_dumpall');
same('another cluster', $wanted, fingerprint($other, 'source'));
isnt($other->safe_psql('source', q{SELECT oid FROM pg_roles WHERE rolname = 'web_north'}), $node->safe_psql('source', q{SELECT oid FROM pg_roles WHERE rolname = 'web_north'}), 'other oids');
($code, $out, $err) = $other->psql('source', q{SET ROLE web_north; SELECT incomplete_orders.capture_cart('s3', '[]', shop => 'north')});
like($err, qr/no such shop/, 'another cluster: before setup() nobody is a member');
alive($other, 'source', 'another cluster');
is($other->safe_psql('source', q{SELECT count(*) FROM incomplete_orders.shop_members m JOIN pg_roles r ON r.oid = m.role_oid AND r.rolname = m.role_name WHERE m.cluster_id = incomplete_orders._cluster_id()}),
	'3', 'another cluster: setup() found all members by name');

done_testing();
