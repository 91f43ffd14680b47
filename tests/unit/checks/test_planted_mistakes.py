"""A sound benchmark has no finding; each mistake planted into it is found, under its own name and no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness_ext.checks.findings import CHECKS, Finding
from harness_ext.checks.lock import write_lock
from harness_ext.checks.look import choose, entries, look

TOY = Path(__file__).parent / "toy"
Edit = tuple[str, str, str]
"""File, the text that is replaced there (empty: the file's end), and what it is replaced by."""

ASK, PICK, SCORES, DOCS = "tasks/toy/_ask", "tasks/toy/pick.yaml", "tasks/toy/scores.py", "tasks/toy/docs.py"
CARD, CSV = "data_cards/toy.md", "mirror/example/toy/0123456789abcdef0123456789abcdef01234567/toy.csv"
ACC = "- {metric: acc, aggregation: mean, higher_is_better: true}\n"
PERMUTED = """
    docs[12] = {**docs[1], "id": "sample_12", "options": docs[1]["options"][::-1], "answer": 1}
    return"""

TWENTY: dict[str, Edit] = {
    "generation-kwargs": (ASK, 'until: ["\\n"], ', ""),
    "metric-never-returned": (ASK, ACC, ACC + "  - {metric: f1, aggregation: mean, higher_is_better: true}\n"),
    "metric-aggregation": (PICK, "metric: acc, aggregation: mean,", "metric: acc,"),
    "checksum": (CSV, "a trout", "a shark"),
    "sample-schema": ("tasks/toy/sample.jsonl", ', "topic": "tools"}\n{"id": "sample_13"', '}\n{"id": "sample_13"'),
    "gold-in-prompt": (ASK, "{{question}}\\n", "{{question}} (No. {{answer}}: {{options[answer]}})\\n"),
    "direction-reversed": (ASK, ACC, ACC.replace("true", "false")),
    "version-not-raised": (ASK, "{{question}}\\n", "Choose: {{question}}\\n"),
    "leaf-in-two-groups": ("tasks/toy/other.yaml", "", "group: toy_other\ntask: [toy_ask]\nmetadata: {version: 1.0, bench: toy}"),
    "target-out-of-range": (PICK, "doc_to_target: answer", 'doc_to_target: "{{answer + 1}}"'),
    "name-clash": ("tasks/toy/ask.yaml", "tag: toy_all", "tag: toy_pick"),
    "licence": (CARD, "  licence: CC0 1.0, as stated in the repository\n", ""),
    "duplicates-between-splits": (DOCS, "\n    return", PERMUTED),
    "few-shot-from-evaluated-split": (PICK, "fewshot_split: dev", "num_fewshot: 3"),
    "space-before-target": (PICK, "Answer:", "Answer: "),
    "unreadable-yaml": ("tasks/toy/third.yaml", "", "include: _aks\ntask: toy_third\n"),
    "metric-undeclared": (SCORES, '{"acc"', '{"length": len(said), "acc"'),
    "row-count": (CARD, "rows: 2", "rows: 3"),
    "loads-differ": (DOCS, "import json\n", "import json\nimport random\n"),
    "nan-on-empty": (SCORES, "float(right)", 'float(right) if said else float("nan")'),
}  # fmt: skip
SHUFFLED = (DOCS, "\n    return", "\n    random.shuffle(docs)\n    return")
MORE: dict[str, Edit] = {
    "unknown-key": (PICK, "doc_to_choice:", "doc_to_choise: options\ndoc_to_choice:"),
    "metric-unregistered": (PICK, ACC, ACC + "  - {metric: squad, aggregation: mean, higher_is_better: true}\n"),
    "group-aggregation": ("tasks/toy/toy.yaml", "aggregation: mean", "aggregation: median"),
    "metadata-missing": (PICK, "language: en, ", ""),
    "metadata-value": (PICK, "direction: higher", "direction: up"),
    "name-form": ("tasks/toy/ask.yaml", "tag: toy_all", "tag: all_toys"),
    "defined-twice": ("tasks/toy/again.yaml", "", "include: pick.yaml\n"),
    "source-without-card": (PICK, "source: toy", "source: tyo"),
    "group-member-missing": ("tasks/toy/toy.yaml", "toy_pick]", "toy_pick, toy_pikc]"),
    "group-metric-missing": ("tasks/toy/toy.yaml", "metric: acc", "metric: parse_failure"),
    "card-schema": (CARD, "  redistributable: true\n", ""),
    "sample-size": ("tasks/toy/sample.jsonl", '{"id": "sample_15", "question": "Which of these paints?", "options": ["a roller", "a hammer", "a wedge"], "answer": 0, "topic": "tools"}\n', ""),
    "does-not-load": (DOCS, "\n    return", '\n    raise KeyError("no such column")\n    return'),
    "network": (DOCS, "\n    return", '\n    __import__("socket").create_connection(("localhost", 9))\n    return'),
    "network-on-import": (SCORES, "def answered", "import socket\n\ntry:\n    socket.create_connection((\"localhost\", 9))\nexcept OSError:\n    pass\n\n\ndef answered"),
    "asked-twice": (DOCS, "\n    return", '\n    docs[3] = docs[4] | {"id": "sample_3"}\n    return'),
    "empty-prompt": (ASK, "doc_to_text: \"{{question}}\\nA. {{options[0]}}\\nB. {{options[1]}}\\nC. {{options[2]}}\\nAnswer:\"", "doc_to_text: \"{{question if id != 'sample_3' else ''}}\""),
    "choices-alike": (DOCS, "\n    return", '\n    docs[5]["options"] = ["ash", "ash", "syrup"]\n    return'),
    "metric-missing-from-docs": (SCORES, "    return {", '    if not said:\n        return {"parse_failure": 1.0}\n    return {'),
    "gold-scores-nothing": (SCORES, "said = results[0].strip()", 'said = ""'),
    "empty-answers-pay": (SCORES, "right = said ==", "right = not said or said =="),
    "chance-impossible": (PICK, "chance: 0.3333", "chance: 33.33"),
}  # fmt: skip


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "toy"
    shutil.copytree(TOY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("HARNESS_EXT_MIRROR", str(folder / "mirror"))
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path / "cache"))
    return folder


def plant(folder: Path, edit: Edit) -> None:
    name, old, new = edit
    file = folder / name
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    assert old in text, f"{name} has no {old!r}"
    file.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")


def found_in(folder: Path) -> list[Finding]:
    return look(choose(include_path=[folder / "tasks"])).findings


def lock_all(folder: Path) -> None:
    for bench, tasks in entries(choose(include_path=[folder / "tasks"])).items():
        write_lock(bench, tasks)


def test_a_sound_benchmark_has_no_finding(toy: Path) -> None:
    assert found_in(toy) == []
    lock_all(toy)
    assert found_in(toy) == []


@pytest.mark.parametrize("mistake", [*TWENTY, *MORE])
def test_a_planted_mistake_is_found_by_its_name(mistake: str, toy: Path) -> None:
    if mistake == "version-not-raised":
        lock_all(toy)
    if mistake == "loads-differ":
        plant(toy, SHUFFLED)
    plant(toy, (TWENTY | MORE)[mistake])
    findings = found_in(toy)
    assert {finding.check for finding in findings} == {mistake}, findings
    for finding in findings:
        assert finding.file.is_file()
        assert 1 <= finding.line <= len(finding.file.read_text(encoding="utf-8").splitlines()) + 1
        assert finding.why
        assert finding.mend


def test_there_are_twenty_and_every_check_has_a_mistake_of_its_own() -> None:
    assert len(TWENTY) == 20
    assert CHECKS.keys() - TWENTY.keys() - MORE.keys() == {"version-missing", "not-locked"}  # tested below
