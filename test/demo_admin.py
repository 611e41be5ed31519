"""The dashboard of the demo as whoever reads its last lines: signs in with what they say,
and compares the figures there with the report's.

Arguments: a file with the demo's output, and the command that makes the report as JSON.
"""
import http.cookiejar
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request

output = open(sys.argv[1], encoding='utf-8').read()


def ok(condition, name):
    print(('ok ' if condition else 'not ok ') + name, flush=True)


class Browser:
    def __init__(self, base):
        self.base, self.token = base, None
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def ask(self, method, path, body=None):
        """Status and text."""
        headers = {'Content-Type': 'application/json', 'Origin': self.base.rstrip('/'), 'X-Requested-With': 'incomplete-orders', 'Accept': 'application/json'}
        if self.token:
            headers['X-CSRF-Token'] = self.token
        request = urllib.request.Request(self.base + path, method=method, headers=headers, data=None if body is None else json.dumps(body).encode())
        try:
            answer = self.opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        return answer.status, answer.read().decode()

    def get(self, path):
        return self.ask('GET', 'api/v1/incomplete-orders/' + path)

    def sign_in(self, role, password):
        status, text = self.ask('POST', 'api/v1/incomplete-orders/session/', {'role': role, 'password': password})
        if status == 200:
            self.token = json.loads(text)['csrf_token']
        return status


url = re.search(r'^ *the dashboard +(http://127\.0\.0\.1:\d+/)admin/$', output, re.M)
logins = dict(re.findall(r'(demo_\w+), password (\S+)$', output, re.M))
ok(url and sorted(logins) == ['demo_analyst', 'demo_staff'], 'the demo says where the dashboard is, and who may sign in')
base = url.group(1)
staff, analyst = Browser(base), Browser(base)
status, text = staff.ask('GET', 'admin/')
ok(status == 200 and '<title>Incomplete orders</title>' in text, 'its address shows a page')
ok(all(staff.ask('GET', path.lstrip('/'))[0] == 200 for path in re.findall(r'(?:src|href)="(/admin/[^"]+\.(?:js|css|svg))"', text)), '... with all that it names')
ok(staff.get('incomplete-orders/')[0] == 401, 'orders are for who has signed in')
ok(staff.sign_in('demo_staff', 'x' + logins['demo_staff']) == 401, 'another password is refused')
ok(staff.sign_in('demo_staff', logins['demo_staff']) == 200, 'the staff login that it prints opens it')
status, text = staff.get('incomplete-orders/')
ok(status == 200 and json.loads(text)['count'] > 1000, '... with the orders of the replay')
ok(analyst.sign_in('demo_analyst', logins['demo_analyst']) == 200, 'the analyst\'s login, too')
ok(analyst.get('incomplete-orders/')[0] == 403, '... which sees no orders')


def same_figures(browser):
    """Somebody may be abandoned between the two questions, so they are asked a few times."""
    for _ in range(5):
        report = json.loads(subprocess.run(sys.argv[2:], capture_output=True, check=True).stdout)
        status, text = browser.get(f"incomplete-orders/statistics/?start_date={report['from']}&end_date={report['to']}")
        if status == 200 and report['overview'] and json.loads(text)['results'] == report['overview']:
            return True
    print(f'# {status} {text}\n# {report["overview"]}')
    return False


ok(same_figures(staff), 'the figures that staff see there are those of the report')
ok(same_figures(analyst), '... and those that the analyst sees')
