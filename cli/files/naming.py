"""Which files go in, and what the results are called."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..formats.reading import FILMS, FORMATS, READ_SUFFIXES, SUFFIXES, written_as
from ..status import ExistsError, UnwritableError, UsageError

_FIELD = re.compile(r"\{(stem|ext|dir)\}")
_WORD = re.compile(r"\{[a-z_]+\}")
_READ_ONLY = sorted(set(READ_SUFFIXES) - set(SUFFIXES))
FILM = "film"  # the format of a task whose output is one
_OUTPUTS = SUFFIXES | dict.fromkeys(FILMS, FILM)
_FIRST_HALVES = {".tif": ".ome", ".tiff": ".ome", ".btf": ".ome", ".gz": ".nii"}  # of double suffixes
_DEFAULT_RESULT = re.compile(r"\.denoised$")


@dataclass(frozen=True)
class Task:
    """One input and where its result goes; "-" is a standard stream."""

    input: str
    output: str
    format: str  # of the output; "" for that of the input
    open_ended: bool = False  # the output still lacks the suffix of that format

    def closed(self, format_name: str) -> Task:
        """The task with the suffix of a format."""
        if format_name == FILM:
            return Task(self.input, self.output + ".mkv", FILM)
        format_name = written_as(format_name)
        return Task(self.input, self.output + FORMATS[format_name].suffixes[0], format_name)


def expand(inputs: Sequence[str], *, recursive: bool, output: str | None = None) -> Iterator[tuple[str, str]]:
    """(root, file) of every input; a folder gives the pictures below it, in the order of their names.

    The folder of the outputs is no input, where it lies within a folder of inputs.
    """
    for name in inputs:
        if name != "-" and os.path.isdir(name):
            if not recursive:
                raise UsageError(f"{name} is a folder; add --recursive to take the pictures in it")
            yield from ((name, file) for file in _below(name, output))
        else:
            yield from ((os.path.dirname(file), file) for file in _unquoted(name))


def _unquoted(name: str) -> list[str]:
    """Files by a pattern, which the shells of Windows leave to us."""
    if os.name == "nt" and not os.path.exists(name) and glob.has_magic(name):
        return sorted(glob.glob(name)) or [name]
    return [name]


def _below(folder: str, output: str | None) -> Iterator[str]:
    """Pictures in a folder and its folders: no hidden ones, no links to folders, no earlier results."""
    left_out = os.path.realpath(output) if output and not _FIELD.search(output) else None
    for here, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(
            f
            for f in folders
            if not f.startswith(".") and os.path.realpath(os.path.join(here, f)) != left_out
        )
        names = set(files)
        for file in sorted(files):
            stem, suffix = parts(file)
            if file.startswith(".") or suffix.lower().removeprefix(".ome") not in READ_SUFFIXES:
                continue
            source = _DEFAULT_RESULT.sub("", stem)
            made = source != stem and any(source + s in names for s in (suffix, *_READ_ONLY))
            if not made:
                yield os.path.join(here, file)


def _unreadable(error: OSError) -> None:
    raise UsageError(f"{error.filename}: {error.strerror}")


def plan(
    inputs: Sequence[str], output: str | None, *, recursive: bool, format_name: str | None = None
) -> list[Task]:
    """A task for each input."""
    files = list(expand(inputs, recursive=recursive, output=output))
    many = len(files) > 1 or any(os.path.isdir(name) for name in inputs if name != "-")
    if many and any(file == "-" for _, file in files):
        raise UsageError("standard input (-) cannot be one of several inputs")
    _check_fields(output)
    if many and output is not None and not _is_folder(output) and not _FIELD.search(output):
        raise UsageError(
            f"{len(files)} inputs need a folder or a template such as 'clean/{{stem}}{{ext}}', "
            f"not the one name {output}"
        )
    tasks = [_task(root, file, output, format_name) for root, file in files]
    _check_distinct(tasks)
    return tasks


def _check_fields(template: str | None) -> None:
    """Refuse a field that there is none of, which would become part of a name."""
    for word in _WORD.findall(template or ""):
        if not _FIELD.fullmatch(word) and not os.path.lexists(template or ""):
            raise UsageError(
                f"the output {template} has the unknown field {word}; there are {{stem}}, {{ext}} and {{dir}}"
            )


def _check_distinct(tasks: list[Task]) -> None:
    """Refuse two inputs with one output: the second would take the place of the first."""
    sources: dict[str, str] = {}
    for task in tasks:
        if task.output == "-":
            continue
        place = os.path.abspath(task.output)
        other = sources.get(place)
        sources[place] = task.input
        if other is not None:
            raise UsageError(
                f"{other} and {task.input} would both be written to {task.output}; "
                "give a template with {dir}, such as -o '{dir}/clean/{stem}{ext}'"
            )


def _is_folder(output: str) -> bool:
    """Whether an output names a folder: it is one, ends like one, or has no suffix of a picture."""
    if output == "-":
        return False
    if output.endswith(("/", os.sep)) or os.path.isdir(output):
        return True
    return not os.path.splitext(output)[1] and not os.path.lexists(output) and not _FIELD.search(output)


def _task(root: str, file: str, output: str | None, format_name: str | None) -> Task:
    if output == "-" or (output is None and file == "-"):
        return Task(file, "-", format_name or "")
    folder, base = ("", "stdin") if file == "-" else os.path.split(file)
    stem, suffix = parts(base)
    known = suffix.lower().removeprefix(".ome")
    if format_name and format_name != SUFFIXES.get(known):
        suffix = FORMATS[format_name].suffixes[0]
    elif known not in _OUTPUTS:
        suffix = ""  # chosen later, by the content of the file
    fields = {"dir": folder or ".", "stem": stem, "ext": suffix}
    if output is None:
        target, open_ended = os.path.join(folder, filled("{stem}.denoised{ext}", fields)), not suffix
    elif _FIELD.search(output):
        target, open_ended = filled(output, fields), output.endswith("{ext}") and not suffix
    elif _is_folder(output):
        below = os.path.relpath(folder or ".", root or ".") if file != "-" else "."
        target, open_ended = os.path.normpath(os.path.join(output, below, stem + suffix)), not suffix
    else:
        target, open_ended = output, False
    if open_ended:
        return Task(file, target, "", open_ended=True)
    return Task(file, target, format_name or format_by_name(target))


def parts(name: str) -> tuple[str, str]:
    """Stem and suffix of a name; programs know some files by double suffixes: .ome.tif, .nii.gz."""
    stem, suffix = os.path.splitext(name)
    before = _FIRST_HALVES.get(suffix.lower(), "")
    if before and stem.lower().endswith(before) and len(os.path.basename(stem)) > 4:
        return stem[:-4], stem[-4:] + suffix
    return stem, suffix


def filled(template: str, fields: dict[str, str]) -> str:
    """A template with its fields; braces in the names themselves stay as they are."""
    return _FIELD.sub(lambda match: fields[match[1]], template)


def beside(name: str, ending: str) -> str:
    """A new name beside an input: its own with another ending."""
    if name == "-":
        raise UsageError("name the output with -o: standard input has no name")
    return parts(name)[0] + ending


def format_by_name(target: str) -> str:
    """The format of an output, by its suffix."""
    suffix = parts(target)[1]
    name = _OUTPUTS.get(suffix.lower().removeprefix(".ome"))
    if name is None:
        known = ", ".join(sorted(_OUTPUTS))
        got = f"ends in {suffix!r}" if suffix else "has no suffix"
        raise UsageError(f"the output {target} {got}; it must be one of {known}")
    return name


def left_beside(task: Task) -> list[str]:
    """Warnings of files that belong to an input by name: its place on earth, its mask, its edits."""
    name = task.input
    if name == "-" or os.path.realpath(name) == os.path.realpath(task.output):
        return []
    stem, suffix = os.path.splitext(name)
    letter = "W" if suffix.isupper() else "w"
    endings = [suffix[:2] + suffix[-1:] + letter, suffix + letter, ".wld", ".prj", ".xmp"]
    named = [stem + ending for ending in endings] + [name + ending for ending in (".aux.xml", ".xmp")]
    found = [os.path.basename(other) for other in dict.fromkeys(named) if os.path.exists(other)]
    mask = name + ".msk"
    warnings = [f"what lies beside it by name is not copied: {', '.join(found)}"] if found else []
    if os.path.exists(mask):
        warnings.append(f"its mask {os.path.basename(mask)} is not obeyed: give it with --mask")
    return warnings


def check_not_input(task: Task, *, overwrite: bool) -> None:
    """Refuse an output that is the input itself, under whatever name."""
    if "-" in (task.input, task.output) or overwrite:
        return
    if os.path.exists(task.output) and os.path.samefile(task.input, task.output):
        raise ExistsError(f"{task.output} is the input itself; name another output (or give --overwrite)")


def make_folder(folder: Path) -> None:
    """The folder that an output goes to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableError(f"the folder {folder} cannot be made: {error.strerror}") from error


def side(template: str | None, task: Task) -> Task | None:
    """The task of a further picture of one result."""
    if template is None:
        return None
    folder, base = ("", "stdin") if task.input == "-" else os.path.split(task.input)
    stem, suffix = parts(base)
    target = filled(template, {"dir": folder or ".", "stem": stem, "ext": suffix})
    return Task(task.input, target, format_by_name(target))


def check_side(template: str | None, option: str, tasks: list[Task]) -> None:
    """Refuse one name for the further pictures of several results."""
    _check_fields(template)
    made = [found for task in tasks if (found := side(template, task))]
    if len(made) > 1 and not _FIELD.search(template or ""):
        raise UsageError(f"--{option.replace('_', '-')} of {len(made)} inputs needs a template with {{stem}}")
    _check_distinct([*tasks, *made])
