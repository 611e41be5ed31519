# What the tests of incomplete-orders share: running it, waiting for what it
# does, and a stand-in for the extension that does what a test tells it to.
package Sidecar;
use strict;
use warnings;
use feature 'state';
use FindBin;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(program begin await finish connect_to mock_database mock_links make_message link_token http_connect http_read http_request behave notify_socket received queue_database python_tests);

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

# mock_links(node, database): what the pages behind the links of a message call.
# link_behaviour: what the functions do instead: an error, a pause, or both.
sub mock_links
{
	my ($node, $name) = @_;
	$node->safe_psql(
		$name, q{
		CREATE TABLE incomplete_orders.link_behaviour (pause float NOT NULL DEFAULT 0, sqlstate text, message text, detail text);
		INSERT INTO incomplete_orders.link_behaviour DEFAULT VALUES;
		CREATE TABLE incomplete_orders.mock_messages (message_id uuid PRIMARY KEY, beginning text UNIQUE, email text, locale text, reference text,
			status text, items jsonb, total numeric, currency text, shop_name text, logo_url text, colour text, restore_url text,
			removed jsonb NOT NULL DEFAULT '[]', changed jsonb NOT NULL DEFAULT '[]');
		CREATE TABLE incomplete_orders.mock_events (n serial, message_id uuid, event text, machine boolean);
		CREATE TABLE incomplete_orders.mock_restored (n serial, message_id uuid, session_id text);
		CREATE TABLE incomplete_orders.mock_unsubscribed (n serial, message_id uuid, scope text);
		CREATE FUNCTION incomplete_orders.mock_message(token text, purposes text) RETURNS incomplete_orders.mock_messages LANGUAGE plpgsql AS $$
		DECLARE
			b incomplete_orders.link_behaviour;
			m incomplete_orders.mock_messages;
		BEGIN
			SELECT * INTO b FROM incomplete_orders.link_behaviour;
			PERFORM pg_sleep(b.pause);
			IF b.sqlstate IS NOT NULL THEN
				RAISE EXCEPTION USING ERRCODE = b.sqlstate, MESSAGE = b.message, DETAIL = b.detail;
			END IF;
			SELECT * INTO m FROM incomplete_orders.mock_messages n
			WHERE n.beginning = left(token, 21) AND strpos(purposes, substr(token, 22, 1)) > 0 AND right(token, 21) IN (repeat('A', 21), repeat('X', 21));
			IF NOT FOUND THEN
				RAISE EXCEPTION USING ERRCODE = 'IC011', MESSAGE = 'bad token', DETAIL = 'It was not made here.';
			ELSIF right(token, 21) = repeat('X', 21) THEN
				RAISE EXCEPTION USING ERRCODE = 'IC011', MESSAGE = 'bad token', DETAIL = 'It has expired.';
			END IF;
			RETURN m;
		END $$;
		CREATE FUNCTION incomplete_orders.preview_cart(token text) RETURNS TABLE (message_id uuid, order_id uuid, shop text, shop_name text, locale text,
			reference text, status text, items jsonb, total numeric, currency text, logo_url text, colour text, restore_url text, base_url text)
		LANGUAGE sql AS $$
			SELECT m.message_id, m.message_id, 'default', m.shop_name, m.locale, m.reference, m.status, m.items, m.total, m.currency, m.logo_url, m.colour,
				m.restore_url, 'https://shop.example/'
			FROM incomplete_orders.mock_message(token, 'r') m $$;
		CREATE FUNCTION incomplete_orders.restore_cart(token text, session_id text, shop text DEFAULT NULL, at timestamptz DEFAULT now())
		RETURNS TABLE (id uuid, items jsonb, removed jsonb, changed jsonb) LANGUAGE sql AS $$
			INSERT INTO incomplete_orders.mock_restored (message_id, session_id)
			SELECT m.message_id, restore_cart.session_id FROM incomplete_orders.mock_message(token, 'r') m;
			SELECT m.message_id, m.items, m.removed, m.changed FROM incomplete_orders.mock_message(token, 'r') m $$;
		CREATE FUNCTION incomplete_orders.link_target(token text, line integer) RETURNS TABLE (message_id uuid, url text) LANGUAGE sql AS $$
			SELECT m.message_id, coalesce(m.items -> (line - 1) ->> 'url', 'https://shop.example/r/' || m.beginning || 'r' || repeat('A', 21))
			FROM incomplete_orders.mock_message(token, 'c') m $$;
		CREATE FUNCTION incomplete_orders.open_link(token text) RETURNS uuid LANGUAGE sql AS $$
			SELECT m.message_id FROM incomplete_orders.mock_message(token, 'o') m $$;
		CREATE FUNCTION incomplete_orders.preview_unsubscribe(token text) RETURNS TABLE (message_id uuid, shop text, shop_name text, locale text,
			logo_url text, colour text) LANGUAGE sql AS $$
			SELECT m.message_id, 'default', m.shop_name, m.locale, m.logo_url, m.colour FROM incomplete_orders.mock_message(token, 'un') m $$;
		CREATE FUNCTION incomplete_orders.unsubscribe(token text, scope text DEFAULT 'recovery', at timestamptz DEFAULT now()) RETURNS boolean LANGUAGE sql AS $$
			INSERT INTO incomplete_orders.mock_unsubscribed (message_id, scope) SELECT m.message_id, scope FROM incomplete_orders.mock_message(token, 'un') m;
			SELECT true $$;
		CREATE FUNCTION incomplete_orders.record_message_event(message_id uuid, event text, meta jsonb, at timestamptz DEFAULT now()) RETURNS void LANGUAGE sql AS $$
			INSERT INTO incomplete_orders.mock_events (message_id, event, machine) VALUES (message_id, event, (meta ->> 'machine')::boolean) $$;
		});
	return;
}

# make_message(node, database, column => value, ...): a message of the stand-in; the beginning of its tokens.
sub make_message
{
	my ($node, $database, %what) = @_;
	state $made = 0;
	my $beginning = sprintf 'Message%014d', ++$made;
	my %row = (
		message_id => sprintf('00000000-0000-7000-8000-%012d', $made),
		beginning => $beginning,
		email => 'jane.doe@shopper.example',
		locale => 'en',
		reference => 'INC-0000000001',
		status => 'abandoned',
		items => '[{"sku":"A-1","name":"Blue shirt","variant":"M","quantity":2,"unit_price":"19.9","url":"https://shop.example/a-1"},{"sku":"B-2","quantity":1,"unit_price":"5"}]',
		total => '44.80',
		currency => 'EUR',
		shop_name => 'Example Shop',
		%what);
	my @columns = sort keys %row;
	my $values = join ', ', map { defined $row{$_} ? "\$q\$$row{$_}\$q\$" : 'NULL' } @columns;
	$node->safe_psql($database, 'INSERT INTO incomplete_orders.mock_messages (' . join(', ', @columns) . ") VALUES ($values)");
	return $beginning;
}

# link_token(beginning, purpose): r restore, c click, o open, u unsubscribe, n not me; "expired" as third argument.
sub link_token
{
	my ($beginning, $purpose, $state) = @_;
	return $beginning . $purpose . ($state ? 'X' : 'A') x 21;
}

# http_connect(address): a connection to a server's "host:port".
sub http_connect
{
	my ($address) = @_;
	return IO::Socket::INET->new(PeerAddr => $address, Timeout => 10) || die "no connection to $address: $!";
}

# http_read(socket, method): one answer as { status, headers (names in lower case), head, body },
# or undef if the connection ended or stayed silent instead.
sub http_read
{
	my ($socket, $method) = @_;
	my $buffer = '';
	my $select = IO::Select->new($socket);
	my $more = sub {
		$select->can_read($patience) && sysread($socket, $buffer, 65536, length $buffer);
	};
	while ($buffer !~ /\r\n\r\n/)
	{
		$more->() or return;
	}
	my ($head, $body) = split /\r\n\r\n/, $buffer, 2;
	my ($first, @lines) = split /\r\n/, $head;
	my %headers = map { my ($name, $value) = split /: ?/, $_, 2; (lc $name => $value) } @lines;
	my ($status) = $first =~ m{^HTTP/1\.[01] (\d{3}) };
	$buffer = $body;
	if (($method // 'GET') ne 'HEAD')
	{
		while (length $buffer < ($headers{'content-length'} // 0))
		{
			$more->() or last;
		}
	}
	return { status => $status, headers => \%headers, head => $head, body => $buffer };
}

# http_request(address, method, path, headers or undef, body or undef): over a connection of its own.
sub http_request
{
	my ($address, $method, $path, $headers, $body) = @_;
	my $socket = http_connect($address);
	my %all = (Host => $address, Connection => 'close', %{ $headers // {} });
	$all{'Content-Length'} = length $body if defined $body && !exists $all{'Content-Length'};
	my $text = "$method $path HTTP/1.1\r\n" . join('', map { "$_: $all{$_}\r\n" } grep { defined $all{$_} } sort keys %all) . "\r\n" . ($body // '');
	print $socket $text;
	return http_read($socket, $method);
}

# queue_database(node, name): a stand-in for the queue of messages (queue.sql).
sub queue_database
{
	my ($node, $name) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, PostgreSQL::Test::Utils::slurp_file("$FindBin::RealBin/queue.sql"));
	return;
}

# python_tests(file): each of its lines "ok - ..." and "not ok - ..." is a test; its last one is "done".
sub python_tests
{
	my ($file) = @_;
	my $last = '';
	# smtp-sink is where administrators' programs are.
	local $ENV{PATH} = "$ENV{PATH}:/usr/sbin:/usr/local/sbin";
	local $ENV{PYTHONDONTWRITEBYTECODE} = 1;
	open(my $out, '-|', 'sh', '-c', 'exec python3 "$0" 2>&1', "$FindBin::RealBin/$file") or die "no python3: $!";
	while (my $line = <$out>)
	{
		chomp $line;
		$last = $line;
		if ($line =~ /^(not )?ok - (.*)/) { Test::More::ok(!$1, $2) }
		else { Test::More::diag($line) if $line ne 'done' }
	}
	close $out;
	Test::More::is("$last $?", 'done 0', "$file ran to its end");
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
