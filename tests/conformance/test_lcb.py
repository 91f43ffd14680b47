"""Language confusion: the released completions of Llama 3 through lm-eval, in both modes, cell by cell."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness_ext.data import fetch
from harness_ext.tasks.lcb.derived import averages
from harness_ext.tasks.lcb.docs import LANGUAGES, read
from harness_ext.tasks.lcb.replay import SUBSETS, answers
from harness_ext.tasks.lcb.words import english

SETTINGS = {"mono": "monolingual", "cross": "crosslingual"}
MODES: Mapping[str, Mapping[str, Any]] = {"parity": {"lid": "fasttext-ftz", "compat": True}, "default": {}}
METRICS = ("lpr", "wpr", "line_acc")


@pytest.fixture(scope="module")
def completions(mirror: Path) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in answers(fetch("lcb", "outputs/llama-3-instruct.csv")).rows:
        found[row["task"]][row["id"]] = row["response"]
    return found


@pytest.fixture(scope="module")
def known(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "multilingual/lcb_llama3.json").read_bytes())
    return content


def cells_of(known: Mapping[str, Any], setting: str, mode: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The recorded cells by source and language, under the names of our leaves."""
    cells = known[f"llama-3-instruct/{SETTINGS[setting]}/{mode}"].items()
    return {
        (SUBSETS.get(source, source), language): own
        for (source, language), own in ((c.split("/"), o) for c, o in cells)
    }


def test_the_archive_has_66_leaves_and_6586_prompts(mirror):
    sizes = [len(read(*leaf, language)) for leaf, languages in LANGUAGES.items() for language in languages]
    assert (len(sizes), sum(sizes)) == (66, 6586)


def test_there_are_as_many_english_words_as_counted(mirror):
    assert len(english("lcb")) == 81_995


def test_every_released_completion_has_its_prompt(mirror):
    found = answers(fetch("lcb", "outputs/llama-3-instruct.csv"))
    assert (len(found.rows), found.missing) == (6586, {})


@pytest.fixture(scope="module")
def scored(completions, replay_scores):
    """All leaves of a setting in a mode, by leaf and metric."""

    @cache
    def of(setting: str, mode: str) -> Mapping[str, Mapping[str, float]]:
        if mode == "parity":
            pytest.importorskip("fasttext")
        leaves = {leaf: own for leaf, own in completions.items() if leaf.startswith(f"lcb_{setting}_")}
        return replay_scores(leaves, **MODES[mode])

    return of


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_stored_completions_score_as_recorded(setting, mode, scored, known):
    found = scored(setting, mode)
    cells = cells_of(known, setting, mode)
    wanted = {f"lcb_{setting}_{'_'.join(cell)}": own for cell, own in cells.items()}
    for leaf, own in ((leaf, own) for leaf, own in wanted.items() if leaf in found):
        for metric in METRICS:
            expected = math.nan if own.get(metric) is None else own[metric]
            assert found[leaf][metric] == pytest.approx(expected, abs=1e-6, nan_ok=True), (leaf, metric)
        assert found[leaf]["skipped"] == pytest.approx(1 - own["scored"] / own["n"], abs=1e-6), leaf
    assert len(wanted.keys() & found.keys()) > 20


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_averages_over_sources_and_languages_are_the_recorded_ones(setting, mode, scored, known):
    cells = cells_of(known, setting, mode)
    for metric in METRICS:
        values = {tuple(leaf.split("_")[2:]): own[metric] for leaf, own in scored(setting, mode).items()}
        found = averages(values)
        for pair, own in cells.items():
            if "all" in pair and metric in own and pair in found:
                expected = math.nan if own[metric] is None else own[metric]
                assert found[pair] == pytest.approx(expected, abs=1e-6, nan_ok=True), (metric, pair)


def test_the_mean_over_leaves_is_not_the_benchmarks_own(scored):
    leaves = {tuple(leaf.split("_")[2:]): own["lpr"] for leaf, own in scored("mono", "parity").items()}
    assert 100 * statistics.fmean(leaves.values()) == pytest.approx(54.29, abs=0.01)
    assert 100 * averages(leaves)["all", "all"] == pytest.approx(45.73, abs=0.01)
