"""The two widgets of napari: denoise an image, and a stack whose axes are told apart."""

from __future__ import annotations

from functools import partial
from typing import Any

from nlmeans.errors import NLMeansError
from nlmeans.napari_plugin import layers
from nlmeans.napari_plugin.work import QtWidgets, Work

_METHODS = {"NL-means": "nlmeans", "NL-Ridge (better, slower)": "nlridge", "Learned (photographs)": "learned"}


class DenoiseWidget(QtWidgets.QWidget):  # type: ignore[misc]
    """Denoise an image layer into a new one; of a stack each picture by itself.

    Parameters
    ----------
    napari_viewer
        The viewer; napari hands it over by this name.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._work: Work | None = None
        self.layer = QtWidgets.QComboBox()
        self.method = QtWidgets.QComboBox()
        self.method.addItems(list(_METHODS))
        self.strength = _number(0.0, 5.0, 1.0, 0.1, "1: as measured; more smooths more")
        self.sigma = _number(0.0, 1e9, 0.0, 1.0, "Standard deviation of the noise, in the units of the layer")
        self.sigma.setSpecialValueText("measured")
        self.blend = _number(0.0, 1.0, 0.0, 0.05, "Part of the noisy image in the result")
        self.run_button = QtWidgets.QPushButton("Denoise")
        self.stop_button = QtWidgets.QPushButton("Cancel")
        self.bar = QtWidgets.QProgressBar()
        self.bar.setRange(0, 1000)
        self.words = QtWidgets.QLabel()
        self.words.setWordWrap(True)
        self.form = QtWidgets.QFormLayout()
        for title, field in (
            ("Image", self.layer),
            ("Method", self.method),
            ("Strength", self.strength),
            ("Noise level", self.sigma),
            ("Mix back", self.blend),
        ):
            field.setAccessibleName(title)
            self.form.addRow(title, field)
        box = QtWidgets.QVBoxLayout(self)
        box.addLayout(self.form)
        for part in (self.run_button, self.stop_button, self.bar, self.words):
            box.addWidget(part)
        box.addStretch()
        self.run_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self.stop)
        self.layer.currentIndexChanged.connect(self._layer_chosen)
        for event in (napari_viewer.layers.events.inserted, napari_viewer.layers.events.removed):
            event.connect(self._list_layers)
        self._list_layers()
        self._show_working(False)

    def start(self) -> None:
        """Denoise the chosen layer, in a thread of its own."""
        source = self._source()
        if source is None:
            self.words.setText("There is no image layer to denoise.")
            return
        roles = self._roles(source)
        try:
            layers.check_roles(roles, rgb=bool(source.rgb))
        except NLMeansError as error:
            self.words.setText(str(error))
            return
        more = layers.attributes(source)
        work = Work(partial(_denoised, source, roles, self._settings(), self._shares()))
        work.told.connect(lambda fraction: self.bar.setValue(round(1000 * fraction)))
        work.done.connect(lambda result, warnings: self._finish(result, more, warnings))
        work.failed.connect(lambda text: self._end(f"It did not work: {text}"))
        work.stopped.connect(lambda: self._end("Stopped; nothing was changed."))
        self._work = work
        self.words.setText("")
        self._show_working(True)
        work.start()

    def stop(self) -> None:
        """Stop the work that is under way."""
        if self._work is not None:
            self._work.stop()

    def closeEvent(self, event: Any) -> None:
        """Stop and wait: a thread must not outlive its window."""
        self._join()
        super().closeEvent(event)

    def _join(self) -> None:
        if self._work is not None:
            self._work.stop()
            self._work.wait()

    def _source(self) -> Any:
        name = self.layer.currentText()
        return next((layer for layer in self._images() if layer.name == name), None)

    def _images(self) -> list[Any]:
        """The image layers, told by the names of their classes: napari itself is not loaded for this."""
        kinds = [(layer, {c.__name__ for c in layer.__class__.__mro__}) for layer in self._viewer.layers]
        return [layer for layer, names in kinds if "Image" in names]

    def _list_layers(self, _: object = None) -> None:
        names, chosen = [layer.name for layer in self._images()], self.layer.currentText()
        self.layer.blockSignals(True)
        self.layer.clear()
        self.layer.addItems(names)
        if chosen in names:
            self.layer.setCurrentText(chosen)
        self.layer.blockSignals(False)
        self._layer_chosen()

    def _layer_chosen(self, _: object = None) -> None:
        """Another layer was chosen."""

    def _settings(self) -> dict[str, Any]:
        sigma = self.sigma.value() or None
        return {
            "method": _METHODS[self.method.currentText()],
            "strength": self.strength.value(),
            "blend": self.blend.value(),
            "sigma": sigma,
        }

    def _roles(self, source: Any) -> list[str]:
        return [layers.ALONE] * len(layers.stack_axes(source))

    def _shares(self) -> bool:
        return False

    def _finish(self, result: Any, more: dict[str, Any], warnings: list[str]) -> None:
        self._viewer.add_image(result, **more)
        self._end("\n".join(["Done.", *warnings]))

    def _end(self, text: str) -> None:
        self.words.setText(text)
        self._show_working(False)

    def _show_working(self, working: bool) -> None:
        self.run_button.setEnabled(not working)
        self.stop_button.setEnabled(working)
        self.bar.setVisible(working)
        self.bar.setValue(0)


class StackWidget(DenoiseWidget):
    """Denoise a stack: what each of its axes is, is told first.

    Parameters
    ----------
    napari_viewer
        As for `DenoiseWidget`.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self.axes: list[Any] = []
        super().__init__(napari_viewer)
        self.share = QtWidgets.QCheckBox("One noise level for all that are by themselves")
        self.form.addRow(self.share)
        self._layer_chosen()

    def _layer_chosen(self, _: object = None) -> None:
        """A row for each axis before rows and columns."""
        for box in self.axes:
            self.form.removeRow(box)
        source = self._source()
        lengths = () if source is None else layers.stack_axes(source)
        labels = [str(label) for label in getattr(source, "axis_labels", ())]
        self.axes = []
        for n, (length, role) in enumerate(zip(lengths, layers.first_roles(lengths, labels), strict=True)):
            box = QtWidgets.QComboBox()
            box.addItems(layers.ROLES)
            box.setCurrentText(role)
            title = f"Axis {n}, of {length}"
            box.setAccessibleName(title)
            self.form.addRow(title, box)
            self.axes.append(box)

    def _roles(self, source: Any) -> list[str]:
        return [box.currentText() for box in self.axes]

    def _shares(self) -> bool:
        return bool(self.share.isChecked())


def _denoised(source: Any, roles: list[str], settings: dict[str, Any], share: bool, progress: Any) -> Any:
    return layers.denoised(source, roles, settings, progress, share=share)


def _number(least: float, most: float, value: float, step: float, hint: str) -> Any:
    field = QtWidgets.QDoubleSpinBox()
    field.setRange(least, most)
    field.setDecimals(3)
    field.setSingleStep(step)
    field.setValue(value)
    field.setToolTip(hint)
    return field
