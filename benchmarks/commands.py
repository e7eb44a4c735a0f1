"""Measure speed, memory and quality against other programs, and write the tables.

python -m nlmeans.benchmarks cpu [--quick] [--json FILE]     measure
python -m nlmeans.benchmarks gpu [--quick] [--json FILE]     the same on a GPU; small without one
python -m nlmeans.benchmarks gpu --minutes 8 [--json FILE]   right answers, then what times fit in
python -m nlmeans.benchmarks attention [--quick]             what non-local blocks attend to (needs torch)
python -m nlmeans.benchmarks baseline --set12 DIR --kodak DIR --train DIR   what later work is compared with
python -m nlmeans.benchmarks methods --set12 DIR --kodak DIR   quality against time of each, and of BM3D
python -m nlmeans.benchmarks kinds --train DIR               the one call on kinds of input with known noise
python -m nlmeans.benchmarks train --pictures DIR            go on training the network of method="learned"
python -m nlmeans.benchmarks report [--check]                tables and plot from the JSON
python -m nlmeans.benchmarks pictures                        pictures to look at, from the JSON
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import RESULTS
from .machine import processors
from .race import first_light
from .race.cpu_plan import CONTESTANTS, Choice
from .race.cpu_record import PARTS, Order, record
from .race.gpu_record import PARTS as GPU_PARTS
from .race.gpu_record import GpuOrder
from .race.gpu_record import record as record_gpu
from .race.turns import PYTHON_VARIABLE, Effort
from .report import attention as attention_report
from .report import cpu as report
from .report import gpu as gpu_report
from .scripts import write_json
from .studies import baseline, methods


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    given = _parser().parse_args(words)
    code: int = given.run(given)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nlmeans.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    cpu = commands.add_parser("cpu", help="measure on the processor", description="Measure on the processor.")
    cpu.set_defaults(run=_cpu)
    _cpu_options(cpu)
    gpu = commands.add_parser("gpu", help="measure on a GPU", description="Measure on a GPU.")
    gpu.set_defaults(run=_gpu)
    gpu.add_argument("--only", nargs="+", choices=GPU_PARTS, default=GPU_PARTS, metavar="PART")
    gpu.add_argument(
        "--minutes",
        type=_minutes,
        metavar="N",
        help="instead: correctness, a checker of memory, then the times that fit, most telling first; "
        "every row is in the file as soon as it is measured",
    )
    _common_options(gpu)
    _attention_options(commands.add_parser("attention", help="train blocks, measure what they attend to"))
    _methods_options(commands.add_parser("methods", help="quality against time of each method"))
    _baseline_options(commands.add_parser("baseline", help="measure what later work is compared with"))
    _train_options(commands.add_parser("train", help="train the network of the learned method, resuming"))
    _kinds_options(commands.add_parser("kinds", help="the one call on kinds of input, each with its truth"))
    for name, run, told in (
        ("report", _report, "write tables and plot from the JSON"),
        ("pictures", _pictures, "make the pictures to look at"),
    ):
        command = commands.add_parser(name, help=told, description=told)
        command.set_defaults(run=run)
        command.add_argument("--json", type=Path, default=RESULTS / "cpu.json", help="default: %(default)s")
        if name == "report":
            command.add_argument("--check", action="store_true", help="only tell what is out of date")
    return parser


def _cpu_options(cpu: argparse.ArgumentParser) -> None:
    whole = Choice(threads=tuple(dict.fromkeys((1, processors()))))
    rivals = tuple(dict.fromkeys(c.rival for c in CONTESTANTS))
    cpu.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    for name, default in (
        ("sizes", whole.sizes),
        ("search-radii", whole.search_radii),
        ("patch-radii", whole.patch_radii),
        ("channels", whole.channels),
        ("threads", whole.threads),
    ):
        cpu.add_argument(
            f"--{name}", nargs="+", type=int, default=default, metavar="N", help="default: %(default)s"
        )
    cpu.add_argument(
        "--rivals", nargs="+", choices=rivals, metavar="NAME", help=f"default: all of {', '.join(rivals)}"
    )
    _common_options(cpu)


def _common_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quick", action="store_true", help="small pictures, few turns: does it all work?")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    command.add_argument("--repeats", type=int, default=5, help="turns, default %(default)s")
    command.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="turns of one comparison end after this, default %(default)g",
    )
    command.add_argument(
        "--time-limit", type=float, default=1500.0, help="seconds for the whole run, default %(default)g"
    )
    command.add_argument(
        "--vapoursynth-python",
        metavar="PROGRAM",
        help="a Python 3.12 in which vapoursynth (78), NumPy and the rivals' packages "
        f"(vapoursynth-nlm-ispc and others) are installed; default: the variable {PYTHON_VARIABLE}",
    )


def _attention_options(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_attention)
    for name, told in (("train", "trained on"), ("test", "tested on")):
        command.add_argument(
            f"--{name}",
            type=Path,
            metavar="FOLDER",
            help=f"pictures the networks are {told}; default: scikit-image's",
        )
    command.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="keep trained networks there")
    command.add_argument("--seeds", type=int, default=3, help="of the main variants, default %(default)s")
    command.add_argument("--quick", action="store_true", help="tiny networks: does it all work?")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result there, maps beside it")
    command.add_argument(
        "--time-limit",
        type=float,
        default=2100.0,
        help="no training starts after so many seconds of processor time, default %(default)g",
    )


def _methods_options(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_methods)
    for name, told in (("set12", "the grey pictures of Set12"), ("kodak", "colour photographs of Kodak's")):
        command.add_argument(f"--{name}", type=Path, required=True, metavar="DIR", help=f"{told}, PNG")
    command.add_argument("--quick", action="store_true", help="two pictures of each: does it all work?")
    command.add_argument(
        "--json", type=Path, metavar="FILE", help=f"write the result there, default {methods.COMMITTED.name}"
    )
    names = (*methods.METHODS, methods.RIVAL)
    told = "measure these alone, and leave the rows of others in that file as they are"
    command.add_argument("--only", nargs="+", choices=names, default=(), metavar="NAME", help=told)


def _methods(given: argparse.Namespace) -> int:
    folders = {"set12": given.set12, "kodak12": given.kodak}
    result = methods.measure(
        folders, lambda line: print(line, file=sys.stderr, flush=True), quick=given.quick, only=given.only
    )
    path = given.json or (None if given.quick else methods.COMMITTED)
    if path and path.exists() and given.only:
        result = methods.renewed(path, result)
    _tell(result, path, methods.table)
    return 0


def _baseline_options(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_baseline)
    for name, told in (
        ("set12", "the grey pictures of Set12"),
        ("kodak", "colour photographs of Kodak's"),
        ("train", "grey pictures that others train on"),
    ):
        command.add_argument(f"--{name}", type=Path, required=True, metavar="DIR", help=f"{told}, PNG")
    command.add_argument("--quick", action="store_true", help="two pictures of each: does it all work?")
    command.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help=f"write the result there, default {baseline.COMMITTED.name} among the results, but not if quick",
    )


def _kinds_options(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_kinds)
    command.add_argument(
        "--train", type=Path, required=True, metavar="DIR", help="grey photographs that others train on, PNG"
    )
    command.add_argument("--best", type=Path, metavar="FILE", help="take the best strengths from that result")
    command.add_argument("--quick", action="store_true", help="few pictures of each kind: does it all work?")
    command.add_argument(
        "--json", type=Path, metavar="FILE", help="write the result there, default noise_kinds.json"
    )


def _kinds(given: argparse.Namespace) -> int:
    """The table, and beside it the plot of estimate against truth."""
    from .studies.kinds import measuring as kinds  # which needs Pillow

    result = kinds.measure(
        given.train,
        lambda line: print(line, file=sys.stderr, flush=True),
        known=kinds.best_of(given.best),
        every=30 if given.quick else 1,
    )
    path = given.json or (None if given.quick else kinds.COMMITTED)
    _tell(result, path, kinds.table)
    if path:
        path.with_suffix(".svg").write_text(kinds.drawn(result), encoding="utf-8")
        print(kinds.table(result))
    return 0


def _train_options(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_train)
    command.add_argument(
        "--pictures", type=Path, required=True, metavar="DIR", help="where the packages are unpacked"
    )
    command.add_argument("--minutes", type=float, default=60.0, metavar="N", help="default %(default)g")
    command.add_argument("--steps", type=int, default=None, metavar="N", help="in all, over all runs")
    command.add_argument("--rate", type=float, default=None, metavar="R", help="the highest learning rate")
    command.add_argument(
        "--falling", type=float, default=None, metavar="F", help="part of all steps in which the rate falls"
    )
    command.add_argument(
        "--colours", type=float, default=None, metavar="F", help="part of the squares that are in colours"
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--checkpoint", type=Path, default=RESULTS / "train" / "checkpoint.safetensors", metavar="FILE"
    )
    command.add_argument("--export", type=Path, metavar="FILE", help="write the weights as float16")


def _train(given: argparse.Namespace) -> int:
    try:
        from .studies.learned import training
    except ImportError as error:
        print(f"error: training needs PyTorch and safetensors: {error}", file=sys.stderr)
        return 1
    names = ("pictures", "checkpoint", "minutes", "seed", "export")
    order = training.Order(**{name: getattr(given, name) for name in names})
    changed = {name: getattr(given, name) for name in ("steps", "rate", "falling", "colours")}
    changed = {name: value for name, value in changed.items() if value is not None}
    order = dataclasses.replace(order, recipe=dataclasses.replace(order.recipe, **changed))
    try:
        result = training.train(order, lambda line: print(line, file=sys.stderr, flush=True))
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


def _baseline(given: argparse.Namespace) -> int:
    folders = {"set12": given.set12, "kodak12": given.kodak, "train400": given.train}
    result = baseline.baseline(
        folders, lambda line: print(line, file=sys.stderr, flush=True), quick=given.quick
    )
    _tell(result, given.json or (None if given.quick else baseline.COMMITTED), baseline.summary)
    return 0


def _attention(given: argparse.Namespace) -> int:
    try:
        from .studies.attention import study as attention
    except ImportError as error:
        print(f"error: the study needs PyTorch and safetensors: {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        order = attention.order_of(
            given.train,
            given.test,
            quick=given.quick,
            seeds=given.seeds,
            time_limit=given.time_limit,
            checkpoints=given.checkpoints or Path(folder),
            command=_as_typed(),
        )
        result = attention.record(order, lambda line: print(line, file=sys.stderr, flush=True))
        _tell(result, given.json, attention_report.full_report)
        if given.json:
            attention.draw(order, given.json.with_suffix(".png"))
    return 0


def _cpu(given: argparse.Namespace) -> int:
    choice = Choice(
        sizes=given.sizes,
        search_radii=given.search_radii,
        patch_radii=given.patch_radii,
        channels=given.channels,
        threads=given.threads,
        rivals=given.rivals,
    )
    effort = Effort(repeats=given.repeats, seconds=given.seconds, python=given.vapoursynth_python)
    largest = 4096
    if given.quick:
        effort = Effort(repeats=2, seconds=10.0, python=given.vapoursynth_python)
        choice = Choice(
            (64, 128),
            (3,),
            (1, 2),
            given.channels,
            given.threads,
            radii_side=64,
            colour_side=64,
            rivals=given.rivals,
        )
        largest = 128
    result = record(
        Order(choice, effort, tuple(given.only), given.time_limit, largest, _as_typed()),
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    for target in result.get("targets", []):
        limit = f"must {target['must']:g}: {target['verdict']}"
        print(f"{target['what']}: {target['measured']} {target['unit']}, {limit}")
    _tell(result, given.json, report.full_report)
    return 0


def _minutes(word: str) -> float:
    found = float(word)
    if not 0 < found <= 600:
        raise argparse.ArgumentTypeError(f"from 0 to 600, got {word}")
    return found


def _first_light(given: argparse.Namespace) -> int:
    """What fits into the time; 1 where nothing could be measured or something is wrong."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    order = first_light.FirstOrder(
        given.minutes,
        given.json,
        Effort(given.repeats, seconds=10.0, once=first_light.COMPILING, python=given.vapoursynth_python),
        command=_as_typed(),
    )
    result = first_light.record(order, lambda line: print(line, file=sys.stderr, flush=True))
    if not given.json and not result["no_gpu"]:
        print(gpu_report.full_report(result))
    wrong = first_light.wrong(result)
    for line in wrong:
        print(f"wrong: {line}", file=sys.stderr)
    return 1 if wrong or result["no_gpu"] else 0


def _gpu(given: argparse.Namespace) -> int:
    if given.minutes is not None:
        return _first_light(given)
    effort = Effort(repeats=given.repeats, seconds=given.seconds, python=given.vapoursynth_python)
    if given.quick:
        effort = Effort(repeats=2, seconds=10.0, python=given.vapoursynth_python)
    order = GpuOrder(effort, tuple(given.only), given.quick, given.time_limit, _as_typed())
    result = record_gpu(order, lambda line: print(line, file=sys.stderr, flush=True))
    _tell(result, given.json, gpu_report.full_report)
    return 0


def _tell(result: dict[str, Any], path: Path | None, told: Callable[[dict[str, Any]], str]) -> None:
    """As JSON in a file, or as tables."""
    if path:
        write_json(path, result)
    else:
        print(told(result))


def _as_typed() -> str:
    """The command, without paths of this machine, which say nothing elsewhere."""
    words = sys.argv[1:]
    places = {"--vapoursynth-python": "PYTHON", "--train": "FOLDER", "--test": "FOLDER"}
    for option, name in (places | {"--checkpoints": "FOLDER"}).items():
        if option in words:
            place = words.index(option)
            words = [*words[: place + 1], name, *words[place + 2 :]]
    return shlex.join(["python", "-m", "nlmeans.benchmarks", *words])


def _report(given: argparse.Namespace) -> int:
    if given.check:
        late = report.outdated(given.json)
        for path in late:
            print(f"{path} differs from {given.json}; run: python -m nlmeans.benchmarks report")
        return 1 if late else 0
    for path in report.write(given.json):
        print(f"wrote {path}")
    return 0


def _pictures(given: argparse.Namespace) -> int:
    from .report import pictures

    folder = given.json.parent
    pictures.local_filters(report.read(given.json)["local"], folder / "local.png")
    pictures.one_result(folder / "camera.png")
    print(f"wrote {folder / 'local.png'} and {folder / 'camera.png'}")
    return 0
