# Messages go out while everything is killed: the sender, the server, the mail
# server, each at random and in the window between the 250 and the ack.  None is
# lost, none is sent twice but for a crash in that window, none goes to somebody
# who had bought or unsubscribed before it was claimed, and nothing is stuck.
#
# CHAOS_SEED, CHAOS_MESSAGES, CHAOS_SECONDS; CHAOS_PART=aimed leaves out the random part;
# CHAOS_STOP ends it soon after the first failure.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use List::Util qw(shuffle sum0);
use Mails;
use Queue;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{CHAOS_SEED} // int(time);
my $messages = $ENV{CHAOS_MESSAGES} // 5000;
my $seconds = $ENV{CHAOS_SECONDS} // 30;
my $aimed_only = ($ENV{CHAOS_PART} // '') eq 'aimed';
srand($seed);
note "CHAOS_SEED=$seed";

# The shortest that there is.
my $lease = 10;
my @short = ("--lease=${lease}s", '--timeout=5s');
my $node = PostgreSQL::Test::Cluster->new('chaos');
$node->init;
# The machine itself never fails here, so what was written is there.
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 60\nlog_statement = none\n");
$node->start;
make_shop($node, 'postgres');
connect_to($node, 'postgres');
my $mail = mail_server();

sub sql { return $node->safe_psql('postgres', $_[0]) }

# What is not told by the row in the end: each claim, and each time one was given back.
sql(q{
	CREATE TABLE claims (n bigserial, message_id uuid, order_id uuid, token bigint, attempts integer, change integer, status text,
		began timestamptz DEFAULT transaction_timestamp());
	CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		INSERT INTO public.claims (message_id, order_id, token, attempts, change, status)
		VALUES (NEW.id, NEW.order_id, NEW.token, NEW.attempts, NEW.attempts - OLD.attempts, NEW.status);
		RETURN NULL;
	END $$;
	CREATE TRIGGER watch AFTER UPDATE ON incomplete_orders.messages FOR EACH ROW
	WHEN (OLD.token IS DISTINCT FROM NEW.token OR OLD.attempts IS DISTINCT FROM NEW.attempts) EXECUTE FUNCTION watch()});

my @begun;

# Also one that is paused ends with the test.
END { kill 'KILL', grep { defined } map { $_->{pid} } grep { !$_->{ended} } @begun }

sub sender
{
	push @begun, begin('send', mail_url($mail), @short, '--poll=1s', @_);
	return $begun[-1];
}

# ended(run, signal): its exit code.
sub ended
{
	my ($run, $signal) = @_;
	my $code = finish($run, $signal);
	$run->{ended} = 1;
	return $code;
}

sub row
{
	my ($message_id) = @_;
	return sql("SELECT status FROM incomplete_orders.messages WHERE mail_message_id = '$message_id'");
}

sub copies { my ($message_id) = @_; return scalar grep { $_->{mail} eq $message_id } accepted($mail) }

# How many mails were accepted once more than needed.
sub again
{
	my @all = accepted($mail);
	my %different = map { $_->{mail} => 1 } @all;
	return @all - keys %different;
}

# How often a mail may be accepted once more, by Message-ID: once for each crash
# that came between its 250 and its ack.  They are taken down at that moment, before anybody goes on.
my %excuses;
my $crashes = 0;

# excuse(run): that sender died, or is paused; without it: the mail server did.
sub excuse
{
	my ($run) = @_;
	my $whose = $run ? "AND claimed_by = 'send $run->{pid}'" : '';
	my %out = map { $_ => 1 } split /\n/, sql("SELECT mail_message_id FROM incomplete_orders.messages WHERE status = 'sending' $whose");
	my %accepted = map { $_ => 1 } slurp_file($mail->{log}) =~ /"mail": "([^"]+)"/g;
	my @both = grep { $accepted{$_} } keys %out;
	$excuses{$_}++ for @both;
	$crashes++;
	note scalar(@both) . ' were out when ' . ($run ? 'a sender was stopped' : 'the mail server was killed');
	return;
}

# What waits for its next attempt, or for the end of a dead sender's lease, need not wait any longer.
sub hurry { return sql(q{UPDATE incomplete_orders.messages SET due_at = now() WHERE status IN ('queued', 'sending') AND due_at > now()}) }

sub unfinished { return sql(q{SELECT count(*) FROM incomplete_orders.messages WHERE status IN ('queued', 'sending')}) }

# Everything that is due goes out, and what was left by the dead is taken up again.
sub drain
{
	my ($name) = @_;
	my $end = time + 60;
	my ($code, $out, $err) = (0, '', '');
	while ($code == 0 && unfinished() > 0 && time < $end)
	{
		hurry();
		($code, $out, $err) = program('send', mail_url($mail), @short, '--once');
		sleep 0.2 if unfinished();
	}
	is($code, 0, "$name: the sender came to its end") or diag($err);
	is(unfinished(), 0, "$name: nothing is stuck");
	return;
}

# For the test of mutants, which wants to know whether anything fails, and when.
sub checkpoint
{
	return if !$ENV{CHAOS_STOP} || Test::More->builder->is_passing;
	done_testing();
	exit 1;
}

## Aimed at the window: one connection, one mail, so all is known.

my $kills = 0;
for my $victim (qw(sender server sender mail sender server pause))
{
	my $name = "aimed at the $victim " . ++$kills;
	my $run = sender('--connections=1');
	my $before = again();
	hold($mail);
	make_carts($node, 'postgres', "aimed$kills", 1);
	my $id = held($mail);
	ok($id, "$name: a mail was accepted") or BAIL_OUT("nothing can be aimed at: $run->{err}");
	is(row($id), 'sending', "$name: it is not sent before the 250");
	if ($victim eq 'mail')
	{
		mail_stop($mail);
		mail_start($mail);
	}
	else
	{
		# The 250 lies in the sender's socket, and it has not read it.
		pause($run->{pid});
		ok(let_go($mail), "$name: the 250 was written");
		is(row($id), 'sending', "$name: it is not acked");
	}
	my $stale;
	if ($victim eq 'sender')
	{
		ended($run, 'KILL');
		is(row($id), 'sending', "$name: it is not acked after the kill");
	}
	elsif ($victim eq 'server')
	{
		kill_server($node);
		kill 'CONT', $run->{pid};
		sleep 0.3;
		$node->start;
	}
	elsif ($victim eq 'pause')
	{
		drain($name);
		is(copies($id), 2, "$name: another sender sent it");
		my $counted = q{SELECT coalesce(sum((report ->> 'n')::bigint), 0) FROM incomplete_orders.heartbeats WHERE job = 'stale_tokens'};
		my $n = sql($counted);
		$stale = sql("SELECT md5(m::text) FROM incomplete_orders.messages m WHERE mail_message_id = '$id'");
		kill 'CONT', $run->{pid};
		ok(await($run, sub { $run->{err} =~ /stale/ }), "$name: the ack that comes too late is told");
		is(sql("SELECT md5(m::text) FROM incomplete_orders.messages m WHERE mail_message_id = '$id'"), $stale, "$name: and changes nothing");
		is(sql($counted), $n + 1, "$name: but is counted");
	}
	ended($run, 'TERM') if $victim ne 'sender';
	drain($name);
	is(row($id), 'sent', "$name: it is sent");
	# Who lives remembers the 250, and acks it when the server is back.
	my $more = $victim eq 'server' ? 0 : 1;
	is(copies($id), 1 + $more, $more ? "$name: and once more" : "$name: and only once");
	is(again(), $before + $more, "$name: nothing else twice");
	$excuses{$id} += $more;
	checkpoint();
}

## The server is away for longer, and then the sender dies: nothing began meanwhile
## whose end could not be recorded.

{
	my $name = 'aimed at both';
	my $run = sender('--connections=1');
	# A sender that has seen the mail server at work claims more than it can send at once.
	make_carts($node, 'postgres', 'first', 20);
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 20 FROM incomplete_orders.messages WHERE recipient LIKE 'first-%' AND status = 'sent'}), "$name: a sender at work");
	my $before = again();
	hold($mail);
	make_carts($node, 'postgres', 'outage', 40);
	ok(held($mail), "$name: a mail was accepted");
	my $claimed = sql(q{SELECT count(*) FROM incomplete_orders.messages WHERE recipient LIKE 'outage-%' AND status = 'sending'});
	cmp_ok($claimed, '>', 1, "$name: others are claimed, too");
	kill_server($node);
	ok(await($run, sub { $run->{err} =~ /event=connect/ }), "$name: the sender misses the server");
	ok(let_go($mail), "$name: the 250 was written");
	ok(await($run, sub { (() = $run->{err} =~ /event=connect/g) >= 3 }), "$name: and goes on missing it");
	is(scalar(grep { $_->{to} =~ /^outage-/ } accepted($mail)), 1, "$name: it does not go on without the server") or diag($run->{err});
	ended($run, 'KILL');
	$node->start;
	excuse($run);
	drain($name);
	is(again(), $before + 1, "$name: only that one is sent twice");
	checkpoint();
}

## Faults that the mail server has by itself.

make_carts($node, 'postgres', $_, 5) for qw(nouser busy cut lost);
drain('faults');
is(sql(q{SELECT concat_ws(' ', who, status, reason, count(*)) FROM (SELECT split_part(recipient, '-', 1) AS who, status, reason FROM incomplete_orders.messages) m
	WHERE who IN ('nouser', 'busy', 'cut', 'lost') GROUP BY who, status, reason ORDER BY 1}) =~ s/\n/, /gr,
	'busy sent 5, cut sent 5, lost sent 5, nouser dead hard_bounce 5', 'faults: each has its end');
{
	my %lost = map { $_->{mail} => 1 } grep { $_->{to} =~ /^lost-/ } accepted($mail);
	$excuses{$_}++ for keys %lost;
}

## At random, among 5,000.

my $shoppers;
my $shoppers_log = PostgreSQL::Test::Utils::tempdir() . '/shoppers.json';
append_to_file($shoppers_log, '');
if (!$aimed_only)
{
	make_carts($node, 'postgres', 'random', $messages);
	is(sql(q{SELECT count(*) FROM incomplete_orders.messages WHERE status = 'queued'}), $messages, 'random: all wait');
	my $shoppers_err = '';
	$shoppers = IPC::Run::start([ '/usr/bin/python3', "$FindBin::RealBin/shoppers.py", $seed, $shoppers_log ], '<', \undef, '2>', \$shoppers_err);
	# So slow that there is something to do for most of the time; the drain does the rest.
	my @options = ('--connections=4', '--rate=' . (int($messages / $seconds) || 1));
	my @senders = map { sender(@options) } 1, 2;
	my %done;

	my $restart = sub { my ($i) = @_; $senders[$i] = sender(@options); };
	my %fault = (
		'kill of a sender' => sub {
			my $i = int(rand(2));
			ended($senders[$i], 'KILL');
			excuse($senders[$i]);
			$restart->($i);
		},
		# Whoever lives remembers what was sent, and acks it when the server is back.
		'kill of the server' => sub {
			kill_server($node);
			sleep rand(0.5);
			$node->start;
		},
		'kill of the mail server' => sub {
			mail_stop($mail);
			excuse();
			sleep rand(1);
			mail_start($mail);
		},
		'stop of a sender' => sub {
			my $i = int(rand(2));
			is(ended($senders[$i], 'TERM'), 0, 'random: a sender ends in order');
			$restart->($i);
		},
		'pause of a sender' => sub {
			my $i = int(rand(2));
			pause($senders[$i]{pid});
			sleep rand(4);
			excuse($senders[$i]);
			kill 'CONT', $senders[$i]{pid};
		},
		'loss of connections' => sub {
			sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'incomplete-orders%'});
		},
		'aimed kill of a sender' => sub {
			hold($mail);
			my $id = held($mail, 5) or return;
			pause(map { $_->{pid} } @senders);
			let_go($mail);
			my $i = sql("SELECT (claimed_by = 'send $senders[1]{pid}')::integer FROM incomplete_orders.messages WHERE mail_message_id = '$id'");
			ended($senders[$i], 'KILL');
			excuse($senders[$i]);
			kill 'CONT', $senders[ 1 - $i ]{pid};
			$restart->($i);
		},
		'aimed kill of the server' => sub {
			hold($mail);
			held($mail, 5) or return;
			pause(map { $_->{pid} } @senders);
			let_go($mail);
			kill_server($node);
			kill 'CONT', $_->{pid} for @senders;
			$node->start;
		});
	my $end = time + $seconds;
	my @deck;
	while (time < $end && unfinished() > 0)
	{
		@deck = shuffle(sort keys %fault) unless @deck;
		my $what = shift @deck;
		$fault{$what}->();
		$done{$what}++;
		sleep rand(0.8);
	}
	note join ', ', map { "$done{$_} x $_" } sort keys %done;
	is(scalar(keys %done), scalar(keys %fault), 'random: every fault had its turn');
	ended($_, 'TERM') for @senders;
	$shoppers->signal('TERM');
	ok($shoppers->finish, 'random: the shoppers came to their end') or diag($shoppers_err);
	drain('random');
}

## What must be true of all that happened.

my @accepted = accepted($mail);
my @acts = map { decode_json($_) } split /\n/, slurp_file($shoppers_log);
sub quoted { return "'" . (shift =~ s/'/''/gr) . "'" }
sql('CREATE TABLE accepted (message_id text, at float8, sha256 text); CREATE TABLE acts (order_id uuid, action text, after float8)');
sub fill
{
	my ($table, @rows) = @_;
	while (my @some = splice @rows, 0, 1000)
	{
		sql("INSERT INTO $table VALUES " . join ', ', map { '(' . join(', ', map { defined $_ ? quoted($_) : 'NULL' } @$_) . ')' } @some);
	}
	return;
}
fill('accepted', map { [ @$_{qw(mail at sha256)} ] } @accepted);
fill('acts', map { [ @$_{qw(order action after)} ] } @acts);

# none(name, query): it finds nothing.
sub none
{
	my ($name, $query) = @_;
	my $found = sql("SELECT coalesce(string_agg(x::text, E'\n'), '') FROM ($query LIMIT 5) x");
	is($found, '', $name);
	return;
}

my $m = 'incomplete_orders.messages m';
note sql("SELECT string_agg(format('%s %s', n, what), ', ' ORDER BY what) FROM (SELECT count(*) AS n, concat_ws(' ', status, reason) AS what FROM $m GROUP BY 2) s");
note sql("SELECT coalesce(string_agg(DISTINCT response, ' / '), '') FROM $m WHERE status = 'dead'");
note sql(q{SELECT coalesce(string_agg(format('%s %s', n, action), ', ' ORDER BY action), 'no acts') FROM (SELECT count(*) AS n, action FROM acts GROUP BY 2) s});
none('every message is final', "SELECT id, status FROM $m WHERE status IN ('queued', 'sending')");
none('none is lost: what is sent was accepted', "SELECT id FROM $m WHERE status = 'sent' AND NOT EXISTS (SELECT FROM accepted WHERE message_id = mail_message_id)");
none('each mail has a message', "SELECT message_id FROM accepted a WHERE NOT EXISTS (SELECT FROM $m WHERE mail_message_id = message_id)");
# An ack may be missing where the sender was killed and the order was bought before the next attempt.
none('a mail that was accepted is sent, or was cancelled behind its claim',
	"SELECT id, status, reason FROM $m WHERE mail_message_id IN (SELECT message_id FROM accepted) AND status NOT IN ('sent', 'cancelled')");
none('an attempt that was cancelled is in the ledger',
	"SELECT id, reason FROM $m WHERE status = 'cancelled' AND NOT EXISTS (SELECT FROM incomplete_orders.message_skips s WHERE s.message_id = m.id AND s.reason = m.reason)");
none('what is dead has its reason', "SELECT id FROM $m WHERE status = 'dead' AND (reason IS NULL OR response IS NULL)");
none('the same bytes at each attempt', 'SELECT message_id FROM accepted GROUP BY 1 HAVING count(DISTINCT sha256) > 1');
none('attempts are counted at the claim, but those given back',
	"SELECT m.id, attempts, c.n FROM $m JOIN (SELECT message_id, sum(change) AS n FROM claims GROUP BY 1) c ON c.message_id = m.id WHERE attempts <> c.n");
none('no attempt without a claim', "SELECT message_id, count(*) FROM accepted a JOIN $m ON mail_message_id = message_id GROUP BY message_id, attempts HAVING count(*) > attempts");
none('none was claimed after the order was bought, dismissed, unsubscribed or taken up again',
	"SELECT c.order_id, a.action FROM claims c JOIN acts a USING (order_id) WHERE c.status = 'sending' AND c.change > 0 AND c.began > to_timestamp(a.after)");
none('each message exists once', "SELECT root_id, episode, step FROM $m GROUP BY shop_id, root_id, episode, step, ordinal HAVING count(*) > 1");

my %times;
$times{ $_->{mail} }++ for @accepted;
my @twice = grep { $times{$_} > 1 } keys %times;
cmp_ok(scalar(@twice), '>=', 10, 'there were mails twice, so the crashes came when they should');
is_deeply([ grep { $times{$_} > 1 + ($excuses{$_} // 0) } @twice ], [], 'no mail twice without a crash while it was out');
note scalar(@accepted) . ' mails, ' . sum0(map { $times{$_} - 1 } @twice) . ' of them again, ' . sum0(values %excuses) . " between their 250 and their ack in $crashes crashes";

mail_stop($mail, 'TERM');
$node->stop;
done_testing();
