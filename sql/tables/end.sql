
	INSERT INTO incomplete_orders.shops (shop, name)
	SELECT 'default', 'Default shop' WHERE NOT EXISTS (SELECT FROM incomplete_orders.shops s WHERE s.shop = 'default');

	-- two random uuids of 122 bits each, made even
	INSERT INTO incomplete_orders.secret_keys (purpose, key_id, secret)
	SELECT p, 1, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
	FROM unnest(ARRAY['person', 'link']) p
	WHERE NOT EXISTS (SELECT FROM incomplete_orders.secret_keys k WHERE k.purpose = p);

	-- The defaults are this version's; texts of a shop are rows of that shop.
	INSERT INTO incomplete_orders.templates AS t (shop_id, template, locale, subject, preheader, headline, body, button, footer)
	SELECT 0, d.template, d.locale, d.subject, d.preheader, d.headline, d.body, d.button, d.footer FROM incomplete_orders._default_templates() d
	ON CONFLICT ON CONSTRAINT templates_pkey DO UPDATE
	SET subject = excluded.subject, preheader = excluded.preheader, headline = excluded.headline, body = excluded.body,
		button = excluded.button, footer = excluded.footer
	WHERE (t.subject, t.preheader, t.headline, t.body, t.button, t.footer)
		IS DISTINCT FROM (excluded.subject, excluded.preheader, excluded.headline, excluded.body, excluded.button, excluded.footer);

	-- After a restore into another cluster the oids are others: found again by name.
	-- In the same cluster a name with another oid is another role, and stays dead.
	UPDATE incomplete_orders.shop_members m
	SET role_oid = r.oid, cluster_id = incomplete_orders._cluster_id()
	FROM pg_roles r
	WHERE r.rolname = m.role_name AND m.cluster_id <> incomplete_orders._cluster_id();
	UPDATE incomplete_orders.attached_tables a
	SET role_oid = r.oid, cluster_id = incomplete_orders._cluster_id()
	FROM pg_roles r
	WHERE r.rolname = a.role_name AND a.cluster_id <> incomplete_orders._cluster_id();
	-- After a restore the tables have other oids: they are where our triggers are.
	UPDATE incomplete_orders.attached_tables a SET tables = incomplete_orders._resolved_tables(a.attachment, a.tables)
	WHERE a.tables <> incomplete_orders._resolved_tables(a.attachment, a.tables);
	SET CONSTRAINTS ALL IMMEDIATE;

	-- the rights of an older version's functions are remembered as members
	FOR member IN
		SELECT DISTINCT m.role_name, m.purpose FROM incomplete_orders.shop_members m
		JOIN pg_roles p ON p.oid = m.role_oid AND p.rolname = m.role_name
	LOOP
		PERFORM incomplete_orders._apply_rights(member.role_name, member.purpose, true);
	END LOOP;

	COMMENT ON TABLE incomplete_orders.shops IS 'Shops (schema version 1)';
	COMMENT ON TABLE incomplete_orders.shop_members IS 'Which role may work for which shop (shop_id 0: all shops), and as what; written by grant_to() and revoke_from()';
	COMMENT ON TABLE incomplete_orders.open_orders IS 'Incomplete orders that may still change';
	COMMENT ON TABLE incomplete_orders.closed_orders IS 'Incomplete orders that ended, by month of creation';
	COMMENT ON TABLE incomplete_orders.orders IS 'Completed orders: one row per part of an incomplete order';
	COMMENT ON TABLE incomplete_orders.order_items IS 'Lines of completed orders, prices frozen';
	COMMENT ON TABLE incomplete_orders.order_refunds IS 'Money given back';
	COMMENT ON TABLE incomplete_orders.order_events IS 'Every step of every order''s life, by month of recording; no free text, no personal data';
	COMMENT ON TABLE incomplete_orders.order_event_tail IS 'The events that the rollups do not contain yet';
	COMMENT ON TABLE incomplete_orders.rollup_states IS 'How many orders begun on a day are in which state, and what is in them';
	COMMENT ON TABLE incomplete_orders.rollup_episodes IS 'Abandonments of a day and what became of them, by one question at a time';
	COMMENT ON TABLE incomplete_orders.rollup_messages IS 'Recovery messages of a day: what happened to them, and what they brought';
	COMMENT ON TABLE incomplete_orders.rollup_arms IS 'Persons by what was drawn for them, and how many of them ordered; of those whose time to order is over';
	COMMENT ON TABLE incomplete_orders.rollup_products IS 'What lay in the carts that were abandoned on a day';
	COMMENT ON TABLE incomplete_orders.rollup_recovered_products IS 'What was bought in recovered orders, by the day of the abandonment';
	COMMENT ON TABLE incomplete_orders.product_names IS 'How each product was called when it was last counted';
	COMMENT ON TABLE incomplete_orders.order_outcomes IS 'What an order that was abandoned and paid counts as in the rollups, with those that continue it';
	COMMENT ON TABLE incomplete_orders.order_notes IS 'Notes of staff on an order (personal data)';
	COMMENT ON TABLE incomplete_orders.order_changes IS 'What an edit changed: old and new values (personal data)';
	COMMENT ON TABLE incomplete_orders.heartbeats IS 'When each job last ran, and what it did';
	COMMENT ON TABLE incomplete_orders.hook_failures IS 'Functions that a shop named and that fail: the last failure of each';
	COMMENT ON TABLE incomplete_orders.campaigns IS 'Sequences of recovery messages: one for each kind of order, off until enable_campaign()';
	COMMENT ON TABLE incomplete_orders.campaign_steps IS 'The steps of a campaign: how long after the abandonment, and with which text';
	COMMENT ON TABLE incomplete_orders.step_variants IS 'What is tried against each other in a step of a campaign, and how often each';
	COMMENT ON TABLE incomplete_orders.coupons IS 'The discounts that campaigns offer, by step';
	COMMENT ON TABLE incomplete_orders.issued_coupons IS 'Coupons that messages were sent with: unique, for one person, used once';
	COMMENT ON TABLE incomplete_orders.coupon_persons IS 'Who got a coupon, and when, by keyed hashes: who may use it, and who gets no other one';
	COMMENT ON TABLE incomplete_orders.templates IS 'Texts of recovery messages; shop_id 0: the defaults of all shops';
	COMMENT ON TABLE incomplete_orders.messages IS 'Recovery messages: queued, sent, cancelled or given up (personal data)';
	COMMENT ON TABLE incomplete_orders.message_skips IS 'The ledger: why a recovery message was not sent';
	COMMENT ON TABLE incomplete_orders.secret_keys IS 'Keys for hashes of persons and for links in mails; nobody but the owner may read them';
	COMMENT ON TABLE incomplete_orders.suppressions IS 'Who may not be mailed, by the keyed hash of the address';
	COMMENT ON TABLE incomplete_orders.consents IS 'What persons agreed to, by keyed hashes of address and customer; append-only, the newest is in force';
	COMMENT ON TABLE incomplete_orders.past_recipients IS 'Whom deleted or erased messages went to, by the keyed hash of the address: their unsubscribe links still work';
	COMMENT ON TABLE incomplete_orders.person_orders IS 'When a person ordered, by keyed hashes: what stops recovery messages to them';
	COMMENT ON TABLE incomplete_orders.person_messages IS 'Which recovery messages were queued to a person, by keyed hashes: what gap and caps count';
	COMMENT ON TABLE incomplete_orders.person_arms IS 'Who is held out of recovery messages, by keyed hashes, where the shop measures by a holdout';
	COMMENT ON TABLE incomplete_orders.webhooks IS 'Addresses of programs that a shop wants to be told what happens';
	COMMENT ON TABLE incomplete_orders.webhook_deliveries IS 'What webhooks are to be told, and were: no personal data';
	COMMENT ON TABLE incomplete_orders.shop_secrets IS 'Secrets that shops share with webhooks and mail services; nobody but the owner may read them';
	COMMENT ON TABLE incomplete_orders.attached_tables IS 'Tables of shops that are watched, and how they are read';
	COMMENT ON TABLE incomplete_orders.cart_mark_progress IS 'How far tick has read each partition of cart_marks';
	COMMENT ON TABLE incomplete_orders.cart_marks IS 'Which carts of attached tables changed, as the triggers left it';
	COMMENT ON TABLE incomplete_orders.continued_orders IS 'Orders that continue another one, whose completion the shop took back';
	COMMENT ON TABLE incomplete_orders.due_carts IS 'Which carts of attached tables are to be read';
	COMMENT ON VIEW incomplete_orders.attachments IS 'The attached tables of the shops that the acting role may see';
	COMMENT ON VIEW incomplete_orders.incomplete_orders IS 'Every incomplete order, open and closed, of the shops that the acting role may see';
	COMMENT ON SEQUENCE incomplete_orders.reference_seq IS 'Source of the INC- references';
	COMMENT ON SEQUENCE incomplete_orders.order_number_seq IS 'Order numbers where the shop gives none of its own';
	COMMENT ON SEQUENCE incomplete_orders.event_seq IS 'Event ids';
	COMMENT ON SEQUENCE incomplete_orders.attachment_seq IS 'Numbers of attachments';
END
$setup$;
ALTER FUNCTION incomplete_orders.setup() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.setup() IS
	'Makes the tables, or brings them to this version; may be called again at any time. Superuser or a member of incomplete_orders_owner';
