"""Who may log in to the REST API, how often one may try, and with which connections."""
from resting import *

# ---- who may log in ----

with Server('--verbose') as server:
    answer = server.get(LIST)
    same((answer.status, answer.type, answer.json['count'], len(answer.json['results'])), (200, 'application/json', 40, 20), 'a list')
    same(server.get(LIST + '?shop=*').json['count'], 45, 'a list of all shops')
    same(server.get(LIST, login='bookworm:secret').json['count'], 5, 'staff of one shop see that one')
    same(server.get('incomplete-orders/statistics/', login='reports:secret').status, 200, 'an analyst sees statistics')
    server.get(LIST, login='reports:secret').problem(403, '... and no list', 'may not')
    server.get(LIST, login='webshop:secret').problem(403, 'a role of the shop program is no staff')
    server.get(LIST, login='nobody:secret').problem(403, 'a role without rights')
    same(server.get(LIST, headers=basic('jürgen:p:ä ß"\\'.encode())).status, 200, 'names and passwords are UTF-8, with colons and quotes')
    same(server.get(LIST, login='plain:secret').status, 200, 'a password that was asked for in the clear counts, too')
    answer = server.get(LIST, login=None)
    answer.problem(401, 'nobody', 'role of the database')
    same(answer.headers['WWW-Authenticate'], 'Basic realm="incomplete-orders", charset="UTF-8"', '... is told how')
    server.get(LIST, login='trusted:secret').problem(403, 'a role that is trusted', 'does not ask', 'urn:incomplete-orders:password-not-asked')
    server.get(LIST, login='trusted:other').problem(403, '... with any password', 'does not ask')
    like(server.log, r'level=error event=login message="the server did not ask role \\"trusted\\"', '... which the log says')
    server.get(LIST, login='boss:secret').problem(403, 'a superuser', 'Superusers', 'urn:incomplete-orders:superuser')
    server.get(LIST, login='crowd:secret').problem(503, 'a role that has no connection left')
    ok(server.get(LIST, login='crowd:secret').headers['Retry-After'], '... may ask later')

with Server() as server:
    for name, headers in {'another scheme': {'Authorization': 'Bearer x'}, 'no base64': {'Authorization': 'Basic ???'}, 'nothing': {'Authorization': 'Basic '},
                          'no colon': basic(b'ann'), 'no password': basic(b'ann:'), 'no role': basic(b':secret'), 'a 0 byte': basic(b'ann\0x:secret'),
                          'a 0 byte behind': basic(b'ann:secret\0'), 'no UTF-8': basic(b'ann\xff:secret'), 'a long name': basic(b'a' * 64 + b':secret'),
                          'a long password': basic(b'ann:' + b's' * 3000)}.items():
        server.get(LIST, headers=headers).problem(401, f'login: {name}')
    same(server.get(LIST).status, 200, 'none of which counts as a try')
with Server() as server:
    for login in 'ann:Secret', 'ann:secret ', 'Ann:secret', 'gone:secret', 'nosuch:secret':
        answer = server.get(LIST, login=login)
        answer.problem(401, f'login: {login!r}', 'no such role, or its password is another one')
        same(answer.headers['WWW-Authenticate'][:6], 'Basic ', f'login: {login!r} is told how')

# ---- tries are limited ----

with Server('--trusted-proxy=127.0.0.0/8,::1') as server:
    def through(address, login):
        return server.get(LIST, login=login, headers={'X-Forwarded-For': address})

    same(through('192.0.2.1', 'ann:secret').status, 200, 'tries: a login that is open')
    statuses = [through('192.0.2.1', f'ann:wrong{n}').status for n in range(7)]
    same(statuses, [401] * 6 + [429], 'tries: six wrong passwords, then a pause')
    answer = through('192.0.2.1', 'bookworm:secret')
    answer.problem(429, 'tries: the address waits, whoever tries')
    ok(1 <= int(answer.headers['Retry-After']) <= 4, 'tries: it is told how long', answer.headers['Retry-After'])
    same(through('192.0.2.1', 'ann:secret').status, 200, 'tries: an open login does not wait')
    same(through('192.0.2.2', 'reports:secret').status, 403, 'tries: another address does not wait')
    same(through('192.0.2.9, 192.0.2.2', 'plain:secret').status, 200, 'tries: only what the proxy says counts')
    same(through('192.0.2.2, 192.0.2.1', 'bookworm:secret').status, 429, 'tries: ... of several the last')
    same(through('192.0.2.1, 127.0.0.5, junk, 127.0.0.7', 'bookworm:secret').status, 200, 'tries: what is no address ends the list')
    statuses = [through(f'2001:db8::{n}', f'reports:wrong{n}').status for n in range(7)]
    same(statuses, [401] * 6 + [429], 'tries: of IPv6 the network counts')
    same(through('203.0.113.1', 'changing:first').status, 200, 'tries: somebody works')
    statuses = [through(f'198.51.100.{n}', f'changing:wrong{n}').status for n in range(13)]
    same((statuses[:11], statuses[-1]), ([401] * 11, 429), 'tries: a role waits, from wherever it is tried')
    def logins():
        return int(re.search(r'staff_logins_open (\d+)$', server.get('/metrics').text, re.M).group(1))

    before = logins()
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'changing'")
    ok(wait_for(lambda: logins() < before), 'tries: its login ends')
    same(through('203.0.113.1', 'changing:first').status, 200, 'tries: ... but not from where it worked before, also with a new login')
    like(server.get('/metrics', headers={}).text, r'^incomplete_orders_staff_logins_failed_total 23$', 'tries: they are counted')
with Server() as server:
    statuses = [server.get(LIST, login=f'ann:wrong{n}', headers={'X-Forwarded-For': f'192.0.2.{n}'}).status for n in range(7)]
    same(statuses, [401] * 6 + [429], 'tries: without a trusted proxy nobody believes X-Forwarded-For')
with Server() as server:
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(server.get(LIST, login=f'ann:wrong{n}').status)) for n in range(20)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    ok(results.count(401) <= 6 and results.count(429) >= 14, 'tries: many at once count as many', results)

# ---- pools ----

with Server('--staff-idle=1s') as server:
    holder = hold('open_orders')
    results = []
    threads = [threading.Thread(target=lambda: results.append(server.get(LIST).status)) for n in range(10)]
    [thread.start() for thread in threads]
    ok(wait_for(lambda: staff_connections('ann') == 4), 'pool: four connections of a role')
    ok(wait_for(lambda: re.search(r'pool="staff",state="wanted"} 6', server.get('/metrics').text)), 'pool: the others wait')
    same(staff_connections('ann'), 4, 'pool: no more')
    holder.close()
    [thread.join() for thread in threads]
    same(results, [200] * 10, 'pool: all are answered')
    ok(wait_for(lambda: staff_connections('ann') == 0), 'pool: idle connections are closed')
    same(server.get(LIST, login='changing:first').status, 200, 'password: the first')
    sql("ALTER ROLE changing PASSWORD 'second'")
    end = time.monotonic() + 30
    statuses = set()
    while time.monotonic() < end and 401 not in statuses:
        statuses.add(server.get(LIST, login='changing:first').status)
    same(statuses, {200, 401}, 'password: one that was changed does not count for longer, though it is in use')
    same(server.get(LIST, login='changing:second').status, 200, 'password: the new one')
    same(server.get(LIST).status, 200, 'pool: alive')
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'")
    same(server.get(LIST).status, 200, 'pool: a connection that was ended is replaced')
    holder = hold('open_orders')
    thread = threading.Thread(target=lambda: results.append(server.get(LIST).status))
    thread.start()
    wait_for(lambda: one("SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann' AND wait_event_type = 'Lock'") == 1)
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'")
    holder.close()
    thread.join()
    same(results[-1], 200, 'pool: ... also under a question, which is asked again')
say('done')
