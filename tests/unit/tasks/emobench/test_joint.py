"""A question asked as two tasks is right where both halves are right."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from harness_ext.leaderboards.evidence import Evidence
from harness_ext.results.reading.runs import read
from harness_ext.results.reading.samples import Scores
from harness_ext.tasks.eibench.derived import joined

HALVES = ("eibench_emobench_eu_emotion_ll", "eibench_emobench_eu_cause_ll")
DATE = "2026-01-01T00-00-00.0"


def write_run(folder: Path, scores: dict[str, dict[str, float]], *, samples: bool = True) -> None:
    content = {
        "results": {task: {"ei_score,none": sum(own.values()) / len(own)} for task, own in scores.items()},
        "configs": {task: {"metadata": {"cap": 500}} for task in scores},
        "config": {"model": "dummy"},
    }
    (folder / f"results_{DATE}.json").write_text(json.dumps(content))
    for task, own in scores.items() if samples else ():
        lines = [
            {"doc_id": at, "doc": {"id": name}, "filter": "none", "metrics": ["ei_score"], "ei_score": score}
            for at, (name, score) in enumerate(own.items())
        ]
        (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


EMOTION = {"en_1": 100.0, "en_2": 100.0, "en_3": 0.0, "en_4": 0.0}
CAUSE = {"en_4": 0.0, "en_3": 100.0, "en_2": 0.0, "en_1": 100.0}


def with_joint_leaves(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    runs = read([folder], Evidence().visit)
    return runs.frame, runs.notes


def test_halves_are_joined_by_id_whatever_their_order(tmp_path: Path) -> None:
    write_run(tmp_path, dict(zip(HALVES, (EMOTION, CAUSE), strict=True)))
    frame, notes = with_joint_leaves(tmp_path)
    assert notes == []
    (row,) = [row for row in frame.itertuples() if row.part == "emobench_eu"]
    assert (row.task, row.variant, row.metric, row.value) == ("eibench_emobench_eu_ll", "ll", "ei_score", 25.0)
    assert row.cap == "500"


def test_a_joint_score_takes_no_error_from_a_half(tmp_path: Path) -> None:
    halves = ("emobench_eu_zh_emotion_ll", "emobench_eu_zh_cause_ll")
    write_run(tmp_path, dict(zip(halves, (EMOTION, CAUSE), strict=True)))
    (file,) = tmp_path.glob("results_*.json")
    content = json.loads(file.read_text())
    for scores in content["results"].values():
        scores["ei_score_stderr,none"] = 7.0
    file.write_text(json.dumps(content))
    frame, _ = with_joint_leaves(tmp_path)
    (row,) = [row for row in frame.itertuples() if row.task == "emobench_eu_zh_ll"]
    assert (row.bench, row.part, row.value) == ("emobench", "eu_zh", 25.0)
    assert math.isnan(row.stderr)


def test_one_half_alone_is_left_alone(tmp_path: Path) -> None:
    write_run(tmp_path, {HALVES[0]: EMOTION})
    frame, notes = with_joint_leaves(tmp_path)
    assert (len(frame), notes) == (1, [])


@pytest.mark.parametrize("case", ["no samples", "other docs"])
def test_what_cannot_be_joined_is_said(tmp_path: Path, case: str) -> None:
    cause = CAUSE if case == "no samples" else {"en_9": 100.0}
    write_run(tmp_path, dict(zip(HALVES, (EMOTION, cause), strict=True)), samples=case != "no samples")
    frame, notes = with_joint_leaves(tmp_path)
    assert len(frame) == 2
    assert len(notes) == 1
    assert "eibench_emobench_eu_ll could not be joined" in notes[0]


def test_an_empty_frame_stays_empty() -> None:
    runs = read([], Evidence().visit)
    frame, notes = runs.frame, runs.notes
    assert frame.empty
    assert notes == []


def test_docs_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="same docs"):
        joined(Scores(ids=["a"], items={"m": [1.0]}), Scores(ids=["b"], items={"m": [1.0]}), "m")
