# What the tests of incomplete-orders share: running it, waiting for what it
# does, and a stand-in for the extension that does what a test tells it to.
package Sidecar;
use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::UNIX;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(program begin await finish connect_to mock_database behave notify_socket received);

# Nothing takes so long but on a machine that does nothing else right.
my $patience = 60;

# Whoever started the tests may have had them ignored, and children inherit that.
$SIG{$_} = 'DEFAULT' for qw(HUP INT TERM PIPE);

# program(arguments...): runs it to its end; (exit code, stdout, stderr).
sub program
{
	my @arguments = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'incomplete-orders', @arguments ], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout($patience));
	return ($? >> 8, $out, $err);
}

# begin(arguments...): starts it; what it writes appears in {out} and {err}.
sub begin
{
	my @arguments = @_;
	my $run = { out => '', err => '' };
	$run->{handle} = IPC::Run::start([ 'incomplete-orders', @arguments ], '<', \undef, '>', \$run->{out}, '2>', \$run->{err});
	$run->{pid} = $run->{handle}{KIDS}[0]{PID};
	return $run;
}

# await(run or undef, condition): polls until the condition is true; false if it never is.
sub await
{
	my ($run, $condition) = @_;
	my $end = time + $patience;
	while (time < $end)
	{
		$run->{handle}->pump_nb if $run && $run->{handle}->pumpable;
		return 1 if $condition->();
		sleep 0.05;
	}
	Test::More::diag("nothing came of it; stderr: " . ($run ? $run->{err} : ''));
	return 0;
}

# finish(run, signal or undef): its exit code, and the seconds that it took; -1: it had to be killed.
sub finish
{
	my ($run, $signal) = @_;
	my $began = time;
	kill $signal, $run->{pid} if $signal;
	# IPC::Run reaps by itself when it is asked whether there is more to pump.
	my $code = eval {
		my $timer = IPC::Run::timer($patience);
		$timer->start;
		while ($run->{handle}->pumpable)
		{
			$run->{handle}->pump_nb;
			die "late\n" if $timer->is_expired;
			sleep 0.02;
		}
		$run->{handle}->finish;
		$run->{handle}->full_result(0);
	};
	if (!defined $code)
	{
		$run->{handle}->kill_kill;
		return wantarray ? (-1, time - $began) : -1;
	}
	$code = $code & 127 ? 128 + ($code & 127) : $code >> 8;
	return wantarray ? ($code, time - $began) : $code;
}

# connect_to(node, database): by environment, as an operator does it.
sub connect_to
{
	my ($node, $database) = @_;
	$ENV{PGHOST} = $node->host;
	$ENV{PGPORT} = $node->port;
	$ENV{PGDATABASE} = $database;
	# PostgreSQL::Test::Utils sets it.
	delete $ENV{PGAPPNAME};
	return;
}

# mock_database(node, name): without the extension, but with what the program calls.
sub mock_database
{
	my ($node, $name) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql(
		$name, q{
		CREATE SCHEMA incomplete_orders;
		CREATE TABLE incomplete_orders.behaviour (batches integer NOT NULL, pause float NOT NULL, report text NOT NULL,
			sqlstate text, message text, detail text, hint text);
		INSERT INTO incomplete_orders.behaviour VALUES (0, 0, '{"busy":false,"finished":true,"seconds":0.001,"batches":0,"abandoned":0}');
		CREATE TABLE incomplete_orders.ticks (n serial, max_seconds integer, application text DEFAULT current_setting('application_name'));
		CREATE TABLE incomplete_orders.batches (n serial, half integer);
		-- Each batch is two rows and one commit.
		CREATE PROCEDURE incomplete_orders.tick(INOUT report jsonb DEFAULT NULL, at timestamptz DEFAULT now(), max_seconds integer DEFAULT 50)
		LANGUAGE plpgsql AS $$
		DECLARE
			b incomplete_orders.behaviour;
		BEGIN
			INSERT INTO incomplete_orders.ticks (max_seconds) VALUES (max_seconds);
			COMMIT;
			SELECT * INTO b FROM incomplete_orders.behaviour;
			FOR i IN 1..b.batches LOOP
				INSERT INTO incomplete_orders.batches (half) VALUES (1);
				PERFORM pg_sleep(b.pause);
				INSERT INTO incomplete_orders.batches (half) VALUES (2);
				COMMIT;
			END LOOP;
			IF b.sqlstate IS NOT NULL THEN
				RAISE EXCEPTION USING ERRCODE = b.sqlstate, MESSAGE = b.message, DETAIL = b.detail, HINT = b.hint;
			END IF;
			report := b.report;
		END $$;
		CREATE TABLE incomplete_orders.checks (check_name text, state text, value text, advice text);
		CREATE FUNCTION incomplete_orders.health() RETURNS TABLE (check_name text, state text, value text, advice text)
		LANGUAGE sql AS 'TABLE incomplete_orders.checks';
		CREATE FUNCTION incomplete_orders.cleanup(days integer DEFAULT 90, dry_run boolean DEFAULT false)
		RETURNS TABLE (action text, n bigint, examples text[])
		LANGUAGE sql AS $$ VALUES ('expired', 12::bigint, '{INC-1,INC-2}'::text[]), ('days ' || days || ', dry run ' || dry_run, 0, NULL) $$;
		CREATE FUNCTION incomplete_orders.send_recovery_emails(hours_after integer DEFAULT 2, max_attempts integer DEFAULT 3,
			dry_run boolean DEFAULT false, shop text DEFAULT NULL)
		RETURNS TABLE (order_id uuid, recipient text, message_type text, action text, reason text)
		LANGUAGE sql AS $$ VALUES
			('00000000-0000-7000-8000-000000000001'::uuid, 'ann@shop.example', 'abandoned_cart', 'queued', NULL),
			('00000000-0000-7000-8000-000000000002'::uuid, NULL, NULL, 'skipped', concat_ws(' ', hours_after, max_attempts, dry_run, shop)) $$;
		});
	return;
}

# behave(node, database, column => value, ...): what the next ticks of the stand-in do.
sub behave
{
	my ($node, $database, %what) = @_;
	my $sets = join ', ', map { defined $what{$_} ? "$_ = \$q\$$what{$_}\$q\$" : "$_ = NULL" } keys %what;
	$node->safe_psql($database, "UPDATE incomplete_orders.behaviour SET $sets");
	return;
}

# notify_socket(name): a socket that systemd would have made.
sub notify_socket
{
	my ($name) = @_;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $name =~ s/^@/\0/r)
	  or die "no socket $name: $!";
	return $socket;
}

# received(socket): what has arrived by now, as one text.
sub received
{
	my ($socket) = @_;
	my $all = '';
	my $select = IO::Select->new($socket);
	while ($select->can_read(0))
	{
		my $message = '';
		defined $socket->recv($message, 4096) or last;
		$all .= "$message\n";
	}
	return $all;
}

1;
