# Mutants: each is the program with one promise of logging in taken out of its source.
# The test of logins must tell it from the real one.
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

# what it does wrong: the file, what to take out, what stands there then, and what fails
my @mutants = (
	[ 'it believes a server that asked for no password', 'staff.c', '!PQconnectionUsedPassword(conn)', 'false', qr/a role that is trusted/ ],
	[ 'it lets superusers in', 'staff.c', 'strcmp(superuser, "off") != 0', 'false', qr/a superuser/ ],
	[ 'it knows people by their names alone', 'staff.c', '	g_hmac_update(hmac, (const guchar *) password, (gssize) strlen(password));' . "\n", '', qr/tries: six wrong passwords/ ],
	[ 'it counts no tries', 'attempts.c', "\tentry->failures++;\n", '', qr/tries: six wrong passwords/ ],
	[ 'it keeps connections that are in use', 'staff.c', 'login->pool.idle_limit = login->pool.age_limit =', 'login->pool.idle_limit =', qr/password: one that was changed/ ],
);

# A copy of the source with what is compiled already.
my $build = PostgreSQL::Test::Utils::tempdir();
system('cp', '-Rp', map("$root/$_", qw(incomplete_orders.control src)), $build) == 0 or die 'cannot copy the source';

for my $mutant (@mutants)
{
	my ($what, $file, $from, $to, $fails) = @$mutant;
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
		local $ENV{REST_PART} = 'rest_logins';
		local $ENV{REST_STOP} = 1;
		# Its folders must not be ours.
		local $ENV{TESTDIR} = PostgreSQL::Test::Utils::tempdir();
		local $ENV{TESTDATADIR} = $ENV{TESTDIR};
		local $ENV{TESTLOGDIR} = "$ENV{TESTDIR}/log";
		IPC::Run::run([ $^X, (map { "-I$_" } @INC), "$here/100_rest_core.pl" ], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(180));
	}
	my @failed = $out =~ /^not ok \d+ - (.*)$/mg;
	note map { "$_\n" } @failed;
	cmp_ok(scalar(() = $out =~ /^ok /mg), '>', 0, "the test began: $what") or diag($err);
	ok(scalar(grep { $_ =~ $fails } @failed), "the test of logins shows it: $what") or diag($out);
	copy("$root/src/sidecar/$file", $path) or die $!;
}

done_testing();
