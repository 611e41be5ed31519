-- The columns of the events are final: every figure of every report has its
-- source among them.  The tail has what a report reads before it is folded.
\set QUIET on
BEGIN;
SELECT plan(3);

CREATE TEMP TABLE sources (report text, figure text, columns text[]);
INSERT INTO sources VALUES
	('statistics', 'total, converted, converted_value by the day of creation', '{shop_id,event,created_at,currency,value,bot}'),
	('statistics', 'pending, payment_pending, payment_failed, abandoned, expired, dismissed', '{event,status_before,episode}'),
	('statistics', 'abandoned_value, lost_value', '{event,value,abandoned_at,currency}'),
	('statistics', 'recovered, assisted, unaided, direct', '{root_id,episode,event,at,abandoned_at,machine,paid_amount}'),
	('statistics', 'recovered_value, net of refunds and coupons', '{paid_amount,refund_amount,coupon_cost,currency}'),
	('statistics', 'recovery_attempts, messages_sent', '{event,campaign,step}'),
	('statistics', 'conversion, abandonment, checkout abandonment and recovery rate', '{event,created_at,abandoned_at,furthest_step,bot}'),
	('statistics', 'average_days_to_abandon, time to recover', '{created_at,abandoned_at,at}'),
	('statistics', 'lift, lift_low, lift_high: by person, from person_arms and person_orders; what was drawn', '{holdout,event}'),
	('statistics', 'recoverable', '{event,reason_code,abandoned_at,currency}'),
	('statistics_of_bots', 'all', '{event,created_at,currency,value,bot}'),
	('statistics_by_recovery_time', 'paid - abandoned_at', '{abandoned_at,at,paid_amount}'),
	('statistics_by_day', 'all', '{at,created_at}'),
	('statistics_by_hour', 'hour of the week', '{at}'),
	('statistics_by_value', 'bucket', '{value,currency}'),
	('statistics_by_step', 'step', '{furthest_step}'),
	('statistics_by_reason', 'reason', '{reason_code}'),
	('statistics_by_device', 'device', '{device}'),
	('statistics_by_source', 'source', '{source}'),
	('statistics_by_product', 'product, through the order''s lines', '{shop_id,order_id,event}'),
	('statistics_by_campaign', 'campaign, step, variant; queued to converted; revenue, coupon cost',
		'{campaign,step,variant,event,machine,paid_amount,refund_amount,coupon_cost}'),
	('statistics_by_cohort', 'week of abandonment, maturity', '{abandoned_at,at,paid_amount}'),
	('statistics_by_cohort_age', 'week of abandonment, paid - abandoned_at', '{abandoned_at,at,paid_amount}'),
	('funnel', 'furthest step reached', '{furthest_step,event}');

SELECT is_empty($$
	SELECT s.report, s.figure, c.name FROM sources s, unnest(s.columns) AS c (name)
	WHERE NOT EXISTS (SELECT FROM information_schema.columns i
		WHERE i.table_schema = 'incomplete_orders' AND i.table_name = 'order_events' AND i.column_name = c.name)
$$, 'every figure has its source in order_events');
SELECT is_empty($$
	SELECT s.report, s.figure, c.name FROM sources s, unnest(s.columns) AS c (name)
	WHERE NOT EXISTS (SELECT FROM information_schema.columns i
		WHERE i.table_schema = 'incomplete_orders' AND i.table_name = 'order_event_tail' AND i.column_name = c.name)
$$, 'and in order_event_tail, until it is folded');
SELECT is_empty($$
	SELECT t.column_name, t.data_type FROM information_schema.columns t
	LEFT JOIN information_schema.columns e ON e.table_schema = t.table_schema AND e.table_name = 'order_events'
		AND e.column_name = t.column_name AND e.udt_name = t.udt_name
	WHERE t.table_schema = 'incomplete_orders' AND t.table_name = 'order_event_tail' AND e.column_name IS NULL
$$, 'the tail is a narrower copy: same names, same types');

SELECT * FROM finish();
ROLLBACK;
