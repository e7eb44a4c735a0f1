"""`nlmeans.denoise` as a step among the transforms of a data set."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import nn

from nlmeans.denoising import denoise
from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter, shown
from nlmeans.learned.arithmetic.tools import Tensor
from nlmeans.parameters import Settings, check_names

_OF_ONE_PICTURE = ("channel_axis", "mask", "guide", "guide_sigma")


class Denoise(nn.Module):  # type: ignore[misc]
    """`nlmeans.denoise` for tensors of pictures, as a transform: what torchvision's `v2.Compose` takes.

    Every picture of a batch is denoised alone.  The layer `NLMeans` is the one with gradients.

    Parameters
    ----------
    workers : int, optional
        Threads, as for `nlmeans.denoise`; 1 in the workers of a DataLoader.
    **settings
        Any of `nlmeans.denoise`'s parameters from `method` to `nan` but `channel_axis`, `mask`, `guide` and
        `guide_sigma`.  What is left out is chosen for each picture.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        In a call: for what is no tensor (..., C, H, W) of a type that `denoise` takes or bfloat16, and for
        one that requires a gradient.

    Notes
    -----
    Shape, type, device and subclass (torchvision's `tv_tensors.Image`) are kept.  A tensor on a GPU stays
    there where CuPy and CUDA can run, else it is copied to the processor and back.  There is no gradient.
    Further arguments, such as labels, come back as they are.  Time and memory are those of `denoise`, once
    for each picture.

    Examples
    --------
    >>> step = Denoise(sigma=0.1)
    >>> step(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
    """

    def __init__(self, *, workers: int | None = None, **settings: Unpack[Settings]) -> None:
        super().__init__()
        check_names(settings)
        for name in _OF_ONE_PICTURE:
            if name in settings:
                raise InvalidValueError(
                    Parameter(name),
                    " cannot be given to a transform: pictures are (..., C, H, W), each alone",
                )
        self.settings, self.workers = settings, workers

    def forward(self, image: Tensor, *others: Any) -> Any:
        """Denoise pictures.

        Parameters
        ----------
        image : Tensor, shape (..., C, H, W)
            One picture or any number of them.
        *others
            Labels and the like.

        Returns
        -------
        Tensor, or tuple of Tensor and the others
        """
        self._check(image)
        plain = image.as_subclass(torch.Tensor)
        given = plain.float() if plain.dtype == torch.bfloat16 else plain
        if given.device.type != "cpu" and not _runs_there(given):
            given = given.cpu()
        batch = given.reshape(-1, *given.shape[-3:])
        settings: Any = {**self.settings, "channel_axis": 1}
        clean = denoise(batch, **settings, batch_axis=0, workers=self.workers)
        result = clean.reshape(image.shape).to(plain.device, plain.dtype).as_subclass(type(image))
        return (result, *others) if others else result

    def _check(self, image: object) -> None:
        if not isinstance(image, torch.Tensor):
            raise InvalidTypeError(
                f"a tensor (..., C, H, W) is needed, got {type(image).__name__}; v2.ToImage() makes one"
            )
        if image.ndim < 3 or 0 in image.shape:
            raise InvalidValueError(
                f"a tensor (..., C, H, W) is needed, none of these 0, got shape {tuple(image.shape)}"
            )
        if image.requires_grad:
            raise InvalidValueError(
                "Denoise has no gradient, and the tensor requires one; pass image.detach(), or use the layer "
                "nlmeans.learned.NLMeans"
            )

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={shown(value)}" for name, value in self.settings.items())


def _runs_there(tensor: Tensor) -> bool:
    """Whether the filter runs on the tensor's own device."""
    from nlmeans.backends import describe

    return tensor.device.type == "cuda" and dict(describe())["cuda"] is None
