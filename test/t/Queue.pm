# What the tests of the queue share: carts whose first message is due, and what
# a sender does, without one.
package Queue;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(make_shop make_carts claim claimed_of);

# make_shop(node, database): the extension, and a default shop that mails abandoned carts, anybody's and at any time.
sub make_shop
{
	my ($node, $database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database") if $database ne 'postgres';
	$node->safe_psql(
		$database, q{
		CREATE EXTENSION incomplete_orders;
		SELECT incomplete_orders.setup();
		SELECT incomplete_orders.configure_shop('default', '{"from_email": "hello@shop.example", "postal_address": "Shop Ltd, 1 Main Street, Springfield",
			"base_url": "https://mail.shop.example/", "restore_url": "https://shop.example/cart?restore={token}",
			"consent_rule": "none", "min_gap": "0", "quiet_from": "0:00", "quiet_to": "0:00"}');
		SELECT incomplete_orders.enable_campaign('cart');
		});
	return;
}

# make_carts(node, database, name, n): n carts of sessions NAME-1, ... and persons NAME-1@shop.example, ...,
# whose customers left so long ago that the first message is due; tick queues it.
sub make_carts
{
	my ($node, $database, $name, $n) = @_;
	$node->safe_psql(
		$database, qq{
		SELECT count(incomplete_orders.capture_cart('$name-' || i, '[{"sku":"A","name":"Blue shirt","quantity":2,"unit_price":"19.90"}]',
			email => '$name-' || i || '\@shop.example', at => now() - interval '150 minutes')) FROM generate_series(1, $n) i});
	$node->safe_psql($database, 'CALL incomplete_orders.tick()');
	return;
}

# claim(node, database, batch): claims, keeps nothing; "recipient token Message-ID link" of each.
sub claim
{
	my ($node, $database, $batch) = @_;
	$batch //= 100;
	return split /\n/, $node->safe_psql(
		$database, qq{
		SELECT concat_ws(' ', recipient, token, message #>> '{message,mail_message_id}', message #>> '{links,restore}')
		FROM incomplete_orders.claim_messages('test', $batch) ORDER BY 1});
}

# claimed_of(node, database, name): the persons of that name whose messages a claim brings.
sub claimed_of
{
	my ($node, $database, $name) = @_;
	return join ' ', map { /^(\Q$name\E-\d+)@/ ? $1 : () } claim($node, $database, 1000);
}

1;
