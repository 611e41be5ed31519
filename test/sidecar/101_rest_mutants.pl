# Mutants: each is the program with one promise of logging in taken out of its source.
# The test of logins must tell it from the real one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Mutants;
use Test::More;

my %logins = (REST_PART => 'rest_logins', REST_STOP => 1);

tell_mutants(
	[ 'it believes a server that asked for no password', 'staff.c', '!PQconnectionUsedPassword(conn)', 'false', '100_rest_core.pl', \%logins, qr/a role that is trusted/ ],
	[ 'it lets superusers in', 'staff.c', 'strcmp(superuser, "off") != 0', 'false', '100_rest_core.pl', \%logins, qr/a superuser/ ],
	[ 'it knows people by their names alone', 'staff.c', '	g_hmac_update(hmac, (const guchar *) password, (gssize) strlen(password));' . "\n", '', '100_rest_core.pl', \%logins, qr/tries: six wrong passwords/ ],
	[ 'it counts no tries', 'attempts.c', "\tentry->failures++;\n", '', '100_rest_core.pl', \%logins, qr/tries: six wrong passwords/ ],
	[ 'it keeps connections that are in use', 'staff.c', 'login->pool.idle_limit = login->pool.age_limit =', 'login->pool.idle_limit =', '100_rest_core.pl', \%logins, qr/password: one that was changed/ ],
);
done_testing();
