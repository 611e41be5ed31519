#!/usr/bin/python3
"""A mail server for tests: writes down what it accepts, and stops where a test wants it to.

    mail_server.py PORT LOG [FOLDER]

It listens on 127.0.0.1.  Each mail that it accepts is one JSON line appended to LOG before it is
answered ({"mail": Message-ID, "at", "to", "sha256", "bytes"}), and one once the 250 is written
({"answered": Message-ID, "at"}).  With FOLDER the mails are kept there: 1.eml, 2.eml, ...

Commands on stdin, answers on stdout, a line each:

    hold    "holding" is printed; the next mail is accepted, "held MESSAGE-ID" printed, and its 250 waits
    go      the 250 is written, then "answered MESSAGE-ID" is printed

What becomes of a mail is told by how its recipient begins:

    nouser  no such user: RCPT is refused for good, 550 5.1.1
    busy    RCPT is refused the first time, 451 4.7.1
    cut     the connection ends behind the body the first time, nothing is accepted
    lost    the mail is accepted, and the connection ends without an answer the first time
"""
import asyncio
import email.parser
import hashlib
import json
import os
import sys
import time

from aiosmtpd.smtp import SMTP


class Server:
    def __init__(self, log, folder):
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.folder = folder
        self.seen = set()
        self.count = 0
        self.hold = False
        self.go = asyncio.Event()

    def write(self, **what):
        # One write: whoever kills us finds whole lines.
        os.write(self.log, (json.dumps({"at": time.time(), **what}) + "\n").encode())

    def first_time(self, recipient, kind):
        if not recipient.startswith(kind) or recipient in self.seen:
            return False
        self.seen.add(recipient)
        return True

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nouser"):
            return "550 5.1.1 no such user"
        if self.first_time(address, "busy"):
            return "451 4.7.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        recipient = envelope.rcpt_tos[0]
        if self.first_time(recipient, "cut"):
            server.transport.abort()
            return "421 4.3.0 gone"
        content = envelope.original_content
        message_id = email.parser.BytesHeaderParser().parsebytes(content)["Message-ID"]
        self.count += 1
        if self.folder:
            with open(f"{self.folder}/{self.count}.eml", "wb") as file:
                file.write(content)
        self.write(mail=message_id, to=recipient, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        if self.first_time(recipient, "lost"):
            server.transport.abort()
            return "421 4.3.0 gone"
        held = self.hold
        if held:
            self.hold = False
            self.go.clear()
            print("held", message_id, flush=True)
            await self.go.wait()
        server.answering = (message_id, held)
        return "250 2.0.0 accepted"


class Session(SMTP):
    answering = None

    async def push(self, status):
        await super().push(status)
        if self.answering:
            (message_id, held), self.answering = self.answering, None
            self.event_handler.write(answered=message_id)
            if held:
                print("answered", message_id, flush=True)


async def end_with(parent):
    # Others may have inherited the other end of our stdin.
    while os.getppid() == parent:
        await asyncio.sleep(1)
    os._exit(0)


async def main(port, log, folder=None):
    loop = asyncio.get_running_loop()
    server = Server(log, folder)
    await loop.create_server(
        lambda: Session(server, hostname="mail.example", ident="test", loop=loop, data_size_limit=10_000_000, timeout=3600),
        "127.0.0.1", port, reuse_address=True)
    orphaned = loop.create_task(end_with(os.getppid()))
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print("ready", flush=True)
    while command := await commands.readline():
        if command == b"hold\n":
            server.hold = True
            print("holding", flush=True)
        elif command == b"go\n":
            server.go.set()
    orphaned.cancel()


asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
