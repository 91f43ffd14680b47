"""Safe LoRA: selection and projection of updates, in adapters and in models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from harness_ext.errors import InputError
from harness_ext.methods import safe_lora

peft = pytest.importorskip("peft")

StoreTrio = Callable[..., Path]
LoadAll = Callable[[Path], dict[str, torch.Tensor]]
cosines = st.dictionaries(st.text(min_size=1), st.sampled_from([-0.2, 0.1, 0.10001, 0.5, 1.0]), min_size=1)


@given(cosines, st.integers(1, 8))
def test_a_number_of_modules_takes_the_lowest_and_all_that_tie_with_the_last(
    given: dict[str, float], number: int
) -> None:
    chosen = safe_lora.select(given, mode="number", num_layers=number)
    ranks = scipy.stats.rankdata(list(given.values()), method="min")
    assert chosen == [name for name, rank in zip(given, ranks, strict=True) if rank <= number]


@pytest.mark.parametrize(("threshold", "chosen"), [(0.19999, []), (0.2, ["low"]), (0.5, ["low", "middle", "tied"])])
def test_the_threshold_itself_is_projected_and_what_is_above_it_is_not(threshold: float, chosen: list[str]) -> None:
    given = {"low": 0.2, "middle": 0.5, "high": 0.50001, "tied": 0.5}
    assert safe_lora.select(given, threshold=threshold) == chosen


@given(st.integers(0, 2**32), st.integers(1, 5), st.floats(0.1, 10))
def test_the_projection_is_that_of_the_formula_and_its_cosine_ignores_scale(seed: int, rank: int, scale: float) -> None:
    draw = np.random.default_rng(seed)
    v, b, a = draw.normal(size=(6, 4)), draw.normal(size=(6, rank)), draw.normal(size=(rank, 4))
    p = v @ v.T / np.sqrt((v**2).sum())
    tensors = [torch.tensor(x) for x in (v, b, a)]
    np.testing.assert_allclose(safe_lora.projection(tensors[0]), p, atol=1e-12)
    expected = (p @ b @ a).ravel() @ (b @ a).ravel() / np.linalg.norm(p @ b @ a) / np.linalg.norm(b @ a)
    assert safe_lora.lora_cosine(*tensors) == pytest.approx(expected, abs=1.1e-5)
    assert safe_lora.lora_cosine(scale * tensors[0], *tensors[1:]) == pytest.approx(expected, abs=1.1e-5)
    assert safe_lora.delta_cosine(tensors[0], tensors[1] @ tensors[2]) == pytest.approx(expected, abs=1.1e-5)


def test_what_has_no_direction_is_refused() -> None:
    with pytest.raises(InputError, match="no direction"):
        safe_lora.projection(torch.zeros(2, 2))
    with pytest.raises(InputError, match="only linear layers"):
        safe_lora.projection(torch.ones(2))


def test_an_update_of_another_shape_than_the_direction_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(2, 2\), the update \(2, 3\)"):
        safe_lora.delta_cosine(torch.eye(2), torch.ones(2, 3))


@pytest.fixture(scope="module")
def trio(store_trio: StoreTrio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = store_trio(tmp_path_factory.mktemp("trio"), layers=2)
    torch.manual_seed(1)
    lora = peft.LoraConfig(
        r=3, lora_alpha=5, target_modules=["q_proj", "v_proj", "lm_head"], init_lora_weights=False, use_rslora=True
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "aligned")
    peft.get_peft_model(model, lora).save_pretrained(folder / "adapter")
    return folder


def config(folder: Path, out: Path, **changes: Any) -> safe_lora.Config:
    settings: dict[str, Any] = {
        "base": str(folder / "unaligned"),
        "aligned": str(folder / "aligned"),
        "adapter": str(folder / "adapter"),
        "out": str(out),
        "num_layers": 2,
    }
    return safe_lora.Config(**settings | changes)


def merged(trio: Path, adapter: Path) -> dict[str, torch.Tensor]:
    model = transformers.AutoModelForCausalLM.from_pretrained(trio / "aligned")
    state: dict[str, torch.Tensor] = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload().state_dict()
    return state


def projected(folder: Path) -> set[str]:
    record = json.loads((folder / "method.json").read_text())
    return {name for name, facts in record["tensors"].items() if facts.get("projected")}


def test_an_adapter_with_projected_factors_is_the_model_with_projected_deltas(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    safe_lora.apply(config(trio, tmp_path / "adapter"))
    safe_lora.apply(config(trio, tmp_path / "model", variant="full_delta"))
    one, other = merged(trio, tmp_path / "adapter"), load_all(tmp_path / "model")
    for name, values in other.items():
        torch.testing.assert_close(one[name], values, atol=1e-6, rtol=1e-5)
    names = {name.removeprefix("base_model.model.").replace("lora_B.", "") for name in projected(tmp_path / "adapter")}
    assert names == projected(tmp_path / "model")
    assert len(names) == 2
    before = merged(trio, trio / "adapter")
    assert {name for name in before if not torch.equal(before[name], one[name])} == names


def test_modules_are_paired_by_name_whatever_the_order_of_the_file(trio: Path, tmp_path: Path) -> None:
    shutil.copytree(trio / "adapter", tmp_path / "reversed")
    file = tmp_path / "reversed/adapter_model.safetensors"
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(dict(reversed(json.loads(content[8:end]).items())), separators=(",", ":")).encode()
    file.write_bytes(content[:8] + header.ljust(end - 8) + content[end:])
    for out, adapter in (("one", trio / "adapter"), ("other", tmp_path / "reversed")):
        safe_lora.apply(config(trio, tmp_path / out, adapter=str(adapter)))
    one, other = (load_file(tmp_path / out / "adapter_model.safetensors") for out in ("one", "other"))
    assert all(torch.equal(values, other[name]) for name, values in one.items())


def test_a_whole_model_is_projected_in_the_linears_of_its_layers_only(
    trio: Path, tmp_path: Path, load_all: LoadAll
) -> None:
    settings = config(
        trio, tmp_path / "out", adapter=str(trio / "finetuned"), variant="full_delta", select="threshold", threshold=1.0
    )
    safe_lora.apply(settings)
    found, aligned, base, tuned = (
        load_all(folder) for folder in (tmp_path / "out", trio / "aligned", trio / "unaligned", trio / "finetuned")
    )
    for name, values in found.items():
        if not name.endswith("proj.weight"):
            assert torch.equal(values, tuned[name]), name
            continue
        v, delta = (aligned[name] - base[name]).double(), (tuned[name] - aligned[name]).double()
        expected = aligned[name].double() + v @ v.T @ delta / v.norm()
        torch.testing.assert_close(values.double(), expected, atol=1e-6, rtol=1e-5)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert [name for name, values in found.items() if not torch.equal(loaded[name], values)] == []


def test_a_threshold_that_nothing_reaches_changes_nothing(trio: Path, tmp_path: Path) -> None:
    safe_lora.apply(config(trio, tmp_path / "out", select="threshold", threshold=-1.0))
    files = [folder / "adapter_model.safetensors" for folder in (trio / "adapter", tmp_path / "out")]
    one, other = map(load_file, files)
    assert one.keys() == other.keys()
    assert all(torch.equal(values, other[name]) for name, values in one.items())
    assert projected(tmp_path / "out") == set()


def broken(trio: Path, folder: Path, model: str, change: Callable[[dict[str, torch.Tensor]], object]) -> dict[str, str]:
    """A copy of a model or adapter with other tensors, as a setting."""
    shutil.copytree(trio / model, folder / model)
    (file,) = (folder / model).glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    return {{"unaligned": "base"}.get(model, model): str(folder / model)}


V_PROJ = "model.layers.1.self_attn.v_proj.weight"
LORA_B = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        ("unaligned", lambda t: t.pop(V_PROJ), f"{V_PROJ} of .*aligned is not in"),
        ("aligned", lambda t: t[V_PROJ].fill_(float("nan")), f"{V_PROJ} of .* holds NaN or Inf"),
        ("adapter", lambda t: t[LORA_B].fill_(float("inf")), "lora_B.weight holds NaN or Inf"),
        ("adapter", lambda t: t.update({LORA_B: t[LORA_B][:-1].contiguous()}), "do not make the shape"),
        ("adapter", lambda t: t.pop(LORA_B), "no other factor"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    trio: Path, tmp_path: Path, model: str, change: Any, message: str
) -> None:
    from harness_ext.errors import HarnessExtError

    settings = broken(trio, tmp_path, model, change)
    with pytest.raises(HarnessExtError, match=message):
        safe_lora.apply(config(trio, tmp_path / "out", **settings))
    assert [path.name for path in tmp_path.iterdir()] == [model]


def test_equal_models_whole_models_and_occupied_outputs_are_refused(trio: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no direction of alignment"):
        safe_lora.apply(config(trio, tmp_path / "out", base=str(trio / "aligned")))
    with pytest.raises(InputError, match="is no adapter"):
        safe_lora.apply(config(trio, tmp_path / "out", adapter=str(trio / "finetuned")))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is there already"):
        safe_lora.apply(config(trio, tmp_path / "file"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"select": "some"}, "select is 'some'"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"variant": "some"}, "variant is 'some'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(Path("models"), Path("out"), **changes)
