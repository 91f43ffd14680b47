"""Questions of school physics whose answers follow from closed forms: which of two is greater, or are they the same?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, radians, sin
from typing import Any

from PIL.Image import Image

from harness_ext.tasks.gpt4v_probes.synth.chance import Draw
from harness_ext.tasks.gpt4v_probes.synth.drawing import canvas

_NEAR = {1: 2.0, 2: 1.4, 3: 1.1}
"""How many times the greater is the smaller, by level: harder pairs are nearer."""
G = 9.8


def _pair(draw: Draw, level: int, low: int, high: int) -> tuple[float, float]:
    """Two quantities of different size, or of the same in a third of the docs."""
    first = draw.whole(low, high)
    second = first if draw.whole(1, 3) == 1 else round(first * _NEAR[level], 1)
    return (first, second) if draw.one((True, False)) else (second, first)


def _collision(draw: Draw, level: int) -> tuple[str, float, float]:
    speed, moving = draw.whole(2, 9), draw.whole(1, 6)
    a, b = _pair(draw, level, 1, 6)
    text = (
        f"In two tests a cart of {moving} kg hits a resting cart at {speed} m/s, and they stick together. The resting "
        f"cart has {a} kg in test 1 and {b} kg in test 2. In which test are they faster after the collision?"
    )
    return text, moving * speed / (moving + a), moving * speed / (moving + b)


def _free_fall(draw: Draw, level: int) -> tuple[str, float, float]:
    a, b = _pair(draw, level, 5, 40)
    heavy, light = draw.some((1, 2, 5, 10), 2)
    text = (
        f"Without air, ball 1 of {heavy} kg falls from {a} m and ball 2 of {light} kg from {b} m, both from rest. "
        "Which ball takes longer to reach the ground?"
    )
    return text, (2 * a / G) ** 0.5, (2 * b / G) ** 0.5


def _friction(draw: Draw, level: int) -> tuple[str, float, float]:
    a, b = _pair(draw, level, 2, 10)
    mass_1, mass_2, speed = draw.whole(1, 9), draw.whole(1, 9), draw.whole(3, 12)
    one, two = a / 20, b / 20
    text = (
        f"Two boxes start to slide on level ground at {speed} m/s. Box 1 has {mass_1} kg and a friction coefficient "
        f"of {one:g}, box 2 has {mass_2} kg and {two:g}. Which box slides further?"
    )
    return text, speed**2 / (2 * one * G), speed**2 / (2 * two * G)


def _incline(draw: Draw, level: int) -> tuple[str, float, float]:
    a, b = _pair(draw, level, 10, 40)
    mass_1, mass_2 = draw.whole(1, 9), draw.whole(1, 9)
    text = (
        f"Without friction, block 1 of {mass_1} kg slides down a slope of {a} degrees and block 2 of {mass_2} kg one "
        f"of {b} degrees. Which block has the greater acceleration?"
    )
    return text, G * sin(radians(a)), G * sin(radians(b))


def _motion(draw: Draw, level: int) -> tuple[str, float, float]:
    a, b = _pair(draw, level, 4, 20)
    time_1, time_2 = draw.whole(5, 30), draw.whole(5, 30)
    text = (
        f"Car 1 covers {a * time_1:g} m in {time_1} s and car 2 covers {b * time_2:g} m in {time_2} s, both at a "
        "steady speed. Which car is faster?"
    )
    return text, a, b


def _projection(draw: Draw, level: int) -> tuple[str, float, float]:
    speed = draw.whole(5, 30)
    angle = draw.one((20, 25, 30, 35))
    other = 90 - angle if draw.whole(1, 3) == 1 else angle + {1: 15, 2: 9, 3: 5}[level]
    a, b = (angle, other) if draw.one((True, False)) else (other, angle)
    text = (
        f"Without air, two balls are thrown from level ground at {speed} m/s, ball 1 at {a} degrees and ball 2 at {b} "
        "degrees. Which ball lands further away?"
    )
    return text, 2 * sin(radians(a)) * cos(radians(a)), 2 * sin(radians(b)) * cos(radians(b))


TOPICS: Mapping[str, Callable[[Draw, int], tuple[str, float, float]]] = {
    "collision": _collision, "free_fall": _free_fall, "friction": _friction, "incline": _incline, "motion": _motion,
    "projection": _projection,
}  # fmt: skip
"""A question and the quantities it compares, from a draw and a level."""
_SAME = 1e-9


def plan(topic: str) -> Callable[[Draw, int], dict[str, Any]]:
    """The questions of one topic; first, second and same stand in random order."""

    def planned(draw: Draw, level: int) -> dict[str, Any]:
        question, first, second = TOPICS[topic](draw, level)
        words = ("the first", "the second", "they are the same")
        right = words[2] if abs(first - second) <= _SAME * first else words[first < second]
        options, letter = draw.options(right, [word for word in words if word != right])
        return {"question": question, "quantities": [first, second], "options": options, "answer": letter}

    return planned


def paint(draw: Draw, doc: Mapping[str, Any]) -> list[Image]:
    """A white picture: the question is a text."""
    return [white()]


def white() -> Image:
    """The picture that shows nothing."""
    return canvas(224, 224)
