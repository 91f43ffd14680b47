"""Losses against open-unlearning's own functions (stored golden numbers) and against torch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness_ext.methods.losses import IGNORED, fkld, npo, rkld, sequence_nll
from harness_ext.methods.training.objective import answer_nll, nll_of


@pytest.fixture(scope="module")
def losses(golden: Path) -> Any:
    return json.loads((golden / "unlearning/losses.json").read_text())


@pytest.fixture(scope="module")
def baselines(losses: Any) -> Any:
    return losses["baselines"]


def double(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


class Table:
    """The golden file's model: all logits of a row are looked up by the sum of its tokens."""

    def __init__(self, logits: Any) -> None:
        self._logits = double(logits)

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self._logits[input_ids.sum(1) % 7])


@pytest.fixture(scope="module")
def forget(baselines: Any) -> dict[str, torch.Tensor]:
    ids = torch.tensor(baselines["forget_ids"])
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.tensor(baselines["forget_labels"]),
    }


@pytest.fixture(scope="module")
def nlls(baselines: Any, forget: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    model, reference = (Table(baselines[f"{name}_logits[7,6,5]"]) for name in ("model", "ref"))
    return answer_nll(model, forget), answer_nll(reference, forget)


def test_sequence_likelihoods_and_gradient_ascent_equal_open_unlearning(
    baselines: Any, forget: dict[str, torch.Tensor], nlls: tuple[torch.Tensor, torch.Tensor]
) -> None:
    assert nlls[0].tolist() == pytest.approx(baselines["batch_nll(sum over answer tokens)"], abs=1e-13)
    ascent, model = nll_of(forget=-1.0), Table(baselines["model_logits[7,6,5]"])
    total, count = ascent.sums(model, {"forget": forget})["forget"], ascent.counts({"forget": forget})["forget"]
    assert -float(total) / count == pytest.approx(baselines["GA loss (=-mean token nll)"], abs=1e-13)


@pytest.mark.parametrize("beta", [0.1, 1])
def test_npo_equals_open_unlearning(baselines: Any, nlls: tuple[torch.Tensor, torch.Tensor], beta: float) -> None:
    expected = baselines[f"NPO beta={beta}"]
    assert float(npo(*nlls, beta)) == pytest.approx(expected, abs=1e-13)
    assert float(npo(*nlls, beta, "sum")) == pytest.approx(2 * expected, abs=1e-13)


def test_the_divergence_to_a_reference_equals_open_unlearning(baselines: Any, forget: dict[str, torch.Tensor]) -> None:
    model, reference = (Table(baselines[f"{name}_logits[7,6,5]"]) for name in ("model", "ref"))
    given = forget["input_ids"], forget["attention_mask"]
    found = fkld(model(*given).logits, reference(*given).logits)
    expected = baselines["KL retain term (batchmean over B*L positions, ref||model)"]
    assert float(found) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("alpha", [1, 4])
def test_divergences_and_their_gradient_equal_the_worked_example(losses: Any, alpha: int) -> None:
    case, student = losses["rkld"][f"alpha={alpha}"], double(losses["rkld"]["l_student"]).requires_grad_()
    teacher = double(case["l_teacher"])
    reverse = rkld(student, teacher)
    assert float(reverse.detach()) == pytest.approx(case["RKL = mean KL(student||teacher)"], abs=1e-15)
    assert float(fkld(student, teacher).detach()) == pytest.approx(case["FKL = mean KL(teacher||student)"], abs=1e-15)
    original = double(losses["rkld"]["l_orig"])
    assert float(rkld(original, teacher)) == pytest.approx(case["RKL at student=orig"], abs=1e-15)
    (gradient,) = torch.autograd.grad(reverse, student)
    torch.testing.assert_close(gradient, double(case["grad dRKL/dstudent_logits"]), atol=1e-15, rtol=0)


def test_masked_positions_have_no_share_and_no_gradient() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True), torch.randn(2, 3, 5).double()
    mask = torch.tensor([[1, 0, 1], [0, 0, 1]])
    total = rkld(student, teacher, mask, "sum")
    each = torch.nn.functional.kl_div(
        teacher.log_softmax(-1), student.log_softmax(-1), reduction="none", log_target=True
    )
    assert float(total.detach()) == pytest.approx(float(each.sum(-1)[mask.bool()].sum().detach()), abs=1e-12)
    (gradient,) = torch.autograd.grad(total, student)
    assert (gradient.abs().sum(-1) > 0).int().tolist() == mask.tolist()


def test_likelihoods_of_half_precision_logits_are_computed_in_single() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 50).bfloat16(), torch.tensor([[IGNORED, 3, 7, 9], [IGNORED, IGNORED, 1, 49]])
    found = sequence_nll(logits, labels)
    assert found.dtype == torch.float32
    chosen = logits.float().log_softmax(-1).gather(2, labels.clamp(min=0)[..., None])[..., 0]
    torch.testing.assert_close(found, -(chosen * (labels != IGNORED)).sum(1))
