"""What was chosen for an image as one method: filters, put together by colour and passes."""

from __future__ import annotations

from nlmeans.choosing import Chosen
from nlmeans.inputs import Inputs
from nlmeans.methods import Method
from nlmeans.methods.nlmeans import NLMeans
from nlmeans.parameters import BY_GROUPS


def method_for(chosen: Chosen, inputs: Inputs, backend: str) -> Method:
    """The method that does what was chosen, on a backend."""
    method, kept = _of_all(chosen, inputs, backend), chosen.parameters.blend
    if kept == 0:
        return method
    from nlmeans.methods.passes import Blended

    return Blended.of(method, kept)


def _of_all(chosen: Chosen, inputs: Inputs, backend: str) -> Method:
    """Of all channels."""
    color, channels = chosen.parameters.color, len(chosen.levels[0].offset)
    if color == "joint" or channels == 1:
        return _of_part(chosen, inputs, backend)
    from nlmeans.methods.color import Components, Luminance, Separate  # not for grey images

    if color == "separate":
        each = (_of_part(chosen.of_channel(c), inputs, backend) for c in range(channels))
        return Separate.of(chosen.levels, tuple(each))
    if chosen.parameters.method in BY_GROUPS:
        components = _by_groups(chosen.of_components(), inputs, backend, lead=True)
        return Components.of(chosen.levels, components)
    parts = (_of_part(part, inputs, backend) for part in (chosen.of_luminance(), chosen.of_differences()))
    return Luminance.of(chosen.levels, *parts)


def _of_part(chosen: Chosen, inputs: Inputs, backend: str) -> Method:
    """Of channels that are compared together: one pass or two."""
    if chosen.parameters.method in BY_GROUPS:
        return _by_groups(chosen, inputs, backend)
    first = NLMeans.of(chosen, inputs, backend)
    if chosen.parameters.second is None:
        return first
    from nlmeans.methods.passes import TwoPasses

    second = chosen.of_second()
    return TwoPasses.of(first, NLMeans.of(second, inputs, backend), second.parameters.mixing or 0.0)


def _by_groups(chosen: Chosen, inputs: Inputs, backend: str, *, lead: bool = False) -> Method:
    """NL-Ridge, or what corrects it."""
    if chosen.parameters.method == "learned":
        from nlmeans.methods.learned import Learned

        return Learned.of(chosen, inputs, backend, lead=lead)
    from nlmeans.methods.nlridge import NLRidge

    return NLRidge.of(chosen, inputs, backend, lead=lead)
