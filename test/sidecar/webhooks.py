"""What shops' webhooks are told.  The other side is Python's own http.server, which
checks each signature by the example of the README."""
import collections
import http.server
import random
import ssl

from sending import *

HERE = os.path.dirname(os.path.abspath(__file__))
CART = '[{"sku": "A", "name": "Lamp", "quantity": 2, "unit_price": "19.90"}]'


def documented():
    """The function that the README shows."""
    with open(os.path.join(HERE, '..', '..', 'README.md')) as file:
        code = next(c for c in re.findall(r'```python\n(.*?)```', file.read(), re.S) if 'def verified(' in c)
    space = {}
    exec(code, space)
    return space['verified']


verified = documented()


class Sink:
    """Takes POSTs; answer(post) says what becomes of each: a status, or a function of the handler."""

    def __init__(self, answer=lambda post: 204, port=0, tls=None):
        self.posts = []
        self.secrets = []
        self.answer = answer
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                post = {'id': self.headers['webhook-id'], 'path': self.path, 'headers': dict(self.headers), 'body': body, 'told': json.loads(body),
                        'good': any(verified(secret, self.headers, body) for secret in sink.secrets), 'at': time.monotonic()}
                sink.posts.append(post)
                answer = sink.answer(post)
                if callable(answer):
                    answer(self)
                else:
                    self.reply(answer)

            def do_GET(self):
                sink.posts.append({'id': None, 'path': self.path})
                self.reply(200)

            def reply(self, status, body=b'', **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace('_', '-'), value)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_):
                pass

        self.server = Server(('127.0.0.1', port), Handler)
        self.port = self.server.server_port
        scheme = 'http'
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = 'https'
        self.url = f'{scheme}://127.0.0.1:{self.port}/hook?a=1'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, kind):
        return [p for p in self.posts if p.get('told', {}).get('type') == kind]

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


SEND = '--smtp-url=smtp://127.0.0.1:9', '--webhooks=loopback', '--webhook-timeout=2'


def send(*arguments, **variables):
    return run('--once', *SEND, *arguments, **variables)


def hook(sink, name='crm', **changes):
    given = ''.join(f', {key} => %s' for key in changes)
    secret = one('SELECT incomplete_orders.configure_webhook(%s, %s' + given + ')', name, sink.url if isinstance(sink, Sink) else sink, *changes.values())
    if secret and isinstance(sink, Sink):
        sink.secrets.append(secret)
    return secret


def tick():
    sql('CALL incomplete_orders.tick()')


def abandon(session, shop='default', **person):
    order = str(one('SELECT incomplete_orders.capture_cart(%s, %s, email => %s, shop => %s)', session, CART, person.get('email', f'{session}@example.com'), shop))
    sql("SELECT incomplete_orders.mark_abandoned(%s, 'too dear')", order)
    return order


def deliveries(columns='event, status, attempts, http_status, problem', **where):
    condition = ' AND '.join(f'{key} = %s' for key in where) or 'true'
    return [tuple(r) for r in sql(f'SELECT {columns} FROM (SELECT * FROM incomplete_orders.webhook_deliveries WHERE {condition} ORDER BY id) d', *where.values())]


def due():
    """All that waits is due now, and no address is avoided."""
    sql("UPDATE incomplete_orders.webhook_deliveries SET due_at = now() - interval '1 second' WHERE status IN ('queued', 'sending')")
    sql('UPDATE incomplete_orders.webhooks SET retry_at = NULL')


def clean():
    sql('DELETE FROM incomplete_orders.webhook_deliveries')
    sql('DELETE FROM incomplete_orders.webhooks')
    sql('DELETE FROM incomplete_orders.shop_secrets')
    tick()


def prepare():
    sql('CREATE EXTENSION incomplete_orders')
    sql('SELECT incomplete_orders.setup()')
    sql("UPDATE incomplete_orders.shops SET consent_rule = 'none'")
    sql("SELECT incomplete_orders.create_shop('other', 'Other')")


# ---- what is told ----

def contents():
    with Sink() as sink:
        abandon('before')
        same(hook(sink)[:6], 'whsec_', 'the secret is shown once')
        same(hook(sink), None, 'and never again')
        order = abandon('s1')
        sale = sql('SELECT order_id, order_number FROM incomplete_orders.convert_order(%s)', order)[0]
        tick()
        same(sorted(d[0] for d in deliveries()), ['abandoned', 'converted', 'recovered'], 'what happened before is not told, all else once')
        tick()
        same(len(deliveries()), 3, 'another tick queues nothing more')
        same(send()[0], 0, 'send --once')
        same(deliveries('DISTINCT status, attempts, http_status, problem'), [('delivered', 1, 204, None)], 'all are delivered')
        same(len(sink.posts), 3, 'each was told once')
        ok(all(p['good'] for p in sink.posts), 'the signatures are good by the example of the README')
        same({p['path'] for p in sink.posts}, {'/hook?a=1'}, 'at that path')
        same({p['headers']['Content-Type'] for p in sink.posts}, {'application/json'}, 'as JSON')
        ok(all(p['headers']['User-Agent'].startswith('incomplete-orders/') for p in sink.posts), 'by that program')
        told = sink.of('abandoned')[0]['told']
        same((told['shop'], told['id'], told['order']['id'], told['order']['status'], told['order']['value'], told['order']['currency'], told['order']['item_count'], told['order']['reason']),
             ('default', sink.of('abandoned')[0]['id'], order, 'abandoned', '39.80', 'USD', 2, 'other'), 'abandoned: the facts')
        like(told['at'], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$', 'and when')
        like(told['order']['reference'], '^INC-', 'and its reference')
        same({k: sink.of('converted')[0]['told']['order']['sale'][k] for k in ('order_id', 'order_number', 'total', 'paid')},
             {'order_id': str(sale[0]), 'order_number': sale[1], 'total': '39.80', 'paid': True}, 'converted: the order')
        same(sink.of('recovered')[0]['told']['order']['recovery'], {'outcome': 'unaided'}, 'recovered: how')
        unlike(''.join(p['body'].decode() for p in sink.posts), '@|too dear', 'nothing of a person')
        order = abandon('s2')
        sql("SELECT incomplete_orders.capture_cart('s2', %s)", CART)
        sql("SELECT incomplete_orders.capture_cart('bot', %s, context => %s)", CART, '{"bot": true}')
        sql("SELECT incomplete_orders.mark_abandoned(id) FROM incomplete_orders.incomplete_orders WHERE session_id = 'bot'")
        tick()
        send()
        same([p['told']['order']['id'] for p in sink.of('returned')], [order], 'returned: the customer is back')
        same(len(sink.posts), 5, 'nothing is told of robots')
        # somebody else's
        abandon('o1', shop='other')
        tick()
        same(len(deliveries()), 5, 'another shop\'s events are not queued')

        clean()
        sink.posts.clear()
        hook(sink, events=['abandoned'], contact=True)
        abandon('s3', email='jane@example.com')
        order = abandon('s4', email='joe@example.com')
        sql("SELECT incomplete_orders.convert_order(%s)", abandon('s5'))
        tick()
        unlike(str(deliveries('facts::text')), '@', 'the queue has nothing of a person, even where the webhook asks for it')
        sql("SELECT incomplete_orders.forget_customer('joe@example.com')")
        send()
        same({p['told']['customer'].get('email') for p in sink.posts}, {'jane@example.com', None, 's5@example.com'}, 'with contact data; nothing of who was forgotten')
        same({p['told']['type'] for p in sink.posts}, {'abandoned'}, 'only the events that were chosen')

        old = sink.secrets[-1]
        sink.secrets[:] = [old]
        new = hook(sink, new_secret=True)
        sink.posts.clear()
        for keys in ([old], [new]):
            sink.secrets[:] = keys
            sql("SELECT incomplete_orders.ping_webhook('crm')")
            send()
        same([p['good'] for p in sink.posts], [True, True], 'a new secret signs, and the one before for a day')
        sql("UPDATE incomplete_orders.shop_secrets SET former_until = now() - interval '1 second'")
        sink.secrets[:] = [old]
        sql("SELECT incomplete_orders.ping_webhook('crm')")
        send()
        same(sink.posts[-1]['good'], False, 'and then no more')
        same({k: sink.posts[-1]['told'].get(k) for k in ('type', 'order', 'customer')}, {'type': 'ping', 'order': None, 'customer': None}, 'a ping has no order')

        sql("SELECT incomplete_orders.configure_webhook('crm', active => false)")
        abandon('s6')
        tick()
        same(deliveries(status='queued'), [], 'one that is off hears nothing')
        sql("SELECT incomplete_orders.configure_webhook('crm', active => true)")
        tick()
        abandon('s7')
        tick()
        same(len(deliveries(status='queued')), 1, 'turned on again it hears of what happens from then on')
        same(one("SELECT incomplete_orders.delete_webhook('crm')"), True, 'taken away')
        same((deliveries(), sql('SELECT * FROM incomplete_orders.shop_secrets')), ([], []), 'with its secret and all that waited')
        clean()


# ---- whatever the other side does ----

def slowly(handler):
    time.sleep(4)
    handler.reply(204)


def drip(handler):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b'x')
            time.sleep(0.1)
    except OSError:
        pass


def flood(handler):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(1000):
            handler.wfile.write(b'x' * 100000)
    except OSError:
        pass
    handler.close_connection = True


def garbage(handler):
    handler.wfile.write(b'\x00\x01 this is no HTTP\r\n\r\n')
    handler.close_connection = True


def hang_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def half(handler):
    handler.wfile.write(b'HTTP/1.1 2')
    hang_up(handler)


def faults():
    for name, answer, wanted in (
            ('500', 500, (500, 'it answered with status 500')),
            ('404', 404, (404, 'it answered with status 404')),
            ('100 and nothing', lambda h: h.wfile.write(b'HTTP/1.1 100 Continue\r\n\r\n') and hang_up(h), (None, 'no answer')),
            ('silence', slowly, (None, 'no answer: Timeout was reached')),
            ('an answer that never ends', drip, (None, 'no answer: Timeout was reached')),
            ('a closed connection', hang_up, (None, 'no answer')),
            ('half an answer', half, (None, 'no answer')),
            ('no HTTP', garbage, (None, 'no answer'))):
        clean()
        with Sink(lambda post: answer) as sink:
            hook(sink)
            abandon('f')
            sql("SELECT incomplete_orders.delete_order(id) FROM incomplete_orders.open_orders WHERE session_id = 'f'")
            tick()
            code, _, err = send()
            row = deliveries('status, attempts, http_status, problem')
            ok(code == 0 and len(row) == 1 and row[0][:3] == ('queued', 1, wanted[0]) and row[0][3].startswith(wanted[1]), f'{name}: it is tried again later', code, row)
            like(err, 'event=undelivered .*webhook=crm problem="', f'{name}: it is logged')
            unlike(err, f'{sink.port}|whsec', f'{name}: but not the address')
            first = one('SELECT due_at - clock_timestamp() FROM incomplete_orders.webhook_deliveries').total_seconds()
            ok(0 < first <= 10, f'{name}: in ten seconds', first)
            sink.answer = lambda post: 200
            due()
            send()
            same(deliveries('status, attempts'), [('delivered', 2)], f'{name}: and then it is taken')
            same((len(sink.posts), len({p['id'] for p in sink.posts}), {p['good'] for p in sink.posts}), (2, 1, {True}), f'{name}: with the same id')
            same(len({p['body'] for p in sink.posts}), 1, f'{name}: and the same body')

    clean()
    with Sink(lambda post: flood) as sink:
        hook(sink)
        sql("SELECT incomplete_orders.ping_webhook('crm')")
        began = time.monotonic()
        send()
        same((deliveries('status, http_status'), time.monotonic() - began < 30), ([('delivered', 200)], True), 'of a flood the status is taken, and no more')
    clean()
    with Sink(lambda post: (lambda h: h.reply(503, Retry_After='3600'))) as sink:
        hook(sink)
        sql("SELECT incomplete_orders.ping_webhook('crm')")
        send()
        wait = one('SELECT due_at - clock_timestamp() FROM incomplete_orders.webhook_deliveries').total_seconds()
        ok(3500 < wait <= 3600, 'Retry-After is heeded', wait)
        same(sql('SELECT failures, retry_at > now() + interval \'50 minutes\' FROM incomplete_orders.webhooks'), [(1, True)], 'for the whole address')


def detours():
    """Nothing but the address itself is told."""
    with Sink() as trap, Sink() as sink:
        proxy = f'http://127.0.0.1:{trap.port}'
        for name, answer, proxies in (('a redirect', 302, {}), ('a redirect that keeps the method', 307, {}), ('one for ever', 308, {}),
                                      ('proxies of the environment', None, {v: proxy for v in ('http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY')})):
            clean()
            sink.posts.clear()
            sink.answer = lambda post: 204 if answer is None else (lambda h: h.reply(answer, Location=trap.url))
            hook(sink)
            sql("SELECT incomplete_orders.ping_webhook('crm')")
            send(**proxies)
            same((len(sink.posts), trap.posts, deliveries('status, http_status')), (1, [], [('queued' if answer else 'delivered', answer or 204)]), f'{name}: not followed')


# ---- one that does not answer ----

def patience():
    clean()
    with Sink(lambda post: slowly) as silent, Sink() as lively:
        hook(silent, 'silent')
        hook(lively, 'lively', shop='other')
        for n in range(60):
            sql("SELECT incomplete_orders.ping_webhook('silent')")
        for n in range(20):
            sql("SELECT incomplete_orders.ping_webhook('lively', 'other')")
        program = Program(*SEND, '--poll=1s')
        ok(wait_for(lambda: len(deliveries(webhook='lively', status='delivered')) == 20, 30), 'one that does not answer keeps nobody from hearing')
        ok(wait_for(lambda: one("SELECT failures FROM incomplete_orders.webhooks WHERE webhook = 'silent'") > 0), 'it is known not to answer')
        sql("UPDATE incomplete_orders.webhooks SET failures = 1, retry_at = now() WHERE webhook = 'silent'")
        before = len(silent.posts)
        wait_for(lambda: len(silent.posts) > before, 20)
        time.sleep(1.5)
        same(len(silent.posts), before + 1, 'and is tried with one at a time')
        silent.answer = lambda post: 204
        sql("UPDATE incomplete_orders.webhooks SET retry_at = now() WHERE webhook = 'silent'")
        sql("UPDATE incomplete_orders.webhook_deliveries SET due_at = now() WHERE status = 'queued'")
        sql('NOTIFY incomplete_orders')
        ok(wait_for(lambda: len(deliveries(status='delivered')) == 80 or sql("UPDATE incomplete_orders.webhook_deliveries SET due_at = now() WHERE status = 'queued'")), 'when it answers again it hears all', deliveries('status, count(*) OVER ()')[:3])
        same(sql("SELECT failing_since, failures FROM incomplete_orders.webhooks WHERE webhook = 'silent'"), [(None, 0)], 'and is known to answer')
        code, seconds = program.stop()
        ok(code == 0 and seconds < 5, 'send stops', code, seconds)

    # Three days.
    clean()
    with Sink(lambda post: 400) as sink:
        hook(sink)
        message = str(one("SELECT incomplete_orders.ping_webhook('crm')"))
        for n in range(25):
            due()
            send()
        status, attempts = deliveries('status, attempts')[0]
        same((status, attempts), ('queued', 25), 'however often it is refused, it is tried for three days')
        same(one('SELECT due_at - clock_timestamp() > interval \'5 hours\' FROM incomplete_orders.webhook_deliveries'), True, 'at last every six hours')
        sql("UPDATE incomplete_orders.webhook_deliveries SET give_up_at = now() - interval '1 second'")
        due()
        send()
        same(deliveries('status, attempts, problem'), [('dead', 25, 'it answered with status 400')], 'and then given up')
        like(str(sql("SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'webhooks'")), 'warn.*given up: "crm"', 'which health() says')
        same(one('SELECT dead FROM incomplete_orders.list_webhooks()'), 1, 'and list_webhooks()')
        sink.answer = lambda post: 200
        same((one('SELECT incomplete_orders.retry_delivery(%s)', message), one('SELECT incomplete_orders.retry_delivery(%s)', message)), (True, False), 'retry_delivery(), once')
        send()
        same((deliveries('status'), {p['id'] for p in sink.posts}), ([('delivered',)], {message}), 'and it goes, with the same id')
        clean()
        hook('http://127.0.0.1:9/')
        sql("SELECT incomplete_orders.ping_webhook('crm')")
        sql("UPDATE incomplete_orders.webhook_deliveries SET queued_at = now() - interval '4 days'")
        send()
        same(deliveries('status, attempts'), [('queued', 1)], 'what waited because nobody sent is not given up')
        sql("UPDATE incomplete_orders.webhooks SET failing_since = now() - interval '4 days'")
        due()
        send()
        same(deliveries('status, attempts'), [('dead', 1)], 'only if its address answered nothing all that time')


# ---- where we connect to ----

def addresses():
    refused = 'its address is one that --webhooks does not allow'
    plain = 'its address is not https'
    with Sink() as sink:
        for url, mode, problem in (
                (sink.url, 'public', plain), (sink.url.replace('http:', 'https:'), 'public', refused),
                ('https://10.0.0.1/', 'public', refused), ('https://10.0.0.1/', 'loopback', refused), ('https://192.168.1.1/', 'public', refused),
                ('https://172.16.0.1/', 'public', refused), ('https://169.254.169.254/latest/', 'loopback', refused), ('http://169.254.169.254/latest/', 'loopback', refused),
                ('https://100.64.0.1/', 'public', refused), ('https://0.0.0.0/', 'loopback', refused), ('https://255.255.255.255/', 'public', refused), ('https://224.0.0.1/', 'public', refused),
                ('https://localhost/', 'public', refused), ('https://[::1]/', 'public', refused), ('https://[::ffff:127.0.0.1]/', 'public', refused), ('https://[::ffff:10.0.0.1]/', 'loopback', refused),
                ('https://[fe80::1]/', 'loopback', refused), ('https://[fd00::1]/', 'loopback', refused), ('https://[64:ff9b::a00:1]/', 'public', refused), ('https://[2002:a00:1::]/', 'public', refused),
                ('https://0x7f000001/', 'public', refused), ('https://2130706433/', 'public', refused), ('https://127.1/', 'public', refused),
                (sink.url, 'loopback', None), (sink.url, 'any', None)):
            clean()
            sink.posts.clear()
            hook(url)
            sql("SELECT incomplete_orders.ping_webhook('crm')")
            run('--once', '--smtp-url=smtp://127.0.0.1:9', '--webhook-timeout=2', '--webhooks=' + mode)
            got = deliveries('problem, status')
            if problem:
                same((got, sink.posts), ([(problem, 'queued')], []), f'{url.split("?")[0].replace(str(sink.port), "PORT")} with --webhooks={mode}: refused')
            else:
                same((got, len(sink.posts)), ([(None, 'delivered')], 1), f'http to loopback with --webhooks={mode}: told')
        clean()
        hook(sink)
        sql("SELECT incomplete_orders.ping_webhook('crm')")
        run('--once', '--smtp-url=smtp://127.0.0.1:9', '--webhooks=off')
        same(deliveries('status, attempts'), [('queued', 0)], '--webhooks=off: nothing is claimed')
        run('--once', '--save=' + tempfile.mkdtemp(dir=temp), '--webhooks=loopback')
        same(deliveries('status, attempts'), [('queued', 0)], '--save: neither')

    key, certificate = temp + '/key.pem', temp + '/certificate.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, '-days', '2', '-subj', '/CN=localhost',
                    '-addext', 'subjectAltName=IP:127.0.0.1'], check=True, capture_output=True)
    clean()
    with Sink(tls=(certificate, key)) as sink:
        hook(sink)
        sql("SELECT incomplete_orders.ping_webhook('crm')")
        send()
        like(str(deliveries('problem')), 'no answer: SSL', 'https with a certificate of nobody: refused')
        same(sink.posts, [], 'and nothing was told')
        due()
        send('--ca-file=' + certificate)
        same(([p['good'] for p in sink.posts], deliveries('status')), ([True], [('delivered',)]), 'https with one that is trusted')


# ---- nothing is lost ----

def chaos():
    clean()
    seed = int(os.environ.get('CHAOS_SEED', random.randrange(1 << 30)))
    dice = random.Random(seed)
    say(f'# seed {seed}')

    def answer(post):
        return dice.choice([204] * 6 + [500, hang_up, half, 404, lambda h: (time.sleep(0.3), h.reply(200))])

    with Sink(answer) as sink:
        hook(sink)
        failed = collections.Counter()
        stop = threading.Event()

        def shop(n):
            with psycopg.connect('', autocommit=True) as connection:
                for i in range(60):
                    if stop.is_set():
                        return
                    try:
                        order = connection.execute('SELECT incomplete_orders.capture_cart(%s, %s)', (f'chaos-{n}-{i}', CART)).fetchone()[0]
                        connection.execute('SELECT incomplete_orders.mark_abandoned(%s)', (order,))
                        if i % 3 == 0:
                            connection.execute('SELECT order_id FROM incomplete_orders.convert_order(%s)', (order,))
                    except psycopg.Error as error:
                        failed[error.sqlstate] += 1

        def clock(n):
            with psycopg.connect('', autocommit=True) as connection:
                while not stop.is_set():
                    connection.execute('CALL incomplete_orders.tick()')
                    time.sleep(0.05)

        shops = [threading.Thread(target=shop, args=(n,)) for n in range(3)]
        clocks = [threading.Thread(target=clock, args=(n,)) for n in range(2)]
        for thread in shops + clocks:
            thread.start()
        kills = 0
        programs = [Program(*SEND, '--poll=1s') for _ in range(2)]
        while any(t.is_alive() for t in shops) or kills < 8:
            time.sleep(dice.uniform(0.1, 0.5))
            victim = dice.randrange(2)
            programs[victim].stop(signal.SIGKILL)
            kills += 1
            # what it had claimed: nobody waits two minutes for a lease, or for one that does not answer
            sql("UPDATE incomplete_orders.webhook_deliveries SET due_at = now() WHERE status = 'sending' AND claimed_by = %s", f'send {programs[victim].process.pid}')
            sql('UPDATE incomplete_orders.webhooks SET failures = 0, retry_at = NULL')
            sql("UPDATE incomplete_orders.webhook_deliveries SET due_at = now() WHERE status = 'queued'")
            programs[victim] = Program(*SEND, '--poll=1s')
        for thread in shops:
            thread.join()
        stop.set()
        for thread in clocks:
            thread.join()
        same(dict(failed), {}, 'the shops had no trouble')
        tick()
        wanted = sql("""SELECT t.event, e.order_id::text FROM incomplete_orders.order_events e CROSS JOIN LATERAL (VALUES
            ('abandoned', e.event = 'abandoned'), ('converted', e.event = 'converted'), ('recovered', e.event = 'converted')) t (event, holds)
            WHERE t.holds AND e.recorded_at >= (SELECT starts_at FROM incomplete_orders.webhooks)""")
        queued = deliveries('event, order_id::text')
        same(collections.Counter(queued), collections.Counter(tuple(r) for r in wanted), f'each of {len(wanted)} events is queued once')
        sink.answer = lambda post: 204

        def all_told():
            due()
            sql('NOTIFY incomplete_orders')
            time.sleep(0.2)
            return not sql("SELECT 1 FROM incomplete_orders.webhook_deliveries WHERE status <> 'delivered' LIMIT 1")

        ok(wait_for(all_told), f'all are delivered after {kills} kills', deliveries('status, attempts, problem', status='queued')[:5])
        for program in programs:
            program.stop()
        ids = {str(r[0]) for r in sql('SELECT id FROM incomplete_orders.webhook_deliveries')}
        same({p['id'] for p in sink.posts}, ids, 'each was told')
        by_id = collections.defaultdict(set)
        for post in sink.posts:
            by_id[post['id']].add(post['body'])
        same({len(bodies) for bodies in by_id.values()}, {1}, 'and the same each time')
        ok(all(p['good'] for p in sink.posts), 'and signed')
        say(f'# {len(sink.posts)} posts of {len(ids)} deliveries')

    # The server is killed between the fold and its commit, and after it.
    clean()
    with Sink() as sink:
        hook(sink)
        for n in range(20):
            abandon(f'crash-{n}')
        data = os.environ['PGDATA_OF_TEST']
        program = Program(*SEND, '--poll=1s')
        for turn in range(3):
            connection = psycopg.connect('')
            connection.execute('SELECT incomplete_orders._tick_fold(10)')
            if turn == 1:
                connection.commit()
            subprocess.run(['pg_ctl', '-D', data, '-m', 'immediate', '-w', 'restart', '-l', data + '/again.log', '-s'], check=True, stdin=subprocess.DEVNULL)
            connection.close()
            for n in range(5):
                abandon(f'crash-{turn}-{n}')
        tick()
        same(len(deliveries()), 35, 'after three crashes of the server each event is queued once')
        ok(wait_for(lambda: due() or sql('NOTIFY incomplete_orders') or len({p['id'] for p in sink.posts}) == 35), 'and told', len(sink.posts))
        program.stop()


# ---- figures ----

def figures():
    import urllib.request
    clean()
    with Sink() as sink:
        hook(sink)
        hook('http://127.0.0.1:9/', 'gone')
        sql("SELECT incomplete_orders.ping_webhook(w) FROM unnest('{crm,gone}'::text[]) w")
        port = free_port()
        program = Program(*SEND, f'--metrics=127.0.0.1:{port}', '--poll=1s')
        page = lambda: urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics').read().decode()
        ok(program.awaits('event=metrics'), 'metrics are there')
        ok(wait_for(lambda: 'incomplete_orders_webhook_posts_total{result="delivered"} 1' in page() and 'incomplete_orders_webhook_posts_total{result="failed"} 1' in page()), 'what was delivered and failed', page())
        ok(wait_for(lambda: 'incomplete_orders_webhook_deliveries{state="queued"} 1' in page()), 'what waits', page())
        code, seconds = program.stop()
        same(code, 0, 'it stops')
        like(program.err, 'event=webhooks delivered=1 failed=[1-9]', 'and says how many')
        like(str(sql("SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'webhooks'")), 'warn.*not answering since .*"gone"', 'health() says who does not answer')


prepare()
for part in (contents, faults, detours, patience, addresses, chaos, figures):
    if os.environ.get('WEBHOOKS_PART', part.__name__) == part.__name__:
        part()
finish()
