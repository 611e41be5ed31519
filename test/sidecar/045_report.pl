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
my %functions = (overview => 'statistics', funnel => 'funnel', times => 'statistics_by_recovery_time',
	map { ($_ . 's' => "statistics_by_$_") } qw(day hour value step reason device source campaign product cohort));
my @sections = qw(overview funnel days hours values steps reasons devices sources campaigns products cohorts times);

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
like($text, qr/^Incomplete orders of books, 2024-06-10 to 2024-06-10 \(1 day\)\n\nEUR +these days +as many before +change\n/, 'text: what it is of');
like($text, qr/^  Orders begun +6 +2 +\+200\.0 %$/m, 'text: a count, what it was, and its change');
like($text, qr/^    worth +21,000\.00 +1,001\.00 +\+1998 %$/m, 'text: money with thousands and decimals; no decimals in what is many times as much');
like($text, qr/^    of all +33\.3 % +0\.0 % +\+33\.3 pts$/m, 'text: a share changes by points');
like($text, qr/^  Bought by now +2 +0 +new$/m, 'text: there was none before');
like($text, qr/^    half paid within +- +-$/m, 'text: what is not known is a dash');
like($text, qr/^  Lift of the messages +not enough data$/m, 'text: ... or the reason');
unlike($text, qr/at least \(95/, 'text: ... and no bounds of it');
like($text, qr/\n\nNothing to show: campaigns, times\n\z/, 'text: what there is nothing of is named at the end');
like($text, qr/^  too_expensive +3  12,000\.00 +0  +0\.00  +0\.0 % +0 +0  #{16}$/m, 'text: a bar of ASCII');
like($text, qr/^  converted +2 +33\.3 % +[\d.]+ %  #{5}$/m, 'text: as long as its share');
like($text, qr/^What was in them, EUR\n.*\n   *2,000\.00 +2  7,000\.00 .*\n   *5,000\.00 +1  5,000\.00 /m, 'text: ranges of values');
like($text, qr/^When they left: abandonments, by hour of the week, EUR\n {7}0     6     12    18\n  Mon  _{12}#_{11}\n  Tue  _{24}\n/m, 'text: the hours of the week');
unlike($text, qr/[^\n -~]/, 'text: nothing but ASCII, and no control characters');
unlike($text, qr/ $/m, 'text: nothing behind the last cell');
my %ends;
$ends{ length($1) }++ while $text =~ /^(  (?:cart|contact|shipping|payment|review|converted) +\d+) .* %$/mg;
$ends{ length($1) }++ while $text =~ /^(  (?:cart|contact|shipping|payment|review|converted) +\d+) +[\d.]+ % +[\d.]+ %  #/mg;
is(scalar(keys %ends), 1, 'text: numbers end below each other');
like(said('report', '--shop=fish', @days), qr/^    worth +2,100 /m, 'text: yen have no decimals');
{
	local $ENV{LC_ALL} = 'C.UTF-8';
	like(said(@books), qr/^  too_expensive .*  \xe2\x96\x88/m, 'text: blocks where the locale has UTF-8');
	like(said('report', '--shop=books', '--from=2024-06-08', '--to=2024-06-10'), qr/^    by day +\xe2\x96\x81\xe2\x96\x84\xe2\x96\x88$/m, 'text: the days as a line');
}
like(said('report', '--shop=books', '--from=2024-06-08', '--to=2024-06-10'), qr/^    by day +_-#$/m, 'text: the same in ASCII');
is_deeply([ said(@books, '--section=funnel') =~ /^(\w[\w ]*)/mg ], [ 'Incomplete orders of books', 'How far they came' ], 'text: one section alone');
my $months = said('report', '--shop=books', '--from=2024-03-01', '--to=2024-07-31', '--section=days');
like($months, qr/^By month, EUR\n  Month .*\n  2024-03 +0 .*\n  2024-04 +0 .*\n  2024-05 +0 .*\n  2024-06 +8 +2 +25\.0 % +\d/m, 'text: a row for each month of a long report');
unlike($months, qr/2024-06-10 +\d/, 'text: ... and none for each day');
my $nothing = said('report', '--shop=books', '--from=2020-01-01', '--to=2020-01-31');
like($nothing, qr/^  Orders begun +0 +0$/m, 'text: where nothing happened');
like($nothing, qr/\n\nNothing to show: (?:\w+,\s+){11}times\n\z/, 'text: ... there is one line for all that');

# Colours are for terminals.
for my $no_color (undef, '1')
{
	local $ENV{NO_COLOR} = $no_color;
	delete $ENV{NO_COLOR} if !defined $no_color;
	my $seen = '';
	IPC::Run::run([ 'incomplete-orders', @books ], '>pty>', \$seen);
	is($seen =~ /\x1b\[32m\+33\.3 pts\x1b\[0m/ ? 1 : 0, defined $no_color ? 0 : 1, 'better is green on a terminal' . (defined $no_color ? ', not with NO_COLOR' : ''));
}

# No line is longer than the terminal is wide, and what is left out is what is missed least.
for my $columns (80, 140, 64)
{
	local $ENV{NO_COLOR} = 1;
	local $ENV{LC_ALL} = 'C.UTF-8';
	my $seen = '';
	IPC::Run::run([ 'sh', '-c', "stty cols $columns rows 24 <&1; exec incomplete-orders \"\$@\"", 'sh', @books ], '<', \undef, '>pty>', \$seen);
	utf8::decode($seen);
	$seen =~ s/\r\n/\n/g;
	my ($widest) = sort { $b <=> $a } map { length } split /\n/, $seen;
	ok($widest < $columns && $widest > $columns / 2, "a terminal of $columns columns: $widest");
	is($seen =~ /^ .* Mails$/m ? 1 : 0, $columns == 140 ? 1 : 0, '... the mails of a day are there if they fit');
	like($seen, qr/^  2024-06-10 +6 +2 +.* 12,000\.00/m, '... what is left is whole');
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
like($err, qr/^incomplete-orders: --to is the last day and cannot be before --from: 2024-06-10, 2024-06-09\n/, '... is told so');
for my $day (qw(2024-02-30 2023-02-29 2024-13-01 2024-6-1 tomorrow 2024-06-10x), '')
{
	for my $command ([ 'report', 'from' ], [ 'report', 'to' ], [ 'update-analytics', 'date' ])
	{
		($code, $out, $err) = program($command->[0], "--$command->[1]=$day");
		is("$code $out", '64 ', "$command->[0] --$command->[1]=$day");
		like($err, qr/^incomplete-orders: --$command->[1] is a day as in 2026-06-30, not "\Q$day\E"\n/, '... is told so') if $day ne '';
	}
}
is((program('report', '--shop=books', '--from=2024-02-29', '--to=2024-02-29'))[0], 0, 'a day of a leap year');
for my $wrong ([ '--section=weeks', qr/--section is one of all\|/ ], [ '--format=xml', qr/--format is one of text\|csv\|json/ ], [ 'books', qr/unexpected argument "books"/ ])
{
	($code, $out, $err) = program('report', $wrong->[0]);
	is("$code $out", '64 ', "report $wrong->[0]");
	like($err, $wrong->[1], '... is told so');
}
($code, $out, $err) = program('report', '--shop=none');
is("$code $out", '77 ', 'a shop that there is not');
like($err, qr/no such shop/, '... is told so');

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
like(said('report', '--shop=*', @days), qr/^EUR +these days .*^JPY +these days /ms, 'all shops: every currency by itself');

## update-analytics

like(said('update-analytics', '--date=2024-06-10'), qr/^2024-06-10: every figure was right\.$/, 'nothing was wrong');
sql(q{UPDATE incomplete_orders.rollup_states SET converted = converted + 1 WHERE day = '2024-06-10'});
like(said('update-analytics', '--date=2024-06-10'), qr/^2024-06-10: (?:1 figure was wrong and is|[1-9]\d* figures were wrong and are) corrected\.$/, 'somebody changed them by hand');
is_deeply(decode_json(said('update-analytics', '--date=2024-06-10', '--format=json')), [ { analytics_day => '2024-06-10', changed => 0 } ], 'then all is right again: json');
like(said('update-analytics'), qr/^20\d\d-\d\d-\d\d: every figure was right\.$/, 'without a day: the last that is over');

## What somebody put into a cart cannot harm who reads the report.

sql(q{SELECT incomplete_orders.create_shop('evil', 'Evil', 'EUR', 'UTC')});
sql(q{SELECT incomplete_orders.capture_cart('e' || n, jsonb_build_array(jsonb_build_object('sku', sku, 'name', name, 'quantity', 1, 'unit_price', 5)), shop => 'evil',
	context => '{"device":"=2+5","source":"@SUM(A1)"}', at => '2024-06-10 12:00Z')
	FROM (VALUES (1, '=1+1', '=HYPERLINK("http://example.com/","click")'), (2, '+1', E'-1+1|\'cmd\'!A1'), (3, '@x', E'a\u009b31mb\u202ec'), (4, '-3', E'd"e,f'),
		(5, 'S5', U&'\53F0\706F' || E'\x1b]0;owned\x07 z'), (6, 'S6', repeat('long name ', 20))) v (n, sku, name)});
sql(q{SELECT incomplete_orders.mark_abandoned(id, at => '2024-06-10 12:30Z') FROM incomplete_orders.incomplete_orders WHERE session_id ~ '^e[1-6]$'});
my @evil = ('report', '--shop=evil', @days);
{
	local $ENV{LC_ALL} = 'C.UTF-8';
	for my $format (qw(text csv json))
	{
		local $ENV{NO_COLOR} = 1;
		my $seen = '';
		IPC::Run::run([ 'incomplete-orders', @evil, "--format=$format" ], '>pty>', \$seen);
		utf8::decode($seen);
		$seen =~ s/\r\n/\n/g;
		unlike($seen, qr/[\x00-\x09\x0b-\x1f\x7f-\x9f\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}]/, "no control character of a name reaches the terminal: $format");
	}
	# Two columns for each of the characters that are so wide.
	my @lines = grep { /^  (?:S5|\+1) / } split /\n/, said(@evil, '--section=products');
	utf8::decode($_) for @lines;
	my @at = map { my $line = $_; $line =~ s/[\x{4e00}-\x{9fff}]/xx/g; $line =~ /  1  +5\.00/ ? $-[0] : -1 } @lines;
	is(scalar(@lines) . ($at[0] == $at[1] && $at[0] > 0 ? ' aligned' : " @at"), '2 aligned', 'wide characters are as wide as they are');
}
like(said(@evil, '--section=products'), qr/^  S5 +\?{4}/m, 'where the locale has no UTF-8, there is a ? for each column');
my $csv = said(@evil, '--section=products', '--format=csv');
my $file = PostgreSQL::Test::Utils::tempdir() . '/products.csv';
append_to_file($file, $csv);
my ($parsed) = run_command([ '/usr/bin/python3', '-c', q{
import csv, json, sys
rows = list(csv.reader(open(sys.argv[1], encoding="utf-8", newline="")))
assert len({len(r) for r in rows}) == 1, rows
print(json.dumps([r[:2] for r in rows[1:]]))}, $file ]);
my %names = map { @$_ } @{ decode_json($parsed) };
my %stored = map { @$_ } @{ decode_json(sql(q{SELECT json_agg(json_build_array(product, name)) FROM incomplete_orders.statistics_by_product('evil', '2024-06-10', '2024-06-11')})) };
is(scalar(keys %stored), 6, 'six products');
my %guarded = map { s/^(?=[=+\-@\t\r])/'/r } %stored;
is_deeply(\%names, \%guarded, 'csv: as Python reads it, and what a spreadsheet would compute is text');
is_deeply({ map { ($_->{product} => $_->{name}) } @{ decode_json(said(@evil, '--format=json'))->{products} } }, \%stored, 'json: exactly what is stored');
like(said(@evil, '--section=devices', '--format=csv'), qr/^'=2\+5,EUR,/m, 'csv: a device, too');
unlike($csv, qr/,'-?[\d.]+(?:,|$)/m, 'csv: no number is');

$node->stop;
done_testing();
