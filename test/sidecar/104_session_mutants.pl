# Mutants: each is the program with one promise about sessions, or about the admin's files,
# taken out of its source.  Their tests must tell it from the real one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Mutants;
use Test::More;

my %session = (SESSION_PART => 'session', REST_STOP => 1);
my %files = (SESSION_PART => 'admin_files', REST_STOP => 1);
my $test = '103_session.pl';

tell_mutants(
	[ 'it asks for no CSRF token', 'session.c', '		if (different == 0)', '		if (different == 0 || true)', $test, \%session, qr/a write with a wrong one/ ],
	[ 'it takes a write from any page', 'session.c', '	if (!is_ours(call))', '	if (!is_ours(call) && false)', $test, \%session, qr/a write with no origin/ ],
	[ 'it signs in whoever another page names', 'session.c', 'may_write(call, NULL) ?', 'true ?', $test, \%session, qr/signing in with no origin/ ],
	[ 'it signs out whoever another page names', 'session.c', "	if (!may_write(call, session))\n		return;\n	if (session", "	if (session", $test, \%session, qr/signing out with no CSRF token/ ],
	[ 'it takes the first of two cookies', 'session.c', "			g_free(value);\n			value = NULL;\n			break;", '			break;', $test, \%session, qr/a cookie: (twice|two)/ ],
	[ 'scripts get the cookie', 'session.c', '; HttpOnly', '', $test, \%session, qr/the cookie: 256 bits/ ],
	[ 'it keeps the session of before', 'session.c', "	if (before != NULL)\n", "	if (false)\n", $test, \%session, qr/ends the one before/ ],
	[ 'a cookie wins over Authorization', 'staff.c', 'http_header(call->request, "Authorization") == NULL && session_admit(call)', 'session_admit(call)', $test, \%session, qr/Authorization wins/ ],
	[ 'a window opens in front of the page', 'staff.c', '	if (!session_is_page(call))', '	if (true)', $test, \%session, qr/gets no cookie, and no window/ ],
	[ 'it tells the database the password', 'session.c', "	explicit_bzero(request->body, request->body_length);\n	request->body_length = 0;\n", '', $test, \%session, qr/asked with the password, and not told/ ],
	[ 'it keeps the login of who signed out', 'staff.c', '	login->ending = true;', '', $test, \%session, qr/closed at once/ ],
	[ 'what a page asks by itself keeps a session', 'session.c', '	if (http_header(call->request, "X-Background") == NULL)', '	if (true)', $test, \%session, qr/idle: what a page asks by itself/ ],
	[ 'a session that is used never ends', 'session.c', '	return idle < age ? idle : age;', '	return idle < age || true ? idle : age;', $test, \%session, qr/in any case/ ],
	[ 'a changed password ends nothing', 'staff.c', '	if (wrong || login->state > LOGIN_OPEN)', '	if (false)', $test, \%session, qr/a password was changed: the session is over/ ],
	[ 'a role has any number of sessions', 'session.c', '	if (n >= SESSIONS_PER_ROLE)', '	if (false)', $test, \%session, qr/a role has sixteen sessions/ ],
	[ 'it believes anybody who says https', 'proxy.c', '	http_peer(request, peer, sizeof(peer));' . "\n" . '	return trust(proxies, peer);', '	(void) peer;' . "\n" . '	return true;', $test, \%session, qr/only a trusted proxy/ ],
	[ 'mails may run scripts of anybody', 'admin_files.c', q(script-src 'self'; style-src 'unsafe-inline'), q(script-src 'unsafe-inline'; style-src 'unsafe-inline'), $test, \%files, qr/policy of its own/ ],
	[ 'anybody may frame the pages', 'admin_files.c', q(frame-ancestors 'none'), q(frame-ancestors *), $test, \%files, qr/its policy/ ],
	[ 'files of any version are those of this one', 'admin_files.c', 'strncmp(path, digest, strlen(digest)) == 0 ?', 'strlen(path) > strlen(digest) ?', $test, \%files, qr/no file: .*000/ ],
	[ 'it sends what the client does not take', 'admin_files.c', 'strtod(header + 2, NULL) > 0', 'true', $test, \%files, qr/Accept-Encoding/ ],
	[ 'a policy that changed is not seen', 'admin_files.c', 'g_strconcat(text, policy, NULL)', 'g_strconcat(text, NULL)', $test, \%files, qr/another policy is another page/ ],
);
done_testing();
