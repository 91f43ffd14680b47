"""SafePatching: which entries are patched, from tensors and from checkpoints."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from warm_python import python

from harness_ext.errors import InputError
from harness_ext.methods import safepatching
from harness_ext.methods.safepatching.tensor import filled_up, patch_tensor, select, top_share

StoreTrio = Callable[..., Path]
LoadAll = Callable[[Path], dict[str, torch.Tensor]]
shares = st.floats(0, 1)
modes = st.sampled_from(["difference", "intersection", "all", "top"])


def tensors(seed: int, keeps: bool = True) -> list[Any]:
    """The first seven arguments of `patch_tensor`, with ties among the scores."""
    draw = torch.Generator().manual_seed(seed)
    values = [torch.randn(4, 7, generator=draw) for _ in range(3)]
    scores = [torch.randint(0, 9, (4, 7), generator=draw).float() for _ in range(2)]
    masks = [torch.rand(4, 7, generator=draw) < 0.5 for _ in range(2)]
    return [*values, *scores, *(masks if keeps else [None, None])]


@given(st.integers(0, 2**32), shares, shares, modes)
def test_zero_weights_change_no_bit(seed: int, a: float, b: float, mode: Any) -> None:
    given = tensors(seed)
    patched, _ = patch_tensor(*given, a=a, b=b, alpha=0.0, beta=0.0, mode=mode)
    assert torch.equal(patched, given[0])


@given(st.integers(0, 2**32), st.sampled_from(["difference", "intersection", "top"]))
def test_empty_shares_change_no_bit(seed: int, mode: Any) -> None:
    given = tensors(seed)
    patched, counts = patch_tensor(*given, a=0.0, b=0.0, alpha=1.0, beta=1.0, mode=mode)
    assert torch.equal(patched, given[0])
    assert not any(counts.values())


@given(st.integers(0, 2**32))
def test_two_full_shares_have_no_difference(seed: int) -> None:
    given = tensors(seed)
    patched, counts = patch_tensor(*given, a=1.0, b=1.0, alpha=1.0, beta=1.0)
    assert torch.equal(patched, given[0])
    assert counts["intersection"] == given[0].numel()


@given(st.integers(0, 2**32), shares, shares)
def test_difference_sets_are_disjoint_and_patches_stay_inside(seed: int, a: float, b: float) -> None:
    given = tensors(seed)
    d_se, d_osm = select(top_share(given[3], a), top_share(given[4], b), "difference")
    assert not (d_se & d_osm).any()
    patched, counts = patch_tensor(*given, a=a, b=b, alpha=1.0, beta=1.0)
    changed = patched != given[0]
    assert not (changed & ~(d_se | d_osm)).any()
    assert counts["both"] == 0
    assert counts["patched_se"] == int((d_se & given[5]).sum())


@given(st.integers(0, 2**32), shares)
def test_the_top_share_is_truncated_and_prefers_large_then_early(seed: int, share: float) -> None:
    scores = tensors(seed)[3]
    mask = top_share(scores, share).flatten().tolist()
    ranked = sorted(range(28), key=lambda entry: (-scores.flatten()[entry].item(), entry))
    assert [entry for entry in range(28) if mask[entry]] == sorted(ranked[: int(share * 28)])


@given(st.integers(0, 2**32), shares, shares)
def test_filling_up_keeps_all_candidates_and_reaches_the_share(seed: int, a: float, p: float) -> None:
    candidates = top_share(tensors(seed)[3], a)
    mask = filled_up(candidates, torch.rand(4, 7, generator=torch.Generator().manual_seed(seed)), p)
    assert (mask | ~candidates).all()
    assert int(mask.sum()) == max(int(candidates.sum()), int(p * 28))


def test_shapes_shares_and_modes_that_make_no_sense_are_refused() -> None:
    given = tensors(0)
    settings: dict[str, Any] = {"a": 0.5, "b": 0.5, "alpha": 1.0, "beta": 1.0}
    with pytest.raises(InputError, match="mode is 'some'"):
        patch_tensor(*given, **settings, mode="some")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"share of 1\.5"):
        patch_tensor(*given, **settings | {"b": 1.5})
    given[1] = given[1][:-1]
    with pytest.raises(InputError, match="delta_se has the shape"):
        patch_tensor(*given, **settings)


@pytest.fixture(scope="module")
def trio(store_trio: StoreTrio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_trio(tmp_path_factory.mktemp("trio"), layers=2)


def config(folder: Path, out: Path, **changes: Any) -> safepatching.Config:
    settings: dict[str, Any] = {
        "model": str(folder / "aligned"),
        "harmful_data": str(folder / "safe.jsonl"),
        "out": str(out),
        "lr": 1e-3,
        "steps": 10,
        "batch_size": 4,
    }
    return safepatching.Config(**settings | changes)


def likelihood(folder: Path, data: Path) -> float:
    """Mean negative log-likelihood of the answers."""
    from harness_ext.methods.training.objective import answer_nll, answer_tokens
    from harness_ext.methods.training.rows import load_tokenizer, pad, read_pairs, token_rows

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = token_rows(load_tokenizer(folder), read_pairs(data), source=data, max_tokens=1024)
    with torch.no_grad():
        return float(answer_nll(model, pad(rows)).sum()) / answer_tokens(pad(rows))


def test_each_patch_alone_moves_the_likelihood_of_the_answers_its_own_way(trio: Path, tmp_path: Path) -> None:
    before = likelihood(trio / "aligned", trio / "safe.jsonl")
    everywhere = {"mode": "all", "p": 1.0}
    for name, weights in (("safety", {"alpha": 1.0, "beta": 0.0}), ("over", {"alpha": 0.0, "beta": 1.0})):
        safepatching.apply(config(trio, tmp_path / name, **everywhere, **weights))
    after = {name: likelihood(tmp_path / name, trio / "safe.jsonl") for name in ("safety", "over")}
    assert after["over"] < before - 0.1 < before + 0.1 < after["safety"]
    notes = json.loads((tmp_path / "safety/method.json").read_text())["notes"]
    assert notes["ascent"]["nll_last"] > notes["ascent"]["nll_first"]
    assert notes["descent"]["nll_last"] < notes["descent"]["nll_first"]


@pytest.mark.parametrize("changes", [{}, {"order": "retain_fill"}, {"score_weights": "base"}, {"mode": "top"}])
def test_the_record_counts_what_changed_and_all_else_is_bit_identical(
    trio: Path, tmp_path: Path, load_all: LoadAll, changes: dict[str, Any]
) -> None:
    safepatching.apply(config(trio, tmp_path / "out", a=0.2, b=0.1, **changes))
    found, before = load_all(tmp_path / "out"), load_all(trio / "aligned")
    record = json.loads((tmp_path / "out/method.json").read_text())["tensors"]
    for name, values in found.items():
        changed = int((values != before[name]).sum())
        if not name.endswith("proj.weight"):
            assert not changed, name
            continue
        facts = record[name]
        assert facts["changed"] == changed <= facts["patched_se"] + facts["patched_osm"] - facts["both"]
        assert changed > 0.9 * (facts["patched_se"] + facts["patched_osm"] - facts["both"])
        if changes.get("order") == "retain_fill":
            assert facts["patched_se"] == max(facts["D_se"], int(0.3 * values.numel()))
        if changes.get("score_weights") == "base":
            assert facts["D_osm"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


KILLED = """
import os, signal, sys
from harness_ext.methods import safepatching
from harness_ext.methods.training import objective
answer_nll, calls = objective.answer_nll, []
def nll_or_die(model, batch):
    calls.append(1)
    if len(calls) > int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return answer_nll(model, batch)
objective.answer_nll = nll_or_die
safepatching.apply(safepatching.Config(**{**eval(sys.argv[3]), "out": sys.argv[1]}))
"""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("after", [4, 14])
def test_a_killed_run_leaves_nothing_that_loads_and_goes_on_to_the_same_bits(
    trio: Path, tmp_path: Path, load_all: LoadAll, after: int
) -> None:
    settings = config(trio, tmp_path / "whole")
    safepatching.apply(settings)
    out = tmp_path / "out"
    killed = python("-c", KILLED, out, after, repr(dataclasses.asdict(settings)))
    assert killed.returncode == -9, killed.stderr[-2000:]
    assert not out.exists()
    assert not list((tmp_path / "out.work").rglob("config.json"))
    safepatching.apply(dataclasses.replace(settings, out=str(out)))
    one, other = load_all(out), load_all(tmp_path / "whole")
    assert not [name for name, values in one.items() if not torch.equal(values, other[name])]
    assert not (tmp_path / "out.work").exists()


def test_a_training_stops_at_its_limit_and_one_without_a_step_is_refused(trio: Path, tmp_path: Path) -> None:
    first = likelihood(trio / "aligned", trio / "safe.jsonl")
    safepatching.apply(config(trio, tmp_path / "out", lr=3e-2, max_loss=first + 0.5, steps=30))
    notes = json.loads((tmp_path / "out/method.json").read_text())["notes"]
    assert (notes["ascent"]["stopped"], notes["descent"]["stopped"]) == ("max_loss", "steps")
    assert notes["ascent"]["nll_last"] <= first + 0.5
    with pytest.raises(InputError, match="gradient ascent made no step"):
        safepatching.apply(config(trio, tmp_path / "none", max_loss=0.01))
    assert not list(tmp_path.glob("none*"))


def test_a_loss_that_is_not_finite_is_refused(trio: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"loss is (nan|inf|-inf)|gradient|NaN"):
        safepatching.apply(config(trio, tmp_path / "out", lr=1e30, max_loss=1e30))
    assert not (tmp_path / "out").exists()


def test_nan_in_the_model_and_bad_data_are_refused_before_anything_is_written(trio: Path, tmp_path: Path) -> None:
    broken = tmp_path / "aligned"
    shutil.copytree(trio / "aligned", broken)
    name = "model.layers.0.mlp.up_proj.weight"
    stored = load_file(broken / "model.safetensors")
    stored[name][0, 0] = float("nan")
    save_file(stored, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"{name} of .* holds NaN or Inf"):
        safepatching.apply(config(trio, tmp_path / "out", model=str(broken)))
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match=r"empty\.jsonl holds no record"):
        safepatching.apply(config(trio, tmp_path / "out", harmful_data=str(tmp_path / "empty.jsonl")))
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": 1.1}, "a is 1.1"),
        ({"p": float("nan")}, "p is nan"),
        ({"beta": float("inf")}, "beta is inf"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"max_loss": float("inf")}, "max_loss is inf"),
        ({"steps": 0}, "steps is 0"),
        ({"order": "some"}, "order is 'some'"),
        ({"score_weights": "some"}, "score_weights is 'some'"),
        ({"mode": "some"}, "mode is 'some'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(Path("models"), Path("out"), **changes)


def test_every_default_says_that_it_is_ours() -> None:
    (tree,) = ast.parse(inspect.getsource(safepatching.Config)).body
    assert isinstance(tree, ast.ClassDef)
    about = {
        field.target.id: ast.literal_eval(text.value)
        for field, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)
    }
    for field in dataclasses.fields(safepatching.Config):
        required = field.default is dataclasses.MISSING
        assert required or "ours" in about[field.name], field.name
