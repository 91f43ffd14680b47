"""What every leaf shows of the released data, takes for the answer and measures, as digests; and no answer in a prompt.

``python tests/conformance/test_prompts_and_answers.py`` writes the digests anew, after a change that is meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager

from harness_ext.errors import DataError
from harness_ext.tasks.eibench import docs
from harness_ext.tasks.eibench.readers import esconv

TASKS = Path(__file__).parents[2] / "tasks"
KEPT = Path(__file__).with_name("prompts_and_answers.json")
DOCS = 25
"""Of each leaf, spread over all of them: the order of docs and their ids have digests of their own."""
FEW_SHOT = 10
ABSENT = {
    *("eibench_semeval_eireg_fear", "eibench_semeval_eireg_sadness", "eqbench_v2_de", "eqbench_v2_short_de"),
    *(f"gpt4v_probes_white_{name}{shots}" for name in ("mmlu", "hellaswag", "winogrande") for shots in ("", "_5shot")),
    *(f"tombench_all_{language}{form}" for language in ("en", "zh") for form in ("", "_ll")),
    *(f"lens_nlu_{form}xstorycloze_{language}" for language in ("ar", "en", "sw", "zh") for form in ("", "ll_")),
    *(f"lens_nlu_{form}m_mmlu_{language}" for language in ("ar", "bn", "en", "zh") for form in ("", "ll_")),
    *(f"lens_nlu_{form}{name}" for name in ("kmmlu_ko", "xwinograd_zh") for form in ("", "ll_")),
}
"""Leaves whose files the mirror does not have, or that are on a hub only."""
REPEATED = {"ed_response": (5, 7), "esc_response": (2, 3), "mime_response": (6,), "esc_strategy": (2, 3)}
"""Replies, of test and dev, that somebody had said word for word before: short ones, and parting words."""


@cache
def manager() -> TaskManager:
    return TaskManager(include_defaults=False, include_path=TASKS)


def leaves() -> list[str]:
    """All that run without a judge or a folder to be named; those with a judge show the prompts of their twins."""
    return sorted(name for name in manager().all_subtasks if not name.endswith("_judged") and "_local_" not in name)


def spread(items: Any, most: int) -> Iterable[Any]:
    return islice(items, 0, None, max(1, len(items) // most))


def shown(task: Task) -> dict[str, str]:
    """Digests of prompts and answers, of the docs and of the few-shot examples; the metrics by name."""
    found = {"metrics": " ".join(metric["metric"] for metric in task.config.metric_list)}
    examples = list(spread(task.fewshot_docs(), FEW_SHOT)) if task.config.fewshot_split else []
    for name, own in (("docs", list(spread(task.eval_docs, DOCS))), ("examples", examples)):
        texts = [[str(task.doc_to_text(doc)), str(task.doc_to_target(doc))] for doc in own]
        choices = [task.doc_to_choice(doc) for doc in own] if task.OUTPUT_TYPE == "multiple_choice" else []
        for part, column in (("input", [text for text, _ in texts]), ("answer", [answer for _, answer in texts])):
            found[f"{name}_{part}"] = digest(column) if own else ""
        found[f"{name}_choices"] = digest(choices) if choices else ""
    return {name: value for name, value in found.items() if value}


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:16]


def load(name: str) -> Task:
    (task,) = manager().load(name)["tasks"].values()
    return task


def kept() -> dict[str, Mapping[str, str]]:
    content: dict[str, Mapping[str, str]] = json.loads(KEPT.read_text(encoding="utf-8"))
    return content


def test_every_leaf_has_its_digests() -> None:
    assert sorted(kept()) == sorted(set(leaves()) - ABSENT)


@pytest.mark.usefixtures("no_downloads")
@pytest.mark.parametrize("name", sorted(kept() if KEPT.exists() else ()))
def test_prompts_and_answers_are_those_that_were_checked(name: str) -> None:
    assert shown(load(name)) == kept()[name]


@pytest.mark.usefixtures("no_downloads")
@pytest.mark.parametrize("name", sorted(ABSENT))
def test_a_leaf_without_a_digest_is_one_whose_files_are_missing(name: str) -> None:
    with pytest.raises(DataError, match=r"is not in|cannot be had from the hub"):
        load(name)


def spoken_before(text: str, shown: str) -> bool:
    return " ".join(text.split()) in " ".join(shown.split())


@pytest.mark.usefixtures("no_downloads")
@pytest.mark.parametrize("part", ["ed_response", "esc_response", "mime_response"])
def test_no_reply_stands_in_its_own_prompt_unless_somebody_had_said_the_same(mirror: Path, part: str) -> None:
    splits = docs.load(part)
    found = [
        sum(spoken_before(doc["target"], doc["input"]) for doc in splits[name])
        for name in ("full", "dev")
        if name in splits
    ]
    assert tuple(found) == REPEATED[part]


def test_no_turn_stands_in_the_prompt_that_asks_for_its_strategy(mirror: Path) -> None:
    found = [
        sum(spoken_before(turn["text"], shown) for _, _, shown, turn in esconv.supporter_turns(split))
        for split in ("test", "dev")
    ]
    assert tuple(found) == REPEATED["esc_strategy"]


if __name__ == "__main__":
    digests = {name: json.dumps(shown(load(name))) for name in leaves() if name not in ABSENT}
    lines = ",\n".join(f"{json.dumps(name)}: {own}" for name, own in digests.items())
    KEPT.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
