"""What the page asks for, and the pictures behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from nlmeans.errors import NLMeansError
from nlmeans.parameters import BY_GROUPS

from ..environment import printable
from ..formats.limits import Limits
from ..job import Job
from ..outcome import one_line
from ..progress import Progress
from ..status import CommandError, UsageError
from ..views.page import bmp
from .picture import Opened
from .server import Answer, Reply, packed
from .wish import Wish, whole
from .work import Cancelled, State, Work, silent

_MOST_PIXELS = 4_000_000  # of a piece; the page asks for a quarter of it
_LARGEST = 2**31 - 1
Save = Callable[[str, Job, Progress], str]  #: writes a result as the command line does; gives words for it
Spell = Callable[[str, Wish], str]  #: the command line that does the same


@dataclass
class Session:
    """Everything that is known while the page is open."""

    names: Sequence[str]
    job: Job
    page: int
    limits: Limits
    save_as: Save
    spelled: Spell
    target: Callable[[str], str]  # what the result of a picture will be called
    state: State = field(default_factory=State)
    picture: Opened | None = None
    number: int = 0  # of the picture
    asked: int = 0  # pieces; an older one is not wanted any more
    computing: threading.Lock = field(default_factory=threading.Lock)  # one thing at a time calls the library

    def __post_init__(self) -> None:
        self.work = Work(self.state)

    @property
    def answers(self) -> dict[str, Answer]:
        """What can be asked, by name."""
        asked: dict[str, Answer] = {
            "open": self._open,
            "crop": self._crop,
            "overview": self._overview,
            "removed": self._removed,
            "weights": self._weights,
            "whole": self._whole,
            "save": self._save,
            "cancel": self._cancel,
        }
        return {name: _told(answer) for name, answer in asked.items()}

    # --- opening ---

    def open(self, number: int) -> None:
        """Read a picture in a thread of its own."""
        self.number, self.picture = number, None
        name = printable(self.names[number])
        self.state.tell(
            phase="reading",
            picture=number,
            title=name,
            warnings=[],
            whole="",
            work=None,
            done=self.work.count,
        )
        threading.Thread(target=self._read, args=(number,), daemon=True).start()

    def _read(self, number: int) -> None:
        try:
            with self.computing:
                if number != self.number:
                    return
                piped = silent().binary_in
                picture = Opened.of(self.job, self.names[number], self.page, self.limits, piped)
                picture.base(self._first_wish())
        except BaseException as error:
            self.state.tell(phase="failed", error=one_line(error))
            return
        if number != self.number:
            return
        self.picture = picture
        self.state.tell(
            phase="ready",
            width=picture.width,
            height=picture.height,
            summary=picture.layout.words,
            warnings=picture.warnings,
            target=printable(self.target(picture.name)),
        )

    def _first_wish(self) -> Wish:
        return Wish(str(self.job.options.settings.get("method", "nlmeans")))

    def _open(self, told: dict[str, Any]) -> Reply:
        number = whole(told.get("picture"), 0, len(self.names) - 1)
        self.work.cancel()
        self.open(number)
        return packed({})

    # --- questions ---

    def _ready(self, told: dict[str, Any]) -> Opened:
        picture = self.picture
        if picture is None or told.get("picture") != self.number:
            raise UsageError("another picture is being read")
        return picture

    def _crop(self, told: dict[str, Any]) -> Reply:
        picture, wish, side = self._ready(told), Wish.of(told.get("wish")), _side(told)
        left, top, width, height = (
            whole(told.get(name), least, _LARGEST)
            for name, least in (("left", 0), ("top", 0), ("width", 1), ("height", 1))
        )
        if width * height > _MOST_PIXELS:
            raise UsageError("so large a piece is not denoised at once")
        self.asked += 1
        number = self.asked

        def tick(_: float) -> None:
            if number != self.asked or picture is not self.picture:
                raise Cancelled

        tick(0)
        with self.computing:
            tick(0)
            piece = picture.piece(picture.region(left, top, width, height), wish, tick)
            facts = picture.facts(piece)
        facts["command"] = self.spelled(picture.name, wish)
        shown = [picture.seen(piece.clean) if side == "clean" else picture.removed(piece.noisy, piece.clean)]
        if told.get("known") is not True:
            shown.append(picture.seen(piece.noisy))
        return packed(facts, *map(bmp, shown))

    def _overview(self, told: dict[str, Any]) -> Reply:
        picture, wish = self._ready(told), Wish.of(told.get("wish"))
        return packed({}, bmp(picture.overview(_side(told, "noisy"), wish)))

    def _removed(self, told: dict[str, Any]) -> Reply:
        picture = self._ready(told)
        piece = picture.last
        return packed({} if piece is None else picture.removal(piece))

    def _weights(self, told: dict[str, Any]) -> Reply:
        picture = self._ready(told)
        x, y = (whole(told.get(name), 0, _LARGEST) for name in ("x", "y"))
        piece = picture.last
        if piece is None or piece.chosen.method in BY_GROUPS:
            return packed({"marked": None})
        with self.computing:
            return packed({"marked": picture.weights(piece, x, y)})

    # --- what takes long ---

    def _whole(self, told: dict[str, Any]) -> Reply:
        picture, wish, key = self._ready(told), Wish.of(told.get("wish")), told.get("key")
        if not isinstance(key, str) or len(key) > 1000:
            raise UsageError("the key is a short text")

        def act(progress: Progress) -> str:
            with self.computing:
                picture.all_of(wish, progress)
            self.state.tell(whole=key)
            return "The whole picture is denoised"

        self.work.begin("whole", "Denoising the whole picture", act)
        return packed({})

    def _save(self, told: dict[str, Any]) -> Reply:
        picture, wish = self._ready(told), Wish.of(told.get("wish"))

        def act(progress: Progress) -> str:
            with self.computing:
                job = self.job.with_options(wish.within(self.job.options, whole=True))
                return self.save_as(picture.name, job, progress)

        self.work.begin("save", "Saving", act)
        return packed({})

    def _cancel(self, told: dict[str, Any]) -> Reply:
        self.work.cancel()
        return packed({})


def _side(told: dict[str, Any], *more: str) -> str:
    side = told.get("side")
    if side not in ("clean", "removed", *more):
        raise UsageError("a side is clean or removed")
    return str(side)


def _told(answer: Answer) -> Answer:
    """The same with what is wrong as words for the page."""

    def answered(told: dict[str, Any]) -> Reply:
        try:
            return answer(told)
        except Cancelled:
            return packed({"cancelled": True})
        except UsageError as error:
            return packed({"error": one_line(error)}, status=HTTPStatus.BAD_REQUEST)
        except (CommandError, NLMeansError, MemoryError) as error:
            return packed({"error": one_line(error)}, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        except Exception as error:
            return packed({"error": one_line(error)}, status=HTTPStatus.INTERNAL_SERVER_ERROR)

    return answered
