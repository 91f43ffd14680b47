"""Rows by language: the central language and what a method changed in it, targets, macro, and what is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from harness_ext.leaderboards.evidence import Evidence
from harness_ext.results.reading.runs import Runs, read
from harness_ext.scoring.soft_labels import agg_nanmean
from harness_ext.tasks.langfid import docs

DATE = "2026-01-01T00-00-00.0"
SEVEN = ("ar", "bn", "en", "ja", "ko", "sw", "zh")


def write_run(folder: Path, model: str, scores: Mapping[str, Sequence[float]], base: str = "") -> None:
    """A run whose answers have that fidelity, language by language."""
    home = folder / model
    home.mkdir()
    if base:
        (home / "method.json").write_text(json.dumps({"method": "toy", "base": base}))
    metrics = [{"metric": "fidelity", "aggregation": str(agg_nanmean), "higher_is_better": True}]
    counts = {"original": 16, "effective": 16}
    content = {
        "results": {f"langfid_alpaca_{code}": {"fidelity,none": agg_nanmean(own)} for code, own in scores.items()},
        "configs": {
            f"langfid_alpaca_{code}": {"metadata": {"bench": "langfid"}, "metric_list": metrics} for code in scores
        },
        "n-samples": {f"langfid_alpaca_{code}": counts for code in scores},
        "config": {"model": "dummy", "model_args": {"pretrained": str(home)}},
        "model_name": str(home),
    }
    (home / f"results_{DATE}.json").write_text(json.dumps(content))
    for code, own in scores.items():
        lines = [
            {"doc_id": at, "doc": {"id": at}, "filter": "none", "metrics": ["fidelity"], "fidelity": score}
            for at, score in enumerate(own)
        ]
        (home / f"samples_langfid_alpaca_{code}_{DATE}.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines)
        )


def table(folder: Path) -> tuple[pd.DataFrame, Runs]:
    evidence = Evidence(base="base")
    runs = read([folder], evidence.visit)
    return evidence.with_differences(runs.frame), runs


def row_of(frame: pd.DataFrame, model: str, task: str, metric: str = "fidelity"):
    (row,) = [row for row in frame.itertuples() if (row.model, row.task, row.metric) == (model, task, metric)]
    return row


HALF, ALL, MOST = [1.0, 0.0] * 8, [1.0] * 16, [1.0] * 12 + [0.0] * 4


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    write_run(tmp_path, "base", {**dict.fromkeys(SEVEN, HALF), "en": ALL})
    write_run(tmp_path, "method", {**dict.fromkeys(SEVEN, MOST), "sw": ALL}, base="base")
    return tmp_path


def test_the_central_language_has_its_change_with_a_paired_interval(seven):
    frame, _ = table(seven)
    row = row_of(frame, "method", "langfid_central")
    assert (row.value, row.part) == (0.75, "en")
    assert row.delta_low < -0.25 < row.delta_high < 0  # against the base's 1.0


def test_macro_and_targets_are_means_over_languages_with_intervals(seven):
    frame, _ = table(seven)
    macro, targets = (row_of(frame, "method", f"langfid_{kind}") for kind in ("macro", "targets"))
    assert macro.value == pytest.approx((6 * 0.75 + 1) / 7)
    assert targets.value == pytest.approx((5 * 0.75 + 1) / 6)
    assert macro.low < macro.value < macro.high
    assert "en" not in targets.part.split(", ")


def test_the_language_that_lost_most_is_named(seven):
    frame, _ = table(seven)
    row = row_of(frame, "method", "langfid_worst", "worst_change")
    assert (row.part, row.value) == ("en", -0.25)


def test_a_language_that_one_run_lacks_is_in_nobodys_macro_and_is_named(seven):
    write_run(seven, "narrow", {"en": ALL, "zh": HALF, "sw": [math.nan] * 16})
    frame, runs = table(seven)
    assert {row_of(frame, model, "langfid_macro").part for model in ("base", "method", "narrow")} == {"en, zh"}
    assert row_of(frame, "base", "langfid_macro").value == 0.75
    assert "langfid, fidelity: sw is in no macro, because narrow has no score there." in runs.notes


def test_only_the_benign_half_of_the_instructions_is_read(monkeypatch):
    rows = [{f"input_{code}": f"{code} {number}" for code in SEVEN} for number in range(200)]
    monkeypatch.setattr(docs, "read_json", lambda *_: {"Instances": rows})
    asked = docs.load("sw")["test"]
    assert (len(asked), asked[99]["prompt"]) == (100, "sw 99")


def test_the_detector_is_recorded():
    recorded: dict[str, str] = {}
    docs.load("sw", data="sample", recorded=recorded)
    assert recorded["lid"].startswith("py3langid ")
