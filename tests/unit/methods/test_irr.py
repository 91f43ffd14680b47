"""IRR from and to disk: the same as in memory, resumable, and refusing what cannot be repaired."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from warm_python import python

from harness_ext.errors import InputError
from harness_ext.methods import irr
from harness_ext.methods.importance import diagonal_fisher
from harness_ext.methods.irr import TARGETS
from harness_ext.methods.training.rows import calibration_batches, load_tokenizer, safe_answer_batches

StoreTrio = Callable[..., Path]
LoadAll = Callable[[Path], dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def trio(store_trio: StoreTrio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_trio(tmp_path_factory.mktemp("trio"), dtype="bfloat16", tie_word_embeddings=True)


def config(folder: Path, out: Path, **changes: Any) -> irr.Config:
    settings: dict[str, Any] = {
        "base": str(folder / "aligned"),
        "finetuned": str(folder / "finetuned"),
        "unaligned": str(folder / "unaligned"),
        "safe_data": str(folder / "safe.jsonl"),
        "calib_data": str(folder / "calib.jsonl"),
        "out": str(out),
        "seqlen": 40,
        "block": 16,
        "targets": "full",
        "fisher_batch": 4,
        "retain": 0.2,
    }
    return irr.Config(**settings | changes)


def in_memory(config: irr.Config) -> dict[str, torch.Tensor]:
    """The same with whole models in memory; the models compute in float32, the weights are those of the files."""
    models = {
        name: transformers.AutoModelForCausalLM.from_pretrained(
            getattr(config, name), dtype=torch.float32, attn_implementation="eager"
        )
        for name in ("base", "finetuned", "unaligned")
    }
    tokenizer = load_tokenizer(config.base)
    safe = safe_answer_batches(tokenizer, config.safe_data, limit=1000, batch_size=config.fisher_batch, max_tokens=1024)
    aligned, unaligned = models["base"].state_dict(), models["unaligned"].state_dict()
    irr.realign(
        models["finetuned"],
        aligned,
        diagonal_fisher(models["base"], safe, list(TARGETS[config.targets])),
        {name: aligned[name] - unaligned[name] for name in aligned},
        calibration_batches(tokenizer, config.calib_data, limit=1000, seqlen=config.seqlen, batch_size=8),
        targets=config.targets,
        retain=config.retain,
        block=config.block,
        variant=config.variant,
    )
    state: dict[str, torch.Tensor] = models["finetuned"].state_dict()
    return state


@pytest.mark.parametrize("changes", [{}, {"targets": "lora", "variant": "more"}])
def test_a_repair_on_disk_is_the_repair_in_memory(
    store_trio: StoreTrio, tmp_path: Path, load_all: LoadAll, changes: dict[str, Any]
) -> None:
    folder = store_trio(tmp_path / "models")
    settings = config(folder, tmp_path / "out", **changes)
    assert irr.apply(settings) == tmp_path / "out"
    expected, found = in_memory(settings), load_all(tmp_path / "out")
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], atol=2e-6, rtol=1e-5)
    aligned, finetuned = (load_all(folder / name) for name in ("aligned", "finetuned"))
    for name, values in found.items():
        edited = name.split(".")[-2] in TARGETS[settings.targets]
        assert torch.equal(values, finetuned[name]) != edited, name
    record = json.loads((tmp_path / "out/method.json").read_text())
    assert record["notes"]["raised_percdamp"] == []
    for name, facts in record["tensors"].items():
        if "removed" in facts:
            assert facts["norm"] == pytest.approx(float((found[name] - aligned[name]).norm()), rel=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "out"]


def test_stored_types_and_tied_weights_stay_and_the_output_loads(trio: Path, tmp_path: Path, load_all: LoadAll) -> None:
    irr.apply(config(trio, tmp_path / "out"))
    found, aligned = load_all(tmp_path / "out"), load_all(trio / "aligned")
    assert {name: values.dtype for name, values in found.items()} == dict.fromkeys(aligned, torch.bfloat16)
    assert "lm_head.weight" not in found
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert all(torch.equal(values, model.state_dict()[name]) for name, values in found.items())


def test_scoring_some_layers_at_a_time_changes_nothing(trio: Path, tmp_path: Path, load_all: LoadAll) -> None:
    for out, layers in (("all", None), ("two", 2)):
        irr.apply(config(trio, tmp_path / out, fisher_layers=layers))
    one, other = load_all(tmp_path / "all"), load_all(tmp_path / "two")
    assert all(torch.equal(values, other[name]) for name, values in one.items())


def test_an_adapter_stands_for_the_model_it_makes(trio: Path, tmp_path: Path, load_all: LoadAll) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    wrapped = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(trio / "aligned"), lora)
    wrapped.save_pretrained(tmp_path / "adapter")
    irr.apply(config(trio, tmp_path / "out", finetuned=str(tmp_path / "adapter"), targets="lora", retain=1.0))
    found, merged = load_all(tmp_path / "out"), wrapped.merge_and_unload().state_dict()
    for name, values in found.items():
        torch.testing.assert_close(values, merged[name].to(values.dtype), atol=2e-2, rtol=2e-2)


KILLED = """
import os, signal, sys
from harness_ext.methods import irr
from harness_ext.methods.layers import decoder as decoder_layers
layer, moment = int(sys.argv[2]), sys.argv[3]
run, fisher, edit = decoder_layers.DecoderLayers.run, irr.layerwise_fisher, irr.realign_layer
edited, scored, calls = [], [], []
def run_or_die(self, index, *args, **options):
    if moment == "layer" and edited == [*range(layer + 1)]:  # the second pass over a layer, whose weights are edited
        calls.append(index)
        if len(calls) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return run(self, index, *args, **options)
def fisher_or_die(*args):
    if moment == "fisher" and len(scored) == layer:
        os.kill(os.getpid(), signal.SIGKILL)
    scored.append(1)
    return fisher(*args)
def edit_and_note(layers, index, *args):
    yield from edit(layers, index, *args)
    edited.append(index)
decoder_layers.DecoderLayers.run, irr.layerwise_fisher, irr.realign_layer = run_or_die, fisher_or_die, edit_and_note
from tests_config import settings
irr.apply(settings(sys.argv[1]))
"""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("layer", "moment", "finished"), [(1, "fisher", 1), (1, "layer", 5)])
def test_a_killed_run_leaves_nothing_that_loads_and_goes_on_to_the_same_bits(
    trio: Path, tmp_path: Path, load_all: LoadAll, layer: int, moment: str, finished: int
) -> None:
    whole = config(trio, tmp_path / "whole", fisher_layers=1)
    irr.apply(whole)
    code = f"from harness_ext.methods import irr\ndef settings(out): return irr.{replace(whole, out='OUT')!r}"
    (tmp_path / "tests_config.py").write_text(code.replace("'OUT'", "out"))
    out = tmp_path / "out"
    killed = python("-c", KILLED, out, layer, moment, cwd=tmp_path)
    assert killed.returncode == -9, killed.stderr[-2000:]
    assert not out.exists()
    work = tmp_path / "out.work"
    assert not list(work.rglob("config.json"))
    assert len((work / "journal.jsonl").read_text().splitlines()) == 1 + finished
    with pytest.raises((OSError, ValueError)):
        transformers.AutoModelForCausalLM.from_pretrained(work)
    with pytest.raises(InputError, match="another config"):
        irr.apply(replace(whole, out=str(out), retain=0.5))
    irr.apply(replace(whole, out=str(out)))
    one, other = load_all(out), load_all(tmp_path / "whole")
    assert not [name for name, values in one.items() if not torch.equal(values, other[name])]
    assert not work.exists()


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


V_PROJ = "model.layers.1.self_attn.v_proj.weight"
BROKEN_MODELS: dict[str, tuple[str, Callable[[dict[str, torch.Tensor]], object], str]] = {
    "missing": ("unaligned", lambda tensors: tensors.pop(V_PROJ), f"{V_PROJ} of .*aligned is not in .*unaligned"),
    "shape": (
        "finetuned",
        lambda tensors: tensors.update({V_PROJ: tensors[V_PROJ][:-1].contiguous()}),
        f"{V_PROJ} has shape",
    ),
    "type": ("finetuned", lambda tensors: tensors.update({V_PROJ: tensors[V_PROJ].float()}), f"{V_PROJ} is .*float32"),
    "nan": ("finetuned", lambda tensors: tensors[V_PROJ][3].fill_(float("nan")), f"{V_PROJ} of .* holds NaN or Inf"),
    "inf": ("unaligned", lambda tensors: tensors[V_PROJ][3].fill_(float("inf")), f"{V_PROJ} of .* holds NaN or Inf"),
}


@pytest.mark.parametrize("kind", BROKEN_MODELS)
def test_models_that_do_not_fit_are_refused_and_nothing_is_written(trio: Path, tmp_path: Path, kind: str) -> None:
    model, change, message = BROKEN_MODELS[kind]
    shutil.copytree(trio / model, tmp_path / model)
    edit_weights(tmp_path / model, change)
    with pytest.raises(InputError, match=message):
        irr.apply(config(trio, tmp_path / "out", **{model: str(tmp_path / model)}))
    assert [path.name for path in tmp_path.iterdir()] == [model]


def test_a_model_without_the_targets_is_refused_by_their_names(trio: Path, tmp_path: Path) -> None:
    sizes = {"vocab_size": 258, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=1))
    for name in ("aligned", "finetuned", "unaligned"):
        model.save_pretrained(tmp_path / name)
        load_tokenizer(trio / "aligned").save_pretrained(tmp_path / name)
    for file in ("safe.jsonl", "calib.jsonl"):
        shutil.copy(trio / file, tmp_path)
    with pytest.raises(InputError, match="GPT2LMHeadModel has no linear layer named q_proj, v_proj"):
        irr.apply(config(tmp_path, tmp_path / "out", targets="lora"))
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"safe_data": "none.jsonl"}, "none.jsonl cannot be read"),
        ({"fisher_max_tokens": 5}, r"safe\.jsonl: row 0: its prompt has \d+ tokens, 5 are allowed"),
    ],
)
def test_bad_data_is_refused_before_anything_is_written(
    trio: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        irr.apply(config(trio, tmp_path / "out", **changes))
    assert not list(tmp_path.iterdir())


def test_an_occupied_output_and_a_small_disk_are_refused_first(
    trio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="out is not empty"):
        irr.apply(config(trio, tmp_path / "out"))
    size = (trio / "aligned/model.safetensors").stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size))
    with pytest.raises(InputError, match="GB are needed while the method works"):
        irr.apply(config(trio, tmp_path / "other"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"retain": -0.1}, "retain is -0.1"),
        ({"nsamples": 0}, "nsamples is 0"),
        ({"fisher_layers": 0}, "fisher_layers is 0"),
        ({"targets": "some"}, "targets is 'some'"),
        ({"variant": "some"}, "variant is 'some'"),
        ({"compat": "some"}, "compat is 'some'"),
        ({"block": 0}, "block is 0"),
        ({"percdamp": -1.0}, "percdamp is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(Path("models"), Path("out"), **changes)


def test_a_hessian_that_fails_names_the_weight(store_trio: StoreTrio, tmp_path: Path) -> None:
    """Huge activations overflow float32 in the second layer."""
    folder = store_trio(tmp_path / "models")
    name = "model.layers.1.input_layernorm.weight"
    for model in ("aligned", "finetuned", "unaligned"):
        edit_weights(folder / model, lambda tensors: tensors[name].fill_(1e25))
    settings = config(folder, tmp_path / "out", targets="lora")
    with pytest.raises(InputError, match=r"model\.layers\.\d\.self_attn\.\w_proj\.weight: "):
        irr.apply(settings)
    assert not (tmp_path / "out").exists()


def test_realign_refuses_a_missing_source_before_it_changes_the_model(trio: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(trio / "finetuned")
    before = {name: values.clone() for name, values in model.state_dict().items()}
    state = model.state_dict()
    with pytest.raises(InputError, match=rf"{V_PROJ}: missing in fisher"):
        irr.realign(model, state, {name: state[name] for name in state if name != V_PROJ}, state, [])
    assert all(torch.equal(before[name], values) for name, values in model.state_dict().items())
