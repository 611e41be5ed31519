# The extension's life: nothing prepared by others is taken over, nobody climbs
# through it, nothing is lost by accident, versions are told apart.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Deployment;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run;

my $node = new_node('extension');

sub fails
{
	my ($db, $sql, $error, $name) = @_;
	my ($code, undef, $err) = $node->psql($db, $sql, on_error_stop => 1);
	isnt($code, 0, "$name: fails");
	like($err, $error, $name);
	return;
}

sub database
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	return $db;
}

make_roles($node);

# --- what others prepared makes CREATE EXTENSION fail (CVE-2022-2625) -----------
my $db = database('prepared');
$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; GRANT CREATE ON DATABASE prepared TO mallory');
$node->safe_psql($db, 'SET ROLE mallory; CREATE SCHEMA incomplete_orders; CREATE TABLE incomplete_orders.shops (x text)');
fails($db, 'CREATE EXTENSION incomplete_orders', qr/schema "incomplete_orders" already exists/, 'a schema that somebody else made');
$node->safe_psql($db, 'DROP SCHEMA incomplete_orders CASCADE');
fails($db, 'SET ROLE mallory; CREATE EXTENSION incomplete_orders', qr/permission denied to create extension/, 'CREATE EXTENSION by no superuser');

$node->safe_psql('postgres', 'CREATE ROLE incomplete_orders_owner LOGIN');
fails($db, 'CREATE EXTENSION incomplete_orders', qr/role "incomplete_orders_owner" exists, and can log in or is a superuser.*HINT/s, 'an owner role that can log in');
$node->safe_psql('postgres', 'ALTER ROLE incomplete_orders_owner NOLOGIN SUPERUSER');
fails($db, 'CREATE EXTENSION incomplete_orders', qr/role "incomplete_orders_owner" exists, and can log in or is a superuser/, 'an owner role that is a superuser');
$node->safe_psql('postgres', 'ALTER ROLE incomplete_orders_owner NOSUPERUSER');
# functions and operators in front of the installer's search_path
$node->safe_psql($db, q{
	CREATE SCHEMA trap;
	CREATE FUNCTION trap.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
	CREATE FUNCTION trap.starts_with(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
	CREATE FUNCTION trap.eq(name, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
	CREATE OPERATOR trap.= (LEFTARG = name, RIGHTARG = text, FUNCTION = trap.eq);
	CREATE FUNCTION trap.eq(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
	CREATE OPERATOR trap.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = trap.eq);
	CREATE FUNCTION trap.ne(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
	CREATE OPERATOR trap.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.ne);
	GRANT USAGE ON SCHEMA trap TO PUBLIC;});
$node->safe_psql($db, 'SET search_path = trap, pg_catalog, public; CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup(); SELECT incomplete_orders.setup()');
pass('CREATE EXTENSION and setup() look at no search_path');

# --- the tables belong to the owner role whoever calls setup(), and it climbs no further ---
$db = database('climb');
$node->safe_psql('postgres', 'CREATE ROLE dba LOGIN IN ROLE incomplete_orders_owner');
$node->safe_psql($db, 'CREATE EXTENSION incomplete_orders');
$node->safe_psql($db, 'SET ROLE dba; SELECT incomplete_orders.setup()');
is($node->safe_psql($db, q{SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'incomplete_orders'::regnamespace}),
	'incomplete_orders_owner', 'whoever calls setup(), the owner role owns');
is($node->safe_psql($db, q{SELECT DISTINCT proowner::regrole FROM pg_proc WHERE pronamespace = 'incomplete_orders'::regnamespace AND prosecdef}),
	'incomplete_orders_owner', 'and the SECURITY DEFINER functions');
# A member of the owner role puts a trigger on a table: it runs as the owner role, which is no superuser.
$node->safe_psql($db, q{SELECT incomplete_orders.grant_to('web_north', 'app'); CREATE TABLE public.seen (who text, super boolean, what text); GRANT INSERT ON public.seen TO PUBLIC;
	GRANT CREATE ON SCHEMA public TO dba;});
$node->safe_psql($db, q{SET ROLE dba;
	CREATE FUNCTION public.climb() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE what text := 'climbed';
	BEGIN
		BEGIN EXECUTE 'ALTER ROLE dba SUPERUSER'; EXCEPTION WHEN insufficient_privilege THEN what := 'refused'; END;
		INSERT INTO public.seen SELECT current_user, rolsuper, what FROM pg_catalog.pg_roles WHERE rolname = current_user;
		RETURN NEW;
	END $$;
	CREATE TRIGGER climb BEFORE INSERT ON incomplete_orders.open_orders FOR EACH ROW EXECUTE FUNCTION public.climb();});
$node->safe_psql($db, q{SET ROLE web_north; SELECT incomplete_orders.capture_cart('x', '[{"sku":"A","quantity":1,"unit_price":1}]')});
$node->safe_psql($db, q{SELECT incomplete_orders.capture_cart('y', '[{"sku":"A","quantity":1,"unit_price":1}]')});
is($node->safe_psql($db, 'SELECT DISTINCT who, super, what FROM public.seen'), 'incomplete_orders_owner|f|refused', 'a trigger of a member gains nothing, not even from a superuser\'s call');
is($node->safe_psql($db, 'SELECT count(*) FROM public.seen'), '2', 'and it did run');
fails($db, 'SET ROLE dba; CREATE TRIGGER t AFTER INSERT ON pg_catalog.pg_class FOR EACH ROW EXECUTE FUNCTION public.climb()', qr/permission denied/, 'the catalog is out of reach');
# who is not a member cannot even put one there
fails($db, 'SET ROLE web_north; CREATE TRIGGER t AFTER INSERT ON incomplete_orders.open_orders FOR EACH ROW EXECUTE FUNCTION public.climb()', qr/permission denied/, 'no trigger of a shop\'s role');
fails($db, 'SET ROLE web_north; CREATE FUNCTION incomplete_orders.x() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$', qr/permission denied for schema/, 'no function of a shop\'s role in our schema');
fails($db, 'SET ROLE web_north; SELECT incomplete_orders.setup()', qr/permission denied for function setup/, 'setup() by a stranger');

# --- not lost by accident -------------------------------------------------------
fill($node, 'life');
$db = 'life';
my $before = fingerprint($node, $db);
fails($db, 'DROP EXTENSION incomplete_orders', qr/other objects depend on it/, 'DROP EXTENSION');
fails($db, 'DROP SCHEMA incomplete_orders CASCADE', qr/extension incomplete_orders requires it/, 'DROP SCHEMA of ours');
fails($db, 'ALTER EXTENSION incomplete_orders SET SCHEMA public', qr/does not support SET SCHEMA/, 'ALTER EXTENSION SET SCHEMA');
fails($db, 'DROP ROLE incomplete_orders_owner', qr/cannot be dropped/, 'DROP ROLE of the owner');
same('nothing happened', $before, fingerprint($node, $db));
$node->safe_psql($db, 'DROP TABLE invoices, carts; DROP VIEW big');
$before = $node->safe_psql($db, q{SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM unnest(ARRAY['default', 'north', 'south']) s, incomplete_orders.export_shop(s) e});
$node->safe_psql($db, 'DROP SCHEMA public CASCADE');
is($node->safe_psql($db, q{SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM unnest(ARRAY['default', 'north', 'south']) s, incomplete_orders.export_shop(s) e}),
	$before, 'DROP SCHEMA public CASCADE takes nothing of ours');
is($node->safe_psql($db, q{SELECT incomplete_orders.capture_cart('z', '[]') IS NOT NULL}), 't', 'and everything works');

# --- versions -------------------------------------------------------------------
my $comment = $node->safe_psql($db, q{SELECT obj_description('incomplete_orders.shops'::regclass, 'pg_class')});
$node->safe_psql($db, q{COMMENT ON TABLE incomplete_orders.shops IS 'Shops (schema version 999)'});
fails($db, 'SELECT incomplete_orders.setup()', qr/schema version 999, newer than this extension's.*HINT:\s+ALTER EXTENSION incomplete_orders UPDATE/s, 'tables that are newer than the extension');
$node->safe_psql($db, q{COMMENT ON TABLE incomplete_orders.shops IS 'my shops'});
fails($db, 'SELECT incomplete_orders.setup()', qr/does not carry its schema version/, 'a comment that somebody overwrote');
$node->safe_psql($db, "COMMENT ON TABLE incomplete_orders.shops IS '$comment'; SELECT incomplete_orders.setup()");
pass('the comment again, and setup() works');

# --- two calls of setup() at the same time ---------------------------------------
$db = database('twice');
$node->safe_psql($db, 'CREATE EXTENSION incomplete_orders');
my @out;
my @running = map {
	my $n = $_;
	$out[$n] = '';
	IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-c', 'SELECT incomplete_orders.setup()' ], '>', \my $o, '2>', \$out[$n]);
} 0 .. 3;
$_->finish for @running;
is(join('', @out), '', 'four calls of setup() at once all succeed');
is($node->safe_psql($db, 'SELECT count(*) FROM incomplete_orders.shops'), '1', 'and make one shop');

# --- a shop that is deleted while it is captured into ------------------------------
$db = 'climb';
$node->safe_psql($db, 'DROP TRIGGER climb ON incomplete_orders.open_orders');
for my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	$node->safe_psql($db, q{SELECT incomplete_orders.create_shop('gone', 'Gone')});
	my $in = "BEGIN; SELECT count(*) FROM incomplete_orders.delete_shop('gone', false);\n";
	my ($seen, $errors, $late) = ('', '', '');
	my $deleter = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($db) ], '<', \$in, '>', \$seen, '2>', \$errors);
	$deleter->pump until $seen =~ /\d/ or $errors;
	my $capturer = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($db), '-c', "BEGIN ISOLATION LEVEL $level", '-c',
			q{SELECT incomplete_orders.capture_cart('late', '[{"sku":"A","quantity":1,"unit_price":1}]', shop => 'gone')}, '-c', 'COMMIT' ], '>', \my $o, '2>', \$late);
	$node->poll_query_until($db, q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted}) or die 'the capture does not wait';
	$in .= "COMMIT;\n\\q\n";
	$deleter->finish;
	$capturer->finish;
	is($errors, '', "$level: the shop is deleted");
	like($late, qr/belongs to a shop that does not exist/, "$level: the capture that waited for it is refused");
	is($node->safe_psql($db, q{SELECT count(*) FROM incomplete_orders.open_orders WHERE session_id = 'late'}), '0', "$level: and leaves no row");
}
$node->stop;
done_testing();
