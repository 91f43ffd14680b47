"""``--num_fewshot`` is kept or refused, through lm-eval's own ``simple_evaluate``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

from harness_ext.errors import InputError

TASKS = Path(__file__).parents[3] / "tasks"
FOREIGN = """
task: somebody_elses
custom_dataset: !function somebody.load
output_type: multiple_choice
test_split: test
num_fewshot: 0
doc_to_text: text
doc_to_choice: ["a", "b"]
doc_to_target: 0
metric_list: [{metric: acc}]
"""


@pytest.fixture
def shown(tmp_path: Path) -> Any:
    """Return a function that runs tasks with a number of examples and returns the first prompt of each."""
    (tmp_path / "somebody.py").write_text(
        "from datasets import Dataset\ndef load(**_): return {'test': Dataset.from_list([{'text': 'Q'}])}\n"
    )
    (tmp_path / "somebody_elses.yaml").write_text(FOREIGN)
    manager = TaskManager(include_defaults=False, include_path=[TASKS, tmp_path], metadata={"data": "sample"})

    def run(*tasks: str, num_fewshot: int | None = None) -> dict[str, str]:
        report = lm_eval.simple_evaluate(
            "dummy", tasks=list(tasks), num_fewshot=num_fewshot, limit=1, task_manager=manager, bootstrap_iters=0
        )
        return {name: samples[0]["arguments"][0][0] for name, samples in report["samples"].items()}

    return run


def test_a_task_that_takes_no_examples_is_refused_by_name(shown: Any) -> None:
    with pytest.raises(InputError) as found:
        shown("mbtibench_zero_shot", "eibench_tweet_irony", num_fewshot=3)
    assert str(found.value) == (
        "--num_fewshot 3 would be ignored by mbtibench_zero_shot_ei and 3 more tasks: num_fewshot is 0 in the YAML. "
        "Run what takes no examples apart, without --num_fewshot."
    )
    assert shown("mbtibench_zero_shot_ei")  # the refusal ends with the run that it is about


def test_no_examples_may_be_asked_of_any_task(shown: Any) -> None:
    assert shown("mbtibench_zero_shot_ei", num_fewshot=0)


def test_tasks_of_other_people_keep_what_lm_eval_does(shown: Any) -> None:
    assert shown("somebody_elses", num_fewshot=3) == {"somebody_elses": "Q"}


@pytest.mark.parametrize(("group", "leaves"), [("eibench_few_shot", 21), ("eibench_ll_few_shot", 19)])
def test_the_few_shot_groups_show_three_examples_or_as_many_as_asked_for(shown: Any, group: str, leaves: int) -> None:
    for number, prompts in ((3, shown(group)), (1, shown(group, num_fewshot=1))):
        assert len(prompts) == leaves
        assert {len(re.findall(r"\nOutput:", prompt)) for prompt in prompts.values()} == {number + 1}


def test_more_examples_than_there_are_are_refused(shown: Any) -> None:
    with pytest.raises(InputError, match=r"^--num_fewshot is 4, but a task has 3 examples\. Give a smaller number\.$"):
        shown("eibench_few_shot", num_fewshot=4)
