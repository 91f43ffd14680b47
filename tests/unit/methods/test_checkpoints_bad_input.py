"""What cannot be read or merged is refused in one sentence that names it, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness_ext.errors import DataError, HarnessExtError, InputError
from harness_ext.methods import dare, resta, task_arithmetic, ties
from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.checkpoints.read import Folder, row_ranges

Save = Callable[..., Path]


def model(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    tensors: dict[str, Any] = {"layer.a": torch.ones(4, 3), "layer.b": torch.ones(3), "steps": torch.tensor([1, 2])}
    return {name: value for name, value in (tensors | changes).items() if value is not None}


def with_value(shape: tuple[int, ...], value: float) -> torch.Tensor:
    tensor = torch.ones(shape)
    tensor.view(-1)[-1] = value
    return tensor


BAD_MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "missing tensor": ({"layer.b": None}, r"layer\.b of .*base is not in .*model\. Give .* missing=base"),
    "extra tensor": ({"layer.c": torch.zeros(2)}, r"layer\.c of .*model is not in .*base\. Give .* missing=base"),
    "shape": ({"layer.a": torch.ones(5, 3)}, r"layer\.a has shape \(5, 3\) in .*model, but \(4, 3\) in .*base"),
    "type": (
        {"layer.b": torch.ones(3).half()},
        r"layer\.b is torch\.float16 in .*model, but torch\.float32.*dtypes=any",
    ),
    "kind of type": (
        {"layer.b": torch.ones(3).int()},
        r"layer\.b is torch\.int32 in .*model, but torch\.float32 in .*base\.$",
    ),
    "NaN": ({"layer.a": with_value((4, 3), float("nan"))}, r"layer\.a of .*model holds NaN or Inf"),
    "Inf": ({"layer.b": with_value((3,), float("-inf"))}, r"layer\.b of .*model holds NaN or Inf"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_model_that_does_not_fit_is_refused_naming_the_tensor(kind: str, save: Save, tmp_path: Path) -> None:
    changes, message = BAD_MODELS[kind]
    base, good = save(tmp_path / "base", model()), save(tmp_path / "good", model())
    bad = save(tmp_path / "model", model(**changes))
    config = task_arithmetic.Config(
        base=str(base), models=(str(good), str(bad)), weights=(1.0, 1.0), out=str(tmp_path / "out")
    )
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        task_arithmetic.apply(config)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_base_with_values_that_are_no_numbers_is_refused(value: float, save: Save, tmp_path: Path) -> None:
    base = save(tmp_path / "base", model(**{"layer.a": with_value((4, 3), value)}))
    config = task_arithmetic.Config(base=str(base), models=(str(base),), weights=(1.0,), out=str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"layer\.a of .*base holds NaN or Inf"):
        task_arithmetic.apply(config)


def test_a_merge_that_leaves_the_base_s_type_is_refused_and_leaves_nothing(save: Save, tmp_path: Path) -> None:
    base = save(tmp_path / "base", {"a": torch.full((4,), 6e4, dtype=torch.float16)})
    other = save(tmp_path / "model", {"a": torch.full((4,), 6.5e4, dtype=torch.float16)})
    config = task_arithmetic.Config(base=str(base), models=(str(other),), weights=(4.0,), out=str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"a: the new values hold NaN or Inf in torch\.float16"):
        task_arithmetic.apply(config)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["base", "model"]


def config_file(**changes: object) -> Mapping[str, object]:
    return {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_attention_heads": 2, **changes}


@pytest.mark.parametrize(
    "changes", [{"model_type": "qwen2"}, {"architectures": ["LlamaForTokenClassification"]}, {"num_attention_heads": 4}]
)
def test_another_architecture_of_the_same_shapes_is_refused(
    changes: dict[str, object], save: Save, tmp_path: Path
) -> None:
    base = save(tmp_path / "base", model(), config=config_file())
    other = save(tmp_path / "model", model(), config=config_file(**changes))
    config = task_arithmetic.Config(base=str(base), models=(str(other),), weights=(1.0,), out=str(tmp_path / "out"))
    with pytest.raises(InputError, match=f"another architecture than .*base: {next(iter(changes))} is"):
        task_arithmetic.apply(config)


def tokenizer(vocabulary: object, *added: tuple[str, int]) -> str:
    return json.dumps({"model": {"vocab": vocabulary}, "added_tokens": [{"content": t, "id": n} for t, n in added]})


@pytest.mark.parametrize(
    ("other", "fits"),
    [
        (tokenizer({"a": 0, "b": 1}), True),
        (tokenizer({"a": 0, "b": 1}, ("<pad>", 2)), True),
        (tokenizer([["a", -1.0], ["b", -2.0]]), True),
        (tokenizer({"a": 1, "b": 0}), False),
        (tokenizer({"a": 0, "c": 1}), False),
        (tokenizer({"a": 0, "b": 1}, ("<pad>", 1)), False),
    ],
)
def test_tokenizers_that_give_a_row_two_meanings_are_refused(
    other: str, fits: bool, save: Save, tmp_path: Path
) -> None:
    base, changed = save(tmp_path / "base", model()), save(tmp_path / "model", model())
    (base / "tokenizer.json").write_text(tokenizer({"a": 0, "b": 1}))
    (changed / "tokenizer.json").write_text(other)
    config = task_arithmetic.Config(base=str(base), models=(str(changed),), weights=(1.0,), out=str(tmp_path / "out"))
    if fits:
        task_arithmetic.apply(config)
    else:
        with pytest.raises(InputError, match=r"the tokenizers of .*model and .*base differ"):
            task_arithmetic.apply(config)
        assert not (tmp_path / "out").exists()


SHARED = {"base": "b", "out": "o"}
WEIGHTED = SHARED | {"models": ("m",), "weights": (1.0,)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: task_arithmetic.Config(**WEIGHTED | {"weights": (1.0, 2.0)}), "1 models and 2 weights"),
        (lambda: task_arithmetic.Config(**WEIGHTED | {"models": (), "weights": ()}), "0 models"),
        (lambda: task_arithmetic.Config(**WEIGHTED | {"weights": (float("nan"),)}), r"weights is \(nan,\)"),
        (lambda: task_arithmetic.Config(**WEIGHTED, max_in_flight_bytes=0), "max_in_flight_bytes is 0"),
        (lambda: ties.Config(**WEIGHTED, density=-0.1), r"density is -0\.1"),
        (lambda: ties.Config(**WEIGHTED, scale=float("inf")), "scale is inf"),
        (lambda: ties.Config(**WEIGHTED, compat="mergelm"), "Set trim_scope=global"),
        (
            lambda: ties.Config(**WEIGHTED | {"weights": (0.5,)}, compat="mergelm", trim_scope="global"),
            "neither weights",
        ),
        (lambda: dare.Config(**WEIGHTED, drop=1.0, seed=0), r"drop is 1\.0"),
        (lambda: resta.Config(**SHARED, finetuned="f", unaligned="u", gamma=float("nan")), "gamma is nan"),
        (lambda: resta.Config(**SHARED, finetuned="f", unaligned="u", gamma=1.0, drop=2.0), r"drop is 2\.0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_folders_that_are_no_checkpoint_are_refused_with_a_way_out(save: Save, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is no folder"):
        Folder(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"holds neither model\.safetensors nor"):
        Folder(empty)
    (empty / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(InputError, match=r"pickled weights.*save_pretrained\(new_folder\)"):
        Folder(empty)
    quantised = save(tmp_path / "q", model(), config=config_file(quantization_config={"bits": 4}))
    with pytest.raises(InputError, match="quantised"):
        Folder(quantised)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="is an adapter; a model's checkpoint is needed here"):
        open_checkpoint(adapter)


def test_an_index_that_disagrees_with_its_files_is_refused(save: Save, tmp_path: Path) -> None:
    folder = save(tmp_path / "m", model(), shards=3)
    index = folder / "model.safetensors.index.json"
    places = json.loads(index.read_text())
    places["weight_map"]["layer.new"] = "model-00001-of-00003.safetensors"
    index.write_text(json.dumps(places))
    with pytest.raises(DataError, match=r"layer\.new is not in model-00001-of-00003\.safetensors"):
        Folder(folder)
    (folder / "model-00002-of-00003.safetensors").unlink()
    del places["weight_map"]["layer.new"]
    index.write_text(json.dumps(places))
    with pytest.raises(DataError, match=r"model-00002-of-00003\.safetensors is missing"):
        Folder(folder)
    for broken in ("{", "[]", '{"weight_map": {}}'):
        index.write_text(broken)
        with pytest.raises(DataError, match=r"model\.safetensors\.index\.json"):
            Folder(folder)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_a_message_and_never_an_accident(
    data: st.DataObject, save: Save, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = save(tmp_path_factory.mktemp("damaged") / "m", model())
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    cut = data.draw(st.integers(0, len(content)))
    content = content[:cut]
    for place in data.draw(st.lists(st.integers(0, max(0, cut - 1)), max_size=3)):
        if place < len(content):
            content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        found = Folder(folder)
        found.sources()
    except HarnessExtError as error:
        assert str(folder) in str(error)


@given(st.lists(st.integers(0, 12), max_size=4).map(tuple), st.integers(1, 400))
def test_ranges_of_rows_cover_a_tensor_once(shape: tuple[int, ...], chunk_bytes: int) -> None:
    ranges = list(row_ranges(shape, chunk_bytes))
    covered = [row for start, stop in ranges for row in range(start, stop)]
    total = torch.zeros(shape).numel()
    assert covered == (list(range(shape[0] if shape else 1)) if total else [])
    row_bytes = 4 * total // max(1, len(covered))
    assert all((stop - start) * row_bytes <= max(chunk_bytes, row_bytes) for start, stop in ranges)
