"""Chinese in pictures: one character, or a numbered question with four options.

A bare system has no Chinese font, so twenty pictures of each kind stand in `chinese_pictures`; the environment variable
``HARNESS_EXT_CJK_FONT`` names a font file for more, or for other seeds. ``python -m
harness_ext.tasks.gpt4v_probes.synth.chinese FONT`` draws the bundled ones anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from harness_ext.errors import InputError
from harness_ext.tasks.gpt4v_probes.synth.chance import Draw, drawn
from harness_ext.tasks.gpt4v_probes.synth.drawing import COLOURS, canvas

FONT = "HARNESS_EXT_CJK_FONT"
CHARACTERS = "一二三人口日月山水火木土大小上下中天王田手目耳心门马鸟鱼云雨花"
"""Thirty-one simple characters."""
BUNDLED = 20
"""Pictures of each kind that are bundled: of seed 0, in order."""
QUESTIONS = (
    ("下列哪个单位用来量身高？", "千克", "厘米", "小时", "升"),
    ("一年有几个季节？", "两个", "三个", "四个", "五个"),
    ("下列哪种动物会飞？", "老虎", "麻雀", "金鱼", "山羊"),
    ("水在多少度结冰？", "零度", "十度", "五十度", "一百度"),
    ("太阳从哪边升起？", "东边", "西边", "南边", "北边"),
    ("下列哪个是水果？", "白菜", "苹果", "大米", "鸡蛋"),
    ("一周有几天？", "五天", "六天", "七天", "八天"),
    ("下列哪种颜色最深？", "白色", "黄色", "粉色", "黑色"),
    ("三加五等于几？", "六", "七", "八", "九"),
    ("下列哪个不是交通工具？", "火车", "飞机", "椅子", "轮船"),
    ("冬天常见的天气是什么？", "下雪", "打雷", "台风", "高温"),
    ("下列哪个器官用来听？", "眼睛", "耳朵", "鼻子", "嘴巴"),
    ("一小时有多少分钟？", "十分钟", "三十分钟", "六十分钟", "一百分钟"),
    ("下列哪个是乐器？", "钢琴", "铅笔", "雨伞", "书包"),
    ("月亮绕着什么转？", "太阳", "地球", "火星", "北极星"),
    ("下列哪种东西能浮在水上？", "石头", "铁钉", "木头", "硬币"),
    ("写字一般用什么？", "筷子", "铅笔", "毛巾", "杯子"),
    ("下列哪个城市靠海？", "青岛", "西安", "兰州", "成都"),
    ("十减四等于几？", "四", "五", "六", "七"),
    ("植物生长不需要什么？", "阳光", "水分", "空气", "电视"),
)
_SIZES = {1: (120, 140), 2: (70, 90), 3: (36, 48)}


def character(draw: Draw, level: int) -> dict[str, Any]:
    """One character, smaller and off the middle at higher levels."""
    colour = draw.one(list(COLOURS))
    return {"kind": "char", "gold": draw.balanced(CHARACTERS), "colour": colour, "size": draw.whole(*_SIZES[level])}


def question(draw: Draw, level: int) -> dict[str, Any]:
    """A numbered question with four options; what is asked is to copy it, not to answer it."""
    number, (stem, *options) = draw.whole(1, 30), draw.one(QUESTIONS)
    order = draw.some(options, 4)
    lines = [f"{number}. {stem}", *(f"{letter}. {option}" for letter, option in zip("ABCD", order, strict=True))]
    return {"kind": "mcq", "gold": "\n".join(lines), "size": {1: 26, 2: 20, 3: 15}[level]}


def paint(draw: Draw, doc: Mapping[str, Any]) -> list[Image.Image]:
    """The bundled picture, or a new one where a font is named.

    Raises:
        InputError: the picture is not bundled and no font is named, or the font cannot be read.
    """
    number, font = doc["number"], os.environ.get(FONT)
    if font:
        return [_paint(doc, font, draw)]
    if number < BUNDLED and doc == _bundled(doc["kind"], number):
        file = (
            resources.files("harness_ext.tasks.gpt4v_probes") / "chinese_pictures" / f"{doc['kind']}_{number:02d}.png"
        )
        with resources.as_file(file) as path, Image.open(path) as picture:
            return [picture.convert("RGB")]
    raise InputError(
        f"gpt4v_probes: {BUNDLED} Chinese pictures of a kind are bundled, of seed 0 and mixed levels; for others name "
        f"a font with Chinese characters in {FONT}, such as wqy-microhei.ttc of the Debian package fonts-wqy-microhei."
    )


def _bundled(kind: str, number: int) -> dict[str, Any]:
    plan, part = {"char": (character, "zh_char"), "mcq": (question, "zh_mcq")}[kind]
    level = 1 + number % 3
    return {"level": level, "number": number, **plan(drawn("plan", part, 0, number), level)}


def _paint(doc: Mapping[str, Any], font: str, draw: Draw) -> Image.Image:
    try:
        face = ImageFont.truetype(font, doc["size"])
    except OSError as error:
        raise InputError(
            f"{FONT}: {font} cannot be read as a font ({error}). Name a .ttf, .otf or .ttc file."
        ) from error
    single = doc["kind"] == "char"
    picture = canvas(200, 200) if single else canvas(360, 190)
    place = (draw.whole(4, 196 - doc["size"]), draw.whole(4, 180 - doc["size"])) if single else (10, 10)
    colour = COLOURS[doc["colour"]] if single else COLOURS["black"]
    ImageDraw.Draw(picture).multiline_text(place, doc["gold"], fill=colour, font=face, spacing=8)
    return picture


def _draw_bundled(font: str) -> None:
    folder = Path(__file__).parents[1] / "chinese_pictures"
    folder.mkdir(exist_ok=True)
    for kind, part in (("char", "zh_char"), ("mcq", "zh_mcq")):
        for number in range(BUNDLED):
            picture = _paint(_bundled(kind, number), font, drawn("paint", part, 0, number))
            few = picture.quantize(16)
            few.save(folder / f"{kind}_{number:02d}.png", optimize=True)


if __name__ == "__main__":
    _draw_bundled(sys.argv[1])
