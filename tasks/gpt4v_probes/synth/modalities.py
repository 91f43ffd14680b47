"""Pictures of what cameras do not see: depth maps, heat, and sound as a spectrogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from harness_ext.tasks.gpt4v_probes.synth.chance import Draw

Array = np.ndarray[Any, np.dtype[np.float64]]

ROOMS: Mapping[str, Sequence[tuple[float, float, float, float, float]]] = {
    "Office": ((0.1, 0.5, 0.4, 0.75, 0.45), (0.5, 0.5, 0.9, 0.75, 0.5), (0.2, 0.6, 0.3, 0.9, 0.3)),
    "Kitchen": ((0.0, 0.1, 1.0, 0.35, 0.5), (0.0, 0.55, 1.0, 0.9, 0.55), (0.7, 0.2, 0.95, 0.95, 0.4)),
    "Bedroom": ((0.15, 0.55, 0.85, 0.95, 0.25), (0.15, 0.4, 0.85, 0.55, 0.5), (0.02, 0.6, 0.12, 0.8, 0.4)),
    "Bathroom": ((0.05, 0.6, 0.45, 0.95, 0.35), (0.6, 0.55, 0.8, 0.9, 0.45), (0.6, 0.15, 0.85, 0.4, 0.6)),
    "Living room": ((0.1, 0.5, 0.9, 0.8, 0.5), (0.3, 0.75, 0.7, 0.95, 0.2), (0.35, 0.15, 0.65, 0.4, 0.65)),
}
"""Boxes of a room: left, top, right, bottom as shares of the picture, and depth from 0 (near) to 1."""
SOUNDS = ("dog barking", "siren", "rain", "clock ticking", "rooster crowing", "engine running")
THIRDS = ("left", "center", "right")
_PEOPLE = {1: (1, 2), 2: (3, 3), 3: (4, 5)}
_NOISE = {1: 6, 2: 12, 3: 20}
_RATE, _SECONDS, _WINDOW, _HOP, _BANDS = 16_000, 3, 512, 128, 64


def _picture(values: Array) -> Image.Image:
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def depth(draw: Draw, level: int) -> dict[str, Any]:
    """A depth map of one of five rooms; the options are always all five, in an order of its own."""
    room = draw.one(list(ROOMS))
    options, letter = draw.options(room, [name for name in ROOMS if name != room])
    return {"room": room, "jitter": {1: 0.01, 2: 0.03, 3: 0.06}[level], "options": options, "answer": letter}


def paint_depth(draw: Draw, doc: Mapping[str, Any]) -> list[Image.Image]:
    """Walls by their distance to the border, and boxes in front of them; near is bright."""
    height, width = 240, 320
    y, x = np.mgrid[0:height, 0:width]
    border = np.minimum(np.minimum(x / width, 1 - x / width), np.minimum(y / height, 1 - y / height)) * 2
    far = np.clip(border * 1.6, 0, 1)
    for left, top, right, bottom, distance in ROOMS[doc["room"]]:
        moved = [value + doc["jitter"] * draw.numbers.uniform(-1, 1) for value in (left, top, right, bottom)]
        inside = (x / width >= moved[0]) & (y / height >= moved[1]) & (x / width < moved[2]) & (y / height < moved[3])
        far = np.where(inside, np.minimum(far, distance), far)
    return [_picture(255 * (1 - far))]


def thermal(draw: Draw, level: int) -> dict[str, Any]:
    """One to five warm figures; each stands well inside a third, at least a tenth of the width from the next."""
    count = draw.whole(*_PEOPLE[level])
    places = sorted(draw.some([32, 64, 144, 176, 256, 288], count))
    return {
        "count": count, "xs": places, "positions": [THIRDS[place * 3 // 320] for place in places],
        "noise": _NOISE[level],
    }  # fmt: skip


def paint_thermal(draw: Draw, doc: Mapping[str, Any]) -> list[Image.Image]:
    """Bright upright figures with heads on dark noise."""
    height, width = 256, 320
    warm = Image.new("L", (width, height), 60)
    pen = ImageDraw.Draw(warm)
    for place in doc["xs"]:
        x, top = place + draw.whole(-3, 3), draw.whole(70, 100)
        pen.ellipse((x - 9, top - 20, x + 9, top - 2), fill=225)
        pen.ellipse((x - 12, top, x + 12, top + 90), fill=205)
    noise = draw.numbers.normal(0, doc["noise"], (height, width))
    return [_picture(np.asarray(warm, dtype=float) + noise)]


def audio_mcq(draw: Draw, level: int) -> dict[str, Any]:
    """One sound, and four to choose from."""
    sound = draw.one(SOUNDS)
    options, letter = draw.options(sound, draw.some([name for name in SOUNDS if name != sound], 3))
    return {"sounds": [sound], "noise": _NOISE[level] / 400, "options": options, "answer": letter}


def audio_match(draw: Draw, level: int) -> dict[str, Any]:
    """Four sounds, and their names in another order."""
    sounds = draw.some(SOUNDS, 4)
    return {"sounds": sounds, "noise": _NOISE[level] / 400, "labels": draw.some(sounds, 4)}


def paint_audio(draw: Draw, doc: Mapping[str, Any]) -> list[Image.Image]:
    """A mel spectrogram a sound: time to the right, pitch upwards, loud is bright."""
    return [_spectrogram(_sound(name, draw, doc["noise"])) for name in doc["sounds"]]


def _sound(name: str, draw: Draw, noise: float) -> Array:
    time = np.arange(_RATE * _SECONDS) / _RATE
    hiss = draw.numbers.normal(0, 1, time.size)
    start = draw.numbers.uniform(0, 0.2)
    since = (time - start) % {"dog barking": 0.8, "clock ticking": 0.5}.get(name, float(_SECONDS))
    if name == "dog barking":
        wave = sum(np.sin(2 * np.pi * 450 * k * time) / k for k in range(1, 5)) * np.exp(-since * 14)
    elif name == "siren":
        wave = np.sin(2 * np.pi * np.cumsum(900 + 400 * np.sin(2 * np.pi * 0.7 * (time - start))) / _RATE)
    elif name == "rain":
        wave = 0.5 * hiss
    elif name == "clock ticking":
        wave = hiss * np.exp(-since * 150)
    elif name == "rooster crowing":
        pitch = 600 + 500 * np.clip(np.sin(np.pi * np.clip((since - 0.4) / 1.6, 0, 1)), 0, 1)
        wave = sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / _RATE) / k for k in (1, 2, 3)) * (
            (since > 0.4) & (since < 2.0)
        )
    else:
        wave = sum(np.sin(2 * np.pi * 60 * k * time) / k for k in range(1, 7)) * (
            1 + 0.3 * np.sin(2 * np.pi * 9 * time)
        )
    mixed: Array = np.asarray(wave) + noise * draw.numbers.normal(0, 1, time.size)
    return mixed


@cache
def _filters() -> Array:
    """Triangles of equal width in mel, bands by frequencies."""
    mel = np.linspace(0, 2595 * np.log10(1 + _RATE / 2 / 700), _BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequencies = np.fft.rfftfreq(_WINDOW, 1 / _RATE)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


def _spectrogram(wave: Array) -> Image.Image:
    frames = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames)) ** 2 @ _filters().T
    level = 10 * np.log10(power + 1e-6)
    top = level.max()
    grey = 255 * (np.clip(level, top - 70, top) - top + 70) / 70
    picture = _picture(grey.T[::-1])
    return picture.resize((picture.width, picture.height * 3), Image.Resampling.NEAREST)
