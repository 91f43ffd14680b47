"""Docs of << name >>: one a << "picture" if kind == "image" else "row of the file" >>, or the records of ``sample.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

<% if kind == "image" %>
from harness_ext.data import fetch<% if folders %>, load_card<% endif %>

<% endif %>
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import << imports >>
from harness_ext.data.samples import sample_beside
<% if kind == "soft-label" %>
from harness_ext.scoring.class_soft_labels import of_votes
<% endif %>

CARDS = Path(__file__).parents[<< depth >>] / "data_cards"
<% if columns.labels %>
LABELS = << literal(columns.labels) >>
<% endif %>
<% if kind == "soft-label" %>
VOTES = << literal(columns.votes) >>
"""Columns of the annotators."""
<% endif %>
<% if kind == "multiple-choice" %>
CHOICES = << literal(columns.choices) >>
"""Columns of the choices."""
<% endif %>


@reads("data")
def load(data: str = "real", **_: Any) -> dict[str, Dataset]:
    """One doc a row; ``data="sample"`` takes the bundled records."""
    check_arguments("<< name >>", data=(data, DATA))
    if data == "sample":
        return {"test": Dataset.from_list(sample_beside(__file__))}
<% if folders %>
    names = load_card("<< name >>", CARDS).names
    rows = [{"file_name": name, "label": Path(name).parent.name} for name in names]
<% else %>
    rows = read_table("<< name >>", << literal(file) >>, CARDS)
<% endif %>
    return {"test": Dataset.from_list([doc(number, row) for number, row in enumerate(rows, start=1)])}


def doc(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """The doc of a row."""
<% if kind == "soft-label" %>
    soft_label = of_votes([cell(row, name) for name in VOTES], LABELS)
<% elif kind == "multiple-choice" %>
    choices = [text for name in CHOICES for text in cells(row, name)]
<% elif kind == "multi-turn" %>
    messages = row[<< literal(columns.text) >>]
    turns = [one["content"] if isinstance(one, dict) else one for one in messages if _is_users(one)]
<% endif %>
    return {
        "id": << "cell(row, " ~ literal(columns.id) ~ ")" if columns.id else "str(number)" >>,
<% if kind == "multi-turn" %>
        "turns": turns,
<% elif columns.text %>
        "text": cell(row, << literal(columns.text) >>),
<% else %>
        "text": << literal(question) >>,
<% endif %>
<% if kind == "soft-label" %>
        "labels": LABELS,
        "soft_label": soft_label,
        "answer": soft_label.index(max(soft_label)),
<% elif kind == "classification" %>
        "labels": LABELS,
        "answer": LABELS.index(cell(row, << literal(columns.answer) >>)),
<% elif kind == "multiple-choice" %>
        "choices": choices,
        "answer": << right >>,
<% elif kind == "image" %>
        "picture": cell(row, << literal(columns.picture) >>),
        "answers": cells(row, << literal(columns.answer) >>),
<% else %>
        "answers": cells(row, << literal(columns.answer) >>),
<% endif %>
    }
<% if kind == "multi-turn" %>


def _is_users(message: Any) -> bool:
    return not isinstance(message, dict) or message.get("role") == "user"
<% elif kind == "image" %>


def pictures(doc: Mapping[str, Any]) -> list[Any]:
    """The picture of a doc; a blank one where a made-up doc has none."""
    from PIL import Image

    if not doc["picture"]:
        return [Image.new("RGB", (32, 32))]
    with Image.open(fetch("<< name >>", doc["picture"], cards=CARDS)) as picture:
        return [picture.convert("RGB")]
<% endif %>
