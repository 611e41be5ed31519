# serve: the pages behind the links in messages, over HTTP, against a stand-in for
# the extension.  What is a person's visit and what a machine's: data/visits.txt.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IO::Select;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('serve');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_connections = 30\n");
$node->start;
mock_database($node, 'mock');
mock_links($node, 'mock');
connect_to($node, 'mock');

my ($run, $server);

# Nothing stays if a test dies.
END
{
	my $status = $?;
	$run->{handle}->kill_kill if $run && $run->{handle}->pumpable;
	$? = $status;
}

# Starts the program on a free port, and waits until it says which.
sub start_server
{
	my @arguments = @_;
	$run = begin('serve', '--listen=127.0.0.1:0', @arguments);
	await($run, sub { $run->{err} =~ /event=start .*listen=(\S+)/ }) or die 'it does not start';
	($server) = $run->{err} =~ /event=start .*listen=(\S+)/;
	return;
}

sub sql { return $node->safe_psql('mock', $_[0]) }
sub link_behaves { my (%what) = @_; sql('UPDATE incomplete_orders.link_behaviour SET ' . join ', ', map { "$_ = " . (defined $what{$_} ? "\$q\$$what{$_}\$q\$" : 'NULL') } sort keys %what); return }
sub events { return sql('SELECT count(*) FROM incomplete_orders.mock_events') }

my %browser = (
	'User-Agent' => 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
	Accept => 'text/html',
	'Accept-Language' => 'en');
my $all_bodies = '';

# Takes what the program has written, which must not wait for us either.
sub read_log
{
	$run->{handle}->pump_nb if $run->{handle}->pumpable;
	return;
}

# A request, of which everything is kept to be searched for what must not be there.
sub ask
{
	my ($method, $path, $headers, $body) = @_;
	my $answer = http_request($server, $method, $path, { %browser, %{ $headers // {} } }, $body);
	read_log();
	$all_bodies .= "$answer->{head}\n$answer->{body}\n" if $answer;
	return $answer // { status => 0, headers => {}, body => '' };
}

start_server('--verbose');
my $message = make_message($node, 'mock', restore_url => 'https://shop.example/cart?restore={token}&order={id}');
my $german = make_message($node, 'mock', locale => 'de-AT', total => '1234.5', shop_name => 'Käse & <b>Söhne</b>',
	items => '[{"sku":"X","name":"<script>alert(1)</script>{{total}}","variant":"\"><img src=x>","quantity":3,"filled":2,"unit_price":"1234.5",'
	  . '"image_url":"https://shop.example/x.png\" onerror=\"alert(1)","url":"javascript:alert(1)"}]',
	removed => '[{"sku":"Q","name":"Old <i>trousers"}]', changed => '[{"sku":"W-1"}]');
my %token = map { $_ => link_token($message, $_) } qw(r c o u n);

# How the pages look must hold for each of them.
sub safe_headers
{
	my ($answer, $name) = @_;
	my $headers = $answer->{headers};
	is($headers->{'cache-control'}, 'no-store', "$name: not stored");
	is($headers->{'referrer-policy'}, 'no-referrer', "$name: no referrer");
	is($headers->{'x-content-type-options'}, 'nosniff', "$name: nosniff");
	is($headers->{'x-frame-options'}, 'DENY', "$name: in no frame");
	like($headers->{'content-security-policy'}, qr/^default-src 'none'; .*frame-ancestors 'none'/, "$name: policy");
	unlike($headers->{'content-security-policy'}, qr/script|unsafe|\*/, "$name: no script");
	ok(!exists $headers->{'set-cookie'}, "$name: no cookie");
	return;
}

sub good_page
{
	my ($answer, $name, $language) = @_;
	safe_headers($answer, $name);
	my $body = $answer->{body};
	is($answer->{headers}{'content-type'}, 'text/html; charset=utf-8', "$name: HTML");
	like($body, qr/^<!DOCTYPE html>\n<html lang="$language">/, "$name: says its language");
	like($body, qr{<title>[^<]+</title>}, "$name: a title");
	is(() = $body =~ /<h1>/g, 1, "$name: one heading");
	like($body, qr{<main>.*</main>}s, "$name: a main part");
	like($body, qr{<meta name="viewport" content="width=device-width, initial-scale=1">}, "$name: for telephones");
	unlike($body, qr/<script|<table|<iframe| on[a-z]+=|style="/, "$name: no script, no table, no inline handler");
	my ($nonce) = $body =~ /<style nonce="([0-9a-f]{32})">/;
	like($answer->{headers}{'content-security-policy'}, qr/style-src 'nonce-$nonce'/, "$name: the style's nonce");
	return;
}

## The restore page.

my $page = ask('GET', "/r/$token{r}");
is($page->{status}, 200, 'restore page');
good_page($page, 'restore page', 'en');
like($page->{body}, qr/Blue shirt/, 'restore page: an item');
like($page->{body}, qr{<a href="https://shop\.example/a-1">Blue shirt</a>}, 'restore page: its page in the shop');
like($page->{body}, qr/EUR\x{c2}\x{a0}39\.80/, 'restore page: money of a line');
like($page->{body}, qr/EUR\x{c2}\x{a0}44\.80/, 'restore page: the total');
like($page->{body}, qr{<form method="post"><button>Restore my cart</button></form>}, 'restore page: a form to its own address, and a button');
like($page->{headers}{'content-security-policy'}, qr/form-action 'self' https:;/, 'restore page: the form may end in the shop');
like($page->{headers}{'content-security-policy'}, qr/img-src 'self';/, 'restore page: without pictures none are allowed');
is(ask('GET', "/r/$token{r}?utm_source=mail&x=%00")->{status}, 200, 'restore page: what a mail program adds is not looked at');
isnt(($page->{body} =~ /nonce="(\w+)"/)[0], (ask('GET', "/r/$token{r}")->{body} =~ /nonce="(\w+)"/)[0], 'another nonce each time');

$page = ask('GET', '/r/' . link_token($german, 'r'));
good_page($page, 'German page', 'de');
like($page->{body}, qr/Warenkorb wiederherstellen/, 'German page: in German, as the message was, whatever the browser says');
like($page->{body}, qr/&lt;script&gt;alert\(1\)&lt;\/script&gt;\{\{total\}\}/, 'German page: a name is text');
like($page->{body}, qr/K\x{c3}\x{a4}se &amp; &lt;b&gt;S\x{c3}\x{b6}hne&lt;\/b&gt;/, 'German page: so is the name of the shop');
like($page->{body}, qr/&quot;&gt;&lt;img src=x&gt;/, 'German page: and a variant');
unlike($page->{body}, qr/javascript:|<img/, 'German page: no address that is none');
like($page->{body}, qr/1\.234,50\x{c2}\x{a0}EUR/, 'German page: German money');
like($page->{body}, qr/Menge: 1</, 'German page: what is left of a line');
like($page->{headers}{'content-security-policy'}, qr/form-action 'self';/, 'German page: without a restore_url its form ends here');

my $pictures = make_message($node, 'mock', logo_url => 'https://shop.example/logo.svg', colour => '#ffe000',
	items => '[{"sku":"A","name":"A","quantity":1,"unit_price":"1","image_url":"https://shop.example/a.png?x=1&y=2"},'
	  . '{"sku":"B","name":"B","quantity":1,"unit_price":"1","image_url":"http://shop.example/b.png"}]');
$page = ask('GET', '/r/' . link_token($pictures, 'r'));
like($page->{headers}{'content-security-policy'}, qr/img-src 'self' https:;/, 'pictures: over https');
like($page->{body}, qr{<img src="https://shop\.example/a\.png\?x=1&amp;y=2" alt="" }, 'pictures: of a line');
unlike($page->{body}, qr/b\.png/, 'pictures: none over http');
like($page->{body}, qr{<header><img src="https://shop\.example/logo\.svg" alt="Example Shop"></header>}, 'pictures: the logo');
like($page->{body}, qr/--accent:#ffe000;--on:#000000;--edge:var\(--ink\)/, 'a light colour: black on it, and a border');
like($page->{body}, qr/--paper:#14171c;[^}]*--edge:var\(--accent\)/, 'a light colour: none in the dark');
like(ask('GET', "/r/$token{r}")->{body}, qr/--accent:#0072b2;--on:#ffffff;--edge:var\(--accent\)/, 'without a colour: ours');

# The contrast of text on the button, computed anew.
sub luminance
{
	my @channels = map { my $c = hex($_) / 255; $c <= 0.04045 ? $c / 12.92 : (($c + 0.055) / 1.055)**2.4 } $_[0] =~ /([0-9a-f]{2})/g;
	return 0.2126 * $channels[0] + 0.7152 * $channels[1] + 0.0722 * $channels[2];
}
sub contrast { my ($high, $low) = sort { $b <=> $a } map { luminance($_) + 0.05 } @_; return $high / $low }
for my $colour (map { "#$_" } split " ", "000000 ffffff 777777 757575 ff0000 00ff00 0000ff d55e00 808080")
{
	my $body = ask('GET', '/r/' . link_token(make_message($node, 'mock', colour => $colour), 'r'))->{body};
	my ($on) = $body =~ /--on:(#\w+)/;
	cmp_ok(contrast($colour, $on), '>=', 4.5, "$colour: its text can be read");
	my ($light, $dark) = $body =~ /--edge:var\(--(\w+)\)/g;
	is($light, contrast($colour, '#ffffff') >= 3 ? 'accent' : 'ink', "$colour: its border in the light");
	is($dark, contrast($colour, '#14171c') >= 3 ? 'accent' : 'ink', "$colour: its border in the dark");
}
for my $bad ('red', '#fff', '#12345g', "#123456;}body{display:none", '')
{
	unlike(ask('GET', '/r/' . link_token(make_message($node, 'mock', colour => $bad), 'r'))->{body}, qr/accent:\Q$bad\E[;}]/, "\"$bad\" is no colour")
	  if $bad ne '';
}

# Money as it is written, without rounding.
for my $case ([ 'en', '1234567.5', 'USD', 'USD 1,234,567.50' ], [ 'de', '1234567.5', 'CHF', '1.234.567,50 CHF' ], [ 'en', '1200', 'JPY', 'JPY 1,200' ],
	[ 'en', '0.125', 'USD', 'USD 0.125' ], [ 'de', '1.5', 'KWD', '1,500 KWD' ], [ 'en', '999', 'EUR', 'EUR 999.00' ], [ 'en', '5.1000', 'EUR', 'EUR 5.10' ])
{
	my ($locale, $amount, $currency, $expected) = @$case;
	my $body = ask('GET', '/r/' . link_token(make_message($node, 'mock', locale => $locale, total => $amount, currency => $currency), 'r'))->{body};
	$expected =~ s/ /\x{c2}\x{a0}/;
	like($body, qr{</span><span class="money">\Q$expected\E</span></p>}, "money: $amount $currency in $locale");
}

# A cart of many lines.
my $many = make_message($node, 'mock', items => '[' . join(',', map { qq({"sku":"S$_","quantity":1,"unit_price":"1"}) } 1 .. 103) . ']');
$page = ask('GET', '/r/' . link_token($many, 'r'));
is(() = $page->{body} =~ /<li>/g, 100, 'many lines: not all of them');
like($page->{body}, qr/and 3 more items/, 'many lines: says how many are left out');
my $empty = make_message($node, 'mock', items => '[]', total => 0);
$page = ask('GET', '/r/' . link_token($empty, 'r'));
is($page->{status}, 200, 'an empty cart');
unlike($page->{body}, qr/<form/, 'an empty cart: nothing to restore');

# Languages where the message has none.
my $nowhere = make_message($node, 'mock', locale => undef);
for my $case ([ 'de', 'de' ], [ 'de-CH, en;q=0.5', 'de' ], [ 'en;q=0.4, de;q=0.8', 'de' ], [ 'fr, de;q=0, en', 'en' ], [ 'fr', 'en' ], [ ';;,,q=', 'en' ],
	[ 'DE', 'de' ], [ 'deu', 'en' ], [ 'x' x 3000, 'en' ])
{
	my ($accepted, $expected) = @$case;
	like(ask('GET', '/u/' . link_token($nowhere, 'u'), { 'Accept-Language' => $accepted })->{body}, qr/<html lang="$expected">/, 'Accept-Language: ' . substr($accepted, 0, 30));
}
for my $case ([ 'fr-FR', 'de', 'de' ], [ 'en_GB.UTF-8', 'de', 'en' ], [ '', 'de', 'de' ], [ undef, 'de', 'de' ], [ 'german', 'en', 'en' ])
{
	my ($locale, $accepted, $expected) = @$case;
	my $body = ask('GET', '/r/' . link_token(make_message($node, 'mock', locale => $locale), 'r'), { 'Accept-Language' => $accepted })->{body};
	like($body, qr/<html lang="$expected">/, 'locale ' . ($locale // 'NULL') . ", browser $accepted");
}

# Orders of which nothing can be restored, and those that ended otherwise.
for my $case ([ 'converted', qr/already ordered/ ], [ 'payment_pending', qr/payment is on its way/ ])
{
	my ($status, $says) = @$case;
	$page = ask('GET', '/r/' . link_token(make_message($node, 'mock', status => $status), 'r'));
	is($page->{status}, 200, "$status: a page");
	like($page->{body}, $says, "$status: says so");
	unlike($page->{body}, qr/<form|Blue shirt/, "$status: nothing to do");
}
like(ask('GET', '/r/' . link_token(make_message($node, 'mock', status => $_), 'r'))->{body}, qr/<form/, "$_: can be restored") for qw(pending expired dismissed deleted);

## Restoring.

is(sql('SELECT count(*) FROM incomplete_orders.mock_restored'), 0, 'until here nothing was restored');
my $restored = ask('POST', "/r/$token{r}", { 'Content-Type' => 'application/x-www-form-urlencoded' }, '');
is($restored->{status}, 303, 'restoring');
safe_headers($restored, 'restoring');
my $id = sql("SELECT message_id FROM incomplete_orders.mock_messages WHERE beginning = '$message'");
is($restored->{headers}{location}, "https://shop.example/cart?restore=$token{r}&order=$id", 'restoring: to the shop');
is(sql('SELECT message_id FROM incomplete_orders.mock_restored'), $id, 'restoring: it happened, once');
is(ask('POST', "/r/$token{r}", undef, 'x=1')->{status}, 303, 'restoring again');

# Where to comes from the shop alone.
for my $case (
	[ 'HTTPS://shop.example/{id}/{id}?{token}#{nothing}', qr{^HTTPS://shop\.example/([-0-9a-f]{36})/\1\?\w+#%7Bnothing%7D$} ],
	[ "https://shop.example/caf\x{c3}\x{a9}?\"<>", qr{^https://shop\.example/caf%C3%A9\?%22%3C%3E$} ],
	map { [ $_, undef ] } 'javascript:alert("{token}")', 'data:text/html,{token}', '//evil.example/{token}', '/cart/{token}', 'ftp://shop.example/{token}',
	"https://shop.example/{token}\r\nSet-Cookie: a=b", 'https://shop.example/ {token}', 'https:///{token}', 'https://', 'https:\\\\evil.example\\{token}', '')
{
	my ($url, $expected) = @$case;
	my $shown = $url =~ s/[^ -~]/?/gr;
	my $beginning = make_message($node, 'mock', restore_url => $url);
	my $answer = ask('POST', '/r/' . link_token($beginning, 'r'), { 'X-Forwarded-Host' => 'evil.example', Referer => 'https://evil.example/' }, 'url=https://evil.example/');
	if ($expected)
	{
		is($answer->{status}, 303, "restore_url $shown: leads there");
		like($answer->{headers}{location}, $expected, "restore_url $shown: made safe");
	}
	else
	{
		is($answer->{status}, 200, "restore_url $shown: is none, the cart is shown");
		like($answer->{body}, qr/Your cart is back/, "restore_url $shown: says so");
		ok(!exists $answer->{headers}{'set-cookie'}, "restore_url $shown: no header of its own");
	}
}
$page = ask('POST', '/r/' . link_token($german, 'r'), undef, '');
good_page($page, 'restored page', 'de');
like($page->{body}, qr/Nicht mehr erh\x{c3}\x{a4}ltlich: Old &lt;i&gt;trousers/, 'restored page: what is gone');
like($page->{body}, qr/ge\x{c3}\x{a4}ndert: W-1/, 'restored page: what is different');
unlike($page->{body}, qr/<form/, 'restored page: no button');

## Clicks.

my $click = ask('GET', "/c/$token{c}/1");
is($click->{status}, 302, 'click');
safe_headers($click, 'click');
is($click->{headers}{location}, 'https://shop.example/a-1', 'click: to the page of that line');
is(ask('GET', "/c/$token{c}/1?url=https://evil.example/")->{headers}{location}, 'https://shop.example/a-1', 'click: never to what the address says');
is(ask('GET', "/c/$token{c}/2")->{headers}{location}, "../../r/$token{r}", 'click: a line without a page leads to the restore page');
for my $url ('javascript:alert(1)', 'https://shop.example/a b', "https://shop.example/\nSet-Cookie: a=b", 'mailto:x', '//evil.example/', '/r/x',
	'https://evil.example/r/' . link_token($german, 'x'))
{
	my $json = $url =~ s/\n/\\n/r;
	my $beginning = make_message($node, 'mock', items => qq([{"sku":"A","quantity":1,"unit_price":"1","url":"$json"}]));
	my $answer = ask('GET', '/c/' . link_token($beginning, 'c') . '/1');
	if ($url =~ /^https:\S+$/)
	{
		is($answer->{headers}{location}, $url, 'click: an address that only looks like ours is that of the order');
		next;
	}
	is($answer->{status}, 404, "click: no redirect to $json");
	ok(!exists $answer->{headers}{location}, "click: none at all to $json");
}
is(ask('GET', "/c/$token{c}/$_")->{status}, 404, "click: line $_") for qw(0 -1 01 x 1x 99999 1.0 %31);

## The picture.

my $picture = ask('GET', "/o/$token{o}");
is($picture->{status}, 200, 'picture');
is($picture->{headers}{'content-type'}, 'image/gif', 'picture: its type');
is(length $picture->{body}, 43, 'picture: 43 bytes');
like($picture->{body}, qr/^GIF89a\x01\x00\x01\x00/, 'picture: of one pixel');
safe_headers($picture, 'picture');
for my $bad ('x', "$token{o}x", link_token($message, 'o', 'expired'), link_token($message, 'r'), 'Z' x 43, '%00', '<script>')
{
	my $answer = ask('GET', "/o/$bad");
	is_deeply([ $answer->{status}, $answer->{body} ], [ 200, $picture->{body} ], "picture: nothing to learn with $bad");
}

## Unsubscribing.

for my $case ([ 'u', 'recovery', qr/Stop reminders/, qr/no more reminders/ ], [ 'n', 'all', qr/Do not write to me/, qr/will not write/ ])
{
	my ($letter, $scope, $button, $done) = @$case;
	my $count = sub { sql("SELECT count(*) FROM incomplete_orders.mock_unsubscribed WHERE scope = '$scope'") };
	my $path = "/$letter/$token{$letter}";
	$page = ask('GET', $path);
	is($page->{status}, 200, "$letter: a page");
	good_page($page, "$letter page", 'en');
	like($page->{body}, qr{<form method="post"><button>$button</button></form>}, "$letter: a button");
	like($page->{headers}{'content-security-policy'}, qr/form-action 'self';/, "$letter: its form ends here");
	ask('HEAD', $path);
	is($count->(), 0, "$letter: looking does nothing");
	# RFC 8058, as a provider sends it: no cookie, no referrer, both kinds of body.
	my $one_click = http_request($server, 'POST', $path, { 'Content-Type' => 'application/x-www-form-urlencoded' }, 'List-Unsubscribe=One-Click');
	is($one_click->{status}, 200, "$letter: one click");
	good_page($one_click, "$letter: done", 'en');
	like($one_click->{body}, $done, "$letter: says so");
	is($count->(), 1, "$letter: it is done");
	is(ask('POST', $path, { 'Content-Type' => 'multipart/form-data; boundary=b' },
		"--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n")->{status}, 200, "$letter: again, by multipart");
	is(ask('POST', $path, undef, '')->{status}, 200, "$letter: by the button");
	is($count->(), 3, "$letter: each time");
	is(ask('GET', "/$letter/" . link_token($message, $letter, 'expired'))->{status}, 410, "$letter: looking at an expired link");
	is(ask('GET', "/$letter/" . link_token($message, 'r'))->{status}, 404, "$letter: looking with the token of another link");
	for my $method (qw(GET POST))
	{
		$page = ask($method, "/$letter/" . link_token($german, $letter), undef, $method eq 'POST' ? '' : undef);
		good_page($page, "$letter: $method in German", 'de');
		like($page->{body}, qr/S\x{c3}\x{b6}hne/, "$letter: $method says whose messages");
	}
	sql("DELETE FROM incomplete_orders.mock_unsubscribed USING incomplete_orders.mock_messages m WHERE mock_unsubscribed.message_id = m.message_id AND beginning = '$german'");
	is(ask('POST', "/$letter/" . link_token($message, $letter, 'expired'), undef, '')->{status}, 410, "$letter: an expired link");
	is(ask('POST', "/$letter/" . link_token($message, 'r'), undef, '')->{status}, 404, "$letter: the token of another link");
	is($count->(), 3, "$letter: neither does anything");
}

## Bad links.

for my $path ("/r/$token{c}", "/r/$token{r}x", '/r/' . 'a' x 42, '/r/' . 'A' x 43, "/r/%52$token{r}", "/c/$token{r}/1", '/u/short', '/n/' . '!' x 43)
{
	my $answer = ask('GET', $path);
	is($answer->{status}, 404, "bad link $path");
	like($answer->{body}, qr/link does not work.*open the message again/s, "bad link $path: what to do");
	good_page($answer, "bad link $path", 'en');
}
is(ask('POST', "/r/$token{c}", undef, '')->{status}, 404, 'bad link: POST');
for my $path ('/r/' . link_token($message, 'r', 'expired'), '/c/' . link_token($message, 'c', 'expired') . '/1')
{
	my $answer = ask('GET', $path, { 'Accept-Language' => 'de' });
	is($answer->{status}, 410, 'expired link');
	like($answer->{body}, qr/abgelaufen/, 'expired link: says so');
	good_page($answer, 'expired link', 'de');
}
for my $path ('/', '/r', '/r/', "/r/$token{r}/", "//r/$token{r}", "/r/$token{r}/x", '/x', "/c/$token{c}", "/c/$token{c}/1/", "/R/$token{r}", '/..', "/r/../u/$token{u}", '/healthz/')
{
	my $answer = ask('GET', $path);
	is($answer->{status}, 404, "no page $path");
	good_page($answer, "no page $path", 'en');
}

## Methods.

my %pages = (
	"/r/$token{r}" => 'GET, HEAD, POST', "/c/$token{c}/1" => 'GET, HEAD', "/o/$token{o}" => 'GET, HEAD', "/u/$token{u}" => 'GET, HEAD, POST',
	"/n/$token{n}" => 'GET, HEAD, POST', '/healthz' => 'GET, HEAD', '/favicon.ico' => 'GET, HEAD', '/robots.txt' => 'GET, HEAD');
for my $path (sort keys %pages)
{
	my ($short) = $path =~ m{^/(\w+)};
	my $allowed = $pages{$path};
	for my $method (qw(GET HEAD POST PUT DELETE PATCH OPTIONS TRACE PROPFIND get))
	{
		next if " $allowed," =~ / $method,/;
		my $answer = ask($method, $path, undef, $method eq 'POST' ? 'x' : undef);
		is($answer->{status}, 405, "$short: $method");
		is($answer->{headers}{allow}, $allowed, "$short: what it allows instead");
	}
	my $get = ask('GET', $path);
	my $head = ask('HEAD', $path);
	is($head->{status}, $get->{status}, "$short: HEAD has the status of GET");
	is($head->{body}, '', "$short: HEAD has no body");
	my $without = sub { my %headers = %{ $_[0]{headers} }; delete $headers{date}; $headers{$_} =~ s/nonce-\w+/nonce/ for keys %headers; \%headers };
	is_deeply($without->($head), $without->($get), "$short: HEAD has the headers of GET");
}
is(ask('GET', '/healthz')->{body}, "ok\n", 'healthz');
is(ask('GET', '/favicon.ico')->{headers}{'content-type'}, 'image/svg+xml', 'favicon');
like(ask('GET', '/robots.txt')->{body}, qr/^Disallow: \/$/m, 'robots');

## A GET changes nothing but what is recorded.

sub tables
{
	return join "\n", map { sql("SELECT '$_', t FROM incomplete_orders.$_ t ORDER BY t::text") } qw(mock_messages mock_restored mock_unsubscribed link_behaviour);
}
{
	ok(await(undef, sub { my $n = events(); sleep 2.5; events() == $n }), 'all visits are recorded');
	my $before = tables();
	my $count = events();
	for my $method (qw(GET HEAD))
	{
		ask($method, $_) for sort keys %pages;
	}
	ok(await(undef, sub { events() > $count }), 'looking is recorded');
	is(tables(), $before, 'and changes nothing else');
}

## Nothing about a person anywhere.

unlike($all_bodies, qr/jane|doe\@|shopper\.example/i, 'no address in any answer');
unlike($all_bodies, qr/^set-cookie:/im, 'no cookie in any answer');

## What the log has.

ok(await($run, sub { $run->{err} =~ m{path=/robots\.txt} }), 'the log says what was asked for');
unlike($run->{err}, qr/\Q$_\E/, 'no token in the log') for map { substr $_, 0, 10 } values %token;
unlike($run->{err}, qr/jane|127\.0\.0\.1(?!:\d+$)/m, 'no address of anybody in the log');
like($run->{err}, qr{level=info event=request method=GET path=/r/Messag status=200 ms=[\d.]+ note=human$}m, 'a line for each request');
like($run->{err}, qr{method=GET path=- status=404}, 'nothing of a path that is none');

## Bodies, and clients that are slow.

is(ask('POST', "/u/$token{u}", undef, 'x' x 8192)->{status}, 200, 'a body of 8 KiB');
my $large = ask('POST', "/u/$token{u}", undef, 'x' x 8193);
is($large->{status}, 413, 'a larger one');
good_page($large, 'too large', 'en');
is(ask('POST', "/u/$token{u}", { 'Content-Length' => $_ })->{status}, 413, "one that says $_ bytes") for 1_000_000, '9' x 15, '0008193';
sub chunked { my ($size, $n) = @_; return sprintf("%x\r\n%s\r\n", $size, 'x' x $size) x $n . "0\r\n\r\n" }
is(ask('POST', "/u/$token{u}", { 'Transfer-Encoding' => 'chunked', 'Content-Length' => undef }, chunked(100, 5))->{status}, 200, 'a body in chunks');
is(ask('POST', "/u/$token{u}", { 'Transfer-Encoding' => 'chunked', 'Content-Length' => undef }, chunked(4096, 4))->{status}, 413, 'too much in chunks');
isnt(eval { ask('POST', "/u/$token{u}", { 'Transfer-Encoding' => 'chunked', 'Content-Length' => undef }, chunked(4096, 64))->{status} } // 0, 200, 'far too much in chunks');
my $long = ask('GET', '/r/' . 'a' x 20000);
isnt($long->{status}, 200, 'a long address');
isnt(ask('GET', "/r/$token{r}", { Cookie => 'x' x 20000 })->{status}, 200, 'a long header');
is(ask('GET', '/healthz')->{status}, 200, 'it lives');
{
	# One after the other over one connection.
	my $socket = http_connect($server);
	for my $n (1 .. 3)
	{
		print $socket "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
		is(http_read($socket)->{status}, 200, "kept connection: answer $n");
	}
	# Clients that are silent, one that is in no hurry, and one that left hold up nobody.
	my @silent = map { http_connect($server) } 1 .. 20;
	my $slow = http_connect($server);
	my $began = time;
	for my $piece ('POST /u/', $token{u}, " HTTP/1.1\r\nHost: x\r\nContent-Len", "gth: 5\r\n\r\n12", '345')
	{
		print $slow $piece;
		sleep 0.3;
		is(ask('GET', '/healthz')->{status}, 200, 'a slow client does not disturb others');
	}
	is(http_read($slow)->{status}, 200, 'and is answered');
	my $gone = http_connect($server);
	print $gone "GET /r/$token{r} HTTP/1.1\r\nHost: x\r\n\r\n";
	close $gone;
	my $drip = http_connect($server);
	ok(await(undef, sub { print $drip 'x'; sleep 0.4; IO::Select->new($drip)->can_read(0) && !sysread $drip, my $rest, 1000 }), 'a client that sends a byte now and then is cut off');
	cmp_ok(time - $began, '<', 50, 'in time');
	my $closed = grep { IO::Select->new($_)->can_read(0) } @silent;
	is($closed, 20, 'and silent ones are');
}

## A slow database delays nobody but who asks.

{
	link_behaves(pause => 2);
	my @waiting = map { my $s = http_connect($server); print $s "GET /r/$token{r} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"; $s } 1 .. 2;
	sleep 0.3;
	my $began = time;
	is(ask('GET', '/healthz')->{status}, 200, 'slow database: another question');
	is(ask('GET', '/favicon.ico')->{status}, 200, 'slow database: a page without one');
	cmp_ok(time - $began, '<', 1.5, 'slow database: neither waits');
	is(http_read($_)->{status}, 200, 'slow database: the slow ones are answered, too') for @waiting;

	# longer than anybody here waits
	link_behaves(pause => 600);
	$began = time;
	$page = ask('GET', "/r/$token{r}");
	is($page->{status}, 503, 'hanging database');
	cmp_ok(time - $began, '<', 9, 'hanging database: in time');
	like($page->{headers}{'retry-after'}, qr/^\d+$/, 'hanging database: when to come again');
	like($page->{body}, qr/Nothing is lost/, 'hanging database: says so');
	good_page($page, 'hanging database', 'en');
	ok(await(undef, sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'incomplete-orders' AND state = 'active'}) == 0 }),
		'hanging database: nothing hangs on there');
	link_behaves(pause => 0);
	is(ask('GET', "/r/$token{r}")->{status}, 200, 'hanging database: well again');
}

## Errors of the database.

{
	link_behaves(sqlstate => 'IC011', message => 'bad token', detail => 'Its message is not kept any more.');
	is(ask('GET', "/r/$token{r}")->{status}, 410, 'a message of long ago');
}
for my $case ([ 'IC003', 410 ], [ 'IC006', 410 ], [ '40001', 503 ], [ '40P01', 503 ], [ '53300', 503 ], [ '25006', 503 ], [ '42501', 500 ], [ 'XX000', 500 ],
	[ '22P02', 500 ], [ 'P0001', 500 ])
{
	my ($sqlstate, $status) = @$case;
	link_behaves(sqlstate => $sqlstate, message => 'jane.doe@shopper.example', detail => 'jane.doe@shopper.example');
	for my $method (qw(GET POST))
	{
		$page = ask($method, "/r/$token{r}", undef, $method eq 'POST' ? '' : undef);
		is($page->{status}, $status, "$sqlstate: $method");
		unlike($page->{body} . $page->{head}, qr/jane/, "$sqlstate: quotes nothing");
		unlike($page->{body}, qr/IC\d|SQL|$sqlstate/, "$sqlstate: is for people");
	}
}
{
	my $converted = make_message($node, 'mock', status => 'converted');
	sql(q{CREATE OR REPLACE FUNCTION incomplete_orders.restore_cart(token text, session_id text, shop text DEFAULT NULL, at timestamptz DEFAULT now())
		RETURNS TABLE (id uuid, items jsonb, removed jsonb, changed jsonb) LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'IC004', MESSAGE = 'x'; END $$});
	link_behaves(sqlstate => undef);
	$page = ask('POST', '/r/' . link_token($converted, 'r'), undef, '');
	is($page->{status}, 200, 'bought meanwhile');
	like($page->{body}, qr/already ordered/, 'bought meanwhile: says so');
	is(ask('POST', "/r/$token{r}", undef, '')->{status}, 410, 'refused otherwise');
}
unlike($all_bodies, qr/jane|doe\@|shopper\.example/i, 'still no address in any answer');

## A person, or a machine.

{
	open my $file, '<', "$FindBin::RealBin/data/visits.txt" or die $!;
	my (@patterns, @schedule);
	while (my $line = <$file>)
	{
		chomp $line;
		next if $line =~ /^#/ || $line eq '';
		if ($line =~ /^= (.*)/)
		{
			push @patterns, { name => $1, offset => 0, beginning => make_message($node, 'mock',
				items => '[{"sku":"A","quantity":1,"unit_price":"1","url":"https://shop.example/a"},{"sku":"B","quantity":1,"unit_price":"1"},'
				  . '{"sku":"C","quantity":1,"unit_price":"1","url":"https://shop.example/c"}]') };
		}
		elsif ($line =~ /^\+(\d+)$/)
		{
			$patterns[-1]{offset} = $1 / 1000;
		}
		elsif ($line =~ /^(GET|HEAD) ([rcoun])(\d*)$/)
		{
			my $path = "/$2/" . link_token($patterns[-1]{beginning}, $2) . ($3 ne '' ? "/$3" : '');
			push @schedule, { offset => $patterns[-1]{offset}, method => $1, path => $path, headers => {} };
		}
		elsif ($line =~ /^>\s*(.*)/)
		{
			$patterns[-1]{expected} = $1;
		}
		elsif ($line =~ /^([\w-]+): (.*)/)
		{
			$schedule[-1]{headers}{$1} = $2;
		}
		else
		{
			die "line $. of visits.txt: $line";
		}
	}
	close $file;
	cmp_ok(scalar(@patterns), '>=', 40, 'patterns of visits');
	my $count = events();
	my $began = time;
	for my $request (sort { $a->{offset} <=> $b->{offset} } @schedule)
	{
		my $wait = $began + $request->{offset} - time;
		sleep $wait if $wait > 0;
		http_request($server, $request->{method}, $request->{path}, $request->{headers});
		read_log();
	}
	cmp_ok(time - $began, '<', 3.9, 'in the pace that they have');
	my $expected = 0;
	$expected += () = $_->{expected} =~ /human|machine/g for @patterns;
	ok(await(undef, sub { events() >= $count + $expected }), 'all of them are recorded');
	for my $pattern (@patterns)
	{
		is(sql("SELECT coalesce(string_agg(event || CASE machine WHEN true THEN ' machine' WHEN false THEN ' human' END, ', ' ORDER BY event, machine), '')
				FROM incomplete_orders.mock_events JOIN incomplete_orders.mock_messages USING (message_id) WHERE beginning = '$pattern->{beginning}'"),
			$pattern->{expected}, "visit: $pattern->{name}");
	}
}

## Anything at all.

{
	my $seed = time;
	srand($seed);
	my @words = ('GET', 'POST', 'HEAD', 'OPTIONS', ' ', ' /', '/r/', '/c/', '/u/', $token{r}, $token{u}, ' HTTP/1.1', ' HTTP/1.0', ' HTTP/9.9', "\r\n", "\n", "\r\n\r\n", 'Host: x',
		'Content-Length: 5', 'Content-Length: -1', 'Content-Length: 99999999999999999999', 'Transfer-Encoding: chunked', "ffffffffff\r\n", "5\r\nabcde\r\n0\r\n\r\n", 'Expect: 100-continue',
		'Connection: keep-alive', 'Connection: close', "\0", "\xff\xfe", '%00', '%', '?', '&a=b', '..', 'Cookie: a=b', ': ', 'User-Agent: ', 'Accept-Language: de;q=', 'x' x 5000);
	my $end = time + 5;
	my $n = 0;
	while (time < $end)
	{
		my $socket = http_connect($server);
		my $text = rand() < 0.5 ? "GET /r/$token{r} HTTP/1.1\r\nHost: x\r\n\r\n" : '';
		$text .= $words[ rand @words ] for 1 .. 1 + rand 25;
		# And whole requests with a few bytes changed.
		substr $text, rand(length $text), 1, chr rand 256 for 1 .. rand 4;
		local $SIG{PIPE} = 'IGNORE';
		syswrite $socket, $text;
		sysread $socket, my $answer, 4096 if IO::Select->new($socket)->can_read(0.002);
		close $socket;
		read_log();
		$n++;
	}
	diag("random requests: $n, seed $seed") if is(ask('GET', '/healthz')->{status}, 200, "it lives after random requests (seed $seed)") == 0;
	cmp_ok($n, '>', 100, 'there were many');
}

## Asked to stop: what has begun is answered, what is held is recorded.

{
	link_behaves(pause => 1);
	my $late = make_message($node, 'mock');
	my $waiting = http_connect($server);
	print $waiting 'GET /r/' . link_token($late, 'r') . " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" . join('', map { "$_: $browser{$_}\r\n" } keys %browser) . "\r\n";
	sleep 0.3;
	my $idle = http_connect($server);
	kill 'TERM', $run->{pid};
	is(http_read($waiting)->{status}, 200, 'stopping: a request that has begun is answered');
	my ($code, $seconds) = finish($run);
	is($code, 0, 'stopping: exit code');
	cmp_ok($seconds, '<', 8, 'stopping: without waiting for silent clients');
	is(sql("SELECT event, machine FROM incomplete_orders.mock_events JOIN incomplete_orders.mock_messages USING (message_id) WHERE beginning = '$late'"), 'clicked|f',
		'stopping: the visit is recorded');
	like($run->{err}, qr/event=stop/, 'stopping: says so');
	ok(!eval { http_connect($server) }, 'stopping: nobody listens');
	link_behaves(pause => 0);
}

# In a hurry, with a request that would wait: it is told, and so is who keeps asking.
{
	start_server();
	# longer than anybody here waits
	link_behaves(pause => 600);
	my $kept = http_connect($server);
	print $kept "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	is(http_read($kept)->{headers}{connection} // '', '', 'in a hurry: a connection is kept');
	my $waiting = http_connect($server);
	print $waiting "GET /r/$token{r} HTTP/1.1\r\nHost: x\r\n\r\n";
	sleep 0.3;
	kill 'TERM', $run->{pid};
	sleep 0.3;
	print $kept "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	my $last = http_read($kept);
	is_deeply([ $last->{status}, lc $last->{headers}{connection} ], [ 200, 'close' ], 'in a hurry: but not while it stops');
	kill 'TERM', $run->{pid};
	is(http_read($waiting)->{status}, 503, 'in a hurry: who waits is told');
	my ($code, $seconds) = finish($run);
	is($code, 0, 'in a hurry: exit code');
	cmp_ok($seconds, '<', 3, 'in a hurry: at once');
	ok(await(undef, sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'incomplete-orders'}) == 0 }),
		'in a hurry: nothing works on');
	link_behaves(pause => 0);
}

## The database goes and comes.

{
	start_server();
	my $away = make_message($node, 'mock');
	is(ask('GET', '/healthz')->{status}, 200, 'database: there');
	$node->stop('immediate');
	ok(await($run, sub { ask('GET', '/healthz')->{status} == 503 }), 'database: away');
	my $began = time;
	for my $case ([ 'GET', "/r/$token{r}" ], [ 'POST', "/r/$token{r}" ], [ 'GET', "/c/$token{c}/1" ], [ 'POST', "/u/$token{u}" ])
	{
		my ($method, $path) = @$case;
		$page = ask($method, $path, undef, $method eq 'POST' ? '' : undef);
		is($page->{status}, 503, "database: away, $method " . substr($path, 0, 3));
		ok($page->{headers}{'retry-after'} > 0, 'when to come again');
	}
	cmp_ok(time - $began, '<', 2, 'database: away, nobody waits');
	is(ask('GET', '/o/' . link_token($away, 'o'))->{status}, 200, 'database: away, the picture is there');
	is(ask('GET', '/favicon.ico')->{status}, 200, 'database: away, so is what needs none');
	$node->start;
	ok(await($run, sub { ask('GET', '/healthz')->{status} == 200 }), 'database: back');
	is(ask('GET', "/r/$token{r}")->{status}, 200, 'database: back, pages too');
	ok(await($run, sub { sql("SELECT count(*) FROM incomplete_orders.mock_events JOIN incomplete_orders.mock_messages USING (message_id) WHERE beginning = '$away' AND event = 'opened'") }),
		'database: what was seen meanwhile is recorded');
	is(() = $run->{err} =~ /event=request/g, 0, 'without --verbose no line for a request');
	is((finish($run, 'INT'))[0], 0, 'stopping by SIGINT');
}
{
	# From the beginning.
	$node->stop;
	start_server();
	is(ask('GET', "/r/$token{r}")->{status}, 503, 'started without a database: says so');
	$node->start;
	ok(await($run, sub { ask('GET', '/healthz')->{status} == 200 }), 'started without a database: finds it');
	is((finish($run, 'TERM'))[0], 0, 'stopping at once');
}

## What cannot be served.

for my $case ([ [ '-d', 'nowhere' ], 78 ], [ [ '-d', 'dbname=mock user=stranger' ], 77 ])
{
	my ($arguments, $expected) = @$case;
	$run = begin('serve', '--listen=127.0.0.1:0', @$arguments);
	is((finish($run))[0], $expected, "@$arguments: ends with $expected");
	like($run->{err}, qr/level=error event=connect/, "@$arguments: says why");
}
start_server();
my ($code, $out, $err) = program('serve', "--listen=$server");
is($code, 69, 'a port that is taken');
like($err, qr/could not listen on "\Q$server\E": Address already in use/, 'a port that is taken: says so');
is((program('serve', '--listen=nobody.invalid:80'))[0], 69, 'a host that is not known');
{
	my $socket = notify_socket($ENV{NOTIFY_SOCKET} = PostgreSQL::Test::Utils::tempdir_short() . '/notify');
	my $other = begin('serve', '--listen=localhost:0');
	my $heard = '';
	ok(await($other, sub { ($heard .= received($socket)) =~ /READY=1/ }), 'systemd is told');
	is((finish($other, 'TERM'))[0], 0, 'and it ends');
	like($heard . received($socket), qr/STOPPING=1/, 'and is told that, too');
	delete $ENV{NOTIFY_SOCKET};
}
is((finish($run, 'TERM'))[0], 0, 'the end');

done_testing();
