"""Linear, SLERP, DELLA, weights by name and LoRA extraction, against scipy, numpy, peft and the authors' formula."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import geometric_slerp

from harness_ext.errors import InputError
from harness_ext.methods import dare, della, linear, lora_extraction, slerp, task_arithmetic, ties
from harness_ext.methods.settings import from_text

Save = Callable[..., Path]
LoadAll = Callable[[Path], dict[str, torch.Tensor]]
seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(2, 6), st.floats(0, 1))
def test_slerp_of_unit_vectors_is_scipys(seed: int, size: int, t: float) -> None:
    draw = np.random.default_rng(seed)
    one, other = (x / np.linalg.norm(x) for x in draw.normal(size=(2, size)))
    if abs(one @ other) < slerp.STRAIGHT:
        np.testing.assert_allclose(slerp.slerp(one, other, t), geometric_slerp(one, other, t), atol=1e-6)


@given(seeds, st.floats(0, 1))
def test_slerp_keeps_the_angle_s_share_whatever_the_lengths(seed: int, t: float) -> None:
    draw = np.random.default_rng(seed)
    one, other = draw.normal(size=(2, 3, 4)) * draw.uniform(0.1, 10, size=(2, 1, 1))
    units = [x.ravel() / np.linalg.norm(x) for x in (one, other)]
    angle = np.arccos(units[0] @ units[1])
    a, b = np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    np.testing.assert_allclose(slerp.slerp(one, other, t), a * one + b * other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("other", [[2.0, 0.0], [-2.0, 1e-9], [1.0, 0.01]])
def test_tensors_on_a_line_are_interpolated_on_it(other: list[float]) -> None:
    one = np.array([1.0, 0.0])
    np.testing.assert_allclose(slerp.slerp(one, np.array(other), 0.25), 0.75 * one + 0.25 * np.array(other))


def test_a_tensor_of_zeros_has_no_direction() -> None:
    np.testing.assert_allclose(slerp.slerp(np.zeros(2), np.ones(2), 0.5), np.sin(np.pi / 4) * np.ones(2), rtol=1e-6)


def model(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    names = [f"model.layers.{n}.{part}.weight" for n in (0, 1, 10) for part in ("mlp", "attn")]
    return {name: torch.randn(5, 4, generator=generator).to(dtype) for name in ["norm.weight", *names]}


@pytest.fixture
def three(save: Save, tmp_path: Path) -> dict[str, Any]:
    paths = [str(save(tmp_path / str(seed), model(seed))) for seed in range(3)]
    return {"base": paths[0], "models": tuple(paths[1:]), "out": str(tmp_path / "out")}


def test_linear_is_the_weighted_mean_and_the_base_counts_only_if_listed(three: Any, load_all: LoadAll) -> None:
    found = load_all(linear.apply(linear.Config(**three, weights=(1.0, 3.0))))
    with_base = {"models": (three["base"], *three["models"]), "out": three["out"] + "-2"}
    other = load_all(linear.apply(linear.Config(**three | with_base, weights=(2.0, 1.0, 1.0))))
    zero, one, two = (model(seed) for seed in range(3))
    for name in zero:
        stacked = [tensor[name].numpy() for tensor in (zero, one, two)]
        np.testing.assert_allclose(found[name], np.average(stacked[1:], axis=0, weights=[1, 3]), atol=1e-6)
        np.testing.assert_allclose(other[name], np.average(stacked, axis=0, weights=[2, 1, 1]), atol=1e-6)


def test_the_ends_of_an_arc_are_the_two_models(three: Any, load_all: LoadAll) -> None:
    for t, end in ((0.0, 0), (1.0, 1)):
        settings = three | {"models": three["models"][:1], "out": f"{three['out']}-{end}"}
        found = load_all(slerp.apply(slerp.Config(**settings, weights=(t,))))
        for name, values in model(end).items():
            torch.testing.assert_close(found[name], values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda given: linear.Config(**given, weights=(1.0, -1.0)), r"\[1\.0, -1\.0\] add up to 0"),
        (
            lambda given: linear.Config(**given, weights=(1.0, 1.0), weights_by_name={"0": (0.0, 0.0)}),
            r"\[0\.0, 0\.0\] add up to 0",
        ),
        (lambda given: slerp.Config(**given, weights=(0.5, 0.5)), "there are 2 models, but an arc"),
        (lambda given: della.Config(**given, weights=(1.0, 1.0), drop=0.95, seed=0), r"drop 0\.95 with window 0\.14"),
        (lambda given: della.Config(**given, weights=(1.0, 1.0), drop=0.05, seed=0), r"drop 0\.05 with window 0\.14"),
        (
            lambda given: task_arithmetic.Config(**given, weights=(1.0, 1.0), weights_by_name={"0": (1.0,)}),
            "there are 2 models and 1 weights",
        ),
        (
            lambda given: ties.Config(
                **given,
                weights=(1.0, 1.0),
                weights_by_name={"0": (1.0, 2.0)},
                trim_scope="global",
                compat="mergelm",
            ),
            "mergelm knows neither weights",
        ),
    ],
)
def test_settings_that_make_no_merge_are_refused(three: Any, make: Callable[[Any], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(three)


BY_NAME = {"1-9": (0.0, 1.0), "*.attn.*": (2.0, 0.0), "norm.*": (0.0, 0.0)}
EXPECTED = {
    "norm.weight": (0.0, 0.0),
    "model.layers.0.mlp.weight": (1.0, 1.0),
    "model.layers.0.attn.weight": (2.0, 0.0),
    "model.layers.1.mlp.weight": (0.0, 1.0),
    "model.layers.1.attn.weight": (0.0, 1.0),
    "model.layers.10.mlp.weight": (1.0, 1.0),
    "model.layers.10.attn.weight": (2.0, 0.0),
}


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (task_arithmetic, {}),
        (ties, {"density": 0.5}),
        (dare, {"drop": 0.5, "seed": 1}),
        (della, {"drop": 0.5, "seed": 1}),
    ],
)
def test_weights_by_name_merge_a_tensor_as_its_own_weights_would(
    method: Any, options: dict[str, Any], three: Any, load_all: LoadAll
) -> None:
    found = load_all(method.apply(method.Config(**three | options, weights=(1.0, 1.0), weights_by_name=BY_NAME)))
    for number, weights in enumerate(sorted(set(EXPECTED.values()))):
        out = f"{three['out']}-{number}"
        alone = load_all(method.apply(method.Config(**three | options | {"out": out}, weights=weights)))
        for name in (name for name in EXPECTED if EXPECTED[name] == weights):
            assert torch.equal(found[name], alone[name]), name


def test_weights_by_name_are_written_in_a_line_and_recorded(three: Any) -> None:
    given_ = from_text(task_arithmetic.Config, ["weights_by_name={1-9: [0, 1], 10: [1, 0.5]}"])
    out = task_arithmetic.apply(task_arithmetic.Config(**three | given_, weights=(1.0, 1.0)))
    config = json.loads((out / "method.json").read_text())["config"]
    assert config["weights_by_name"] == {"1-9": [0.0, 1.0], "10": [1.0, 0.5]}


def test_weights_for_a_name_that_no_tensor_has_are_refused(three: Any) -> None:
    with pytest.raises(InputError, match=r"weights_by_name has 11-12, which fits no tensor of .*0"):
        task_arithmetic.apply(
            task_arithmetic.Config(**three, weights=(1.0, 1.0), weights_by_name={"11-12": (1.0, 1.0)})
        )
    assert not Path(three["out"]).exists()


@given(seeds, st.integers(1, 5), st.integers(2, 9), st.floats(0.1, 0.8), st.floats(0, 0.2))
def test_entries_of_a_row_are_kept_by_rank_as_in_the_authors_code(
    seed: int, rows: int, columns: int, drop: float, window: float
) -> None:
    draw = np.random.default_rng(seed)
    tau = draw.normal(size=(rows, columns))
    found = della.keep_probabilities(tau, drop, window).numpy()
    for row, probabilities in zip(tau, found, strict=True):
        # density - ε + 2ε · (rank - 1) / (n - 1), with ranks from 1 at the smallest magnitude and ε half the window
        ranks = np.array([1 + sum(abs(other) < abs(value) for other in row) for value in row])
        expected = (1 - drop) - window / 2 + window * (ranks - 1) / (columns - 1)
        np.testing.assert_allclose(probabilities, expected, atol=1e-12)


def test_what_is_kept_has_the_expected_value_of_the_whole() -> None:
    tau = torch.tensor([[0.1, -2.0, 0.5]]).repeat(200_000, 1)
    draws = torch.rand(tau.shape, generator=torch.Generator().manual_seed(0))
    kept = della.magprune(tau, draws, drop=0.7, window=0.4)
    np.testing.assert_allclose((kept != 0).double().mean(0), [0.1, 0.5, 0.3], atol=0.005)
    np.testing.assert_allclose(kept.double().mean(0), [0.1, -2.0, 0.5], rtol=0.02)


SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


def store(kind: str, folder: Path, change: float, only: str = "") -> Any:
    torch.manual_seed(0)
    if kind == "llama":
        made: Any = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    else:
        made = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.ndim == 2 and any(part in name for part in ("proj", "c_", only or "proj")):
                parameter.add_(change * torch.randn(parameter.shape))
    made.save_pretrained(folder)
    return made.eval()


def extraction(folder: Path, **settings: Any) -> lora_extraction.Config:
    given_ = {"base": str(folder / "base"), "model": str(folder / "tuned"), "out": str(folder / "adapter")}
    return lora_extraction.Config(**given_ | settings)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_an_adapter_of_full_rank_makes_the_base_compute_what_the_model_does(kind: str, tmp_path: Path) -> None:
    base, tuned = store(kind, tmp_path / "base", 0.0), store(kind, tmp_path / "tuned", 0.1)
    out = lora_extraction.apply(extraction(tmp_path, rank=24))  # above the smaller side of every linear
    tokens = torch.arange(30)[None]
    with torch.no_grad():
        before, expected = base(tokens).logits, tuned(tokens).logits
        found = peft.PeftModel.from_pretrained(base, out).eval()(tokens).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before, expected, atol=1e-2)
    assert json.loads((out / "method.json").read_text())["notes"]["error"] == pytest.approx(0, abs=1e-5)


def test_the_error_of_a_rank_is_that_of_numpys_singular_values(tmp_path: Path) -> None:
    base, tuned = (
        store("llama", tmp_path / name, change).state_dict() for name, change in (("base", 0), ("tuned", 0.1))
    )
    out = lora_extraction.apply(extraction(tmp_path, rank=3))
    record = json.loads((out / "method.json").read_text())
    missed = whole = 0.0
    for name, values in tuned.items():
        delta = (values - base[name]).double().numpy()
        if not delta.any():
            continue
        squares = np.linalg.svd(delta, compute_uv=False) ** 2
        missed, whole = missed + squares[3:].sum(), whole + squares.sum()
        fact = record["tensors"][f"base_model.model.{name.removesuffix('.weight')}.lora_B.weight"]
        assert fact["error"] == pytest.approx(np.sqrt(squares[3:].sum() / squares.sum()), rel=1e-4)
    assert record["notes"]["error"] == pytest.approx(np.sqrt(missed / whole), rel=1e-4)
    assert record["notes"]["left_out"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base", "tuned"]


def test_differences_outside_of_linears_are_refused_or_counted(tmp_path: Path) -> None:
    store("llama", tmp_path / "base", 0.0)
    store("llama", tmp_path / "tuned", 0.1, only="embed_tokens")
    with pytest.raises(InputError, match=r"embed_tokens\.weight of .*tuned differs from .*1 such tensors, \d+\.\d% of"):
        lora_extraction.apply(extraction(tmp_path, rank=24))
    out = lora_extraction.apply(extraction(tmp_path, rank=24, others="leave"))
    notes = json.loads((out / "method.json").read_text())["notes"]
    assert notes["left_out"] == ["model.embed_tokens.weight"] and notes["error"] > 0.1


def test_equal_models_hold_nothing_to_extract(tmp_path: Path) -> None:
    store("llama", tmp_path / "base", 0.0)
    with pytest.raises(InputError, match="are equal: there is nothing to extract"):
        lora_extraction.apply(extraction(tmp_path, rank=2, model=str(tmp_path / "base")))
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
