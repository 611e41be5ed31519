-- Lift: do those who may be mailed order more often than those who are held out?  By
-- person, as drawn: a person counts once, in the arm that was drawn first, when their
-- time to order is over, whatever was sent to them.

-- A row for each draw that is not counted yet and whose time is over; with persons
-- (keyed hashes): those of these persons, over or not.  Two transactions may have drawn
-- for one person at once: who has an older row for every key is none (persons 0).  most:
-- of each shop.
CREATE FUNCTION incomplete_orders._arms(shop_ids integer[], at timestamptz, persons bigint[], most integer)
RETURNS TABLE (shop_id integer, drawn_for uuid, day date, currency text, holdout boolean, persons integer, converted integer)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	SELECT d.shop_id, d.drawn_for, (d.drawn_at AT TIME ZONE s.time_zone)::date, d.currency, d.holdout, h.holds::integer, (h.holds AND c.converted)::integer
	FROM incomplete_orders.shops s
	CROSS JOIN LATERAL (
		SELECT DISTINCT ON (a.drawn_for) a.* FROM incomplete_orders.person_arms a
		WHERE a.shop_id = s.shop_id AND NOT a.counted
			AND a.drawn_at <= CASE WHEN $3 IS NULL THEN incomplete_orders._later(incomplete_orders._later($2, -s.attribution_window), interval '-3 days') ELSE 'infinity' END
			AND ($3 IS NULL OR a.drawn_for IN (SELECT k.drawn_for FROM incomplete_orders.person_arms k WHERE k.shop_id = s.shop_id AND k.person = ANY ($3)))
		ORDER BY a.drawn_for LIMIT $4
	) d
	CROSS JOIN LATERAL (
		SELECT EXISTS (SELECT FROM incomplete_orders.person_arms k WHERE k.shop_id = d.shop_id AND k.drawn_for = d.drawn_for
			AND NOT EXISTS (SELECT FROM incomplete_orders.person_arms o WHERE o.shop_id = k.shop_id AND o.person = k.person
				AND (o.assigned_at, o.holdout) < (k.assigned_at, k.holdout))) AS holds
	) h
	CROSS JOIN LATERAL (
		SELECT EXISTS (SELECT FROM incomplete_orders.person_arms k
			JOIN incomplete_orders.person_orders p ON p.shop_id = k.shop_id AND p.person = k.person
			WHERE k.shop_id = d.shop_id AND k.drawn_for = d.drawn_for AND p.ordered_at >= d.drawn_at
				AND p.ordered_at <= incomplete_orders._later(incomplete_orders._later(d.drawn_at, s.attribution_window), interval '3 days')) AS converted
	) c
	WHERE s.shop_id = ANY ($1)
$$;
ALTER FUNCTION incomplete_orders._arms(integer[], timestamptz, bigint[], integer) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._arms(integer[], timestamptz, bigint[], integer) IS
	'Persons by what was drawn for them and whether they ordered within the attribution window and three days, as far as they are not in rollup_arms';

-- Whoever marks a row counts its person: two at a time do not count anybody twice.
CREATE FUNCTION incomplete_orders._count_arms(shop_ids integer[], at timestamptz, persons bigint[], most integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	counted bigint;
BEGIN
	WITH a AS MATERIALIZED (
		SELECT * FROM incomplete_orders._arms(_count_arms.shop_ids, _count_arms.at, _count_arms.persons, _count_arms.most)
	), marked AS (
		UPDATE incomplete_orders.person_arms p SET counted = true FROM a
		WHERE p.shop_id = a.shop_id AND p.drawn_for = a.drawn_for AND NOT p.counted RETURNING p.drawn_for
	), added AS (
		INSERT INTO incomplete_orders.rollup_arms AS r (shop_id, day, currency, holdout, persons, converted)
		SELECT a.shop_id, a.day, a.currency, a.holdout, sum(a.persons), sum(a.converted) FROM a
		WHERE a.drawn_for IN (SELECT m.drawn_for FROM marked m) AND a.persons > 0
		GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
		ON CONFLICT (shop_id, day, currency, holdout) DO UPDATE SET persons = r.persons + excluded.persons, converted = r.converted + excluded.converted
	)
	SELECT count(DISTINCT m.drawn_for) INTO counted FROM marked m;
	RETURN counted;
END
$$;
ALTER FUNCTION incomplete_orders._count_arms(integer[], timestamptz, bigint[], integer) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._count_arms(integer[], timestamptz, bigint[], integer) IS
	'Adds to rollup_arms whose time to order is over, or, with persons, these before their keys are erased; most: of each shop; how many';

-- Wilson's score interval at 95 %.
CREATE FUNCTION incomplete_orders._wilson(part bigint, whole bigint, OUT low float8, OUT high float8)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT greatest(0, (c.p + c.z2 / (2 * c.n) - c.spread) / (1 + c.z2 / c.n)), least(1, (c.p + c.z2 / (2 * c.n) + c.spread) / (1 + c.z2 / c.n))
	FROM (
		SELECT b.*, sqrt(b.z2 * (b.p * (1 - b.p) + b.z2 / (4 * b.n)) / b.n) AS spread
		FROM (SELECT $1::float8 / $2 AS p, $2::float8 AS n, 1.959963984540054::float8 ^ 2 AS z2) b
	) c
$$;
COMMENT ON FUNCTION incomplete_orders._wilson(bigint, bigint) IS 'The 95 % score interval of a share';

-- Newcombe's hybrid score interval of the difference of two shares.
CREATE FUNCTION incomplete_orders._lift(treated bigint, treated_converted bigint, held_out bigint, held_out_converted bigint, shops bigint,
	OUT lift numeric, OUT lift_low numeric, OUT lift_high numeric, OUT reason text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p1 float8;
	p2 float8;
	w1 record;
	w2 record;
BEGIN
	IF shops > 1 THEN
		reason := 'several shops';
	ELSIF (treated >= 100 AND held_out >= 100) IS NOT TRUE THEN
		reason := 'not enough data';
	ELSE
		p1 := treated_converted::float8 / treated;
		p2 := held_out_converted::float8 / held_out;
		w1 := incomplete_orders._wilson(treated_converted, treated);
		w2 := incomplete_orders._wilson(held_out_converted, held_out);
		lift := round((p1 - p2)::numeric, 4);
		lift_low := round((p1 - p2 - sqrt((p1 - w1.low) ^ 2 + (w2.high - p2) ^ 2))::numeric, 4);
		lift_high := round((p1 - p2 + sqrt((w1.high - p1) ^ 2 + (p2 - w2.low) ^ 2))::numeric, 4);
	END IF;
END
$$;
COMMENT ON FUNCTION incomplete_orders._lift(bigint, bigint, bigint, bigint, bigint) IS
	'Share of the treated that ordered less that of those held out, with its 95 % interval; or why there is none: fewer than 100 persons in an arm, or several shops, whose shares held out may differ';

-- CTEs: arms, by currency, of the shops $1 and days $2 to before $3.
CREATE FUNCTION incomplete_orders._arms_report() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'arms AS MATERIALIZED (
			SELECT currency, sum(persons) FILTER (WHERE NOT holdout)::bigint AS treated, sum(converted) FILTER (WHERE NOT holdout)::bigint AS treated_converted,
				sum(persons) FILTER (WHERE holdout)::bigint AS held_out, sum(converted) FILTER (WHERE holdout)::bigint AS held_out_converted,
				count(DISTINCT shop_id) AS shops
			FROM (
				SELECT shop_id, day, currency, holdout, persons, converted FROM incomplete_orders.rollup_arms r WHERE r.shop_id = ANY ($1)
				UNION ALL SELECT shop_id, day, currency, holdout, persons, converted FROM incomplete_orders._arms($1, now(), NULL, NULL)
			) a WHERE a.day >= $2 AND a.day < $3 GROUP BY currency)'
$$;
COMMENT ON FUNCTION incomplete_orders._arms_report() IS 'The part of a report that counts persons by what was drawn for them';
