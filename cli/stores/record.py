"""The JSON beside a store: what it is made from and how, so that a run goes on with the same or not."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..files import writing
from ..status import ExistsError, UnreadableError, UnwritableError

SCHEMA = 3
_WHAT = {
    "source": "another source, or another state of it",
    "version": "another version of nlmeans",
    "mask": "another --mask, or another state of it",
    "guide": "another --guide, or another state of it",
    "sigma_map": "another --sigma-map, or another state of it",
}


@dataclass(frozen=True)
class Record:
    """What was asked for and chosen, and whether all is done."""

    path: str
    data: dict[str, Any]

    @classmethod
    def beside(cls, store: str) -> str:
        """Its name."""
        return store.rstrip("/" + os.sep) + ".json"

    @classmethod
    def read(cls, store: str) -> Record | None:
        """That of a store, if it has one."""
        path = cls.beside(store)
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
            if data["schema"] != SCHEMA or not isinstance(data["chosen"], list):
                raise ValueError(f"schema {data['schema']}")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableError(f"{path} is no record of a store ({error}); move it away") from None
        return cls(path, data)

    @classmethod
    def begin(cls, store: str, asked: dict[str, Any], choose: Callable[[], list[Any]]) -> Record:
        """A new one, or that of the part that was quicker."""
        path = cls.beside(store)
        data = {"schema": SCHEMA, **asked, "chosen": choose(), "complete": False}
        temporary = _written(path, data)
        try:
            os.link(temporary, path)  # in one step, and never in place of another
        except FileExistsError:
            pass
        except OSError as error:
            raise UnwritableError(f"{path}: {error.strerror}") from None
        finally:
            os.unlink(temporary)
        found = cls.read(store)
        if found is None:
            raise UnwritableError(f"{path} was taken away")
        return found

    def check(self, asked: dict[str, Any]) -> None:
        """Refuse to go on with something else than what was begun."""
        for name, value in json.loads(json.dumps(asked)).items():
            begun: Any = self.data.get(name)
            if begun == value:
                continue
            if name in _WHAT:
                words = _WHAT[name]
            else:
                keys = [k for k in {**begun, **value} if begun.get(k) != value.get(k)]
                words = ", ".join(
                    f"{k} {begun.get(k, 'not given')} (now {value.get(k, 'not given')})" for k in keys
                )
            raise ExistsError(
                f"{self.path} says that this store was begun with {words}: finish it with the same, name "
                "another output, or give --overwrite to begin anew"
            )

    def fits(self, asked: dict[str, Any]) -> bool:
        """Whether that is what was begun."""
        return all(self.data.get(name) == value for name, value in json.loads(json.dumps(asked)).items())

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no other part is finishing this store at the same time, or has done so."""
        try:
            file = open(self.path, "rb")  # noqa: SIM115 - closed below
        except FileNotFoundError:
            yield False
            return
        with file:
            yield writing.locked(file.fileno()) is not False

    @property
    def complete(self) -> bool:
        """Whether every shard and resolution is there."""
        return bool(self.data["complete"])

    def finish(self) -> None:
        """All is there."""
        os.replace(_written(self.path, {**self.data, "complete": True}), self.path)


def _written(path: str, data: dict[str, Any]) -> str:
    """A file beside a path, on the disk, to be moved there."""
    temporary = f"{path}.{secrets.token_hex(8)}.partial"
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise UnwritableError(f"{path}: {error.strerror}") from None
    return temporary
