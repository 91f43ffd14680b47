"""Stored answers through lm-eval, for any benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness_ext.models.replay.lm import Replay

FOLDER = Path(__file__).parents[2] / "tasks"

Answer = str | Sequence[float]
"""A text, or the log-likelihood of each choice."""
ReplayScores = Callable[..., dict[str, dict[str, float]]]


@pytest.fixture(scope="session")
def replay_scores(tmp_path_factory: pytest.TempPathFactory) -> ReplayScores:
    """Return a function from {leaf: {doc id: answer}} to {leaf: {metric: value}}; keywords are lm-eval's metadata."""

    def run(answers: Mapping[str, Mapping[str, Answer]], **metadata: Any) -> dict[str, dict[str, float]]:
        rows = [
            {"task": leaf, "id": id, ("response" if isinstance(answer, str) else "loglikelihoods"): answer}
            for leaf, own in answers.items()
            for id, answer in own.items()
        ]
        path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        return scores_of(Replay(str(path)), list(answers), metadata)

    return run


@pytest.fixture(scope="session")
def replay_dialogues(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, dict[str, float]]]:
    """Return a function from rows of answers to {leaf: {metric: value}}, for tasks whose docs are dialogues."""

    def run(rows: Sequence[Mapping[str, Any]], **metadata: Any) -> dict[str, dict[str, float]]:
        path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        return scores_of(Replay(str(path)), list(dict.fromkeys(row["task"] for row in rows)), metadata)

    return run


def scores_of(model: Replay, leaves: list[str], metadata: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What lm-eval makes of stored answers, by leaf and metric."""
    folders = [str(bench) for bench in FOLDER.iterdir() if any(leaf.startswith(bench.name) for leaf in leaves)]
    manager = TaskManager(include_path=folders, include_defaults=False, metadata=dict(metadata))
    report = simple_evaluate(model=model, tasks=leaves, task_manager=manager, bootstrap_iters=0, log_samples=False)
    return {
        leaf: {key.removesuffix(",none"): value for key, value in values.items() if key.endswith(",none")}
        for leaf, values in report["results"].items()
    }


@pytest.fixture
def no_downloads(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the mirror: an empty cache and no network."""
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_EXT_OFFLINE", "1")
