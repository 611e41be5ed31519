# Mutants: the program with one promise taken out of its source.  The test of that
# promise must tell each from the real one.
package Mutants;

use strict;
use warnings;
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Spec;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(tell_mutants);

my $here = dirname(File::Spec->rel2abs(__FILE__));
my $root = dirname(dirname($here));
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';

# Each mutant: what it does wrong, the file, what to take out of it, what stands there
# then, the test, its environment, and what fails.
sub tell_mutants
{
	my (@mutants) = @_;
	# A copy of the source with what is compiled already.
	my $build = PostgreSQL::Test::Utils::tempdir();

	system('cp', '-Rp', map("$root/$_", qw(incomplete_orders.control src)), $build) == 0 or die 'cannot copy the source';
	for my $mutant (@mutants)
	{
		my ($what, $file, $from, $to, $test, $env, $fails) = @$mutant;
		my $path = "$build/src/sidecar/$file";

		if (change($what, $file, $path, $from, $to))
		{
			my $log = `make -s -C '$build/src/sidecar' PG_CONFIG='$pg_config' incomplete-orders 2>&1`;

			is($?, 0, "it can be built: $what") or diag($log);
			my ($out, $err) = run_test($test, PATH => "$build/src/sidecar:$ENV{PATH}", %$env);
			my @failed = $out =~ /^not ok \d+ - (.*)$/mg;

			note map { "$_\n" } @failed;
			cmp_ok(scalar(() = $out =~ /^ok /mg), '>', 0, "the test began: $what") or diag($err);
			ok(scalar(grep { $_ =~ $fails } @failed), "$test shows it: $what") or diag($out);
			copy("$root/src/sidecar/$file", $path) or die $!;
		}
	}
}

sub change
{
	my ($what, $file, $path, $from, $to) = @_;
	my $source = slurp_file("$root/src/sidecar/$file");
	my $places = () = $source =~ /\Q$from\E/g;

	is($places, 1, "one place to change: $what") or return 0;
	$source =~ s/\Q$from\E/$to/;
	unlink $path;
	append_to_file($path, $source);
	return 1;
}

# What the test says on its outputs; its folders must not be ours.
sub run_test
{
	my ($test, %env) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my ($out, $err) = ('', '');

	local %ENV = (%ENV, TESTDIR => $folder, TESTDATADIR => $folder, TESTLOGDIR => "$folder/log", %env);
	IPC::Run::run([ $^X, (map { "-I$_" } @INC), "$here/$test" ], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(300));
	return ($out, $err);
}

1;
