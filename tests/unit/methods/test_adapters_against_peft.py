"""What a merged adapter computes is what peft computes with the adapter, over architectures, options and methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from harness_ext.errors import InputError
from harness_ext.methods import dare, resta, task_arithmetic, ties

pytestmark = pytest.mark.filterwarnings("ignore")

SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": SIZES | {"num_key_value_heads": 1, "tie_word_embeddings": False},
    "Qwen2ForCausalLM": SIZES | {"num_key_value_heads": 2, "tie_word_embeddings": True},  # biases
    "GPT2LMHeadModel": {"vocab_size": 64, "n_embd": 16, "n_layer": 2, "n_head": 2},  # transposed, square and not
    "OPTForCausalLM": SIZES | {"ffn_dim": 16, "word_embed_proj_dim": 16},
    "Gemma2ForCausalLM": SIZES | {"num_key_value_heads": 1, "head_dim": 8},
    "BloomForCausalLM": {"vocab_size": 64, "hidden_size": 16, "n_layer": 2, "n_head": 2},
    "T5ForConditionalGeneration": {
        **{"vocab_size": 64, "d_model": 16, "d_ff": 16, "num_layers": 2, "num_heads": 2, "d_kv": 8},
        "decoder_start_token_id": 0,
    },
}
OPTIONS: dict[str, dict[str, Any]] = {
    "rank-stabilised": {"use_rslora": True},
    "patterns": {"rank_pattern": {r"0\..*": 2}, "alpha_pattern": {r"1\..*": 3}},
    "biases": {"bias": "all"},
    "the output saved whole": {"modules_to_save": ["lm_head"]},
    "said to be transposed": {"fan_in_fan_out": True},
}


def model_class(architecture: str) -> Any:
    return getattr(transformers, architecture)


def store(architecture: str, folder: Path, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    made = model_class(architecture)
    model = made(made.config_class(**ARCHITECTURES[architecture]))
    model.save_pretrained(folder)
    return model


def adapted(model: Any, folder: Path, **settings: Any) -> Any:
    """Wrap a model in a random adapter and save it."""
    kind = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    lora = {"r": 4, "lora_alpha": 6, "target_modules": "all-linear", "task_type": kind}
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**lora | settings))
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    wrapped.save_pretrained(folder)
    return wrapped


def logits(model: Any) -> torch.Tensor:
    tokens = torch.arange(30)[None]
    decoder = {"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        found: torch.Tensor = model.eval()(tokens, **decoder).logits
    return found


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_merged_adapter_computes_what_peft_does(architecture: str, option: str, tmp_path: Path) -> None:
    wrapped = adapted(store(architecture, tmp_path / "base"), tmp_path / "adapter", **OPTIONS[option])
    models = {"base": str(tmp_path / "base"), "models": (str(tmp_path / "adapter"),)}
    config = task_arithmetic.Config(**models, weights=(1.0,), out=str(tmp_path / "out"))
    merged = model_class(architecture).from_pretrained(task_arithmetic.apply(config))
    expected = logits(wrapped)
    torch.testing.assert_close(logits(merged), expected, atol=5e-6, rtol=1e-5)
    assert not torch.allclose(expected, logits(model_class(architecture).from_pretrained(tmp_path / "base")), atol=1e-2)


@pytest.mark.parametrize("last", ["lm_head", "c_proj"])
def test_transposed_and_plain_linears_of_one_adapter_are_told_apart(last: str, tmp_path: Path) -> None:
    """peft notes the kind of the last module that it wraps for all of them."""
    wrapped = adapted(
        store("GPT2LMHeadModel", tmp_path / "base"),
        tmp_path / "adapter",
        target_modules=["c_attn", "c_proj", "c_fc", *(["lm_head"] if last == "lm_head" else [])],
    )
    models = {"base": str(tmp_path / "base"), "models": (str(tmp_path / "adapter"),)}
    out = task_arithmetic.apply(task_arithmetic.Config(**models, weights=(1.0,), out=str(tmp_path / "out")))
    merged = transformers.GPT2LMHeadModel.from_pretrained(out)
    torch.testing.assert_close(logits(merged), logits(wrapped), atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "GPT2LMHeadModel"])
@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare", "resta"])
def test_a_method_makes_of_an_adapter_what_it_makes_of_pefts_merged_model(
    method: str, architecture: str, tmp_path: Path
) -> None:
    base = str(tmp_path / "base")
    for number in (1, 2):
        store(architecture, tmp_path / "base")
        torch.manual_seed(number)
        model = model_class(architecture).from_pretrained(base)
        wrapped = adapted(model, tmp_path / f"adapter-{number}", use_rslora=number == 2)
        wrapped.merge_and_unload().save_pretrained(tmp_path / f"merged-{number}")

    def made(kind: str) -> torch.Tensor:
        pair = [str(tmp_path / f"{kind}-{number}") for number in (1, 2)]
        out = str(tmp_path / f"out-{kind}")
        weighted: dict[str, Any] = {"base": base, "models": tuple(pair), "weights": (0.7, -0.4), "out": out}
        if method == "task_arithmetic":
            task_arithmetic.apply(task_arithmetic.Config(**weighted))
        elif method == "ties":
            ties.apply(ties.Config(**weighted, density=1.0))
        elif method == "dare":
            dare.apply(dare.Config(**weighted, drop=0.5, seed=3))
        else:
            resta.apply(resta.Config(base=base, finetuned=pair[0], unaligned=pair[1], gamma=0.5, out=out))
        return logits(model_class(architecture).from_pretrained(out))

    torch.testing.assert_close(made("adapter"), made("merged"), atol=1e-5, rtol=1e-4)


def test_dora_is_refused_with_the_way_out(tmp_path: Path) -> None:
    adapted(store("LlamaForCausalLM", tmp_path / "base"), tmp_path / "adapter", use_dora=True)
    models = {"base": str(tmp_path / "base"), "models": (str(tmp_path / "adapter"),)}
    with pytest.raises(InputError, match=r"use_dora in adapter_config\.json is not supported\. Merge the adapter with"):
        task_arithmetic.apply(task_arithmetic.Config(**models, weights=(1.0,), out=str(tmp_path / "out")))
