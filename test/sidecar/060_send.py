"""Sending: against smtp-sink, which fails as it is told, and against aiosmtpd, which
looks at what it gets, speaks TLS and wants a login."""
import asyncio
import http.client
import logging
import warnings
import ssl

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from sending import *

# What refused certificates look like from the other side.
logging.getLogger('mail.log').setLevel(logging.CRITICAL)
warnings.simplefilter('ignore')

# ---- all is well ----

empty_queue()
messages = [enqueue(f'jane{n}@example.com') for n in range(25)]
with Sink() as sink:
    code, out, err = run('--smtp-url=' + sink.url, '--once')
    same((code, out), (0, ''), 'once: exit code')
    like(err, r'\Atime=\S+ level=info event=stop version=\S+ sent=25 deferred=0 rejected=0 stale=0\n\Z', 'once: one line, of how many')
    same({state(m) for m in messages}, {('sent', 1, 'claim ack', '250 2.0.0 Ok')}, 'all are sent, each with the reply of the server')
    mails = [parse(m) for m in sink.mails()]
    same(sorted(m['Message-ID'] for m in mails), sorted(f'<{m}@shop.example>' for m in messages), 'each arrived, once')
    same({m['X-Mail-Args'] for m in mails}, {'<books@shop.example>'}, 'MAIL FROM')
    same(sorted(m['X-Rcpt-Args'] for m in mails), sorted(f'<jane{n}@example.com>' for n in range(25)), 'RCPT TO')
    same(one("SELECT count(*) FROM incomplete_orders.claims WHERE isolation <> 'read committed' OR lease <> '5 min' OR worker !~ '^send \\d+$'"), 0, 'claims: as they should be')
    sql("ALTER DATABASE %s SET default_transaction_isolation = serializable" % os.environ['PGDATABASE'])
    message = enqueue()
    run('--smtp-url=' + sink.url, '--once')
    same(state(message)[0], 'sent', 'a database with another isolation level')
    same(one("SELECT DISTINCT isolation FROM incomplete_orders.claims"), 'read committed', 'claims stay READ COMMITTED')
    sql("ALTER DATABASE %s RESET default_transaction_isolation" % os.environ['PGDATABASE'])
    same(run('--smtp-url=' + sink.url, '--once'), (0, '', ''), 'nothing is due: says nothing')
    later = enqueue()
    sql("UPDATE incomplete_orders.queue SET due_at = now() + interval '1 hour' WHERE id = %s", later)
    run('--smtp-url=' + sink.url, '--once')
    same(state(later)[0], 'queued', 'what is not due stays')
    code, out, _ = run('--smtp-url=' + sink.url, '--dry-run')
    like(out, r'default +\W* *queued +\W* *1 ', 'a dry run shows what waits')
    same((code, state(later)[2]), (0, ''), 'and claims nothing')

# ---- whatever a server can do: what becomes of the message, and of the others ----


def refused(name, options, wanted, says, logged, sent=False):
    """One message against a server with that fault."""
    empty_queue()
    message = enqueue()
    with Sink(*options) as sink:
        code, _, err = run('--smtp-url=' + sink.url, '--once', '--timeout=5')
        status, attempts, calls, response = state(message)
        same((code, status, attempts, calls), wanted, f'{name}: what becomes of it')
        like(response, says, f'{name}: what is recorded')
        like(err, logged, f'{name}: what is logged')
        unlike(err, '@', f'{name}: no address is logged')


TRANSIENT = 0, 'queued', 1, 'claim transient'
PERMANENT = 0, 'dead', 1, 'claim permanent'
UNTRIED = 69, 'queued', 0, 'claim back'
refused('5xx at RCPT', ['-f', 'RCPT', '-B', '550 5.1.1 No such user <jane@example.com>'], PERMANENT, r'^550 5\.1\.1 No such user', 'event=rejected .*reply="550 5.1.1"')
refused('4xx at RCPT', ['-r', 'RCPT', '-b', '450 4.2.0 Greylisted'], TRANSIENT, r'^450 4\.2\.0 Greylisted$', 'event=deferred .*reply="450 4.2.0"')
refused('5xx at DATA', ['-f', 'DATA', '-B', '554 5.7.1 We do not want it'], PERMANENT, r'^554 5\.7\.1 We', 'event=rejected .*reply="554 5.7.1"')
refused('4xx at DATA', ['-r', 'DATA'], TRANSIENT, '^450 ', 'event=deferred')
refused('5xx after the mail', ['-f', '.', '-B', '554 5.6.0 spam'], PERMANENT, r'^554 5\.6\.0 spam$', 'event=rejected .*reply="554 5.6.0"')
refused('4xx after the mail', ['-r', '.'], TRANSIENT, '^450 ', 'event=deferred')
refused('5xx at MAIL', ['-f', 'MAIL', '-B', '550 5.1.8 Sender unknown'], TRANSIENT, r'^550 5\.1\.8', 'event=deferred')
refused('too large', ['-f', 'MAIL', '-B', '552 5.3.4 Too large'], PERMANENT, r'^552 5\.3\.4', 'event=rejected')
refused('no login, no mail', ['-f', 'MAIL', '-B', '530 5.7.0 Log in first'], UNTRIED, '^$', 'event=relay_down')
refused('gone at RCPT', ['-q', 'RCPT'], TRANSIENT, '^the connection ended at RCPT', 'event=deferred .*reason="the connection ended at RCPT')
refused('gone at DATA', ['-q', 'DATA'], TRANSIENT, '^the connection ended at DATA', 'event=deferred .*reason="the connection ended at DATA')
refused('gone after the mail', ['-q', '.'], TRANSIENT, '^outcome unknown: the connection ended before the server answered', 'event=deferred .*reason="outcome unknown')
refused('refuses everybody', ['-f', 'CONNECT', '-B', '554 5.3.2 Not today'], UNTRIED, '^$', 'event=relay_down relay=127.0.0.1:')
refused('refuses for now', ['-r', 'CONNECT'], UNTRIED, '^$', 'event=relay_down')
refused('gone at once', ['-q', 'CONNECT'], UNTRIED, '^$', 'event=relay_down')
refused('gone at EHLO', ['-q', 'EHLO'], UNTRIED, '^$', 'event=relay_down')
refused('knows only HELO', ['-e'], (0, 'sent', 1, 'claim ack'), '^250', 'sent=1')
refused('slow', ['-w', '2'], (0, 'sent', 1, 'claim ack'), '^250', 'sent=1')
refused('too slow', ['-w', '60'], TRANSIENT, '^outcome unknown|^the connection ended', 'event=deferred')

empty_queue()
message = enqueue()
port = free_port()
code, _, err = run(f'--smtp-url=smtp://127.0.0.1:{port}', '--once')
same((code, *state(message)), (69, 'queued', 0, 'claim back', ''), 'no server: the message is given back')
like(err, rf'event=relay_down relay=127\.0\.0\.1:{port} message="no connection: .*" retry_in=', 'no server: says so')
code, _, err = run('--smtp-url=smtp://nobody.invalid', '--once')
same((code, state(message)[:2]), (69, ('queued', 0)), 'no such host: the message is given back')
silent = socket.socket()
silent.bind(('127.0.0.1', 0))
silent.listen()
code, _, err = run(f'--smtp-url=smtp://127.0.0.1:{silent.getsockname()[1]}', '--once', '--timeout=5')
same((code, state(message)[:2]), (69, ('queued', 0)), 'a server that says nothing: the message is given back')
silent.close()

# The same Message-ID after an outcome that nobody knows.
with Sink('-q', '.') as sink:
    run('--smtp-url=' + sink.url, '--once')
    sql('UPDATE incomplete_orders.queue SET due_at = now()')
with Sink() as sink:
    run('--smtp-url=' + sink.url, '--once')
    same([parse(m)['Message-ID'] for m in sink.mails()], [f'<{message}@shop.example>'], 'sent again after an unknown outcome, under the same Message-ID')
    same(state(message)[:3], ('sent', 2, 'claim back claim back claim back claim transient claim ack'), 'and then recorded')

# One bad recipient does not disturb the others, on one connection or on many.
for connections in 1, 8:
    empty_queue()
    messages = [enqueue(f'jane{n}@example.com') for n in range(30)]
    bad = [enqueue('jane>@example.com'), enqueue(text={'body': '{{#'}), enqueue(shop={'base_url': None})]
    with Sink() as sink:
        code, _, err = run('--smtp-url=' + sink.url, '--once', f'--connections={connections}')
        same((code, {state(m)[0] for m in messages}, [state(m)[0] for m in bad]), (0, {'sent'}, ['dead', 'dead', 'queued']), f'{connections} connections: the others are sent')
        same(len(sink.mails()), 30, f'{connections} connections: once each')

# More than it holds at once, of which none is ever sent.
empty_queue()
messages = [enqueue(f'jane{n}>@example.com') for n in range(40)]
with Sink() as sink:
    began = time.monotonic()
    code, _, _ = run('--smtp-url=' + sink.url, '--once', '--connections=1')
    same((code, {state(m)[0] for m in messages}), (0, {'dead'}), 'many that cannot be sent: all are answered')
    ok(time.monotonic() - began < 10, 'at once', time.monotonic() - began)

# ---- a server that looks at what it gets ----


class Keeper:
    def __init__(self):
        self.mails = []
        self.hosts = []
        self.pause = 0

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self.hosts.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(self.pause)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content, server.transport.get_extra_info('ssl_object') is not None,
                           session.auth_data.login.decode() if session.auth_data else None))
        return '250 2.0.0 kept'


def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=isinstance(data, LoginPassword) and data.password == b'se cret"', handled=False, auth_data=data)


certificate, key = temp + '/cert.pem', temp + '/key.pem'
subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext',
                'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', certificate], check=True, capture_output=True)
tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(certificate, key)


class Server:
    def __init__(self, smtps=False, **options):
        self.keeper = Keeper()
        if smtps:
            options['ssl_context'] = tls
        self.controller = Controller(self.keeper, hostname='127.0.0.1', port=free_port(), **options)
        self.controller.start()
        self.url = f'{"smtps" if smtps else "smtp"}://127.0.0.1:{self.controller.port}'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.controller.stop()


def sent_to(server, *arguments, **variables):
    """Exit code, state, and whether it came by TLS, and whose login it had."""
    empty_queue()
    message = enqueue()
    code, _, err = run('--smtp-url=' + server.url, '--once', *arguments, **variables)
    mails = server.keeper.mails
    return (code, state(message)[0], [(by_tls, login) for _, _, _, by_tls, login in mails]), err


with Server() as server:
    same(sent_to(server)[0], (0, 'sent', [(False, None)]), 'a server without TLS')
    data, mail = saved(enqueue())
    _, _, content, _, _ = server.keeper.mails[0]
    empty_queue()
    dots = enqueue(text={'body': '.\n..\n.hidden\n\n.', 'headline': '.'})
    run('--smtp-url=' + server.url, '--once')
    sql("UPDATE incomplete_orders.queue SET status = 'queued', due_at = now()")
    same(server.keeper.mails[1][2], saved(dots)[0], 'what arrives is what was made, byte by byte, lines of dots too')
    same(server.keeper.mails[1][:2], ('books@shop.example', ['jane@example.com']), 'envelope')
    same(sent_to(server, '--starttls=require')[0][:2], (69, 'queued'), 'TLS required of a server without')
    empty_queue()
    enqueue()
    run('--smtp-url=' + server.url + '/mail.shop.example', '--once')
    same(server.keeper.hosts[-1], 'mail.shop.example', 'the name to say hello with')
empty_queue()
with Server(enable_SMTPUTF8=False) as server:
    server.keeper.pause = 0.5
    for n in range(16):
        enqueue(f'jane{n}@example.com')
    began = time.monotonic()
    run('--smtp-url=' + server.url, '--once')
    seconds = time.monotonic() - began
    same(count('sent'), 16, 'a server that takes its time to accept a mail: all are sent')
    ok(seconds < 4, 'and 8 at once, not one after the other', seconds)
    empty_queue()
    enqueue('jane@bücher.example'), enqueue('jäne@example.com')
    run('--smtp-url=' + server.url, '--once')
    same(server.keeper.mails[-1][1], ['jane@xn--bcher-kva.example'], 'the domain of a recipient goes out in ASCII')
    same((count('sent'), count('dead')), (1, 1), 'a name that is not ASCII: not to a server that does not know such')
with Server(enable_SMTPUTF8=True) as server:
    enqueue('jäne@example.com')
    run('--smtp-url=' + server.url, '--once')
    same([m[1] for m in server.keeper.mails], [['jäne@example.com']], 'but to one that does')
with Server(tls_context=tls) as server:
    same(sent_to(server)[0], (0, 'sent', [(True, None)]), 'STARTTLS where it is offered')
with Server(tls_context=tls) as server:
    same(sent_to(server, '--starttls=never')[0], (0, 'sent', [(False, None)]), 'STARTTLS never')
with Server(tls_context=tls, require_starttls=True) as server:
    same(sent_to(server, '--starttls=require', '--ca-file=' + certificate)[0], (0, 'sent', [(True, None)]), 'STARTTLS with a certificate that we trust')
    got, err = sent_to(server, '--starttls=require')
    same(got[:2], (69, 'queued'), 'STARTTLS with another: given back')
    like(err, 'event=relay_down .*[Cc]ertificate|event=relay_down .*SSL', 'and says so')
with Server(smtps=True) as server:
    same(sent_to(server, '--ca-file=' + certificate)[0], (0, 'sent', [(True, None)]), 'smtps with a certificate that we trust')
    same(sent_to(server)[0][:2], (69, 'queued'), 'smtps with another: given back')
login = {'tls_context': tls, 'authenticator': authenticate, 'auth_required': True}
netrc = temp + '/netrc'
with open(netrc, 'w') as file:
    file.write('machine 127.0.0.1 login shop password "se cret\\""\n')
with Server(**login) as server:
    same(sent_to(server, '--ca-file=' + certificate, SMTP_USER='shop', SMTP_PASSWORD='se cret"')[0], (0, 'sent', [(True, 'shop')]), 'a login from the environment')
    got, err = sent_to(server, '--ca-file=' + certificate, SMTP_USER='shop', SMTP_PASSWORD='wrong')
    same(got[:2], (69, 'queued'), 'a wrong password: given back')
    like(err, 'event=relay_down .*', 'a wrong password: says so')
    unlike(err, 'wrong|se cret', 'a wrong password: without it')
    got, err = sent_to(server, SMTP_USER='shop', SMTP_PASSWORD='se cret"')
    same(got[:2], (69, 'queued'), 'no login without a certificate that we trust')
    same(sent_to(server, '--ca-file=' + certificate)[0][:2], (69, 'queued'), 'no login at all: given back')
with Server(**login) as server:
    same(sent_to(server, '--ca-file=' + certificate, '--netrc-file=' + netrc)[0], (0, 'sent', [(True, 'shop')]), 'a login from a netrc file')

# ---- several mail servers ----

relays = temp + '/relays'


def write_relays(text):
    with open(relays, 'w') as file:
        file.write(text)


empty_queue()
with Sink() as own, Sink() as default:
    write_relays(f'# shop url from\n\na {own.url}\t other@sender.example # a comment\nb {own.url}\n')
    a, b, c = enqueue(of_shop='a'), enqueue(of_shop='b'), enqueue(of_shop='c')
    same(run('--smtp-url=' + default.url, '--relays=' + relays, '--once')[0], 0, 'relays: exit code')
    same(sorted(parse(m)['Message-ID'][1:-14] for m in own.mails()), sorted([a, b]), 'relays: two shops have their own')
    same([parse(m)['Message-ID'][1:-14] for m in default.mails()], [c], 'relays: the others the default')
    same(sorted(parse(m)['From'].addresses[0].addr_spec for m in own.mails()), ['books@shop.example', 'other@sender.example'], 'relays: a sender of its own')
    empty_queue()
    d = enqueue(of_shop='d')
    run('--relays=' + relays, '--once')
    same(state(d)[:3] + (state(d)[3][:22],), ('queued', 1, 'claim transient', 'the shop has no relay,'), 'relays: a shop without any')
    for text, says in [('a', 'line 1: a line is: SHOP URL'), ('\na http://x', 'line 2: the URL .* begins with smtp'), (f'a {own.url}\na {own.url}', 'line 2: shop a is there twice'),
                       (f'a {own.url} x', 'line 1: the address'), ('a smtp://u:p@x', 'does not hold a user'), (f'a {own.url} a@b c', 'a line is')]:
        write_relays(text)
        code, _, err = run('--relays=' + relays, '--once')
        same(code, 78, f'relays {text!r}: exit code')
        like(err, says, f'relays {text!r}: says where')
    same(run('--relays=' + temp + '/none', '--once')[0], 66, 'relays that are not there')
    # one of them is away
    empty_queue()
    write_relays(f'a smtp://127.0.0.1:{free_port()}\n')
    a, b = enqueue(of_shop='a'), enqueue(of_shop='b')
    same(run('--smtp-url=' + default.url, '--relays=' + relays, '--once')[0], 69, 'one of two servers is away, once: exit code')
    same((state(a)[:2], state(b)[0]), (('queued', 0), 'sent'), 'one of two servers is away, once: the other messages are sent')
    empty_queue()
    write_relays(f'a smtp://127.0.0.1:{free_port()}\n')
    program = Program('--smtp-url=' + default.url, '--relays=' + relays)
    a, others = enqueue(of_shop='a'), [enqueue(of_shop='b') for _ in range(30)]
    sql('NOTIFY incomplete_orders')
    ok(wait_for(lambda: count('sent') == 30), 'one of two servers is away: the others are sent')
    ok(program.awaits('event=relay_down'), 'and says so')
    ok(wait_for(lambda: state(a)[:2] == ('queued', 0)), 'its messages wait in the queue, as if never tried')
    write_relays('nonsense\n')
    program.process.send_signal(signal.SIGHUP)
    ok(program.awaits('event=reload .*nonsense|event=reload message=.*line 1'), 'SIGHUP: a mistake is told of')
    write_relays(f'a {own.url}\n')
    program.process.send_signal(signal.SIGHUP)
    ok(program.awaits('level=info .*event=reload relays=2'), 'SIGHUP: the file is read again')
    sql("UPDATE incomplete_orders.queue SET due_at = now() WHERE status = 'queued'")
    sql('NOTIFY incomplete_orders')
    ok(wait_for(lambda: state(a)[0] == 'sent'), 'SIGHUP: and used')
    same(program.stop()[0], 0, 'SIGHUP: it lives on')

# ---- it stays ----

empty_queue()
with Sink() as sink:
    program = Program('--smtp-url=' + sink.url, '--poll=1h', '--verbose')
    ok(program.awaits('event=start'), 'it starts')
    wait_for(lambda: one('SELECT count(*) FROM incomplete_orders.claims') > 0)
    first = enqueue()
    began = time.monotonic()
    sql('NOTIFY incomplete_orders')
    ok(wait_for(lambda: state(first)[0] == 'sent') and time.monotonic() - began < 5, 'a notification wakes it')
    ok(program.awaits(f'event=sent message_id={first} shop=default reply="250 2.0.0" relay=127.0.0.1:{sink.port} seconds='), '--verbose: a line for each mail')
    ok(program.awaits('event=drained .*sent=1'), 'a line when nothing is left')
    # the connection that listened is gone
    for name, kill in [('its connection', lambda: one("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'incomplete-orders'")),
                       ('the server', lambda: subprocess.run(['pg_ctl', '-D', os.environ['PGDATA_OF_TEST'], '-m', 'immediate', '-w', '-l', temp + '/log', 'restart'],
                                                             check=True, capture_output=True))]:
        program.err = ''
        kill()
        ok(program.awaits('event=lost|event=queue'), f'{name} ended: says so')
        ok(wait_for(lambda: one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'incomplete-orders' AND query ~ '_next_message_due|claim'") == 1), f'{name} ended: it is back')
        message = enqueue()
        sql('NOTIFY incomplete_orders')
        ok(wait_for(lambda: state(message)[0] == 'sent'), f'{name} ended: it listens again')
    # due in a moment, without any notification
    message = enqueue()
    sql("UPDATE incomplete_orders.queue SET due_at = now() + interval '2 seconds' WHERE id = %s", message)
    other = enqueue()
    sql('NOTIFY incomplete_orders')
    ok(wait_for(lambda: state(message)[0] == 'sent', 20), 'it sleeps until the next one is due, no longer')
    code, seconds = program.stop()
    same(code, 0, 'SIGTERM while it sleeps: exit code')
    ok(seconds < 2, 'SIGTERM while it sleeps: at once', seconds)
    like(program.err, r'event=stop .*sent=', 'SIGTERM: a line at the end')
    program = Program('--smtp-url=' + sink.url, '--poll=1s')
    program.awaits('event=start')
    wait_for(lambda: one('SELECT count(*) FROM incomplete_orders.claims') > 0)
    message = enqueue()
    ok(wait_for(lambda: state(message)[0] == 'sent'), 'without notifications: --poll')
    program.stop()

# ---- asked to stop ----

empty_queue()
messages = [enqueue(f'jane{n}@example.com') for n in range(40)]
with Sink('-w', '1') as sink:
    program = Program('--smtp-url=' + sink.url, '--connections=4', '--batch=20')
    ok(wait_for(lambda: len(sink.mails()) >= 4), 'SIGTERM: mails are on their way')
    code, seconds = program.stop()
    states = [state(m) for m in messages]
    same(code, 0, 'SIGTERM: exit code')
    ok(seconds < 9, 'SIGTERM: within seconds', seconds)
    same(len([s for s in states if s[0] == 'sent']), len(sink.mails()), 'SIGTERM: what was on its way is finished and recorded')
    same({s[:2] for s in states if s[0] != 'sent'}, {('queued', 0)}, 'SIGTERM: the rest is given back, as if never tried')
    ok(0 < len([s for s in states if s[0] == 'sent']) < 40, 'SIGTERM: both happened')
empty_queue()
message = enqueue()
with Sink('-w', '30') as sink:
    program = Program('--smtp-url=' + sink.url)
    ok(wait_for(lambda: state(message)[0] == 'sending'), 'two signals: a mail is on its way')
    time.sleep(0.2)
    program.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    code, seconds = program.stop()
    same(code, 0, 'two signals: exit code')
    ok(seconds < 3, 'two signals: nobody waits', seconds)
    ok(state(message)[0] == 'queued', 'two signals: the message is not left behind', state(message))
empty_queue()
message = enqueue()
program = Program(f'--smtp-url=smtp://127.0.0.1:{free_port()}')
ok(program.awaits('event=relay_down'), 'no mail server: says so')
ok(wait_for(lambda: state(message)[:2] == ('queued', 0)), 'no mail server: the message is given back meanwhile')
claims = one('SELECT count(*) FROM incomplete_orders.claims')
port = int(re.search(r'relay=127\.0\.0\.1:(\d+)', program.err)[1])
with Sink(port=port) as sink:
    ok(wait_for(lambda: state(message)[0] == 'sent'), 'the mail server is back: sent')
    ok(program.awaits('event=relay_up'), 'and says so')
    ok(claims <= 3, 'it did not claim in vain all the time', claims)
same(program.stop()[0], 0, 'and stops')

# ---- fencing ----

empty_queue()
message = enqueue()
with Sink('-w', '3') as sink:
    program = Program('--smtp-url=' + sink.url)
    ok(wait_for(lambda: state(message)[0] == 'sending'), 'stale: a mail is on its way')
    sql('UPDATE incomplete_orders.queue SET token = token + 1')
    ok(program.awaits(f'event=stale message_id={message} what=sent'), 'stale: an answer that came too late is told of')
    same(state(message)[:3], ('sending', 1, 'claim'), 'stale: and changed nothing')
    program.stop()
empty_queue()
message = enqueue()
with Sink('-w', '8') as sink:
    program = Program('--smtp-url=' + sink.url, '--lease=10s', '--timeout=5s')
    program.stop()
    program = Program('--smtp-url=' + sink.url, '--lease=24s', '--timeout=12s')
    ok(wait_for(lambda: state(message)[0] == 'sent', 30), 'a slow mail')
    program.stop()

# A row that cannot be recorded does not keep the others from it.
empty_queue()
messages = [enqueue(f'jane{n}@example.com') for n in range(5)]
sql("""CREATE FUNCTION incomplete_orders._poison() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.status = 'sent' AND NEW.recipient = 'jane2@example.com' THEN RAISE 'jane2@example.com'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER poison BEFORE UPDATE ON incomplete_orders.queue FOR EACH ROW EXECUTE FUNCTION incomplete_orders._poison()""")
with Sink() as sink:
    code, _, err = run('--smtp-url=' + sink.url, '--once')
    same([state(m)[0] for m in messages], ['sent', 'sent', 'sending', 'sent', 'sent'], 'a row that cannot be recorded: the others are')
    like(err, f'level=error event=not_recorded message_id={messages[2]} what=sent sqlstate=P0001', 'and says so')
    unlike(err, '@', 'without the address')
sql('DROP TRIGGER poison ON incomplete_orders.queue; DROP FUNCTION incomplete_orders._poison')

# ---- not too fast ----


def seconds_for(n, *arguments, **options):
    empty_queue()
    for i in range(n):
        enqueue(f'jane@{options.get("domain", "example.com").format(i % 3)}', of_shop=options.get('shop', 'default').format(i % 3))
    with Sink() as sink:
        began = time.monotonic()
        code, _, err = run('--smtp-url=' + sink.url, '--once', *arguments)
        seconds = time.monotonic() - began
        same((code, count('sent'), len(sink.mails())), (0, n, n), f'{" ".join(arguments)}: all are sent')
        return seconds


for arguments, options, least in [(['--rate=10'], {}, 2.0), (['--rate-per-shop=10'], {}, 2.0), (['--rate-per-domain=10'], {}, 2.0),
                                  (['--rate-per-shop=10'], {'shop': 's{}'}, 0.6), (['--rate-per-domain=10'], {'domain': 'd{}.example'}, 0.6)]:
    seconds = seconds_for(22, *arguments, **options)
    ok(least <= seconds < least + 4, f'{" ".join(arguments)} {options}: {least} seconds for 22 mails', seconds)

# A shop that is held back is not in the way of another.
empty_queue()
for n in range(300):
    enqueue(f'jane{n}@example.com', of_shop='a')
others = [enqueue(f'jane{n}@example.com', of_shop='b') for n in range(3)]
with Sink() as sink:
    program = Program('--smtp-url=' + sink.url, '--rate-per-shop=5', '--batch=20')
    ok(wait_for(lambda: all(state(m)[0] == 'sent' for m in others)), 'the mails of the other shop are sent')
    ok(count('sent') < 60, 'while most of the first one still wait', count('sent'))
    program.stop()
    same(one("SELECT max(attempts) FROM incomplete_orders.queue WHERE status = 'queued'"), 0, 'those as if never tried')
    same(one("SELECT count(*) FROM incomplete_orders.queue WHERE cardinality(calls) > 8"), 0, 'and not claimed again and again')

# ---- metrics ----

empty_queue()
port = free_port()
with Sink() as sink:
    program = Program('--smtp-url=' + sink.url, f'--metrics=127.0.0.1:{port}')
    program.awaits('event=start')
    enqueue('jane>@example.com')
    for n in range(3):
        enqueue(f'jane{n}@example.com')
    sql('NOTIFY incomplete_orders')
    wait_for(lambda: count('sent') == 3)

    def get(path='/metrics', method='GET'):
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader('Content-Type'), answer.read().decode()

    code, kind, page = get()
    same((code, kind), (200, 'text/plain; version=0.0.4; charset=utf-8'), 'metrics: as Prometheus wants them')
    values = dict(line.rsplit(' ', 1) for line in page.splitlines() if not line.startswith('#'))
    same([values.get(f'incomplete_orders_messages_total{{result="{r}"}}') for r in ('sent', 'deferred', 'rejected', 'untried')], ['3', '0', '1', '0'], 'metrics: by result')
    same((values['incomplete_orders_mail_seconds_count'], values['incomplete_orders_mail_seconds_bucket{le="+Inf"}'], values['incomplete_orders_database_up'],
          values['incomplete_orders_relays_down']), ('3', '3', '1', '0'), 'metrics: durations, connections')
    ok(0 < float(values['incomplete_orders_mail_seconds_sum']) < 10, 'metrics: how long they took')
    ok(all(re.match(r'(# (HELP|TYPE) incomplete_orders_\w+ \S.*|incomplete_orders_\w+(\{\w+="[^"]*"\})? -?[0-9.e+]+)$', line) for line in page.splitlines()), 'metrics: every line is one', page)
    same(wait_for(lambda: 'incomplete_orders_queue_messages{state="dead"} 1' in get()[2], 30), True, 'metrics: the queue by state')
    sql("INSERT INTO incomplete_orders.queue (recipient, message, due_at, status) VALUES ('x', '{}', now() - interval '100 seconds', 'dead')")
    ok(wait_for(lambda: float(re.search(r'queue_oldest_seconds\{state="dead"\} (\S+)', get()[2])[1]) >= 100, 30), 'metrics: the age of the oldest')
    same((get('/')[0], get(method='POST')[0], get(method='HEAD')[::2]), (404, 405, (200, '')), 'metrics: nothing else')
    same(program.stop()[0], 0, 'metrics: stops')
same(run('--smtp-url=smtp://127.0.0.1:1', '--metrics=nowhere')[0] in (64, 69), True, 'metrics: an address that is none')

# ---- is everything set up? ----

sql("INSERT INTO incomplete_orders.shop_rows VALUES ('a', 'A', 'a@shop.example', 'b@shop.example', 'https://shop.example', 'Street 1', '{cart}')")
with Server(**login) as server:
    code, out, err = run('--smtp-url=' + server.url, '--check-config', '--ca-file=' + certificate, SMTP_USER='shop', SMTP_PASSWORD='se cret"')
    same((code, err), (0, ''), 'check-config: all is well')
    same(re.findall(r'^(\w+) +(\w+)', out, re.M), [('ok', 'database'), ('ok', 'notifications'), ('ok', 'rights'), ('ok', 'mail'), ('ok', 'shop')], 'check-config: a line for each', )
    code, out, _ = run('--smtp-url=' + server.url, '--check-config', '--ca-file=' + certificate, SMTP_USER='shop', SMTP_PASSWORD='wrong')
    same((code, re.findall('^failed +(.*?):', out, re.M)), (69, ['mail server']), 'check-config: a wrong password')
    code, out, _ = run('--smtp-url=' + server.url, '--check-config', SMTP_USER='shop', SMTP_PASSWORD='se cret"')
    same((code, re.findall('^failed +(.*?):', out, re.M)), (69, ['mail server']), 'check-config: a certificate that nobody trusts')
code, out, _ = run(f'--smtp-url=smtp://127.0.0.1:{free_port()}', '--check-config')
same((code, re.findall('^failed +(.*?):', out, re.M)), (69, ['mail server']), 'check-config: no mail server')
with Sink() as sink:
    for changes, says, code in [("from_email = NULL", '^failed +shop a: has no from_email', 78), ("base_url = NULL", '^failed +shop a: has no base_url', 78),
                                ("base_url = 'http://shop.example'", '^warn +shop a: base_url is not https', 0), ("reply_to = 'x'", '^failed +shop a: reply_to', 78),
                                ("postal_address = NULL", '^warn +shop a: has no postal_address', 0), ("from_email = NULL, campaigns = '{}'", '^warn +shop a: has no from', 0)]:
        sql('BEGIN; SAVEPOINT s; COMMIT')
        before = sql('TABLE incomplete_orders.shop_rows')[0]
        sql('UPDATE incomplete_orders.shop_rows SET ' + changes)
        got, out, _ = run('--smtp-url=' + sink.url, '--check-config')
        same(got, code, f'check-config, {changes}: exit code')
        like(out, says, f'check-config, {changes}: says so')
        same(run('--smtp-url=' + sink.url, '--check-config', '--from=a@b.example', '--base-url=https://b.example')[0],
             78 if 'reply_to' in changes else 0, f'check-config, {changes}: defaults')
        sql('DELETE FROM incomplete_orders.shop_rows')
        sql('INSERT INTO incomplete_orders.shop_rows VALUES (%s, %s, %s, %s, %s, %s, %s)', *before)
    sql('CREATE ROLE stranger LOGIN')
    sql('GRANT USAGE ON SCHEMA incomplete_orders TO stranger; REVOKE EXECUTE ON FUNCTION incomplete_orders.claim_messages FROM PUBLIC')
    code, out, _ = run('--smtp-url=' + sink.url, '--check-config', PGUSER='stranger')
    same(code, 77, 'check-config: no right')
    like(out, r'^failed +rights: no right to incomplete_orders\.claim_messages', 'check-config: to what')
    code, out, _ = run('--smtp-url=' + sink.url, '--check-config', '-d', 'postgres')
    same(code, 78, 'check-config: no extension')
    code, out, _ = run('--smtp-url=' + sink.url, '--check-config', PGPORT='1')
    same(code, 69, 'check-config: no database')
    same(run('--smtp-url=' + sink.url, '--once', PGUSER='stranger')[0], 77, 'no right: exit code')
    same(run('--smtp-url=' + sink.url, '--once', PGPORT='1')[0], 69, 'no database: exit code')
    same(run('--smtp-url=' + sink.url, '--once', '-d', 'postgres')[0], 78, 'no extension: exit code')
finish()
