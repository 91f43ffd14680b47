"""Docs of the probes: drawn by a program, read from files, or brought along in a folder.

Every doc has its pictures as a list, what the model reads with one ``<image>`` a picture, and a target that is an
answer in the form that is asked for. What is wrong with the files is said in the cards and mended here.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Literal

from datasets import Dataset, Features
from datasets import Image as ImageFeature
from datasets import Sequence as ListOf
from PIL import Image

from harness_ext.data import fetch, load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import read_json_lines
from harness_ext.errors import DataError, InputError
from harness_ext.scoring.options import hashed_order
from harness_ext.tasks.gpt4v_probes import local, synth, texts
from harness_ext.tasks.gpt4v_probes.synth.physics import white

Item = Mapping[str, Any]
Pictures = Sequence[Image.Image]
N = 50
"""Docs of a part that is drawn, unless ``n`` says otherwise; of Chinese ones those that are bundled."""
SAMPLED = 8
"""The same in a run on sample data."""
PAPER: Mapping[str, int] = {
    "vqa": 120, "caption": 40, "refusal_gender": 20, "refusal_race": 11, "refusal_age": 25, "zh_char": 10,
    "zh_mcq": 10, "math": 10, "spot": 10, "spot_grid": 10, "depth": 20, "thermal": 20, "video": 20, "audio_mcq": 20,
    "audio_match": 20, **{f"physics_{topic}": 10 for topic in synth.physics.TOPICS},
}  # fmt: skip
"""Instances of the paper, for ``"n": "paper"``."""
SHOTS = 3
_FIRST_SHOT = 1_000_000
"""Examples are drawn from here on: no doc that is scored is among them."""
VICOMTE: Mapping[str, tuple[str, ...]] = {
    "color": ("color",), "shape": ("shape",), "material": ("material",), "size": ("size_larger", "size_smaller"),
    "cooccur": ("cooccur",),
}  # fmt: skip
_WHITE: Mapping[str, tuple[str, str, str, str]] = {
    "mmlu": ("cais/mmlu", "all", "test", "dev"),
    "hellaswag": ("Rowan/hellaswag", "", "validation", "train"),
    "winogrande": ("allenai/winogrande", "winogrande_xl", "validation", "train"),
}
"""Set, configuration, evaluated split and the split that examples come from."""


@reads("data", "n", "seed", "level", "local")
def load(
    probe: str,
    data: Literal["real", "sample"] = "real",
    n: int | Literal["paper"] | None = None,
    seed: int = 0,
    level: int | None = None,
    local: str | None = None,
    shots: int = 0,
    pictures: bool = True,
    **others: object,
) -> dict[str, Dataset]:
    """One doc a question.

    Args:
        probe: the leaf's name without ``gpt4v_probes_`` and endings.
        data: ``sample`` takes the bundled items, which are no benchmark data.
        n: docs of a part that is drawn, 50 by default; ``paper`` takes as many as the paper.
        seed: of a part that is drawn.
        level: 1 to 3: take docs of one level only, of a part that is drawn.
        local: the folder of a part that is brought along.
        shots: examples within each doc.
        pictures: whether the doc has them; without, it is asked as a text.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value, or a folder is missing or lacks a field.
        DataError: a file is missing or not built as expected.
    """
    check_arguments("gpt4v_probes", data=(data, DATA), level=(level, (None, *synth.LEVELS)))
    if n not in (None, "paper") and not (isinstance(n, int) and n > 0):
        raise InputError(f"gpt4v_probes: n is {n!r}; give a number of docs, or paper.")
    if not isinstance(seed, int) or seed < 0:
        raise InputError(f"gpt4v_probes: seed is {seed!r}; give a whole number from 0.")
    kind, _, name = probe.partition("_")
    if kind == "syn":
        count = SAMPLED if data == "sample" else PAPER[name] if n == "paper" else int(n or _usual(name))
        items = _synthetic(name, seed, count, level, shots)
    elif kind == "local":
        items = _sampled(probe, shots) if data == "sample" else _brought(name, local, shots)
    elif data == "sample":
        items = _sampled(probe, shots)
    elif kind == "vicomte":
        items = _vicomte(name)
    elif kind == "white":
        items = _white(name, shots)
    else:
        items = _puzzles(probe)
    form = texts.FORMS.get(probe) or texts.FORMS[name]
    docs = [_doc(form, item, drawn if pictures else (), examples) for item, drawn, examples in items]
    if not docs:
        raise DataError(f"gpt4v_probes: there is no item for {probe}.")
    found = Dataset.from_list(docs)
    if not pictures:
        return {"test": found.remove_columns("images")}
    features = found.features | {"images": ListOf(ImageFeature())}
    return {"test": Dataset.from_list(docs, features=Features(features))}


def _usual(name: str) -> int:
    return synth.chinese.BUNDLED if name.startswith("zh_") else N


Items = Iterator[tuple[Item, Pictures, Sequence[Item]]]
"""An item, its pictures (those of its examples first), and its examples."""


def _doc(form: texts.Form, item: Item, pictures: Pictures, examples: Sequence[Item]) -> dict[str, Any]:
    asked = form.asked(item, examples, numbered=len(pictures) > 1)
    return {
        "id": item["id"],
        "image_id": [f"{item['id']}/{number}" for number in range(len(pictures))],
        "images": [{"bytes": _png(picture), "path": None} for picture in pictures],
        "text": f"{'<image>' * len(pictures)}\n{asked}" if pictures else asked,
        "target": form.target(item),
        "level": item.get("level"),
        **form.kept(item),
    }


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


def rgb(picture: Image.Image) -> Image.Image:
    """A picture on white, so that no backend needs an option for transparency.

    >>> rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, (255, 255, 255, 255)), picture).convert("RGB")
    return picture.convert("RGB")


def _synthetic(name: str, seed: int, count: int, level: int | None, shots: int) -> Items:
    for i in range(count):
        pictures, doc = synth.make(name, seed, i, level)
        before = [synth.make(name, seed, _FIRST_SHOT + SHOTS * i + shot, level) for shot in range(shots)]
        seen = [picture for shown, _ in before for picture in shown]
        yield {**doc, "id": f"syn_{name}_{seed}_{i}"}, [*seen, *pictures], [example for _, example in before]


def _sampled(part: str, shots: int) -> Items:
    """The bundled items; the pictures are drawn by the same programs."""
    rows = [row for row in load_sample("gpt4v_probes") if row["part"] == part]
    for number, row in enumerate(rows):
        before = [rows[(number + shot + 1) % len(rows)] for shot in range(shots)]
        drawn = [synth.make(*one["drawn"])[0] for one in (*before, row) if "drawn" in one]
        yield row, [picture for shown in drawn for picture in shown] or [white()], before


def _brought(name: str, folder: str | None, shots: int) -> Items:
    if folder is None:
        raise InputError(
            f'gpt4v_probes_local_{name} asks about pictures of yours: give --metadata \'{{"local": "DIR"}}\' with a '
            "folder that holds items.jsonl or a .tsv file (tasks/gpt4v_probes/README.md says how they are built)."
        )
    rows = local.items(folder, name)
    if len(rows) <= shots:
        raise InputError(f"{folder}: {len(rows)} items for {name}; {shots} examples a question need more.")
    for number, row in enumerate(rows):
        before = [rows[(number + shot + 1) % len(rows)] for shot in range(shots)]
        yield row, [rgb(picture) for one in (*before, row) for picture in local.pictures(one)], before


def _vicomte(name: str) -> Items:
    """All test rows; the right option stands where a hash puts it."""
    for file in VICOMTE[name]:
        for number, row in enumerate(read_json_lines("vicomte", f"{file}/test.jsonl")):
            id = f"{file}_{number}"
            options = [(row["obj"], row["alt"])[place] for place in hashed_order(id, 2)]
            item = {
                "id": id, "question": texts.VICOMTE[file].format(row["sub"]), "options": options,
                "answer": "AB"[options.index(row["obj"])],
            }  # fmt: skip
            yield item, [white()], ()


def _white(name: str, shots: int) -> Items:
    """Questions of a set of the hub, as lm-eval takes them, beside a white picture."""
    import datasets

    path, configuration, split, others = _WHITE[name]
    offline = {os.environ.get(key, "").lower() for key in ("HF_HUB_OFFLINE", "HARNESS_EXT_OFFLINE")}
    try:
        asked = datasets.load_dataset(path, configuration or None, split=split)
        shown = datasets.load_dataset(path, configuration or None, split=others) if shots else []
    except Exception as error:
        hint = " HF_HUB_OFFLINE or HARNESS_EXT_OFFLINE forbids the network." if offline & {"1", "true", "yes"} else ""
        raise DataError(
            f"gpt4v_probes_white_{name}: {path} cannot be had from the hub ({type(error).__name__}).{hint} Load it "
            "once with a connection, or leave the white_* tasks out."
        ) from error
    read = _HUB[name]
    by_subject: dict[str, list[Item]] = {}
    for row in shown:
        same = by_subject.setdefault(row.get("subject", ""), [])
        if len(same) < shots:
            same.append(read(row, 0))
    for number, row in enumerate(asked):
        yield read(row, number), [white()], by_subject.get(row.get("subject", ""), [])


def _mmlu(row: Item, number: int) -> Item:
    return {
        "id": f"mmlu_{number}",
        "question": row["question"],
        "options": row["choices"],
        "answer": "ABCD"[row["answer"]],
    }


def _hellaswag(row: Item, number: int) -> Item:
    question = f"How does the text go on?\n{row['ctx']}"
    return {
        "id": f"hellaswag_{number}",
        "question": question,
        "options": row["endings"],
        "answer": "ABCD"[int(row["label"])],
    }


def _winogrande(row: Item, number: int) -> Item:
    question = f"What belongs in place of _?\n{row['sentence']}"
    options = [row["option1"], row["option2"]]
    return {
        "id": f"winogrande_{number}",
        "question": question,
        "options": options,
        "answer": "AB"[int(row["answer"]) - 1],
    }


_HUB: Mapping[str, Callable[[Item, int], Item]] = {"mmlu": _mmlu, "hellaswag": _hellaswag, "winogrande": _winogrande}


@cache
def puzzles() -> Mapping[str, Mapping[str, Any]]:
    """What the real puzzles ask and their solutions, by kind and number."""
    text = (resources.files("harness_ext.tasks.gpt4v_probes") / "puzzles.json").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Any]] = json.loads(text)
    return found


def _puzzles(part: str) -> Items:
    folder = {"spot_grid": "difference"}.get(part, part)
    for number, gold in puzzles()[part].items():
        with Image.open(fetch("gpt4v_evaluation", f"{folder}/{number}.png")) as picture:
            shown = rgb(picture)
        yield {"id": f"{part}_{number}", **({"regions": gold} if part == "spot_grid" else gold)}, [shown], ()


def parts() -> Iterable[str]:
    """Parts that can be shown with nothing but this package: those that are drawn."""
    return synth.PARTS
