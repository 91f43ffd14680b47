"""What the lock's hash of the scoring covers: all that scores, and nothing that does not."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path

import pytest

from harness_ext.checks.lock import sources
from harness_ext.judges.configured import configured
from harness_ext.scoring.soft_labels import agg_s_rmse

SCORING = """
from __future__ import annotations
import re
from dataclasses import dataclass
from functools import partial

WEIGHTS = {"a": 0.5, "b": 1.0}
_ANSWER = re.compile("answer: (.)")
PARSERS = {"first": lambda text: _ANSWER.search(text)}
_cache = {}

@dataclass(frozen=True)
class Corpus:
    build: object
    def __call__(self, items):
        return self.build(items)

def _mean(items, power=1):
    return sum(item**power for item in items) / len(items)

agg = Corpus(partial(_mean, power=2))

def process(doc, results):
    return {"acc": WEIGHTS[doc] * bool(PARSERS["first"](results[0]))}
"""


def seen(text: str, folder: Path) -> list[str]:
    """The sources of both functions of a module with this text."""
    name = f"scoring_{hashlib.sha256(f'{folder}{text}'.encode()).hexdigest()}"
    (folder / f"{name}.py").write_text(text)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
    return sources([module.process, module.agg])


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ('"b": 1.0', '"b": 2.0'),
        ("answer: (.)", "answer: (..)"),
        ("_ANSWER.search(text)", "_ANSWER.match(text)"),
        ("self.build(items)", "-self.build(items)"),
        ("sum(item**power", "max(item**power"),
        ("power=2", "power=3"),
    ],
    ids=["a table", "a pattern", "a function in a table", "a metric that is an object", "its formula", "its setting"],
)
def test_a_change_of(then: str, now: str, tmp_path: Path) -> None:
    assert then in SCORING
    assert seen(SCORING, tmp_path) != seen(SCORING.replace(then, now), tmp_path)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ('"a": 0.5, "b"', '"a":   0.5,\n  "b"'),
        ("def _mean", "# as in the paper\ndef _mean"),
        ("return self.build(items)", "return self.build(\n            items,\n        )"),
        ("_cache = {}", "_cache = {1: 2}"),
    ],
    ids=["layout of a table", "comment", "layout of code", "what is no constant"],
)
def test_no_change_by(then: str, now: str, tmp_path: Path) -> None:
    assert then in SCORING
    assert seen(SCORING, tmp_path) == seen(SCORING.replace(then, now), tmp_path)


def test_a_corpus_metric_is_followed_to_the_segments_that_it_counts() -> None:
    assert any(text.startswith("defbins(") for text in sources([agg_s_rmse]))


def test_reading_files_and_asking_servers_is_no_scoring() -> None:
    found = sources([configured])
    assert any("defconfigured(" in text for text in found)
    assert not any("defparse_yaml(" in text or "defread_bytes(" in text for text in found)
