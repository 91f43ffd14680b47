"""Whether every task shows as many examples as were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_ext.errors import InputError
from harness_ext.models.runs.answers import leaves


def refuse_ignored(task_dict: Mapping[str, Any], examples: int) -> None:
    """Refuse tasks of this suite, or built like it, that would be asked with another number of examples.

    lm-eval keeps ``num_fewshot: 0`` of a task's YAML whatever the command says, and logs it.

    Raises:
        InputError: there is such a task.
    """
    ignoring = [
        task.config.task
        for task in leaves(task_dict)
        if "bench" in (task.config.metadata or {}) and task.config.num_fewshot != examples
    ]
    if ignoring:
        more = f" and {len(ignoring) - 1} more tasks" if len(ignoring) > 1 else ""
        raise InputError(
            f"--num_fewshot {examples} would be ignored by {ignoring[0]}{more}: num_fewshot is 0 in the YAML. "
            "Run what takes no examples apart, without --num_fewshot."
        )
