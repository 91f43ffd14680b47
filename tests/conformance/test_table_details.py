"""Details of an MBTIBench run, computed from its samples file, against the golden metrics."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness_ext.leaderboards.build import tables
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.results.reading.runs import read

DATE = "2026-01-01T00-00-00.0"
PARTS = {"ei": "E/I", "sn": "S/N", "tf": "T/F", "jp": "J/P"}
UPSTREAM = "Personality-NLP/MbtiBench/b33ec40af3eba25f0ebec5e719da8784c714be30/dataset/mbtibench.jsonl"


@pytest.fixture(scope="module")
def records(mirror: Path) -> list[dict[str, Any]]:
    with (mirror / UPSTREAM).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write_run(folder: Path, records: list[dict[str, Any]], variant: str, predict: Callable[[float], float]) -> None:
    """A run in lm-eval's layout; each variant writes results of its own."""
    own = folder / variant
    own.mkdir(parents=True)
    names = {f"mbtibench_{variant}_{code}": part for code, part in PARTS.items()}
    content = {
        "results": {task: {"s_rmse,none": 2.0} for task in names},
        "configs": {task: {"metadata": {"part": part}} for task, part in names.items()},
        "config": {"model": "m"},
    }
    (own / f"results_{DATE}.json").write_text(json.dumps(content))
    for task, part in names.items():
        lines = []
        for at, record in enumerate(records):
            gold = record["softlabels"][part]
            words = any(_gives_away(post) for post in record["posts"])
            doc = {"id": record["id"], "source": record["source"], "trait_words": words}
            pair = [gold, predict(gold)]
            lines.append({"doc_id": at, "doc": doc, "filter": "none", "metrics": ["s_rmse"], "s_rmse": pair})
        (own / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _gives_away(post: str) -> bool:
    words = ("mbti", "myersbriggs", "myers briggs", "myers-briggs", "enneagram", "introver", "extrover", "extraver")
    return any(word in post.lower() for word in words)


def with_details(*folders: Path) -> tuple[pd.DataFrame, list[str]]:
    runs = read(folders, Evidence(details=True).visit)
    return runs.frame, runs.notes


def polar(gold: float) -> float:
    return 0.875 if gold > 0.5 else 0.125


def test_all_metrics_recalibration_and_subsets(tmp_path: Path, golden: Path, records: list[dict[str, Any]]) -> None:
    write_run(tmp_path, records, "zero_shot", polar)
    frame, notes = with_details(tmp_path)
    expected = json.loads((golden / "mbtibench" / "metrics.json").read_text())
    assert notes == []
    for part in PARTS.values():
        own = frame[(frame.part == part) & (frame.family == "")].set_index("metric").value.to_dict()
        for name, value in expected["dims"][part]["polar_2_8"].items():
            if name != "s_rmse":  # the file's own number stands
                assert own[name] == pytest.approx(value, abs=1e-9), name
        for name, value in expected["recalibrated"]["dims"][part]["polar_2_8"].items():
            if name != "coef":
                assert own[name] == pytest.approx(value, abs=1e-9), name
    for part, subsets in expected["subsets"].items():
        if part == "definition":
            continue
        for name, values in subsets.items():
            own = frame[(frame.part == part) & (frame.family == name)].set_index("metric")
            assert set(own.n) == {values["n"]}
            for metric in ("s_rmse", "s_mae", "s_rmse_9"):
                assert own.value[metric] == pytest.approx(values[metric], abs=1e-9)


def test_a_model_that_answers_the_reversed_scale_alike_has_no_order_bias(
    tmp_path: Path, golden: Path, records: list[dict[str, Any]]
) -> None:
    write_run(tmp_path, records, "zero_shot", polar)
    write_run(tmp_path, records, "swap", polar)
    frame, _ = with_details(tmp_path)
    frame = frame[frame.level == "task"]
    assert frame[frame.metric == "order_bias"].value.tolist() == [0.0] * 4
    both = frame[frame.metric == "s_rmse_both_orders"].set_index("part").value
    expected = json.loads((golden / "mbtibench" / "metrics.json").read_text())["dims"]
    assert both.to_dict() == pytest.approx({part: expected[part]["polar_2_8"]["s_rmse"] for part in PARTS.values()})
    write_run(tmp_path / "other", records, "swap", lambda gold: polar(gold) + 0.125)
    frame, _ = with_details(tmp_path / "zero_shot", tmp_path / "other")
    frame = frame[frame.level == "task"]
    assert frame[frame.metric == "order_bias"].value.tolist() == pytest.approx([0.125] * 4)


def test_details_are_a_table_of_their_own(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    write_run(tmp_path, records, "zero_shot", polar)
    frame, _ = with_details(tmp_path)
    main, details = tables(frame)
    assert len(main.rows) == 1
    shown = {column.name: cell.text for column, cell in zip(details.columns, details.rows[0], strict=True)}
    assert shown["S-RMSE kaggle"] != "–"
    assert shown["s_rmse_recal"].startswith("1.")


def test_a_run_without_samples_is_named(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    write_run(tmp_path, records, "zero_shot", polar)
    for file in tmp_path.rglob("samples_*"):
        file.unlink()
    frame, notes = with_details(tmp_path)
    assert len(frame) == 4
    assert len(notes) == 4
    assert "no details of mbtibench_zero_shot_ei" in notes[0]
