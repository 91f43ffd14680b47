"""What a backend may answer, through lm-eval's own ``evaluate`` and ``simple_evaluate``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval.evaluator
import pytest
import torch
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from PIL import Image

from harness_ext import _autoload
from harness_ext.errors import InputError
from harness_ext.files import mended
from harness_ext.models.replay import Replay
from harness_ext.models.replay.answers import doc_digest

_autoload.install()
TOYS = Path(__file__).parents[2] / "e2e" / "toy_tasks"
MANAGER = TaskManager(include_defaults=False, include_path=str(TOYS))


class Says(LM):
    """Answers every request with what a function makes of its number."""

    def __init__(self, answer: Callable[[int], Any]) -> None:
        super().__init__()
        self.answer = answer
        self.model = "server-model"

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        return [self.answer(number) for number in range(len(requests))]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return [(self.answer(number), False) for number in range(len(requests))]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        return [self.answer(number) for number in range(len(requests))]


def evaluated(lm: Any, task: str) -> dict[str, Any]:
    results: dict[str, Any] = lm_eval.evaluator.evaluate(
        lm=lm, task_dict=MANAGER.load([task]), bootstrap_iters=0, log_samples=True
    )
    return results


@pytest.mark.parametrize("task", ["toy_completion", "toy_perplexity"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, 0.5])
def test_what_is_no_log_likelihood_is_refused_with_model_and_doc(task: str, wrong: float) -> None:
    with pytest.raises(InputError, match=rf"^server-model: task {task}, doc 1: {wrong} is no log-likelihood; look at"):
        evaluated(Says(lambda number: wrong if number == (2 if task == "toy_completion" else 1) else -1.0), task)


def test_a_doc_without_a_possible_continuation_is_refused_and_one_with_an_impossible_one_is_scored() -> None:
    with pytest.raises(InputError, match=r"server-model: task toy_completion, doc 1: no continuation is possible"):
        evaluated(Says(lambda number: -math.inf if number in (2, 3) else -1.0), "toy_completion")
    scores = evaluated(Says(lambda number: -math.inf if number in (1, 2) else -1.0), "toy_completion")["results"]
    assert scores["toy_completion"]["acc,none"] == pytest.approx(1.0)  # golds are the first, second and first choice


def test_half_a_character_in_an_answer_costs_the_run_no_samples(caplog: pytest.LogCaptureFixture) -> None:
    samples = evaluated(Says(lambda number: "Par\ud800is" if number else "Paris"), "toy_capitals")["samples"]
    answers = [sample["resps"][0][0] for sample in samples["toy_capitals"]]
    assert answers == ["Paris", *["Par\ufffdis"] * 3]
    json.dumps(answers, ensure_ascii=False).encode("utf-8")
    assert "toy_capitals: 3 answers hold half a character" in caplog.text


def test_stored_answers_with_half_a_character_are_mended_when_they_are_read(tmp_path: Path) -> None:
    rows = [{"task": "toy_capitals", "id": name, "response": "\ud83d"} for name in ("fr", "it", "jp", "pe")]
    rows[0]["response"] = "\U0001f600"
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    samples = evaluated(Replay(str(tmp_path / "a.jsonl")), "toy_capitals")["samples"]["toy_capitals"]
    assert [sample["resps"][0][0] for sample in samples] == ["\U0001f600", *["\ufffd"] * 3]
    assert mended("\ud83d\ude00") == "\U0001f600"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, store_trio: Callable[..., Path]) -> Path:
    return store_trio(tmp_path_factory.mktemp("trio"), layers=1)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("task", ["toy_completion", "toy_capitals"])
def test_weights_that_are_no_numbers_are_refused_before_anything_is_asked(
    wrong: float, task: str, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = HFLM(str(llama / "aligned"), device="cpu", dtype="float32")
    for kind in ("loglikelihood", "generate_until"):
        monkeypatch.setattr(lm, kind, lambda *_, **__: pytest.fail("it was asked"))
    with torch.no_grad():
        lm.model.model.layers[0].mlp.down_proj.weight[1, 2] = wrong
    with pytest.raises(InputError, match=r"aligned: the weights model\.layers\.0\.mlp\.down_proj\.weight hold NaN"):
        evaluated(lm, task)


def test_large_weights_whose_sum_overflows_are_numbers(llama: Path) -> None:
    lm = HFLM(str(llama / "aligned"), device="cpu", dtype="float32")
    with torch.no_grad():
        lm.model.lm_head.weight[0] = 3e38
        lm.model.lm_head.weight[0, 1::2] = -3e38
        lm.model.lm_head.weight[1] = 3e38
    try:
        evaluated(lm, "toy_completion")
    except InputError as error:
        assert "hold NaN" not in str(error)


def test_a_cache_gives_no_model_the_answers_of_another(llama: Path, tmp_path: Path) -> None:
    def run(model: str, **more: Any) -> Any:
        return lm_eval.evaluator.simple_evaluate(
            "hf",
            model_args={"pretrained": str(llama / model), "dtype": "float32"},
            tasks=["toy_completion"],
            task_manager=MANAGER,
            device="cpu",
            use_cache=str(tmp_path / "cache"),
            bootstrap_iters=0,
            **more,
        )

    first, again = run("aligned"), run("aligned")
    assert first["results"] == again["results"]
    with pytest.raises(InputError, match=r"cache_rank0\.db: holds answers of another model or other settings; name a"):
        run("finetuned")


def test_docs_with_an_image_have_the_same_digest_in_every_run_and_other_docs_another() -> None:
    one, same, larger = (Image.new("RGB", (size, 2)) for size in (2, 2, 3))
    assert str(one) != str(same)  # the object's address
    assert doc_digest({"id": 1, "image": one}) == doc_digest({"image": same, "id": 1})
    assert doc_digest({"id": 1, "image": one}) == doc_digest({"id": 1, "image": str(one)})  # as a samples file has it
    assert doc_digest({"id": 1, "image": one}) != doc_digest({"id": 1, "image": larger})
    assert doc_digest({"id": 1}) != doc_digest({"id": 2})
