"""What the tests of `incomplete-orders send` share: the program, the stand-in for
the queue (queue.sql), mail servers that do as they are told.

A test prints lines of TAP without numbers; python_tests() of Sidecar.pm counts them.
"""
import email
import email.policy
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import psycopg

PATIENCE = 60
temp = tempfile.mkdtemp(prefix='send-')


def say(line):
    print(line, flush=True)


def ok(condition, name, *details):
    say(('ok - ' if condition else 'not ok - ') + name)
    if not condition:
        for detail in details:
            for line in str(detail).splitlines():
                say('# ' + line[:2000])
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


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


# ---- the queue ----

_connection = None


def sql(text, *values):
    """Rows of the answer; also after the server was started again."""
    global _connection
    for again in (True, False):
        try:
            if _connection is None:
                _connection = psycopg.connect('', autocommit=True)
            cursor = _connection.execute(text, values or None)
            return cursor.fetchall() if cursor.description else None
        except psycopg.OperationalError:
            _connection = None
            if not again:
                raise


def one(text, *values):
    return sql(text, *values)[0][0]


def empty_queue():
    sql('TRUNCATE incomplete_orders.queue, incomplete_orders.claims')


def enqueue(recipient='jane@example.com', of_shop='default', **changes):
    return str(one('SELECT incomplete_orders._enqueue(%s, %s, %s)', recipient, json.dumps(changes), of_shop))


def state(message):
    """status, attempts, the calls for it, and what was said."""
    status, attempts, calls, response = sql(
        'SELECT status, attempts, calls, response FROM incomplete_orders.queue WHERE id = %s', message)[0]
    return status, attempts, ' '.join(calls), response or ''


def count(status):
    return one('SELECT count(*) FROM incomplete_orders.queue WHERE status = %s', status)


# ---- the program ----

def run(*arguments, **variables):
    """Its exit code, stdout and stderr."""
    done = subprocess.run(['incomplete-orders', 'send', *arguments], capture_output=True, text=True,
                          timeout=PATIENCE, env={**os.environ, **variables})
    return done.returncode, done.stdout, done.stderr


class Program:
    def __init__(self, *arguments, **variables):
        self.process = subprocess.Popen(['incomplete-orders', 'send', *arguments], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, env={**os.environ, **variables})
        self.err = ''
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stderr:
            self.err += line

    def stop(self, number=signal.SIGTERM):
        """Its exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = -1
        self.thread.join(PATIENCE)
        return code, time.monotonic() - began

    def awaits(self, pattern):
        return wait_for(lambda: re.search(pattern, self.err, re.M))


# ---- mails ----

def parse(data):
    return email.message_from_bytes(data, policy=email.policy.default)


def saved(message, *arguments):
    """What is made of one message: the bytes, and the mail as Python's own parser sees it."""
    folder = tempfile.mkdtemp(dir=temp)
    code, _, err = run('--once', '--save=' + folder, *arguments)
    if code != 0:
        say(f'# exit code {code}: {err}')
    path = os.path.join(folder, message + '.eml')
    if code != 0 or not os.path.exists(path):
        return b'', None
    with open(path, 'rb') as file:
        data = file.read()
    shutil.rmtree(folder)
    return data, parse(data)


def plain(mail):
    return mail.get_body(('plain',)).get_content().replace('\r\n', '\n')


def html(mail):
    return mail.get_body(('html',)).get_content()


# ---- mail servers ----

class Sink:
    """smtp-sink of postfix, which fails as it is told."""

    def __init__(self, *options, port=None):
        self.port = port or free_port()
        self.url = f'smtp://127.0.0.1:{self.port}'
        self.folder = tempfile.mkdtemp(dir=temp)
        self.process = subprocess.Popen(
            ['smtp-sink', '-d', self.folder + '/mail.', *options, f'127.0.0.1:{self.port}', '200'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers)

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(('127.0.0.1', self.port)) == 0

    def mails(self):
        found = []
        for name in sorted(os.listdir(self.folder)):
            with open(os.path.join(self.folder, name), 'rb') as file:
                found.append(file.read())
        return found

    def close(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def finish():
    shutil.rmtree(temp, ignore_errors=True)
    say('done')
    sys.stdout.flush()
