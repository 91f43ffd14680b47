"""The released soft labels and agreement numbers of MBTIBench, from the released votes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness_ext.scoring.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from harness_ext.scoring.em import em_soft_labels, majority_pole, mean4, monotonicity, vote_codes

DATA = "Personality-NLP/MbtiBench/b33ec40af3eba25f0ebec5e719da8784c714be30/dataset/mbtibench.jsonl"
DIMENSIONS = ("E/I", "S/N", "T/F", "J/P")


@pytest.fixture(scope="module")
def records(mirror: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (mirror / DATA).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    return json.loads((golden / "mbtibench" / "em.json").read_text(encoding="utf-8"))


def votes(records: list[dict[str, Any]], dimension: str) -> list[tuple[str, ...]]:
    return [tuple(record["annotation"][dimension][name] for name in ("A1", "A2", "A3")) for record in records]


def side_wise_labels(patterns: list[str], posterior: np.ndarray, tie_rank: Callable[[str], Any]) -> np.ndarray:
    """Reference of the rank transform, item by item in plain Python; tied patterns are in the order of tie_rank."""
    value = dict(zip(patterns, posterior.tolist(), strict=True))
    ascending = sorted(value, key=lambda pattern: (value[pattern], tie_rank(pattern)))
    label = {}
    for outward, sign in (
        ([pattern for pattern in ascending if value[pattern] >= 0.5], -1),
        ([pattern for pattern in reversed(ascending) if value[pattern] < 0.5], 1),
    ):
        before, middles = 0, []
        for pattern in outward:
            middles.append(before + patterns.count(pattern) / 2)
            before += patterns.count(pattern)
        label.update({pattern: 0.5 + sign * m / (2 * middles[-1]) for pattern, m in zip(outward, middles, strict=True)})
    return np.array([label[pattern] for pattern in patterns])


def released(records: list[dict[str, Any]], dimension: str) -> np.ndarray:
    return np.array([record["softlabels"][dimension] for record in records])


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_released_labels_are_reproduced_exactly(records: Any, dimension: str) -> None:
    first, second = dimension.split("/")
    fit = em_soft_labels(votes(records, dimension), first, second)
    assert np.abs(fit.soft - released(records, dimension)).max() <= 1e-12
    assert majority_pole(votes(records, dimension), first, second) == [r["hardlabels"][dimension] for r in records]


def test_the_course_of_the_fit_equals_the_golden_trace(records: Any, expected: Any) -> None:
    wanted = expected["E/I"]
    fit = em_soft_labels(votes(records, "E/I"), "E", "I")
    trace = [(step["max_delta"], step["prior_first"]) for step in wanted["iterations"]]
    assert np.asarray(fit.iterations) == pytest.approx(np.asarray(trace), abs=1e-12)
    assert fit.m_steps == wanted["m_steps"]
    assert fit.prior_first == pytest.approx(wanted["final_prior_first"], abs=1e-12)
    assert fit.confusion_first == pytest.approx(np.asarray(wanted["confusion_first"]), abs=1e-12)
    assert fit.confusion_second == pytest.approx(np.asarray(wanted["confusion_second"]), abs=1e-12)
    histogram = np.histogram(fit.posterior_first, bins=9, range=(0, 1))[0]
    assert histogram.tolist() == wanted["posterior_first_hist9"]


def test_every_vote_pattern_has_its_golden_posterior_and_label(records: Any, expected: Any) -> None:
    patterns = ["".join(vote) for vote in votes(records, "E/I")]
    fit = em_soft_labels(votes(records, "E/I"), "E", "I")
    assert {row["pattern"] for row in expected["E/I"]["patterns"]} == set(patterns)
    for row in expected["E/I"]["patterns"]:
        assert patterns.count(row["pattern"]) == row["count"]
        where = patterns.index(row["pattern"])
        assert fit.posterior_first[where] == pytest.approx(row["posterior_first"], abs=1e-12)
        assert fit.soft[where] == pytest.approx(row["soft_label"], abs=1e-12)


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("tol_1e-3", {"tol": 1e-3}),
        ("tol_1e-8", {"tol": 1e-8}),
        ("soft_prior_tol_1e-8", {"prior": "soft", "tol": 1e-8}),
        ("normalised_init", {"normalise_init": True}),
        ("dawid_skene", {"prior": "soft", "normalise_init": True, "tol": 1e-8}),
    ],
)
def test_variants_differ_from_the_released_labels_as_recorded(
    records: Any, expected: Any, variant: str, options: dict[str, Any]
) -> None:
    wanted, gold = expected["E/I"]["variants"][variant], released(records, "E/I")
    patterns = ["".join(vote) for vote in votes(records, "E/I")]
    fit = em_soft_labels(votes(records, "E/I"), "E", "I", **options)
    # The number of steps at tol 1e-8 depends on the last bits of the linear algebra in use.
    assert fit.m_steps == pytest.approx(wanted["m_steps"], abs=1 if options.get("tol") == 1e-8 else 0)
    assert fit.prior_first == pytest.approx(wanted["final_prior_first"], abs=1e-8)
    assert int(((fit.soft > 0.5) != (gold > 0.5)).sum()) == wanted["flips"]
    # Near convergence five patterns have a posterior of exactly 1. The golden differences put such ties in the order
    # of the file; em_soft_labels puts them in the order of the patterns, so that shuffled items keep their labels.
    in_file_order = np.abs(side_wise_labels(patterns, fit.posterior_first, patterns.index) - gold)
    assert in_file_order.max() == pytest.approx(wanted["max_abs_diff_to_released"], abs=1e-9)
    assert in_file_order.mean() == pytest.approx(wanted["mean_abs_diff"], abs=1e-9)
    assert fit.soft == pytest.approx(side_wise_labels(patterns, fit.posterior_first, str), abs=1e-12)


def test_mean_votes_stay_near_the_released_labels(records: Any, expected: Any) -> None:
    wanted, gold = expected["E/I"]["soft_mean4"], released(records, "E/I")
    labels = mean4(votes(records, "E/I"), "E", "I")
    assert labels.mean() == pytest.approx(wanted["mean"], abs=1e-12)
    assert np.sqrt(np.mean((labels - gold) ** 2)) == pytest.approx(wanted["rmse_to_released"], abs=1e-12)
    assert np.abs(labels - gold).mean() == pytest.approx(wanted["mae_to_released"], abs=1e-12)


def test_the_released_labels_break_monotonicity_as_recorded(records: Any, expected: Any) -> None:
    wanted = expected["monotonicity"]["S/N"]
    found = monotonicity(votes(records, "S/N"), released(records, "S/N"), "S", "N")._asdict()
    assert found == {name: wanted[name] for name in found}
    assert monotonicity(votes(records, "S/N"), mean4(votes(records, "S/N"), "S", "N"), "S", "N").violations == 0


def test_agreement_of_the_annotators_equals_the_golden_values(records: Any, expected: Any) -> None:
    wanted = expected["E/I"]["agreement"]
    codes = vote_codes(votes(records, "E/I"), "E", "I")
    poles, strong = codes // 2, (codes == 0) | (codes == 3)
    actual = {
        "fleiss4": fleiss_kappa(codes, 4),
        "fleiss2": fleiss_kappa(poles, 2),
        "fleiss_intensity": fleiss_kappa(strong.astype(int), 2),
        "kripp4_nominal": krippendorff_alpha(codes, 4, "nominal"),
        "kripp4_interval": krippendorff_alpha(codes, 4, "interval"),
        "kripp4_ordinal": krippendorff_alpha(codes, 4, "ordinal"),
    }
    assert actual == pytest.approx({name: wanted[name] for name in actual}, abs=1e-12)
    for i, j in combinations(range(3), 2):
        kappa = cohen_kappa(poles[:, i].tolist(), poles[:, j].tolist())
        assert kappa == pytest.approx(wanted["cohen2"][f"A{i + 1}-A{j + 1}"], abs=1e-12)


def test_the_command_reproduces_the_released_labels(mirror: Path, records: Any, tmp_path: Path) -> None:
    output = tmp_path / "labels.jsonl"
    command = Path(sys.executable).with_name("harness-ext")
    subprocess.run([command, "data", "soft-labels", mirror / DATA, "-o", output], check=True, capture_output=True)
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    for row, record in zip(rows, records, strict=True):
        assert row["id"] == record["id"]
        assert row["hardlabels"] == record["hardlabels"]
        assert row["softlabels"] == pytest.approx(record["softlabels"], abs=1e-12)
