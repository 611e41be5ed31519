# The clock is not what it should be: the server's steps by an hour and by a year,
# forth and back, and over the changes to and from daylight saving time; and the
# server is restarted in between.  What is written are thresholds, so nothing
# depends on it for longer than the step lasts.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($library) = grep { -e } glob('/usr/lib/*/faketime/libfaketime.so.1 /usr/lib64/faketime/libfaketime.so.1 /usr/local/lib/faketime/libfaketime.so.1');
plan skip_all => 'libfaketime is not installed' unless $library;

my $node = PostgreSQL::Test::Cluster->new('clock');
my $clock = $node->basedir . '/clock';

# The server's clock from now on: an instant, from which on it runs.
my $now;

sub set_clock
{
	$now = $_[0];
	# replaced at once, never half written
	open(my $file, '>', "$clock.new") or die $!;
	print $file "\@$now\n";
	close $file;
	rename("$clock.new", $clock) or die $!;
	return;
}

sub with_clock
{
	my ($act) = @_;
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{FAKETIME_TIMESTAMP_FILE} = $clock;
	local $ENV{FAKETIME_NO_CACHE} = 1;
	local $ENV{FAKETIME_DONT_FAKE_MONOTONIC} = 1;
	# what sleeps must sleep by the real clock
	local $ENV{FAKETIME_DONT_RESET} = 1;
	local $ENV{TZ} = 'UTC';
	$act->();
	return;
}

sub value { return $node->safe_psql('postgres', "SET timezone = 'UTC'; $_[0]"); }

sub tick
{
	my %report = value('CALL incomplete_orders.tick()') =~ /"(\w+)": ([\w.]+)/g;
	return join ' ', map { "$_ $report{$_}" } grep { $report{$_} } qw(abandoned lost expired purged);
}

sub capture
{
	my ($session) = @_;
	return value(qq{SELECT incomplete_orders.capture_cart('$session', '[{"sku":"A","quantity":1,"unit_price":"1.50"}]', shop => 'berlin')});
}

# The steps of a session's orders: what, and how many seconds after the order's creation.
# Thresholds are exact to the second. What the customer did is in minutes: the clock runs on
# while a busy machine gets to it.
sub story
{
	my ($session) = @_;
	return value(qq{
		SELECT string_agg(concat(e.event, ' ', CASE e.event WHEN 'reanimated' THEN round(extract(epoch FROM e.at - o.created_at) / 60) || ' min'
			ELSE extract(epoch FROM e.at - o.created_at)::integer::text END), ', ' ORDER BY o.created_at, e.event_id)
		FROM incomplete_orders.incomplete_orders o JOIN incomplete_orders.order_events e ON e.order_id = o.id WHERE o.session_id = '$session'});
}

sub status { return value("SELECT string_agg(status::text, ' ' ORDER BY id) FROM incomplete_orders.incomplete_orders WHERE session_id = '$_[0]'"); }

# Everything is where it should be, whatever the clock said.
sub sane
{
	my ($name, $orders) = @_;
	is(value('SELECT count(*) FROM incomplete_orders.incomplete_orders'), $orders, "$name: $orders orders, none is lost");
	is(value(q{SELECT count(*) FROM incomplete_orders.open_orders JOIN incomplete_orders.closed_orders USING (shop_id, id)}), 0, "$name: each in one place");
	is(value(q{SELECT count(*) FROM (SELECT order_id FROM incomplete_orders.order_events GROUP BY order_id, event, episode HAVING count(*) > 1) x}),
		0, "$name: no step was made twice");
	is(value(q{SELECT count(*) FROM ONLY incomplete_orders.closed_orders_default}), 0, "$name: a partition for each");
	return;
}

set_clock('2026-03-28 20:00:00');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\ntimezone = 'Europe/Berlin'\n");
with_clock(sub { $node->start });
is(substr(value('SELECT now()'), 0, 16), '2026-03-28 20:00', 'the server has the clock that it was given') or BAIL_OUT('libfaketime does not work');
$node->safe_psql('postgres', 'CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();'
	. q{SELECT incomplete_orders.create_shop('berlin', 'Berlin', 'EUR', 'Europe/Berlin');}
	# what the retention takes by a wrong clock is gone
	. q{SELECT incomplete_orders.configure_shop('berlin', '{"retention": "3 years"}')});

# In Berlin the clocks go from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
set_clock('2026-03-29 00:30:00');
capture('spring');
set_clock('2026-03-29 01:29:00');
is(tick(), '', 'spring: 02:30 never comes, but an hour is an hour');
set_clock('2026-03-29 01:31:00');
is(tick(), 'abandoned 1', '... and is over at 03:30');
is(story('spring'), 'created 0, abandoned 3600', '... exactly');
# Expiry is 30 days of 24 hours, across the change too.
set_clock('2026-04-28 00:29:00');
is(tick(), 'lost 1', 'not expired after 29 days and 23:59 hours');
set_clock('2026-04-28 00:31:00');
is(tick(), 'expired 1', '... but after 30 days');
is(story('spring'), 'created 0, abandoned 3600, lost 1209600, expired 2592000', '... exactly');
# and back from 03:00 to 02:00 on 25 October, at 01:00 UTC
set_clock('2026-10-25 00:40:00');
capture('autumn');
set_clock('2026-10-25 01:39:00');
is(tick(), '', 'autumn: 02:40 comes twice');
set_clock('2026-10-25 01:41:00');
is(tick(), 'abandoned 1', '... the second one counts');
is(story('autumn'), 'created 0, abandoned 3600', '... exactly');
sane('daylight saving time', 2);

# An hour forth and back.
set_clock('2026-11-10 12:00:00');
is(tick(), 'lost 1', 'the tick before the steps');
capture($_) for qw(step-1 step-2 step-3);
set_clock('2026-11-10 13:05:00');
is(tick(), 'abandoned 3', 'an hour forth: abandoned');
set_clock('2026-11-10 12:05:00');
is(tick(), '', '... and back: nothing to do');
capture('step-1');
is(story('step-1'), 'created 0, abandoned 3600, reanimated 5 min', 'whoever comes back then is back');
is(status('step-1'), 'pending', '... pending');
with_clock(sub { $node->restart });
is(tick(), '', 'after a restart: nothing to do');
set_clock('2026-11-10 13:04:00');
is(tick(), '', 'not abandoned again before an hour is over');
set_clock('2026-11-10 13:06:00');
is(tick(), 'abandoned 1', '... but then');
is(story('step-2'), 'created 0, abandoned 3600', 'the others stay as they were');
sane('an hour', 5);

# A year forth, for some minutes, and back.
capture('before');
set_clock('2027-11-10 13:10:00');
like(tick(), qr/^abandoned 1 lost 4 expired \d+$/, 'a year forth: all is over');
capture('within');
with_clock(sub { $node->restart });
is(tick(), '', 'once');
sane('a year forth', 7);
set_clock('2026-11-10 13:20:00');
is(tick(), '', 'and back: nothing to do');
capture('before');
is(status('before'), 'expired pending', 'a customer whose order expired gets a new one');
set_clock('2026-11-10 14:21:00');
is(tick(), 'abandoned 1', '... which is abandoned on time');
is(value(q{SELECT (at > now() - interval '1 minute')::text FROM incomplete_orders.heartbeats WHERE job = 'tick'}), 'true', 'the heartbeat is of the right clock again');
capture('within');
is(status('within'), 'pending', 'who acted in that future is not forgotten');
sane('a year back', 8);

# The steps by `at` alone, which an administrator may give: a year back and forth.
value(q{CALL incomplete_orders.tick(at => now() - interval '1 year')});
value(q{CALL incomplete_orders.tick(at => now() + interval '1 year')});
is(tick(), '', 'ticks a year ago and in a year by at');
sane('by at', 8);
$node->stop;
done_testing();
