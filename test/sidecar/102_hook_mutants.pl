# Mutants: each is the program with one promise of webhooks taken out of its source.
# The tests of webhooks must tell it from the real one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Mutants;
use Test::More;

tell_mutants(
	[ 'it believes every notification', 'sns.c', 'genuine = is_signed(sns, told, text);', 'genuine = is_signed(sns, told, text) || text->len > 0;', '092_mail_events.pl', { EVENTS_PART => 'amazon' }, qr/one bit of the signature/ ],
	[ 'it takes every topic', 'sns.c', 'if (!is_ours(sns, told))', 'if (!is_ours(sns, told) && text == NULL)', '092_mail_events.pl', { EVENTS_PART => 'amazon' }, qr/a topic of somebody else/ ],
	[ 'it takes what is old', 'sns.c', 'return is_fresh(told) ? kind : SNS_STALE;', 'return is_fresh(told) ? kind : kind;', '092_mail_events.pl', { EVENTS_PART => 'amazon' }, qr/older than two hours/ ],
	[ 'it uses a certificate for ever', 'sns.c', '|| !is_in_force(certificate)', '|| (false && !is_in_force(certificate))', '092_mail_events.pl', { EVENTS_PART => 'amazon' }, qr/whose time is over/ ],
	[ 'it visits any address that is said to be Amazon\'s', 'rest_hooks.c', 'amazon = sns_is_amazon(url);', 'amazon = *url != 0;', '092_mail_events.pl', { EVENTS_PART => 'amazon' }, qr/only begins like Amazon/ ],
	[ 'it connects to what only we can reach', 'webhooks.c', "\t\t\treturn reach == REACH_PUBLIC && !work->plain;", "\t\t\treturn true;", '093_webhooks.pl', { WEBHOOKS_PART => 'addresses' }, qr/https:\/\/localhost\/ with --webhooks=public/ ],
	[ 'it follows redirects', 'webhooks.c', 'CURLOPT_FOLLOWLOCATION, 0L', 'CURLOPT_FOLLOWLOCATION, 1L', '093_webhooks.pl', { WEBHOOKS_PART => 'detours' }, qr/a redirect/ ],
	[ 'it uses proxies of the environment', 'webhooks.c', "\tcurl_easy_setopt(easy, CURLOPT_PROXY, \"\");\n", '', '093_webhooks.pl', { WEBHOOKS_PART => 'detours' }, qr/proxies/ ],
	[ 'it takes any answer for a yes', 'webhooks.c', 'answered && post->status >= 200 && post->status <= 299', 'answered', '093_webhooks.pl', { WEBHOOKS_PART => 'detours' }, qr/a redirect/ ],
	[ 'it signs for nobody', 'webhooks.c', '"webhook-signature", columns[7]', '"webhook-signature", columns[6]', '093_webhooks.pl', { WEBHOOKS_PART => 'contents' }, qr/signatures are good/ ],
);
done_testing();
