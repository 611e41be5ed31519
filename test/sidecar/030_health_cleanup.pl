# health, cleanup and send-recovery-emails as programs: tables, JSON, exit codes.  A stand-in for the
# extension says what each test needs.
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

my $node = PostgreSQL::Test::Cluster->new('health');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
mock_database($node, 'mock');
connect_to($node, 'mock');

sub checks
{
	my ($rows) = @_;
	$node->safe_psql('mock', "TRUNCATE incomplete_orders.checks; INSERT INTO incomplete_orders.checks VALUES $rows");
	return;
}

my $ok = "('heartbeat', 'ok', '12 s', NULL)";
my $warn = "('partitions', 'warn', '1 month ahead', 'CALL tick() more often')";
my $alarm = "('overdue', 'alarm', '3 days', 'Is anything ticking?')";

# What makes the exit code, whatever the order.
for my $case (
	[ $ok, 0, 0 ],
	[ "$ok, $warn", 0, 1 ],
	[ "$alarm, $ok, $warn", 2, 2 ],
	[ "$warn, $alarm", 2, 2 ],
	[ "$ok, ('x', 'unheard of', '', '')", 2, 2 ])
{
	my ($rows, $plain, $with_warn) = @$case;
	checks($rows);
	is((program('health'))[0], $plain, "health of $rows");
	is((program('health', '--warn'))[0], $with_warn, "health --warn of $rows");
	is((program('health', '--format=json', '--warn'))[0], $with_warn, "health --format=json --warn of $rows");
}

checks("$ok, $warn, ('überfällig', 'alarm', E'3\\x1b[31m\\n\\u009b days', '-')");
my ($code, $out, $err) = program('health');
is($out, <<'EOT', 'an aligned table, without control characters');
check       state  value          advice
heartbeat   ok     12 s
partitions  warn   1 month ahead  CALL tick() more often
überfällig  alarm  3?[31m?? days  -
EOT
is($err, '', 'nothing on stderr');
($code, $out) = program('health', '--format', 'json');
my $json = decode_json($out);
is_deeply($json->[0], { check_name => 'heartbeat', state => 'ok', value => '12 s', advice => undef }, 'JSON: an object for each check');
is($json->[2]{value}, "3\x1b[31m\n\x{9b} days", 'JSON: values as they are');
is(scalar(@$json), 3, 'JSON: all of them');
$node->safe_psql('mock', 'TRUNCATE incomplete_orders.checks');
is_deeply(decode_json((program('health', '--format=json'))[1]), [], 'JSON: none');

# Colours are for terminals.
checks($ok);
for my $no_color (undef, '1')
{
	local $ENV{NO_COLOR} = $no_color;
	delete $ENV{NO_COLOR} if !defined $no_color;
	my $seen = '';
	IPC::Run::run([ 'incomplete-orders', 'health' ], '>pty>', \$seen);
	is($seen =~ /\x1b\[32mok\x1b\[0m/ ? 1 : 0, defined $no_color ? 0 : 1, 'colours on a terminal' . (defined $no_color ? ', not with NO_COLOR' : ''));
}

# cleanup
($code, $out) = program('cleanup', '--dry-run');
is($code, 0, 'cleanup: exit code');
is($out, <<'EOT', 'cleanup: its arguments arrive, and what it did is shown');
action                  n  examples
expired                12  INC-1, INC-2
days 90, dry run true   0
Nothing was changed: this was a dry run.
EOT
($code, $out) = program('cleanup', '--days=7');
like($out, qr/^days 7, dry run false +0$/m, 'cleanup: not a dry run unless it is asked for');
unlike($out, qr/Nothing was changed/, 'cleanup: nor says so');
is_deeply(decode_json((program('cleanup', '--format=json', '--dry-run'))[1])->[0],
	{ action => 'expired', n => 12, examples => [ 'INC-1', 'INC-2' ] }, 'cleanup: JSON');

# Stopped, they say so.
$node->safe_psql('mock', q{
	CREATE OR REPLACE FUNCTION incomplete_orders.health() RETURNS TABLE (check_name text, state text, value text, advice text)
	LANGUAGE sql AS $$ SELECT 'x', 'ok', pg_sleep(1000)::text, '' $$});
my $run = begin('health');
ok(await(undef, sub { $node->safe_psql('mock', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'incomplete-orders' AND state = 'active'}) == 1 }),
	'a long one runs');
my ($status, $seconds) = finish($run, 'TERM');
is($status, 75, 'stopped: exit code');
cmp_ok($seconds, '<', 4, 'stopped: at once');
like($run->{err}, qr/^incomplete-orders: health: stopped: cancelled$/m, 'stopped: says so');
ok(await(undef, sub { $node->safe_psql('mock', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'incomplete-orders'}) == 0 }),
	'and the server does not work on');

# send-recovery-emails
($code, $out) = program('send-recovery-emails', '--dry-run', '--shop=north', '--hours-after=4');
is($code, 0, 'send-recovery-emails: exit code');
is($out, <<'EOT', 'send-recovery-emails: its arguments arrive, and who gets what is shown');
order_id                              recipient         message_type    action   reason
00000000-0000-7000-8000-000000000001  ann@shop.example  abandoned_cart  queued
00000000-0000-7000-8000-000000000002                                    skipped  4 3 t north
1 queued, 1 skipped.
Nothing was changed: this was a dry run.
EOT
($code, $out) = program('send-recovery-emails');
like($out, qr/skipped  2 3 f$/m, 'send-recovery-emails: defaults, and no dry run unless it is asked for');
unlike($out, qr/dry run/, 'send-recovery-emails: nor says so');
is_deeply(decode_json((program('send-recovery-emails', '--format=json'))[1])->[0]{recipient}, 'ann@shop.example', 'send-recovery-emails: JSON');

$node->stop;
done_testing();
