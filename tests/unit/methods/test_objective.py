"""Objectives of several terms: a step is the same however its rows are cut, and goes on where it stopped."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from harness_ext.methods.losses import IGNORED, fkld, npo
from harness_ext.methods.training.loop import TrainingConfig, train
from harness_ext.methods.training.loss_curve import CSV, read
from harness_ext.methods.training.objective import Objective, answer_logits, answer_nll, answer_tokens, nll_of
from harness_ext.methods.training.pairs import laid_out
from harness_ext.methods.training.reference import StoredTokens, looked_up, of_rows
from harness_ext.methods.training.rows import pad


def answers(*lengths: int, start: int = 3) -> list[dict[str, list[int]]]:
    """Rows whose answers have these lengths."""
    ids = [[(start + 5 * n + k) % 29 + 3 for k in range(length + 2)] for n, length in enumerate(lengths)]
    return [{"input_ids": one, "labels": [IGNORED, IGNORED, *one[2:]]} for one in ids]


ROWS = {"forget": answers(1, 7, 2, 4), "retain": answers(6, 1, 1, 9, start=11)}


def tiny_llama(dropout: float = 0.0) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            attention_dropout=dropout,
        )
    )


def npo_with_divergence(model: Any, folder: Path) -> Objective:
    """A term over sequences, one over tokens of other rows, and one over tokens of both."""
    reference = looked_up(of_rows(model, ROWS["forget"], answer_nll, batch_size=2))
    stored = StoredTokens(folder / "logits", ROWS["retain"], 32)
    stored.fill(model, 2)

    def sums(model: Any, batch: Any) -> dict[str, torch.Tensor]:
        return {
            "npo": npo(answer_nll(model, batch["forget"]), reference(batch["forget"]), 0.5, "sum"),
            "kl": fkld(answer_logits(model, batch["retain"]), stored(batch["retain"]), reduction="sum"),
        }

    own = Objective(
        {"npo": 1.0, "kl": 3.0},
        lambda batch: {"npo": len(batch["forget"]["input_ids"]), "kl": answer_tokens(batch["retain"])},
        sums,
    )
    return own + nll_of(forget=-0.2, retain=0.7)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def test_four_micro_batches_are_one_large_batch_for_terms_of_different_counts(tmp_path: Path) -> None:
    found = {}
    for batch_size in (4, 2, 1):
        model = tiny_llama().double()  # Adam makes much of the last bits of a small gradient
        objective = npo_with_divergence(model, tmp_path)
        config = TrainingConfig(
            steps=3, learning_rate=1e-2, batch_size=batch_size, accumulation=4 // batch_size, max_gradient_norm=None
        )
        found[batch_size] = train(model, ROWS, config, objective=objective).curve, weights(model)
    (curve, one), *others = found.values()
    for other_curve, other in others:
        assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-9
        for point, same in zip(curve, other_curve, strict=True):
            assert point.terms == same.terms
            assert point.loss == pytest.approx(same.loss, rel=1e-9)
            assert point.parts == pytest.approx(same.parts, rel=1e-9)


def test_one_step_of_gradient_difference_is_what_torch_computes_from_two_token_means() -> None:
    model, reference = tiny_llama(), tiny_llama()
    config = TrainingConfig(
        steps=1, learning_rate=1e-2, batch_size=1, accumulation=4, schedule="constant", max_gradient_norm=None
    )
    objective = nll_of(forget=-1.0, retain=0.5)
    point = train(model, ROWS, config, objective=objective).curve[0]
    forget, retain = (reference(**pad(ROWS[role])).loss for role in ("forget", "retain"))  # means over answer tokens
    loss = -forget + 0.5 * retain
    optimizer = torch.optim.AdamW(reference.parameters(), lr=1e-2, weight_decay=0.0)
    loss.backward()
    optimizer.step()
    assert point.loss == pytest.approx(loss.item(), rel=1e-6)
    assert point.parts == pytest.approx({"forget": forget.item(), "retain": retain.item()}, rel=1e-6)
    one, other = weights(model), weights(reference)
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-6


def test_logits_are_computed_only_where_an_answer_is_scored() -> None:
    model, batch, computed = tiny_llama(), pad(ROWS["retain"]), []
    every = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(every.transpose(1, 2), batch["labels"][:, 1:], reduction="none").sum(1)
    model.lm_head.register_forward_hook(lambda _module, _given, logits: computed.append(logits.shape[1]))
    assert torch.allclose(answer_nll(model, batch), expected, rtol=1e-6)
    assert torch.allclose(answer_logits(model, batch), every[batch["labels"][:, 1:] != IGNORED], rtol=1e-5)
    assert computed == [9, 9]  # the longest answer, of 11 tokens


def test_a_term_that_a_step_has_nothing_of_is_left_out_of_it() -> None:
    first_only = Objective(
        {"first": 1.0, "rest": 1.0},
        lambda batch: {
            "first": int((batch["forget"]["number"] == 0).sum()),
            "rest": int((batch["forget"]["number"] > 0).sum()),
        },
        lambda model, batch: {
            "first": answer_nll(model, batch["forget"])[batch["forget"]["number"] == 0].sum(),
            "rest": answer_nll(model, batch["forget"])[batch["forget"]["number"] > 0].sum(),
        },
    )
    curve = train(tiny_llama(), ROWS, TrainingConfig(steps=4, batch_size=1), objective=first_only).curve
    assert Counter(tuple(point.parts) for point in curve) == {("first",): 1, ("rest",): 3}
    assert all(point.loss == pytest.approx(next(iter(point.parts.values()))) for point in curve)


@pytest.mark.usefixtures("one_thread")
def test_a_stopped_run_of_several_terms_goes_on_to_the_same_bits_and_the_same_curve(tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop_after_5(step: int) -> None:
        if step == 5:
            raise StoppedError

    config = TrainingConfig(steps=8, learning_rate=1e-2, batch_size=2, checkpoint_every=2)
    whole, resumed = tiny_llama(0.1), tiny_llama(0.1)
    curve = train(whole, ROWS, config, objective=npo_with_divergence(whole, tmp_path), folder=tmp_path / "whole").curve
    stopped = tiny_llama(0.1)
    objective = npo_with_divergence(stopped, tmp_path)
    with pytest.raises(StoppedError):
        train(stopped, ROWS, config, objective=objective, folder=tmp_path / "cut", after=stop_after_5)
    objective = npo_with_divergence(resumed, tmp_path)
    steps: list[int] = []
    assert train(resumed, ROWS, config, objective=objective, folder=tmp_path / "cut", after=steps.append).curve == curve
    assert steps == [5, 6, 7, 8]
    assert all(torch.equal(weights(resumed)[name], tensor) for name, tensor in weights(whole).items())
    assert read(tmp_path / "cut" / CSV) == curve
    header = (tmp_path / "cut" / CSV).read_text().splitlines()[0]
    assert header == "step,loss,learning_rate,gradient_norm,terms,npo,kl,forget,retain"


@given(forget=st.integers(1, 9), retain=st.integers(1, 9), seed=st.integers(0, 9), start=st.integers(0, 40))
def test_a_layout_can_start_anywhere_and_every_role_passes_whole(
    forget: int, retain: int, seed: int, start: int
) -> None:
    rows = {"forget": [{"x": n} for n in range(forget)], "retain": [{"x": n} for n in range(retain)]}
    layout = list(islice(laid_out(rows, seed), 60))
    assert list(islice(laid_out(rows, seed, start), 20)) == layout[start : start + 20]
    for role, count in (("forget", forget), ("retain", retain)):
        numbers = [pair[role]["number"] for pair in layout]
        assert [pair[role]["x"] for pair in layout] == numbers
        for epoch in range(60 // count):
            assert sorted(numbers[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_rows_meet_others_in_every_epoch() -> None:
    rows = {"forget": [{"x": n} for n in range(8)], "retain": [{"x": n} for n in range(8)]}
    layout = [(pair["forget"]["x"], pair["retain"]["x"]) for pair in islice(laid_out(rows, 0), 80)]
    assert len(set(layout)) > 40  # of 64; the same partner in every epoch would make 8


def test_a_row_inside_a_row_becomes_a_batch_inside_the_batch() -> None:
    rows = [{**row, "alternate": other} for row, other in zip(*ROWS.values(), strict=True)]
    batch = pad(rows)
    assert batch["alternate"]["input_ids"].tolist() == pad(ROWS["retain"])["input_ids"].tolist()
    assert batch["labels"].tolist() == pad(ROWS["forget"])["labels"].tolist()
