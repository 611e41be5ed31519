# Mutants: each is the program with one promise of the sender taken out of its
# source.  The aimed part of the test of chaos must tell it from the real one.
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

# what the sender does wrong: the file, what to take out, what stands there then, and what fails
my @mutants = (
	[ 'it acks before it sends', 'queue.c', 'c.recipient, c.message"', q{c.recipient, c.message, incomplete_orders.ack_message(c.message_id, c.token, 'early')"},
		qr/it is not sent before the 250/ ],
	[ 'it sends what it cannot record', 'outbox.c', ' && !outbox->unheard', '', qr/it does not go on without the server/ ],
	[ 'it takes silence behind the body for a 250', 'smtp.c', "\t\tcase SMTP_BODY:\n\t\t\tsay(", "\t\tcase SMTP_BODY:\n\t\t\treturn SMTP_SENT;\n\t\t\tsay(",
		qr/and once more|none is lost/ ],
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
		local $ENV{CHAOS_PART} = 'aimed';
		local $ENV{CHAOS_STOP} = 1;
		# Its folders must not be ours.
		local $ENV{TESTDIR} = PostgreSQL::Test::Utils::tempdir();
		local $ENV{TESTDATADIR} = $ENV{TESTDIR};
		local $ENV{TESTLOGDIR} = "$ENV{TESTDIR}/log";
		IPC::Run::run([ $^X, (map { "-I$_" } @INC), "$here/080_chaos.pl" ], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	}
	my @failed = $out =~ /^not ok \d+ - (.*)$/mg;
	note map { "$_\n" } @failed;
	cmp_ok(scalar(() = $out =~ /^ok /mg), '>', 0, "the test began: $what") or diag($err);
	ok(scalar(grep { $_ =~ $fails } @failed), "the test of chaos shows it: $what") or diag($out);
	copy("$root/src/sidecar/$file", $path) or die $!;
}

done_testing();
