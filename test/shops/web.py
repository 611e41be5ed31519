"""A customer's browser, as little of it as a shop's API needs: JSON over HTTP on 127.0.0.1."""

import http.client
import json
import time

spent = []          # (what, seconds) of every request that writes, for the cost of the triggers


class Refused(Exception):
    """The shop answered with an error."""

    def __init__(self, what, status, body):
        super().__init__(f"{what}: {status} {body[:600]}")
        self.status = status
        self.body = body


class Browser:
    """One connection; remembers nothing but what its owner puts into headers."""

    def __init__(self, port):
        self.port = port
        self.headers = {"Content-Type": "application/json"}
        self.connection = None

    def call(self, method, path, body=None, keep=None):
        """The answer's JSON; keep(headers) sees its headers. An idle connection that the server has closed is made anew."""
        data = None if body is None else json.dumps(body)
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            fresh = self.connection.sock is None
            began = time.monotonic()
            try:
                self.connection.request(method, path, data, self.headers)
                answer = self.connection.getresponse()
                text = answer.read().decode()
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()
                if fresh or attempt == 2:
                    raise
        spent.append((f"{method} {path}", time.monotonic() - began))
        if answer.status >= 400:
            raise Refused(f"{method} {path}", answer.status, text)
        if keep:
            keep(answer.headers)
        return json.loads(text) if text else None

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
