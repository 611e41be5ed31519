# What the deployment tests share: a server, a database with a bit of everything
# in it, and a fingerprint of all that dump and restore must bring back.
package Deployment;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_node make_roles fill fingerprint same);

sub new_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', "fsync = off\njit = off\ntimezone = 'UTC'\n");
	$node->start;
	return $node;
}

# web_*: programs of a shop; staff: of all shops; restorer: owns the user's tables, and is no superuser.
sub make_roles
{
	my ($node) = @_;
	$node->safe_psql('postgres', 'CREATE ROLE web_north LOGIN; CREATE ROLE web_south LOGIN; CREATE ROLE staff LOGIN; CREATE ROLE restorer LOGIN');
	return;
}

# Shops, members, orders in every state and what a user adds to the tables.
sub fill
{
	my ($node, $db) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	$node->safe_psql($db, <<'SQL');
CREATE EXTENSION incomplete_orders;
SELECT incomplete_orders.setup();
SELECT incomplete_orders.create_shop('north', 'North', 'EUR', 'Europe/Oslo'), incomplete_orders.create_shop('south', 'South');
SELECT incomplete_orders.configure_shop('north', '{"cut_off": "45 minutes", "exclusions": {"bots": true}, "allowed_origins": ["https://north.example"]}');
SELECT incomplete_orders.grant_to('web_north', 'app', 'north'), incomplete_orders.grant_to('staff', 'admin'), incomplete_orders.grant_to('web_south', 'app', 'south');

SELECT count(incomplete_orders.capture_cart('s' || i, '[{"sku":"A","name":"Ünï","quantity":2,"unit_price":"19.90"},{"sku":"B","quantity":1,"unit_price":5}]',
	email => CASE WHEN i % 2 = 0 THEN 'c' || i || '@example.com' END, address => '{"city": "Oslo"}', context => '{"device": "phone", "extra": [1, null]}',
	shop => CASE i % 3 WHEN 0 THEN 'north' WHEN 1 THEN 'south' ELSE 'default' END)) FROM generate_series(1, 90) i;
SELECT count(c.order_id) FROM incomplete_orders.open_orders o, incomplete_orders.convert_order(o.id) c WHERE right(o.session_id, 1) IN ('1', '2');
SELECT count(incomplete_orders.add_note(id, 'a note')) FROM incomplete_orders.open_orders WHERE right(session_id, 1) = '3';
SELECT count(incomplete_orders.edit_order(id, '{"name": "Edited"}', version)) FROM incomplete_orders.open_orders WHERE right(session_id, 1) = '4';
SELECT count(incomplete_orders.dismiss_order(id, 'test')) FROM incomplete_orders.open_orders WHERE right(session_id, 1) = '5';
SELECT count(incomplete_orders.mark_payment_pending(id, 'ref-1', now() + interval '1 day')) FROM incomplete_orders.open_orders WHERE right(session_id, 1) = '6';
SELECT count(c.order_id) FROM incomplete_orders.open_orders o,
	incomplete_orders.convert_order(o.id, '[{"sku":"B","quantity":1,"unit_price":5}]', idempotency_key => 'part') c WHERE right(o.session_id, 1) = '7';
SELECT count(incomplete_orders.record_refund(order_id, 1, 'key')) FROM incomplete_orders.orders WHERE paid AND part = 1 AND shop_id = 1;
SELECT count(r.order_id) FROM generate_series(1, 3) i, incomplete_orders.record_order('erp-' || i, total => 10, currency => 'USD') r;
-- a message that went out, its links, and who wants no more of them
INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, order_id, root_id, episode, step, message_type, template, recipient, queued_at, give_up_at, sent_at)
SELECT shop_id, incomplete_orders._new_id(shop_id), now(), 'sent', id, id, 1, 1, 'abandoned_cart', 'cart_abandoned', 'c3@example.com', now(), now() + interval '5 days', now()
FROM incomplete_orders.open_orders WHERE session_id = 's3';
SELECT incomplete_orders.rotate_link_key();
CREATE TABLE links AS SELECT m.id, t.restore, t.unsubscribe FROM incomplete_orders.messages m, incomplete_orders._link_tokens(m.id, now()) t;
SELECT incomplete_orders.rotate_link_key(), incomplete_orders.suppress('c3@example.com', 'complaint', 'north');

-- the user's own: columns, an index on a function of the type, a foreign key, a view, a trigger
ALTER TABLE incomplete_orders.open_orders ADD COLUMN warehouse text DEFAULT 'main';
ALTER TABLE incomplete_orders.orders ADD COLUMN erp_number integer;
UPDATE incomplete_orders.orders SET erp_number = part;
CREATE INDEX open_orders_total ON incomplete_orders.open_orders (incomplete_orders.total(items)) WHERE warehouse = 'main';
CREATE TABLE invoices (id serial PRIMARY KEY, shop_id integer, order_id uuid, FOREIGN KEY (shop_id, order_id) REFERENCES incomplete_orders.orders);
INSERT INTO invoices (shop_id, order_id) SELECT shop_id, order_id FROM incomplete_orders.orders;
CREATE VIEW big AS SELECT id, total FROM incomplete_orders.incomplete_orders WHERE total > 10;
CREATE TABLE carts (id integer PRIMARY KEY, items incomplete_orders.line_items, CHECK (incomplete_orders.item_count(items) < 1000));
INSERT INTO carts VALUES (1, '[{"sku":"A","quantity":3,"unit_price":"0.000001","gift":true}]');
CREATE UNIQUE INDEX ON carts (items);
GRANT SELECT ON incomplete_orders.orders TO staff;
ALTER TABLE invoices OWNER TO restorer;
ALTER TABLE links OWNER TO restorer;
ALTER VIEW big OWNER TO restorer;
ALTER TABLE carts OWNER TO restorer;
SQL
	return;
}

# Parts of the fingerprint by name, so that a failure says what differs.
my %parts = (
	rows => q{SELECT string_agg(format('%s %s', t, md5(x)), E'\n' ORDER BY t) FROM (
		SELECT format('%I.%I', n.nspname, c.relname) AS t, (xpath('/table/row/r/text()', query_to_xml(format(
			'SELECT md5(string_agg(t::text, E''\n'' ORDER BY t::text)) || count(*) AS r FROM %I.%I t', n.nspname, c.relname), false, false, '')))[1]::text AS x
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('incomplete_orders', 'public')) s},
	sequences => q{SELECT string_agg(format('%s %s', c.relname, (xpath('/table/row/r/text()', query_to_xml(format(
			'SELECT format(''%%s %%s'', last_value, is_called) AS r FROM %I.%I', n.nspname, c.relname), false, false, '')))[1]), E'\n' ORDER BY c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND n.nspname IN ('incomplete_orders', 'public')},
	columns => q{SELECT string_agg(format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)), E'\n' ORDER BY c.relname, a.attname)
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE c.relnamespace IN ('incomplete_orders'::regnamespace, 'public'::regnamespace) AND a.attnum > 0 AND NOT a.attisdropped},
	relations => q{SELECT string_agg(format('%s %s %s %s %s %s', c.relname, c.relkind, c.relowner::regrole, c.reloptions, pg_get_expr(c.relpartbound, c.oid),
			CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid) END), E'\n' ORDER BY c.relname)
		FROM pg_class c WHERE c.relnamespace IN ('incomplete_orders'::regnamespace, 'public'::regnamespace)},
	constraints => q{SELECT string_agg(format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)), E'\n' ORDER BY conrelid::regclass::text, conname)
		FROM pg_constraint WHERE connamespace IN ('incomplete_orders'::regnamespace, 'public'::regnamespace)},
	triggers => q{SELECT string_agg(format('%s %s %s', tgrelid::regclass, tgenabled, pg_get_triggerdef(oid)), E'\n' ORDER BY tgrelid::regclass::text, tgname)
		FROM pg_trigger WHERE NOT tgisinternal},
	rights => q{SELECT string_agg(format('%s %s %s %s', x.name, pg_get_userbyid(a.grantee), a.privilege_type, pg_get_userbyid(a.grantor)), E'\n' ORDER BY x.name, pg_get_userbyid(a.grantee), a.privilege_type)
		FROM (SELECT oid::regprocedure::text AS name, coalesce(proacl, acldefault('f', proowner)) AS acl FROM pg_proc WHERE pronamespace = 'incomplete_orders'::regnamespace
			UNION ALL SELECT relname, coalesce(relacl, acldefault('r', relowner)) FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND relnamespace = 'incomplete_orders'::regnamespace) x, LATERAL aclexplode(x.acl) a},
	comments => q{SELECT string_agg(format('%s %s', c.relname, d.description), E'\n' ORDER BY c.relname) FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
		WHERE c.relnamespace = 'incomplete_orders'::regnamespace},
	extension => q{SELECT extversion || extnamespace::regnamespace FROM pg_extension WHERE extname = 'incomplete_orders'},
);

sub fingerprint
{
	my ($node, $db) = @_;
	my %found;

	for my $part (sort keys %parts)
	{
		$found{$part} = $node->safe_psql($db, "SET search_path = pg_catalog; $parts{$part}");
	}
	return \%found;
}

# same(NAME, WANTED, FOUND, PART => CODE ...): one test; CODE changes a part of both before they are compared
sub same
{
	my ($name, $wanted, $found, %change) = @_;
	my @differ;

	for my $part (sort keys %parts)
	{
		my ($w, $f) = map { $change{$part} ? $change{$part}->($_->{$part}) : $_->{$part} } $wanted, $found;
		next if $w eq $f;
		push @differ, $part;
		my %w = map { $_ => 1 } split /\n/, $w;
		my %f = map { $_ => 1 } split /\n/, $f;
		my @lines = ((map { "missing: $_" } grep { !$f{$_} } sort keys %w), (map { "too many: $_" } grep { !$w{$_} } sort keys %f));
		diag("$name: $part: $_") for splice @lines, 0, 6;
	}
	ok(!@differ, $name);
	return;
}

1;
