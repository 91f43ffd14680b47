"""Merging from and to disk gives what merging in memory gives, however files, rows and threads are cut."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness_ext.methods import dare, della, deltas, linear, resta, slerp, task_arithmetic, ties
from harness_ext.methods.checkpoints import write as checkpoint_writer
from harness_ext.methods.deltas import keep_mask

Save = Callable[..., Path]
LoadAll = Callable[[Path], dict[str, torch.Tensor]]

SHAPES = {
    "lm_head.weight": (37, 8),
    "model.layers.0.experts": (3, 5, 7),
    "model.layers.2.norm": (129,),
    "model.layers.10.norm": (1,),
    "scalar": (),
    "empty": (0, 4),
}


def tensors(seed: int, dtype: torch.dtype = torch.bfloat16) -> dict[str, torch.Tensor]:
    """A model of random values: half of them as in the base, so that task vectors have zeros."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.Generator().manual_seed(99)
    found = {"position_ids": torch.arange(6), "mask": torch.tensor([True, False])}
    for name, shape in SHAPES.items():
        values = torch.randn(shape, generator=base)
        change = torch.randn(shape, generator=generator) * 0.1 * (torch.rand(shape, generator=generator) < 0.5)
        found[name] = (values + (change if seed else 0)).to(dtype)
    return found


def inputs(
    save: Save, folder: Path, models: int = 3, shards: int = 1, dtype: torch.dtype = torch.bfloat16
) -> dict[str, Any]:
    paths = [save(folder / f"m{seed}-{shards}", tensors(seed, dtype), shards) for seed in range(models + 1)]
    return {"base": str(paths[0]), "models": tuple(map(str, paths[1:])), "weights": (1.0, 0.5, -0.3)[:models]}


CONFIGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "task_arithmetic": (task_arithmetic, {}),
    "ties": (ties, {"density": 0.4, "scale": 0.7}),
    "ties by frequency": (ties, {"density": 0.4, "elect": "frequency"}),
    "ties global": (ties, {"density": 0.4, "trim_scope": "global"}),
    "ties mergelm": (ties, {"density": 0.4, "trim_scope": "global", "compat": "mergelm", "weights": (1.0, 1.0, 1.0)}),
    "dare": (dare, {"drop": 0.5, "seed": 3}),
    "dare ties": (dare, {"drop": 0.5, "seed": 3, "merge": "ties"}),
    "dare kept small": (dare, {"drop": 0.5, "seed": 3, "rescale": False}),
    "linear": (linear, {}),
    "slerp": (slerp, {"weights": (0.3,)}),
    "della": (della, {"drop": 0.5, "window": 0.4, "seed": 3}),
}


def in_memory(kind: str, config: Any) -> dict[str, torch.Tensor]:
    """The float32 change of each tensor."""
    base, weights = tensors(0), config.weights
    taus = [{name: tensors(seed)[name].float() - base[name].float() for name in SHAPES} for seed in (1, 2, 3)]
    if kind in {"ties global", "ties mergelm"}:
        return deltas.ties_global(taus, weights, config.density, compat=config.compat)
    found = {}
    for name, shape in SHAPES.items():
        own = [tau[name] for tau in taus]
        if kind == "task_arithmetic":
            found[name] = deltas.task_arithmetic(own, weights)
        elif kind == "linear":
            found[name] = deltas.task_arithmetic(own, [weight / sum(weights) for weight in weights])
        elif kind == "slerp":
            start = base[name].float()
            found[name] = slerp.slerp(start, start + own[0], 0.3) - start
        elif kind == "della":
            draws = [torch.from_numpy(deltas.uniform(3 + k, name, 0, own[0].numel())).view(shape) for k in range(3)]
            kept = [della.magprune(t, d, 0.5, 0.4) for t, d in zip(own, draws, strict=True)]
            found[name] = deltas.disjoint_mean(kept, weights, deltas.elected_signs(kept)) * 1.1
        elif kind.startswith("ties"):
            found[name] = deltas.ties(own, weights, config.density, config.elect) * config.scale
        else:
            entries = own[0].numel()
            masks = [keep_mask(config.seed + k, name, 0, entries, config.drop).view(shape) for k in range(3)]
            if kind == "dare ties":
                found[name] = deltas.dare_ties(own, masks, weights, config.drop)
            else:
                kept = [deltas.dare(t, m, config.drop, config.rescale) for t, m in zip(own, masks, strict=True)]
                found[name] = deltas.task_arithmetic(kept, weights)
    return found


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_merge_on_disk_is_the_merge_in_memory_rounded_once(
    kind: str, save: Save, tmp_path: Path, load_all: LoadAll
) -> None:
    method, options = CONFIGS[kind]
    models = 1 if kind == "slerp" else 3
    config = method.Config(**(inputs(save, tmp_path, models, shards=2) | {"out": str(tmp_path / "out")} | options))
    assert method.apply(config) == tmp_path / "out"
    found, base = load_all(tmp_path / "out"), tensors(0)
    assert list(found) != [] and set(found) == set(base)
    for name, change in in_memory(kind, config).items():
        expected = (base[name].float() + change).to(torch.bfloat16)
        assert found[name].dtype == torch.bfloat16
        if kind == "slerp":  # a change is added to the base in the file, the two are weighted in memory
            torch.testing.assert_close(found[name], expected, rtol=1e-2, atol=1e-6)
        else:
            assert torch.equal(found[name], expected), name
    for name in ("position_ids", "mask"):
        assert torch.equal(found[name], base[name])


@pytest.fixture(scope="module")
def models_in(save: Save, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[str, Any]]:
    """Return a function that stores a base and three models in so many files each, once."""
    return functools.cache(lambda shards: inputs(save, tmp_path_factory.mktemp("models"), 3, shards))


@pytest.fixture(scope="module")
def plainly(
    models_in: Callable[[int], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory, load_all: LoadAll
) -> Callable[[str], dict[str, torch.Tensor]]:
    """Return a function from a kind to its merge of whole files at once."""

    @functools.cache
    def merged(kind: str) -> dict[str, torch.Tensor]:
        out = tmp_path_factory.mktemp("plain") / "out"
        return load_all(apply(kind, models_in(1), out))

    return merged


def apply(kind: str, models: dict[str, Any], out: Path, **more: Any) -> Path:
    method, options = CONFIGS[kind]
    count = 1 if kind == "slerp" else 3
    cut = {"models": models["models"][:count], "weights": models["weights"][:count]}
    return method.apply(method.Config(**(models | cut | options | more | {"out": str(out)})))


@given(
    kind=st.sampled_from(sorted(CONFIGS)),
    shards=st.sampled_from([1, 5]),
    in_flight=st.integers(1, 20_000),
    threads=st.integers(1, 2),
    shard_bytes=st.integers(1, 3000),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_files_rows_and_threads_change_no_bit(
    kind: str,
    shards: int,
    in_flight: int,
    threads: int,
    shard_bytes: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    load_all: LoadAll,
    models_in: Callable[[int], dict[str, Any]],
    plainly: Callable[[str], dict[str, torch.Tensor]],
) -> None:
    expected = plainly(kind)
    before = torch.get_num_threads()
    monkeypatch.setattr(checkpoint_writer, "SHARD_BYTES", shard_bytes)
    try:
        torch.set_num_threads(threads)
        out = tmp_path_factory.mktemp("cut") / "out"
        found = load_all(apply(kind, models_in(shards), out, max_in_flight_bytes=in_flight))
    finally:
        torch.set_num_threads(before)
        monkeypatch.undo()
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_resta_adds_the_safety_vector(save: Save, tmp_path: Path, load_all: LoadAll) -> None:
    folders = [str(save(tmp_path / str(seed), tensors(seed, torch.float32))) for seed in range(3)]
    models = dict(zip(("base", "finetuned", "unaligned"), folders, strict=True))
    resta.apply(resta.Config(**models, gamma=0.5, out=str(tmp_path / "plain")))
    resta.apply(resta.Config(**models, gamma=0.5, drop=0.6, seed=4, out=str(tmp_path / "dropped")))
    plain, dropped = load_all(tmp_path / "plain"), load_all(tmp_path / "dropped")
    base, finetuned, unaligned = (tensors(seed, torch.float32) for seed in range(3))
    for name in SHAPES:
        v = base[name] - unaligned[name]
        torch.testing.assert_close(plain[name], finetuned[name] + 0.5 * v)
        mask = keep_mask(4, name, 0, v.numel(), 0.6).view(v.shape)
        torch.testing.assert_close(dropped[name], base[name] + (finetuned[name] - base[name]) * mask / 0.4 + 0.5 * v)


def test_weight_zero_gives_the_base_bit_by_bit_and_a_record_of_no_change(
    save: Save, tmp_path: Path, load_all: LoadAll
) -> None:
    given_ = inputs(save, tmp_path) | {"weights": (0.0, 0.0, 0.0), "out": str(tmp_path / "out")}
    task_arithmetic.apply(task_arithmetic.Config(**given_))
    for name, value in load_all(tmp_path / "out").items():
        assert torch.equal(value, tensors(0)[name])
    record = json.loads((tmp_path / "out" / "method.json").read_text())
    assert record["tensors"] == {} and record["total"]["changed_entries"] == 0


def test_the_record_says_what_was_merged_and_what_changed(save: Save, tmp_path: Path, load_all: LoadAll) -> None:
    config = dare.Config(**inputs(save, tmp_path, shards=5), out=str(tmp_path / "out"), drop=0.5, seed=11)
    dare.apply(config)
    record = json.loads((tmp_path / "out" / "method.json").read_text())
    assert record["method"] == "dare" and record["seeds"] == {"seed": 11}
    assert record["config"] | {"models": tuple(record["config"]["models"])} == {
        **vars(config),
        "weights": list(config.weights),
    }
    assert record["base"]["path"] == config.base and list(record["inputs"]) == ["models[0]", "models[1]", "models[2]"]
    assert record["versions"]["torch"] == torch.__version__ and record["wall_seconds"] > 0
    found, base = load_all(tmp_path / "out"), tensors(0)
    for name in SHAPES:
        change = found[name].double() - base[name].double()
        entry = record["tensors"].get(name, {"changed": 0, "norm": 0.0})
        assert entry["changed"] == int((change != 0).sum())
        assert entry["norm"] == pytest.approx(change.norm().item())
    # Where tensors stand does not change what a checkpoint is.
    one = save(tmp_path / "together", tensors(1))
    assert deltas.open_checkpoint(one).sources() == record["inputs"]["models[0]"]["sha256"]


def test_what_stands_beside_the_weights_is_copied_byte_for_byte(save: Save, tmp_path: Path) -> None:
    given_ = inputs(save, tmp_path)
    base = Path(given_["base"])
    kept = {
        "config.json": (base / "config.json").read_bytes(),
        "generation_config.json": b'{ "a":1}\n\n',
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b"{\r\n}",
        "tokenizer.model": bytes(range(256)),
        "merges.txt": b"a b",
        "chat_template.jinja": b"{{ x }}",
        "modeling_own.py": b"pass",
        "LICENSE": b"terms",
    }
    left = {"README.md": b"a card of the base", "optimizer.pt": b"", "method.json": b"{}", ".hidden": b""}
    for name, content in (kept | left).items():
        (base / name).write_bytes(content)
    out = task_arithmetic.apply(task_arithmetic.Config(**given_, out=str(tmp_path / "out")))
    made = {"model.safetensors.index.json", "model-00001-of-00001.safetensors", "method.json"}
    assert {file.name for file in out.iterdir()} == set(kept) | made
    for name, content in kept.items():
        assert (out / name).read_bytes() == content


def tiny_llama(folder: Path, seed: int, tied: bool) -> dict[str, torch.Tensor]:
    transformers.set_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=tied,
    )
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("tied", [True, False])
def test_an_output_loads_in_transformers(tied: bool, tmp_path: Path) -> None:
    states = [tiny_llama(tmp_path / str(seed), seed, tied) for seed in range(3)]
    folders = [str(tmp_path / str(seed)) for seed in range(3)]
    config = task_arithmetic.Config(
        base=folders[0], models=tuple(folders[1:]), weights=(0.5, 0.25), out=str(tmp_path / "out")
    )
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        task_arithmetic.apply(config), output_loading_info=True
    )
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    for name, value in model.state_dict().items():
        base, one, two = (state[name].float() for state in states)
        assert torch.equal(value, (base + (0.5 * (one - base) + 0.25 * (two - base))).to(torch.bfloat16)), name


@pytest.mark.parametrize("base_stores_both", [True, False])
def test_tied_weights_are_stored_as_the_base_stores_them(
    base_stores_both: bool, save: Save, tmp_path: Path, load_all: LoadAll
) -> None:
    embeddings = {seed: torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)}
    both = {seed: {"embed": value, "head": value.clone()} for seed, value in embeddings.items()}
    one = {seed: {"embed": value} for seed, value in embeddings.items()}
    base = save(tmp_path / "base", (both if base_stores_both else one)[0])
    model = save(tmp_path / "model", (one if base_stores_both else both)[1])
    config = task_arithmetic.Config(base=str(base), models=(str(model),), weights=(1.0,), out=str(tmp_path / "out"))
    found = load_all(task_arithmetic.apply(config))
    assert set(found) == ({"embed", "head"} if base_stores_both else {"embed"})
    for value in found.values():
        torch.testing.assert_close(value, embeddings[1])


def test_missing_and_extra_tensors_can_be_allowed(save: Save, tmp_path: Path, load_all: LoadAll) -> None:
    base = save(tmp_path / "base", {"a": torch.ones(2), "buffer": torch.full((3,), 7.0)})
    model = save(tmp_path / "model", {"a": torch.zeros(2), "extra": torch.ones(1)})
    config = task_arithmetic.Config(base=str(base), models=(str(model),), weights=(1.0,), out=str(tmp_path / "out"))
    found = load_all(task_arithmetic.apply(replace(config, missing="base")))
    assert {name: value.tolist() for name, value in found.items()} == {"a": [0.0, 0.0], "buffer": [7.0, 7.0, 7.0]}


def test_models_in_another_type_can_be_allowed(save: Save, tmp_path: Path, load_all: LoadAll) -> None:
    base = save(tmp_path / "base", {"a": torch.ones(2, dtype=torch.bfloat16)})
    model = save(tmp_path / "model", {"a": torch.tensor([1.5, 1.00001])})
    config = task_arithmetic.Config(base=str(base), models=(str(model),), weights=(2.0,), out=str(tmp_path / "out"))
    found = load_all(task_arithmetic.apply(replace(config, dtypes="any")))
    assert found["a"].dtype == torch.bfloat16 and found["a"].tolist() == [2.0, 1.0]


MEASURE = """
import json, os, sys, threading, time
import torch
from harness_ext.methods import task_arithmetic, ties

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024

peak, running = 0, True
def watch():
    global peak
    while running:
        peak = max(peak, anonymous())
        time.sleep(0.0005)

for kind, base, one, other, out in json.loads(sys.argv[1]):
    if os.fork():
        assert os.wait()[1] == 0
        continue
    method = {"ties": ties, "task_arithmetic": task_arithmetic}[kind]
    config = method.Config(base=base, models=(one, other), weights=(0.5, 0.5), out=out)
    before = anonymous()
    thread = threading.Thread(target=watch); thread.start()
    method.apply(config)
    running = False; thread.join()
    print(peak - before, flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def large(save: Save, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """A base and two models of 8 and of 48 tensors of 4 MiB."""
    folder, found = tmp_path_factory.mktemp("large"), {}
    for count in (8, 48):
        found[count] = []
        for seed in range(3):
            generator = torch.Generator().manual_seed(seed)
            values = torch.randint(0x3C00, 0x3D00, (1024, 2048), dtype=torch.int16, generator=generator)
            model = {f"w{n}": (values + n % 8).view(torch.bfloat16) for n in range(count)}
            found[count].append(str(save(folder / f"{count}-{seed}", model)))
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is what Linux calls it")
@pytest.mark.parametrize("kind", ["task_arithmetic", "ties"])
def test_memory_is_bounded_by_the_largest_tensor_and_not_by_the_model(
    kind: str, large: dict[int, list[str]], tmp_path: Path
) -> None:
    """T32, a tensor in float32, is 8 MiB."""
    merges = json.dumps([(kind, *paths, str(tmp_path / f"out-{count}")) for count, paths in large.items()])
    done = subprocess.run([sys.executable, "-c", MEASURE, merges], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peaks = {count: int(bytes_) / 2**20 for count, bytes_ in zip(large, done.stdout.split(), strict=True)}
    bound = (2 + 3) * 8 + 192
    assert max(peaks.values()) <= bound, peaks
    assert peaks[48] - peaks[8] < 112, peaks  # one more model in memory would be 160
