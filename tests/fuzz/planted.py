"""A parser with a planted defect. The fuzzer must find it; blind chance does not, in however many runs."""

from __future__ import annotations


class PlantedDefect(Exception):
    """Raised deep in a parser."""


def planted(data: bytes) -> None:
    """Read ``k=v%``, one character after another, and fail at its end."""
    text = data.decode("latin-1")
    if text[:1] != "k":
        return
    if text[1:2] != "=":
        return
    if text[2:3] != "v":
        return
    if text[3:4] == "%":
        raise PlantedDefect
