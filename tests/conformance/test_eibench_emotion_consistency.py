"""The emotion-consistency diagnostic on the real corpus: what its classifier knows, and how little that says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.replies.emotion_consistency import emo_consistency
from harness_ext.tasks.eibench import docs
from harness_ext.tasks.eibench.emotion_consistency import classifier, training_dialogues
from harness_ext.tasks.eibench.readers.empathetic_dialogues import split_dialogues


def test_situations_that_leak_into_dev_or_test_are_not_learnt_from(mirror: Path) -> None:
    found = split_dialogues()
    held_out = {dialogue.situation for dialogue in (*found.dev, *found.test)}
    assert len(found.train) - len(training_dialogues()) == 15
    assert not held_out & {dialogue.situation for dialogue in training_dialogues()}


def test_the_classifier_knows_situations_but_hardly_human_replies(mirror: Path) -> None:
    test = split_dialogues().test
    situations = emo_consistency(classifier(), [d.situation for d in test], [d.emotion for d in test])
    assert situations == pytest.approx(45.7, abs=1)
    replies = docs.load("ed_response", cap="all")["test"]
    emotions = [meta["emotion"] for meta in replies["meta"]]
    assert emo_consistency(classifier(), [refs[0] for refs in replies["refs"]], emotions) == pytest.approx(11, abs=1)


def test_the_command_reads_the_replies_of_a_run(mirror: Path, tmp_path: Path) -> None:
    date = "2026-01-01T00-00-00.0"
    content = {"results": {"eibench_ed_response": {"ei_score,none": 1.0}}, "configs": {}, "config": {"model": "dummy"}}
    (tmp_path / f"results_{date}.json").write_text(json.dumps(content))
    asked = docs.load("ed_response", cap=40)["test"]
    with (tmp_path / f"samples_eibench_ed_response_{date}.jsonl").open("w") as file:
        for at, doc in enumerate(asked):
            file.write(json.dumps({"doc_id": at, "doc": doc, "filtered_resps": doc["refs"], "filter": "none"}) + "\n")
    done = CliRunner().invoke(app, ["replies", str(tmp_path), "--emo-consistency", "--json"])
    (score,) = json.loads(done.stdout)
    assert (score["metric"], score["docs"]) == ("emo_consistency", 40)
    assert score["value"] == score["human_replies"]
