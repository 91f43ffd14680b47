"""Every golden score of EiBench-R through lm-eval: constant, cyclic, oracle and released answers on the real docs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness_ext.data import fetch
from harness_ext.models.replay.lm import Replay
from harness_ext.tasks.eibench import docs
from harness_ext.tasks.eibench.parts import Part
from harness_ext.tasks.eibench.readers import all_parts, ecf, mime_outputs, part_of, reccon

Docs = Sequence[dict[str, Any]]
FOLDER = Path(docs.__file__).parent
RENAMED = {"mime_outputs": "eibench_mime_response", "mime_32way": "eibench_mime_emotion"}
"""Golden names of outputs that are scored through a leaf of another name."""
ELSEWHERE = {"emobench_eu_en", "emobench_ea_en"}
"""Leaves of another benchmark (``test_emobench.py``)."""


def cyclic(part: Part, asked: Docs, shift: str) -> list[str]:
    return [part.show(part.labels[(i + int(shift)) % len(part.labels)]) for i in range(len(asked))]


def window(part: Part, asked: Docs, shift: str) -> list[str]:
    starts = [(i + int(shift)) % len(part.labels) for i in range(len(asked))]
    return [f"{part.labels[k]}, {part.labels[(k + 1) % len(part.labels)]}" for k in starts]


def constant(part: Part, asked: Docs, value: str) -> list[str]:
    return [part.show(value)] * len(asked)


def constant_set(part: Part, asked: Docs, value: str) -> list[str]:
    return [" and ".join(filter(None, value.split("+"))) or "none"] * len(asked)


PREDICTORS: dict[str, Callable[[Part, Docs, str], list[str]]] = {
    "cyclic": cyclic,
    "window": window,
    "const": constant,
    "set": constant_set,
    "mod10": lambda part, asked, _: [str((i % 10) / 10) for i in range(len(asked))],
    "round1": lambda part, asked, _: [str(round(doc["gold"], 1)) for doc in asked],
    "oracle (gold reply)": lambda part, asked, _: [doc["gold"] for doc in asked],
    "all options": lambda part, asked, _: [str(list(range(1, doc["meta"]["options"] + 1))) for doc in asked],
    "first option": lambda part, asked, _: ["1"] * len(asked),
    "yes iff candidate = target": lambda part, asked, _: [
        "yes" if doc["id"].split("_")[-3] == doc["id"].split("_")[-2] else "no" for doc in asked
    ],
    "copy target utterance": lambda part, asked, _: target_utterances(asked),
    "self": lambda part, asked, _: causes(part, asked, [0]),
    "previous": lambda part, asked, _: causes(part, asked, [-1]),
    "none": lambda part, asked, _: causes(part, asked, []),
    "self+previous": lambda part, asked, _: causes(part, asked, [0, -1]),
    "replay: authors' RoBERTa-Retrained predictions": lambda part, asked, _: [
        part.labels[int(number)] for number in fetch("tweeteval", "predictions/emotion.txt").read_text().split()
    ],
    "replay: MIME predicted_emotion": lambda part, asked, _: [turn.predicted for turn in mime_outputs.read_turns()],
    "replay: Beam against Ref": lambda part, asked, _: [turn.beam for turn in mime_outputs.read_turns()],
}


def target_utterances(asked: Docs) -> list[str]:
    texts = {target.id: target.history[-1].text for target in reccon.targets("test")}
    return [texts[doc["id"].rpartition("_")[0]] for doc in asked]


def causes(part: Part, asked: Docs, offsets: list[int]) -> list[str]:
    """Candidates relative to the target, or to every emotional utterance of a dialogue."""
    if part.name == "cee":
        turns = [int(doc["id"].rpartition("_")[2]) for doc in asked]
        return [", ".join(str(t + k) for k in offsets if t + k >= 1) or "none" for t in turns]
    emotional = {
        d.id: [i for i, emotion in enumerate(d.emotions, start=1) if emotion != "neutral"]
        for d in ecf.read_dialogues("dev")
    }
    pairs = [[(i, i + k) for i in emotional[doc["id"]] for k in offsets if i + k >= 1] for doc in asked]
    return [" ".join(map(str, found)) or "none" for found in pairs]


@pytest.fixture(scope="module")
def rows(golden: Path, mirror: Path) -> list[dict[str, Any]]:
    return [
        row | {"task": RENAMED.get(row["task"], row["task"])}
        for row in json.loads((golden / "eibench/scores.json").read_text(encoding="utf-8"))["scores"]
        if row["task"] not in ELSEWHERE
    ]


def evaluate(path: Path, leaf: str, split: str, cap: str, row: dict[str, Any]) -> dict[str, float]:
    """The leaf's values, after answering every doc of the split as the row's predictor does."""
    asked = docs.load(leaf.removeprefix("eibench_"), cap=cap)[split].to_list()
    name, _, value = row["predictor"].partition(":") if ": " not in row["predictor"] else (row["predictor"], "", "")
    answers = PREDICTORS[name](part_of(leaf), asked, value)
    assert len(answers) == len(asked)
    lines = ({"task": leaf, "id": doc["id"], "response": text} for doc, text in zip(asked, answers, strict=True))
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    # a group can name the split of its leaves, as eibench_full does
    (path.parent / "golden.yaml").write_text(json.dumps({"group": "golden", "task": [leaf], "test_split": split}))
    manager = TaskManager(include_path=[str(FOLDER), str(path.parent)], include_defaults=False, metadata={"cap": cap})
    report = simple_evaluate(
        model=Replay(str(path)),
        tasks=["golden"],
        task_manager=manager,
        bootstrap_iters=0,
        log_samples=False,
    )
    return {key.removesuffix(",none"): value for key, value in report["results"][leaf].items()}


@pytest.mark.slow
@pytest.mark.parametrize("part", [part.name for part in all_parts().values()])
def test_every_golden_score_holds_in_a_run_of_lm_eval(rows: list[dict[str, Any]], tmp_path: Path, part: str) -> None:
    for row in rows:
        if row["task"] != f"eibench_{part}":
            continue
        split, _, cap = row["split"].partition("/cap")
        split = split if split in ("test", "dev") else "test"
        found = evaluate(tmp_path / "answers.jsonl", row["task"], split, cap or "all", row)
        main = all_parts()[part].metrics[0]
        assert found["ei_score"] == found[main]
        assert main in row["metrics"]
        shared = found.keys() & row["metrics"].keys()
        assert {name: found[name] for name in shared} == pytest.approx(
            {name: row["metrics"][name] for name in shared}, abs=1e-3
        ), row["predictor"]
        assert found["sample_len"] == row.get("n", found["sample_len"])
        assert found.get("invalid", found.get("parse_failure")) == 0


def test_no_golden_score_is_left_out(rows: list[dict[str, Any]]) -> None:
    assert {row["task"].removeprefix("eibench_") for row in rows} <= all_parts().keys()
    assert len(rows) == 53
