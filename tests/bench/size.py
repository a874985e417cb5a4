"""The unpacked size of the layers and functions."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.figures import Figure, Limit, Section
from tests.built.artifacts import BROKER_LAYER, DEPENDENCIES_LAYER, Size, folder_of, functions, size_of

# MiB, a sixth above the present size. A new release of a package with more files then misses the bar.
BARS = {DEPENDENCIES_LAYER.name: 12.0, BROKER_LAYER.name: 1.42}
# KiB: a function is one short module.
FUNCTION_BAR = 4.0
_ABOUT = "The files of each layer and of the largest function, as Lambda unpacks them and as an upload."


def measure(rounds: int) -> Section:
    """Measure once, because a size has no spread."""
    return to_section(
        {layer.name: size_of(layer) for layer in (DEPENDENCIES_LAYER, BROKER_LAYER)},
        max((size_of(folder_of(function)) for function in functions().values()), key=lambda size: size.unzipped),
    )


def to_section(layers: Mapping[str, Size], function: Size) -> Section:
    """Compare the sizes with the bars."""
    limits = [
        Limit(f"{name}, unpacked", Figure(name, "MiB", [size.unzipped / 2**20]), BARS[name])
        for name, size in layers.items()
    ]
    own = Figure("function", "KiB", [function.unzipped / 1024])
    limits.append(Limit("the largest function, unpacked", own, FUNCTION_BAR))
    zipped = [Figure(f"{name}, packed", "MiB", [size.zipped / 2**20]) for name, size in layers.items()]
    return Section("Size", _ABOUT, limits=limits, figures=zipped)
