# Options, help, manual page and unit: without any server.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

# Whatever might be found without being meant.
$ENV{PGHOST} = $ENV{TMPDIR} // '/tmp';
$ENV{PGPORT} = 1;

sub config
{
	my ($what) = @_;
	my ($path) = run_command([ 'pg_config', "--$what" ]);
	return $path;
}

sub refused
{
	my ($name, $says, @arguments) = @_;
	my ($code, $out, $err) = program(@arguments);
	is($code, 64, "$name: exit code");
	like($err, qr/$says/, "$name: says why");
	like($err, qr/^Try "incomplete-orders.* --help"\.$/m, "$name: names the help");
	is($out, '', "$name: nothing on stdout");
	return;
}

my ($code, $help, $err) = program('--help');
is($code, 0, '--help: exit code');
is($err, '', '--help: nothing on stderr');
my @commands = $help =~ /^([a-z-]+): /mg;
is_deeply(\@commands, [qw(tick cleanup health send send-recovery-emails preview-mail test-mail serve run report update-analytics)], '--help: has all commands');
like($help, qr/--max-seconds=N .*\(default: 50\)/, '--help: has defaults');
is(scalar(grep { length > 100 } split /\n/, $help), 0, '--help: fits into a terminal');

# Every option is in the manual page, with its value and default, and no other is.
my $page = slurp_file(config('mandir') . '/man1/incomplete-orders.1');
my %manual;
my $section = '';
for (split /\n(?=\.(?:Ss|Sh|It) )/, $page)
{
	$section = lc $1 if /^\.S[sh] (.*)/;
	next unless /^\.It .*Fl Fl ([\w-]+)(?: Ns = Ns Ar (\S+))?/;
	my ($option, $value) = ($1, $2 // '');
	$manual{"$section $option"} = [ $value, /^Default: (.*)\.$/m ? $1 : '' ];
}
my %printed;
$section = '';
# what is too long for a line goes on in the next
for (split /\n/, $help =~ s/\|\n +/|/gr =~ s/(--\S+)\n {28}/$1 /gr)
{
	$section = lc $1 if /^(\w[^:]*)(?:: |:$)/;
	next unless /^  (?:-., |    )--([\w-]+)(?:=(\S+))? /;
	my ($option, $value) = ($1, $2 // '');
	$printed{"$section $option"} = [ $value, /\(default: (.*)\)$/ && $1 ne 'once' ? $1 : '' ];
}
delete $manual{'options of every command version'};
is_deeply(\%manual, \%printed, 'the manual page has every option, its value and its default');
cmp_ok(scalar(keys %printed), '>=', 10, 'those are not few');

for my $command (@commands)
{
	like($page, qr/^\.Ss $command$/m, "the manual page has $command");
	my ($status, $out) = program($command, '--help');
	is($status, 0, "$command --help: exit code");
	like($out, qr/^Usage: incomplete-orders $command /, "$command --help: usage");
	my ($own) = $help =~ /^($command: .*?)\n\n/ms;
	like($out, qr/\Q$own\E/, "$command --help: the same options");
	for my $other (grep { $_ ne $command } @commands)
	{
		unlike($out, qr/^$other: /m, "$command --help: nothing about $other");
	}
}
for my $exit ($help =~ /(?:^|[ ,])(\d+) (?=\w)/mg)
{
	like($page, qr/^\.It $exit$/m, "the manual page has exit code $exit") if $exit < 100;
}

my ($version) = slurp_file(config('sharedir') . '/extension/incomplete_orders.control') =~ /^default_version = '(.*)'/m;
is_deeply([ program('--version') ], [ 0, "incomplete-orders $version\n", '' ], '--version is that of the control file');
is_deeply([ program('-V') ], [ 0, "incomplete-orders $version\n", '' ], '-V');
is((program('-?'))[1], $help, '-?');

refused('no command', 'no command was given');
refused('unknown command', 'there is no command "tock"', 'tock');
refused('option first', 'the command comes before "--every"', '--every', '60s', 'tick');
refused('unknown option', 'tick has no option "--days=3"', 'tick', '--days=3');
refused('unknown letter', 'tick has no option "-x"', 'tick', '-x');
refused('no abbreviations', 'has no option "--max"', 'tick', '--max', '3');
refused('argument', 'unexpected argument "now"', 'tick', 'now');
refused('lone dash', 'unexpected argument "-"', 'tick', '-');
refused('double dash', 'has no option "--"', 'tick', '--');
refused('no value', '--every needs a value', 'tick', '--every');
refused('value of a flag', '--dry-run takes no value', 'cleanup', '--dry-run=yes');
refused('letter', '--max-seconds takes a number from 1 to 86400, not "5x"', 'tick', '--max-seconds=5x');
refused('too small', '--max-seconds takes a number', 'tick', '--max-seconds', '0');
refused('no days', '--days takes a number from 1 to 36500', 'cleanup', '--days=0');
refused('too big', '--days takes a number', 'cleanup', '--days=99999999999999999999');
refused('just too big', '--days takes a number', 'cleanup', '--days=2147483648');
refused('negative', '--days takes a number', 'cleanup', '--days=-1');
refused('empty', '--days takes a number', 'cleanup', '--days=');
refused('no time', '--every takes a time from 1 to 86400 seconds', 'tick', '--every=soon');
refused('zero time', '--every takes a time', 'tick', '--every=0s');
refused('long time', '--every takes a time', 'tick', '--every=600000h');
refused('choice', '--format is one of text\|json, not "xml"', 'health', '--format=xml');
refused('part of a choice', '--format is one of', 'health', '--format=tex');
refused('two choices', '--format is one of', 'health', '--format=text|json');

my @send = ('send', '--smtp-url=smtp://127.0.0.1:1');
refused('nowhere to', '--smtp-url or --relays says where mails go', 'send');
refused('another protocol', '--smtp-url begins with smtp:// or smtps://', 'send', '--smtp-url=http://mail.example');
refused('no host', '--smtp-url is of the form smtp://host:port', 'send', '--smtp-url=smtp://:25');
refused('a password', '--smtp-url does not hold a user or a password', 'send', '--smtp-url=smtp://jane:secret@mail.example');
refused('no address', '--from the address is not of the form', @send, '--from=shop');
refused('a name with an address', '--from the address has a character', @send, '--from=Shop <a@shop.example>');
refused('no web site', '--base-url begins with http', @send, '--base-url=shop.example');
refused('too many connections', '--connections takes a number from 1 to 64', @send, '--connections=65');
refused('a short lease', '--lease is at least twice the --timeout', @send, '--lease=60s');
refused('no folder', '--save names a folder', @send, '--save=/nowhere');

refused('no port', 'could not listen on "localhost": it is not HOST:PORT', 'serve', '--listen=localhost');
refused('no host', 'it is not HOST:PORT', 'serve', '--listen=:80');
refused('a word for a port', 'it is not HOST:PORT', 'serve', '--listen=localhost:http');
refused('IPv6 without brackets', 'it is not HOST:PORT', 'serve', '--listen=::1:8080');
refused('no pool', '--pool takes a number from 1 to 16', 'serve', '--pool=0');

for my $wrong ('yesterday', '2026-6-3', '2026-06-30x', '30.06.2026', '')
{
	refused("a day \"$wrong\"", '--from is a day as in 2026-06-30, not "' . quotemeta($wrong) . '"', 'report', "--from=$wrong");
	refused("a last day \"$wrong\"", '--to is a day as in', 'report', "--to=$wrong");
	refused("a day to update \"$wrong\"", '--date is a day as in', 'update-analytics', "--date=$wrong");
}
refused('no such format', '--format is one of text\|csv\|json', 'report', '--format=xml');
refused('no such section', '--section is one of all\|overview', 'report', '--section=weather');

# Ways to write an option: each gets as far as the server that is not there.
for my $good ([qw(tick --max-seconds 5)], [qw(tick --max-seconds=5)], [qw(tick -d x)], [qw(tick -dx)],
	[qw(tick --dbname=x -v)], [qw(health --warn --format json)], [qw(cleanup --days 1 --dry-run)],
	[qw(report --from=2026-06-01 --to 2026-06-30 --shop=* --section days)], [qw(update-analytics --date=2026-06-30)])
{
	my ($status, undef, $said) = program(@$good);
	is($status, 69, "@$good: no server");
	like($said, qr/^incomplete-orders: $good->[0]: connection to server .* failed/, "@$good: says so");
}

# Where to: what libpq is given, and what it finds.
is((program('health', '-d', 'nonsense=1'))[0], 78, 'a connection string that libpq does not know');
is((program('health', '-d', 'service=none_of_that_name'))[0], 78, 'a service that is not there');
{
	local $ENV{PGSSLMODE} = 'perhaps';
	is((program('health'))[0], 78, 'a variable with a bad value');
}
{
	local $ENV{PGHOST} = 'nobody.invalid';
	is((program('health'))[0], 69, 'a host that is not known');
}

my $full = "incomplete-orders --help >/dev/full 2>/dev/null";
is(system('bash', '-c', $full) >> 8, 74, 'output that cannot be written');

# The units.
for my $name (qw(tick serve send))
{
	my $unit = config('sharedir') . "/incomplete_orders/incomplete-orders-$name.service";
	my $text = slurp_file($unit);
	my ($started, $arguments) = $text =~ /^ExecStart=(\S+) (.*)$/m;
	is($started, config('bindir') . '/incomplete-orders', "$name: the unit starts what was installed");
	ok(-x $started, "$name: and that can be started");
	like($arguments, qr/^$name /, "$name: with its command");
	isnt((program(split ' ', "$arguments --help"))[0], 64, "$name: with arguments that it understands");
	like($text, qr/^$_$/m, "$name: the unit has $_")
	  for qw(Type=notify NoNewPrivileges=yes ProtectSystem=strict PrivateTmp=yes MemoryDenyWriteExecute=yes Restart=on-failure);
	SKIP:
	{
		skip 'systemd-analyze is not installed', 1 if system('command -v systemd-analyze >/dev/null') != 0;
		my ($out, $said) = ('', '');
		IPC::Run::run([ 'systemd-analyze', 'verify', '--man=no', $unit ], '>', \$out, '2>', \$said);
		unlike($said, qr/incomplete-orders-$name/, "$name: systemd finds nothing wrong with it");
	}
}

done_testing();
