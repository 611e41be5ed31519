# A shop with tables of its own, for the tests of marks: a version of each cart
# that every write moves on, and what a reader of the marks has seen of it.
package Shop;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(shop_tables shop_reader attach_shop missed);

# On the side that may not know us.
sub shop_tables
{
	my ($node, $db, $carts) = @_;
	$node->safe_psql($db, <<"SQL");
CREATE TABLE cart (id integer PRIMARY KEY, email text, currency text NOT NULL DEFAULT 'EUR', version integer NOT NULL DEFAULT 0, done boolean NOT NULL DEFAULT false);
CREATE TABLE line (junk text, id bigserial PRIMARY KEY, cart integer REFERENCES cart, sku text NOT NULL DEFAULT 'A', quantity integer NOT NULL DEFAULT 1, price integer NOT NULL DEFAULT 100);
ALTER TABLE line DROP COLUMN junk;
INSERT INTO cart SELECT i, 'c' || i || '\@example.com' FROM generate_series(1, $carts) i;
SQL
	return;
}

sub attach_shop
{
	my ($node, $db, $more) = @_;
	$more //= '';
	$node->safe_psql($db, <<"SQL");
SELECT * FROM incomplete_orders.attach('own', mapping => '{"cart": {"table": "cart", "id": "id", "email": "email", "currency": "currency"},
	"lines": {"table": "line", "id": "id", "cart": "cart", "sku": "sku", "name": "sku", "quantity": "quantity", "unit_price": "price"},
	"money": "minor", "completed": "cart.done" $more}');
SQL
	return;
}

# read_marks() is what tick does, without the settle time: it takes over the marks and looks at the carts.
sub shop_reader
{
	my ($node, $db) = @_;
	$node->safe_psql($db, <<'SQL');
CREATE TABLE seen (id integer PRIMARY KEY, version integer);
CREATE PROCEDURE read_marks(rotate boolean DEFAULT true) LANGUAGE plpgsql AS $$
DECLARE
	keys text[];
BEGIN
	FOR i IN 0 .. 3 LOOP
		PERFORM incomplete_orders._tick_marks(i, rotate);
		COMMIT;
	END LOOP;
	WITH d AS (DELETE FROM incomplete_orders.due_carts RETURNING key) SELECT array_agg(key) INTO keys FROM d;
	COMMIT;
	INSERT INTO seen SELECT c.id, c.version FROM cart c WHERE c.id::text = ANY (keys) OR '' = ANY (keys)
	ON CONFLICT (id) DO UPDATE SET version = excluded.version;
	COMMIT;
	-- as if a minute had passed: partitions are emptied as soon as they rest
	IF rotate THEN
		UPDATE incomplete_orders.cart_mark_progress SET drained_at = drained_at - interval '2 minutes';
		COMMIT;
	END IF;
END
$$;
CALL read_marks();
SQL
	return;
}

# Carts whose last version nobody was told of.
sub missed
{
	my ($node, $db) = @_;
	return $node->safe_psql($db, 'SELECT count(*) FROM cart c LEFT JOIN seen s USING (id) WHERE s.version IS DISTINCT FROM c.version');
}

1;
