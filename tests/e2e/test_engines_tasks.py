"""Task files that other engines can run: after lm-eval's own translation no setting is left that they do not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

FOLDER = Path(__file__).parents[2] / "tasks"
INDEX = TaskManager(include_defaults=False, include_path=FOLDER).task_index
SAMPLING = {
    "temperature", "top_p", "top_k", "min_p", "seed", "n", "repetition_penalty", "skip_special_tokens",
    "spaces_between_special_tokens",
}  # fmt: skip
"""Names that the sampling parameters of vLLM and SGLang share."""


CONFIGS = {
    name: load_yaml(entry.yaml_path, resolve_func=False) for name, entry in INDEX.items() if entry.kind.name == "TASK"
}


def tasks(output_type: str | None = None) -> list[Any]:
    return [
        pytest.param(config, id=name)
        for name, config in CONFIGS.items()
        if output_type in (None, config.get("output_type"))
    ]


def test_there_are_generating_tasks():
    assert len(tasks("generate_until")) > 10


@pytest.mark.parametrize("config", tasks())
def test_requests_are_of_the_kinds_that_every_engine_answers(config):
    assert config["output_type"] in {"generate_until", "multiple_choice", "loglikelihood", "loglikelihood_rolling"}


@pytest.mark.parametrize("config", tasks("generate_until"))
def test_generation_settings_are_known_to_every_engine(config):
    settings = normalize_gen_kwargs(config["generation_kwargs"])
    translated = {"until", "max_gen_toks", "do_sample"}  # by lm-eval, for each engine
    assert translated <= settings.keys()
    assert settings.keys() - translated <= SAMPLING
    assert (settings["do_sample"], settings["temperature"]) == (False, 0.0)
