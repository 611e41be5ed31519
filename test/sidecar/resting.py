"""What the tests of the REST API share: the program, and a client that is not ours.

A test prints lines of TAP without numbers; python_tests() of Sidecar.pm counts them.
"""
import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import psycopg

PATIENCE = 60
ROOT = '/api/v1/incomplete-orders/'


def say(line):
    print(line, flush=True)


def ok(condition, name, *details):
    say(('ok - ' if condition else 'not ok - ') + name)
    if not condition:
        for detail in details:
            for line in str(detail).splitlines():
                say('# ' + line[:2000])
        if os.environ.get('REST_STOP'):
            sys.exit('stopped at the first failure')
    return bool(condition)


def same(got, wanted, name):
    return ok(got == wanted, name, f'got:    {got!r}', f'wanted: {wanted!r}')


def like(got, pattern, name):
    return ok(re.search(pattern, got, re.M), name, f'got:    {got!r}', f'wanted: {pattern}')


def unlike(got, pattern, name):
    return ok(not re.search(pattern, got, re.M), name, f'got:    {got!r}', f'unwanted: {pattern}')


def wait_for(condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


superuser = psycopg.connect(os.environ['ICO_SUPERUSER'], autocommit=True)


def sql(text, *values):
    cursor = superuser.execute(text, values or None)
    return cursor.fetchall() if cursor.description else []


def one(text, *values):
    return sql(text, *values)[0][0]


class Program:
    """incomplete-orders with those arguments; what it writes is in self.log."""

    def __init__(self, *arguments, environment=None):
        self.log = ''
        settings = dict(os.environ, **({'PGUSER': os.environ['ICO_TRUSTED_USER']} | (environment or {})))
        self.process = subprocess.Popen(['incomplete-orders', *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=settings, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.log += line

    def said(self, pattern):
        wait_for(lambda: re.search(pattern, self.log, re.M) or self.process.poll() is not None)
        found = re.search(pattern, self.log, re.M)
        if found is None:
            raise RuntimeError(f'{pattern} was not said, but: {self.log}')
        return found

    def end(self, number=signal.SIGTERM):
        """Its exit code."""
        if self.process.poll() is None and number is not None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = 'killed'
        self.reader.join(PATIENCE)
        self.process.stderr.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Server(Program):
    def __init__(self, *arguments, environment=None):
        super().__init__('serve', '--listen=127.0.0.1:0', *arguments, environment=environment)
        self.host, self.port = self.said(r'event=start .*listen=(\S+):(\d+)').groups()
        self.port = int(self.port)

    def connect(self):
        return socket.create_connection((self.host, self.port), PATIENCE)

    def ask(self, method, path, body=None, headers=None, login='ann:secret', connection=None):
        """An Answer; a path without a slash in front is below the API's root."""
        own = connection or http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        headers = dict(headers or {})
        if login is not None and 'Authorization' not in headers:
            headers['Authorization'] = 'Basic ' + base64.b64encode(login.encode()).decode()
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault('Content-Type', 'application/json')
        own.request(method, path if path.startswith('/') else ROOT + path, body, headers)
        answer = Answer(own.getresponse())
        if connection is None:
            own.close()
        return answer

    def get(self, path, **more):
        return self.ask('GET', path, **more)

    def raw(self, data, patience=PATIENCE):
        """Everything that comes back until the connection ends, or is silent for so long."""
        got = b''
        with self.connect() as connection:
            connection.settimeout(patience)
            try:
                connection.sendall(data)
                while piece := connection.recv(65536):
                    got += piece
            except (TimeoutError, ConnectionError):
                pass
        return got


class Answer:
    seen = []

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()
        self.type = response.headers.get('Content-Type')
        Answer.seen.append(self)

    @property
    def json(self):
        return json.loads(self.text)

    def problem(self, status, name, detail=None, type=None):
        """Is it a problem document as it should be?"""
        good = self.status == status and self.type == 'application/problem+json'
        document = self.json if good else {}
        good = good and document['status'] == status and document['title'] and document['type'] == (type or document['type'])
        good = good and (detail is None or re.search(detail, document.get('detail', '')))
        return ok(good, name, self.status, self.type, self.text)


def is_quiet(text):
    """Nothing of the server's own words."""
    return not re.search(r'SELECT|pg_catalog|incomplete_orders\.|CONTEXT|LINE \d|PL/pgSQL|relation "|function |\.c:\d', text)


LIST = 'incomplete-orders/'


def basic(raw):
    return {'Authorization': 'Basic ' + base64.b64encode(raw).decode()}


def hold(table):
    """Nobody reads that table until the connection is closed."""
    holder = psycopg.connect(os.environ['ICO_SUPERUSER'])
    holder.execute(f'LOCK TABLE incomplete_orders.{table} IN ACCESS EXCLUSIVE MODE')
    return holder


def staff_connections(role):
    return one("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", role)
