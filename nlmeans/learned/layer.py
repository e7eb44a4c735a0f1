"""NL-means as a differentiable layer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from nlmeans.errors import InvalidTypeError, InvalidValueError
from nlmeans.learned.arithmetic.filtering import Strength, filtered
from nlmeans.learned.arithmetic.tools import Tensor
from nlmeans.parameters import Parameters


class NLMeans(nn.Module):  # type: ignore[misc]
    """The classical filter for (B, C, *grid), with gradients for image, guide, h and sigma.

    Computes what :func:`nlmeans.denoise` does with the same parameters.

    Parameters
    ----------
    parameters : Parameters
        Radii, patch, centre rule, aggregation, sigma and strength (> 0).
    learn_h : bool
        Whether log h is trained; h starts as the parameters say.
    learn_sigma : bool
        Whether sigma is trained, the number or the one of each channel.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For h = 0 or a channel's sigma = 0, and in a call for inputs that do not fit each other, are not
        finite, or whose h^2 leaves the range of their type.

    Notes
    -----
    Time O(N (2R + 1)^n C).  Memory O(N C): regions of the grid follow one another, and what they
    computed is computed again for the gradient.  Only squared distances are taken, no roots, so the
    gradients are finite; at the kink of ``max(d2 - 2 sigma^2, 0)`` and where two weights are both the
    maximum of ``center="max"`` they are one of those on the sides, or their mean.

    References
    ----------
    A. Buades, B. Coll, J.-M. Morel, "A non-local algorithm for image denoising", CVPR 2005,
    doi:10.1109/CVPR.2005.38.

    Examples
    --------
    >>> from nlmeans import Parameters
    >>> layer = NLMeans(Parameters(patch_radius=1, search_radius=3, sigma=0.1, k=0.6), learn_h=True)
    >>> noisy = torch.rand(1, 1, 16, 16, requires_grad=True)
    >>> layer(noisy).square().sum().backward()
    >>> bool(torch.isfinite(noisy.grad).all() and torch.isfinite(layer.log_h.grad).all())
    True
    """

    def __init__(self, parameters: Parameters, *, learn_h: bool = False, learn_sigma: bool = False) -> None:
        super().__init__()
        if not isinstance(parameters, Parameters):
            raise InvalidTypeError(f"parameters must be nlmeans.Parameters, got {type(parameters).__name__}")
        if not parameters.is_one_filter:
            raise InvalidValueError(
                'the layer compares channels jointly, once: give color="joint", passes=1 and blend=0, got '
                f"color={parameters.color!r}, passes={parameters.passes} and blend={parameters.blend}"
            )
        self.parameters_ = parameters
        start = parameters.k if parameters.sigma is None else parameters.strength
        if not start:
            raise InvalidValueError("the strength must be > 0: h = 0 returns the image and has no gradient")
        if learn_sigma and parameters.sigma is None:
            raise InvalidValueError("a sigma map comes with the image, so it cannot be learned here")
        if isinstance(parameters.sigma, tuple) and 0 in parameters.sigma:  # channels are divided by it
            raise InvalidValueError(f"sigma per channel must be > 0 in every channel, got {parameters.sigma}")
        self.log_h = nn.Parameter(torch.tensor(math.log(start), dtype=torch.float64), requires_grad=learn_h)
        sigma = None if parameters.sigma is None else torch.tensor(parameters.sigma, dtype=torch.float64)
        self.sigma: Any = None if sigma is None else nn.Parameter(sigma, requires_grad=learn_sigma)

    def forward(
        self,
        image: Tensor,
        guide: Tensor | None = None,
        *,
        h: Tensor | float | None = None,
        sigma: Tensor | float | None = None,
    ) -> Tensor:
        """Filter a batch.

        Parameters
        ----------
        image : Tensor, shape (B, C, *grid)
            float32 or float64, one to three grid axes.
        guide : Tensor, shape (B, G, *grid), optional
            What is compared instead of the image; h and sigma refer to it.
        h, sigma : Tensor or float, optional
            In place of the layer's own: a number, or a map of shape (*grid) or (B, *grid) with the
            value of each query.  With sigma alone, ``h = k sigma`` where the parameters have k.

        Returns
        -------
        Tensor, shape (B, C, *grid)
        """
        feature = image if guide is None else guide
        self._check(image, "image")
        self._check(feature, "guide")
        if feature.shape[:1] + feature.shape[2:] != image.shape[:1] + image.shape[2:]:
            raise InvalidValueError(
                f"guide must have the batch and grid of the image, got {tuple(feature.shape)} for "
                f"{tuple(image.shape)}"
            )
        feature, strength = self._strength(feature, h, sigma)
        return filtered(image, feature, strength, self.parameters_)

    def _strength(
        self, feature: Tensor, h: Tensor | float | None, sigma: Tensor | float | None
    ) -> tuple[Tensor, Strength]:
        """What is compared, and h^2 and 2 sigma^2 in its units."""
        own_h = self.log_h.to(feature.dtype).exp()
        if sigma is None and self.sigma is None:
            raise InvalidValueError("the parameters have no sigma: give the map with the image, sigma=...")
        if sigma is None and self.sigma.ndim:  # each channel in units of its own sigma
            if len(self.sigma) != feature.shape[1]:
                raise InvalidValueError(
                    f"sigma has {len(self.sigma)} values for {feature.shape[1]} compared channels"
                )
            each = self.sigma.to(feature.dtype).reshape(1, -1, *(1,) * (feature.ndim - 2))
            return feature / each, Strength.of(feature, own_h if h is None else h, 1.0)
        if sigma is not None and h is None and self.parameters_.k is not None:
            start = self.parameters_.k if self.sigma is None else self.parameters_.strength
            h = own_h * (self.parameters_.k / start) * sigma  # type: ignore[operator]
        return feature, Strength.of(
            feature, own_h if h is None else h, self.sigma if sigma is None else sigma
        )

    def _check(self, x: Tensor, name: str) -> None:
        if not isinstance(x, torch.Tensor) or x.dtype not in (torch.float32, torch.float64):
            got = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
            raise InvalidTypeError(
                f"{name} must be a float32 or float64 tensor, got {got}; convert it, as by torch.as_tensor"
            )
        if not 3 <= x.ndim <= 5 or 0 in x.shape:
            raise InvalidValueError(
                f"{name} must be (batch, channels, one to three grid axes), none empty, "
                f"got shape {tuple(x.shape)}"
            )
        if not bool(torch.isfinite(x).all()):
            count = int((~torch.isfinite(x)).sum())
            raise InvalidValueError(
                f"{name} holds {count} values that are not finite; nlmeans.denoise masks them"
            )

    def extra_repr(self) -> str:
        return str(self.parameters_)
