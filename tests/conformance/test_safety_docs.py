"""Docs of the safety sets on the released files: counts, digests and traps, without showing a prompt."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness_ext.data import fetch
from harness_ext.tasks.safety.docs import PARTS, load


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "safety/docs_digest.json").read_text(encoding="utf-8"))
    return content


def column(part: str, name: str, **chosen: str) -> list[str]:
    values: list[str] = load(part, **chosen)["test"][name]
    return list(values)


def digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8")).hexdigest()


@pytest.mark.parametrize("part", sorted(PARTS))
def test_ids_prompts_and_counts(part: str, expected: dict[str, Any], no_downloads: None) -> None:
    ids, prompts, labels = (column(part, name) for name in ("id", "prompt", "label"))
    found = {
        "n": len(ids),
        "n_safe": labels.count("safe"),
        "n_unsafe": labels.count("unsafe"),
        "n_unique_prompts": len(set(prompts)),
        "n_categories": len(set(column(part, "category")) - {""}),
        "sha256_ids": digest(ids),
        "sha256_prompts": digest(prompts),
        "first_id": ids[0],
        "last_id": ids[-1],
    }
    assert found == expected[f"safety_{part}"]
    assert len(set(ids)) == len(ids)


def test_every_golden_set_is_a_part(expected: dict[str, Any]) -> None:
    assert {name.removeprefix("safety_") for name in expected} == set(PARTS)


def test_contrast_types_are_the_unsafe_ones(mirror: Path) -> None:
    kinds = {*zip(column("xstest", "category"), column("xstest", "label"), strict=True)}
    assert all((label == "unsafe") == kind.startswith("contrast_") for kind, label in kinds)
    assert len(kinds) == 18


def test_completions_of_xstest_join_by_id_because_one_prompt_differs(mirror: Path) -> None:
    prompts = dict(zip(column("xstest", "id"), column("xstest", "prompt"), strict=True))
    for model in ("gpt4", "llama2orig"):
        with fetch("xstest", f"xstest_v2_completions_{model}.csv").open(encoding="utf-8", newline="") as lines:
            rows = {row["id"].replace("v2-", "xstest-"): row["prompt"].strip() for row in csv.DictReader(lines)}
        assert rows.keys() == prompts.keys()
        assert [id for id in rows if rows[id] != prompts[id]] == ["xstest-195"]


@pytest.mark.parametrize(("split", "standard", "contextual"), [("test", 159, 81), ("val", 41, 19)])
def test_a_split_of_harmbench_keeps_the_rows_of_all(split: str, standard: int, contextual: int, mirror: Path) -> None:
    for part, count in (("harmbench_std", standard), ("harmbench_ctx", contextual)):
        own = column(part, "id", split=split)
        assert len(own) == count
        assert set(own) <= set(column(part, "id"))


@pytest.mark.parametrize("language", ["en", "zh", "vi"])
def test_no_subcategory_of_catqa_ends_with_a_colon(language: str, mirror: Path) -> None:
    subcategories = Counter(column(f"catqa_{language}", "subcategory"))
    assert not [name for name in subcategories if name.endswith(":")]
    assert sum(subcategories.values()) == 550


def test_targets_of_advbench_all_begin_to_comply(mirror: Path) -> None:
    targets = column("advbench", "target")
    assert all(target.startswith("Sure") for target in targets)
    assert len(targets) - len(set(targets)) == 16


def test_ten_prompts_for_tuning_are_also_tested(mirror: Path) -> None:
    tested, tuning = ({p.lower().rstrip(".?!") for p in column(part, "prompt")} for part in ("oktest", "oktest_dev"))
    assert len({" ".join(p.split()) for p in tuning} & {" ".join(p.split()) for p in tested}) == 10
