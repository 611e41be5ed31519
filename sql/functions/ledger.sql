-- The ledger of a whole shop: why messages were not sent.

CREATE FUNCTION incomplete_orders._reasons() RETURNS TABLE (reason text, meaning text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('no_recipient', 'No e-mail address is known'),
		('bot', 'A robot, not a customer'),
		('empty', 'Nothing is left to buy'),
		('unsubscribed', 'The person unsubscribed'),
		('not_me', 'The person says that the cart is not theirs'),
		('hard_bounce', 'The address does not exist'),
		('complaint', 'The person called a mail spam'),
		('erased', 'The person was forgotten'),
		('suppressed', 'Staff suppressed the address'),
		('no_consent', 'The person did not agree (setting consent_rule)'),
		('excluded_address', 'The address is excluded (setting exclusions)'),
		('excluded_domain', 'The domain is excluded (setting exclusions)'),
		('excluded_customer', 'The customer is excluded (setting exclusions)'),
		('excluded_products', 'Only excluded products are left (setting exclusions)'),
		('excluded_value', 'Too little is left to buy (setting exclusions)'),
		('other_cart', 'The person has a better cart, which is mailed'),
		('cap_per_episode', 'Enough messages for this abandonment (setting)'),
		('cap_per_person', 'Enough messages to this person in 30 days (setting)'),
		('ordered', 'The person has bought since'),
		('already_bought', 'The person had bought all of it shortly before'),
		('holdout', 'The person is held out, to measure what messages do (setting)'),
		('unavailable', 'Nothing of it can be sold any more'),
		('campaign_disabled', 'The campaign was turned off'),
		('before_campaign', 'Abandoned before the campaign was to begin'),
		('customer_returned', 'The customer was active again'),
		('converted', 'The order was placed'),
		('reversed', 'The shop took the order back'),
		('dismissed', 'Staff closed the order'),
		('deleted', 'The cart was removed'),
		('expired', 'The order expired'),
		('lost', 'Too long ago: the order counts as lost'),
		('too_old', 'It could not be sent within five days'),
		('attempts_exhausted', 'The mail server put it off too often'),
		('rejected', 'The mail server refused it'),
		('discarded', 'Staff discarded it')
$$;
COMMENT ON FUNCTION incomplete_orders._reasons() IS 'What the reasons of the ledger mean, in words';

CREATE FUNCTION incomplete_orders.count_skips(shop text DEFAULT NULL, since timestamptz DEFAULT now() - interval '30 days', until timestamptz DEFAULT NULL)
RETURNS TABLE (campaign text, step integer, reason text, meaning text, messages bigint, last_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered CONSTANT integer := incomplete_orders._enter_shop('count_skips', count_skips.shop, NULL);
BEGIN
	RETURN QUERY
	SELECT k.campaign, k.step, k.reason, r.meaning, k.n, k.last_at
	FROM (
		SELECT m.campaign, m.step, m.reason, count(*) AS n, max(m.at) AS last_at FROM incomplete_orders.message_skips m
		WHERE m.shop_id = entered AND (since IS NULL OR m.at >= since) AND (until IS NULL OR m.at < until)
		GROUP BY m.campaign, m.step, m.reason
	) k LEFT JOIN incomplete_orders._reasons() r USING (reason)
	ORDER BY k.campaign NULLS LAST, k.step, k.n DESC, k.reason;
END
$$;
ALTER FUNCTION incomplete_orders.count_skips(text, timestamptz, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.count_skips(text, timestamptz, timestamptz) IS
	'The ledger of a shop: how many messages of each campaign and step were not sent, and why, from since (30 days ago; null: ever) until before until. campaign null: sent by hand. Reads all of the shop''s ledger. why_not_sent() says it of one order. IC002';
