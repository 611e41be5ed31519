"""The REST API's core, over HTTP: requests, errors, limits, streams, figures."""
from resting import *

# ---- what is a request ----

with Server('--verbose', '--max-body=8192') as server:
    for query, detail in {'status=%00': 'not UTF-8', 'status=%ff': 'not UTF-8', 'status=%zz': 'escaped', 'status=%4': 'escaped', '%ff=1': 'UTF-8',
                          'page_size=1&page_size=2': 'twice', 'page_size=1&page%5fsize=2': 'twice', 'x=1': 'no such', '=': 'no such', 'Status=pending': 'no such'}.items():
        server.get(LIST + '?' + query).problem(400, f'query: {query}', detail)
    for query in 'page_size=x', 'page_size=', 'status=sold', 'start_date=soon', 'expired=maybe', 'recovery_attempts=99999999999':
        ok(server.get(LIST + '?' + query).status in (400, 422), f'query: {query}')
    same(server.get(LIST + '?search=c4%40example.com').json['count'], 1, 'query: escapes')
    same(server.get(LIST + '?search=+c4@example.com+').json['count'], 1, 'query: + is a blank')
    same(server.get(LIST[:-1]).text, server.get(LIST).text, 'a path without its slash')
    server.get(LIST + '/').problem(404, 'two slashes')
    for path in '', 'x', 'incomplete-orders/%00/', 'incomplete-orders/%ff/', 'Incomplete-Orders/', 'incomplete-orders/../', 'incomplete-orders/x/y/z/', '{}', '%2e%2e/':
        ok(server.get(path).status in (400, 404, 405, 422), f'path: {path}')
    get, head = server.get(LIST), server.ask('HEAD', LIST)
    same((head.status, head.text, head.headers['Content-Length']), (200, '', get.headers['Content-Length']), 'HEAD: as GET, without a body')
    for method in 'PUT', 'DELETE', 'PATCH', 'TRACE', 'BREW':
        answer = server.ask(method, 'incomplete-orders/statistics/')
        answer.problem(405, f'{method}: not here')
        same(answer.headers['Allow'], 'GET, HEAD, OPTIONS', f'{method}: what is')
    answer = server.ask('OPTIONS', 'incomplete-orders/statistics/', login=None)
    same((answer.status, answer.text, answer.headers['Allow']), (204, '', 'GET, HEAD, OPTIONS'), 'OPTIONS')
    server.get(LIST, headers={'Accept': 'text/html'}).problem(406, 'Accept: HTML')
    for accept in 'application/json', '*/*', 'text/html, application/*;q=0.5', 'application/problem+json':
        same(server.get(LIST, headers={'Accept': accept}).status, 200, f'Accept: {accept}')
    server.ask('GET', LIST, body={}).problem(400, 'a body where none is asked for', 'No body')
    server.ask('GET', LIST, headers={'Idempotency-Key': 'x' * 256}).problem(400, 'a key that is too long', 'Idempotency-Key')
    server.ask('POST', LIST, body='x' * 9000, headers={'Content-Type': 'application/json'}).problem(413, 'a body that is too large')
    answer = server.raw(b'POST ' + (ROOT + LIST).encode() + b' HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n' + b'800\r\n' + b'x' * 2048 + b'\r\n' + 6 * (b'800\r\n' + b'x' * 2048 + b'\r\n') + b'0\r\n\r\n', 5)
    like(answer.decode(), r'\AHTTP/1.1 413 ', 'a body that turns out to be too large')
    ok(int((server.raw(b'GET /healthz HTTP/1.1\r\nHost: x\r\nX: ' + b'y' * 40000 + b'\r\n\r\n', 5)[9:12] or b'431')) in (400, 413, 414, 431), 'a head that is too large')
    two = b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    same(server.raw(two).count(b'HTTP/1.1 200 '), 2, 'two requests in one go')
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    same([server.get(LIST, connection=connection).status for n in range(3)], [200] * 3, 'three requests over one connection')
    connection.close()
    server.ask('POST', 'webhooks/x/ping/', headers={'Sec-Fetch-Site': 'cross-site'}).problem(403, "another site's page makes a browser post", 'another site')
    server.ask('POST', 'webhooks/x/ping/', headers={'Origin': 'https://evil.example'}).problem(403, '... with an older browser')
    for site in 'same-origin', 'none':
        ok(server.ask('POST', 'webhooks/x/ping/', headers={'Sec-Fetch-Site': site, 'Origin': 'https://shop.example:8443'}).status != 403, f'a page of ours may post: {site}')
    ok(server.ask('POST', 'webhooks/x/ping/', headers={'Origin': f'http://{server.host}:{server.port}'}).status != 403, '... with an older browser, too')
    unlike(server.log, r'c4@example|c4%40|=pending|ann|secret', 'the log names nobody and nothing')
    like(server.log, r'event=request method=GET path=\S*incomplete-orders/ status=200 ms=\d', 'the log has routes')
    ok(all(is_quiet(answer.text) for answer in Answer.seen if answer.status >= 400), 'no problem quotes the server',
       *[answer.text for answer in Answer.seen if answer.status >= 400 and not is_quiet(answer.text)])

# ---- what the database says, and what of it a client gets to hear ----

sql("""CREATE TABLE public.planned (code text); INSERT INTO public.planned VALUES (NULL); GRANT SELECT ON public.planned TO PUBLIC;
    CREATE SEQUENCE public.tries; GRANT USAGE ON SEQUENCE public.tries TO PUBLIC;
    ALTER FUNCTION incomplete_orders.statistics RENAME TO real_statistics""")
sql("""DO $do$ BEGIN EXECUTE format($q$CREATE FUNCTION incomplete_orders.statistics(%s) RETURNS %s LANGUAGE plpgsql AS $f$
    BEGIN
        PERFORM nextval('public.tries');
        IF (SELECT code FROM public.planned) = '57P01' THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
            PERFORM pg_sleep(10);
        ELSIF (SELECT code FROM public.planned) IS NOT NULL THEN
            RAISE EXCEPTION 'secret words' USING ERRCODE = (SELECT code FROM public.planned), DETAIL = 'SELECT secret FROM relation "x"', HINT = 'secret';
        END IF;
    END $f$; GRANT EXECUTE ON FUNCTION incomplete_orders.statistics TO PUBLIC; GRANT pg_signal_backend TO ann$q$,
    pg_get_function_arguments(oid), pg_get_function_result(oid)) FROM pg_proc WHERE proname = 'real_statistics'; END $do$""".replace('BEGIN EXECUTE format', 'DECLARE q text; BEGIN SELECT format', 1)
    .replace("FROM pg_proc WHERE proname = 'real_statistics'; END", "INTO q FROM pg_proc WHERE proname = 'real_statistics'; EXECUTE q; END"))
with Server() as server:
    for code, status, tries, again in (
            ('IC001', 503, 1, True), ('IC003', 404, 1, False), ('IC004', 409, 1, False), ('IC009', 409, 1, False), ('IC007', 422, 1, False), ('IC012', 500, 1, False),
            ('22023', 422, 1, False), ('22P02', 400, 1, False), ('22003', 422, 1, False), ('23505', 409, 1, False), ('23514', 422, 1, False),
            ('42501', 403, 1, False), ('40001', 503, 2, True), ('40P01', 503, 2, True), ('55P03', 503, 1, True), ('57014', 503, 1, True), ('53100', 503, 1, True),
            ('25006', 503, 1, True), ('54001', 422, 1, False), ('42P01', 500, 1, False), ('42883', 500, 1, False), ('XX000', 500, 1, False), ('P0001', 500, 1, False),
            ('57P01', 503, 2, True)):
        sql("UPDATE public.planned SET code = %s", code)
        sql("SELECT setval('public.tries', 1, false)")
        answer = server.get('incomplete-orders/statistics/')
        same((answer.status, answer.type, answer.headers['Retry-After'] is not None, one('SELECT last_value FROM public.tries')),
             (status, 'application/problem+json', again, tries), f'error {code}: status, whether to come again, how often it was tried')
        ours = code.startswith('IC') or code == '22023'
        # What is ours may speak: its words are written for callers.
        if not ours or status >= 500:
            unlike(answer.text, 'secret|SELECT|relation', f'error {code}: quotes nothing')
        else:
            like(answer.text, 'secret words', f'error {code}: its message')
        same(answer.json.get('type'), f'urn:incomplete-orders:{code}' if code.startswith('IC') else 'about:blank', f'error {code}: its type')
    sql("UPDATE public.planned SET code = NULL")
    same(server.get('incomplete-orders/statistics/').status, 200, 'after all these errors')
sql("""DROP FUNCTION incomplete_orders.statistics; ALTER FUNCTION incomplete_orders.real_statistics RENAME TO statistics;
    DROP TABLE public.planned; DROP SEQUENCE public.tries; REVOKE pg_signal_backend FROM ann""")

# ---- waiting, and being stopped ----

with Server() as server:
    holder = hold('open_orders')
    answer = server.get(LIST, login='slow:secret')
    answer.problem(503, 'a statement that takes too long', 'took too long')
    ok(answer.headers['Retry-After'], '... may be tried later')
    server.get(LIST, login='hasty:secret').problem(503, 'a lock that is not to be had', 'holds it')
    holder.close()
with Server('--access-log=errors') as server:
    holder = hold('open_orders')
    results = []
    thread = threading.Thread(target=lambda: results.append(server.get(LIST)))
    thread.start()
    wait_for(lambda: one("SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann' AND wait_event_type = 'Lock'") == 1)
    server.process.send_signal(signal.SIGTERM)
    server.said('event=stop')

    def refused():
        try:
            server.connect().close()
            return False
        except ConnectionError:
            return True

    refused()
    holder.close()
    thread.join()
    same((results[0].status, results[0].headers['Connection']), (200, 'close'), 'stop: what has begun is answered')
    same(server.end(None), 0, 'stop: exit code')
    ok(refused(), 'stop: nobody is served any more')
with Server('--request-timeout=3s', '--idle-timeout=3s', '--max-connections=8') as server:
    began = time.monotonic()
    with server.connect() as slow:
        slow.sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\n')
        try:
            while time.monotonic() < began + 30:
                slow.sendall(b'X-Y: z\r\n')
                time.sleep(0.1)
        except ConnectionError:
            pass
    ok(time.monotonic() < began + 20, 'a client that sends its head line by line is ended')
    crowd = [server.connect() for n in range(8)]
    time.sleep(0.2)
    same(server.raw(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n', 0.5), b'', 'no more connections than are allowed')
    ok(wait_for(lambda: server.raw(b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 2)), 'silent ones make room')
    [connection.close() for connection in crowd]

with Server('--max-per-address=2') as server:
    crowd = [server.connect() for n in range(2)]
    time.sleep(0.2)
    same(server.raw(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n', 0.5), b'', 'no more connections of an address than are allowed')
    [connection.close() for connection in crowd]
    ok(wait_for(lambda: server.raw(b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 2)), '... and others when these have left')

# ---- answers that are written as they come ----

sql("""SELECT count(incomplete_orders.capture_cart('wide' || i, (SELECT jsonb_agg(jsonb_build_object('sku', 'SKU-' || n || repeat('x', 90), 'quantity', 1, 'unit_price', 1))
    FROM generate_series(1, 60) n))) FROM generate_series(1, 4000) i""")
EXPORT = LIST + 'export.csv'
# By TCP, where more is on the way at a time.
with Server(f"--staff-dbname=host=127.0.0.1 port={os.environ['PGPORT']} dbname=postgres") as server:
    def memory():
        with open(f'/proc/{server.process.pid}/status') as file:
            return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1))

    def working():
        """What the server does for the stream."""
        return [row[0] for row in sql("SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE usename = 'ann' AND state = 'active'")]

    def begin_reading():
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect((server.host, server.port))
        head = f'GET {ROOT}{EXPORT} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(b"ann:secret")["Authorization"]}\r\nConnection: close\r\n\r\n'
        connection.sendall(head.encode())
        return connection, connection.recv(4096)

    before = memory()
    answer = server.get(EXPORT)
    size = len(answer.text)
    same((answer.status, answer.type, answer.headers['Transfer-Encoding'], answer.headers['Content-Length']), (200, 'text/csv; charset=utf-8', 'chunked', None), 'stream: CSV')
    same(answer.text.count('\n'), 1 + one("SELECT count(*) FROM incomplete_orders.open_orders WHERE shop_id = 1"), 'stream: a line for each order, and the head')
    ok(size > 20_000_000, 'stream: it is much', size)
    ok(memory() - before < 6000, 'stream: and is never held as a whole', before, memory())
    head = server.ask('HEAD', EXPORT)
    same((head.status, head.type, head.text), (200, 'text/csv; charset=utf-8', ''), 'stream: HEAD')
    slow, first = begin_reading()
    like(first.decode('latin-1'), r'\AHTTP/1.1 200 ', 'slow reader: begins')
    ok(wait_for(lambda: working() == ['ClientWrite']), 'slow reader: the database waits for it')
    used = memory()
    time.sleep(0.3)
    same((memory() - used < 500, memory() - before < 6000), (True, True), 'slow reader: nothing piles up')
    same(server.get(LIST).status, 200, 'slow reader: others are served')
    got = first
    while piece := slow.recv(1 << 20):
        got += piece
    slow.close()
    ok(len(got) > size and got.endswith(b'0\r\n\r\n'), 'slow reader: gets everything', len(got), size)
    slow, _ = begin_reading()
    wait_for(lambda: working() == ['ClientWrite'])
    slow.close()
    ok(wait_for(lambda: working() == []), 'a reader that leaves: the statement is cancelled')
    slow, _ = begin_reading()
    wait_for(lambda: working() == ['ClientWrite'])
    backend = one("SELECT pid FROM pg_stat_activity WHERE usename = 'ann' AND state = 'active'")
    os.kill(backend, signal.SIGSTOP)
    slow.close()
    time.sleep(0.3)
    try:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=5)
        ok(server.get('/healthz', connection=connection).status == 200, 'a reader that leaves while the server is frozen: others are served')
    except TimeoutError:
        ok(False, 'a reader that leaves while the server is frozen: others are served')
    os.kill(backend, signal.SIGCONT)
    ok(wait_for(lambda: working() == []), '... and the statement is cancelled when it wakes up')
    slow, first = begin_reading()
    wait_for(lambda: working() == ['ClientWrite'])
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann' AND state = 'active'")
    got = first
    try:
        while piece := slow.recv(1 << 20):
            got += piece
    except ConnectionError:
        pass
    slow.close()
    ok(len(got) < size and not got.endswith(b'0\r\n\r\n'), 'a stream that breaks: the client can tell', len(got))
    same(server.get(LIST).status, 200, 'a stream that broke harms nobody')

# ---- figures, probes, prefix ----

with Server('--metrics=127.0.0.1:0', '--prefix=/shop', '--access-log=errors') as server:
    port = int(server.said(r'metrics=127.0.0.1:(\d+)').group(1))
    same(server.get('/healthz').text, 'ok\n', 'healthz')
    same(server.get('/healthz/scheduler').status, 503, 'healthz/scheduler: no tick has run')
    sql('CALL incomplete_orders.tick()')
    ok(wait_for(lambda: server.get('/healthz/scheduler').status == 200), 'healthz/scheduler: one has')
    answer = server.get('/shop' + ROOT + LIST + '?page_size=2&search=')
    same((answer.status, answer.json['next'][:66]), (200, '/shop/api/v1/incomplete-orders/incomplete-orders/?page_size=2&searc'[:66]), 'prefix: taken off, and put into links')
    same(server.get(answer.json['next']).status, 200, 'prefix: such a link leads somewhere')
    same(server.get(answer.json['next'].removeprefix('/shop')).status, 200, 'prefix: without it, where the proxy takes it off')
    server.get('/shop' + ROOT + LIST + '?x=1')
    server.get('/shop' + ROOT + LIST, login=None)
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=PATIENCE)
    text = server.get('/metrics', connection=connection).text
    connection.close()
    like(text, r'^incomplete_orders_http_requests_total{method="GET",route="\S*incomplete-orders/",status="200"} 3$', 'metrics: requests by route and status')
    like(text, r'status="400"} 1$', 'metrics: ... another status')
    like(text, r'^incomplete_orders_http_request_seconds_bucket{method="GET",route="\S*incomplete-orders/",le="\+Inf"} 5$', 'metrics: how long they took')
    like(text, r'^incomplete_orders_queue_messages{state="queued"} 0$', 'metrics: the queue')
    like(text, r'^incomplete_orders_pool_connections{pool="own",state="idle"} [1-4]$', 'metrics: connections')
    unlike(text, r'ann|example', 'metrics: nobody is named')
    names = re.findall(r'^# TYPE (\S+)', text, re.M)
    same(len(names), len(set(names)), 'metrics: each is described once')
    same(server.get('/metrics', login=None).status, 200, 'metrics: at the main address, for this machine')
    same(server.get('/metrics', login=None, headers={'X-Forwarded-For': '192.0.2.1'}).status, 404, 'metrics: ... and for nobody behind a proxy')
    server.end()
    like(server.log, r'event=request method=GET path=\S* status=401', 'access log: a login that failed')
    unlike(server.log, r'event=request .* status=(200|400)', 'access log: nothing else')
with Server(environment={'PGUSER': 'boss', 'PGPASSWORD': 'secret'}) as server:
    server.said('level=warn event=superuser')
    ok(True, 'a superuser as the program itself is warned of')
for options, says in (['--prefix=shop'], '--prefix'), (['--prefix=/shop/'], '--prefix'), (['--trusted-proxy=x'], '--trusted-proxy'), (['--trusted-proxy=10.0.0.0/33'], '--trusted-proxy'):
    program = Program('serve', '--listen=127.0.0.1:0', *options)
    same(program.end(None), 64, f'{options}: refused')
    like(program.log, says, f'{options}: and said')
say('done')
