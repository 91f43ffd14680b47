"""Losses against open-unlearning's own functions (stored golden numbers) and against torch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness_ext.methods.losses import (
    IGNORED,
    dpo,
    fkld,
    ga,
    npo,
    rkld,
    satimp,
    sequence_nll,
    simnpo,
    steered,
    suppressed_teacher,
    undial,
    wga,
)  # fmt: skip
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

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self._logits[input_ids.sum(1) % 7])

    __call__ = forward


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


def test_ascent_weighted_or_not_and_undial_equal_open_unlearning(
    baselines: Any, forget: dict[str, torch.Tensor]
) -> None:
    model, reference = (Table(baselines[f"{name}_logits[7,6,5]"]) for name in ("model", "ref"))
    given = forget["input_ids"], forget["attention_mask"]
    logits, before = model(*given).logits[:, :-1], reference(*given).logits[:, :-1]
    labels = forget["labels"][:, 1:]
    assert float(ga(logits, labels)) == pytest.approx(baselines["GA loss (=-mean token nll)"], abs=1e-13)
    assert float(wga(logits, labels, 1.0)) == pytest.approx(baselines["WGA beta=1"], abs=1e-13)
    every_position = forget["input_ids"][:, 1:]  # the golden number is of prompts, too
    assert float(undial(logits, before, every_position, 10.0)) == pytest.approx(baselines["UNDIAL beta=10"], abs=1e-13)
    scored = labels != IGNORED
    soft = before[scored].sub(10 * torch.nn.functional.one_hot(labels[scored], 5)).softmax(-1)
    expected = torch.nn.functional.cross_entropy(logits[scored], soft)
    assert float(undial(logits, before, labels, 10.0)) == pytest.approx(float(expected), abs=1e-13)


def test_the_weights_of_satimp_are_no_part_of_its_gradient() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True), torch.tensor([[1, 2, -100]] * 2)
    logarithms = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0][:, :2]
    weights = (logarithms.exp() ** 5 * (1 - logarithms.exp())).detach()
    (expected,) = torch.autograd.grad((weights * logarithms).mean(), logits)
    (found,) = torch.autograd.grad(satimp(logits, labels), logits)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_preferences_equal_what_their_papers_print() -> None:
    # 0.5 is the margin of a preferred answer that rose by 2 and a rejected one that fell by 3 nats, at β 0.1
    given = double([4.0]), double([9.0]), double([6.0]), double([6.0])
    assert float(dpo(*given, beta=0.1, scale="tofu")) == pytest.approx(0.4740769841801067, abs=1e-12)  # log(1 + e^-0.5)
    assert float(dpo(*given, beta=0.1)) == pytest.approx(20 * 0.4740769841801067, abs=1e-11)
    # SimNPO of 6 nats in 3 tokens, β 4.5, δ 1: -(2/4.5) log σ(4.5)
    found = simnpo(double([6.0]), double([3.0]), 4.5, 1.0)
    assert float(found) == pytest.approx(2 / 4.5 * 0.01104774484, abs=1e-9)


def test_steering_is_a_mean_over_the_tokens_of_each_row_and_then_rows() -> None:
    states, mask = double([[[1.0, 3.0], [0.0, 0.0]], [[2.0, 2.0], [4.0, 0.0]]]), torch.tensor([[1, 0], [1, 1]])
    found = steered(states, double([1.0, 1.0]), mask)
    assert found.tolist() == [(0 + 4) / 2, ((1 + 1) / 2 + (9 + 1) / 2) / 2]


def test_the_teacher_lowers_only_what_rose(losses: Any) -> None:
    original, augmented = double(losses["rkld"]["l_orig"]), double(losses["rkld"]["l_aug"])
    for alpha in (1, 4):
        expected = losses["rkld"][f"alpha={alpha}"]["l_teacher"]
        assert suppressed_teacher(original, augmented, alpha).tolist() == expected
    assert torch.equal(suppressed_teacher(original, original - 1, 8.0), original)
    assert float(rkld(original, suppressed_teacher(original, augmented, 0.0))) == 0.0


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
