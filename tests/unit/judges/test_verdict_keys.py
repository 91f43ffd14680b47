"""A verdict is asked for again whenever something that it depends on has changed, and never otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness_ext.judges.cache import Found, VerdictCache
from harness_ext.judges.judge import Item, Statistics
from harness_ext.judges.llm import LlmAsked, LlmConfig
from harness_ext.judges.loading import load_judge

BASE: dict[str, Any] = {
    "kind": "llm",
    "parser": "strongreject_rubric",
    "model": "m",
    "base_url": "http://127.0.0.1:9/v1",
    "prompt": "one.txt",
}
ASKED_AGAIN: dict[str, Any] = {
    "parser": "md_judge",
    "model": "other",
    "prompt": "two.txt",
    "format": "text",
    "max_tokens": 7,
    "request": {"seed": 1},
    "scale": "05",
    "version": "of mine",
    "name": "other",
    "reasoning_markers": ["[ponder]", "[/ponder]"],
}
"""A change of each field that verdicts depend on."""
KNOWN: dict[str, Any] = {"timeout": 5.0, "retries": 1, "concurrency": 1, "api_key_env": "PATH", "agreement": None}
"""A change of each field that only says how the server is reached, or how good the judge is."""
ELSEWHERE = {"kind", "base_url", "compat"}
"""Another class; where the model stands; what is made of a verdict afterwards."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What the model is asked about, which finds everything safe."""
    shown: list[Any] = []

    def found(_: LlmAsked, texts: Sequence[Any], statistics: Statistics) -> Iterator[list[tuple[int, Found]]]:
        shown.extend(texts)
        yield [(number, Found("safe")) for number in range(len(texts))]

    monkeypatch.setattr(LlmAsked, "found", found)
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        Path(f"{name}.txt").write_text(f"Pack {name}: {{{{ prompt }}}} {{{{ response }}}}")
    return shown


def judge(**changes: Any) -> None:
    doc = {"id": "a"}
    load_judge({**BASE, **changes}, cache=Path("kept")).judge([Item("How?", "Like this.", doc)])


def test_every_field_of_a_judges_file_is_sorted() -> None:
    assert {*ASKED_AGAIN, *KNOWN, *ELSEWHERE} == LlmConfig.model_fields.keys()


@pytest.mark.parametrize("field", ASKED_AGAIN)
def test_a_change_of_what_a_verdict_depends_on_asks_again(field: str, asked: list[Any]) -> None:
    judge()
    judge()
    assert len(asked) == 1
    judge(**{field: ASKED_AGAIN[field]})
    assert len(asked) == 2


@pytest.mark.parametrize("field", KNOWN)
def test_a_change_of_anything_else_does_not(field: str, asked: list[Any]) -> None:
    judge()
    judge(**{field: KNOWN[field]})
    assert len(asked) == 1


def test_of_two_verdicts_on_one_key_the_first_stays(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    cache.put([("key", Found("safe"))])
    cache.put([("key", Found("harmful"))])
    assert cache.get(["key"]) == {"key": Found("safe")}
    cache.close()
