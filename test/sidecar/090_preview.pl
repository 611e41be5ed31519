# One mail to look at: preview-mail and test-mail with the extension itself; and the
# checker of texts against the renderer.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Mails;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('preview');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
connect_to($node, 'postgres');

# As the superuser, whoever runs the program.
sub sql
{
	delete local $ENV{PGUSER};
	return $node->safe_psql('postgres', $_[0]);
}

my ($code, $out, $err);
sql(q{CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();
	CREATE ROLE clock LOGIN; CREATE ROLE staff LOGIN; CREATE ROLE webshop LOGIN; CREATE ROLE nobody LOGIN;
	SELECT incomplete_orders.grant_to('clock', 'sender'), incomplete_orders.grant_to('staff', 'admin'), incomplete_orders.grant_to('webshop', 'app')});

## Rights

my $folder = PostgreSQL::Test::Utils::tempdir();
my $mail = mail_server($folder);
for my $case ([ 'clock', 77 ], [ 'staff', 0 ], [ 'webshop', 77 ], [ 'nobody', 77 ])
{
	my ($role, $wanted) = @$case;
	local $ENV{PGUSER} = $role;
	is((program('preview-mail'))[0], $wanted, "$role: preview-mail");
}
{
	local $ENV{PGUSER} = 'clock';
	is((program('test-mail', '--to=me@shop.example', '--from=shop@shop.example', '--base-url=https://shop.example', mail_url($mail)))[0], 77, 'clock: test-mail');
}
is(scalar(accepted($mail)), 0, 'who has no right sends nothing');
$ENV{PGUSER} = 'staff';

## Every text in both languages

for my $row (split /\n/, sql(q{SELECT template, locale, split_part(template, '_', 1) FROM incomplete_orders.list_templates() ORDER BY 1, 2}))
{
	my ($template, $locale, $kind) = split /\|/, $row;
	($code, $out, $err) = program('preview-mail', "--template=$template", "--locale=$locale");
	is("$code $err", '0 ', "$template, $locale: there is a mail");
	unlike($out, qr/\{\{|\}\}|\{ue\}/, "$template, $locale: nothing of the template is left");
	like($out, qr/^Subject: \S/, "$template, $locale: a subject");
	my ($hello, $total, $reason, $unsubscribe) = $locale eq 'de' ? ('Guten Tag Jane Doe,', "Summe: 1.274,30\xc2\xa0USD", 'Sie erhalten diese Mail, weil', 'Keine Erinnerungen mehr:')
		: ('Hello Jane Doe,', "Total: USD\xc2\xa01,274.30", 'You get this mail because', 'Stop these reminders:');
	for my $wanted ($hello, $total, $reason, $unsubscribe)
	{
		like($out, qr/^\Q$wanted\E/m, "$template, $locale: $wanted");
	}
	like($out, qr/SAVE10/, "$template, $locale: has the discount") if $template =~ /_offer$/;
}

## Letters that the encoding of a database does not have

for my $case ([ 'LATIN1', "Zahlung abschlie\xc3\x9fen" ], [ 'WIN1251', 'Zahlung abschliessen' ])
{
	my ($encoding, $button) = @$case;
	sql("CREATE DATABASE letters TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	$node->safe_psql('letters', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup()', extra_params => [ '-U', (getpwuid $<)[0] ]);
	delete local $ENV{PGUSER};
	like((program('preview-mail', '-d', 'letters', '--locale=de', '--template=payment_final'))[1], qr/^$button:$/m, "$encoding: German all the same");
	sql('DROP DATABASE letters');
}

## Languages

($code, $out) = program('preview-mail', '--locale=de-AT', '--format=eml');
like($out, qr/^Content-Language: de-AT\r$/m, 'de-AT: is German with a country');
like($out, qr/^Guten Tag/m, 'de-AT: reads the German text');
($code, $out) = program('preview-mail', '--locale=fr', '--format=eml');
like($out, qr/^Content-Language: en\r$/m, 'fr: is told in English, and says so');
($code, $out) = program('preview-mail', '--locale=fr', '--format=html');
like($out, qr/<html lang="en"/, 'fr: the HTML too');
like($out, qr/USD&nbsp;1,274\.30|USD\xc2\xa01,274\.30/, 'fr: and its numbers');
sql(q{SELECT incomplete_orders.save_template('cart_final', 'en', '{"body": "{{#days_until_expiry}}{{days_until_expiry}} days{{/days_until_expiry}}{{^days_until_expiry}}the last day{{/days_until_expiry}} is what is left"}')});
like((program('preview-mail', '--template=cart_final', '--locale=fr'))[1], qr/^27 days is what is left$/m, 'the text that was saved');

## What may be named is there

my @variables = map { [ split /\|/ ] } split /\n/, sql(q{SELECT name, coalesce(inside, ''), kind FROM incomplete_orders.template_variables()});
cmp_ok(scalar(@variables), '>', 15, 'there are variables');
my $line = join '', map { "$_->[0]=[{{$_->[0]}}]\n" } grep { $_->[1] eq 'items' } @variables;
my $body = "x\n" . join('', map { "$_->[0]=[{{$_->[0]}}]\n" } grep { $_->[1] eq '' && $_->[2] =~ /^text/ } @variables) . "{{#items}}\n$line\{{/items}}\n"
	. join('', map { "{{#$_->[0]}}$_->[0]: yes{{/$_->[0]}}{{^$_->[0]}}$_->[0]: no{{/$_->[0]}}\n" } grep { $_->[2] eq 'condition' } @variables);
sql(qq{SELECT incomplete_orders.save_template('cart_abandoned', 'en', jsonb_build_object('body', \$t\$$body\$t\$))});
($code, $out) = program('preview-mail');
for my $variable (@variables)
{
	my ($name, $inside, $kind) = @$variable;
	if ($kind eq 'condition') { like($out, qr/^$name: (?:yes|no)$/m, "$name: is one thing or the other") }
	elsif ($kind eq 'list') { is(scalar(() = $out =~ /^quantity=\[/mg), 2, "$name: each line") }
	elsif ($name eq 'image_url') { like($out, qr/^image_url=\[\]$/m, "$name: the sample has none") }
	else { like($out, qr/^$name=\[[^\]]+\]/m, "$name: is there") }
}
my ($mandir) = run_command([ 'pg_config', '--mandir' ]);
my $manual = slurp_file("$mandir/man1/incomplete-orders.1");
like($manual, qr/^\.Li (?:.* )?$_->[0](?: .*)?$/m, "$_->[0]: is in the manual page") for @variables;
($code, $out) = program('preview-mail', '--locale=de');
unlike($out, qr/quantity=/, 'another language keeps its text');
sql(q{SELECT incomplete_orders.save_template('cart_abandoned', 'de', '{"body": "{{#items}}{{unit_price}}/{{line_total}} {{/items}}{{total_amount}} {{currency}}"}')});
like((program('preview-mail', '--locale=de'))[1], qr{^19,90/39,80 1\.234,50/1\.234,50 1\.274,30 USD$}m, 'numbers are written as in the language of the text');
sql(q{SELECT incomplete_orders.delete_template('cart_abandoned', 'de'), incomplete_orders.delete_template('cart_abandoned', 'en')});

## A real order

my $order = sql(q{SELECT incomplete_orders.capture_cart('real', '[{"sku":"A","name":"Chess set","quantity":1500,"unit_price":"12.50"}]', email => 'sam@shop.example', name => 'Sam',
	context => '{"locale": "de_DE.UTF-8"}')});
($code, $out) = program('preview-mail', "--order=$order");
like($out, qr/^\* 1\.500 x Chess set: 18\.750,00\xc2\xa0USD$/m, 'an order: in the language of its customer');
like($out, qr/^Guten Tag Sam,$/m, 'an order: its customer is greeted');
unlike((program('preview-mail', "--order=$order", '--format=eml'))[1], qr/sam\@shop/, 'an order: but not addressed');
is(sql('SELECT count(*) FROM incomplete_orders.messages'), 0, 'and nothing was queued');
for my $case ([ 'another id', 65, qr/no such order/, '--order=' . ($order =~ s/.$/0/r eq $order ? $order =~ s/.$/1/r : $order =~ s/.$/0/r) ], [ 'no id', 64, qr/--order is the id of an order, or sample/, '--order=INC-1' ],
	[ 'no template', 64, qr/there is no template "cart_never"/, '--template=cart_never' ], [ 'no language', 64, qr/not the tag of a language/, '--locale=??' ],
	[ 'no shop', 77, qr/no such shop/, '--shop=nowhere' ])
{
	my ($name, $wanted, $says, @arguments) = @$case;
	($code, $out, $err) = program('preview-mail', @arguments);
	is($code, $wanted, "$name: exit code");
	like($err, $says, "$name: says so");
	is($out, '', "$name: nothing on stdout");
}

## test-mail

my @to = ('test-mail', '--to=me@bücher.example', mail_url($mail));
($code, $out, $err) = program(@to);
is($code, 78, 'a shop without a sender: exit code');
like($err, qr/the shop has no base_url/, 'a shop without a sender: says what is missing');
sql(q{SELECT incomplete_orders.configure_shop('default', '{"name": "Buchhafen", "from_email": "post@shop.example", "base_url": "https://shop.example"}')});
($code, $out, $err) = program(@to, '--locale=de', '--template=payment_reminder');
is("$code $err", '0 ', 'sent: exit code');
like($out, qr/^The mail to me\@xn--bcher-kva\.example was sent by 127\.0\.0\.1:\d+: 250 /, 'sent: says to whom, and what the server said');
my @accepted = accepted($mail);
is(scalar(@accepted), 1, 'one mail arrived');
is_deeply([ ref $accepted[0]{to} ? @{ $accepted[0]{to} } : $accepted[0]{to} ], ['me@xn--bcher-kva.example'], 'to nobody else');
my $eml = slurp_file("$folder/1.eml");
like($eml, qr/^From: Buchhafen <post\@shop\.example>\r?$/m, 'from the shop');
like($eml, qr/^Subject: Erinnerung: Ihre Bestellung INC-0123456789 ist noch nicht bezahlt\r?$/m, 'with the subject of the text');
for my $case ([ 'nouser@shop.example', 65, 'was rejected' ], [ 'busy@shop.example', 75, 'was deferred' ])
{
	my ($address, $wanted, $says) = @$case;
	($code, $out) = program('test-mail', "--to=$address", mail_url($mail));
	is($code, $wanted, "$address: exit code");
	like($out, qr/^The mail to \Q$address\E $says by /, "$address: $says");
}
is(sql('SELECT count(*) FROM incomplete_orders.messages'), 0, 'and nothing was queued');
isnt((program(@to[0, 1], '--smtp-url=smtp://127.0.0.1:1'))[0], 0, 'no mail server: fails');
is((program(@to[0, 1], '--smtp-url=smtp://127.0.0.1:1'))[0], 69, 'no mail server: exit code');
for my $case ([ '--to says who', $to[2] ], [ '--smtp-url or --relays says', $to[1] ], [ '--to the address is not of the form', '--to=me', $to[2] ], [ '--order is the id', @to[1, 2], '--order=x' ])
{
	my ($says, @arguments) = @$case;
	($code, undef, $err) = program('test-mail', @arguments);
	is($code, 64, "$says: exit code");
	like($err, qr/\Q$says\E/, "$says: says so");
}

# Asked to stop while the server has the mail and has not answered, twice: not waited for.
hold($mail);
my $run = begin(@to);
ok(held($mail), 'the mail is on its way');
kill 'TERM', $run->{pid};
is(scalar(finish($run, 'TERM')), 75, 'stopped at once: exit code');
like($run->{out}, qr/was deferred by .*outcome unknown/, 'stopped at once: says that nobody knows');
mail_stop($mail);

# A text that somebody wrote past save_template().
sql(q{UPDATE incomplete_orders.templates SET body = '{{#items}}' WHERE template = 'cart_offer' AND locale = 'en'});
($code, $out, $err) = program('preview-mail', '--template=cart_offer');
is("$code $out", '65 ', 'a text that is no template: exit code');
like($err, qr/^incomplete-orders: preview-mail: template, body: Unclosed section/, 'a text that is no template: says so');
sql('SELECT incomplete_orders.setup()');
is((program('preview-mail', '--template=cart_offer'))[0], 0, 'setup() mends a default');

## What the checker lets pass the renderer renders.

delete $ENV{PGUSER};
queue_database($node, 'mails');
$ENV{CHECKER_DATABASE} = 'postgres';
connect_to($node, 'mails');
python_tests('090_preview.py');
done_testing();
