"""Bugs planted in the CUDA kernels, each of which the emulator must catch.

A test of the tests: were one of these to pass, a real bug of its kind could too.  A few are run each
time; ``NLMEANS_PLANTED_BUGS=all`` runs every one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest

from nlmeans.backends.cuda_shape import Device

from ..conftest import TOLERANCE
from ..cuda_emulator.emulator import COMPILER, Emulator, EmulatorError
from ..cuda_emulator.problems import Case, exact_accumulate, exact_aggregate, picture_error, weight_error
from .test_cuda_emulator import ONE_WAVE, OWN_AT_THE_END, TIGHT, WEIGHTS, run

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++ on the PATH")

SMALL = Case(9, 30, radius=(2, 2), votes="some")
INNER = Case(72, 250, radius=(1, 2))  # has blocks where everything votes
MAPS = Case(9, 30, bias="plane", scale="plane")
TAPS = Case(9, 30, taps="gaussian")
CHUNKS = Case(9, 30, radius=(6, 2))
AT_THE_END = Case(**OWN_AT_THE_END, radius=(0, 63))
TWO_WARPS = Device(
    multiprocessors=1, shared_per_block=26 * 1024, shared_per_multiprocessor=27 * 1024
)  # CHUNKS


@dataclass(frozen=True)
class Bug:
    """A piece of kernel text, what it is replaced by, and the call that must notice."""

    what: str
    before: str
    after: str
    entry: str = "accumulate"
    case: Case = SMALL
    build: str = "plain"
    device: Device = field(default=ONE_WAVE)
    always: bool = False  # run each time

    def __str__(self) -> str:
        return self.what.replace(" ", "_")


BUGS = [
    # barriers and races
    Bug(
        "no barrier before the tile is loaded again",
        "__syncthreads();  // the chunk before is done with the tiles",
        "",
        case=CHUNKS,
        device=TIGHT["accumulate"],
        build="thread",
        always=True,
    ),
    Bug(
        "no barrier after the tile is loaded",
        "const bool all_vote = __syncthreads_and(all);",
        "const bool all_vote = all;",
        build="thread",
        always=True,
    ),
    Bug(
        "no barrier after the tile is loaded second pass",
        "const bool all_vote = __syncthreads_and(all);",
        "const bool all_vote = all;",
        entry="aggregate",
        build="thread",
    ),
    Bug(
        "a warp leaves while its block still meets",
        "if (here.y >= window.height) continue;",
        "if (here.y >= window.height) return;",
        case=CHUNKS,
        device=TWO_WARPS,
        always=True,
    ),
    Bug(
        "a shuffle on a path that not all lanes take",
        "from_left[n] = __shfl_up_sync(ALL, last[n], 1);",
        "from_left[n] = threadIdx.x ? __shfl_up_sync(ALL, last[n], 1) : 0.0f;",
        always=True,
    ),
    # the border
    Bug("reflection about the pixel", "index = -1 - index;", "index = -index;", always=True),
    Bug("reflection one off at the far end", "index = 2 * n - 1 - index;", "index = 2 * n - 2 - index;"),
    Bug("reflection not folded", "index %= 2 * n;", "", case=Case(2, 3), build="address"),
    Bug("one column past the plane", "x >= 0 && x < window.width", "x >= 0 && x <= window.width"),
    Bug("one row before the plane", "return y >= 0 &&", "return y >= -1 &&", build="address", always=True),
    # tiles
    Bug(
        "key tile one row low",
        "chunk.pitch, z, y - PATCH_Y, x, window",
        "chunk.pitch, z, y - PATCH_Y + 1, x, window",
    ),
    Bug(
        "last row of the query tile not loaded",
        "query, QUERY_ROWS, SPAN",
        "query, QUERY_ROWS - 1, SPAN",
        case=Case(16, 30),
    ),
    Bug(
        "last column of a tile not loaded",
        "column < columns; column += LANES",
        "column < columns - 1; column += LANES",
        case=Case(9, 130, patch=(4, 4)),
    ),
    Bug(
        "tile rows too short for whole quads",
        "((count_x + 2) & ~3)",
        "((count_x - 1) & ~3)",
        case=Case(9, 130, radius=(2, 3)),
    ),
    Bug(
        "one row past the shared memory",
        "load_votes(vote_tile, vote, value_rows,",
        "load_votes(vote_tile, vote, value_rows + 1,",
        build="address",
        always=True,
    ),
    Bug(
        "a read at an address that is no multiple of 16",
        "const int corner = here.warp * ROWS * chunk.pitch + here.lane * COLUMNS;",
        "const int corner = here.warp * ROWS * chunk.pitch + here.lane * COLUMNS + 1;",
        case=INNER,
        build="address",
    ),
    Bug(
        "a warp reads its neighbour's rows",
        "here.warp * ROWS * chunk.pitch",
        "here.warp * (ROWS - 1) * chunk.pitch",
    ),
    # sums
    Bug(
        "shuffle from two lanes away",
        "__shfl_up_sync(ALL, last[n], 1)",
        "__shfl_up_sync(ALL, last[n], 2)",
        always=True,
    ),
    Bug(
        "prefix and suffix exchanged",
        "__shfl_down_sync(ALL, first[n], 1)",
        "__shfl_down_sync(ALL, last[n], 1)",
    ),
    Bug("one neighbour column missing", "if (begin < 0) sums", "if (begin < -1) sums"),
    Bug(
        "rows that leave counted for every row",
        "staying[k][j] + leaving[row][k][j]",
        "staying[k][j] + leaving[0][k][j]",
    ),
    Bug("column sums not started", "staying[k][j] = start[k];", "if (k) staying[k][j] = start[k];"),
    Bug(
        "first vertical tap for all",
        "window.taps_y[UP ? 2 * PATCH_Y - (enters - row) : enters - row]",
        "window.taps_y[0]",
        case=TAPS,
    ),
    Bug(
        "first horizontal tap for all",
        "window.taps_x[o] * line[j + o]",
        "window.taps_x[0] * line[j + o]",
        case=TAPS,
    ),
    # weights and votes
    Bug("bias with the wrong sign", "* S - bias;", "* S + bias;", case=MAPS, always=True),
    Bug("bias of a number left out", "(BIAS == 1 ? window.start : 0.0f)", "0.0f"),
    Bug("weights above one", "BIAS ? -fmaxf(S, 0.0f) : -S", "-S"),
    Bug("scale of the query left out", "fmaxf(scale, LEAST_SCALE) * S", "S", case=MAPS),
    Bug(
        "vote of the wrong column", "if (VOTES) w = vote.at(j + k)", "if (VOTES) w = vote.at(j)", always=True
    ),
    Bug("no votes", "if (VOTES) w = vote.at(j + k) ? w : 0.0f;", ""),
    Bug("votes of others taken for one's own", "all = all && counts == 1.0f;", "all = true;"),
    Bug("the pixel itself counted", "k == skip ? NEVER", "false ? NEVER", case=INNER, always=True),
    Bug(
        "the pixel itself counted at the end of a chunk",
        "sweep<GROUP, VOTES>(totals, at.moved(dx), skip - dx, window);",
        "sweep<GROUP, VOTES>(totals, at.moved(dx), dx + GROUP < window.chunk_x ? skip - dx : -1, window);",
        case=AT_THE_END,
        always=True,
    ),
    Bug(
        "the pixel itself counted at the end of a chunk second pass",
        "sweep<PAIR, PAIR, false>(totals, query, at.moved(dx), skip - dx, window);",
        "sweep<PAIR, PAIR, false>(totals, query, at.moved(dx), dx + GROUP < window.chunk_x ? skip - dx : -1, "
        "window);",
        "aggregate",
        AT_THE_END,
    ),
    Bug(
        "the pixel below left out",
        "window.own && chunk.dy + y == 0",
        "window.own && chunk.dy + y == 1",
        case=INNER,
    ),
    Bug("own value of the wrong row", "(v * BLOCK_ROWS + row) * SPAN", "(v * BLOCK_ROWS + (row ^ 1)) * SPAN"),
    Bug(
        "own value of the wrong row second pass",
        "(v * BLOCK_ROWS + row) * SPAN",
        "(v * BLOCK_ROWS + (row ^ 1)) * SPAN",
        "aggregate",
    ),
    Bug(
        "own values of the key plane", "own_tile, own_value,", "own_tile, value,", case=Case(9, 30, own=False)
    ),
    Bug(
        "own values not loaded for every row",
        "own_tile, own_value, BLOCK_ROWS",
        "own_tile, own_value, BLOCK_ROWS - 1",
        case=Case(16, 30),
    ),
    Bug("values instead of differences", "(value[v][j + k] - own[v][j])", "value[v][j + k]", always=True),
    Bug("four votes, of another column", "1u << 8 * (n % 4)", "1u << 8 * (n & 1)"),
    Bug(
        "readable: own value of the candidate",
        "own_value[v * stack + i]",
        "0.5f",
        case=Case(5, 9, patch=(5, 5)),
    ),
    Bug("value of the wrong row", "at.value_plane + row * at.pitch", "at.value_plane + (row + 1) * at.pitch"),
    Bug("lowest weight for the highest", "fmaxf(totals.peak[row][j], w)", "fminf(totals.peak[row][j], w)"),
    Bug(
        "nothing done where everything votes",
        "sweep_chunk<false>(totals, at, chunk, window);",
        ";",
        case=INNER,
        always=True,
    ),
    # the window and the result
    Bug("last row of shifts left out", "window.radius_y + 1 - dy", "window.radius_y - dy"),
    Bug(
        "last shift of a row left out",
        "window.radius_x + 1 - dx : window.chunk_x",
        "window.radius_x - dx : window.chunk_x",
    ),
    Bug("slices count the same shifts", "n += window.slices", "n += 1", case=CHUNKS, device=Device()),
    Bug("lanes without neighbours write", "lane >= HALO && lane < LANES - HALO", "true", case=Case(9, 130)),
    Bug(
        "columns past the plane are written",
        "if (!in_plane(y, x, window)) continue;",
        "if (!in_plane(y, 0, window)) continue;",
        build="address",
    ),
    Bug(
        "first slice twice",
        "int slice = 1; slice < slices",
        "int slice = 0; slice < slices",
        case=CHUNKS,
        device=Device(),
    ),
    # the second pass
    Bug(
        "patch centres outside the plane count",
        "1.0f, 0.0f, here, window",
        "1.0f, 1.0f, here, window",
        "aggregate",
        always=True,
    ),
    Bug("vote of the patch's top row", "(row + PATCH_Y) * at.pitch", "row * at.pitch", "aggregate"),
    Bug(
        "second half of a group takes the first",
        "sweep<PAIR, PAIR, false>",
        "sweep<PAIR, 0, false>",
        "aggregate",
        INNER,
    ),
    Bug(
        "one row of the result too late",
        "finish(n + LEAVING - 2 * PATCH_Y)",
        "finish(n + LEAVING - 2 * PATCH_Y - (n > 2))",
        "aggregate",
    ),
    Bug(
        "normaliser of the wrong row",
        "query.normaliser + row * SPAN",
        "query.normaliser + (row + 1) * SPAN",
        "aggregate",
    ),
    Bug(
        "too few lanes left out",
        "constexpr int HALO = (2 * PATCH_X",
        "constexpr int HALO = (PATCH_X",
        "aggregate",
        Case(9, 130),
    ),
    Bug("sums of weights not started", "staying[N][COLUMNS] = {};", "staying[N][COLUMNS];", "aggregate"),
    # the readable kernels
    Bug("readable: the patch's own column", "i.x + s.dx + ox", "i.x + ox", case=Case(5, 9, patch=(5, 5))),
    Bug("readable: centre left out", "w = center[at];", "w = 0;", "aggregate", Case(5, 9, patch=(5, 5))),
    Bug("readable: batches not added", "window.add ? denominator[own] : 0", "0", "aggregate", INNER),
]


def caught(bug: Bug) -> str | None:
    """How a bug was noticed, or None."""
    planted = []

    def plant(name: str, text: str) -> str:
        if bug.before in text:
            planted.append(name)
        return text.replace(bug.before, bug.after)

    expected = exact_accumulate(bug.case) if bug.entry == "accumulate" else exact_aggregate(bug.case)
    for seed, fill in ((1, 0xFF), (2, 0x7F)):
        emulator = Emulator(bug.device, bug.build, seed=seed, fill=fill, change=plant)
        try:
            got = run(bug.entry, bug.case, emulator)
        except EmulatorError as error:
            return str(error)
        assert planted, f"no kernel of this call has the text {bug.before!r}"
        if not picture_error(bug.case, got, expected) < TOLERANCE["ordinary"]:
            return "the picture differs"
        if not weight_error(got, expected) < WEIGHTS:
            return "the weights differ"
    return None


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_planted_bug_is_caught(bug: Bug) -> None:
    if not bug.always and os.environ.get("NLMEANS_PLANTED_BUGS") != "all":
        pytest.skip("one of many; NLMEANS_PLANTED_BUGS=all runs every one")
    assert caught(bug), f"nothing noticed: {bug.what}"
