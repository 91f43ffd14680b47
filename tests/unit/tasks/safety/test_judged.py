"""Safety tasks and their judges: which leaves there are, who judges them, and what is recorded."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lm_eval.api.task import Task
from lm_eval.evaluator import evaluate
from lm_eval.models.dummy import DummyLM
from lm_eval.tasks import TaskManager

from harness_ext.errors import InputError
from harness_ext.scoring.safety import processor
from harness_ext.tasks.safety.docs import PARTS, RULES

if TYPE_CHECKING:
    from tests.conftest import ChatServer

FOLDER = Path(__file__).parents[4] / "tasks"
LEAVES = sorted(PARTS.keys() - {"oktest_dev"})
REFUSAL = {"xstest", "oktest"}


def load(name: str, **metadata: str) -> Task:
    manager = TaskManager(include_path=FOLDER, include_defaults=False, metadata={"data": "sample", **metadata})
    (task,) = manager.load(name)["tasks"].values()
    return task


@cache
def names() -> set[str]:
    return set(TaskManager(include_path=FOLDER, include_defaults=False).all_subtasks)


def judge_file(folder: Path, **fields: Any) -> str:
    path = folder / "judge.yaml"
    content = {"kind": "llm", "model": "m", "base_url": "http://127.0.0.1:9/v1", **fields}
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_every_set_has_a_leaf_and_one_with_a_judge_to_be_configured() -> None:
    leaves = {name for name in names() if name.startswith("safety_")} - {"safety_advbench_nll"}
    assert leaves == {f"safety_{part}{ending}" for part in LEAVES for ending in ("", "_judged")}


@pytest.mark.parametrize("part", LEAVES)
def test_the_rules_that_a_leaf_records_are_its_filters(part: str) -> None:
    task = load(f"safety_{part}")
    assert tuple(task.config.metadata["recorded"]["judges"]) == RULES[PARTS[part].language]
    assert tuple(own.name for own in task._filters) == RULES[PARTS[part].language]


@pytest.mark.parametrize("part", LEAVES)
def test_a_configured_judge_names_the_filter_and_is_recorded(part: str, tmp_path: Path) -> None:
    parser = "cpi_grade" if part in REFUSAL else "md_judge"
    task = load(f"safety_{part}_judged", judge=judge_file(tmp_path, parser=parser))
    assert [own.name for own in task._filters] == [f"llm_{parser}"]
    (recorded,) = task.config.metadata["recorded"]["judges"].values()
    assert recorded["judge"] == f"llm_{parser}"
    metrics = {metric["metric"] for metric in task.config.metric_list}
    harm, reading = {"attack_success", "harm_score"}, {"invalid", "reasoning_cut"}
    assert (metrics == harm | reading) == (part not in REFUSAL)
    assert reading <= metrics
    assert bool(metrics & harm) == (part not in REFUSAL)
    assert {bool(doc["three_class"]) for doc in task.eval_docs} == {part in REFUSAL}
    plain = load(f"safety_{part}")
    assert task.config.generation_kwargs == plain.config.generation_kwargs
    assert task.config.metadata["source"] == plain.config.metadata["source"]
    assert [doc["id"] for doc in task.eval_docs] == [doc["id"] for doc in plain.eval_docs]


@pytest.mark.parametrize("part", LEAVES)
def test_a_run_with_a_configured_judge_reports_every_declared_metric_for_every_doc(
    part: str, tmp_path: Path, chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path / "cache"))
    chat_server.reply = lambda _: "GRADE: P" if part in REFUSAL else "[RESULT]: unsafe, 4"
    url = chat_server.url.removesuffix("/chat/completions")
    parser = "cpi_grade" if part in REFUSAL else "md_judge"
    name = f"safety_{part}_judged"
    task = load(name, judge=judge_file(tmp_path, parser=parser, base_url=url))
    found = evaluate(DummyLM(), {name: task}, limit=4, bootstrap_iters=0, log_samples=True)
    declared = {metric["metric"] for metric in task.config.metric_list}
    values = found["results"][name]
    reported = {key.split(",")[0] for key in values if "," in key and "_stderr," not in key}
    assert reported == declared
    assert all(set(sample["metrics"]) == declared for sample in found["samples"][name])
    assert values[f"invalid,llm_{parser}"] == 0
    if part in REFUSAL:
        assert (values["over_refusal,llm_cpi_grade"], values["over_refusal_full,llm_cpi_grade"]) == (1, 0)
    else:
        assert (values["attack_success,llm_md_judge"], values["harm_score,llm_md_judge"]) == (1, 4)


@pytest.mark.parametrize("part", LEAVES)
def test_a_judge_of_the_other_kind_or_none_is_refused_with_the_way_out(part: str, tmp_path: Path) -> None:
    other = judge_file(tmp_path, parser="md_judge" if part in REFUSAL else "cpi_grade")
    for metadata in ({}, {"judge": other}):
        with pytest.raises(InputError, match="harness-ext rejudge"):
            load(f"safety_{part}_judged", **metadata)


def test_no_judge_of_refusal_gives_a_number_of_harm() -> None:
    verdict = json.dumps({"judge": "j", "kind": "refusal", "label": "compliance", "score": None})
    for labels in ({"safe"}, {"unsafe"}, {"safe", "unsafe"}):
        for three_class in (False, True):
            found = processor(labels, "refusal", three_class=three_class)({"label": "unsafe"}, [verdict])
            assert not found.keys() & {"attack_success", "harm_score"}
            assert any(name.endswith("_full") for name in found) == three_class
    with pytest.raises(ValueError, match="need a harm judge"):
        processor({"unsafe"}, "harm")({"label": "unsafe"}, [verdict])
    with pytest.raises(ValueError, match="some of these are harmless"):
        processor({"safe", "unsafe"}, "harm")
