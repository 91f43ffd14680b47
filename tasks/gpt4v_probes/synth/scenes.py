"""Coloured shapes on white: questions about them, captions, and four frames of one that changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL.Image import Image

from harness_ext.tasks.gpt4v_probes.synth.chance import Draw
from harness_ext.tasks.gpt4v_probes.synth.drawing import COLOURS, SHAPES, canvas, shape

_WIDTH, _HEIGHT, _COLUMNS, _ROWS = 320, 240, 4, 3
_RADII = {"small": 14, "large": 30}
_THINGS = {1: (2, 2), 2: (3, 4), 3: (5, 6)}
"""Fewest and most shapes of a picture, by level."""

EVENTS = ("it moves to the right", "it moves to the left", "it grows", "it shrinks", "it changes its colour")
_LIKE = {"it moves to the right": "it moves to the left", "it grows": "it shrinks"}


def _scene(draw: Draw, level: int) -> list[dict[str, Any]]:
    """Shapes of different kinds in different places, so that each can be spoken of by its kind."""
    count = draw.whole(*_THINGS[level])
    places = draw.some(range(_COLUMNS * _ROWS), count)
    return [
        {"shape": kind, "colour": draw.one(list(COLOURS)), "size": draw.one(list(_RADII)), "place": place}
        for kind, place in zip(draw.some(SHAPES, count), places, strict=True)
    ]


def vqa(draw: Draw, level: int) -> dict[str, Any]:
    """A question on number, colour, place or existence; yes and no are equally frequent."""
    things = _scene(draw, level)
    kind = draw.one(("count", "colour", "relation", "existence"))
    first, second = draw.some(things, 2)
    yes = draw.one((True, False))
    if kind == "count":
        question, answer = "How many shapes are in the picture?", str(len(things))
    elif kind == "colour":
        question, answer = f"What colour is the {first['shape']}?", first["colour"]
    elif kind == "relation":
        first, second = _apart(things)
        left, right = (first, second) if yes else (second, first)
        question = f"Is the {left['shape']} further left than the {right['shape']}?"
        answer = "yes" if yes else "no"
    else:
        there = {thing["shape"] for thing in things}
        asked = draw.one(sorted(there) if yes else [name for name in SHAPES if name not in there])
        question, answer = f"Is there a {asked} in the picture?", "yes" if yes else "no"
    return {"things": things, "question": question, "answers": [answer], "kind": kind}


def _apart(things: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two shapes in different columns, the left one first; of one column, the last is moved to the next."""
    ordered = sorted(things, key=lambda thing: thing["place"] % _COLUMNS)
    first, last = ordered[0], ordered[-1]
    if first["place"] % _COLUMNS == last["place"] % _COLUMNS:
        last["place"] += 1 if last["place"] % _COLUMNS < _COLUMNS - 1 else -1
        if last["place"] % _COLUMNS < first["place"] % _COLUMNS:
            first, last = last, first
    return first, last


def caption(draw: Draw, level: int) -> dict[str, Any]:
    """What is in the picture: colours and shapes are the keywords, a sentence of ours the reference."""
    things = _scene(draw, level)
    named = [f"a {thing['size']} {thing['colour']} {thing['shape']}" for thing in things]
    return {
        "things": things,
        "keywords": sorted({thing[key] for thing in things for key in ("colour", "shape")}),
        "references": [f"{', '.join(named[:-1])} and {named[-1]} on a white background"],
    }


def paint_scene(draw: Draw, doc: Mapping[str, Any]) -> list[Image]:
    """The shapes, each a little off the middle of its place."""
    picture = canvas(_WIDTH, _HEIGHT)
    for thing in doc["things"]:
        x = (thing["place"] % _COLUMNS) * 80 + 40 + draw.whole(-8, 8)
        y = (thing["place"] // _COLUMNS) * 80 + 40 + draw.whole(-8, 8)
        shape(picture, thing["shape"], thing["colour"], x, y, _RADII[thing["size"]])
    return [picture]


def video(draw: Draw, level: int) -> dict[str, Any]:
    """What happens over four frames, with three other things that might; harder ones happen slowly."""
    event = draw.one(EVENTS)
    first, second = draw.some(list(COLOURS), 2)
    others = [name for name in EVENTS if name != event]
    opposite = {**_LIKE, **{b: a for a, b in _LIKE.items()}}.get(event)
    wrong = ([opposite] if opposite else []) + draw.some([name for name in others if name != opposite], 3)
    options, letter = draw.options(event, wrong[:3])
    return {
        "event": event, "colours": [first, second], "shape": draw.one(SHAPES[:4]), "step": {1: 24, 2: 14, 3: 8}[level],
        "options": options, "answer": letter,
    }  # fmt: skip


def paint_video(draw: Draw, doc: Mapping[str, Any]) -> list[Image]:
    """Four frames."""
    event, step, start = doc["event"], doc["step"], draw.whole(110, 130)
    way = {"it moves to the right": 1, "it moves to the left": -1}.get(event, 0)
    growth = {"it grows": 1, "it shrinks": -1}.get(event, 0)
    frames = []
    for number in range(4):
        picture = canvas(240, 160)
        later = event == "it changes its colour" and number >= 2
        radius = 36 + growth * (number - 1) * step // 3
        shape(picture, doc["shape"], doc["colours"][later], start + way * (number - 1) * step, 80, radius)
        frames.append(picture)
    return frames
