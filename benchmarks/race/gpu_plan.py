"""Which comparisons are made on a GPU, and by whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..machine import processors
from ..problems import Problem, square
from .cpu_plan import DEFAULT, Entries
from .turns import Contestant

OURS, TORCH = "nlmeans on the GPU", "torch unfold"
LARGE = "4K"  # the group of the rows of the large frame
_GREY = {"place": "device"}
#: What the numbers of a row are.
UNITS = {
    "device": "seconds for one picture by the GPU's own events, every turn",
    "wall, cpu": "seconds for one picture of wall and processor time, every turn",
    "psnr": "dB against the clean picture",
    "h, noise": "of a picture in [0, 1]",
}

KERNEL = Contestant("nlmeans, kernel only", OURS, options={"place": "kernel", "center": "one"})
DEVICE = Contestant("nlmeans, arrays on the GPU", OURS, options=_GREY)
HOST = Contestant("nlmeans, NumPy in and out", OURS, options={"place": "host"})
HOST_BYTES = replace(HOST, name="nlmeans, 8 bits, NumPy in and out", dtype="uint8")
WHOLE = Contestant("nlmeans, default call, arrays on the GPU", OURS, options=DEFAULT | _GREY)

CONTESTANTS = (
    KERNEL,
    DEVICE,
    HOST,
    HOST_BYTES,
    WHOLE,
    Contestant("vszipcu", "vszipcu"),
    Contestant("vszipcu, 8 bits", "vszipcu", "uint8"),
    Contestant("vs-nlm-cuda", "vs-nlm-cuda"),
    Contestant("vs-nlm-cuda, 8 bits", "vs-nlm-cuda", "uint8"),
    Contestant("KNLMeansCL", "KNLMeansCL"),
    Contestant("KNLMeansCL, 8 bits", "KNLMeansCL", "uint8"),
    Contestant("torch unfold", TORCH),
    Contestant("bm3d-cupy, another filter", "bm3d-cupy"),
    Contestant("nlmeans on the processor", "nlmeans", threads=processors(), options={"center": "max"}),
    Contestant("OpenCV on the processor, 8 bits", "OpenCV", "uint8", threads=processors()),
    Contestant("scikit-image on the processor, fast mode", "scikit-image"),
)
_ON_PROCESSOR = ("nlmeans", "OpenCV", "scikit-image")
_SCALED = (KERNEL, HOST, WHOLE)  # ours, on the sweeps
_RIVALS = ("vszipcu", "vs-nlm-cuda", "KNLMeansCL", TORCH)


@dataclass(frozen=True)
class GpuChoice:
    """What of everything is measured."""

    frame: tuple[int, int] = (1080, 1920)
    large: tuple[int, int] = (2160, 3840)  # a frame for a first look only: the sizes go further
    sizes: Sequence[int] = (256, 512, 1024, 2048, 4096, 8192)
    search_radii: Sequence[int] = (2, 4, 7, 10, 13, 17)
    patch_radii: Sequence[int] = (1, 2, 3, 4, 5)
    channels: Sequence[int] = (1, 2, 3, 4)
    batches: Sequence[int] = (1, 4, 16, 64)
    limits: Sequence[int | None] = (None, 2**30, 2**28, 2**26)  # bytes of work, on the largest picture
    side: int = 2048  # of the picture on which radii and channels are compared
    small: int = 256  # of the pictures that come in batches
    cube: int = 96  # side of the volume
    film: tuple[int, int] = (720, 1280)  # of its frames
    frames: int = 10


#: Without a GPU: everything runs, on the processor, and nothing of it is a figure of a GPU.
QUICK = GpuChoice(
    frame=(54, 96),
    large=(108, 192),
    sizes=(32, 64),
    search_radii=(2, 3),
    patch_radii=(1, 2),
    channels=(1, 2, 3, 4),
    batches=(1, 4),
    limits=(None, 2**19),
    side=48,
    small=32,
    cube=12,
    film=(36, 64),
    frames=3,
)


def on_processor(contestant: Contestant) -> Contestant:
    """One of ours, or torch's, with the processor in place of the GPU."""
    if contestant.rival == TORCH:
        name = f"{contestant.name}; run on the processor"
        return replace(contestant, name=name, options={"torch_device": "cpu"})
    options = contestant.options | {"backend": "cpu", "place": "host"}
    if contestant.options["place"] == "kernel":
        options["place"] = "kernel"
    name = f"{contestant.name.replace(', arrays on the GPU', '')}; run on the processor"
    return replace(contestant, name=name, options=options, threads=processors())


def frame(choice: GpuChoice, *, channels: int = 1, patch: int = 3, search: int = 10) -> Problem:
    """A frame of a film."""
    rows = (
        f"{choice.frame[0]}p"
        if choice.frame[0] * 16 == choice.frame[1] * 9
        else "x".join(map(str, choice.frame))
    )
    kind = {1: "grey", 3: "RGB"}[channels]
    return Problem(f"{rows} {kind} r={patch} R={search}", choice.frame, channels, "float32", patch, search)


def large_frame(choice: GpuChoice) -> Problem:
    """A frame of four times the pixels, grey."""
    return frame(replace(choice, frame=choice.large))


def rivals(choice: GpuChoice) -> Iterator[Entries]:
    """Everyone on a frame: the usual setting, the setting the others are made for, and colour."""
    yield [(frame(choice), c) for c in CONTESTANTS]
    favourite = frame(choice, patch=4, search=2)
    fast = [c for c in CONTESTANTS if c.rival in (OURS, *_RIVALS)]
    yield [(favourite, c) for c in fast]
    yield [(frame(choice, channels=3), c) for c in fast]


def sizes(choice: GpuChoice) -> Iterator[Entries]:
    """Grey pictures of every size."""
    others = [c for c in CONTESTANTS if c.rival in _RIVALS and c.dtype == "float32"]
    for side in choice.sizes:
        yield [(square(side), c) for c in (*_SCALED, *others)]


def radii(choice: GpuChoice) -> Iterator[Entries]:
    """Search radii at one patch radius, and patch radii at one search radius."""
    for search in choice.search_radii:
        yield [(square(choice.side, search_radius=search), c) for c in _SCALED]
    for patch in choice.patch_radii:
        yield [(square(choice.side, patch_radius=patch), c) for c in _SCALED]


def channels(choice: GpuChoice) -> Iterator[Entries]:
    """One to four channels, compared jointly."""
    for count in choice.channels:
        problem = square(choice.side, channels=count)
        yield [(replace(problem, name=f"{choice.side}^2, {count} channels"), c) for c in _SCALED]


def batches(choice: GpuChoice) -> Iterator[Entries]:
    """Small pictures, many in one call."""
    for count in choice.batches:
        named = replace(DEVICE, name=f"{DEVICE.name}, {count} at a time")
        yield [(square(choice.small), replace(named, options=named.options | {"batch": count}))]


def tiles(choice: GpuChoice) -> Iterator[Entries]:
    """The largest picture under limits of memory."""
    for limit in choice.limits:
        told = "as it fits" if limit is None else f"{limit / 2**20:g} MiB of work"
        options = HOST.options | ({} if limit is None else {"memory_limit": limit})
        yield [(square(max(choice.sizes)), replace(HOST, name=f"nlmeans, {told}", options=options))]


def volumes(choice: GpuChoice) -> Iterator[Entries]:
    """A volume, and a film over five frames at a time; a time is that of one plane or frame."""
    cube = square(choice.cube, patch_radius=1, search_radius=3)
    cube = replace(cube, name=f"{choice.cube}^3 r=1 R=3")
    for name, options in (("kernel's rule", {}), ("default call", DEFAULT)):
        options = options | _GREY | {"batch": choice.cube, "deep": True}
        yield [(cube, Contestant(f"nlmeans, volume, {name}, arrays on the GPU", OURS, options=options))]
    film = frame(replace(choice, frame=choice.film), search=5)
    for name, place in (("arrays on the GPU", "device"), ("NumPy in and out", "host")):
        options = DEFAULT | {"place": place, "batch": choice.frames, "film": 2}
        yield [(film, Contestant(f"nlmeans, film, {name}", OURS, options=options))]


GROUPS = (
    ("rivals", rivals),
    ("sizes", sizes),
    ("radii", radii),
    ("channels", channels),
    ("batches", batches),
    ("tiles", tiles),
    ("volumes", volumes),
)


def needs_gpu(contestant: Contestant) -> bool:
    """Whether it has nothing to do without one."""
    return contestant.rival not in _ON_PROCESSOR and contestant.options.get("backend") != "cpu"
