"""Writes a benchmark's folder, card and test from the templates, as a whole or not at all."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from harness_ext.data.cards import parse_card
from harness_ext.data.row_counts import count_rows, default_row_rule
from harness_ext.data.rows import TABLES
from harness_ext.drafts.columns import LETTERS, Columns, choices_of
from harness_ext.errors import DataError, InputError
from harness_ext.files import sha256_of
from harness_ext.scoring.class_soft_labels import agg_total_variation, mean_label

SAMPLE = 16
"""Records of a sample."""

_ABOUT = {
    "classification": "Which class is it? By the likelihood of each.",
    "soft-label": "How do people divide over the classes? By the likelihood of each.",
    "generation": "A text is asked for and compared with the right answers.",
    "multiple-choice": "Which choice is right? By the likelihood of each.",
    "multi-turn": "A dialogue; the answer to the last message is compared with the right answers.",
    "image": "What is asked about a picture is answered in words.",
}
_RIGHT = {
    "text": "choices.index({answer})",
    "letter": f'"{LETTERS}".index({{answer}}.upper())',
    "from 0": "int({answer})",
    "from 1": "int({answer}) - 1",
}
_MOST_NAMED = 10
"""Classes of pictures that a question lists."""


@dataclass(frozen=True)
class Draft:
    """What there is to write."""

    name: str
    columns: Columns
    rows: Sequence[Mapping[str, Any]]
    data: Path
    """The file, or the folder of pictures."""
    files: Sequence[str]
    """Names of the card's files, from the folder that holds them: the file itself, or pictures and their table."""
    redistributable: bool
    language: str
    licence: str
    package: str = ""
    """Of somebody's own; empty: ``tasks/``, ``data_cards/`` and ``tests/`` of the folder."""

    @property
    def bench(self) -> Path:
        """The benchmark's folder."""
        return Path(self.package, self.package, self.name) if self.package else Path("tasks", self.name)

    @property
    def cards(self) -> Path:
        """The folder of cards."""
        return self.bench.parent / "data_cards" if self.package else Path("data_cards")

    @property
    def card(self) -> Path:
        """The card."""
        return self.cards / f"{self.name}.md"

    @property
    def test(self) -> Path:
        """The test that wants a golden number."""
        folder = Path(self.package, "tests") if self.package else Path("tests", "conformance")
        return folder / f"test_{self.name}.py"

    @property
    def table(self) -> str:
        """Name of the file that holds the rows; empty where pictures lie in a folder a class."""
        return next((name for name in self.files if Path(name).suffix.lower() in TABLES), "")

    @property
    def by_folder(self) -> bool:
        """Whether pictures lie in a folder a class."""
        return self.columns.kind == "image" and self.table == ""


def write(draft: Draft, root: Path) -> list[Path]:
    """Write everything below ``root``; what is in the way is never overwritten.

    Returns:
        What was written, from ``root``.

    Raises:
        InputError: something is in the way or cannot be written, or a row makes no doc.
    """
    for path in (draft.bench, draft.card, draft.cards / draft.name, draft.test):
        if (root / path).exists():
            raise InputError(f"{path} is there already. Delete it, or give the task another name.")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder)
        try:
            _build(draft, built)
            written = sorted(path.relative_to(built) for path in built.rglob("*") if path.is_file())
            written = [path for path in written if "__pycache__" not in path.parts]
            kept = [path for path in written if (root / path).exists()]
            for path in (path for path in written if path not in kept):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(built / path, root / path)
        except OSError as error:
            raise InputError(f"{error.filename} cannot be written ({error.strerror}). Go to another folder.") from error
    _require_declared(root / draft.package, draft.package)
    return [path for path in written if path not in kept]


def _build(draft: Draft, root: Path) -> None:
    """Everything below a folder of its own: the docs of a sample come from the loader that is written."""
    bench, columns = root / draft.bench, draft.columns
    about = _ABOUT[columns.kind]
    facts: dict[str, Any] = {
        "name": draft.name,
        "kind": columns.kind,
        "columns": columns,
        "about": about,
        "depth": 1 if draft.package else 2,
        "folders": draft.by_folder,
        "file": draft.table,
        "imports": _imports(draft),
        "question": _question(draft),
        "right": _RIGHT[columns.form].format(answer=f"cell(row, {_literal(columns.answer)})"),
        "language": draft.language,
        "redistributable": draft.redistributable,
        "samples": SAMPLE,
        "docs": len(draft.rows),
        "test": draft.test.as_posix(),
        "up": 1 if draft.package else 2,
        "tasks": draft.package or "tasks",
        "package": draft.package,
        "row": _answer_row(draft),
    }
    _put(bench / "__init__.py", f'"""{draft.name}: {about[0].lower()}{about[1:]}"""\n')
    _put(bench / "docs.py", _rendered("docs.py", facts))
    _put(root / draft.card, _card(draft, about))
    if draft.redistributable:
        for name in draft.files:
            target = root / draft.cards / draft.name / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_origin(draft, name), target)
    docs = _docs(bench / "docs.py", draft.rows)
    facts["chance"] = _chance(draft, docs)
    sample = docs if draft.redistributable else _docs(bench / "docs.py", [_made_up(draft, n) for n in range(SAMPLE)])
    spread = [sample[n * len(sample) // SAMPLE] for n in range(SAMPLE)]
    _put(bench / "sample.jsonl", "".join(json.dumps(doc, ensure_ascii=False) + "\n" for doc in spread))
    _put(bench / f"{draft.name}.yaml", _rendered("task.yaml", facts))
    _put(bench / "README.md", _rendered("README.md", facts))
    _put(root / draft.test, _rendered("test.py", facts))
    if draft.package:
        _put(root / draft.package / "pyproject.toml", _rendered("pyproject.toml", facts))
        _put(bench.parent / "__init__.py", '"""Tasks for lm-evaluation-harness."""\n')


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _literal(value: Any) -> str:
    """A Python literal, in double quotes: whatever a column is called, it is only ever a text."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _rendered(template: str, facts: Mapping[str, Any]) -> str:
    """A template, whose marks are ``<< >>`` and ``<% %>``: prompts hold Jinja's own."""
    environment = Environment(  # noqa: S701 - Python, YAML and Markdown; what comes from outside is a literal
        variable_start_string="<<", variable_end_string=">>", block_start_string="<%", block_end_string="%>",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined,
    )  # fmt: skip
    text = (resources.files(__package__) / "templates" / f"{template}.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(**facts, literal=_literal)


def _imports(draft: Draft) -> str:
    columns = draft.columns
    lists = columns.kind in ("generation", "multi-turn", "image", "multiple-choice")
    single = columns.id or columns.kind not in ("multi-turn",)
    names = [("cell", single), ("cells", lists), ("read_table", not draft.by_folder)]
    return ", ".join(name for name, used in names if used)


def _question(draft: Draft) -> str:
    labels = sorted({choice for row in draft.rows for choice in choices_of(row, [draft.columns.answer])})
    if draft.columns.kind != "image" or not 1 < len(labels) <= _MOST_NAMED:
        return "What does the picture show?"
    return f"Which of these does the picture show: {', '.join(labels)}?"


def _answer_row(draft: Draft) -> str:
    likelihoods = draft.columns.kind in ("classification", "soft-label", "multiple-choice")
    answer: dict[str, Any] = {"loglikelihoods": [-1.5, -0.5]} if likelihoods else {"response": "an answer"}
    return json.dumps({"task": draft.name, "id": "1"} | answer) + "."


def _docs(module: Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Docs of rows, made by the function that was just written."""
    spec = importlib.util.spec_from_file_location("harness_ext_draft_docs", module)
    assert spec is not None and spec.loader is not None  # noqa: S101 - it is there
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    docs = []
    for number, row in enumerate(rows, start=1):
        try:
            docs.append(written.doc(number, row))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"row {number} makes no doc: {error}. Mend the row.") from error
    return docs


def _chance(draft: Draft, docs: Sequence[Mapping[str, Any]]) -> float:
    """The best of guessing and of one answer to every doc."""
    kind = draft.columns.kind
    if kind == "soft-label":
        return round(float(agg_total_variation(mean_label([(doc["soft_label"],) * 2 for doc in docs]))), 4)
    answers = [doc["answer"] if "answer" in doc else doc["answers"][0] for doc in docs]
    constant = max(Counter(answers).values()) / len(docs)
    if kind == "multiple-choice":
        constant = max(constant, sum(1 / len(doc["choices"]) for doc in docs) / len(docs))
    return round(100 * constant, 4) if constant >= 0.01 else 0.0


def _made_up(draft: Draft, number: int) -> dict[str, Any]:
    """A row of nobody's data, for a sample."""
    columns = draft.columns
    row: dict[str, Any] = {columns.id: f"made-up {number + 1}"} if columns.id else {}
    row[columns.text] = f"Made-up text {number + 1}."
    if columns.kind == "multi-turn":
        row[columns.text] = [f"Made-up message {number + 1}.", "And a second one."]
    right = number % 2
    if columns.kind == "soft-label":
        shifted = [columns.labels[(number + own) % len(columns.labels)] for own in range(2)]
        row |= {name: shifted[own % 3 == 2] for own, name in enumerate(columns.votes)}
    elif columns.kind == "classification":
        row[columns.answer] = columns.labels[number % len(columns.labels)]
    elif columns.kind == "multiple-choice":
        choices = [f"Made-up choice {letter} of {number + 1}" for letter in LETTERS[: max(2, len(columns.choices))]]
        listed = len(columns.choices) == 1
        row |= {columns.choices[0]: choices} if listed else dict(zip(columns.choices, choices, strict=True))
        said = {"text": choices[right], "letter": LETTERS[right], "from 0": right, "from 1": right + 1}
        row[columns.answer] = said[columns.form]
    else:
        row[columns.answer] = f"made-up answer {number + 1}"
    return row


def _origin(draft: Draft, name: str) -> Path:
    return draft.data / name if draft.data.is_dir() else draft.data


def _card(draft: Draft, about: str) -> str:
    """The card, in the order that the schema has."""
    files = []
    for name in draft.files:
        origin = _origin(draft, name)
        rule = default_row_rule(name)
        where = f"{draft.name}/{name}" if draft.redistributable else str(origin.resolve())
        size = origin.stat().st_size
        rows = count_rows(origin, rule) if rule else None
        files.append({"name": name, "path": where, "sha256": sha256_of(origin), "bytes": size, "rows": rows})
    used = draft.columns
    meanings = {used.id: "identifies the row", used.text: "what is asked about", used.answer: "the right answer"}
    meanings |= dict.fromkeys(used.votes, "the class that this annotator chose")
    meanings |= dict.fromkeys(used.choices, "a choice") | {used.picture: "path of the picture"}
    front = {
        "pretty_name": draft.name,
        "license": draft.licence,
        "language": [draft.language],
        "x-harness-ext": {
            "licence": "not stated" if draft.licence == "unknown" else draft.licence,
            "redistributable": draft.redistributable,
            "sensitive": [],
            "citation": "not published",
            "splits": {"test": [str(name) for name in draft.files]},
            "fields": {name: meaning for name, meaning in meanings.items() if name},
            "files": files,
        },
    }
    text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=118)
    prose = (
        f"# {draft.name}\n\n{about} {len(draft.rows)} docs.\n\nSay here who wrote and who judged the data, what is "
        "wrong with it, and what it must not be used for; mark in `sensitive` what a user must know first.\n"
    )
    whole = f"---\n{text}---\n{prose}"
    try:
        parse_card(draft.name, whole)
    except DataError as error:
        raise InputError(f"the data fits no card: {error} Rename the file or move it.") from error
    return whole


def _require_declared(folder: Path, package: str) -> None:
    """A package that was there before has to say that it holds tasks."""
    if not package:
        return
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    if not re.search(r'entry-points\."?lm_eval\.tasks"?\]', text):
        raise InputError(
            f"{package}/pyproject.toml does not say where its tasks are. Add:\n"
            f'[project.entry-points."lm_eval.tasks"]\n{package} = "{package}"'
        )
