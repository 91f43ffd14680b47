"""A LoRA adapter that stands for a model is the model that peft makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness_ext.errors import DataError, InputError
from harness_ext.methods import task_arithmetic
from harness_ext.methods.checkpoints.adapters import MergedAdapter, open_checkpoint
from harness_ext.methods.checkpoints.read import Folder

SIZES = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def llama() -> Any:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(intermediate_size=24, **SIZES, tie_word_embeddings=False)
    )


def gpt2() -> Any:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2))


def adapted(folder: Path, make: Any, **settings: Any) -> dict[str, torch.Tensor]:
    """Save a random model and a random adapter of it; return what peft merges them into."""
    transformers.set_seed(0)
    model = make()
    model.save_pretrained(folder / "base")
    wrapped = peft.get_peft_model(
        model, peft.LoraConfig(**{"r": 4, "lora_alpha": 6, "task_type": "CAUSAL_LM"} | settings)
    )
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:  # not the zeros that training starts from
                parameter.copy_(torch.randn(parameter.shape) * 0.2)
    wrapped.save_pretrained(folder / "adapter")
    merged: dict[str, torch.Tensor] = wrapped.merge_and_unload().state_dict()
    return merged


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "attention": (llama, {"target_modules": ["q_proj", "v_proj"]}),
    "all linears, rank-stabilised": (llama, {"target_modules": "all-linear", "use_rslora": True}),
    "patterns": (
        llama,
        {
            "target_modules": ["q_proj", "v_proj"],
            "rank_pattern": {"layers.0.self_attn.q_proj": 2},
            "alpha_pattern": {"v_proj": 11, r"layers\.1\..*q_proj": 3},
        },
    ),
    "a module saved whole": (llama, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    "an embedding": (llama, {"target_modules": ["embed_tokens", "o_proj"]}),
    "transposed weights": (gpt2, {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
    "biases": (gpt2, {"target_modules": ["c_attn"], "fan_in_fan_out": True, "bias": "all"}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_an_adapter_reads_as_the_model_that_peft_merges(case: str, tmp_path: Path) -> None:
    make, settings = CASES[case]
    merged = adapted(tmp_path, make, **settings)
    base = Folder(tmp_path / "base")
    model = open_checkpoint(tmp_path / "adapter", base)
    changed = 0
    for name in base.names:
        expected = merged[name] if name in merged else merged[f"transformer.{name}"]
        torch.testing.assert_close(model.tensor(name), expected, rtol=1e-5, atol=1e-6)
        rows = base.shape(name)[0]
        torch.testing.assert_close(model.delta(base, name, 0, rows), expected - base.tensor(name), rtol=1e-4, atol=1e-6)
        changed += not torch.equal(expected, base.tensor(name))
        for start in range(0, rows, 5):  # no bit depends on how many rows are asked for
            stop = min(start + 5, rows)
            assert torch.equal(model.delta(base, name, start, stop), model.delta(base, name, 0, rows)[start:stop])
    assert changed >= 2
    config = {"base": str(base.path), "models": (str(model.path),), "out": str(tmp_path / "out")}
    out = Folder(task_arithmetic.apply(task_arithmetic.Config(**config, weights=(0.5,))))
    for name in base.names:
        half = (base.tensor(name) + model.tensor(name)) / 2
        torch.testing.assert_close(out.tensor(name), half, rtol=1e-5, atol=1e-6)


def test_an_adapter_on_another_base_counts_from_its_own(tmp_path: Path) -> None:
    adapted(tmp_path, llama, target_modules=["q_proj"])
    transformers.set_seed(1)
    llama().save_pretrained(tmp_path / "other")
    base, other = Folder(tmp_path / "base"), Folder(tmp_path / "other")
    model = open_checkpoint(tmp_path / "adapter", base)
    for name in base.names:
        expected = model.tensor(name) - other.tensor(name)
        assert torch.equal(model.delta(other, name, 0, base.shape(name)[0]), expected)


def changed_settings(**changes: object) -> Any:
    def change(folder: Path) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def changed_weights(change: Any) -> Any:
    def apply(folder: Path) -> None:
        file = folder / "adapter_model.safetensors"
        tensors = load_file(file)
        change(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)

    return apply


A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
B = A.replace("lora_A", "lora_B")
NINTH = {key: key.replace("layers.0", "layers.9") for key in (A, B)}
HEAD = "base_model.model.lm_head.weight"
MAGNITUDE = A.replace("lora_A.weight", "lora_magnitude_vector")
WEIGHTS = "adapter_model.safetensors"
REFUSED: dict[str, tuple[Any, str]] = {
    "another kind": (changed_settings(peft_type="IA3"), "an adapter of kind IA3"),
    "DoRA": (changed_settings(use_dora=True), r"use_dora in adapter_config\.json is not supported"),
    "PiSSA": (changed_settings(init_lora_weights="pissa_niter_4"), r"init_lora_weights in adapter_config\.json"),
    "an unknown module": (
        changed_weights(lambda t: t.update({NINTH[key]: t.pop(key) for key in (A, B)})),
        r"layers\.9\.self_attn\.q_proj\.weight is not in .*base",
    ),
    "another shape": (
        changed_weights(lambda t: t.update({B: torch.ones(17, 4)})),
        r"do not make the shape \(16, 16\) of model\.layers\.0",
    ),
    "half a pair": (changed_weights(lambda t: t.pop(B)), r"lora_A\.weight has no other factor"),
    "the other half": (changed_weights(lambda t: t.pop(A)), r"lora_B\.weight has no other factor"),
    "NaN": (changed_weights(lambda t: t[A].fill_(float("nan"))), r"q_proj\.lora_A\.weight holds NaN or Inf"),
    "a part of DoRA": (
        changed_weights(lambda t: t.update({MAGNITUDE: torch.ones(16)})),
        "lora_magnitude_vector is a part of LoRA",
    ),
    "another vocabulary": (
        changed_weights(lambda t: t.update({HEAD: torch.ones(33, 16)})),
        r"lm_head\.weight has shape \(33, 16\)",
    ),
    "NaN in a whole module": (
        changed_weights(lambda t: t.update({HEAD: torch.full((32, 16), float("nan"))})),
        r"lm_head\.weight holds NaN or Inf",
    ),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), r"holds no adapter_model\.safetensors"),
    "broken weights": (lambda folder: (folder / WEIGHTS).write_bytes(b"1"), "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_adapter_that_cannot_be_merged_exactly_is_refused(case: str, tmp_path: Path) -> None:
    adapted(tmp_path, llama, target_modules=["q_proj"])
    damage, message = REFUSED[case]
    damage(tmp_path / "adapter")
    with pytest.raises((InputError, DataError), match=message):
        MergedAdapter(tmp_path / "adapter", Folder(tmp_path / "base"))
