"""The non-local block: ``z = x + W_z(y)`` around the non-local mean y of learned features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar, Unpack

import torch
from array_api_compat import torch as xp
from torch import nn

from nlmeans.errors import InvalidValueError
from nlmeans.learned.arithmetic.features import (
    Embedding,
    check_guide,
    embedded,
    joined_heads,
    pooled_mask,
    unchanged,
)
from nlmeans.learned.arithmetic.given import check_features, checked_mask
from nlmeans.learned.arithmetic.maps import all_rows, check_rows, named_rows
from nlmeans.learned.arithmetic.projection import Output, Projection, saturated
from nlmeans.learned.arithmetic.routes import MEMORY_LIMIT, attend
from nlmeans.learned.arithmetic.tools import Tensor
from nlmeans.learned.arithmetic.windows import seen
from nlmeans.learned.nlmeans_block import classical
from nlmeans.learned.settings import (
    LEAST_LOG_BANDWIDTH,
    BlockSettings,
    SettingNames,
    norm_hint,
    plain_name,
)
from nlmeans.operation.nonlocal_mean import Task
from nlmeans.operation.similarity import Euclidean
from nlmeans.parameters import Parameters, integer, number

Norm = Callable[[int], nn.Module]


class NonLocalBlock(nn.Module):  # type: ignore[misc]
    """The block of one to three grid axes; the public classes say how many."""

    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        inter_channels: int | None = None,
        *,
        bandwidth: float | None = None,
        learn_bandwidth: bool = False,
        guide_channels: int | None = None,
        norm: str | Norm | None = None,
        zero_init: bool = True,
        max_memory: int = MEMORY_LIMIT,
        check_finite: bool = True,
        device: Any = None,
        dtype: Any = None,
        **settings: Unpack[SettingNames],
    ) -> None:
        super().__init__()
        self.in_channels = integer("in_channels", in_channels, 1)
        half = max(1, self.in_channels // 2)
        self.inter_channels = half if inter_channels is None else integer("inter_channels", inter_channels, 1)
        self.guide_channels = self.in_channels
        if guide_channels is not None:
            self.guide_channels = integer("guide_channels", guide_channels, 1)
        self.settings = BlockSettings(**settings)
        of_x = self.settings.mode == "gaussian"
        self.settings.check_heads(self.inter_channels, self.guide_channels if of_x else self.inter_channels)
        self.settings.radii(self.axes), self.settings.pooling(self.axes)  # as many as there are axes
        self.max_memory = integer("max_memory", max_memory, 1, 2**62)
        self.check_finite = check_finite
        self.center: str | None = None  # a rule of NL-means, where this is one
        self.sigma = 0.0  # and its noise, which no learned block subtracts
        self.register_parameter("log_h", self._bandwidth(bandwidth, learn_bandwidth))
        self._build(norm)
        if zero_init:
            self.conv_out.make_zero()
        self.to(device=device, dtype=dtype)

    def _build(self, norm: str | Norm | None) -> None:
        """The four projections, by the names and shapes of mmcv's block."""
        mode, inner, heads = self.settings.mode, self.inter_channels, self.settings.heads
        self.g = Projection(self.in_channels, inner, self.axes)
        self.theta = None if mode == "gaussian" else Projection(self.guide_channels, inner, self.axes)
        untied = self.theta is not None and not self.settings.tied
        self.phi = Projection(self.guide_channels, inner, self.axes) if untied else None
        self.concat_project = None
        if mode == "concatenation":
            self.concat_project = Projection(2 * inner // heads, heads, 2, bias=False)
        self.conv_out = Output(inner, self.in_channels, self.axes, norm)

    def _bandwidth(self, bandwidth: float | None, learn: bool) -> nn.Parameter | None:
        """log h of the euclidean mode: a logarithm stays in range whatever the step."""
        if self.settings.mode != "euclidean":
            if bandwidth is not None or learn:
                raise InvalidValueError('bandwidth and learn_bandwidth belong to mode="euclidean"')
            return None
        h = (
            self.settings.bandwidth(self.inter_channels // self.settings.heads)
            if bandwidth is None
            else number("bandwidth", bandwidth)
        )
        if h == 0:
            raise InvalidValueError("bandwidth must be > 0, got 0")
        heads = self.settings.heads
        log_h = torch.tensor(math.log(h)) if heads == 1 else torch.full((heads,), math.log(h))
        return nn.Parameter(log_h, requires_grad=bool(learn))

    # --- evaluation --------------------------------------------------------------------------

    def forward(
        self,
        x: Tensor,
        guide: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        return_attention: bool = False,
    ) -> Any:
        """The block of (B, C, *grid): the same shape and type; or that and the attention maps.

        Parameters
        ----------
        x : Tensor, shape (B, C, *grid)
            Features; their g(x) are averaged.
        guide : Tensor, shape (B, G, *grid), optional
            What is compared in the place of x, with G = `guide_channels`.
        mask : Tensor of bool, shape (*grid) or (B, *grid), optional
            True where a position takes part as a key.  A query none of whose keys does gets no
            contribution: x itself, or 0 without `residual`.  Positions outside of the mask are queries
            all the same; with `sub_sample` a cell is the largest of its positions in the mask.
        return_attention : bool
            Also return the maps: (B, N, *keys) for N = prod(grid) queries, with heads (B, heads, N, *keys).
            They take memory in N squared: a MemoryLimitError beyond `max_memory`.  :meth:`attention` gives
            those of named queries instead.
        """
        x_, guide, mask = self._given(x, guide, mask)
        with _without_autocast(x):
            query, key, value, valid = self._compared(x_, guide, mask)
            task = self._task(query)
            if return_attention:
                check_rows(query, key, math.prod(x.shape[2:]), task)
            mean = joined_heads(attend(query, key, value, task, valid), self.settings.heads, xp)
            result = self.conv_out(mean, x.dtype)
            if mask is not None:
                keys = pooled_mask(mask, self.settings.pooling(self.axes), xp)
                some = seen(keys, self.settings.radii(self.axes))
                result = torch.where(some[:, None], result, 0)
            if self.settings.residual:
                result = x_ + result
            result = saturated(result, x.dtype)
            if not return_attention:
                return result
            return result, self._by_head(all_rows(query, key, valid, task))

    def attention(
        self,
        x: Tensor,
        queries: Sequence[Sequence[int]],
        guide: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The attention maps of some queries, without those of the others.

        Parameters
        ----------
        x : Tensor, shape (B, C, *grid)
            Features, as for the block.
        queries : sequence of sequence of int
            n positions, each one index per grid axis.
        guide, mask : Tensor, optional
            As for the block.

        Returns
        -------
        Tensor, shape (B, n, *keys), or (B, heads, n, *keys) with heads
            The weight of every key's value: the sum over a row is 1 where `normalisation` is
            "softmax".  `keys` is the grid, or the pooled grid with `sub_sample`.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            For positions outside of the grid, and as the block.
        MemoryLimitError
            For more maps than `max_memory` holds.
        """
        work, guide, mask = self._given(x, guide, mask)
        with _without_autocast(x):
            query, key, _, valid = self._compared(work, guide, mask)
            return self._by_head(named_rows(query, key, valid, queries, self._task(query)))

    def embedded(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, *grid, D), keys (B, *keys, D) and values (B, *keys, V) of (B, C, *grid).

        With heads: (B heads, *grid, D / heads) and so on, a head's bandwidth or weights within.
        """
        return self._compared(x, None, None)[:3]

    def _compared(
        self, x: Tensor, guide: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries, keys and values with heads in the batch, and which keys take part."""
        weight, h = self._weight_and_h(x.dtype)
        theta = unchanged if self.theta is None else self.theta
        phi = theta if self.phi is None else self.phi
        by = Embedding(theta, phi, self.g, *self.settings.head_factors(weight, h))
        x = x.movedim(1, -1)
        compared = x if guide is None else guide.movedim(1, -1)
        result: tuple[Tensor, Tensor, Tensor, Tensor | None] = embedded(
            x, compared, mask, by, self.settings, xp
        )
        return result

    def _by_head(self, rows: Tensor) -> Tensor:
        heads = self.settings.heads
        return rows if heads == 1 else rows.unflatten(0, (-1, heads))

    @classmethod
    def from_parameters(cls, parameters: Parameters, channels: int = 1) -> NonLocalBlock:
        """NL-means as a block: patches as the embedding, identities for g and W_z, no residual.

        Parameters
        ----------
        parameters : Parameters
            With ``aggregate="pixel"``, one sigma or one per channel, and h > 0.
        channels : int
            Channels of the images it will see.

        Returns
        -------
        NonLocal1d, NonLocal2d or NonLocal3d
            Equal to ``nlmeans.denoise`` with the same parameters.  Memory O(N C (2r + 1)^n); the layer
            :class:`nlmeans.learned.NLMeans` needs O(N C).

        Raises
        ------
        InvalidValueError
            For what a block cannot do: patch aggregation, a sigma map, h = 0.
        """
        block: NonLocalBlock = classical(cls, parameters, channels)
        return block

    def _weight_and_h(self, dtype: torch.dtype) -> tuple[Tensor | None, Any]:
        """The weights of "concatenation" (heads, 2 D) and the bandwidth, of each head or of one."""
        weight = None if self.concat_project is None else self.concat_project.conv.weight.flatten(1).to(dtype)
        h = 1.0 if self.log_h is None else self.log_h.to(dtype).clamp(min=LEAST_LOG_BANDWIDTH).exp()
        return weight, h

    def _task(self, query: Tensor) -> Task:
        """How the core takes this block's mean."""
        weight, h = self._weight_and_h(query.dtype)
        if weight is not None:
            weight = weight[0] if self.settings.heads == 1 else query.new_ones(weight.shape[1])
        h = h if self.settings.heads == 1 else 1.0
        similarity = self.settings.similarity(query.shape[-1], weight=weight, h=h)
        if isinstance(similarity, Euclidean):
            similarity = replace(similarity, sigma=self.sigma)
        return Task.of(
            similarity,
            self.settings.divisor,
            self.settings.radii(self.axes),
            self.center,
            self.max_memory,
        )

    def _given(self, x: Tensor, guide: Tensor | None, mask: Tensor | None) -> tuple[Any, ...]:
        """The three, checked, halves widened."""
        kind, finite = type(self).__name__, self.check_finite
        check_features(x, self.axes, self.in_channels, name="x", kind=kind, finite=finite)
        if guide is not None:
            channels = self.guide_channels
            check_features(guide, self.axes, channels, name="guide", kind=kind, finite=finite)
            check_guide(guide, x)
        elif self.guide_channels != self.in_channels:
            raise InvalidValueError(
                f"this block compares a guide of {self.guide_channels} channels: call it as block(x, guide)"
            )
        work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x  # products exceed a half
        return work, None if guide is None else guide.to(work.dtype), checked_mask(mask, x)

    # --- state -------------------------------------------------------------------------------

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Also take the names of blocks whose pooling stands in a sequence with the projection."""
        for name in [n for n in state if n.startswith(prefix)]:
            state[prefix + plain_name(name.removeprefix(prefix))] = state.pop(name)
        hint = norm_hint(state, f"{prefix}conv_out.", self.conv_out.norm_name)
        if hint:
            rest[-1].append(hint)
        super()._load_from_state_dict(state, prefix, *rest)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.inter_channels}, {self.settings}"


def _without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Autocast is off; it does not know of meta tensors."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


class NonLocal1d(NonLocalBlock):
    """The non-local block for sequences: (B, C, N); see :class:`NonLocal2d`."""

    axes = 1


class NonLocal2d(NonLocalBlock):
    """The non-local block for images: (B, C, H, W) to the same shape.

    ``z = x + W_z(y)`` with y the non-local mean of g(x), weighted by the similarity of theta(x) and
    phi(x); the four are 1 x 1 convolutions.  The names in the state dict are those of mmcv's block,
    whose weights load (with ``sub_sample=True`` too).  At construction the block is an identity.

    Parameters
    ----------
    in_channels : int
        Channels C of the input.
    inter_channels : int, optional
        Width of the embeddings and of g.  Default: half of `in_channels`, at least 1.
    bandwidth : float, optional
        h of ``exp(-|q - k|^2 / h^2)`` in mode "euclidean", > 0; every head starts with it.  Default:
        sqrt(0.1) with `unit_length`, which starts sharp, else ``sqrt(2) D ** 0.25``.
    learn_bandwidth : bool
        Whether log h is trained.
    guide_channels : int, optional
        Channels of the guide that is compared, where it has others than x; then every call needs one.
    norm : "batch" or callable, optional
        A norm after W_z: batch normalisation, or what ``norm(channels)`` returns.
    zero_init : bool
        Start as an identity: zeros in the norm's weight and bias, or in W_z where there is no norm.
        In the first step only these get a gradient, in the second theta, phi and g too.
    max_memory : int
        Bytes one evaluation may take beyond its input; more is refused before it is allocated.
    check_finite : bool
        Refuse NaN and infinity; on a GPU this waits for the input.  Not looked for while a block is traced
        (``torch.compile``, ``torch.export``), nor in meta tensors.
    device, dtype : optional
        Of the weights, as for torch's own layers.
    **settings
        `mode`, `normalisation`, `scale`, `window`, `sub_sample`, `pool_position`, `tied`,
        `unit_length`, `residual` and `heads`: see :class:`nlmeans.learned.settings.BlockSettings`.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        At construction for unknown or contradictory settings, in a call for inputs that do not fit.
    MemoryLimitError
        For a map that does not fit `max_memory`.

    Notes
    -----
    No mode builds the N x N weights; time and memory are in :mod:`nlmeans.learned.arithmetic.routes`.
    A gradient of a gradient needs torch's plain attention: wrap forward and backward in
    ``torch.nn.attention.sdpa_kernel(SDPBackend.MATH)``, which takes memory in N^2.
    Half types are computed in float32; a result beyond their range is the largest number they have.

    References
    ----------
    X. Wang, R. Girshick, A. Gupta, K. He, "Non-local neural networks", CVPR 2018,
    doi:10.1109/CVPR.2018.00813.

    Examples
    --------
    >>> block = NonLocal2d(8, mode="euclidean", tied=True, unit_length=True, window=3)
    >>> x = torch.randn(1, 8, 12, 10)
    >>> bool((block(x) == x).all())
    True
    >>> block.attention(x, [(5, 5), (0, 0)]).shape
    torch.Size([1, 2, 12, 10])

    Four heads, with a guide and without the left half as keys:

    >>> block = NonLocal2d(8, 8, heads=4, guide_channels=3)
    >>> mask = torch.arange(10).expand(12, 10) >= 5
    >>> block(x, torch.randn(1, 3, 12, 10), mask).shape
    torch.Size([1, 8, 12, 10])
    """

    axes = 2


class NonLocal3d(NonLocalBlock):
    """The non-local block for volumes and video: (B, C, T, H, W); see :class:`NonLocal2d`."""

    axes = 3
