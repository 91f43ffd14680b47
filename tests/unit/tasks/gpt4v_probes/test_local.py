"""Pictures that a user brings along, and what is said of a folder that is not as it should be."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness_ext.errors import InputError
from harness_ext.tasks.gpt4v_probes import docs, scores


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes items and the pictures that they name."""

    def write(*items: dict[str, Any], mode: str = "RGB") -> str:
        for item in items:
            for name in item.get("images", ()):
                if name.endswith(".png"):
                    Image.new(mode, (8, 6), 200 if mode == "L" else (255, 0, 0, 0)[: len(mode)]).save(tmp_path / name)
        (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        return str(tmp_path)

    return write


def item(**others: Any) -> dict[str, Any]:
    return {"id": "x", "images": ["a.png"], "question": "What is it?", "answers": ["a cat"], **others}


def table(folder: Path, *rows: dict[str, str]) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, format="PNG")
    header = ["index", "image", "question", "A", "B", "C", "D", "answer", "category"]
    encoded = base64.b64encode(stream.getvalue()).decode()
    lines = ["\t".join(header), *("\t".join({"image": encoded, **row}.get(key, "") for key in header) for row in rows)]
    (folder / "x.tsv").write_text("\n".join(lines) + "\n")
    return str(folder)


def test_an_item_becomes_a_doc_with_its_picture_on_white(folder: Any) -> None:
    (doc,) = docs.load("local_vqa", local=folder(item(), mode="RGBA"))["test"]
    (picture,) = doc["images"]
    assert (picture.mode, picture.getpixel((0, 0))) == ("RGB", (255, 255, 255))
    assert doc["text"].count("<image>") == 1
    assert scores.short_answer(doc, ["A cat."])["contains"] == 1


def test_letters_come_from_the_filled_cells_of_each_row(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        {"index": "1", "question": "q", "A": "cat", "B": "dog", "C": "bird", "D": "cow", "answer": "D"},
        {"index": "2", "question": "q", "A": "yes", "C": "no", "answer": "C"},
        {"index": "3", "question": "q", "answer": "two cats"},
    )
    four, two, none = docs.load("local_vqa", local=path)["test"]
    assert (four["letters"], two["letters"], none["letters"]) == ("ABCD", "AC", "")
    assert "nan" not in two["text"]
    assert scores.short_answer(four, ["D. cow"])["contains"] == 1
    assert scores.short_answer(two, ["B"])["parse_failure"] == 1
    assert scores.short_answer(two, ["C"])["contains"] == 1
    for words in ("The picture shows a cat.", "Based on the picture, a dog."):
        assert scores.short_answer(four, [words])["parse_failure"] == 1
    assert scores.short_answer(none, ["There are two cats."])["contains"] == 1


def test_three_examples_have_their_pictures_before_the_query(folder: Any) -> None:
    items = [item(id=str(n), images=[f"{n}.png"], answers=[f"word{n}"]) for n in range(4)]
    doc = docs.load("local_vqa", local=folder(*items), shots=3)["test"][0]
    assert len(doc["images"]) == doc["text"].count("<image>") == 4
    assert doc["text"].index("word1") < doc["text"].index("The fourth picture.")
    assert "word0" not in doc["text"]


def test_items_of_another_trait_are_left_out(folder: Any) -> None:
    path = folder(item(id="1", trait="age"), item(id="2", trait="race"))
    assert docs.load("local_refusal_age", local=path)["test"]["id"] == ["1"]
    with pytest.raises(InputError, match="no item with trait 'gender'"):
        docs.load("local_refusal_gender", local=path)


@pytest.mark.parametrize(
    ("part", "broken", "words"),
    [
        ("vqa", {"question": ""}, "items.jsonl line 2: question is missing"),
        ("vqa", {"answers": []}, "line 2: answers, or options and answer, are missing"),
        ("vqa", {"options": ["a", "b"], "answer": "C"}, "line 2: answer is 'C'"),
        ("vqa", {"images": []}, "line 2: 0 pictures, and vqa shows 1"),
        ("vqa", {"images": ["none.jpg"]}, "line 2: the picture none.jpg cannot be read"),
        ("vqa", {"images": ["../a.jpg"]}, "line 2: the picture ../a.jpg cannot be read"),
        ("caption", {"answers": None}, "line 2: references or keywords is missing"),
        ("thermal", {"count": 1}, "line 2: positions is missing"),
        ("audio_match", {"labels": ["a"], "sounds": ["a"]}, "line 2: 1 pictures, and audio_match shows 4"),
    ],
)
def test_what_is_missing_is_named_with_file_and_line(folder: Any, part: str, broken: Any, words: str) -> None:
    whole = item(references=["x"], count=1, positions=["left"], labels=["a"], sounds=["a"])
    if part == "audio_match":
        whole["images"] = ["1.png", "2.png", "3.png", "4.png"]
    path = folder(whole, {**item(), **broken})
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        docs.load(f"local_{part}", local=path)


def test_what_is_no_picture_or_no_folder_is_refused(folder: Any, tmp_path: Path) -> None:
    path = folder(item(images=["a.jpg"]))
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(InputError, match="not a picture"):
        docs.load("local_vqa", local=path)
    with pytest.raises(InputError, match=r"items\.jsonl or one \.tsv file is expected, and there is neither"):
        docs.load("local_vqa", local=str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="give --metadata"):
        docs.load("local_vqa")
    (tmp_path / "items.jsonl").write_text("[1]\n")
    with pytest.raises(InputError, match="line 1: not a JSON object"):
        docs.load("local_vqa", local=str(tmp_path))


def test_a_link_that_leads_out_of_the_folder_is_refused(folder: Any, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (inside / "a.jpg").symlink_to(tmp_path / "secret.png")
    (inside / "items.jsonl").write_text(json.dumps(item(images=["a.jpg"])))
    with pytest.raises(InputError, match="leads out of the folder"):
        docs.load("local_vqa", local=str(inside))


@pytest.mark.parametrize(
    ("broken", "words"),
    [({"n": 0}, "n is 0"), ({"n": "many"}, "n is 'many'"), ({"seed": -1}, "seed is -1"), ({"level": 4}, "level is 4")],
)
def test_switches_without_a_meaning_are_refused(broken: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        docs.load("syn_vqa", **broken)


def test_size_seed_and_level_choose_the_drawn_docs() -> None:
    first, second = (docs.load("syn_math", n=6, seed=seed)["test"] for seed in (0, 1))
    assert docs.load("syn_math", n=2)["test"]["text"] == first["text"][:2]
    assert first["answer"] != second["answer"]
    assert set(docs.load("syn_math", n=4, level=2)["test"]["level"]) == {2}
    assert len(docs.load("syn_refusal_race", n="paper")["test"]) == 11


def test_a_set_of_the_hub_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def unreachable(*args: object, **kwargs: object) -> None:
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(Exception, match="cais/mmlu cannot be had from the hub"):
        docs.load("white_mmlu")
