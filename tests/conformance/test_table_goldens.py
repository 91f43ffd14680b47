"""Group numbers and the constant's row against golden numbers."""

import json
from pathlib import Path

import pytest

from harness_ext.results.derived import retention
from harness_ext.results.published.tables import load
from harness_ext.results.reading.frame import Row
from harness_ext.tasks.eibench import table as eibench
from harness_ext.tasks.eibench.aspects import ei_scores


def test_eibench_group_numbers(golden: Path) -> None:
    group = json.loads((golden / "eibench" / "aggregate.json").read_text())["group"]
    scores = ei_scores({task.removeprefix("eibench_"): score for task, score in group["ei_scores"].items()})
    assert not scores.missing
    assert {
        "ei_ep": scores.ep,
        "ei_ec": scores.ec,
        "ei_ee": scores.ee,
        "ei_aspect_macro": scores.aspect_macro,
        "ei_task_macro": scores.task_macro,
    } == pytest.approx(group["expected"], abs=1e-4)


def test_both_group_numbers_of_eibench_stand_in_one_line_of_the_table(golden: Path) -> None:
    group = json.loads((golden / "eibench" / "aggregate.json").read_text())["group"]
    shared = {"origin": "measured", "model": "m", "bench": "eibench", "metric": "ei_score", "cap": "500"}
    scores = {task: (task.removeprefix("eibench_"), "task", value) for task, value in group["ei_scores"].items()}
    scores["eibench"] = ("", "group", group["expected"]["ei_task_macro"])
    summary, _ = eibench.build(
        [
            Row.model_validate(shared | {"task": task, "part": part, "level": level, "value": value})
            for task, (part, level, value) in scores.items()
        ]
    )
    found = dict(zip([column.name for column in summary.columns], [cell.text for cell in summary.rows[0]], strict=True))
    assert {name: found[name] for name in group["expected"]} == {
        name: f"{value:.2f}" for name, value in group["expected"].items()
    }
    assert found["Mean of leaves"] == found["ei_task_macro"] == "45.57"
    assert found["ei_aspect_macro"] == "42.95"


def test_trivial_rows_of_mbtibench(golden: Path) -> None:
    dimensions = json.loads((golden / "mbtibench" / "metrics.json").read_text())["dims"]
    names = {
        "constant mean": "const_mean",
        "constant 0.5": "const_0.5",
        "always the first pole": "all_first",
        "always the second pole": "all_second",
        "true pole at its extreme (uses gold)": "oracle_hard",
        "true pole at score 2 or 8 (uses gold)": "polar_2_8",
    }
    rows = load("baselines", "mbtibench")
    assert set(rows.model) == set(names)
    for row in rows[~rows.metric.isin(["acc", "parse_failure"])].itertuples():
        expected = dimensions[row.part][names[str(row.model)]][row.metric]
        assert row.value == pytest.approx(float("nan") if expected is None else expected, abs=1e-9, nan_ok=True)


def test_the_published_mbtibench_table_is_the_golden_one(golden: Path) -> None:
    lines = (golden / "mbtibench" / "published_table.csv").read_text().splitlines()[1:]
    rows = load("published", "mbtibench")
    assert len(rows) == len(lines) == 224
    assert [row.locator for row in rows.itertuples()] == [line.split('"')[1] for line in lines]
    assert [f"{row.value:.2f}" for row in rows.itertuples()] == [line.split(",")[4] for line in lines]


def test_retention(golden: Path) -> None:
    case = json.loads((golden / "eibench" / "aggregate.json").read_text())["retention"]
    kept = retention(case["before"], case["after"])
    assert kept.worst == case["expected"].pop("worst_task")
    assert {
        "gi_before": kept.before,
        "gi_after": kept.after,
        "gi_retention": kept.ratio,
        "gi_delta": kept.delta,
        "worst_delta": kept.worst_delta,
    } == pytest.approx(case["expected"], abs=1e-4)
