"""``nlmeans view`` under attack: nobody gets in, nothing is written, and the page is served as before.

One real program with a picture in a folder of its own; what is attacked is its socket.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..faults import files

PROGRAM = (sys.executable, "-c", "import sys; from nlmeans.cli import main; sys.exit(main())")


@dataclass
class Viewed:
    """A running program."""

    process: subprocess.Popen[str]
    port: int
    token: str
    folder: Path

    def say(self, request: bytes, patience: float = 10.0) -> bytes:
        """All that comes back until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), patience) as connection:
            found = b""
            with contextlib.suppress(OSError):
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(65536):
                    found += part
            return found

    def request(self, line: str, *headers: str, body: bytes = b"") -> bytes:
        text = (
            "\r\n".join((line, *headers, "", "")).replace("TOKEN", self.token).replace("PORT", str(self.port))
        )
        return text.encode("latin-1") + body

    def ask(self, name: str, **told: Any) -> tuple[int, dict[str, Any]]:
        """As the page does; status, and what is told."""
        body = json.dumps({"picture": 0, **told}).encode()
        head = (HOST, JSON, f"Content-Length: {len(body)}", "Connection: close")
        answer = self.say(self.request(f"POST /TOKEN/{name} HTTP/1.1", *head, body=body))
        start, _, content = answer.partition(b"\r\n\r\n")
        length = int.from_bytes(content[:4], "big")
        return int(start.split()[1]), json.loads(content[4 : 4 + length] or b"{}")

    def listing(self) -> list[tuple[str, str]]:
        """What lies around the program, with contents."""
        found = [p for p in self.folder.parent.rglob("*") if p.is_file()]
        return sorted((str(p), hashlib.sha256(p.read_bytes()).hexdigest()) for p in found)

    def is_up(self) -> bool:
        """Whether the page is there, and a piece is denoised."""
        page = self.say(self.request("GET /TOKEN/ HTTP/1.1", HOST, "Connection: close"))
        return page.startswith(b"HTTP/1.1 200 ") and self.ask("crop", **CROP)[0] == 200


HOST = "Host: 127.0.0.1:PORT"
JSON = "Content-Type: application/json"
WISH = {"method": "nlmeans", "strength": 1, "differences": 1, "blend": 0, "sigma": 9}
CROP: dict[str, Any] = {"left": 0, "top": 0, "width": 30, "height": 20, "side": "clean", "wish": WISH}


def hearing_interrupts() -> None:
    """A background job of a shell is started deaf to them, and so would be what the tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def started(folder: Path, *more: str) -> Iterator[Viewed]:
    """The program, once its picture has been read."""
    with subprocess.Popen(
        [*PROGRAM, "view", "a.png", "--no-browser", *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hearing_interrupts,
    ) as process:
        try:
            assert process.stdout is not None
            address = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]{32})/\n", process.stdout.readline())
            assert address, process.stderr and process.stderr.read()
            viewed = Viewed(process, int(address[1]), address[2], folder)
            end = time.monotonic() + 20
            while viewed.ask("crop", **CROP)[0] != 200:
                assert time.monotonic() < end
                time.sleep(0.05)
            yield viewed
        finally:
            process.kill()


def interrupted(viewed: Viewed) -> int:
    """The exit code after Ctrl-C."""
    viewed.process.send_signal(signal.SIGINT)
    return viewed.process.wait(15)


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewed]:
    folder = tmp_path_factory.mktemp("outside") / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(files.png(files.samples("u1", 3, (40, 60))))
    (folder.parent / "secret.txt").write_text("secret")
    with started(folder) as viewed:
        yield viewed
        assert interrupted(viewed) == 0


GET = "GET /TOKEN/ HTTP/1.1"
POST = "POST /TOKEN/save HTTP/1.1"
BODY = json.dumps({"picture": 0, "wish": WISH}).encode()
LENGTH = f"Content-Length: {len(BODY)}"
#: Name: request line, headers, body.  None may be answered with a page, a picture, or anything but a status.
ATTACKS: dict[str, tuple[str, tuple[str, ...], bytes]] = {
    # names that lead here: DNS rebinding
    "foreign host": (GET, ("Host: evil.example",), b""),
    "foreign host with the port": (GET, ("Host: evil.example:PORT",), b""),
    "host that begins right": (GET, ("Host: 127.0.0.1:PORT.evil.example",), b""),
    "host without the port": (GET, ("Host: 127.0.0.1",), b""),
    "another port": (GET, ("Host: 127.0.0.1:1",), b""),
    "another address of this machine": (GET, ("Host: 127.0.0.2:PORT",), b""),
    "all addresses": (GET, ("Host: 0.0.0.0:PORT",), b""),
    "IPv6": (GET, ("Host: [::1]:PORT",), b""),
    "no host": (GET, (), b""),
    "two hosts": (GET, (HOST, "Host: evil.example"), b""),
    "host with a user": (GET, ("Host: x@127.0.0.1:PORT",), b""),
    "host in the address": ("GET http://evil.example/TOKEN/ HTTP/1.1", (HOST,), b""),
    # tokens
    "no token": ("GET / HTTP/1.1", (HOST,), b""),
    "an empty token": ("GET // HTTP/1.1", (HOST,), b""),
    "a wrong token": (f"GET /{'A' * 32}/ HTTP/1.1", (HOST,), b""),
    "token and more": ("GET /TOKENx/ HTTP/1.1", (HOST,), b""),
    "token without the end": ("GET /TOKEN HTTP/1.1", (HOST,), b""),
    "token as a question": ("GET /?TOKEN/ HTTP/1.1", (HOST,), b""),
    "token with letters beyond ASCII": ("GET /\xe9\xff/ HTTP/1.1", (HOST,), b""),
    "token in a cookie": ("GET / HTTP/1.1", (HOST, "Cookie: token=TOKEN"), b""),
    # other pages
    "another origin": (POST, (HOST, JSON, LENGTH, "Origin: http://evil.example"), BODY),
    "the null origin": (POST, (HOST, JSON, LENGTH, "Origin: null"), BODY),
    "another port's origin": (POST, (HOST, JSON, LENGTH, "Origin: http://127.0.0.1:1"), BODY),
    "HTTPS origin": (POST, (HOST, JSON, LENGTH, "Origin: https://127.0.0.1:PORT"), BODY),
    "localhost's origin for the other name": (
        POST,
        (HOST, JSON, LENGTH, "Origin: http://localhost:PORT"),
        BODY,
    ),
    "two origins": (
        POST,
        (HOST, JSON, LENGTH, "Origin: http://127.0.0.1:PORT", "Origin: http://evil.example"),
        BODY,
    ),
    "a picture within another page": (
        GET,
        (HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"),
        b"",
    ),
    "a frame in another page": (
        GET,
        (HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
        b"",
    ),
    "a form of another page": (POST, (HOST, LENGTH, "Content-Type: text/plain"), BODY),
    "a form without a type": (POST, (HOST, LENGTH), BODY),
    "another page's question": ("OPTIONS /TOKEN/save HTTP/1.1", (HOST, "Origin: http://evil.example"), b""),
    # names of files
    "a parent folder": ("GET /TOKEN/../secret.txt HTTP/1.1", (HOST,), b""),
    "an encoded parent folder": ("GET /TOKEN/%2e%2e/secret.txt HTTP/1.1", (HOST,), b""),
    "an encoded slash": ("GET /TOKEN/..%2fsecret.txt HTTP/1.1", (HOST,), b""),
    "a parent of the root": ("GET /../../../../etc/passwd HTTP/1.1", (HOST,), b""),
    "a file by its name": ("GET /TOKEN/a.png HTTP/1.1", (HOST,), b""),
    "an absolute path": ("GET /TOKEN//etc/passwd HTTP/1.1", (HOST,), b""),
    "a backslash": ("GET /TOKEN/..\\secret.txt HTTP/1.1", (HOST,), b""),
    "a zero byte": ("GET /TOKEN/\0 HTTP/1.1", (HOST,), b""),
    "a question after the name": ("GET /TOKEN/?file=secret.txt HTTP/1.1", (HOST,), b""),
    # other methods
    "PUT": ("PUT /TOKEN/a.png HTTP/1.1", (HOST, LENGTH), BODY),
    "DELETE": ("DELETE /TOKEN/a.png HTTP/1.1", (HOST,), b""),
    "save by a link": ("GET /TOKEN/save HTTP/1.1", (HOST,), b""),
    "HEAD": ("HEAD /TOKEN/ HTTP/1.1", (HOST,), b""),
    "CONNECT": ("CONNECT evil.example:443 HTTP/1.1", (HOST,), b""),
    "TRACE": ("TRACE /TOKEN/ HTTP/1.1", (HOST,), b""),
    # bodies
    "a giant upload": (POST, (HOST, JSON, "Content-Length: 10000000000"), b"x" * 100_000),
    "a body of a megabyte": (POST, (HOST, JSON, "Content-Length: 1048576"), b"x" * 1_048_576),
    "no length": (POST, (HOST, JSON), BODY),
    "a negative length": (POST, (HOST, JSON, "Content-Length: -1"), BODY),
    "two lengths": (POST, (HOST, JSON, LENGTH, "Content-Length: 5"), BODY),
    "a length with a plus": (POST, (HOST, JSON, "Content-Length: +20"), BODY),
    "chunks": (POST, (HOST, JSON, "Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\n\r\n"),
    "length and chunks": (POST, (HOST, JSON, LENGTH, "Transfer-Encoding: chunked"), BODY),
    "no JSON": (POST, (HOST, JSON, "Content-Length: 5"), b"hello"),
    "a list": (POST, (HOST, JSON, "Content-Length: 2"), b"[]"),
    "deep JSON": (POST, (HOST, JSON, "Content-Length: 4000"), b"[" * 4000),
    "half a body": (POST, (HOST, JSON, "Content-Length: 500"), BODY),
    # lines
    "no HTTP": ("hello", (), b""),
    "a binary greeting": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (), b""),
    "HTTP/2": ("PRI * HTTP/2.0", ("", "SM"), b""),
    "a line of 100 kB": ("GET /" + "a" * 100_000 + " HTTP/1.1", (HOST,), b""),
    "a header of 100 kB": (GET, (HOST, "X: " + "a" * 100_000), b""),
    "a thousand headers": (GET, (HOST, *(f"X{n}: 1" for n in range(1000))), b""),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gets_a_status_and_nothing_else(viewed: Viewed, name: str) -> None:
    before = viewed.listing()
    line, headers, body = ATTACKS[name]
    answer = viewed.say(viewed.request(line, *headers, body=body))
    head, _, content = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d+) ", head)
    assert not answer or (status and 400 <= int(status[1]) < 600), head[:200]
    assert b"Access-Control" not in head
    assert content == b"", "an answer has words"
    assert viewed.token.encode() not in answer
    assert viewed.listing() == before
    assert viewed.is_up()


def test_there_are_forty_attacks() -> None:
    assert len(ATTACKS) >= 40


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("crop", CROP | {"width": 10**6, "height": 10**6}),
        ("crop", CROP | {"left": -1}),
        ("crop", CROP | {"left": 1.5}),
        ("crop", CROP | {"left": "0"}),
        ("crop", CROP | {"left": True}),
        ("crop", CROP | {"side": "../a.png"}),
        ("crop", CROP | {"picture": 1}),
        ("crop", CROP | {"picture": -1}),
        ("crop", CROP | {"wish": None}),
        ("crop", CROP | {"wish": WISH | {"strength": 1e400}}),
        ("crop", CROP | {"wish": WISH | {"strength": -1}}),
        ("crop", CROP | {"wish": WISH | {"blend": 2}}),
        ("crop", CROP | {"wish": WISH | {"method": "median"}}),
        ("crop", CROP | {"wish": WISH | {"output": "/tmp/x"}}),
        ("crop", CROP | {"wish": WISH | {"guide": "/etc/passwd"}}),
        ("open", {"picture": 7}),
        ("open", {"picture": "../secret.txt"}),
        ("weights", {"x": -1, "y": 0}),
        ("whole", {"wish": WISH, "key": 5}),
        ("whole", {"wish": WISH, "key": "x" * 2000}),
        ("save", {"wish": WISH | {"sigma": "1; rm -rf /"}}),
    ],
)
def test_nonsense_of_the_page_is_refused_in_words(viewed: Viewed, name: str, told: dict[str, Any]) -> None:
    before = viewed.listing()
    status, answer = viewed.ask(name, **told)
    assert status == 400
    assert answer["error"]
    assert viewed.listing() == before
    assert viewed.is_up()


def test_slow_clients_do_not_hold_it(viewed: Viewed) -> None:
    """A hundred that send nothing, or a byte now and then, or take nothing of their answer."""
    slow = []
    for n in range(100):
        connection = socket.create_connection(("127.0.0.1", viewed.port), 10)
        slow.append(connection)
        with contextlib.suppress(OSError):
            connection.sendall((b"", b"GET /", viewed.request("GET /TOKEN/ HTTP/1.1"))[n % 3])
    assert viewed.is_up()
    end, dripping = time.monotonic() + 15, slow[-2]
    while time.monotonic() < end:  # a byte now and then does not lengthen the time there is to ask
        try:
            dripping.sendall(b"a")
            dripping.settimeout(0.2)
            if dripping.recv(1) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        raise AssertionError("a slow client is still there")
    assert viewed.is_up()
    for connection in slow:
        connection.close()


def test_only_this_machine_is_listened_to(viewed: Viewed) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.2", viewed.port))  # it would be taken, were all addresses


def test_the_page_says_what_may_be_loaded(viewed: Viewed) -> None:
    answer = viewed.say(viewed.request(GET, HOST, "Connection: close")).decode()
    head, _, page = answer.partition("\r\n\r\n")
    policy = re.search(r"Content-Security-Policy: (.*)", head)
    assert policy
    assert "unsafe" not in policy[1]
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"):
        assert rule in policy[1]
    for header in (
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
    ):
        assert header in head
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:|//)", page)


def test_the_command_has_no_strength_of_differences_that_there_are_not(folder: Path) -> None:
    with started(folder) as viewed:
        _, told = viewed.ask("crop", **CROP | {"wish": WISH | {"strength": 1.5}})
    assert told["command"] == "nlmeans denoise --strength 1.5 --sigma 9 a.png"


# --- ends, ports, and what cannot be viewed ----------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(files.png(files.samples("u1", 1, (40, 60))))
    return tmp_path


def view(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [*PROGRAM, "view", "--no-browser", *arguments], cwd=folder, capture_output=True, text=True, timeout=30
    )
    return done.returncode, done.stderr


def test_a_port_that_is_taken_is_told(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, words = view(folder, "a.png", "--port", str(other.getsockname()[1]))
    assert code == 2
    assert "cannot be taken" in words
    assert "--port" in words


@pytest.mark.parametrize(
    ("name", "words"),
    [(".", "is a folder"), ("a.mkv", "is a film"), ("-", "name files"), ("none.png", "no such file")],
)
def test_what_cannot_be_viewed_is_refused(folder: Path, name: str, words: str) -> None:
    (folder / "a.mkv").write_bytes(b"\x1aE\xdf\xa3" + bytes(400))
    code, told = view(folder, name)
    assert code in (1, 2)
    assert words in told
    assert len(told.splitlines()) == 1


def test_it_ends_with_its_page_and_not_when_that_is_loaded_anew(folder: Path) -> None:
    def listens() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", viewed.port), 10)
        connection.sendall(viewed.request("GET /TOKEN/events HTTP/1.1", HOST))
        found = b""
        while b"data: " not in found:
            found += connection.recv(65536)
        return connection

    with started(folder) as viewed:
        listens().close()
        time.sleep(1)
        with listens():  # loaded anew
            time.sleep(6)
            assert viewed.process.poll() is None
        assert viewed.process.wait(15) == 0
    assert os.listdir(folder) == ["a.png"]


def test_a_page_that_is_closed_in_the_middle_leaves_nothing_behind(folder: Path) -> None:
    (folder / "a.png").write_bytes(files.png(files.samples("u1", 3, (700, 700))))
    with started(folder) as viewed:
        status, _ = viewed.ask("save", wish=WISH | {"method": "nlridge"})
        assert status == 200
        status, told = viewed.ask("save", wish=WISH)
        assert status == 400
        assert "being computed" in told["error"]
        assert interrupted(viewed) == 0
    assert os.listdir(folder) == ["a.png"]
