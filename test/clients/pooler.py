"""A pgbouncer in transaction mode for these tests: many clients on few connections."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

PLACES = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Pooler:
    """with Pooler({role: password}, connections=1) as port: ... It listens on 127.0.0.1."""

    program = shutil.which("pgbouncer", path=PLACES)

    def __init__(self, users, connections=1):
        self.users = users
        self.connections = connections

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        folder, port = Path(self.folder.name), free_port()
        (folder / "users").write_text("".join(f'"{name}" "{word}"\n' for name, word in self.users.items()))
        (folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={os.environ['PGPORT']} pool_size={self.connections}\n"
            "[pgbouncer]\n"
            "pool_mode = transaction\n"
            "listen_addr = 127.0.0.1\n"
            f"listen_port = {port}\n"
            "unix_socket_dir =\n"
            "auth_type = scram-sha-256\n"
            f"auth_file = {folder}/users\n"
            "ignore_startup_parameters = extra_float_digits\n"
        )
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen([self.program, str(folder / "pgbouncer.ini")], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self.wait(port)
        except BaseException:
            self.__exit__()
            raise
        return port

    def wait(self, port):
        name, word = next(iter(self.users.items()))
        for left in range(300, -1, -1):
            try:
                psycopg.connect(host="127.0.0.1", port=port, user=name, password=word, prepare_threshold=None).close()
                return
            except psycopg.OperationalError:
                if not left or self.process.poll() is not None:
                    self.log.seek(0)
                    raise RuntimeError("the pooler does not answer: " + self.log.read())
                time.sleep(0.1)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()
