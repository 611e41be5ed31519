# What the README shows works as it stands there: all of its SQL, in its order, in one
# session on a new server, and the tables that it shows are what comes out.
use strict;
use warnings;

use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file("$FindBin::RealBin/../../README.md");
my (@blocks, @shown);
while ($readme =~ /^```sql\n(.*?)^```\n((?:\s*\n)*)((?:    [^\n]*\n)*)/gms)
{
	my ($sql, $table) = ($1, $3);
	push @blocks, $sql;
	push @shown, $table =~ /^ +[-+]+\n/m ? $table : undef;
}
cmp_ok(scalar(@blocks), '>', 20, 'the README has SQL');
cmp_ok(scalar(grep { defined } @shown), '>', 4, 'and shows what comes out');

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
# the shop's own tables, of which the README speaks
$node->safe_psql('postgres', 'CREATE SCHEMA myshop; CREATE TABLE myshop.products (sku text, stock integer, price numeric)');

my $script = '';
for my $n (0 .. $#blocks)
{
	# whatever the time of day is
	$script .= "RESET ROLE; UPDATE incomplete_orders.shops SET quiet_from = '00:00', quiet_to = '00:00' WHERE shop = 'lamps'; SET ROLE maria;\n"
		if $blocks[$n] =~ /preview_recovery\('lamps'/;
	$script .= "\\echo \@\@$n\n$blocks[$n]";
}
my ($out, $err);
my $done = IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ], '<', \$script, '>', \$out, '2>', \$err);
ok($done, 'all of it runs') or diag($err);

my @came = split /^\@\@\d+\n/m, $out;
shift @came;
for my $n (grep { defined $shown[$_] } 0 .. $#shown)
{
	my ($want, $have) = ($shown[$n], $came[$n] // '');
	$want =~ s/^    //mg;
	s/[ \t]+$//mg for $want, $have;
	$want =~ s/\s+\z/\n/;
	ok(index($have, $want) >= 0, 'what it shows after: ' . (split /\n/, $blocks[$n])[0]) or diag("shown:\n${want}came:\n$have");
}

$node->stop;
done_testing();
