# A person with every kind of data is forgotten, while one of their mails is on its
# way and tick runs: afterwards a dump of the whole database holds neither their
# addresses, phone, name, network address nor any other word of theirs, and every
# number is what it was.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha1_hex sha256_hex sha512_hex);
use FindBin;
use lib $FindBin::RealBin;
use Invariants qw(violations);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Queue;
use MIME::Base64 qw(encode_base64);
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nlog_statement = none\nlog_min_duration_statement = -1\n");
$node->start;
make_shop($node, 'shop');
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql { my ($query) = @_; return $node->safe_psql('shop', $query) }

# What is looked for. Every word of hers has the same five letters in it.
my %needles = (
	'her words' => qr/zqxja/i,
	'her phone' => qr/151\W{0,3}5550\W{0,3}1234/,
	'her network address' => qr/203\.0\.113\.77/,
	'her street' => qr/nightingale/i,
	'her birthday' => qr/1987-03-21/,
	'her customer number' => qr/cust-4711/,
	'the payment that failed' => qr/pay-4712/,
);

# The same, string by string: each must be in her export, and none may be in a dump
# afterwards, however it is written.
my %strings = (
	address => 'zqxjane@example.com', 'another address' => 'zqxjane1@example.com', 'name' => 'Zqxjane Roe', 'former name' => 'Mrs Zqxjane Roe',
	phone => '+49 151 5550-1234', 'the phone, written otherwise' => '0049 (151) 5550 1234', street => '7 Nightingale Lane', 'first name' => 'Zqxjane',
	'network address' => '203.0.113.77', 'user agent' => 'Zqxjabrowser/1.0', referrer => 'https://search.example/?q=zqxjane', birthday => '1987-03-21',
	'words at the checkout' => 'Zqxjane: ring twice', 'delivery' => 'leave it with the Zqxjane next door', engraving => 'For Zqxjane', 'former engraving' => 'For Zqxjane again',
	'customer number' => 'cust-4711', 'session' => 'zqxja-main', 'merged session' => 'zqxja-phone', note => 'Zqxjane called from +49 151 5550 1234',
	'reason for leaving' => 'Zqxjane found it too dear', 'reason of dismissal' => 'Zqxjane is a test buyer', 'checkout error' => 'card of Zqxjane Roe refused',
	'payment error' => 'Zqxjane has no money', 'failed payment' => 'pay-4712', 'coupon code' => 'ZQXJA10', subject => 'Zqxjane, your cart',
	'a mail server about her' => '<zqxjane1@example.com> queued for 203.0.113.77', 'what she agreed to' => 'for zqxjane', 'where' => 'zqxja-form', purpose => 'zqxja-letters',
	'a bounce' => '550 5.1.1 <zqxjane5@example.com> unknown', 'a cart by a link' => 'zqxja-tablet',
);

sub forms
{
	my ($string) = @_;
	my %form;
	for my $text ($string, lc $string, uc $string)
	{
		$form{$text} = 'as it is';
		(my $url = $text) =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
		(my $form = $url) =~ s/%20/+/g;
		(my $quoted = $text) =~ s/([^!-<>-~ ])|=/sprintf '=%02X', ord($1 \/\/ '=')/ge;
		(my $escaped = $text) =~ s/(.)/sprintf '\\u%04x', ord $1/ge;
		$form{$_} //= 'encoded' for $url, lc $url, $form, $quoted, $escaped;
		$form{unpack 'H*', $text} = $form{uc unpack 'H*', $text} = 'hex';
		$form{$_->($text)} = 'hashed without a key' for \&md5_hex, \&sha1_hex, \&sha256_hex, \&sha512_hex;
		# whatever stands before it; the outer characters depend on their neighbours
		for my $shift (0 .. 2)
		{
			my $code = encode_base64(('.' x $shift) . $text, '');
			my $skip = $shift ? 4 : 0;
			$code =~ s/=+\z//;
			$code = substr $code, $skip, length($code) - $skip - 2;
			(my $safe = $code) =~ tr,+/,-_,;
			$form{$_} = 'base64' for grep { length >= 6 } $code, $safe;
		}
	}
	return \%form;
}

# "session (hex)", ... : what of her is in a text
sub found_in
{
	my ($text) = @_;
	my @found;
	for my $name (sort keys %strings)
	{
		my $forms = forms($strings{$name});
		push @found, map { "$name ($forms->{$_})" } grep { index($text, $_) >= 0 } sort keys %$forms;
	}
	return join ', ', @found;
}

sub dump_text
{
	my ($file) = @_;
	$node->command_ok([ 'pg_dump', '--no-sync', '-f', "$dir/$file", 'shop' ], "pg_dump $file");
	return slurp_file("$dir/$file");
}

sub seen { my ($text) = @_; return join ', ', grep { $text =~ $needles{$_} } sort keys %needles }

my $cart = q{[{"sku":"RING","name":"Ring","quantity":2,"unit_price":"80","engraving":"For Zqxjane","gift_to":{"name":"Zqxjane Roe","phone":"+49 151 5550-1234","street":"7 Nightingale Lane"}},
	{"sku":"BOX","name":"Box","quantity":1,"unit_price":"5"}]};
my $plain = q{[{"sku":"RING","name":"Ring","quantity":1,"unit_price":"80","engraving":"For Ms Other"}]};
my $context = q{{"ip":"203.0.113.77","user_agent":"Zqxjabrowser/1.0","locale":"de","time_zone":"Europe/Berlin","device":"mobile","source":"newsletter","referrer":"https://search.example/?q=zqxjane",
	"notes":"Zqxjane: ring twice","birthday":"1987-03-21","consent":{"status":"granted","at":"2024-01-01T00:00:00Z","source":"zqxja-form"}}};
my $address = q{{"first_name":"Zqxjane","last_name":"Roe","address_line_1":"7 Nightingale Lane","phone":"+49 151 5550-1234","email":"zqxjane@example.com","delivery_instructions":"leave it with the Zqxjane next door"}};

# She, and somebody whom nothing of it concerns.
sql(qq{
	SELECT incomplete_orders.configure_shop('default', '{"quiet_from": "00:00", "quiet_to": "00:00", "exclusions": {"addresses": ["ZQXJANE\@example.com", "other\@example.com"], "customers": ["cust-4711"], "domains": ["example.net"]}}');
	SELECT incomplete_orders.record_consent('zqxjane\@example.com', 'granted', text_version => 'for zqxjane', source => 'zqxja-form', customer_id => 'cust-4711', at => now() - interval '5 days');
	SELECT incomplete_orders.record_consent('other\@example.com', 'granted', at => now() - interval '5 days');
	SELECT incomplete_orders.capture_cart('bystander', '$plain', email => 'other\@example.com', name => 'Other', phone => '+49 151 5550-9999', at => now() - interval '150 minutes');
	SELECT incomplete_orders.record_consent('zqxjane\@example.com', 'granted', purpose => 'zqxja-letters');
});
# Episodes that were abandoned, their carts kept in order_changes; a form, a departure, an error, notes and edits, in her words.
sql(qq{SELECT incomplete_orders.capture_cart('zqxja-main', '$cart', email => 'Zqxjane\@Example.com', phone => '+49 151 5550-1234', customer_id => 'cust-4711', name => 'Zqxjane Roe',
	address => '{"city":"Berlin"}', context => '$context', at => now() - interval '3 days')});
sql(q{SELECT incomplete_orders.capture_cart('zqxja-main', '[{"sku":"RING","quantity":3,"unit_price":"80","engraving":"For Zqxjane again"}]', at => now() - interval '2 days')});
sql(q{SELECT incomplete_orders.capture_cart('zqxja-main', '[{"sku":"RING","quantity":1,"unit_price":"80","engraving":"For Zqxjane, last"}]', at => now() - interval '150 minutes')});
sql(q{SELECT incomplete_orders.save_checkout('zqxja-main', jsonb_build_object('email', 'zqxjane@example.com', 'first_name', 'Zqxjane', 'address_line_1', '7 Nightingale Lane'), at => now() - interval '149 minutes')});
sql(q{SELECT incomplete_orders.record_checkout_error(id, 'validation_error', 'card of Zqxjane Roe refused', now() - interval '147 minutes') FROM incomplete_orders.open_orders WHERE session_id = 'zqxja-main'});
sql(q{SELECT incomplete_orders.add_note(id, 'Zqxjane called from +49 151 5550 1234', now() - interval '146 minutes') FROM incomplete_orders.open_orders WHERE session_id = 'zqxja-main'});
sql(qq{SELECT incomplete_orders.edit_order(id, '{"name": "Mrs Zqxjane Roe", "address": $address}', version, now() - interval '146 minutes') FROM incomplete_orders.open_orders WHERE session_id = 'zqxja-main'});
sql(q{SELECT incomplete_orders.edit_order(id, '{"name": "Zqxjane Roe-Doe"}', version, now() - interval '146 minutes') FROM incomplete_orders.open_orders WHERE session_id = 'zqxja-main'});
# when she comes back from it the reason is gone
sql(q{SELECT incomplete_orders.track_abandonment('zqxja-main', reason => 'Zqxjane found it too dear', at => now() - interval '145 minutes')});
# A cart of another device from before she logged in, merged; one of her browser that expired; one by phone.
sql(qq{SELECT incomplete_orders.capture_cart('zqxja-phone', '$cart', context => '$context', at => now() - interval '150 minutes')});
sql(qq{SELECT incomplete_orders.capture_cart('zqxja-laptop', '[]', customer_id => 'cust-4711', at => now() - interval '150 minutes')});
sql(q{SELECT incomplete_orders.merge_carts('zqxja-phone', 'zqxja-laptop', at => now() - interval '149 minutes')});
sql(qq{SELECT incomplete_orders.capture_cart('zqxja-shop', '$cart', context => '$context', at => now() - interval '60 days')});
sql(q{SELECT incomplete_orders.expire_orders(false, now())});
sql(qq{SELECT incomplete_orders.capture_cart('zqxja-shop', '$cart', email => 'zqxjane\@example.com', at => now() - interval '150 minutes')});
sql(qq{SELECT incomplete_orders.capture_cart('zqxja-call', '$cart', phone => '0049 (151) 5550 1234', name => 'Zqxjane', at => now() - interval '150 minutes')});
sql(qq{SELECT incomplete_orders.capture_cart('zqxja-call-2', '$cart', email => 'zqxjane\@example.com', phone => '0049 151 5550 1234', at => now() - interval '150 minutes')});
# Two that closed long ago: in another partition, and in the default one, where ids stand that are older than all.
for my $old ('2020-01-01', (gmtime)[5] + 1901 . '-06-15')
{
	sql(qq{CREATE TEMP TABLE old AS SELECT *, id AS was FROM incomplete_orders.closed_orders WHERE session_id = 'zqxja-shop' ORDER BY id DESC LIMIT 1;
		UPDATE old SET id = (left(incomplete_orders._id_at('$old')::text, 13) || substr(incomplete_orders._new_id(1)::text, 14))::uuid, reference = 'INC-' || '$old', customer_id = 'cust-4711';
		UPDATE old SET root_id = id;
		CREATE TEMP TABLE events AS SELECT e.* FROM incomplete_orders.order_events e JOIN old ON e.order_id = old.was;
		UPDATE events SET order_id = old.id, root_id = old.id FROM old;
		UPDATE events SET event_id = nextval('incomplete_orders.event_seq');
		INSERT INTO incomplete_orders.order_events SELECT * FROM events;
		INSERT INTO incomplete_orders.order_event_tail SELECT (jsonb_populate_record(NULL::incomplete_orders.order_event_tail, to_jsonb(e))).* FROM events e;
		ALTER TABLE old DROP COLUMN was;
		INSERT INTO incomplete_orders.closed_orders SELECT * FROM old});
}
cmp_ok(sql(q{SELECT count(DISTINCT tableoid) FROM incomplete_orders.closed_orders WHERE customer_id = 'cust-4711'}), '>=', 2, 'closed orders of hers in several partitions');
# Money: an order, a part of one, a payment on its way, one that failed, an order of the shop's own.
sql(qq{SELECT incomplete_orders.convert_order(incomplete_orders.capture_cart('zqxja-sold', '$cart', email => 'ZQXJANE\@example.com', context => '$context'))});
sql(qq{SELECT incomplete_orders.convert_order(incomplete_orders.capture_cart('zqxja-part', '$cart', customer_id => 'cust-4711', coupon_code => 'ZQXJA10'),
	'[{"sku":"RING","quantity":1,"unit_price":"80","engraving":"For Zqxjane","gift_to":{"name":"Zqxjane Roe","phone":"+49 151 5550-1234","street":"7 Nightingale Lane"}}]', idempotency_key => 'k1')});
sql(qq{SELECT incomplete_orders.mark_payment_pending(incomplete_orders.capture_cart('zqxja-paying', '$cart', email => 'zqxjane\@example.com'), 'pay-4713')});
sql(qq{WITH o AS (SELECT incomplete_orders.capture_cart('zqxja-failed', '$cart', email => 'zqxjane\@example.com') AS id), p AS (SELECT id, incomplete_orders.mark_payment_pending(id, 'pay-4712') FROM o)
	SELECT incomplete_orders.mark_payment_failed(id, 'Zqxjane has no money') FROM p});
sql(q{SELECT order_id FROM incomplete_orders.record_order('F-1', customer_id => 'cust-4711', total => 12, currency => 'USD')});
sql(qq{SELECT incomplete_orders.dismiss_order(incomplete_orders.capture_cart('zqxja-dismissed', '$cart', email => 'zqxjane\@example.com'), 'Zqxjane is a test buyer')});
# Messages: sent with a reply, dead with one, in flight, by hand with a subject, waiting.
sql('CALL incomplete_orders.tick()');
# A mail with a coupon, which she opens and clicks; the cart comes back on her tablet, is bought with the coupon, and partly refunded. Another mail bounces, and she complains of a third.
sql(q{SELECT incomplete_orders.configure_coupon('cart', '{"percentage": 10}', 1)});
sql(qq{SELECT incomplete_orders.capture_cart('zqxja-mailed-$_', '$cart', email => 'zqxjane$_\@example.com', name => 'Zqxjane Roe', customer_id => 'zqxja-$_', at => now() - interval '150 minutes')}) for 5 .. 7;
sql('CALL incomplete_orders.tick()');
my %mailed = map { my ($email, @rest) = split /\|/; ($email => \@rest) } split /\n/,
	sql(q{SELECT m.recipient, m.message_id, m.token, m.message #>> '{links,restore}', m.message #>> '{order,coupon,code}', o.id FROM incomplete_orders.claim_messages('w', 1000) m JOIN incomplete_orders.open_orders o ON o.email = m.recipient WHERE m.recipient ~ 'zqxjane[567]'});
my ($mail, $token, $restore, $code, $bought) = @{ $mailed{'zqxjane5@example.com'} };
# she logs in
sql(q{SELECT incomplete_orders.edit_order(id, '{"customer_id": "cust-4711"}', version) FROM incomplete_orders.open_orders WHERE customer_id LIKE 'zqxja-_'});
like($code, qr/^\w{10}$/, 'her mail brings a coupon');
sql(qq{SELECT incomplete_orders.ack_message('$mail', $token, '250 <zqxjane5\@example.com> ok')});
sql(qq{SELECT incomplete_orders.record_message_event('$mail', '$_')}) for qw(delivered opened clicked);
($restore) = $restore =~ m{([^/]+)$};
sql(qq{SELECT id FROM incomplete_orders.restore_cart('$restore', 'zqxja-tablet')});
sql(qq{SELECT coupon_discount FROM incomplete_orders.redeem_coupon('$code', '$bought')});
sql(qq{SELECT incomplete_orders.record_refund(order_id, 3, idempotency_key => 'r1') FROM incomplete_orders.convert_order('$bought')});
sql(qq{SELECT incomplete_orders.fail_message('$mailed{'zqxjane6@example.com'}[0]', $mailed{'zqxjane6@example.com'}[1], true, '550 5.1.1 <zqxjane5\@example.com> unknown')});
sql(qq{SELECT incomplete_orders.ack_message('$mailed{'zqxjane7@example.com'}[0]', $mailed{'zqxjane7@example.com'}[1], '250 ok'), incomplete_orders.record_message_event('$mailed{'zqxjane7@example.com'}[0]', 'complained')});
sql(q{SELECT incomplete_orders.configure_coupon('cart', '{"percentage": 10}', 3), incomplete_orders.remove_coupon('cart', 1)});
my @carts = map { [ "zqxja-mail-$_", "zqxjane$_" ] } 1 .. 4;
sql(qq{SELECT incomplete_orders.capture_cart('$_->[0]', '$cart', email => '$_->[1]\@example.com', customer_id => 'cust-4711', at => now() - interval '150 minutes')}) for @carts;
sql(qq{INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, attempts, token, order_id, root_id, episode, step, message_type, template, subject, recipient, queued_at, give_up_at, claimed_by, sent_at, response, reason)
	SELECT o.shop_id, incomplete_orders._new_id(o.shop_id), now(), s.status::incomplete_orders.message_status, 1, 1, o.id, o.root_id, o.episode, 19, 'abandoned_cart', 'cart_abandoned', 'Zqxjane, your cart', o.email, now(),
		now() + interval '5 days', 'w', CASE s.status WHEN 'sent' THEN now() END, '250 2.1.5 <' || o.email || '> queued for 203.0.113.77', CASE s.status WHEN 'dead' THEN 'rejected' END
	FROM incomplete_orders.open_orders o JOIN (VALUES ('zqxja-mail-1', 'sent'), ('zqxja-mail-2', 'dead'), ('zqxja-mail-3', 'sending'), ('zqxja-mail-4', 'queued')) s (session_id, status) USING (session_id)});
sql(q{SELECT incomplete_orders.suppress('zqxjane1@example.com', 'unsubscribed')});

# Everything is there to be found; what she may see is all of it.
my $before = dump_text('before.sql');
is(seen($before), join(', ', sort keys %needles), 'before, a dump has all of it');
my $export = sql(q{SELECT incomplete_orders.export_customer('zqxjane@example.com')});
is(seen($export), join(', ', sort keys %needles), 'so has her export');
my @lacking = grep { index($export, $strings{$_}) < 0 } sort keys %strings;
is("@lacking", '', 'string by string');
unlike($export, qr/bystander|other\@example/, 'and nothing of anybody else');
my $orders = sql(q{SELECT count(*) FROM (SELECT 1 FROM incomplete_orders.incomplete_orders WHERE session_id LIKE 'zqxja%') q});
is(sql(q{SELECT jsonb_array_length(e -> 'open_orders') + jsonb_array_length(e -> 'closed_orders') FROM incomplete_orders.export_customer('zqxjane@example.com') e}), $orders,
	"her $orders carts are in it: the merged, the expired and the one by phone, too");

# Numbers that must not change.
my $numbers = q{SELECT (SELECT string_agg(concat_ws(' ', order_number, total, currency, paid, refunded, incomplete_order_id), ';' ORDER BY order_id) FROM incomplete_orders.orders),
	(SELECT string_agg(concat_ws(' ', sku, name, quantity, unit_price), ';' ORDER BY order_id, line) FROM incomplete_orders.order_items),
	(SELECT string_agg(concat_ws(' ', id, kind, status, total, item_count, episode, created_at, abandoned_at, last_activity_at, next_action_at), ';' ORDER BY id) FROM incomplete_orders.incomplete_orders),
	(SELECT string_agg(e::text, ';' ORDER BY event_id) FROM incomplete_orders.order_events e), (SELECT count(*) FROM incomplete_orders.messages),
	(SELECT string_agg(o::text, ';') FROM incomplete_orders.incomplete_orders o WHERE session_id = 'bystander')};
my $were = sql($numbers);
my ($sending, $dead, $sent) = split /\|/, sql(q{SELECT min(id::text) FILTER (WHERE status = 'sending'), min(id::text) FILTER (WHERE status = 'dead'), min(id::text) FILTER (WHERE status = 'sent') FROM incomplete_orders.messages WHERE subject IS NOT NULL});
my $link = sql(qq{SELECT unsubscribe FROM incomplete_orders._link_tokens('$sent', now())});

note sql(q{SELECT * FROM incomplete_orders.forget_customer('zqxjane@example.com')});
is(sql($numbers), $were, 'orders, amounts, lines, carts and events are as they were, and the bystander, too');
is(violations($node, 'shop'), '', 'and every invariant holds');
my $after = dump_text('after.sql');
is(seen($after), '', 'after it, a dump has nothing of her');
is(found_in($after), '', 'however it were written');
like($after, qr/$_/, "but $_ of the bystander") for qw(bystander other\@example\.com 5550-9999), 'For Ms Other';

# What comes afterwards brings nothing back.
is(sql(qq{SELECT incomplete_orders.ack_message('$sending', 1, '250 2.1.5 <zqxjane3\@example.com> queued')}), 't', 'the mail that was on its way is acknowledged');
is(sql(qq{SELECT incomplete_orders.retry_message('$dead')}), 'f', 'the dead one is not sent again');
is(sql(qq{SELECT incomplete_orders.unsubscribe('$link')}), 't', 'a link in a mail that she has still unsubscribes');
sql(qq{SELECT incomplete_orders.capture_cart('backfilled', '$cart', email => 'zqxjane\@example.com', phone => '+49 151 5550-1234', name => 'Zqxjane', context => '$context', address => '$address', at => now() - interval '1 day')});
sql(qq{SELECT * FROM incomplete_orders.capture_carts(jsonb_build_array(jsonb_build_object('session_id', 'backfilled-3', 'items', '$cart'::jsonb, 'email', 'Zqxjane1\@example.com', 'name', 'Zqxjane Roe', 'context', '$context'::jsonb, 'backfill', true),
	jsonb_build_object('session_id', 'backfilled-4', 'items', '$cart'::jsonb, 'phone', '+49 (151) 5550 1234', 'name', 'Zqxjane Roe', 'backfill', true)))});
sql(qq{SELECT incomplete_orders.capture_cart('backfilled-2', '$cart', customer_id => 'cust-4711', at => now() - interval '1 day')});
sql('CALL incomplete_orders.tick()');
sql(q{SELECT count(*) FROM incomplete_orders.send_recovery_emails(0)});
is(sql(q{SELECT count(*) FROM incomplete_orders.claim_messages('w', 1000) WHERE recipient <> 'other@example.com'}), 0, 'nothing is sent to her');
my $later = dump_text('later.sql');
is(seen($later), '', 'and a dump still has nothing of her');
is(found_in($later), '', 'however it were written');
my $log = slurp_file($node->logfile);
is(seen($log), '', 'nor has the server log');
is(found_in($log), '', 'in any writing');
is(sql(q{SELECT count(*) FROM incomplete_orders.incomplete_orders WHERE session_id LIKE 'backfilled%'}), 4, 'though her old carts were captured');
is(sql(q{SELECT reason FROM incomplete_orders.suppressions WHERE person = ANY (incomplete_orders._person_keys(1, NULL, 'Zqxjane@example.com', NULL))}), 'erased', 'what is left knows her when she is named');

$node->stop;
done_testing();
