"""Every published number is one that the golden files transcribe, and none is lost."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from harness_ext.results.published.tables import load


def golden_values(path: Path) -> Counter[tuple[str, float]]:
    with path.open(encoding="utf-8", newline="") as text:
        return Counter((row["model"], float(row["value"])) for row in csv.DictReader(text) if row["value"])


def published_values(*benches: str) -> Counter[tuple[str, float]]:
    return Counter((row.model, row.value) for bench in benches for row in load("published", bench).itertuples())


@pytest.mark.parametrize(
    ("file", "benches"),
    [
        ("eibench/published.csv", ("eibench", "eqbench_v2", "seceu")),
        ("vision/gpt4v_published.csv", ("gpt4v_probes",)),
        ("vision/tcmsa_published.csv", ("tcmsa",)),
        ("unlearning/published.csv", ("tofu", "muse", "harry_potter")),
    ],
)
def test_the_numbers_are_those_of_the_golden_file(golden: Path, file: str, benches: tuple[str, ...]) -> None:
    assert published_values(*benches) == golden_values(golden / file)


def test_language_macros_of_mmmlu(golden: Path) -> None:
    expected = json.loads((golden / "multilingual" / "mmmlu_macro.json").read_text())
    frame = load("published", "mmmlu")
    languages = frame[frame.level == "task"]
    assert languages.groupby("model").part.nunique().unique().tolist() == [14]
    macros = languages.groupby("model").value.mean()
    assert macros.to_dict() == pytest.approx(expected["macro14"], abs=5e-5)
    printed = frame[frame.level == "group"].set_index("model").value
    assert (macros - printed).abs().max() <= expected["printed_average_tolerance"]


def test_released_continual_runs(golden: Path) -> None:
    runs = json.loads((golden / "continual" / "score_matrices.json").read_text())["olora"]
    frame = load("published", "continual")
    for name, run in runs.items():
        own = frame[frame.method == name.removeprefix("order1_")]
        cells = [value for line in run["exact_match"]["matrix"] for value in line if value is not None]
        assert own[own.level == "task"].value.tolist() == cells
        summary = own[own.level == "group"].set_index("metric").value.to_dict()
        expected = run["exact_match"]["expected"]
        assert summary == pytest.approx({metric: expected[metric] for metric in summary}, abs=5e-5)


def test_every_number_about_emotions_is_one_of_its_task_and_metric(golden: Path) -> None:
    renamed = {("mime_outputs", "emotion_acc"): ("eibench_mime_emotion", "acc")}
    with (golden / "eibench/published.csv").open(encoding="utf-8", newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["value"]]
    expected = Counter(
        (
            *renamed.get(
                (row["task"], row["metric"]),
                (row["task"].replace("mime_outputs", "eibench_mime_response"), row["metric"]),
            ),
            row["model"],
            float(row["value"]),
            row["source"],
        )
        for row in rows
    )
    frames = [load("published", bench) for bench in ("eibench", "eqbench_v2", "seceu")]
    assert expected == Counter(
        (row.task, row.metric, row.model, row.value, row.transcribed_from) for f in frames for row in f.itertuples()
    )
