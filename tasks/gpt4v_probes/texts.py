"""What is asked in each form, in our words, and the answer that would be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

Item = Mapping[str, Any]

VICOMTE: Mapping[str, str] = {
    "color": "What colour does a {} usually have?",
    "shape": "What shape does a {} usually have?",
    "material": "What is a {} usually made of?",
    "size_larger": "What is a {} larger than?",
    "size_smaller": "What is a {} smaller than?",
    "cooccur": "What is a {} more often seen with?",
}
_LETTER = "Answer with the letter of the right option."
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_WORD = "Answer with a word or a short phrase."


class Form(NamedTuple):
    """How a kind of item is asked and answered."""

    question: Callable[[Item], str]
    """What is asked, without the line that is to be completed."""
    target: Callable[[Item], str]
    """An answer that is wholly right."""
    fields: Sequence[str]
    """What scoring needs of the item."""
    end: str = "Answer:"

    def asked(self, item: Item, examples: Sequence[Item] = (), *, numbered: bool = False) -> str:
        """The text that the model reads, behind examples; ``numbered``: each of them has a picture of its own."""
        questions = [f"{self.question(one)}\n{self.end}".rstrip("\n") for one in (*examples, item)]
        if examples and numbered:
            questions = [f"The {which} picture.\n{one}" for which, one in zip(_ORDINALS, questions, strict=False)]
        answers = [f" {self.target(one)}" for one in examples]
        return "\n\n".join(question + answer for question, answer in zip(questions, [*answers, ""], strict=True))

    def kept(self, item: Item) -> dict[str, Any]:
        """What scoring needs, in a form that a column can hold; every field for every doc."""
        return {field: _column(item.get(field)) for field in self.fields} | (
            {"letters": letters(item)} if "options" in self.fields else {}
        )


def letters(item: Item) -> str:
    """The letters of an item's options; empty where it has none.

    >>> letters({"options": ["cat", "dog"]}), letters({"options": ["cat", "dog"], "letters": "AC"}), letters({})
    ('AB', 'AC', '')
    """
    options = item.get("options") or ()
    return str(item.get("letters") or ascii_uppercase[: len(options)])


def _column(value: Any) -> Any:
    """Names and values of a mapping as pairs: columns have one type."""
    return [{"name": name, "value": one} for name, one in value.items()] if isinstance(value, Mapping) else value


def _options(item: Item) -> str:
    lines = [f"{letter}. {option}" for letter, option in zip(letters(item), item["options"], strict=True)]
    return "\n".join([*lines, _LETTER])


def _short(item: Item) -> str:
    if item.get("options"):
        return f"Question: {item['question']}\n{_options(item)}"
    return f"Question: {item['question']}\n{_WORD}"


def _first(item: Item) -> str:
    return str(item["answer"]) if item.get("options") else str(item["answers"][0])


def _choice(lead: str = "") -> Callable[[Item], str]:
    def asked(item: Item) -> str:
        return f"{lead or item['question']}\n{_options(item)}"

    return asked


def _described(item: Item) -> str:
    return str((item.get("references") or [", ".join(item.get("keywords") or ())])[0])


def _math(item: Item) -> str:
    names = ", ".join(item["values"])
    return (
        "The picture shows equations in which every icon stands for a whole number, and x is multiplication, which "
        f"goes before + and -. The icons are: {names}. Find their values and the value of the last line. Write one "
        f"line `values: {next(iter(item['values']))} = …, …` and one line `answer: …`."
    )


def _solved(item: Item) -> str:
    values = ", ".join(f"{name} = {value}" for name, value in item["values"].items())
    return f"values: {values}\nanswer: {item['answer']}"


_SPOT = (
    "The picture holds two panels side by side, each of four rows A to D and four columns 1 to 4. Some cells differ "
    "between the left and the right panel. Write one line for each such cell, `cell: left -> right`, with what is in "
    "it in the left and in the right panel, or nothing."
)
_SPOT_LINES = f"{_SPOT} The lines between the cells and their labels are drawn."


def _changed(item: Item) -> str:
    return "\n".join(
        f"{region['cell']}: {region.get('left') or 'nothing'} -> {region.get('right') or 'nothing'}"
        for region in item["regions"]
    )


def _heat(item: Item) -> str:
    return f"count: {item['count']}\npositions: {', '.join(item['positions'])}"


def _match(item: Item) -> str:
    labels = "\n".join(f"{chr(ord('a') + number)}. {label}" for number, label in enumerate(item["labels"]))
    return (
        "Each picture is the spectrogram of one sound. Which label belongs to which picture? Every label belongs to "
        f"one.\n{labels}\nWrite pairs of the picture's number and the label's letter, such as 1-a, 2-b."
    )


def _matched(item: Item) -> str:
    place = {label: chr(ord("a") + number) for number, label in enumerate(item["labels"])}
    return ", ".join(f"{number}-{place[sound]}" for number, sound in enumerate(item["sounds"], start=1))


_LETTERED = ("options", "answer")
_VQA = Form(_short, _first, ("options", "answer", "answers"))
_CAPTION = Form(
    lambda _: "Describe the picture in one sentence.", _described, ("keywords", "references"), "Description:"
)
_REFUSAL = Form(_short, _first, ("answers", "trait"))
_CHOICE = Form(_choice(), lambda item: str(item["answer"]), _LETTERED)

FORMS: Mapping[str, Form] = {
    "vqa": _VQA,
    "caption": _CAPTION,
    "scienceqa": _CHOICE,
    "refusal_gender": _REFUSAL,
    "refusal_race": _REFUSAL,
    "refusal_age": _REFUSAL,
    "zh_char": Form(
        lambda _: "The picture shows one Chinese character. Which one? Answer with the character alone.",
        lambda item: str(item["gold"]),
        ("gold",),
    ),
    "zh_mcq": Form(
        lambda _: "The picture shows a Chinese question with its options. Copy all of its text, and nothing else.",
        lambda item: str(item["gold"]),
        ("gold",),
        "Text:",
    ),
    **dict.fromkeys(("white_mmlu", "white_hellaswag", "white_winogrande"), _CHOICE),
    **dict.fromkeys((f"vicomte_{kind}" for kind in ("color", "shape", "material", "size", "cooccur")), _CHOICE),
    **dict.fromkeys(
        (f"physics_{kind}" for kind in ("collision", "free_fall", "friction", "incline", "motion", "projection")),
        _CHOICE,
    ),
    "math": Form(_math, _solved, ("values", "answer"), ""),
    "spot": Form(lambda _: _SPOT, _changed, ("regions",), ""),
    "spot_grid": Form(lambda _: _SPOT_LINES, _changed, ("regions",), ""),
    "drawguess": Form(
        lambda item: (
            f"Somebody drew this for others to guess. The hint is: {item['hint']}. What was to be drawn? {_WORD}"
        ),
        lambda item: str(item["accept"][0]),
        ("accept", "reject", "hint"),
    ),
    "depth": Form(
        _choice("This is a depth map: the nearer, the brighter. What kind of room is it?"),
        lambda item: str(item["answer"]),
        _LETTERED,
    ),
    "thermal": Form(
        lambda _: (
            "This is a picture of an infrared camera: the warmer, the brighter. How many pedestrians are there, and "
            "where is each: left, center or right? Write one line `count: …` and one line `positions: …`."
        ),
        _heat,
        ("count", "positions"),
        "",
    ),
    "video": Form(
        _choice("The pictures are four frames of a video, in order. What happens to what is shown?"),
        lambda item: str(item["answer"]),
        _LETTERED,
    ),
    "local_video": Form(
        lambda _: "The pictures are four frames of a video, in order. Describe what happens in one sentence.",
        _described,
        ("keywords", "references"),
        "Description:",
    ),
    "audio_mcq": Form(
        _choice("This is the spectrogram of a sound: time goes to the right, pitch upwards. What is it?"),
        lambda item: str(item["answer"]),
        _LETTERED,
    ),
    "audio_match": Form(_match, _matched, ("labels", "sounds")),
}
"""By the part of a leaf's name that says what is asked."""
