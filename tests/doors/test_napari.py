"""The plugin of napari: its manifest, what is computed of a layer, the widgets in a window without a screen.

napari itself is not needed: a viewer is a list of layers with events.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nlmeans
from nlmeans.napari_plugin import layers
from nlmeans.napari_plugin.layers import ALONE, CHANNELS, VOLUME

RNG = np.random.default_rng(5)
QUICK: dict[str, Any] = {"patch_radius": 1, "search_radius": 2, "k": 0.6, "sigma": 10.0}


@dataclass
class Image:
    """A layer as napari's, with what is asked of it."""

    data: Any
    name: str = "cells"
    rgb: bool = False
    multiscale: bool = False
    axis_labels: tuple[str, ...] = ()
    scale: tuple[float, ...] = (1.0, 0.5)

    def as_layer_data_tuple(self) -> tuple[Any, dict[str, Any], str]:
        more = {"name": self.name, "scale": self.scale, "rgb": self.rgb, "gamma": 0.8, "visible": True}
        return self.data, more | {"colormap": "green", "contrast_limits": (0, 200)}, "image"


class Labels:
    """A layer that is no image."""

    name = "outlines"


def noisy(*shape: int) -> np.ndarray:
    return np.clip(RNG.normal(100, 10, shape), 0, 255).astype(np.uint8)


def nothing(_: float) -> None:
    pass


# --- what is computed ----------------------------------------------------------------------------


def test_a_picture_and_colours_are_what_denoise_makes() -> None:
    grey, colours = noisy(20, 24), noisy(20, 24, 3)
    got = layers.denoised(Image(grey), [], QUICK, nothing)
    np.testing.assert_array_equal(got, nlmeans.denoise(grey, **QUICK))
    got = layers.denoised(Image(colours, rgb=True), [], QUICK, nothing)
    np.testing.assert_array_equal(got, nlmeans.denoise(colours, channel_axis=-1, **QUICK))


def test_axes_are_what_they_are_said_to_be() -> None:
    """Times, channels, depth, rows and columns: each time a volume of channels by itself."""
    stack = noisy(2, 3, 4, 10, 12)
    got = layers.denoised(Image(stack), [ALONE, CHANNELS, VOLUME], QUICK, nothing)
    for t in range(2):
        radii = {
            "patch_radius": (1, 1, 1),
            "search_radius": (2, 2, 2),
        }  # so that it is a volume, without a doubt
        alone = nlmeans.denoise(stack[t], channel_axis=0, **QUICK | radii)
        np.testing.assert_array_equal(got[t], alone)
    got = layers.denoised(Image(stack), [VOLUME, ALONE, ALONE], QUICK, nothing)
    np.testing.assert_array_equal(got[:, 1, 2], nlmeans.denoise(stack[:, 1, 2], **QUICK))
    planes = layers.denoised(Image(stack), [ALONE] * 3, QUICK, nothing)
    np.testing.assert_array_equal(planes[1, 2, 3], nlmeans.denoise(stack[1, 2, 3], **QUICK))
    assert not np.array_equal(planes, got)


def test_settings_may_be_shared() -> None:
    stack = np.stack([noisy(40, 40), np.full((40, 40), 100, np.uint8)])
    own = layers.denoised(Image(stack), [ALONE], {}, nothing)
    shared = layers.denoised(Image(stack), [ALONE], {}, nothing, share=True)
    np.testing.assert_array_equal(shared, nlmeans.denoise(stack, batch_axis=0, share="settings"))
    assert not np.array_equal(own, shared)


def test_wide_integers_become_floats_and_the_finest_resolution_is_taken() -> None:
    wide = noisy(12, 14).astype(np.int64)
    got = layers.denoised(Image([wide, wide[::2, ::2]], multiscale=True), [], QUICK, nothing)
    assert (got.dtype, got.shape) == (np.float32, (12, 14))


def test_what_no_image_has_is_refused() -> None:
    for roles, rgb in (([VOLUME, VOLUME], False), ([CHANNELS, CHANNELS], False), ([CHANNELS], True)):
        with pytest.raises(nlmeans.InvalidValueError, match="set the others"):
            layers.check_roles(roles, rgb=rgb)


def test_axes_with_names_begin_with_their_roles() -> None:
    assert layers.first_roles((5, 3, 7), ("t", "C", "z", "y", "x")) == [ALONE, CHANNELS, VOLUME]
    assert layers.first_roles((5, 3), ()) == [ALONE, ALONE]


def test_the_result_lies_where_the_image_does() -> None:
    assert layers.attributes(Image(noisy(4, 4))) == {
        "name": "cells denoised",
        "scale": (1.0, 0.5),
        "rgb": False,
        "gamma": 0.8,
        "colormap": "green",
        "contrast_limits": (0, 200),
    }
    assert "colormap" not in layers.attributes(Image(noisy(4, 4, 3), rgb=True))


# --- the manifest --------------------------------------------------------------------------------


def test_the_manifest_is_valid_and_names_what_is_there() -> None:
    manifest = Path(nlmeans.__file__).with_name("napari.yaml")
    named = re.findall(r"python_name: ([\w.]+):(\w+)", manifest.read_text("utf-8"))
    widgets = qt_widgets()
    assert [(module, hasattr(widgets, name)) for module, name in named] == [(widgets.__name__, True)] * 2
    if find_spec("npe2") is None:
        pytest.skip("could not import 'npe2'")
    check = [sys.executable, "-P", "-m", "npe2", "validate", str(manifest)]  # in-process its import warns
    done = subprocess.run(check, capture_output=True, text=True)
    assert (done.returncode, "valid" in done.stdout) == (0, True), done.stdout + done.stderr


def test_without_qt_it_is_said_what_to_install() -> None:
    code = (
        "import sys; sys.modules['qtpy'] = None\n"
        "try:\n    import nlmeans.napari_plugin.widgets\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert "pip install 'nlmeans[napari]'" in done.stdout, done.stderr


# --- the widgets ---------------------------------------------------------------------------------


def qt_widgets() -> Any:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    pytest.importorskip("qtpy")
    try:
        return importlib.import_module("nlmeans.napari_plugin.widgets")
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def widgets() -> Any:
    found = qt_widgets()
    from qtpy.QtWidgets import QApplication

    found.application = QApplication.instance() or QApplication([])
    return found


class Event:
    def __init__(self) -> None:
        self.calls: list[Callable[[object], None]] = []

    def connect(self, call: Callable[[object], None]) -> None:
        self.calls.append(call)


@dataclass
class Events:
    inserted: Event = field(default_factory=Event)
    removed: Event = field(default_factory=Event)


class Layers(list[Any]):
    def __init__(self, *each: Any) -> None:
        super().__init__(each)
        self.events = Events()


class Viewer:
    """What the widgets ask of a viewer."""

    def __init__(self, *each: Any) -> None:
        self.layers = Layers(*each)

    def add_image(self, data: Any, **more: Any) -> None:
        self.layers.append(Image(data, name=more["name"], rgb=more["rgb"], scale=more["scale"]))
        for call in self.layers.events.inserted.calls:
            call(None)


def until(widgets: Any, condition: Callable[[], bool]) -> None:
    """Let the window work until something holds."""
    end = time.monotonic() + 60
    while not condition():
        widgets.application.processEvents()
        assert time.monotonic() < end
        time.sleep(0.002)


def test_an_image_is_denoised_into_a_new_layer(widgets: Any) -> None:
    image = Image(noisy(40, 50))
    viewer = Viewer(Labels(), image)
    window = widgets.DenoiseWidget(viewer)
    window.strength.setValue(1.5)
    window.sigma.setValue(10.0)
    window.run_button.click()
    assert not window.run_button.isEnabled()
    until(widgets, window.run_button.isEnabled)
    assert [layer.name for layer in viewer.layers] == ["outlines", "cells", "cells denoised"]
    expected = nlmeans.denoise(image.data, strength=1.5, sigma=10.0)
    np.testing.assert_array_equal(viewer.layers[2].data, expected)
    assert viewer.layers[2].scale == image.scale
    assert window.words.text() == "Done."
    assert window.layer.count() == 2
    assert window.layer.currentText() == "cells"


def test_work_is_stopped_and_changes_nothing(widgets: Any) -> None:
    viewer = Viewer(Image(noisy(40, 96, 96)))
    window = widgets.DenoiseWidget(viewer)
    window.run_button.click()
    until(widgets, lambda: window.bar.value() > 0)
    window.stop_button.click()
    until(widgets, window.run_button.isEnabled)
    assert "Stopped" in window.words.text()
    assert len(viewer.layers) == 1


def test_a_window_that_is_closed_in_the_middle_leaves_no_thread(widgets: Any) -> None:
    window = widgets.DenoiseWidget(Viewer(Image(noisy(40, 96, 96))))
    window.show()
    window.run_button.click()
    window.close()
    assert window._work.isFinished()


def test_errors_and_warnings_are_shown(widgets: Any) -> None:
    broken = Image(np.zeros((8, 8), np.complex64))
    window = widgets.DenoiseWidget(Viewer(broken))
    window.run_button.click()
    until(widgets, window.run_button.isEnabled)
    assert window.words.text()
    assert window.words.text() != "Done."
    window = widgets.DenoiseWidget(Viewer())
    window.run_button.click()
    assert "no image layer" in window.words.text()


def test_a_stack_has_a_row_for_each_axis(widgets: Any) -> None:
    stack = Image(noisy(3, 5, 24, 24), axis_labels=("t", "z", "y", "x"))
    flat = Image(noisy(24, 24), name="flat")
    viewer = Viewer(stack, flat)
    window = widgets.StackWidget(viewer)
    assert [box.currentText() for box in window.axes] == [ALONE, VOLUME]
    assert window.axes[0].accessibleName() == "Axis 0, of 3"
    window.sigma.setValue(10.0)
    window.run_button.click()
    until(widgets, window.run_button.isEnabled)
    result = viewer.layers[-1].data
    np.testing.assert_array_equal(result[1], nlmeans.denoise(stack.data[1], sigma=10.0))
    window.axes[0].setCurrentText(VOLUME)
    window.run_button.click()
    assert "only one axis" in window.words.text()
    window.layer.setCurrentText("flat")
    assert window.axes == []
