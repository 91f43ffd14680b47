"""Letters in place of likelihoods: what is asked, and what can have no twin."""

from __future__ import annotations

import copy
import json
from typing import Any

import datasets
import pytest
from lm_eval.api.task import ConfigurableTask

from harness_ext.errors import InputError
from harness_ext.models.letters import twin

ROWS = [
    {"q": "Q: Best tea?\nAnswer:", "options": ["green", "black"], "gold": 1},
    {"q": "Q: Worst?", "options": ["a", "b"], "gold": 0},
]


def task_of(rows: list[dict[str, Any]] = ROWS, **settings: Any) -> ConfigurableTask:
    config = {
        "task": "tea", "output_type": "multiple_choice", "doc_to_text": "{{q}}", "doc_to_choice": "{{options}}",
        "doc_to_target": "gold", "test_split": "test", "num_fewshot": 0, "metadata": {"version": 2.0, "chance": 0.5},
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
    }  # fmt: skip
    return ConfigurableTask(config=config | settings)


def test_the_options_go_before_the_word_that_asks_for_the_answer() -> None:
    asked = twin(task_of())
    assert asked.doc_to_text(asked.task_docs[0]) == (
        "Q: Best tea?\nA. green\nB. black\nAnswer with the letter of one option.\nAnswer:"
    )
    assert [asked.doc_to_target(doc) for doc in asked.task_docs] == ["B", "A"]


@pytest.mark.parametrize("gold", [1, "black", " black"])
def test_a_target_may_be_a_place_or_an_option(gold: object) -> None:
    asked = twin(task_of([{**ROWS[0], "gold": gold}]))
    scored = {answer: asked.process_results(asked.task_docs[0], [answer])["acc_letters"] for answer in "AB"}
    assert scored == {"A": 0.0, "B": 1.0}


def test_of_several_right_options_any_is_right() -> None:
    asked = twin(task_of([{"q": "?", "options": ["x", "y", "z"], "gold": [0, 2]}]))
    scored = {answer: asked.process_results(asked.task_docs[0], [answer])["acc_letters"] for answer in "ABC"}
    assert scored == {"A": 1.0, "B": 0.0, "C": 1.0}


def test_it_is_recorded_as_another_task_with_the_prompt_it_was_made_from() -> None:
    asked = twin(task_of())
    recorded = json.loads(json.dumps(asked.dump_config(), default=str))  # as lm-eval writes it
    assert (recorded["task"], recorded["output_type"]) == ("tea_letters", "generate_until")
    assert recorded["doc_to_text"] == "letters: {{q}}"
    assert recorded["metadata"] == {"version": 2.0, "twin": "letters"}
    assert recorded["generation_kwargs"] == {"until": ["\n\n"], "max_gen_toks": 32, "do_sample": False}
    assert [entry["metric"] for entry in recorded["metric_list"]] == ["acc_letters", "parse_failure", "reasoning_cut"]


def test_copies_of_its_configuration_do_not_copy_the_data() -> None:
    asked = twin(task_of())
    assert copy.deepcopy(asked.config.doc_to_text) is asked.config.doc_to_text


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"q": "?", "options": [str(n) for n in range(27)], "gold": 0}], {}, "27 options, more than letters"),
        ([{"q": "?", "options": ["x", "y"], "gold": 2}], {"doc_to_target": "{{gold}}"}, "none of the options"),
        (
            [{"q": 1, "options": ["He _ x", "He _ y"], "gold": "ran."}],
            {"doc_to_text": "q"},
            "puts each option into its question",
        ),
    ],
)
def test_what_cannot_be_asked_with_letters_is_refused(rows: Any, settings: Any, message: str) -> None:
    original = task_of([{**rows[0], "gold": 0}] if settings.get("doc_to_target") else rows, **settings)
    if settings.get("doc_to_target"):
        original.task_docs = original.dataset["test"] = datasets.Dataset.from_list(rows)
    with pytest.raises(InputError, match=message):
        twin(original)
