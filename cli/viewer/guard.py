"""Which requests are answered: those of the page that was handed out, and no others."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus

MOST_BODY = 4096  # bytes: a request of the page has about 300
_LENGTH = re.compile(r"[0-9]{1,6}", re.ASCII)


class Refused(Exception):
    """A request that is not answered; its status is all that is said."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True)
class Guard:
    """What is known of the requests of the page."""

    token: str
    port: int

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def endpoint(self, method: str, path: str, headers: Message, known: Mapping[str, Sequence[str]]) -> str:
        """The endpoint that is asked for, by its name; `known` has those of each method.

        Nothing of the path is decoded or resolved: it is one of a few, or it is refused.
        """
        host = self._only(headers, "Host", HTTPStatus.MISDIRECTED_REQUEST)
        if host not in (f"127.0.0.1:{self.port}", f"localhost:{self.port}"):
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST)  # a name that was made to lead here, too
        slash, _, rest = path.partition("/")
        token, slash, name = rest.partition("/")
        whole = hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())
        if not whole or not slash or path[:1] != "/":
            raise Refused(HTTPStatus.NOT_FOUND)
        self._check_origin(headers, host, page=method == "GET" and name == "")
        if name not in known.get(method, ()):
            raise Refused(HTTPStatus.NOT_FOUND)
        return name

    def _check_origin(self, headers: Message, host: str, *, page: bool) -> None:
        """Refuse what another page makes a browser send; not that somebody goes to the page itself."""
        origins = headers.get_all("Origin") or []
        if any(origin != f"http://{host}" for origin in origins) or len(origins) > 1:
            raise Refused(HTTPStatus.FORBIDDEN)
        allowed = ["same-origin", "none"]
        if (
            page
            and headers.get("Sec-Fetch-Mode") == "navigate"
            and headers.get("Sec-Fetch-Dest") == "document"
        ):
            allowed += ["same-site", "cross-site"]
        if any(site not in allowed for site in headers.get_all("Sec-Fetch-Site") or []):
            raise Refused(HTTPStatus.FORBIDDEN)

    def body_length(self, headers: Message) -> int:
        """How many bytes of JSON follow."""
        if headers.get("Transfer-Encoding") is not None:
            raise Refused(HTTPStatus.LENGTH_REQUIRED)
        if self._only(headers, "Content-Type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE) != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        length = self._only(headers, "Content-Length", HTTPStatus.LENGTH_REQUIRED)
        if not _LENGTH.fullmatch(length):
            raise Refused(HTTPStatus.BAD_REQUEST)
        if int(length) > MOST_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return int(length)

    @staticmethod
    def _only(headers: Message, name: str, otherwise: HTTPStatus) -> str:
        found = headers.get_all(name) or []
        if len(found) != 1:
            raise Refused(otherwise)
        return str(found[0])
