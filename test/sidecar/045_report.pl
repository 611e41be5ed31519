# report and update-analytics, with the extension itself: csv and json are the rows of the functions, the
# text is aligned and drawn with what the locale has, and who may not see a shop sees nothing.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IO::Pty;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('report');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
connect_to($node, 'postgres');
delete $ENV{$_} for qw(LC_ALL LC_CTYPE);
$ENV{LANG} = 'C';

# As the superuser, whoever runs the program.
sub sql
{
	my ($query, @options) = @_;
	delete local $ENV{PGUSER};
	my ($out) = run_command([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', @options, '-c', $query ]);
	return $out;
}

sub said
{
	my ($code, $out, $err) = program(@_);
	is("$code $err", '0 ', "@_");
	return $out;
}

sql('CREATE EXTENSION incomplete_orders; CREATE ROLE viewer LOGIN; CREATE ROLE staff LOGIN; CREATE ROLE webshop LOGIN; CREATE ROLE nobody LOGIN');
is((program('report'))[0], 78, 'report before setup()');
is((program('update-analytics'))[0], 78, 'update-analytics before setup()');
sql(q{SELECT incomplete_orders.setup(); SELECT incomplete_orders.create_shop('books', 'Books', 'EUR', 'UTC'), incomplete_orders.create_shop('fish', 'Fish', 'JPY', 'UTC')});
sql(q{SELECT incomplete_orders.grant_to('viewer', 'analyst', 'books'), incomplete_orders.grant_to('staff', 'admin', NULL), incomplete_orders.grant_to('webshop', 'app', 'books')});

# The tenth of June and its day before: six carts and two; three of the six are left, two bought, and one is given a reason.
sql(q{SELECT incomplete_orders.capture_cart('p' || n, '[{"sku":"A","name":"Blue, \"wide\" shirt","quantity":1,"unit_price":"500.5"}]', shop => 'books', at => '2024-06-09 12:00Z')
	FROM generate_series(1, 2) n});
sql(q{SELECT incomplete_orders.capture_cart('c' || n, jsonb_build_array(jsonb_build_object('sku', 'A', 'name', E'Blue, "wide" \x1b[31mshirt', 'quantity', 1, 'unit_price', n * 1000)),
	step => 'payment', shop => 'books', at => '2024-06-10 12:00Z') FROM generate_series(1, 6) n});
sql(q{SELECT incomplete_orders.capture_cart('fish', '[{"sku":"F","quantity":3,"unit_price":700}]', shop => 'fish', at => '2024-06-10 12:00Z')});
sql(q{SELECT incomplete_orders.convert_order(id, at => '2024-06-10 12:30Z') FROM incomplete_orders.incomplete_orders WHERE session_id IN ('c1', 'c2')});
sql(q{SELECT incomplete_orders.mark_abandoned(id, 'too_expensive', at => '2024-06-10 12:20Z') FROM incomplete_orders.incomplete_orders WHERE session_id IN ('c3', 'c4', 'c5')});

my @days = ('--from=2024-06-10', '--to=2024-06-10');
my @books = ('report', '--shop=books', @days);
my %functions = (overview => 'statistics', funnel => 'funnel', days => 'statistics_by_day', reasons => 'statistics_by_reason',
	campaigns => 'statistics_by_campaign', products => 'statistics_by_product', times => 'statistics_by_recovery_time');
my @sections = qw(overview funnel days reasons campaigns products times);

## csv and json: exactly what the functions say.

my $json = decode_json(said(@books, '--format=json'));
is_deeply([ sort keys %$json ], [ sort qw(from to), @sections ], 'json: the days and every section');
is("$json->{from} $json->{to}", '2024-06-10 2024-06-10', 'json: the last day is included');
my @all;
for my $section (@sections)
{
	my $csv = said(@books, "--section=$section", '--format=csv');
	my $from = "FROM incomplete_orders.$functions{$section}('books', '2024-06-10', '2024-06-11') r";
	is($csv, sql("SELECT * $from", '--csv', '-P', 'tuples_only=off') . "\n", "csv: $section");
	is_deeply($json->{$section}, decode_json(sql("SELECT coalesce(json_agg(r), '[]') $from")), "json: $section");
	push @all, "# $section\n$csv";
}
is(said(@books, '--format=csv'), join("\n", @all), 'csv: all sections, one below the other');
is($json->{overview}[0]{total}, 6, 'that is of this day alone');
is(scalar(@{ $json->{days} }), 1, 'one row for it');

## text

my $text = said(@books);
like($text, qr/^Incomplete orders of books, 2024-06-10 to 2024-06-10 \(1 day\), and the change against as many days before\n\nEUR\n/, 'text: what it is of');
like($text, qr/^  Orders begun +6 +\+200\.0 %$/m, 'text: a count, and its change');
like($text, qr/^    worth +21,000\.00 +\+1997\.9 %$/m, 'text: money with thousands and decimals');
like($text, qr/^  Conversion +33\.3 % +\+33\.3 pts$/m, 'text: a share changes by points');
like($text, qr/^  Bought by now +2 +new$/m, 'text: there was none before');
like($text, qr/^  Half recovered within +-$/m, 'text: what is not known is a dash');
like($text, qr/^\nWhat the messages did\n  nothing$/m, 'text: a section without rows says so');
like($text, qr/^  EUR  too_expensive +3  12,000\.00 +0  +0\.00  +0\.0 %  #{16}$/m, 'text: a bar of ASCII');
like($text, qr/^  EUR  converted +2 +33\.3 % +[\d.]+ %  #{5}$/m, 'text: as long as its share');
unlike($text, qr/[^\n -~]/, 'text: nothing but ASCII, and no control characters');
unlike($text, qr/ $/m, 'text: nothing behind the last cell');
my %ends;
$ends{ length($1) }++ while $text =~ /^(  EUR  (?:cart|contact|shipping|payment|review|converted) +\d+) /mg;
is(scalar(keys %ends), 1, 'text: numbers end below each other');
like(said('report', '--shop=fish', @days), qr/^    worth +2,100(?: +new)?$/m, 'text: yen have no decimals');
{
	local $ENV{LC_ALL} = 'C.UTF-8';
	like(said(@books), qr/^  EUR  too_expensive .*  \xe2\x96\x88/m, 'text: blocks where the locale has UTF-8');
	like(said('report', '--shop=books', '--from=2024-06-08', '--to=2024-06-10'),
		qr/^  Orders begun, by day +\xe2\x96\x81\xe2\x96\x84\xe2\x96\x88$/m, 'text: the days as a line');
}
like(said('report', '--shop=books', '--from=2024-06-08', '--to=2024-06-10'), qr/^  Orders begun, by day +_-#$/m, 'text: the same in ASCII');
is_deeply([ said(@books, '--section=funnel') =~ /^(\w[\w ]*)$/mg ], ['How far they came'], 'text: one section alone');

# Colours are for terminals.
for my $no_color (undef, '1')
{
	local $ENV{NO_COLOR} = $no_color;
	delete $ENV{NO_COLOR} if !defined $no_color;
	my $seen = '';
	IPC::Run::run([ 'incomplete-orders', @books ], '>pty>', \$seen);
	is($seen =~ /\x1b\[32m\+33\.3 pts\x1b\[0m/ ? 1 : 0, defined $no_color ? 0 : 1, 'better is green on a terminal' . (defined $no_color ? ', not with NO_COLOR' : ''));
}

## Which days

my ($today) = sql(q{SELECT (now() AT TIME ZONE 'UTC')::date});
for my $case ([ [], 30, $today ], [ ['--to=2024-06-10'], 30, '2024-06-10' ], [ [ '--from=' . sql("SELECT date '$today' - 2") ], 3, $today ])
{
	my ($options, $n, $last) = @$case;
	$json = decode_json(said('report', '--shop=books', '--section=days', '--format=json', @$options));
	is(scalar(@{ $json->{days} }) . " $json->{to}", "$n $last", "days of @$options");
}
my ($code, $out, $err) = program('report', '--shop=books', '--from=2024-06-10', '--to=2024-06-09');
is("$code $out", '64 ', 'the last day before the first');
is((program('report', '--from=2024-02-30'))[0] == 0 ? 1 : 0, 0, 'a day that is not');

## Who

for my $case ([ 'viewer', 0, 0, 77 ], [ 'staff', 0, 0, 0 ], [ 'webshop', 77, 77, 77 ], [ 'nobody', 77, 77, 77 ])
{
	my ($role, $shop, $every, $update) = @$case;
	local $ENV{PGUSER} = $role;
	is((program(@books))[0], $shop, "$role: a shop");
	is((program('report', '--shop=*', @days))[0], $every, "$role: all shops");
	is((program('update-analytics', '--date=2024-06-10'))[0], $update, "$role: update-analytics");
}
{
	local $ENV{PGUSER} = 'viewer';
	is_deeply([ (program('report', '--shop=fish', @days))[ 0, 1 ] ], [ 77, '' ], 'another shop');
	unlike(said('report', '--shop=*', @days), qr/JPY/, 'all shops are those of the role');
	like(said('report', @days), qr/^  Orders begun +6 /m, 'without --shop: the only one');
}
like(said('report', '--shop=*', @days), qr/^EUR\n.*^JPY\n/ms, 'all shops: every currency by itself');

## update-analytics

like(said('update-analytics', '--date=2024-06-10'), qr/^2024-06-10: every figure was right\.$/, 'nothing was wrong');
sql(q{UPDATE incomplete_orders.rollup_states SET converted = converted + 1 WHERE day = '2024-06-10'});
like(said('update-analytics', '--date=2024-06-10'), qr/^2024-06-10: [1-9]\d* figures were others\.$/, 'somebody changed them by hand');
is_deeply(decode_json(said('update-analytics', '--date=2024-06-10', '--format=json')), [ { analytics_day => '2024-06-10', changed => 0 } ], 'then all is right again: json');
like(said('update-analytics'), qr/^20\d\d-\d\d-\d\d: every figure was right\.$/, 'without a day: the last that is over');

$node->stop;
done_testing();
