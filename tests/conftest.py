"""What all tests share: the backends, the tolerances, how Hypothesis runs, and no network."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, max_examples=40)
settings.register_profile(
    "long", deadline=None, print_blob=True, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

#: Reasons for skipping that are not in skips.txt, and a test that gave each.
UNLISTED: dict[str, str] = {}
ALLOWED = [
    re.compile(line)
    for line in (Path(__file__).parent / "skips.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Remember a skip that is on no list."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(allowed.fullmatch(reason) for allowed in ALLOWED):
            UNLISTED.setdefault(reason, report.nodeid)


pytest_runtest_logreport = note_skip
pytest_collectreport = note_skip


def pytest_sessionfinish(session: pytest.Session) -> None:
    if UNLISTED and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason, test in UNLISTED.items():
        terminalreporter.write_line(
            f"SKIPPED for a reason that is not in tests/skips.txt: {reason} ({test})", red=True
        )


BACKENDS = ("reference", "cpu", "cuda")

#: The largest error against the exact result, in data ranges (max - min of the finite pixels).
TOLERANCE = {
    "exact": 1e-12,  # float64 arithmetic, which only the reference has
    "ordinary": 2e-6,  # float32 arithmetic
    "hard": 1e-5,  # float32 arithmetic, a sharp edge at sigma = 1 % of the data range
}


def why_not(name: str) -> str | None:
    """Why a backend cannot run on this machine, or None."""
    from nlmeans.backends.contract import Request

    try:
        backend = import_module(f"nlmeans.backends.{name}")
    except ImportError as error:
        return f"{name}: {error}"
    if not hasattr(backend, "can_run"):
        return f"{name}: it is not built"
    return backend.can_run(Request(array_library="numpy", dtype="float32", pixels=4096, channels=1))


@pytest.fixture
def kernel_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C kernels; what is small too is worked on by threads, as what is large is."""
    from nlmeans.backends import bands

    if why_not("cpu") is not None:
        pytest.skip("the extension is not built")
    monkeypatch.setattr(bands, "_WORTH_THREADS", 0)
    monkeypatch.setattr(bands, "_ALONE", 0)


@pytest.fixture
def fresh_cuda() -> Iterator[None]:
    """What one test is answered of a GPU is not kept for the next."""
    from .cupy_stand_in import forget

    forget()
    yield
    forget()


@pytest.fixture
def fake(fresh_cuda: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """CuPy's stand-in, and the reference in place of the window kernels: what counts is what moves."""
    from .cupy_stand_in import FakeCuPy, install, with_reference

    return with_reference(monkeypatch, install(monkeypatch, FakeCuPy()))


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend that can run here.  NLMEANS_TEST_BACKENDS="cpu,..." names those that must."""
    reason = why_not(request.param)
    if reason is not None and request.param in os.environ.get("NLMEANS_TEST_BACKENDS", "").split(","):
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture(scope="session")
def fast_backend(backend: str) -> str:
    """Each backend that is held against the reference."""
    if backend == "reference":
        pytest.skip("it is the reference")
    return backend


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Every attempt to connect to another machine is an error: nothing here may need a network."""

    def only_here(connect: Any) -> Any:
        def connected(own: socket.socket, address: Any) -> Any:
            if not isinstance(address, tuple) or address[0] != "127.0.0.1":
                raise AssertionError("a test tried to open a network connection")
            return connect(own, address)

        return connected

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, only_here(getattr(socket.socket, name)))
        yield


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Torch in one thread, from one seed."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def data_range_of(image: np.ndarray) -> float:
    """Max - min of the finite pixels."""
    finite = np.asarray(image, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    return float(finite.max() - finite.min()) if finite.size else 0.0


def allowed_error(image: np.ndarray, backend: str, *, hard: bool = False) -> float:
    """How far a result may be from the exact one, in the units of the image.

    That of the arithmetic is relative to the data range; the result's own type adds half a unit in the last
    place of its largest value, which is what writing the exact result in that type costs.
    """
    kind = "hard" if hard else "ordinary"
    if image.dtype.newbyteorder("=") == np.float64 and backend == "reference":
        kind = "exact"
    arithmetic = TOLERANCE[kind] * data_range_of(image)
    if image.dtype.kind in "iu":
        return arithmetic + 0.5
    finite = np.abs(np.where(np.isfinite(image), image, 0).astype(np.float64))
    return arithmetic + float(np.finfo(image.dtype).eps / 2 * finite.max(initial=0.0))


def assert_close(
    got: np.ndarray, exact: np.ndarray, image: np.ndarray, backend: str, *, hard: bool = False
) -> None:
    """A result of `image`'s shape and type, within the tolerance of its backend of the exact one."""
    assert isinstance(got, np.ndarray)
    assert (got.shape, got.dtype) == (image.shape, image.dtype)
    kept = ~np.isfinite(exact)
    np.testing.assert_array_equal(np.asarray(got)[kept], np.asarray(image)[kept])
    error = np.abs(got[~kept].astype(np.float64) - exact[~kept]).max(initial=0.0)
    limit = allowed_error(image, backend, hard=hard)
    assert error <= limit, f"off by {error:.3g}, allowed {limit:.3g}, data range {data_range_of(image):.3g}"
