"""What NL-Ridge needs of a backend: the nearest patches of each reference, and their best combinations.

A patch is called by its first row and column.  A group is a reference patch and its k - 1 nearest ones.
With y_0 the reference patch, E = (y_1 - y_0, .., y_{k-1} - y_0), X the same of the basis, and D_j the
variance of the noise of patch j, summed over its samples::

    Q = X'X + r (diag(D_1, ..) + D_0 1 1')        G = E Q^-1
    change of patch j = -D_j G_j                  change of the reference = D_0 sum_j G_j

That is Y T - Y with the T (k x k) of least quadratic risk whose columns sum to 1 (what all patches have in
common is then kept): T = I - P D, P = Q^-1 bordered by the negative sums of its rows and columns.  It is
written in differences to the reference, so that no digits are lost to what the patches have in common, and
equal patches do not change.

Where the basis is a pilot (the second step), r = 1.  In the first step it is the noisy picture itself: by
Stein's estimate of the risk X'X holds the noise already, and r = `FIRST_RIDGE` makes Q definite.  Patches
overlap: a pixel's change is the mean of theirs, with weight 1 in the first step, and then
``(1 - D_j P_jj)^-2``; D_j (1 - D_j P_jj) is the risk of patch j.

S. Herbreteau, C. Kervrann, "Towards a unified view of unsupervised non-local methods for image denoising: the
NL-Ridge approach", ICIP 2022, doi:10.48550/arXiv.2203.00570; "A unified framework of non-local parametric
methods for image denoising", SIAM Journal on Imaging Sciences 18(1), 2025, doi:10.48550/arXiv.2402.13816.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from nlmeans.backends.contract import Array, Backend, Run

FIRST_RIDGE = 1e-4  # of the variance, in the first step: a millionth of what X'X has of noise alone
LEAST_RISK = 0.02  # of a patch, in its variance: bounds the weights at 2500


@dataclass(frozen=True, eq=False)
class Grid:
    """The patches of a plane and those of them that are references."""

    shape: tuple[int, int]  # (H, W) of the planes
    patch: tuple[int, int]  # (py, px) samples of a patch, at most H and W
    rows: Array  # (ny,) int32, ascending: the references are at all of rows x cols
    cols: Array  # (nx,)


class Groups(Protocol):
    """The names a module of groups must have."""

    def nearest(
        self,
        grid: Grid,
        feature: Array,
        barred: Array | None,
        radius: tuple[int, int],
        farthest: Array,
        k: int,
        run: Run,
    ) -> Array:
        """The partners (ny, nx, k) int32 of each reference, as y W + x of their first pixel.

        The reference comes first, the others by position; -1 stands where there are no more.  Partners are
        the k - 1 patches of least ``d = sum_c sum_o (feature_c(i + o) - feature_c(j + o))^2`` at most
        `radius` away; of equally far ones those that come first.  d is at most `farthest`, finite, (H, W) at
        the reference or (1,) for all.  `feature` is (C, H, W); `barred` (H, W) is infinite at the first
        pixel of a patch that is no partner, and else 0.
        """

    def combine(
        self,
        grid: Grid,
        noisy: Array,
        basis: Array,
        variance: Array,
        ridge: float,
        weighted: bool,
        partners: Array,
        run: Run,
    ) -> tuple[Array, Array]:
        """Sums over the patches that cover a pixel: (V, H, W) of weight times change, (H, W) of weights.

        `noisy` and `basis` (the same object in the first step) are (V, H, W): the samples of all planes make
        one patch.  `variance` is D: (H, W) at the first pixel of a patch, or (1,) for all.  `ridge` is r;
        where patches are not `weighted`, each weight is 1.
        """


def of(backend: Backend) -> Groups:
    """The groups of a backend that was chosen for them: on a GPU those of the reference, with its arrays."""
    name = backend.__name__.rpartition(".")[2]  # type: ignore[attr-defined]
    return cast(Groups, import_module(f"nlmeans.backends.groups.{'cpu' if name == 'cpu' else 'reference'}"))


def spread(votes: Array, patch: tuple[int, int]) -> Array:
    """Weights at the first pixels of patches, over their pixels."""
    for axis, size in enumerate(patch):
        along = votes.swapaxes(axis, 0)
        total = along.copy()
        for o in range(1, size):
            total[o:] += along[: len(along) - o]
        votes = total.swapaxes(axis, 0)
    return votes
