"""Staff who sign in on the admin's pages: the cookie, what protects it, and when it ends."""
import datetime

from resting import *

COOKIE = 'incomplete_orders_session'
NOTE = 'incomplete-orders/{}/notes/'


class Browser:
    """Says what a browser says of a page of ours, and keeps its cookie."""

    def __init__(self, server, **usual):
        self.server = server
        self.usual = {'Origin': f'http://{server.host}:{server.port}', 'X-Requested-With': 'incomplete-orders'} | usual
        self.cookie = None
        self.token = None

    def ask(self, method, path, body=None, headers=None, **more):
        headers = {name: value for name, value in (self.usual | ({'X-CSRF-Token': self.token} if self.token else {}) |
                                                   ({'Cookie': f'{COOKIE}={self.cookie}'} if self.cookie else {}) | (headers or {})).items() if value is not None}
        return self.server.ask(method, path, body, headers=headers, login=None, **more)

    def get(self, path, **more):
        return self.ask('GET', path, **more)

    def sign_in(self, role='ann', password='secret', path='session/', **more):
        answer = self.ask('POST', path, {'role': role, 'password': password}, **more)
        if answer.status == 200:
            self.cookie = re.match(rf'{COOKIE}=([^;]*)', answer.headers['Set-Cookie']).group(1)
            self.token = answer.json['csrf_token']
        return answer


def in_session(server, role='ann', password='secret'):
    browser = Browser(server)
    answer = browser.sign_in(role, password)
    if answer.status != 200:
        raise RuntimeError(f'{role}: {answer.status} {answer.text}')
    return browser


def cleared(answer):
    return re.match(rf'{COOKIE}=; .*Max-Age=0', answer.headers.get('Set-Cookie') or '') is not None


# ---- signing in ----

with Server('--verbose') as server:
    browser = Browser(server)
    answer = browser.get('session/')
    same((answer.status, answer.text, answer.headers['Set-Cookie']), (204, '', None), 'nobody is signed in: nothing, and no error')
    answer = browser.sign_in()
    same(answer.status, 200, 'signing in')
    like(answer.headers['Set-Cookie'], rf'^{COOKIE}=[A-Za-z0-9_-]{{43}}; Path=/; HttpOnly; SameSite=Strict$', 'the cookie: 256 bits that scripts and other sites do not get')
    same(answer.headers['Cache-Control'], 'no-store', '... and nobody keeps')
    document = answer.json
    same(sorted(document), ['csrf_token', 'expires_at', 'idle_seconds', 'may', 'role', 'shops'], 'what is said')
    same((document['role'], document['idle_seconds']), ('ann', 1800), '... of whom')
    same(document['shops'], [{'shop': 'books', 'name': 'Books', 'currency': 'USD', 'time_zone': 'UTC'},
                             {'shop': 'default', 'name': 'Default shop', 'currency': 'USD', 'time_zone': 'UTC'}], '... of which shops')
    ok(document['may'].get('convert_order') is True and document['may'].get('statistics') is True, 'an admin may convert, and see statistics')
    ok('grant_to' not in document['may'] and not any(name.startswith('_') for name in document['may']), '... and not what only owners may', document['may'])
    ok(len(document['csrf_token']) == 43 and document['csrf_token'] != browser.cookie, 'the CSRF token is another one than the cookie')
    left = datetime.datetime.fromisoformat(document['expires_at'].replace('Z', '+00:00')) - datetime.datetime.now(datetime.timezone.utc)
    ok(1700 < left.total_seconds() <= 1801, 'it says when the session ends', document['expires_at'])
    answer = browser.get('session/')
    same((answer.status, answer.json['csrf_token'], answer.headers['Set-Cookie']), (200, browser.token, None), 'a page that is loaded anew knows the same session')
    same(browser.get(LIST + '?shop=default').json['count'], 5, 'the cookie is a login')
    same(staff_connections('ann'), 1, '... of the role, by a connection of its own')
    same(in_session(server, 'jürgen', 'p:ä ß"\\').get('session/').json['role'], 'jürgen', 'names and passwords are UTF-8, with colons and quotes')

    reports = Browser(server)
    document = reports.sign_in('reports').json
    ok(document['may'].get('statistics') and not document['may'].get('list_orders'), 'an analyst may see statistics, and no orders', document['may'])
    reports.get(LIST).problem(403, '... which the database refuses anyway', 'may not')
    same(reports.get('incomplete-orders/statistics/').status, 200, '... but not statistics')
    bookworm = Browser(server).sign_in('bookworm').json
    same([shop['shop'] for shop in bookworm['shops']], ['books'], 'staff of one shop see that one')
    both = Browser(server)
    ok(both.sign_in('twofold').json['may'].get('edit_order'), 'staff here and analyst there: without a shop what may be done in any')
    ok(both.get('session/?shop=books').json['may'].get('edit_order'), '... in the one')
    document = both.get('session/?shop=default').json
    ok(not document['may'].get('edit_order') and document['may'].get('statistics'), '... and in the other', document['may'])
    same((both.get('session/?shop=nosuch').json['may'], len(both.get('session/?shop=nosuch').json['shops'])), ({}, 2), '... and in one that is none of theirs')
    sql('REVOKE EXECUTE ON FUNCTION incomplete_orders.delete_order FROM ann')
    ok('delete_order' not in browser.get('session/').json['may'], 'a right that was taken by hand is not there')
    sql('GRANT EXECUTE ON FUNCTION incomplete_orders.delete_order TO ann')

with Server() as server:
    for role, password, status, name, detail, kind in (
            ('webshop', 'secret', 403, 'a role of the shop program', 'not one of a shop', 'no-staff'), ('nobody', 'secret', 403, 'a role without rights', 'not one of a shop', 'no-staff'),
            ('trusted', 'secret', 403, 'a role that is trusted', 'does not ask', 'password-not-asked'), ('trusted', 'other', 403, '... with any password', 'does not ask', 'password-not-asked'),
            ('boss', 'secret', 403, 'a superuser', 'Superusers', 'superuser'), ('crowd', 'secret', 503, 'a role that has no connection left', None, None)):
        answer = Browser(server).sign_in(role, password)
        answer.problem(status, f'signing in: {name}', detail, kind and f'urn:incomplete-orders:{kind}')
        ok('Set-Cookie' not in answer.headers and 'WWW-Authenticate' not in answer.headers, '... gets no cookie, and no window')
with Server() as server:
    for role, password in ('', 'secret'), ('ann', ''), ('a' * 64, 'secret'), ('ann', 's' * 1001), ('ann', 'secret\u0000'), ('ann\u0000', 'secret'):
        answer = Browser(server).sign_in(role, password)
        ok(answer.status in (400, 401, 422), f'signing in: {role[:8]!r}, {password[:8]!r}', answer.status, answer.text)
    for body in {}, {'role': 'ann'}, {'password': 'secret'}, {'role': None, 'password': 'secret'}, {'role': ['ann'], 'password': 'secret'}, {'role': 'ann', 'password': {'a': 1}}, [], {'role': 'ann', 'password': 'x', 'shop': 1}:
        answer = Browser(server).ask('POST', 'session/', body)
        ok(answer.status in (400, 422) and 'secret' not in answer.text, f'signing in: {body}', answer.status, answer.text)
    same(Browser(server).sign_in().status, 200, 'none of which counts as a try')
    for role, password in ('ann', 'Secret'), ('ann', 'secret '), ('Ann', 'secret'), ('gone', 'secret'), ('nosuch', 'secret'):
        answer = Browser(server).sign_in(role, password)
        answer.problem(401, f'signing in: {role!r}, {password!r}', 'no such role, or its password is another one')
        ok('Set-Cookie' not in answer.headers and 'WWW-Authenticate' not in answer.headers, '... gets no cookie, and no window')

# ---- what protects it ----

with Server('--verbose') as server:
    browser = in_session(server)
    other = in_session(server, 'bookworm')
    order = browser.get(LIST + '?shop=default').json['results'][0]['id']
    path = NOTE.format(order)
    note = {'note': 'Called her.'}
    notes = lambda: one('SELECT count(*) FROM incomplete_orders.order_notes')
    here = f'http://{server.host}:{server.port}'
    for name, headers, kind in (
            ('no CSRF token', {'X-CSRF-Token': None}, 'csrf-token'), ('an empty one', {'X-CSRF-Token': ''}, 'csrf-token'), ('a wrong one', {'X-CSRF-Token': 'A' * 43}, 'csrf-token'),
            ('a part of it', {'X-CSRF-Token': browser.token[:-1]}, 'csrf-token'), ("another session's", {'X-CSRF-Token': other.token}, 'csrf-token'),
            ('the cookie as token', {'X-CSRF-Token': browser.cookie}, 'csrf-token'),
            ('no origin', {'Origin': None}, 'origin'), ('origin null', {'Origin': 'null'}, None), ('another host', {'Origin': 'http://evil.example'}, None),
            ('another port', {'Origin': f'http://{server.host}:1'}, None), ('another name in front', {'Origin': f'http://x.{server.host}:{server.port}'}, None),
            ('another site', {'Sec-Fetch-Site': 'cross-site'}, None), ('a host beside ours', {'Sec-Fetch-Site': 'same-site'}, None), ('a link', {'Sec-Fetch-Site': 'none'}, 'origin'),
            ('another site that says our origin', {'Sec-Fetch-Site': 'cross-site', 'Origin': here}, None)):
        browser.ask('POST', path, note, headers=headers).problem(403, f'a write with {name}', type=kind and f'urn:incomplete-orders:{kind}')
    for kind in 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x':
        browser.ask('POST', path, '{"note": "x"}', headers={'Content-Type': kind}).problem(415, f'a write as {kind}, which forms can send')
    same(notes(), 0, 'none of which has written')
    for method, path_of in ('PATCH', 'settings/'), ('DELETE', f'incomplete-orders/{order}/'), ('PUT', 'webhooks/w/'):
        browser.ask(method, path_of, {'name': 'x'} if method == 'PATCH' else {'url': 'https://a.example/x'} if method == 'PUT' else None, headers={'X-CSRF-Token': None}).problem(
            403, f'{method} without a CSRF token', type='urn:incomplete-orders:csrf-token')
    same(browser.ask('POST', path, note, headers={'Origin': None, 'Sec-Fetch-Site': 'same-origin'}).status // 100, 2, 'a write that the browser says is of our origin')
    same(browser.ask('POST', path, note).status // 100, 2, 'a write from our origin')
    same(notes(), 2, '... are written')

    # Signing in and out are writes, too: nobody signs somebody else in, or out.
    for name, headers in ('no origin', {'Origin': None}), ('another host', {'Origin': 'http://evil.example'}), ('another site', {'Sec-Fetch-Site': 'cross-site'}), ('a link', {'Sec-Fetch-Site': 'none'}):
        answer = Browser(server).sign_in(headers=headers)
        answer.problem(403, f'signing in with {name}', type='urn:incomplete-orders:origin')
        ok('Set-Cookie' not in answer.headers, '... sets no cookie')
    for kind in 'text/plain', 'application/x-www-form-urlencoded':
        Browser(server).ask('POST', 'session/', '{"role": "ann", "password": "secret"}', headers={'Content-Type': kind}).problem(415, f'signing in as {kind}')
    for name, headers in ('no CSRF token', {'X-CSRF-Token': None}), ("another session's", {'X-CSRF-Token': other.token}), ('another host', {'Origin': 'http://evil.example'}):
        browser.ask('DELETE', 'session/', headers=headers).problem(403, f'signing out with {name}')
    same(browser.get('session/').status, 200, '... the session is still there')

    # Cookies that are none.
    flipped = ('B' if browser.cookie[0] == 'A' else 'A') + browser.cookie[1:]
    for name, cookie in (('empty', ''), ('short', browser.cookie[:-1]), ('long', browser.cookie + 'A'), ('one character changed', flipped), ('the CSRF token', browser.token), ('odd', '"\'<>%00'),
                         ('very long', 'A' * 3000), ('quoted', f'"{browser.cookie}"'), ('twice', f'{browser.cookie}; {COOKIE}={browser.cookie}'), ('two', f'{flipped}; {COOKIE}={browser.cookie}')):
        answer = browser.get(LIST, headers={'Cookie': f'{COOKIE}={cookie}'})
        answer.problem(401, f'a cookie: {name}')
        ok(cleared(answer) and 'WWW-Authenticate' not in answer.headers, '... is taken away, and no window opens')
    for name in COOKIE.upper(), 'x' + COOKIE, COOKIE + '2':
        browser.get(LIST, headers={'Cookie': f'{name}={browser.cookie}'}).problem(401, f'a cookie: {name}')
    same(browser.get(LIST, headers={'Cookie': f'a=b; {COOKIE}={browser.cookie};c="d"'}).status, 200, 'cookies beside it do not matter')
    same(browser.get('session/', headers={'Cookie': f'{COOKIE}={flipped}'}).status, 204, 'with a cookie that is none nobody is signed in')
    answer = server.get(LIST, login=None)
    same(answer.headers['WWW-Authenticate'][:6], 'Basic ', 'who is no page is told how to log in')
    answer = server.get(LIST, login=None, headers={'X-Requested-With': 'incomplete-orders'})
    answer.problem(401, 'a page of ours')
    same(answer.headers['WWW-Authenticate'], None, '... is not')

    # Who says who he is means it.
    answer = server.get(LIST, login='reports:secret', headers={'Cookie': f'{COOKIE}={browser.cookie}'})
    answer.problem(403, 'Authorization wins over the cookie')
    server.get(LIST, login='ann:wrong', headers={'Cookie': f'{COOKIE}={browser.cookie}'}).problem(401, '... also when it is wrong')
    same(browser.get(LIST).status, 200, '... and the session does not mind')
    same(browser.get('session/', headers={'Authorization': 'Basic eA=='}).status, 204, '... and is not seen with it')
    browser.ask('DELETE', 'session/', headers={'Authorization': 'Basic eA=='})
    same(browser.get('session/').status, 200, '... and not ended')

    # A cookie from before is nobody's after.
    fixed = Browser(server)
    fixed.cookie = 'F' * 43
    fixed.sign_in('twofold')
    ok(fixed.cookie != 'F' * 43, 'signing in makes a cookie of its own')
    same(browser.get('session/', headers={'Cookie': COOKIE + '=' + 'F' * 43}).status, 204, '... and the one that was there before is none')
    before = (fixed.cookie, fixed.token)
    fixed.sign_in('twofold')
    ok(fixed.cookie != before[0] and fixed.token != before[1], 'signing in once more makes another one')
    same(fixed.get('session/', headers={'Cookie': f'{COOKIE}={before[0]}'}).status, 204, '... and ends the one before')
    cookie = browser.cookie
    unlike(server.log, f'{cookie}|{browser.token}|secret', 'the log has no cookie, token or password')

# ---- behind a proxy ----

with Server('--prefix=/shop', '--trusted-proxy=127.0.0.1') as server:
    def setting(**headers):
        return Browser(server, **headers).sign_in().headers['Set-Cookie'] or ''

    like(setting(), r'; Path=/shop; HttpOnly; SameSite=Strict$', 'prefix: the cookie is for what stands below it')
    same(Browser(server).sign_in().headers.get_all('Set-Cookie')[1], f'{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict', 'prefix: one from before there was a prefix goes')
    like(Browser(server).sign_in(path='/shop' + ROOT + 'session/').headers['Set-Cookie'], 'Path=/shop;', 'prefix: ... also when the proxy passes it on')
    secure = {'X-Forwarded-Proto': 'https', 'Origin': f'https://{server.host}:{server.port}'}
    like(setting(**secure), r'; Path=/shop; HttpOnly; SameSite=Strict; Secure$', 'https: the cookie stays there')
    unlike(setting(**{'X-Forwarded-Proto': 'http'}), 'Secure', 'http: it could not be kept else')
    Browser(server, **{'X-Forwarded-Proto': 'https'}).sign_in().problem(403, 'https: a page of http is not ours', type='urn:incomplete-orders:origin')
    browser = Browser(server, **secure)
    browser.sign_in()
    answer = browser.ask('DELETE', 'session/')
    ok(cleared(answer) and '; Path=/shop;' in answer.headers['Set-Cookie'] and answer.headers['Set-Cookie'].endswith('; Secure'), 'it is taken away where it was set', answer.headers['Set-Cookie'])
with Server() as server:
    unlike(Browser(server, **secure | {'Origin': f'https://{server.host}:{server.port}'}).sign_in().headers['Set-Cookie'], 'Secure', 'https: only a trusted proxy is believed')

# ---- when it ends ----

with Server('--verbose') as server:
    browser = in_session(server, 'needle', 'the-haystack-has-4711-needles')
    second = in_session(server, 'needle', 'the-haystack-has-4711-needles')
    same(browser.get(LIST).status, 200, 'signing out: before')
    answer = browser.ask('DELETE', 'session/')
    same((answer.status, answer.text, cleared(answer)), (204, '', True), 'signing out')
    answer = browser.get(LIST)
    answer.problem(401, 'a cookie that was kept is nothing')
    ok(cleared(answer), '... and taken away')
    same(browser.ask('DELETE', 'session/').status, 204, 'signing out twice')
    same(second.get(LIST).status, 200, 'the other session of the role goes on')
    ok(staff_connections('needle') > 0, '... with its connection')
    second.ask('DELETE', 'session/')
    ok(wait_for(lambda: staff_connections('needle') == 0, 10), 'with the last one the connections are closed at once')

    def places(text):
        """How often it stands in the program's memory."""
        found = 0
        with open(f'/proc/{server.process.pid}/maps') as maps, open(f'/proc/{server.process.pid}/mem', 'rb', 0) as memory:
            for line in maps:
                start, end = (int(part, 16) for part in line.split()[0].split('-'))
                if 'rw' in line.split()[1] and '[v' not in line:
                    try:
                        memory.seek(start)
                        found += memory.read(end - start).count(text)
                    except OSError:
                        pass
        return found

    same(places(b'the-haystack-has-4711-needles'), 0, '... and the password is not in memory any more')
    third = in_session(server, 'needle', 'the-haystack-has-4711-needles')
    ok(places(b'the-haystack-has-4711-needles') > 0, '(it is while somebody is signed in)')
    with open(os.environ['ICO_SERVER_LOG'], encoding='utf-8', errors='replace') as log:
        told = [line for line in log if 'haystack-has' in line and 'CREATE ROLE' not in line]
    same(told, [], 'the database was asked with the password, and not told')

with Server('--session-idle=2s', '--staff-idle=1s') as server:
    browser, quiet = in_session(server), in_session(server)
    began = time.monotonic()
    ok(browser.get('session/').json['idle_seconds'] == 2, 'idle: it is told how long')
    while quiet.get('session/', headers={'X-Background': '1'}).status == 200 and time.monotonic() < began + 30:
        browser.get(LIST)
        time.sleep(0.2)
    took = time.monotonic() - began
    ok(1.5 < took < 15, 'idle: what a page asks by itself does not keep a session', took)
    answer = quiet.get(LIST, headers={'X-Background': '1'})
    answer.problem(401, 'idle: ... and it is over')
    ok(cleared(answer), 'idle: ... with its cookie')
    same(browser.get(LIST).status, 200, 'idle: what somebody does keeps it')
    ok(wait_for(lambda: staff_connections('ann') == 0 and not re.search(r'staff_logins_open [1-9]', server.get('/metrics').text), 20), 'idle: nobody asks, and nothing is left of the login')

with Server('--session-most=3s') as server:
    browser = in_session(server)
    began = time.monotonic()
    left = datetime.datetime.fromisoformat(browser.get('session/').json['expires_at'].replace('Z', '+00:00')) - datetime.datetime.now(datetime.timezone.utc)
    ok(left.total_seconds() <= 3, 'in any case: it is told when', left)
    while browser.get(LIST).status == 200 and time.monotonic() < began + 30:
        time.sleep(0.1)
    took = time.monotonic() - began
    ok(2.5 < took < 15, 'in any case: a session ends although it is used', took)

with Server('--staff-idle=1s') as server:
    for role, password, name, change in (('changing', 'first', 'a password was changed', "ALTER ROLE changing PASSWORD 'second'"),
                                         ('leaving', 'secret', 'a role may not log in any more', 'ALTER ROLE leaving NOLOGIN')):
        browser, other = in_session(server, role, password), in_session(server, role, password)
        same(browser.get(LIST).status, 200, f'{name}: before')
        sql(change)
        statuses = set()
        end = time.monotonic() + 30
        while time.monotonic() < end and 401 not in statuses:
            answer = browser.get(LIST)
            statuses.add(answer.status)
        ok(statuses <= {200, 401} and cleared(answer) and 'WWW-Authenticate' not in answer.headers, f'{name}: the session is over, though it is in use', statuses, answer.headers)
        same((browser.get('session/').status, other.get('session/').status), (204, 204), f'{name}: ... with all others of it')
        Browser(server).sign_in(role, password).problem(401, f'{name}: ... and there is no new one')
    same(Browser(server).sign_in('changing', 'second').status, 200, 'the new password is good')
    sql("ALTER ROLE changing PASSWORD 'first'")
    browser = in_session(server)
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'")
    same(browser.get(LIST).status, 200, 'a connection that was ended is replaced')

# ---- how many, and how often ----

with Server('--trusted-proxy=127.0.0.1') as server:
    def through(address, role, password):
        return Browser(server, **{'X-Forwarded-For': address}).sign_in(role, password)

    working = Browser(server, **{'X-Forwarded-For': '192.0.2.1'})
    working.sign_in()
    same([through('192.0.2.1', 'ann', f'wrong{n}').status for n in range(7)], [401] * 6 + [429], 'tries: six wrong passwords, then a pause')
    answer = through('192.0.2.1', 'bookworm', 'secret')
    answer.problem(429, 'tries: the address waits, whoever tries')
    ok(1 <= int(answer.headers['Retry-After']) <= 4, 'tries: it is told how long', answer.headers['Retry-After'])
    same(server.get(LIST, login='bookworm:secret', headers={'X-Forwarded-For': '192.0.2.1'}).status, 429, 'tries: ... with HTTP Basic, too')
    same(working.get(LIST).status, 200, 'tries: who is signed in does not wait')
    same(through('192.0.2.2', 'bookworm', 'secret').status, 200, 'tries: another address does not wait')
    statuses = [through(f'198.51.100.{n}', 'twofold', f'wrong{n}').status for n in range(13)]
    same((statuses[:11], statuses[-1]), ([401] * 11, 429), 'tries: a role waits, from wherever it is tried')
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(through('203.0.113.9', 'reports', f'wrong{n}').status)) for n in range(20)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    ok(results.count(401) <= 6 and results.count(429) >= 14, 'tries: many at once count as many', results)

with Server() as server:
    browsers = [in_session(server) for n in range(18)]
    same([browser.get('session/').status for browser in browsers], [204] * 2 + [200] * 16, 'a role has sixteen sessions: the ones unused for longest make room')
    mine = in_session(server, 'bookworm')
    crowd = [Browser(server) for n in range(300)]
    statuses = {}
    threads = [threading.Thread(target=lambda n=n, b=b: statuses.setdefault(n, b.sign_in().status)) for n, b in enumerate(crowd)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    same(len(statuses), 300, '300 at once: all are answered')
    ok(set(statuses.values()) == {200}, '... and get in', statuses)
    ok(staff_connections('ann') <= 4, '... by four connections')
    same(sum(browser.get('session/').status == 200 for browser in crowd + browsers), 16, '... and sixteen of them are left')
    same(mine.get('session/').status, 200, "... which is no matter of another role's")
    same(server.end(), 0, 'it stops with sessions open')
say('done')
