"""The error of importing the learned part where PyTorch is not installed."""

from __future__ import annotations

from nlmeans.errors import BackendUnavailableError


class MissingTorchError(BackendUnavailableError, ImportError):
    """PyTorch is not installed; the message says how to install it."""

    def __init__(self) -> None:
        super().__init__("the learned block needs PyTorch: install it with pip install 'nlmeans[torch]'")
