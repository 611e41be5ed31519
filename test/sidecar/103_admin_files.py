"""The files that the admin's pages are: which there are, how they are sent, and what their policy lets them do."""
import gzip
import shutil
import subprocess
import tempfile
from pathlib import Path

from resting import *

SOURCE = Path(__file__).resolve().parents[2] / 'src/sidecar/admin'
TYPES = {'.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml', '.html': 'text/html; charset=utf-8'}
YEAR = 'public, max-age=31536000, immutable'
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:{}; connect-src 'self'; frame-src 'self';"
          " base-uri 'self'; form-action 'self'; frame-ancestors 'none'")
FRAME_POLICY = ("default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:{}; base-uri 'none'; form-action 'none';"
                " sandbox allow-scripts; frame-ancestors 'self'")


def fetch(server, path, method='GET', **headers):
    """(status, headers, bytes)"""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace('_', '-'), value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body


def digest_of(server):
    return re.search(rb'/admin/assets/([0-9a-f]{16})/', fetch(server, '/admin/')[2]).group(1).decode()


with Server('--verbose') as server:
    # ---- documents ----
    status, headers, body = fetch(server, '/admin/')
    same((status, headers['Content-Type'], headers['Cache-Control']), (200, TYPES['.html'], 'no-cache'), 'the page')
    same(headers['Content-Security-Policy'], POLICY.format(''), 'its policy')
    same((headers['X-Frame-Options'], headers['X-Content-Type-Options'], headers['Referrer-Policy']), ('DENY', 'nosniff', 'no-referrer'), 'nobody frames it, guesses its type, or hears of it')
    ok(b'<base href="/admin/">' in body and b'@' not in body, 'it knows where it is', body[:400])
    unlike(body.decode(), r' style=| on[a-z]+=|<script(?![^>]* src=)|javascript:|//', 'nothing stands in it that its policy forbids, and no other host')
    digest = digest_of(server)
    for path in '/admin/orders/', '/admin/orders/0199-x/', '/admin/orders/?shop=books&status=pending', '/admin/x.js', '/admin/%2e%2e/%2e%2e/etc/passwd', '/admin/index.html', '/admin/' + 'a' * 2000:
        same(fetch(server, path)[2], body, f'the same page: {path[:40]}')
    status, frame_headers, frame = fetch(server, '/admin/frame.html')
    same((status, frame_headers['Content-Type'], frame_headers['Content-Security-Policy'], frame_headers['X-Frame-Options']),
         (200, TYPES['.html'], FRAME_POLICY.format(''), 'SAMEORIGIN'), 'the frame of mails has a policy of its own')
    same(re.findall(rb'(?:src|href)="([^"]*)"', frame), [f'/admin/assets/{digest}/frame.js'.encode()], '... and one script')
    status, headers, _ = fetch(server, '/admin')
    same((status, headers['Location']), (302, '/admin/'), 'without its slash')
    etag = fetch(server, '/admin/')[1]['ETag']
    status, headers, again = fetch(server, '/admin/orders/', If_None_Match=etag)
    same((status, again, headers['Content-Security-Policy']), (304, b'', POLICY.format('')), 'it is not sent twice')
    same(fetch(server, '/admin/', If_None_Match=frame_headers['ETag'])[0], 200, '... unless it is another one')
    for method in 'POST', 'PUT', 'DELETE', 'OPTIONS', 'BREW':
        status, headers, _ = fetch(server, '/admin/', method, Content_Length='0')
        same((status, headers['Allow']), (405, 'GET, HEAD'), f'{method} is not for pages')
    status, headers, nothing = fetch(server, '/admin/', 'HEAD')
    same((status, int(headers['Content-Length']), nothing), (200, len(body), b''), 'HEAD')
    for path in '/administration', '/admin.html', '/Admin/', '//admin/', '/x/admin/':
        same(fetch(server, path)[0], 404, f'nothing of ours: {path}')

    # ---- files ----
    files = sorted(path for path in SOURCE.rglob('*') if path.suffix in TYPES and path.suffix != '.css' and (path.parent == SOURCE or path.parent.name == 'vendor'))
    names = [str(path.relative_to(SOURCE)) for path in files]
    ok({'app.js', 'frame.js', 'vendor/preact.js', 'vendor/uplot.js', 'favicon.svg'} <= set(names), 'the files are there', names)
    good, unpacked = [], []
    for path, name in zip(files, names):
        plain, packed, brotli = (fetch(server, f'/admin/assets/{digest}/{name}', **accepts) for accepts in ({}, {'Accept_Encoding': 'gzip, deflate'}, {'Accept_Encoding': 'gzip, deflate, br, zstd'}))
        source = path.read_bytes()
        smaller = path.suffix == '.js' and path.parent == SOURCE
        if (plain[0], plain[1]['Content-Type'], plain[1]['Cache-Control'], plain[1]['Content-Encoding'], plain[1]['Vary']) == (200, TYPES[path.suffix], YEAR, None, 'Accept-Encoding') and \
                (0 < len(plain[2]) < len(source) and b'\n\t' not in plain[2] if smaller else plain[2] == source) and \
                (packed[0], packed[1]['Content-Encoding'], gzip.decompress(packed[2])) == (200, 'gzip', plain[2]) and len({answer[1]['ETag'] for answer in (plain, packed, brotli)}) == 3 and \
                (brotli[0], brotli[1]['Content-Encoding']) == (200, 'br') and len(brotli[2]) < len(packed[2]) + 10 and \
                plain[1]['X-Content-Type-Options'] == 'nosniff' and "default-src 'none'" in plain[1]['Content-Security-Policy']:
            good.append(name)
        unpacked.append([base64.b64encode(brotli[2]).decode(), base64.b64encode(plain[2]).decode()])
    same(good, names, 'each file is as it was made, as it is and compressed, with its type, for a year; ours smaller')
    style = fetch(server, f'/admin/assets/{digest}/app.css')
    same((style[0], style[1]['Content-Type']), (200, TYPES['.css']), 'one style sheet')
    pico, own = (SOURCE / 'vendor/pico.css').read_text(), (SOURCE / 'style.css').read_text()
    sheet = style[2].decode()
    ok(len(own) / 2 < len(sheet) < (len(pico) + len(own)) * 0.9, '... smaller than what it is made of', len(sheet), len(pico), len(own))
    ok(all(part in sheet for part in ('/*!', 'dialog{', 'button', '@media', 'prefers-color-scheme:dark', 'input')) and not any(part in sheet for part in (':host{', '\t', 'dropdown')), '... with what the pages use')
    ok(sheet.count('{') == sheet.count('}') > 300, '... and in one piece', sheet.count('{'), sheet.count('}'))
    defined = set(re.findall(r'(?<=[{;])\s*(--[\w-]+):', sheet))
    missing = sorted(name for name in set(re.findall(r'var\((--pico-[\w-]+)\)', sheet)) - defined if re.search(rf'[{{;]{name}:', pico))
    same(missing, [], '... that names no variable which was taken out')
    # Python has no brotli; what made it can say whether it is the same.
    said = subprocess.run(['node', '-e', "const b = (t) => Buffer.from(t, 'base64');"
                           "console.log(JSON.parse(require('fs').readFileSync(0)).filter(([p, q]) => require('zlib').brotliDecompressSync(b(p)).equals(b(q))).length)"],
                          input=json.dumps(unpacked), capture_output=True, text=True)
    same(said.stdout.strip(), str(len(names)), '... and the same by brotli')
    asset = f'/admin/assets/{digest}/app.js'
    for accepts, wanted in (('', None), ('identity', None), ('br', 'br'), ('gzip, br', 'br'), ('br;q=0, gzip', 'gzip'), ('zstd', None), ('brotli', None), ('gzip', 'gzip'), ('GZIP', 'gzip'), ('gzip;q=0', None), ('gzip;q=0.0', None), ('deflate, gzip;q=1.0', 'gzip'), ('gzipped', None), ('x-gzip', None)):
        same(fetch(server, asset, Accept_Encoding=accepts)[1]['Content-Encoding'], wanted, f'Accept-Encoding: {accepts!r}')
    for encoding in 'br', 'gzip', 'identity':
        etag = fetch(server, asset, Accept_Encoding=encoding)[1]['ETag']
        same((fetch(server, asset, Accept_Encoding=encoding, If_None_Match=etag)[0::2], fetch(server, asset, Accept_Encoding=encoding, If_None_Match='"x"')[0]), ((304, b''), 200), f'it is not sent twice: {encoding}')
    same(fetch(server, asset, 'HEAD')[1]['Content-Length'], str(len(fetch(server, asset)[2])), 'HEAD of a file')
    same(fetch(server, asset, 'POST', Content_Length='0')[0], 405, 'POST to a file')
    for path in (f'/admin/assets/{digest}/', f'/admin/assets/{digest}', '/admin/assets/', f'/admin/assets/{digest}/nosuch.js', f'/admin/assets/{digest}/APP.JS', f'/admin/assets/{digest}//app.js', '/admin/assets/app.js',
                 f'/admin/assets/{"0" * 16}/app.js', f'/admin/assets/{digest}x/app.js', f'/admin/assets/{digest}/package-lock.json', f'/admin/assets/{digest}/fetch', f'/admin/assets/{digest}/vendor/',
                 f'/admin/assets/{digest}/../app.js', f'/admin/assets/{digest}/vendor/../app.js', f'/admin/assets/{digest}/%2e%2e/app.js', f'/admin/assets/{digest}/app%2ejs', f'/admin/assets/{digest}/app.js%00',
                 f'/admin/assets/{digest}/../../../../etc/passwd', f'/admin/assets/{digest}/..%2f..%2fetc/passwd', f'/admin/assets/{digest}/\\..\\app.js'):
        status, headers, text = fetch(server, path)
        same((status, headers['Cache-Control'], headers['Content-Type']), (404, 'no-store', 'text/plain; charset=utf-8'), f'no file: {path.replace(digest, "DIGEST")[:60]}')
    same(re.findall('assets/[^ ]*', server.log)[0], 'assets/', 'the log does not say what was asked for')

    # ---- whose pictures ----
    sql("""SELECT incomplete_orders.configure_shop('books', '{"image_hosts": ["https://images.books.example", "https://*.cdn.example:8443"], "logo_url": "https://Logo.books.example/logo.png"}')""")
    same(fetch(server, '/admin/')[1]['Content-Security-Policy'], POLICY.format(''), 'pictures: what is known counts for a while')
with Server() as server:
    hosts = ' https://*.cdn.example:8443 https://images.books.example https://logo.books.example'
    first = fetch(server, '/admin/')[1]
    same(first['Content-Security-Policy'], POLICY.format(hosts), 'pictures: from the hosts of the shops')
    same(fetch(server, '/admin/frame.html')[1]['Content-Security-Policy'], FRAME_POLICY.format(hosts), 'pictures: in mails, too')
    sql("""UPDATE incomplete_orders.shops SET image_hosts = '{}', logo_url = NULL""")
with Server() as server:
    same(fetch(server, '/admin/', If_None_Match=first['ETag'])[0], 200, 'pictures: another policy is another page')
    sql("""SELECT incomplete_orders.configure_shop('books', jsonb_build_object('image_hosts', (SELECT jsonb_agg('https://' || repeat('a', 240) || i) FROM generate_series(10, 29) i)))""")
with Server() as server:
    ok(1000 < len(fetch(server, '/admin/')[1]['Content-Security-Policy']) < 3500, 'pictures: no policy that proxies would give up on')
    sql("""UPDATE incomplete_orders.shops SET image_hosts = '{}'""")

# ---- behind a proxy, and without the database ----

with Server('--prefix=/shop') as server:
    bodies = [fetch(server, path)[2] for path in ('/admin/', '/shop/admin/', '/shop/admin/orders/')]
    ok(b'<base href="/shop/admin/">' in bodies[0] and set(re.findall(rb'(?:src|href)="(/[^/"]*/[^/"]*/)', bodies[0])) == {b'/shop/admin/'}, 'prefix: it knows where it is', bodies[0])
    same(len(set(bodies)), 1, 'prefix: with and without it')
    same(fetch(server, '/shop/admin')[1]['Location'], '/shop/admin/', 'prefix: without its slash')
    same(fetch(server, f'/shop/admin/assets/{digest}/app.js')[0], 200, 'prefix: files')
with Server('--dbname=host=127.0.0.1 port=1 dbname=none') as server:
    ok(b'<div id="app">' in fetch(server, '/admin/')[2], 'without the database the page is there, to say so')
    same(fetch(server, f'/admin/assets/{digest}/app.js')[0], 200, '... and its files')
    answer = server.ask('POST', 'session/', {'role': 'ann', 'password': 'secret'}, headers={'Origin': f'http://{server.host}:{server.port}'}, login=None)
    answer.problem(503, '... and nobody can sign in')
    same(answer.headers['Set-Cookie'], None, '... or gets a cookie')

# ---- how they are made ----

with tempfile.TemporaryDirectory() as folder:
    made = []
    for n in range(2):
        shutil.copytree(SOURCE, f'{folder}/{n}/admin', ignore=shutil.ignore_patterns('made', '.fetch.*'))
        made += [subprocess.run(['admin/embed', *[f'admin/{name}' for name in names[:4]]], cwd=f'{folder}/{n}', capture_output=True, text=True, check=True).stdout for _ in range(2)]
    ok(len(set(made)) == 1 and len(made[0]) > 1000, 'the same files make the same program, made for the first time or not')
lock = (SOURCE / 'package-lock.json').read_text()
ok('resolved' not in lock and lock.count('"integrity": "sha512-') == lock.count('"node_modules/'), 'what is fetched is pinned by what is in it, wherever it comes from')
versions = json.loads((SOURCE / 'package.json').read_text())['dependencies'].values()
ok(all(re.fullmatch(r'\d+\.\d+\.\d+', version) for version in versions), '... and by exact versions', list(versions))
say('done')
