# Mutants: each is the program with one promise of webhooks taken out of its source.
# The tests of webhooks must tell it from the real one.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Spec;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $here = dirname(File::Spec->rel2abs(__FILE__));
my $root = dirname(dirname($here));
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';

# what it does wrong: the file, what to take out, what stands there then, the test and its part, and what fails
my @mutants = (
	[ 'it believes every notification', 'sns.c', 'genuine = is_signed(sns, told, text);', 'genuine = is_signed(sns, told, text) || text->len > 0;', '092_mail_events.pl', 'amazon', qr/one bit of the signature/ ],
	[ 'it takes every topic', 'sns.c', 'if (!is_ours(sns, told))', 'if (!is_ours(sns, told) && text == NULL)', '092_mail_events.pl', 'amazon', qr/a topic of somebody else/ ],
	[ 'it takes what is old', 'sns.c', 'return is_fresh(told) ? kind : SNS_STALE;', 'return is_fresh(told) ? kind : kind;', '092_mail_events.pl', 'amazon', qr/older than two hours/ ],
	[ 'it uses a certificate for ever', 'sns.c', '|| !is_in_force(certificate)', '|| (false && !is_in_force(certificate))', '092_mail_events.pl', 'amazon', qr/whose time is over/ ],
	[ 'it visits any address that is said to be Amazon\'s', 'rest_hooks.c', 'amazon = sns_is_amazon(url);', 'amazon = *url != 0;', '092_mail_events.pl', 'amazon', qr/only begins like Amazon/ ],
	[ 'it connects to what only we can reach', 'webhooks.c', "\t\t\treturn reach == REACH_PUBLIC && !work->plain;", "\t\t\treturn true;", '093_webhooks.pl', 'addresses', qr/https:\/\/localhost\/ with --webhooks=public/ ],
	[ 'it follows redirects', 'webhooks.c', 'CURLOPT_FOLLOWLOCATION, 0L', 'CURLOPT_FOLLOWLOCATION, 1L', '093_webhooks.pl', 'detours', qr/a redirect/ ],
	[ 'it uses proxies of the environment', 'webhooks.c', "\tcurl_easy_setopt(easy, CURLOPT_PROXY, \"\");\n", '', '093_webhooks.pl', 'detours', qr/proxies/ ],
	[ 'it takes any answer for a yes', 'webhooks.c', 'answered && post->status >= 200 && post->status <= 299', 'answered', '093_webhooks.pl', 'detours', qr/a redirect/ ],
	[ 'it signs for nobody', 'webhooks.c', '"webhook-signature", columns[7]', '"webhook-signature", columns[6]', '093_webhooks.pl', 'contents', qr/signatures are good/ ],
);

# A copy of the source with what is compiled already.
my $build = PostgreSQL::Test::Utils::tempdir();
system('cp', '-Rp', map("$root/$_", qw(incomplete_orders.control src)), $build) == 0 or die 'cannot copy the source';

for my $mutant (@mutants)
{
	my ($what, $file, $from, $to, $test, $part, $fails) = @$mutant;
	my $path = "$build/src/sidecar/$file";
	my $source = slurp_file("$root/src/sidecar/$file");
	my $places = () = $source =~ /\Q$from\E/g;

	is($places, 1, "one place to change: $what") or next;
	$source =~ s/\Q$from\E/$to/;
	unlink $path;
	append_to_file($path, $source);
	my $log = `make -s -C '$build/src/sidecar' PG_CONFIG='$pg_config' incomplete-orders 2>&1`;
	is($?, 0, "it can be built: $what") or diag($log);

	my ($out, $err) = ('', '');
	{
		local $ENV{PATH} = "$build/src/sidecar:$ENV{PATH}";
		local $ENV{EVENTS_PART} = $part;
		local $ENV{WEBHOOKS_PART} = $part;
		# Its folders must not be ours.
		local $ENV{TESTDIR} = PostgreSQL::Test::Utils::tempdir();
		local $ENV{TESTDATADIR} = $ENV{TESTDIR};
		local $ENV{TESTLOGDIR} = "$ENV{TESTDIR}/log";
		IPC::Run::run([ $^X, (map { "-I$_" } @INC), "$here/$test" ], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(300));
	}
	my @failed = $out =~ /^not ok \d+ - (.*)$/mg;
	note map { "$_\n" } @failed;
	cmp_ok(scalar(() = $out =~ /^ok /mg), '>', 0, "the test began: $what") or diag($err);
	ok(scalar(grep { $_ =~ $fails } @failed), "the tests show it: $what") or diag($out);
	copy("$root/src/sidecar/$file", $path) or die $!;
}

done_testing();
