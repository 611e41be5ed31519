# Promises of sending that need no chaos: notifications are a hint, a lease ends
# by itself, a message that cannot be made blocks nobody.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use Mails;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Queue;
use Sidecar;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('promises');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nlog_statement = none\n");
$node->start;
make_shop($node, 'postgres');
connect_to($node, 'postgres');
my $mail = mail_server();

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub sent { my ($name) = @_; return sql("SELECT count(*) FROM incomplete_orders.messages WHERE recipient LIKE '$name-%' AND status = 'sent'") }

my @options = (mail_url($mail), '--lease=10s', '--timeout=5s');

## A notification is heard at once; without one everything goes out within the poll interval.

{
	my $run = begin('send', @options, '--poll=1h');
	ok(await($run, sub { $run->{err} =~ /event=start/ && sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'incomplete-orders%' AND state = 'idle'}) }), 'a sender waits');
	make_carts($node, 'postgres', 'heard', 3);
	ok(await($run, sub { sent('heard') == 3 }), 'what tick queues is heard of, though the queue is asked once an hour');
	is(scalar(finish($run, 'TERM')), 0, 'the sender ends');
}

SKIP:
{
	my ($program) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin';
	skip 'pgbouncer is not installed', 5 unless $program;
	# LISTEN succeeds there, and nothing is ever delivered.
	my $dir = PostgreSQL::Test::Utils::tempdir_short();
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($host, $node_port, $user) = ($node->host, $node->port, scalar getpwuid($<));
	append_to_file("$dir/users", "\"$user\" \"\"\n");
	append_to_file("$dir/pgbouncer.ini", <<"INI");
[databases]
postgres = host=$host port=$node_port dbname=postgres pool_size=2
[pgbouncer]
pool_mode = transaction
listen_addr =
unix_socket_dir = $dir
listen_port = $port
auth_type = trust
auth_file = $dir/users
server_reset_query_always = 1
server_reset_query = DISCARD ALL
INI
	my ($pool_out, $pool_err) = ('', '');
	my $pool = IPC::Run::start([ $program, "$dir/pgbouncer.ini" ], '<', \undef, '>', \$pool_out, '2>', \$pool_err);
	ok(await(undef, sub { -S "$dir/.s.PGSQL.$port" }), 'a pooler') or diag($pool_err);
	my $run;
	{
		local $ENV{PGHOST} = $dir;
		local $ENV{PGPORT} = $port;
		$run = begin('send', @options, '--poll=3s');
		ok(await($run, sub { $run->{err} =~ /event=start/ }), 'a sender behind it') or diag($run->{err});
	}
	my $began = time;
	make_carts($node, 'postgres', 'unheard', 3);
	ok(await($run, sub { sent('unheard') == 3 }), 'what it cannot hear of is sent all the same') or diag($run->{err});
	cmp_ok(time - $began, '<', 10, 'within the poll interval');
	is(scalar(finish($run, 'TERM')), 0, 'the sender ends');
	$pool->signal('KILL');
	eval { $pool->finish };
}

## The lease of a sender that died ends by itself, and another one takes over: within lease and poll.

{
	my $dead = begin('send', @options, '--poll=1s', '--connections=1');
	hold($mail);
	make_carts($node, 'postgres', 'lease', 1);
	my $id = held($mail);
	ok($id, 'a mail is on its way');
	my $run = begin('send', @options, '--poll=1s');
	my $began = time;
	finish($dead, 'KILL');
	ok(await($run, sub { sent('lease') == 1 }), 'another sender sends it');
	my $took = time - $began;
	cmp_ok($took, '<', 10 + 1 + 8, 'when lease and poll are over');
	is(sql(q{SELECT attempts FROM incomplete_orders.messages WHERE recipient = 'lease-1@shop.example'}), '2', 'at the second attempt');
	finish($run, 'TERM');
}

## A message that cannot be made is dead, says why, and blocks nobody; mended, it goes out.

{
	sql(q~INSERT INTO incomplete_orders.templates (shop_id, template, locale, subject, headline, body, button)
		VALUES (1, 'cart_abandoned', 'xx', 'S', 'H', 'Hello {{#customer_name}', 'B')~);
	sql(q{SELECT incomplete_orders.capture_cart('broken-1', '[{"sku":"A","quantity":1,"unit_price":1}]', email => 'broken-1@shop.example',
		context => '{"locale": "xx"}', at => now() - interval '160 minutes')});
	make_carts($node, 'postgres', 'whole', 5);
	my ($code, $out, $err) = program('send', @options, '--once');
	is($code, 0, 'a template that is broken: the sender goes on');
	is(sent('whole'), 5, 'the other messages are sent');
	like(sql(q{SELECT concat_ws(' ', status, reason) FROM incomplete_orders.messages WHERE recipient = 'broken-1@shop.example'}), qr/^dead rejected$/, 'that one is dead');
	isnt(sql(q{SELECT response FROM incomplete_orders.dead_messages() WHERE recipient = 'broken-1@shop.example'}), '', 'and it says why');
	note sql(q{SELECT response FROM incomplete_orders.dead_messages()});
	unlike($err, qr/broken-1\@/, 'the log names no address');
	sql(q{UPDATE incomplete_orders.templates SET body = 'Hello {{customer_name}}' WHERE locale = 'xx'});
	is(sql(q{SELECT incomplete_orders.retry_message(message_id) FROM incomplete_orders.dead_messages()}), 't', 'it is tried again');
	is((program('send', @options, '--once'))[0], 0, 'with the template mended');
	is(sent('broken'), 1, 'it is sent');
}

mail_stop($mail, 'TERM');
$node->stop;
done_testing();
