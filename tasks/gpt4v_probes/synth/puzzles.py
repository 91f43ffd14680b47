"""Picture puzzles: equations of icons with one solution, and pairs of pictures that differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import ImageDraw
from PIL.Image import Image

from harness_ext.tasks.gpt4v_probes.synth.chance import Draw
from harness_ext.tasks.gpt4v_probes.synth.drawing import COLOURS, SHAPES, canvas, shape, write

LARGEST = 60
"""No icon of a puzzle stands for more."""
_VALUES = {1: (2, 5), 2: (2, 9), 3: (6, 9)}
_THIRD = {1: ("b+c", "a+b+c"), 2: ("b+c", "a+b*c", "b+b*c", "a+b+c"), 3: ("a+b*c", "b+b*c")}
_ASKED = ("a+b*c", "a+a+b*c", "c+a*b")
_CHANGES = {1: (3, 4), 2: (5, 6), 3: (7, 8)}
_CELL = {"width": 120, "height": 80}


def evaluate(side: str, values: Mapping[str, int]) -> int:
    """The value of sums, differences and products of names; a product binds tighter.

    >>> evaluate("a+b*c", {"a": 1, "b": 2, "c": 3}), evaluate("a+a-b", {"a": 4, "b": 3})
    (7, 5)
    """
    total = 0
    for term in side.replace("-", "+-").split("+"):
        product = -1 if term.startswith("-") else 1
        for name in term.removeprefix("-").split("*"):
            product *= values[name]
        total += product
    return total


def math(draw: Draw, level: int) -> dict[str, Any]:
    """Three equations that give three icons one after another, and a fourth that is asked; `x` is a product."""
    low, high = _VALUES[level]
    a, c = draw.whole(low, high), draw.whole(low, high)
    second = draw.one(("a+b", "a+a-b"))
    b = draw.whole(low, high if second == "a+b" else min(high, 2 * a - 1))
    values = {"a": a, "b": b, "c": c}
    sides = ["+".join("a" * draw.whole(3, 4)), second, draw.one(_THIRD[level]), draw.one(_ASKED)]
    icons = dict(zip("abc", draw.some(SHAPES, 3), strict=True))
    return {
        "sides": sides,
        "totals": [evaluate(side, values) for side in sides[:3]],
        "icons": icons,
        "colours": dict(zip("abc", draw.some(list(COLOURS), 3), strict=True)),
        "values": {icons[name]: value for name, value in values.items()},
        "answer": evaluate(sides[3], values),
    }


def paint_math(draw: Draw, doc: Mapping[str, Any]) -> list[Image]:
    """Four lines, the last with a box for the answer."""
    picture = canvas(560, 300)
    for row, side in enumerate(doc["sides"]):
        x, y = 40 + draw.whole(0, 20), 50 + 65 * row
        for sign in side:
            if sign in "abc":
                shape(picture, doc["icons"][sign], doc["colours"][sign], x, y, 20)
            else:
                write(picture, {"*": "x"}.get(sign, sign), x - 8, y - 14, 3)
            x += 46
        write(picture, "=", x - 8, y - 14, 3)
        if row < 3:
            write(picture, str(doc["totals"][row]), x + 34, y - 14, 3)
        else:
            ImageDraw.Draw(picture).rectangle((x + 30, y - 22, x + 90, y + 22), outline=(240, 130, 30), width=3)
    return [picture]


def spot(draw: Draw, level: int) -> dict[str, Any]:
    """Two pictures of a 4 x 4 grid of icons, in which some cells lost, gained or changed theirs."""
    cells = [f"{row}{column}" for row in "ABCD" for column in range(1, 5)]
    left: dict[str, tuple[str, str] | None] = {
        cell: (draw.one(list(COLOURS)), draw.one(SHAPES)) if draw.whole(1, 4) > 1 else None for cell in cells
    }
    right, regions = dict(left), []
    for cell in sorted(draw.some(cells, draw.whole(*_CHANGES[level]))):
        now = left[cell]
        if now is not None and draw.one((True, False)):
            right[cell] = None
        else:
            right[cell] = draw.one(
                [(colour, name) for colour in COLOURS for name in SHAPES if not now or name != now[1]]
            )
        regions.append({"cell": cell, "cells": [cell], "left": _named(left[cell]), "right": _named(right[cell])})
    return {"left": _listed(left), "right": _listed(right), "regions": regions}


def _named(icon: tuple[str, str] | None) -> str | None:
    return icon and " ".join(icon)


def _listed(panel: Mapping[str, tuple[str, str] | None]) -> list[str]:
    return [_named(icon) or "" for icon in panel.values()]


def paint_spot(draw: Draw, doc: Mapping[str, Any]) -> list[Image]:
    """Both panels side by side."""
    return [_panels(doc, lines=False)]


def paint_spot_grid(draw: Draw, doc: Mapping[str, Any]) -> list[Image]:
    """Both panels with lines between the cells and their labels."""
    return [_panels(doc, lines=True)]


def _panels(doc: Mapping[str, Any], *, lines: bool) -> Image:
    width, height, margin = _CELL["width"], _CELL["height"], 24
    picture = canvas(2 * (4 * width + margin) + margin, 4 * height + margin)
    pen = ImageDraw.Draw(picture)
    for panel, icons in enumerate((doc["left"], doc["right"])):
        x0 = margin + panel * (4 * width + margin)
        pen.rectangle((x0, margin, x0 + 4 * width - 1, margin + 4 * height - 1), outline=(25, 25, 25), width=2)
        for number, icon in enumerate(icons):
            x, y = x0 + number % 4 * width + width // 2, margin + number // 4 * height + height // 2
            if icon:
                colour, name = icon.split()
                shape(picture, name, colour, x, y, 26)
        if lines:
            for step in range(4):
                write(picture, str(step + 1), x0 + step * width + width // 2 - 4, 0)
                write(picture, "ABCD"[step], x0 - 18, margin + step * height + height // 2 - 10)
                pen.line((x0 + step * width, margin, x0 + step * width, margin + 4 * height), fill=(120, 120, 120))
                pen.line((x0, margin + step * height, x0 + 4 * width, margin + step * height), fill=(120, 120, 120))
    return picture
