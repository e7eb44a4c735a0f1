"""A server for one page on this machine: few connections, none for long unless the page is at its end.

It ends when it is told to, and when the page has been closed.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from ..status import UsageError
from .guard import Guard, Refused

READING = 8.0  # seconds within which a request must have come, all of it
WRITING = 30.0  # seconds within which a reply must be taken, all of it
IDLE = 30.0  # seconds for which a connection waits for its next request
MOST_CONNECTIONS = 32  # a browser opens six, and some in advance
GRACE = (
    5.0  # seconds from the end of the last page to the server's: a page that is loaded anew is back by then
)
TICK = 0.25


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    content: bytes
    kind: str = "application/octet-stream"
    status: HTTPStatus = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)


def packed(told: dict[str, Any], *pictures: bytes, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """JSON, its length before it, and pictures behind it, whose lengths it holds."""
    text = json.dumps({**told, "lengths": [len(p) for p in pictures]}, allow_nan=False).encode()
    return Reply(b"".join((len(text).to_bytes(4, "big"), text, *pictures)), status=status)


Answer = Callable[[dict[str, Any]], Reply]


@dataclass
class Site:
    """What there is to ask for."""

    page: Reply
    answers: dict[str, Answer]  # to POST, by name
    states: Callable[[int], tuple[int, str] | None]  # the next after a number, waiting a little for it
    busy: Callable[[], bool]  # whether work goes on that a closed page must not end


class Server(socketserver.TCPServer):
    """Bound to this machine's own address."""

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, port: int, token: str) -> None:
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"port {port} of 127.0.0.1 cannot be taken: {getattr(error, 'strerror', None) or error}; "
                "leave out --port for a free one"
            ) from None
        self.timeout = TICK
        self.guard = Guard(token, self.server_address[1])
        self.site: Site | None = None
        self.stopping = False
        self.pages = 0  # that listen
        self.left = 0.0  # when the last of them went
        self.seen = False
        self.lock = threading.Lock()
        self.connections: dict[socket.socket, float] = {}  # and until when they may ask; 0: served

    def serve(self) -> None:
        """Answer until the page is closed."""
        while not self.stopping:
            self.handle_request()

    def finished(self) -> bool:
        """Whether the page was opened, and is closed for good."""
        assert self.site is not None
        with self.lock:
            gone = self.seen and self.pages == 0 and time.monotonic() - self.left > GRACE
        return gone and not self.site.busy()

    def handle_timeout(self) -> None:
        """Nothing has come for a while."""
        self._look_around()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Each connection has a thread of its own; where there are too many, the slowest to ask goes."""
        self._look_around()
        with self.lock:
            asking = {c: until for c, until in self.connections.items() if until}
            if len(self.connections) >= MOST_CONNECTIONS:
                if not asking:
                    self.shutdown_request(request)
                    return
                _cut(min(asking, key=lambda c: asking[c]))
            self.connections[request] = time.monotonic() + READING
        threading.Thread(target=self._converse, args=(request, client_address), daemon=True).start()

    def _converse(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except (OSError, ValueError):  # it was closed, or cut
            pass
        finally:
            with self.lock:
                self.connections.pop(request, None)
            self.shutdown_request(request)

    def _look_around(self) -> None:
        now = time.monotonic()
        with self.lock:
            late = [c for c, until in self.connections.items() if until and now > until]
        for connection in late:
            _cut(connection)
        if self.finished():
            self.stopping = True

    def allow(self, connection: socket.socket, seconds: float | None) -> None:
        """How long it may take to ask; None while it is served."""
        with self.lock:
            if connection in self.connections:
                self.connections[connection] = time.monotonic() + seconds if seconds else 0.0

    @contextlib.contextmanager
    def listening(self) -> Any:
        """While a page listens."""
        with self.lock:
            self.pages, self.seen = self.pages + 1, True
        try:
            yield
        finally:
            with self.lock:
                self.pages, self.left = self.pages - 1, time.monotonic()


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        """A page takes what it is sent."""
        super().setup()
        self.connection.settimeout(WRITING)

    def handle_one_request(self) -> None:
        """The time to ask begins with each request."""
        first = not getattr(self, "asked", False)
        self.asked = True
        self.server.allow(self.connection, READING if first else IDLE)
        super().handle_one_request()

    def parse_request(self) -> bool:
        """After the first line the rest must follow at once."""
        self.server.allow(self.connection, READING)
        return super().parse_request()

    def do_GET(self) -> None:
        """The page, and what happens."""
        self._guarded("GET")

    def do_POST(self) -> None:
        """A question of the page."""
        self._guarded("POST")

    def _guarded(self, method: str) -> None:
        site = self.server.site
        assert site is not None
        known = {"GET": ("", "events"), "POST": tuple(site.answers)}
        try:
            name = self.server.guard.endpoint(method, self.path, self.headers, known)
            if method == "POST":
                self._send(site.answers[name](self._body()))
            elif name:
                self._tell(site)
            else:
                self.server.allow(self.connection, None)
                self._send(site.page)
        except Refused as refused:
            self.close_connection = True
            self._send(Reply(b"", "text/plain", refused.status, {"Connection": "close"}))

    def _body(self) -> dict[str, Any]:
        length = self.server.guard.body_length(self.headers)
        content = self.rfile.read(length)
        self.server.allow(self.connection, None)
        try:
            if len(content) < length:
                raise ValueError
            found = json.loads(content)
        except (ValueError, RecursionError):
            raise Refused(HTTPStatus.BAD_REQUEST) from None
        if not isinstance(found, dict):
            raise Refused(HTTPStatus.BAD_REQUEST)
        return found

    def _send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        headers = {"Content-Type": reply.kind, "Content-Length": str(len(reply.content)), **reply.headers}
        for name, value in (_ALWAYS | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.content)

    def _tell(self, site: Site) -> None:
        """What happens, as it happens, for as long as somebody listens."""
        self.server.allow(self.connection, None)
        self.close_connection = True
        self.send_response_only(HTTPStatus.OK)
        for name, value in (_ALWAYS | {"Content-Type": "text/event-stream", "Connection": "close"}).items():
            self.send_header(name, value)
        self.end_headers()
        last = -1
        with self.server.listening():
            while not self.server.stopping and not self._gone():
                found = site.states(last)
                if found:
                    last, text = found
                    self.wfile.write(f"data: {text}\n\n".encode())

    def _gone(self) -> bool:
        """Whether the other side has closed; it has nothing to say otherwise."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself: no page, and none of what was sent."""
        self.close_connection = True
        self._send(Reply(b"", "text/plain", HTTPStatus(code), {"Connection": "close"}))

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing: the address has a secret in it."""


_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
