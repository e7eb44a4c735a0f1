"""The names of CuPy that the package uses, found in its source, and what a CuPy says of them.

    python tests/backends/cupy_names.py FILE.json

in an environment with a CuPy and array-api-compat (no GPU is needed, and not this package) adds to the
file what this CuPy has: of every name used whether it is there, and which arguments it takes.
`test_cupy_names.py` holds the source against it.  Standard library only, but for what is looked up.

A use is found by following `cupy` and `xp` through assignments and calls as far as a reader would; what a
reader knows from elsewhere stands in `KNOWN`.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeGuard

ROOT = Path(__file__).parents[2]
ROOMS = ("nlmeans", "benchmarks")
ARRAY, DEVICE, STREAM, EVENT = "cupy.ndarray", "cupy.cuda.Device", "cupy.cuda.Stream", "cupy.cuda.Event"

#: What a call gives back; a class gives an object of itself.
RETURNS = {
    "cupy.asarray": ARRAY,
    "cupy.ascontiguousarray": ARRAY,
    "cupy.cuda.get_current_stream": STREAM,
    "cupy.cuda.Stream.record": EVENT,
    "cupy.empty": ARRAY,
    "cupy.from_dlpack": ARRAY,
    "cupy.get_default_memory_pool": "cupy.cuda.MemoryPool",
    "cupy.RawModule.get_function": "cupy.RawKernel",
}
CLASSES = {DEVICE, EVENT, "cupy.cuda.ExternalStream", "cupy.RawModule", STREAM}

#: (file, expression) -> what it is, where the source does not say it in the same function.
KNOWN = {
    ("nlmeans/backends/cuda.py", "array"): ARRAY,
    ("nlmeans/backends/cuda.py", "numbers"): ARRAY,
    ("nlmeans/backends/cuda.py", "loaded.kernel"): "cupy.RawKernel",
    ("nlmeans/backends/cuda.py", "self.kernel"): "cupy.RawKernel",
    ("nlmeans/backends/cuda.py", "self._context"): DEVICE,
    ("nlmeans/backends/cuda_memory.py", "error"): "cupy.cuda.runtime.CUDARuntimeError",
    ("nlmeans/backends/cuda_memory.py", "result"): ARRAY,
    ("nlmeans/backends/cuda_memory.py", "stream"): STREAM,
    ("nlmeans/backends/cuda_memory.py", "tile.done"): EVENT,
    ("benchmarks/device.py", "first"): EVENT,
    ("benchmarks/device.py", "last"): EVENT,
    ("benchmarks/race/gpu_rivals.py", "last"): EVENT,
}

#: Where arrays are NumPy's or torch's only.
OTHERS = re.compile(
    r"nlmeans/(attention|learned/(?!numpy_block)|noise/(?!strength)|carriers|chunked|napari_plugin|notebook|"
    r"backends/(cpu|reference))"
)

#: Uses that only some CuPy needs to have: the source asks first, or has the other way beside it.
ONLY_IN = {"cupy.cuda.Stream.from_external": "14", "cupy.cuda.ExternalStream": "13"}


@dataclass(frozen=True, order=True)
class Use:
    """A name, and with how many arguments and which keywords it is called there; None where it is not."""

    name: str
    place: str
    positional: int | None = None
    keywords: tuple[str, ...] = ()


@dataclass
class _Reader(ast.NodeVisitor):
    """What a function's names stand for, statement by statement."""

    file: str
    array_names: frozenset[str]  # attributes that NumPy's arrays have
    known: dict[str, str] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    called: set[int] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)

    def meaning(self, node: ast.AST) -> str | None:
        """The path of an expression, as `cupy.cuda.Stream`; None where it is something else."""
        if isinstance(node, ast.Name | ast.Attribute):
            text = ast.unparse(node)
            fixed = KNOWN.get((self.file, text)) or self.known.get(text)
            if fixed:
                return fixed
        if isinstance(node, ast.Name):
            return {"cupy": "cupy", "xp": "xp"}.get(node.id)
        if isinstance(node, ast.Attribute):
            if node.attr in ("_cupy", "cupy") and ast.unparse(node.value) == "self":
                return "cupy"
            before = self.meaning(node.value)
            if before == f"{DEVICE}.attributes":
                return None  # a dictionary
            if before == ARRAY and node.attr == "device":
                return DEVICE
            return f"{before}.{node.attr}" if before else None
        if isinstance(node, ast.Call):
            return self._result(node)
        return None

    def _result(self, call: ast.Call) -> str | None:
        function, first = ast.unparse(call.func), call.args[0] if call.args else None
        if function == "import_module" and isinstance(first, ast.Constant):
            return first.value if first.value in ("cupy", "cupyx") else None
        if function == "namespace":
            return "xp"
        if function.endswith(".namespace"):
            return "cupy"
        path = self.meaning(call.func)
        return path if path in CLASSES else RETURNS.get(path or "")

    # --- statements that give names a meaning ---

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before, self.known = self.known, dict(self.known)
        self.generic_visit(node)
        self.known = before

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for name, value in pairs:
                if isinstance(name, ast.Name):
                    self.known.pop(name.id, None)
                    path = self.meaning(value)
                    if path and path != name.id:
                        self.known[name.id] = path

    # --- uses ---

    def visit_Call(self, node: ast.Call) -> None:
        path = self.meaning(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
            self._attribute_of_device(node.func.value, node.args[0], node)
        if path and "." in path:
            self.called.add(id(node.func))
            path += ".__call__" * (path == "cupy.RawKernel")  # we are given one, and make none
            self._add(path, node, len(node.args), node.keywords)
        elif path is None and self._may_be_of_an_array(node.func):
            self.called.add(id(node.func))
            self._add(f"array.{node.func.attr}", node, len(node.args), node.keywords)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = self.meaning(node)
        if id(node) not in self.called:
            if path and "." in path and self.meaning(node.value):
                self._add(path, node)
            elif path is None and self._may_be_of_an_array(node):
                self._add(f"array.{node.attr}", node)
        self.generic_visit(node)

    def _may_be_of_an_array(self, node: ast.AST) -> TypeGuard[ast.Attribute]:
        """So called, and no module's."""
        if not isinstance(node, ast.Attribute) or node.attr not in self.array_names:
            return False
        return not (isinstance(node.value, ast.Name) and node.value.id in self.modules)

    def visit_Import(self, node: ast.Import) -> None:
        self.modules |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._attribute_of_device(node.value, node.slice, node)
        self.generic_visit(node)

    def _attribute_of_device(self, of: ast.AST, key: ast.AST, node: ast.AST) -> None:
        """`Device.attributes` has for keys what CuPy's runtime calls cudaDevAttr..., and no others."""
        if isinstance(key, ast.Constant) and self.meaning(of) == f"{DEVICE}.attributes":
            self._add(f"cupy.cuda.runtime.cudaDevAttr{key.value}", node)

    def _add(self, path: str, node: Any, positional: int | None = None, keywords: Any = ()) -> None:
        names = tuple(k.arg for k in keywords if k.arg)
        self.uses.append(Use(path, f"{self.file}:{node.lineno}", positional, names))


def uses(array_names: frozenset[str] = frozenset(), root: Path = ROOT) -> list[Use]:
    """Every use in the source.

    With the names of NumPy's arrays, so called attributes of anything that nothing is known of count as
    ``array.NAME``: most of them are of arrays, and may be of CuPy's.
    """
    found: list[Use] = []
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            file = path.relative_to(root).as_posix()
            if OTHERS.match(file):
                continue
            reader = _Reader(file, array_names if room == "nlmeans" else frozenset())
            reader.visit(ast.parse(path.read_text(encoding="utf-8")))
            found += reader.uses
    return sorted(found)


# --- what a CuPy has -------------------------------------------------------------------------


#: What only an object has, or a class that is not public.
OF_AN_OBJECT: dict[str, Callable[[Any], Any]] = {
    "cupy.ndarray.flags.c_contiguous": lambda cupy: cupy._core.flags.Flags,
    "cupy.cuda.runtime.CUDARuntimeError.status": lambda cupy: cupy.cuda.runtime.CUDARuntimeError(2),
}


def described(name: str) -> dict[str, Any]:
    """Whether it is there, and its arguments."""
    if name in OF_AN_OBJECT:
        return {"there": hasattr(OF_AN_OBJECT[name](import_module("cupy")), name.rpartition(".")[2])}
    module, *rest = name.split(".")
    places = {"xp": "array_api_compat.cupy", "array": "cupy"}
    found: Any = import_module(places.get(module, module))
    try:
        for part in ["ndarray", *rest] if module == "array" else rest:
            found = getattr(found, part)
    except AttributeError:
        return {"there": False}
    return {"there": True} | (_arguments(found) if callable(found) else {})


def _arguments(function: Any) -> dict[str, Any]:
    """Names in order, how many of them may be given by place, and whether any keyword is taken."""
    if isinstance(function, type) and not function.__module__.startswith("cupy"):
        return {}
    try:
        names, positional, more = [], 0, False
        for parameter in inspect.signature(function).parameters.values():
            more |= parameter.kind is parameter.VAR_KEYWORD
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            names.append(parameter.name)
            positional += parameter.kind is not parameter.KEYWORD_ONLY
    except (TypeError, ValueError):
        names, positional, more = _from_text(function.__doc__ or "")
    if names[:1] in (["self"], ["cls"]):
        names, positional = names[1:], positional - 1
    return {"arguments": names, "positional": positional, "more": more}


def _from_text(text: str) -> tuple[list[str], int, bool]:
    """From the first line of what is documented, which Cython writes."""
    inside = re.search(r"\w+\((.*?)\)(?:\s*->.*)?\s*$", text.strip().partition("\n")[0])
    names: list[str] = []
    positional: int | None = None
    more = inside is None
    for part in (inside[1] if inside else "").replace("\\", "").split(","):
        word = part.partition("=")[0].split()
        if not word or word[-1] == "/":
            continue
        if word[-1] == "*":
            positional = len(names)
        elif word[-1].startswith("*"):
            more = True
        else:
            names.append(word[-1].removesuffix("[:]"))
    return names, len(names) if positional is None else positional, more


def main() -> None:
    """Add what the CuPy of this environment has to the file."""
    path = Path(sys.argv[1])
    numpy, cupy = import_module("numpy"), import_module("cupy")
    names = sorted({use.name for use in uses(frozenset(n for n in dir(numpy.ndarray) if n[0] != "_"))})
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    compat = import_module("array_api_compat").__version__
    kept[cupy.__version__] = {"array_api_compat": compat, "names": {name: described(name) for name in names}}
    lines = []
    for version, found in sorted(kept.items()):
        entries = ",\n".join(f"  {json.dumps(n)}: {json.dumps(d)}" for n, d in found["names"].items())
        head = json.dumps(found["array_api_compat"])
        lines.append(
            f'{json.dumps(version)}: {{\n "array_api_compat": {head},\n "names": {{\n{entries}\n }}\n}}'
        )
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
