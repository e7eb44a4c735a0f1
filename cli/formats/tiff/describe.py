"""What the descriptions of OME, ImageJ and tifffile say of a file's pages and of its sibling files.

Text is looked through by patterns and never parsed as XML, which a hostile file could make explode.
"""

from __future__ import annotations

import html
import math
import re
import uuid
from collections.abc import Mapping, Sequence

from ...status import UnreadableError, UsageError

Coordinates = dict[str, int]  #: of one page: axis letter -> place along it


class ContradictionError(UnreadableError):
    """A description that cannot be of these pages."""


_WORDS = {"Z": "planes (Z)", "C": "channels (C)", "T": "time points (T)"}
_IMAGEJ = {"T": "frames", "Z": "slices", "C": "channels"}  # the last changes from page to page
_PIXELS = re.compile(rb"<(?:\w+:)?Pixels\b([^<>]*)>")
_CHANNEL = re.compile(rb"<(?:\w+:)?Channel\b([^<>]*)>")
_DATA = re.compile(rb"<(?:\w+:)?TiffData\b([^<>]*)>(?:[^<]*<(?:\w+:)?UUID\b[^<>]*>([^<]*))?")
_FILE = re.compile(rb"(<(?:\w+:)?UUID\b[^<>]*\bFileName\s*=\s*[\"'])([^\"'<>]*)([\"'][^<>]*>)([^<]*)")
_ROOT = re.compile(rb"(<(?:\w+:)?OME\b[^<>]*\bUUID\s*=\s*[\"'])([^\"'<>]*)")
_COMPANION = re.compile(rb"<(?:\w+:)?BinaryOnly\b[^<>]*\bMetadataFile\s*=\s*[\"']([^\"'<>]*)")


def is_ome(text: bytes) -> bool:
    """Whether a description is OME-XML."""
    return text.rstrip(b"\0\r\n\t ").endswith(b"OME>")


def coordinates(text: bytes, pages: int) -> list[Coordinates] | None:
    """Where each page stands along the axes that its description names; None where it names none."""
    if is_ome(text):
        return _of_ome(text, pages)
    if text.startswith(b"ImageJ="):
        sizes = {name: _line(text, key) for name, key in _IMAGEJ.items()}
        if math.prod(sizes.values()) != pages and sizes["T"] * sizes["Z"] == pages:
            sizes["C"] = 1  # its channels are the samples of each page
        if math.prod(sizes.values()) == 1 < pages:  # of old releases: a stack without names
            return None
        return _counted(sizes, pages)
    shape, letters = shaped(text)
    if not shape or not letters or len(letters) != len(shape):
        leading = [n for n in shape[: max(0, len(shape) - 2)] if n > 1]
        if len(leading) > 1 and math.prod(leading) == pages:
            raise UnreadableError(
                f"its description names {' x '.join(map(str, leading))} planes and not which of them are z; "
                "take the planes of one volume out first"
            )
        return None
    sizes = {a: n for a, n in zip(letters, shape, strict=True) if a not in "YXS"}
    return _counted(sizes, pages) if math.prod(sizes.values()) == pages else None


def volumes(text: bytes, pages: int, along: str | None = None) -> list[list[int]]:
    """The pages of each volume, in order of z: one volume for each channel and time point.

    Or one for each place `along` an axis, whose planes follow the one other axis that is not of channels.
    """
    places = coordinates(text, pages)
    if places is None:
        return [[page] for page in range(pages)] if along else [list(range(pages))]
    sizes = {name: 1 + max(p.get(name, 0) for p in places) for name in places[0]}
    long = {name: size for name, size in sizes.items() if size > 1}
    deep = _depth(sizes, long) if along is None else _depth_beside(along.upper(), sizes, long)
    found: dict[tuple[int, ...], dict[int, int]] = {}
    for page, place in enumerate(places):
        key = tuple(n for name, n in place.items() if name != deep)
        if found.setdefault(key, {}).setdefault(place.get(deep, 0), page) != page:
            raise ContradictionError("its description (ImageDescription) names a plane twice")
    return [[planes[z] for z in sorted(planes)] for planes in found.values()]


def _depth(sizes: Coordinates, long: Coordinates) -> str:
    """The axis of the planes of a volume."""
    deep = "Z" if "Z" in long else next(iter(long), "Z")
    if deep != "Z" and (len(long) > 1 or deep not in "QI"):
        raise UnreadableError(f"its pages are {words(sizes)}: they are no volume, leave --volume out")
    return deep


def _depth_beside(along: str, sizes: Coordinates, long: Coordinates) -> str:
    """The axis of the planes of what has a picture or volume of its own for each place along another."""
    unnamed = len(long) == 1 and next(iter(long)) in "QI"
    if not unnamed and long and (along not in sizes or along not in long):
        raise UsageError(f"--axis {along.lower()}: its pages are {words(sizes)}")
    others = [] if unnamed else [name for name in long if name not in (along, "C")]
    if len(others) > 1:
        raise UsageError(
            f"--axis {along.lower()}: its pages are {words(sizes)}, and a volume has one axis of planes; "
            f"without --axis each page is denoised by itself, with --volume z of each"
        )
    return others[0] if others else ""


def contradiction(text: bytes, pages: int) -> str | None:
    """A warning where the description speaks of other pages than there are."""
    try:
        coordinates(text, pages)
    except ContradictionError as error:
        return f"{error}; pages are denoised one by one"
    except UnreadableError:
        return None  # no volume, but pages all the same
    return None


def words(sizes: Mapping[str, int]) -> str:
    """For people: "2 channels (C) x 4 planes (Z)"."""
    return " x ".join(f"{n} {_WORDS.get(name, f'along {name}')}" for name, n in sizes.items() if n > 1)


def shaped(text: bytes) -> tuple[tuple[int, ...], str]:
    """The shape and the axes that tifffile writes down; empty where it did not."""
    if not text.startswith(b"{"):
        return (), ""
    shape = re.search(rb'"shape":\s*\[([\d,\s]{1,200})\]', text)
    axes = re.search(rb'"axes":\s*"([A-Za-z]{1,20})"', text)
    numbers = tuple(int(n) for n in shape[1].split(b",") if n.strip()) if shape else ()
    return numbers, axes[1].decode().upper() if axes else ""


def chosen(texts: Sequence[bytes]) -> bytes:
    """Of a page's descriptions that which names axes: there may be one of the user beside it."""
    known = (t for t in texts if is_ome(t) or t.startswith((b"ImageJ=", b'{"shape"')))
    return next(known, b"")


def imagej_planes(text: bytes) -> int:
    """How many planes ImageJ has put behind one page; 0 where this is no description of it."""
    return _line(text, "images") if text.startswith(b"ImageJ=") else 0


def _line(text: bytes, key: str) -> int:
    found = re.search(rb"^" + key.encode() + rb"=(\d{1,9})\s*$", text.replace(b"\0", b""), re.MULTILINE)
    return int(found[1]) if found else 1


def _counted(sizes: Mapping[str, int], pages: int) -> list[Coordinates]:
    """Pages in order, the last axis the fastest."""
    if math.prod(sizes.values()) != pages:
        raise ContradictionError(
            f"its description (ImageDescription) names {words(sizes) or 'one plane'}, it has {pages} pages"
        )
    return [_place(sizes, n) for n in range(pages)]


def _place(sizes: Mapping[str, int], n: int) -> Coordinates:
    place = {}
    for name in reversed(list(sizes)):
        place[name], n = n % sizes[name], n // sizes[name]
    return dict(reversed(place.items()))


def _of_ome(text: bytes, pages: int) -> list[Coordinates] | None:
    """By OME-XML: TiffData says where a page stands, or they follow each other in the order of dimensions."""
    blocks = _PIXELS.findall(text)
    if not blocks:
        return None  # its description is in another file
    if len(blocks) > 1:
        raise UnreadableError(f"it holds {len(blocks)} OME images, not one volume; take one out first")
    order = _attribute(blocks[0], "DimensionOrder", "XYZCT")[2:]
    if sorted(order) != ["C", "T", "Z"]:
        raise ContradictionError("the order of dimensions in its OME-XML is damaged")
    channel = _CHANNEL.search(text)
    samples = int(_attribute(channel[1], "SamplesPerPixel", "1")) if channel else 1
    sizes = {a: int(_attribute(blocks[0], f"Size{a}", "1")) or 1 for a in reversed(order)}
    sizes["C"] = max(1, sizes["C"] // max(1, samples))
    root = _ROOT.search(text)
    found: dict[int, Coordinates] = {}
    for attributes, owner in _DATA.findall(text):
        if root and owner.strip() not in (b"", root[2].strip()):
            continue  # of another file
        first = {a: int(_attribute(attributes, f"First{a}", "0")) for a in sizes}
        page = int(_attribute(attributes, "IFD", "0"))
        whole = math.prod(sizes.values()) if b"IFD" not in attributes else 1
        at = 0
        for name in sizes:
            at = at * sizes[name] + first[name]
        planes = range(page, min(pages, page + int(_attribute(attributes, "PlaneCount", str(whole)))))
        if len(found) + len(planes) > pages:
            raise ContradictionError("its OME-XML (ImageDescription) names a page twice")
        found |= {n: _place(sizes, at + n - page) for n in planes}
    if set(range(pages)) <= set(found):
        return [found[n] for n in range(pages)]
    return _counted(sizes, pages)


def _attribute(element: bytes, name: str, default: str) -> str:
    found = re.search(rb"\b" + name.encode() + rb"\s*=\s*[\"'](\w{1,18})[\"']", element)
    text = found[1].decode() if found else default
    if not default.isdigit() or text.isdigit():
        return text
    raise ContradictionError(f"{name} in its OME-XML is damaged")


# --- names of files in OME-XML ----------------------------------------------------------------


def renamed_ome(text: bytes, renamed: Mapping[str, str], output: str, warnings: list[str]) -> bytes:
    """OME-XML for the output: it and its siblings of this run under their new names and identifiers.

    New identifiers follow from the old, so that files of one set still fit together.
    """
    root = _ROOT.search(text)
    kept: list[str] = []
    own = root[2] if root else None

    def moved(match: re.Match[bytes]) -> bytes:
        before, name, between, identifier = match.groups()
        old = html.unescape(name.decode("utf-8", "replace"))
        new = renamed.get(old)
        if not new and own and identifier.strip() == own:
            new = output  # the input had been renamed
        if not new:
            kept.append(old)
            return match[0]
        written = html.escape(new).encode("utf-8", "replace")
        return before + written + between + _identifier(identifier)

    changed = _FILE.sub(moved, text)
    if own is not None:
        changed = _ROOT.sub(lambda match: match[1] + _identifier(match[2]), changed)
    kept += [html.unescape(n.decode("utf-8", "replace")) for n in _COMPANION.findall(text)]
    if kept:
        names = list(dict.fromkeys(kept))
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        warnings.append(f"this file is one of a set; its description still names {shown}")
    return changed


def _identifier(old: bytes) -> bytes:
    """The identifier of the denoised file, by that of the noisy one."""
    number = old.decode("ascii", "replace").strip().removeprefix("urn:uuid:")
    try:
        return f"urn:uuid:{uuid.uuid5(uuid.UUID(number), 'denoised')}".encode()
    except ValueError:
        return old


def frames(text: bytes, shape: Sequence[int]) -> bool | None:
    """Whether the separate samples of a page are frames of a film or stack, by tifffile's description.

    It takes three or four short frames for the planes of a colour picture, the fourth for alpha.  None:
    they may be frames or colours.
    """
    written, letters = shaped(text)
    if len(shape) != 3 or written != (shape[2], shape[0], shape[1]):
        return False
    if len(letters) == 3:
        return letters[0] not in "SC"
    return None if shape[2] == 3 else True
