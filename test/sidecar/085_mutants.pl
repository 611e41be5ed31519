# Mutants: each is the program with one promise of the sender taken out of its
# source.  The aimed part of the test of chaos must tell it from the real one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Mutants;
use Test::More;

my %aimed = (CHAOS_PART => 'aimed', CHAOS_STOP => 1);

tell_mutants(
	[ 'it acks before it sends', 'queue.c', 'c.recipient, c.message"', q{c.recipient, c.message, incomplete_orders.ack_message(c.message_id, c.token, 'early')"}, '080_chaos.pl', \%aimed,
		qr/it is not sent before the 250/ ],
	[ 'it sends what it cannot record', 'outbox.c', ' && !outbox->unheard', '', '080_chaos.pl', \%aimed, qr/it does not go on without the server/ ],
	[ 'it takes silence behind the body for a 250', 'smtp.c', "\t\tcase SMTP_BODY:\n\t\t\tsay(", "\t\tcase SMTP_BODY:\n\t\t\treturn SMTP_SENT;\n\t\t\tsay(", '080_chaos.pl', \%aimed,
		qr/and once more|none is lost/ ],
);
done_testing();
