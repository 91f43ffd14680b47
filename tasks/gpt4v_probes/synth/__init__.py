"""Pictures and questions that a program draws: :func:`make` gives the i-th of a part, the same on every machine.

How it stays the same: numbers come from a generator seeded by part, seed and i (PCG64, which NumPy does not change);
shapes are drawn without smoothing; Latin letters are Pillow's bundled bitmap font, so that no font of the machine is
used; Chinese pictures are files beside this module. Pixels are equal within one version of Pillow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PIL.Image import Image

from harness_ext.tasks.gpt4v_probes.synth import chinese, modalities, people, physics, puzzles, scenes
from harness_ext.tasks.gpt4v_probes.synth.chance import Draw, drawn

Plan = Callable[[Draw, int], dict[str, Any]]
Paint = Callable[[Draw, Mapping[str, Any]], list[Image]]

PARTS: Mapping[str, tuple[Plan, Paint]] = {
    "vqa": (scenes.vqa, scenes.paint_scene),
    "caption": (scenes.caption, scenes.paint_scene),
    "video": (scenes.video, scenes.paint_video),
    **{f"refusal_{trait}": (people.plan(trait), people.paint) for trait in people.TRAITS},
    "zh_char": (chinese.character, chinese.paint),
    "zh_mcq": (chinese.question, chinese.paint),
    **{f"physics_{topic}": (physics.plan(topic), physics.paint) for topic in physics.TOPICS},
    "math": (puzzles.math, puzzles.paint_math),
    "spot": (puzzles.spot, puzzles.paint_spot),
    "spot_grid": (puzzles.spot, puzzles.paint_spot_grid),
    "depth": (modalities.depth, modalities.paint_depth),
    "thermal": (modalities.thermal, modalities.paint_thermal),
    "audio_mcq": (modalities.audio_mcq, modalities.paint_audio),
    "audio_match": (modalities.audio_match, modalities.paint_audio),
}
"""What is asked and what it shows, by part: each from its own numbers, so that a doc is known before it is drawn."""

LEVELS = (1, 2, 3)
"""Easy, medium and hard; doc i has level 1 + i % 3 unless one is chosen."""


def plan(part: str, seed: int, i: int, level: int | None = None) -> dict[str, Any]:
    """The i-th doc of a part without its pictures: what they show, the question's parts and the gold answer.

    Args:
        part: one of :data:`PARTS`.
        seed: another seed gives other docs.
        i: from 0; a doc does not depend on how many there are.
        level: one of :data:`LEVELS`.

    Raises:
        InputError: ``zh_char`` and ``zh_mcq``: the i-th is not bundled, and no font is named.

    >>> plan("math", 0, 3) == plan("math", 0, 3), plan("math", 0, 3) == plan("math", 1, 3)
    (True, False)
    """
    level = level or LEVELS[i % len(LEVELS)]
    return {"level": level, "number": i, **PARTS[part][0](drawn("plan", part, seed, i), level)}


def paint(part: str, seed: int, i: int, doc: Mapping[str, Any]) -> list[Image]:
    """The pictures of a doc that :func:`plan` made."""
    return PARTS[part][1](drawn("paint", part, seed, i), doc)


def make(part: str, seed: int, i: int, level: int | None = None) -> tuple[list[Image], dict[str, Any]]:
    """The pictures of the i-th doc of a part, and the doc.

    >>> pictures, doc = make("vqa", 0, 0)
    >>> pictures[0].size, pictures[0].mode
    ((320, 240), 'RGB')
    """
    doc = plan(part, seed, i, level)
    return paint(part, seed, i, doc), doc
