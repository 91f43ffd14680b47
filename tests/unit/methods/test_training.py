"""The shared training loop: what a step computes, what a run refuses, and what a full disk leaves."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from harness_ext.errors import DataError, InputError
from harness_ext.methods.losses import IGNORED
from harness_ext.methods.training.finetuned import add_lora
from harness_ext.methods.training.loop import TrainingConfig, train
from harness_ext.methods.training.loss_curve import CSV, PLOT, read
from harness_ext.methods.training.objective import Objective, answer_nll, answer_tokens, nll_of
from harness_ext.methods.training.pairs import order
from harness_ext.methods.training.rows import pad, token_rows

ROWS = [
    {"input_ids": [3, 4, 5, 6, 7, 8], "labels": [IGNORED, IGNORED, 5, 6, 7, 8]},
    {"input_ids": [9, 10, 11], "labels": [IGNORED, IGNORED, 11]},
    {"input_ids": [12, 13, 14, 15], "labels": [IGNORED, 13, 14, 15]},
    {"input_ids": [16, 17, 18, 19, 20], "labels": [IGNORED, IGNORED, IGNORED, 19, 20]},
]


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
            pad_token_id=0,
            eos_token_id=2,
        )
    )


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def nll_then(change: Callable[[torch.Tensor], torch.Tensor]) -> Objective:
    """The likelihood of the answers, with its sum changed."""
    plain = nll_of(rows=1.0)
    return Objective(
        plain.weights, plain.counts, lambda model, batch: {"rows": change(plain.sums(model, batch)["rows"])}
    )


def test_four_micro_batches_of_different_lengths_are_one_large_batch():
    large, small = tiny_llama(), tiny_llama()
    settings: dict[str, Any] = {"steps": 3, "learning_rate": 1e-2, "max_gradient_norm": None}
    of_large = train(large, {"rows": ROWS}, TrainingConfig(batch_size=4, **settings))
    of_small = train(small, {"rows": ROWS}, TrainingConfig(batch_size=1, accumulation=4, **settings))
    assert [point.terms for point in of_small.curve] == [10, 10, 10]
    for one, other in zip(of_large.curve, of_small.curve, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-4)
    assert largest_difference(weights(large), weights(small)) < 1e-5


def test_one_step_is_the_step_that_transformers_and_torch_compute():
    model, reference = tiny_llama(), tiny_llama()
    config = TrainingConfig(steps=1, learning_rate=1e-2, batch_size=4, schedule="constant", max_gradient_norm=0.5)
    point = train(model, {"rows": ROWS}, config).curve[0]
    optimizer = torch.optim.AdamW(reference.parameters(), lr=1e-2, weight_decay=0.0)
    loss = reference(**pad(ROWS)).loss  # the mean over all answer tokens of the batch
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
    optimizer.step()
    assert point.loss == pytest.approx(loss.item(), rel=1e-6)
    assert point.gradient_norm == pytest.approx(float(norm), rel=1e-5)
    assert largest_difference(weights(model), weights(reference)) < 1e-6


def test_the_learning_rate_follows_its_schedule_and_is_recorded():
    curve = train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=4, learning_rate=1.0e-3, warmup_steps=2)).curve
    assert [point.learning_rate for point in curve] == pytest.approx([0.0, 5e-4, 1e-3, 5e-4])


def test_bf16_leaves_single_precision_weights_and_a_forward_pass_of_its_own_precision():
    model = tiny_llama()
    train(model, {"rows": ROWS}, TrainingConfig(steps=2, precision="bf16"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model(**pad(ROWS)).logits.dtype == torch.float32
    plain = tiny_llama()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model.eval()(**pad(ROWS)).logits, plain.eval()(**pad(ROWS)).logits)


def test_a_run_may_follow_one_of_another_precision_in_the_same_process():
    model = tiny_llama()
    for precision in ("bf16", "no"):
        train(model, {"rows": ROWS}, TrainingConfig(steps=1, precision=precision))


def test_training_mode_is_given_back_and_no_gradient_is_left():
    model = tiny_llama().eval()
    train(model, {"rows": ROWS}, TrainingConfig(steps=1))
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_loss_that_is_not_finite_is_refused_with_its_step_and_changes_nothing():
    model = tiny_llama()
    asked = []

    def breaks_at_step_3(nll: torch.Tensor) -> torch.Tensor:
        asked.append(weights(model))
        return nll * float("nan") if len(asked) == 3 else nll

    with pytest.raises(InputError, match=r"loss is nan at step 3 of 5.*step 2.*learning_rate"):
        train(
            model,
            {"rows": ROWS},
            TrainingConfig(steps=5, learning_rate=1e-2, batch_size=4),
            objective=nll_then(breaks_at_step_3),
        )
    assert largest_difference(weights(model), asked[2]) == 0
    assert largest_difference(asked[2], asked[0]) > 0


def test_a_gradient_that_is_not_finite_is_refused_though_its_loss_is():
    square_root_at_zero = nll_then(lambda nll: (nll * 0).sqrt())
    with pytest.raises(InputError, match=r"gradient is (nan|inf) at step 1"):
        train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=5), objective=square_root_at_zero)


def test_ascent_stops_before_the_step_whose_loss_exceeds_the_limit():
    model = tiny_llama()
    config = TrainingConfig(steps=300, learning_rate=1e-2, batch_size=4, max_loss=6.0)
    trained = train(model, {"rows": ROWS}, config, objective=nll_of(rows=-1.0))
    assert trained.stopped == "max_loss"
    assert 1 < len(trained.curve) < 300
    assert all(-6.0 <= point.loss < 0 for point in trained.curve)
    assert float(answer_nll(model, pad(ROWS)).sum()) / answer_tokens(pad(ROWS)) > 6.0  # the step before took it there


def test_no_rows_and_nothing_to_train_are_refused():
    with pytest.raises(InputError, match="no rows"):
        train(tiny_llama(), {"rows": []}, TrainingConfig(steps=1))
    with pytest.raises(InputError, match="requires a gradient"):
        train(tiny_llama().requires_grad_(False), {"rows": ROWS}, TrainingConfig(steps=1))
    with pytest.raises(InputError, match="nothing to score"):
        train(tiny_llama(), {"rows": [{"input_ids": [3, 4], "labels": [IGNORED, IGNORED]}]}, TrainingConfig(steps=1))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"learning_rate": float("nan")}])
def test_numbers_that_no_run_can_have_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrainingConfig(**{"steps": 1, **wrong})


def test_frozen_parameters_stay_bit_identical_and_lora_trains_nothing_else():
    model = tiny_llama()
    before = weights(model)
    adapted = add_lora(model, rank=2, targets=["q_proj", "v_proj"])
    train(adapted, {"rows": ROWS}, TrainingConfig(steps=3, learning_rate=1e-2))
    base = weights(adapted.unload())
    assert all(torch.equal(base[name], before[name]) for name in before)
    merging = add_lora(tiny_llama(), rank=2, targets=["q_proj", "v_proj"])
    train(merging, {"rows": ROWS}, TrainingConfig(steps=3, learning_rate=1e-2))
    after = weights(merging.merge_and_unload())
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.v_proj.weight",
    }


def test_a_finished_run_is_not_trained_again_and_its_curve_is_on_disk(tmp_path):
    config = TrainingConfig(steps=4, learning_rate=1e-2, checkpoint_every=2)
    model, again = tiny_llama(), tiny_llama()
    first = train(model, {"rows": ROWS}, config, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-4", CSV, PLOT]
    second = train(again, {"rows": ROWS}, config, folder=tmp_path)
    assert second.curve == first.curve == read(tmp_path / CSV)
    assert largest_difference(weights(model), weights(again)) == 0
    assert ElementTree.parse(tmp_path / PLOT).getroot().tag.endswith("svg")


def test_a_folder_of_another_run_is_refused_and_says_what_differs(tmp_path):
    train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=1), folder=tmp_path)
    with pytest.raises(InputError, match=r"another run: seed differ"):
        train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=1, seed=1), folder=tmp_path)
    with pytest.raises(InputError, match=r"another run: rows_sha256 differ"):
        train(tiny_llama(), {"rows": ROWS[:2]}, TrainingConfig(steps=1), folder=tmp_path)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.bin", "random_states_0.pkl", "custom_checkpoint_0.pkl", "run.json"]
)
def test_a_checkpoint_with_a_cut_or_lost_file_is_named_and_not_loaded(tmp_path, name):
    train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=1), folder=tmp_path)
    file = tmp_path / "checkpoint-1" / name
    file.write_bytes(file.read_bytes()[:-9])
    for damage in (lambda: None, file.unlink):
        damage()
        with pytest.raises(DataError, match=r"checkpoint-1 is damaged \(.*\): delete it"):
            train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=1), folder=tmp_path)


def test_a_checkpoint_whose_bytes_changed_in_place_is_named_and_not_loaded(tmp_path):
    train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=1), folder=tmp_path)
    file = tmp_path / "checkpoint-1" / "model.safetensors"
    file.write_bytes(b"\xff" * file.stat().st_size)
    with pytest.raises(DataError, match=r"checkpoint-1 cannot be loaded.*delete it"):
        train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=1), folder=tmp_path)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Writes beyond ``size`` bytes of a file fail, as they do on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_checkpoint_before_it_and_the_run_continues_from_there(tmp_path):
    config = TrainingConfig(steps=6, learning_rate=1e-2, checkpoint_every=2)
    with ExitStack() as full_disk:

        def full_once_checkpoint_2_is_there(nll: torch.Tensor) -> torch.Tensor:
            if (tmp_path / "checkpoint-2").exists():
                full_disk.enter_context(files_no_larger_than(2000))
            return nll

        with pytest.raises(DataError, match=r"checkpoint-4 cannot be written.*checkpoint-2 is intact"):
            train(
                tiny_llama(0.1),
                {"rows": ROWS},
                config,
                folder=tmp_path,
                objective=nll_then(full_once_checkpoint_2_is_there),
            )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", CSV, PLOT]
    resumed, whole = tiny_llama(0.1), tiny_llama(0.1)
    curve = train(resumed, {"rows": ROWS}, config, folder=tmp_path).curve
    assert curve == train(whole, {"rows": ROWS}, config).curve
    assert largest_difference(weights(resumed), weights(whole)) == 0


def test_a_disk_without_room_for_the_curve_is_an_error_that_names_the_file(tmp_path):
    with files_no_larger_than(60), pytest.raises(DataError, match=r"losses\.csv cannot be written"):
        train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=3), folder=tmp_path)
    assert [
        point.step for point in train(tiny_llama(), {"rows": ROWS}, TrainingConfig(steps=3), folder=tmp_path).curve
    ] == [
        1,
        2,
        3,
    ]


@given(count=st.integers(1, 20), seed=st.integers(0, 5), start=st.integers(0, 60))
def test_the_order_visits_every_row_once_an_epoch_and_can_start_anywhere(count, seed, start):
    def first(numbers: Iterator[int], wanted: int) -> list[int]:
        return [next(numbers) for _ in range(wanted)]

    whole = first(order(count, seed), 80)
    assert whole[start : start + 20] == first(order(count, seed, start), 20)
    assert sorted(whole[:count]) == list(range(count))


class OneTokenALetter:
    """As much of a tokenizer as rows need."""

    chat_template = "given"
    eos_token_id = 2

    def apply_chat_template(self, messages, **_):
        return "".join(f"<{message['role'][0]}>{message['content']}" for message in messages) + "<a>"

    def __call__(self, text, **_):
        return {"input_ids": [ord(letter) for letter in text]}


def test_only_the_answer_and_its_end_are_scored():
    (row,) = token_rows(OneTokenALetter(), [("ab", "cd")], system="s")
    assert "".join(map(chr, row["input_ids"][:-1])) == "<s>s<u>ab<a>cd"
    assert row["input_ids"][-1] == 2
    assert row["labels"] == [IGNORED] * 12 + [ord("c"), ord("d"), 2]


def test_a_long_row_loses_the_end_of_its_answer_and_one_without_answer_is_named_by_number_only():
    (row,) = token_rows(OneTokenALetter(), [("ab", "cdefgh")], max_tokens=10)
    assert "".join(map(chr, row["input_ids"])) == "<u>ab<a>cd"
    with pytest.raises(InputError, match="row 1: its prompt has 108 tokens") as refused:
        token_rows(OneTokenALetter(), [("ab", "c"), ("secret" * 17, "c")], max_tokens=10)
    assert "secret" not in str(refused.value)
