# What a new user does, with psql and the programs: a cart is left, its mail
# arrives, its links work, and whatever should stop the mails stops them.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use Mails;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Queue;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('walk');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nlog_statement = none\n");
$node->start;
make_shop($node, 'postgres');
connect_to($node, 'postgres');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $mail = mail_server($dir);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my $serve;
END { kill 'KILL', $serve->{pid} if $serve }

# The programs that an operator starts.
sub tick { return is((program('tick'))[0], 0, $_[0] // 'tick') }
sub send_all { return is((program('send', mail_url($mail), '--once'))[0], 0, $_[0] // 'send') }
sub mails_to { my ($who) = @_; return grep { $_->{to} eq "$who\@shop.example" } accepted($mail) }

# read_mail(n): what Python's reader of mails finds in the n-th of all.
sub read_mail
{
	my ($n) = @_;
	my $script = <<'PYTHON';
import email, email.policy, json, re, sys
m = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
html, text = m.get_body(("html",)).get_content(), m.get_body(("plain",)).get_content()
print(json.dumps({"headers": {k.lower(): str(v) for k, v in m.items()}, "text": text, "html": html, "defects": [str(d) for p in m.walk() for d in p.defects],
    "links": re.findall(r'https://mail\.shop\.example(/[rcoun]/[^"\s<>]+)', html + " " + text + " " + str(m["List-Unsubscribe"]))}))
PYTHON
	my ($out, $err) = ('', '');
	IPC::Run::run([ '/usr/bin/python3', '-c', $script, "$dir/$n.eml" ], '<', \undef, '>', \$out, '2>', \$err) or die $err;
	return decode_json($out);
}

## A cart is left.

sql(q{SELECT incomplete_orders.configure_shop('default', '{"cut_off": "10 minutes"}')});
my $capture = sub {
	my ($session, $ago) = @_;
	return sql(qq{SELECT incomplete_orders.capture_cart('$session', '[{"sku":"A-1","name":"Blaues Hemd \x26 <Hose>","quantity":2,"unit_price":"19.90","url":"https://shop.example/a-1"}]',
		email => '$session\@shop.example', at => now() - interval '$ago')});
};
my $jane = $capture->('jane', '65 minutes');
tick('the clock: it is abandoned');
is(sql("SELECT status FROM incomplete_orders.incomplete_orders WHERE id = '$jane'"), 'abandoned', 'a cart that was left is abandoned after the cut-off');
send_all('send: before the first step is due');
is(scalar(accepted($mail)), 0, 'nothing is sent before an hour has passed');
my $june = $capture->('june', '75 minutes');
tick('the clock: the first step is due');
send_all();
is(scalar(mails_to('june')), 1, 'an hour after the abandonment there is a mail');

## The mail.

my $first = read_mail(1);
is_deeply($first->{defects}, [], 'the mail is whole');
is($first->{headers}{to}, 'june@shop.example', 'To');
like($first->{headers}{from}, qr/hello\@shop\.example/, 'From');
like($first->{headers}{'list-unsubscribe'}, qr{^<https://mail\.shop\.example/u/}, 'List-Unsubscribe');
is($first->{headers}{'list-unsubscribe-post'}, 'List-Unsubscribe=One-Click', 'List-Unsubscribe-Post');
like($first->{text}, qr/Blaues Hemd & <Hose>/, 'the text names what is in the cart');
like($first->{html}, qr/Blaues Hemd &amp; &lt;Hose&gt;/, 'so does the HTML, and it is no HTML');
like($first->{text}, qr/1 Main Street/, 'the postal address');
unlike($first->{text}, qr/\{\{|pay/i, 'no template is left over, and nobody with a cart is told to pay');
my %link = map { m{^/(.)/} ? ($1 => $_) : () } reverse @{ $first->{links} };
is(join(' ', sort keys %link), 'c n o r u', 'all links are in it');

## Its links.

$serve = begin('serve', '--listen=127.0.0.1:0');
ok(await($serve, sub { $serve->{err} =~ /event=start .*listen=\S+/ }), 'serve runs');
my ($address) = $serve->{err} =~ /event=start .*listen=(\S+)/;
my %browser = ('User-Agent' => 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', Accept => 'text/html');

# All tables of ours but those that are told of a visit.
my $state = q{SELECT md5(string_agg(t, ' ' ORDER BY t)) FROM (SELECT o::text FROM incomplete_orders.open_orders o UNION ALL SELECT c::text FROM incomplete_orders.closed_orders c
	UNION ALL SELECT s::text FROM incomplete_orders.suppressions s UNION ALL SELECT concat_ws(' ', id, status, due_at, unsubscribed_at) FROM incomplete_orders.messages) x (t)};
my $before = sql($state);
for my $letter (qw(r u n o c))
{
	my $answer = http_request($address, 'GET', $link{$letter}, \%browser);
	is($answer->{status}, $letter eq 'c' ? 302 : 200, "GET /$letter/");
	unlike("$answer->{head}$answer->{body}", qr/june/, "GET /$letter/ shows no address");
}
is(sql($state), $before, 'GET changes nothing');
my $answer = http_request($address, 'POST', $link{r}, { %browser, 'Content-Type' => 'application/x-www-form-urlencoded' }, '');
is($answer->{status}, 303, 'the button restores the cart');
like($answer->{headers}{location}, qr{^https://shop\.example/cart\?restore=}, 'and leads to the shop');
my ($token) = $link{r} =~ m{^/r/(.+)$};
is(sql("SELECT id FROM incomplete_orders.restore_cart('$token', 'june-on-her-phone')"), $june, 'the shop has the cart again, in another session');
is(sql("SELECT session_id FROM incomplete_orders.incomplete_orders WHERE id = '$june'"), 'june-on-her-phone', 'under it');
sql("SELECT order_id FROM incomplete_orders.convert_order('$june')");
# What would be due in the next days is due now.
sub later
{
	sql(q{CALL incomplete_orders.tick(at => now() + interval '4 days')});
	return sql(q{UPDATE incomplete_orders.messages SET due_at = now() WHERE status = 'queued'});
}
later();
send_all('send: days later');
is(scalar(mails_to('june')), 1, 'who has bought gets no more mails');
is(scalar(mails_to('jane')), 1, 'who has not does');

## Whatever should stop the mails stops them, and says so.

my %stop = (
	converted => sub { my ($id) = @_; sql("SELECT order_id FROM incomplete_orders.convert_order('$id')") },
	dismissed => sub { my ($id) = @_; sql("SELECT incomplete_orders.dismiss_order('$id', 'test')") },
	deleted => sub { my ($id) = @_; sql("SELECT incomplete_orders.delete_order('$id')") },
	customer_returned => sub { my ($id, $who) = @_; sql(qq{SELECT incomplete_orders.capture_cart('$who', '[{"sku":"B","quantity":1,"unit_price":1}]')}) },
	ordered => sub {
		my ($id, $who) = @_;
		sql(qq{SELECT order_id FROM incomplete_orders.convert_order(incomplete_orders.capture_cart('$who-2', '[{"sku":"B","quantity":1,"unit_price":1}]', email => '$who\@shop.example'))});
	},
	unsubscribed => sub {
		my ($id) = @_;
		my $path = '/u/' . sql("SELECT (incomplete_orders._link_tokens(id, queued_at)).unsubscribe FROM incomplete_orders.messages WHERE order_id = '$id'");
		is(http_request($address, 'POST', $path, { 'Content-Type' => 'application/x-www-form-urlencoded' }, 'List-Unsubscribe=One-Click')->{status}, 200, 'the mail program unsubscribes by one click');
	},
	not_me => sub {
		my ($id) = @_;
		my $path = '/n/' . sql("SELECT (incomplete_orders._link_tokens(id, queued_at)).not_me FROM incomplete_orders.messages WHERE order_id = '$id'");
		is(http_request($address, 'POST', $path, { %browser, 'Content-Type' => 'application/x-www-form-urlencoded' }, '')->{status}, 200, 'it was somebody else');
	},
	complaint => sub { my ($id) = @_; sql("SELECT incomplete_orders.record_message_event(id, 'complained') FROM incomplete_orders.messages WHERE order_id = '$id'") },
	suppressed => sub { my ($id, $who) = @_; sql("SELECT incomplete_orders.suppress('$who\@shop.example')") });
my %id = map { $_ => $capture->($_ =~ s/_/-/gr, '75 minutes') } keys %stop;
my $nobody = sql(q{SELECT incomplete_orders.capture_cart('nobody', '[{"sku":"A","quantity":1,"unit_price":1}]', at => now() - interval '75 minutes')});
tick('the clock: one for each reason');
is(sql(q{SELECT count(*) FROM incomplete_orders.messages WHERE status = 'queued' AND recipient ~ '^(} . join('|', map { s/_/-/gr } keys %stop) . q{)@'}), scalar(keys %stop), 'all of them wait');
$stop{$_}->($id{$_}, $_ =~ s/_/-/gr) for sort keys %stop;
send_all('send: nothing is left');
my %late = map { s/_/-/gr => 1 } keys %stop;
my $stopped = sub { return join ' ', sort grep { $late{$_} } map { $_->{to} =~ s/@.*//r } accepted($mail) };
is($stopped->(), '', 'none of them gets a mail');
later();
send_all('send: days later');
is($stopped->(), 'customer-returned', 'nor later, but who came back and left once more');
for my $reason (sort keys %stop)
{
	my $why = sql("SELECT string_agg(DISTINCT reason, ' ') FROM incomplete_orders.message_skips WHERE order_id = '$id{$reason}'");
	like($why, qr/\b$reason\b/, "why_not_sent: $reason");
}
like(sql("SELECT string_agg(DISTINCT reason, ' ') FROM incomplete_orders.why_not_sent('$nobody')"), qr/\bno_recipient\b/, 'why_not_sent: nobody to send it to');
is(sql("SELECT reason FROM incomplete_orders.why_not_sent('$id{dismissed}') LIMIT 1"), 'dismissed', 'why_not_sent says so');

# The campaign itself.
my $late = $capture->('late', '75 minutes');
tick('the clock: one more');
sql(q{SELECT incomplete_orders.disable_campaign('cart')});
send_all('send: the campaign is off');
is(scalar(mails_to('late')), 0, 'a campaign that is off sends nothing');
is(sql("SELECT string_agg(DISTINCT reason, ' ') FROM incomplete_orders.why_not_sent('$late')"), 'campaign_disabled', 'why_not_sent: campaign_disabled');

is(scalar(finish($serve, 'TERM')), 0, 'serve ends');
undef $serve;
mail_stop($mail, 'TERM');
$node->stop;
done_testing();
