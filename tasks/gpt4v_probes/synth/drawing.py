"""Shapes and letters, drawn without smoothing and without a font of the machine."""

from __future__ import annotations

from math import cos, pi, sin

from PIL import Image, ImageDraw, ImageFont

COLOURS = {
    "red": (210, 40, 40), "green": (40, 150, 60), "blue": (40, 80, 210), "yellow": (235, 200, 40),
    "purple": (140, 60, 170), "orange": (240, 130, 30), "black": (25, 25, 25), "pink": (240, 130, 180),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross", "ring", "heart")
WHITE = (255, 255, 255)

_FONT = ImageFont.load_default_imagefont()


def canvas(width: int, height: int, colour: tuple[int, int, int] = WHITE) -> Image.Image:
    """An empty picture."""
    return Image.new("RGB", (width, height), colour)


def shape(picture: Image.Image, name: str, colour: str, x: int, y: int, r: int) -> None:
    """Draw one of :data:`SHAPES` around a point."""
    draw, fill = ImageDraw.Draw(picture), COLOURS[colour]
    box = (x - r, y - r, x + r, y + r)
    if name == "circle":
        draw.ellipse(box, fill=fill)
    elif name == "square":
        draw.rectangle(box, fill=fill)
    elif name == "ring":
        draw.ellipse(box, outline=fill, width=max(2, r // 3))
    elif name == "cross":
        arm = max(1, r // 3)
        draw.rectangle((x - arm, y - r, x + arm, y + r), fill=fill)
        draw.rectangle((x - r, y - arm, x + r, y + arm), fill=fill)
    elif name == "heart":
        draw.ellipse((x - r, y - r, x, y), fill=fill)
        draw.ellipse((x, y - r, x + r, y), fill=fill)
        shoulder, below = round(0.95 * r), y - round(0.3 * r)
        draw.polygon([(x - shoulder, below), (x + shoulder, below), (x, y + r)], fill=fill)
    else:
        draw.polygon(_corners(name, x, y, r), fill=fill)


def _corners(name: str, x: int, y: int, r: int) -> list[tuple[int, int]]:
    count = {"triangle": 3, "diamond": 4}.get(name)
    radii: list[float] = [r] * count if count else [r, 0.42 * r] * 5
    turns = ((radius, 2 * pi * number / len(radii)) for number, radius in enumerate(radii))
    return [(round(x + radius * sin(turn)), round(y - radius * cos(turn))) for radius, turn in turns]


def write(picture: Image.Image, text: str, x: int, y: int, scale: int = 2) -> None:
    """Write Latin letters, digits and signs, their upper left corner at a point; pixels of the font become squares."""
    left, top, right, bottom = _FONT.getbbox(text)
    mask = Image.new("1", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=1, font=_FONT)
    large = mask.resize((mask.width * scale, mask.height * scale), Image.Resampling.NEAREST)
    picture.paste(Image.new("RGB", large.size, COLOURS["black"]), (x, y), large)
