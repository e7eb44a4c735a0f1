"""Broken copies of valid files."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator

_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(seeds: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` copies of the seeds in turn, each damaged in one to four ways."""
    source = random.Random(seed)
    for n in range(count):
        data = bytearray(seeds[n % len(seeds)])
        for _ in range(source.choice((1, 1, 2, 4))):
            _damage(data, source, seeds)
        yield _with_checksums(data) if n % 4 else bytes(data)


def _with_checksums(data: bytearray) -> bytes:
    """A PNG file with its checksums made right again, so that the damage reaches the decoder."""
    at = 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


def _damage(data: bytearray, source: random.Random, seeds: list[bytes]) -> None:
    """One bit, byte, number, cut, repeat or splice."""
    if not data:
        return
    way, at = source.randrange(7), source.randrange(len(data))
    if source.random() < 0.6:
        at = source.randrange(min(len(data), 128))  # headers are where it hurts
    if way == 0:
        data[at] ^= 1 << source.randrange(8)
    elif way == 1:
        data[at] = source.randrange(256)
    elif way in (2, 3):
        number = struct.pack(source.choice("<>") + "I", source.choice(_INTERESTING))
        data[at : at + 4] = number[: max(0, len(data) - at)]
    elif way == 4:
        del data[at:]
    elif way == 5:
        length = source.randrange(1, 33)
        data[at:at] = data[at : at + length]
    else:
        other = source.choice(seeds)
        start = source.randrange(len(other))
        data[at : at + 16] = other[start : start + 16]
