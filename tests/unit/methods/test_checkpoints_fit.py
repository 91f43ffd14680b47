"""Weights that mean another function: settings, tokens and templates that differ, tied weights, odd folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness_ext.errors import DataError, InputError
from harness_ext.methods import irr, lora_extraction, safe_lora, task_arithmetic
from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.checkpoints.read import Folder

Store = Callable[..., Path]
SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
TOKENS = torch.arange(40)[None] % 64
pytestmark = pytest.mark.filterwarnings("ignore")


def llama(folder: Path, seed: int, **config: Any) -> Path:
    torch.manual_seed(seed)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES | config)).save_pretrained(folder)
    return folder


def logits(model: Any) -> torch.Tensor:
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model) if isinstance(model, Path) else model
    with torch.no_grad():
        found: torch.Tensor = loaded.eval()(TOKENS).logits
    return found


def merge(base: Path, model: Path, out: Path, **settings: Any) -> Path:
    given = {"base": str(base), "models": (str(model),), "weights": (1.0,), "out": str(out)}
    return task_arithmetic.apply(task_arithmetic.Config(**given | settings))


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value != "left out"}))


OTHER_FUNCTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "rope": (
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        r"rope_parameters\.rope_theta is 1000000\.0, not 10000\.0",
    ),
    "rope of another kind": (
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
        r"rope_parameters\.factor is 4\.0, not None; rope_parameters\.rope_type is linear, not default",
    ),
    "norm": ({"rms_norm_eps": 1e-5}, "rms_norm_eps is 1e-05, not 1e-06"),
    "activation": ({"hidden_act": "gelu"}, "hidden_act is gelu, not silu"),
}


@pytest.mark.parametrize("case", OTHER_FUNCTIONS)
def test_equal_weights_with_settings_that_compute_something_else_are_refused_or_noted(
    case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, message = OTHER_FUNCTIONS[case]
    base, tuned = llama(tmp_path / "base", 0), llama(tmp_path / "tuned", 1, **settings)
    assert not torch.allclose(logits(tuned), logits(llama(tmp_path / "same", 1)))  # the setting is no formality
    with pytest.raises(InputError, match=rf"tuned computes something else than .*base .*: {message} in config\.json"):
        merge(base, tuned, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
    out = merge(base, tuned, tmp_path / "out", configs="any")
    assert json.loads((out / "method.json").read_text())["notes"]["differences"]["models[0]"]
    assert "tuned differs from" in caplog.text
    torch.testing.assert_close(logits(out), logits(tmp_path / "same"))  # the base's settings


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Mistral", {"sliding_window": 7}),
        ("Gemma2", {"final_logit_softcapping": 5.0}),
        ("Gemma2", {"attn_logit_softcapping": 5.0, "query_pre_attn_scalar": 64}),
        ("GPTNeoX", {"use_parallel_residual": False}),
    ],
)
def test_the_settings_of_other_architectures_are_compared_too(
    kind: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    config = getattr(transformers, f"{kind}Config")
    sizes = SIZES | {"head_dim": 8} if kind == "Gemma2" else SIZES
    for name, own in (("base", {}), ("tuned", settings)):
        getattr(transformers, f"{kind}ForCausalLM")(config(**sizes | own)).save_pretrained(tmp_path / name)
    with pytest.raises(InputError, match=f"{next(iter(settings))} is {next(iter(settings.values()))}, not"):
        merge(tmp_path / "base", tmp_path / "tuned", tmp_path / "out")


def test_other_ways_to_write_the_same_settings_are_no_difference(tmp_path: Path) -> None:
    base, tuned = llama(tmp_path / "base", 0), llama(tmp_path / "tuned", 1)
    edit_config(tuned, rope_parameters="left out", rope_theta=10000.0, rope_scaling=None)  # transformers 4
    edit_config(tuned, hidden_act="left out", use_cache=False, attention_dropout=0.1, max_position_embeddings=4096)
    edit_config(base, transformers_version="4.40.0", dtype="left out", torch_dtype="float32")
    out = merge(base, tuned, tmp_path / "out")
    assert json.loads((out / "method.json").read_text())["notes"] == {}


@pytest.mark.parametrize("method", ["irr", "safe_lora"])
def test_methods_of_one_base_refuse_other_functions_too(method: str, store_trio: Store, tmp_path: Path) -> None:
    folder = store_trio(tmp_path / "models", layers=1)
    edit_config(folder / "unaligned", rms_norm_eps=1e-3)
    common = {"out": str(tmp_path / "out")}
    irr_data = {"safe_data": str(folder / "safe.jsonl"), "calib_data": str(folder / "calib.jsonl")}
    base, finetuned, unaligned = (str(folder / name) for name in ("aligned", "finetuned", "unaligned"))
    with pytest.raises(InputError, match=r"rms_norm_eps is 0\.001, not 1e-06"):
        if method == "irr":
            irr.apply(irr.Config(**common | irr_data, base=base, finetuned=finetuned, unaligned=unaligned))
        else:
            safe_lora.apply(
                safe_lora.Config(**common, base=unaligned, aligned=base, adapter=finetuned, variant="full_delta")
            )


def chat_pair(folder: Path) -> tuple[Path, Path]:
    """A base without a chat template that ends with 2, and a chat model that ends with 2 or 7."""
    base, chat = llama(folder / "base", 0), llama(folder / "chat", 1, eos_token_id=[2, 7])
    for model in (base, chat):
        vocabulary = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", "a", "b", "c", "d", "<e>"])}
        (model / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))
        (model / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    (chat / "chat_template.jinja").write_text("{{ messages }}")
    return base, chat


def test_tokens_and_templates_that_differ_are_named_and_written_as_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base, chat = chat_pair(tmp_path)
    out = merge(base, chat, tmp_path / "out")
    said = ["eos_token_id is [2, 7], not 2", "it has a chat template"]
    assert json.loads((out / "method.json").read_text())["notes"]["differences"] == {"models[0]": said}
    assert all(part in caplog.text for part in said)
    assert (out / "config.json").read_bytes() == (base / "config.json").read_bytes()
    assert not (out / "chat_template.jinja").exists()
    out = merge(base, chat, tmp_path / "told", tokenizer_from="models[0]")
    for file in ("chat_template.jinja", "generation_config.json", "tokenizer.json"):
        assert (out / file).read_bytes() == (chat / file).read_bytes()
    configs = [json.loads((folder / "config.json").read_text()) for folder in (out, base)]
    assert configs[0] == configs[1] | {"eos_token_id": [2, 7]}
    assert transformers.GenerationConfig.from_pretrained(out).eos_token_id == [2, 7]
    torch.testing.assert_close(logits(out), logits(chat))


def test_every_method_writes_the_texts_of_the_model_that_it_is_told(store_trio: Store, tmp_path: Path) -> None:
    folder = store_trio(tmp_path / "models", layers=1)
    (folder / "finetuned" / "chat_template.jinja").write_text("{{ messages }} finetuned")
    adapter(folder / "aligned", tmp_path / "adapter", target_modules=["q_proj"])
    (tmp_path / "adapter" / "chat_template.jinja").write_text("{{ messages }} beside")
    base, finetuned, unaligned = (str(folder / name) for name in ("aligned", "finetuned", "unaligned"))
    data = {"safe_data": str(folder / "safe.jsonl"), "calib_data": str(folder / "calib.jsonl")}
    three = {"base": unaligned, "aligned": base, "adapter": finetuned, "variant": "full_delta"}
    lora = three | {"adapter": str(tmp_path / "adapter"), "variant": "lora"}
    calls: list[tuple[Any, dict[str, Any], str | None, str]] = [
        (irr, {"base": base, "finetuned": finetuned, "unaligned": unaligned, **data}, None, "aligned"),
        (irr, {"base": base, "finetuned": finetuned, "unaligned": unaligned, **data}, "finetuned", "finetuned"),
        (safe_lora, three, None, "aligned"),
        (safe_lora, three, "adapter", "finetuned"),
        (safe_lora, lora, None, "adapter"),
        (safe_lora, lora, "base", "unaligned"),
        (lora_extraction, {"base": base, "model": finetuned, "rank": 1}, None, ""),
        (lora_extraction, {"base": base, "model": finetuned, "rank": 1}, "model", "finetuned"),
    ]
    for number, (method, given, told, expected) in enumerate(calls):
        chosen = {} if told is None else {"tokenizer_from": told}
        out = method.apply(method.Config(**given, **chosen, out=str(tmp_path / f"out{number}")))
        template = out / "chat_template.jinja"
        whose = {"adapter": tmp_path / "adapter"}.get(expected, folder / expected)
        assert (template.read_text() if template.exists() else None) == (
            (whose / "chat_template.jinja").read_text() if expected else None
        ), (method.__name__, told)
        with pytest.raises(InputError, match=r"tokenizer_from is nobody\. Give one of base, "):
            method.apply(method.Config(**given, tokenizer_from="nobody", out=str(tmp_path / "none")))
    assert not list(tmp_path.glob("none*"))


@pytest.mark.parametrize(
    ("chosen", "message"), [("chat", r"Give one of base, models\[0\]"), ("models[0]", "holds no tokenizer")]
)
def test_a_tokenizer_that_is_not_there_is_refused(chosen: str, message: str, tmp_path: Path) -> None:
    base, tuned = llama(tmp_path / "base", 0), llama(tmp_path / "tuned", 1)
    with pytest.raises(InputError, match=message):
        merge(base, tuned, tmp_path / "out", tokenizer_from=chosen)
    assert not list(tmp_path.glob("out*"))


def test_another_tokenizer_is_named(tmp_path: Path) -> None:
    base, chat = chat_pair(tmp_path)
    content = json.loads((chat / "tokenizer.json").read_text())
    (chat / "tokenizer.json").write_text(json.dumps(content | {"post_processor": {"type": "ByteLevel"}}))
    out = merge(base, chat, tmp_path / "out")
    assert (
        "it has another tokenizer" in json.loads((out / "method.json").read_text())["notes"]["differences"]["models[0]"]
    )


def adapter(base: Path, folder: Path, **settings: Any) -> Any:
    """Save a random LoRA adapter and return the model with it, not merged: what it computes is the truth."""
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    wrapped = peft.get_peft_model(
        model, peft.LoraConfig(**{"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | settings)
    )
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    wrapped.save_pretrained(folder)
    return wrapped


TIED: dict[str, dict[str, Any]] = {
    "embeddings": {"target_modules": ["embed_tokens"]},
    "output": {"target_modules": ["lm_head"]},
    "both": {"target_modules": ["embed_tokens", "lm_head"]},
    "both, tied by peft": {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
    "embeddings saved whole": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "output saved whole": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "both saved whole": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "neither": {"target_modules": "all-linear"},
}


@pytest.mark.parametrize("stored", ["one", "both"])
@pytest.mark.parametrize("case", TIED)
def test_an_adapter_of_tied_weights_computes_what_it_did_before_it_was_merged(
    case: str, stored: str, tmp_path: Path
) -> None:
    base = llama(tmp_path / "base", 0, tie_word_embeddings=True)
    if stored == "both":
        tensors = load_file(base / "model.safetensors")
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    wrapped = adapter(base, tmp_path / "adapter", **TIED[case])
    out = merge(base, tmp_path / "adapter", tmp_path / "out")
    torch.testing.assert_close(logits(out), logits(wrapped), atol=1e-5, rtol=1e-5)
    config = json.loads((out / "config.json").read_text())
    assert config["tie_word_embeddings"] is (case == "neither")
    if case != "neither":
        with pytest.raises(InputError, match=r"which are one tensor in .*base: the model that it makes has to store"):
            open_checkpoint(tmp_path / "adapter", Folder(base))
        half = merge(base, tmp_path / "adapter", tmp_path / "half", weights=(0.5,))
        weights, before = Folder(half), Folder(base)
        for name in weights.names:
            start = before.tensor(name if name in before.names else "model.embed_tokens.weight")
            torch.testing.assert_close(weights.tensor(name), (start + Folder(out).tensor(name)) / 2)


@pytest.mark.parametrize("target", ["wte", "lm_head"])
def test_a_base_that_is_stored_without_its_class_s_prefix_is_untied_too(target: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "base")
    tensors = load_file(tmp_path / "base" / "model.safetensors")
    short = {name.removeprefix("transformer."): values for name, values in tensors.items()}
    save_file(short, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    assert "wte.weight" in short
    wrapped = adapter(tmp_path / "base", tmp_path / "adapter", target_modules=["c_attn", target])
    out = merge(tmp_path / "base", tmp_path / "adapter", tmp_path / "out")
    torch.testing.assert_close(logits(out), logits(wrapped), atol=1e-5, rtol=1e-5)


SMALL = {
    "Bart": {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 64,
    },
    "T5": {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0},
    "Bert": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
}  # fmt: skip


def with_adapter_outside_layers(kind: str, target: str, folder: Path) -> tuple[Any, Callable[[Any], torch.Tensor], Any]:
    """A model with several ties and no bias of 0, and an adapter of one of its weights outside of layers."""
    head, auto = ("MaskedLM", "MaskedLM") if kind == "Bert" else ("ConditionalGeneration", "Seq2SeqLM")
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=64, **SMALL[kind])
    model = getattr(transformers, f"{kind}For{head}")(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder / "base")
    load = getattr(transformers, f"AutoModelFor{auto}").from_pretrained
    wrapped = peft.get_peft_model(load(folder / "base"), peft.LoraConfig(r=4, lora_alpha=8, target_modules=[target]))
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    wrapped.save_pretrained(folder / "adapter")

    def answered(model: Any) -> torch.Tensor:
        given = {"input_ids": TOKENS} if kind == "Bert" else {"input_ids": TOKENS, "decoder_input_ids": TOKENS}
        with torch.no_grad():
            found: torch.Tensor = model.eval()(**given).logits
        return found

    return wrapped, answered, load


@pytest.mark.parametrize(
    ("kind", "target"),
    [("Bart", "lm_head"), ("T5", "lm_head"), ("Bert", "decoder"), ("Bert", "word_embeddings")],
)
def test_a_model_with_several_ties_computes_what_its_adapter_made_of_it(kind: str, target: str, tmp_path: Path) -> None:
    wrapped, answered, load = with_adapter_outside_layers(kind, target, tmp_path)
    out = merge(tmp_path / "base", tmp_path / "adapter", tmp_path / "out")
    torch.testing.assert_close(answered(load(out)), answered(wrapped), atol=1e-5, rtol=1e-5)
    assert (answered(load(tmp_path / "base")) - answered(wrapped)).abs().max() > 0.01


@pytest.mark.parametrize(("kind", "target"), [("Bart", "shared"), ("Bart", "embed_tokens"), ("T5", "shared")])
def test_an_adapter_of_embeddings_that_several_weights_share_is_refused(kind: str, target: str, tmp_path: Path) -> None:
    with_adapter_outside_layers(kind, target, tmp_path)
    with pytest.raises(
        InputError, match=r"it changes one of .*embed_tokens\.weight.*, which .*base stores once for all"
    ):
        merge(tmp_path / "base", tmp_path / "adapter", tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_an_adapter_of_tied_weights_is_merged_beside_tied_models(tmp_path: Path) -> None:
    base, tuned = (llama(tmp_path / name, n, tie_word_embeddings=True) for n, name in enumerate(("base", "tuned")))
    adapter(base, tmp_path / "adapter", target_modules=["lm_head"])
    models = (str(tmp_path / "adapter"), str(tuned))
    out = Folder(merge(base, tuned, tmp_path / "out", models=models, weights=(1.0, 1.0)))
    embeddings, head = out.tensor("model.embed_tokens.weight"), out.tensor("lm_head.weight")
    torch.testing.assert_close(embeddings, Folder(tuned).tensor("model.embed_tokens.weight"))
    lora = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    a, b = (lora[f"base_model.model.lm_head.lora_{side}.weight"] for side in "AB")
    torch.testing.assert_close(head, embeddings + 2 * b @ a, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("case", ["embeddings", "output"])
def test_methods_that_edit_one_model_keep_what_an_adapter_unties(case: str, store_trio: Store, tmp_path: Path) -> None:
    folder = store_trio(tmp_path / "models", layers=2, tie_word_embeddings=True)
    targets = ["q_proj", *TIED[case]["target_modules"]]
    wrapped = adapter(folder / "aligned", tmp_path / "adapter", target_modules=targets)
    three = {"base": folder / "unaligned", "aligned": folder / "aligned", "adapter": tmp_path / "adapter"}
    nothing = {"select": "threshold", "threshold": -1.0} | {name: str(path) for name, path in three.items()}
    safe_lora.apply(safe_lora.Config(**nothing, out=str(tmp_path / "lora")))
    one, other = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("adapter", "lora"))
    assert all(torch.equal(values, other[name]) for name, values in one.items())
    whole = safe_lora.apply(safe_lora.Config(**nothing, variant="full_delta", out=str(tmp_path / "whole")))
    torch.testing.assert_close(logits(whole), logits(wrapped), atol=1e-5, rtol=1e-5)
    models = {"base": folder / "aligned", "finetuned": tmp_path / "adapter", "unaligned": folder / "unaligned"}
    data = {"safe_data": folder / "safe.jsonl", "calib_data": folder / "calib.jsonl", "out": tmp_path / "irr"}
    repaired = irr.apply(irr.Config(**{name: str(path) for name, path in {**models, **data}.items()}, retain=1.0))
    torch.testing.assert_close(logits(repaired), logits(wrapped), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("tied", ["base", "tuned"])
def test_a_tied_and_an_untied_model_are_merged_as_both_compute(tied: str, tmp_path: Path) -> None:
    base = llama(tmp_path / "base", 0, tie_word_embeddings=tied == "base")
    tuned = llama(tmp_path / "tuned", 1, tie_word_embeddings=tied == "tuned")
    torch.testing.assert_close(logits(merge(base, tuned, tmp_path / "out")), logits(tuned))
    torch.testing.assert_close(logits(merge(base, tuned, tmp_path / "none", weights=(0.0,))), logits(base))


def test_an_output_layer_that_is_neither_stored_nor_tied_is_refused(tmp_path: Path) -> None:
    base, tuned = (llama(tmp_path / name, n, tie_word_embeddings=True) for n, name in enumerate(("base", "tuned")))
    edit_config(tuned, tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"tuned: of lm_head\.weight and model\.embed_tokens\.weight only one is"):
        merge(base, tuned, tmp_path / "out")


def test_an_adapter_of_another_base_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base, other = llama(tmp_path / "base", 0), llama(tmp_path / "other", 1)
    adapter(other, tmp_path / "adapter", target_modules=["q_proj"])
    out = merge(base, tmp_path / "adapter", tmp_path / "out")
    said = json.loads((out / "method.json").read_text())["notes"]["differences"]["models[0]"]
    assert said == [f"it was made for {other}"] and said[0] in caplog.text
    out = merge(other, tmp_path / "adapter", tmp_path / "own")
    assert json.loads((out / "method.json").read_text())["notes"] == {}


def test_a_stale_index_beside_the_weights_is_left_alone_as_transformers_does(tmp_path: Path) -> None:
    base, tuned = llama(tmp_path / "base", 0), llama(tmp_path / "tuned", 1)
    old = load_file(base / "model.safetensors")  # what an earlier save left in the folder
    save_file(old, tuned / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(old, "model-00001-of-00001.safetensors")}
    (tuned / "model.safetensors.index.json").write_text(json.dumps(index))
    torch.testing.assert_close(logits(merge(base, tuned, tmp_path / "out")), logits(tuned))


def test_tensors_that_an_index_omits_are_read_as_transformers_does(tmp_path: Path) -> None:
    base, tuned = llama(tmp_path / "base", 0), llama(tmp_path / "tuned", 1)
    torch.manual_seed(1)
    shutil.rmtree(tuned)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(tuned, max_shard_size="6KB")
    index = tuned / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    places = content["weight_map"]
    left = next(name for name in places if list(places.values()).count(places[name]) > 1)
    del places[left]
    index.write_text(json.dumps(content))
    assert left in Folder(tuned).names
    torch.testing.assert_close(logits(merge(base, tuned, tmp_path / "out")), logits(tuned))


@pytest.mark.parametrize("name", ["../base/model.safetensors", "/etc/hostname", "a/b.safetensors", "..", "a\\b"])
def test_an_index_names_files_of_its_own_folder_only(name: str, tmp_path: Path) -> None:
    llama(tmp_path / "base", 0)
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    with pytest.raises(DataError, match="which is no plain file name"):
        Folder(model)


def test_a_link_beside_the_weights_becomes_a_file_of_its_own_unless_it_leads_out_of_the_folder(tmp_path: Path) -> None:
    hub = tmp_path / "models--org--name"
    base = llama(hub / "snapshots" / "0a1b", 0)
    (hub / "blobs").mkdir()
    (hub / "blobs" / "0c").write_text('{"a": 1}')
    (base / "tokenizer_config.json").symlink_to(Path("../../blobs/0c"))  # as in every hub cache
    (base / "vocab.json").symlink_to("config.json")
    (tmp_path / "private").write_text("a secret")
    (base / "merges.txt").symlink_to(tmp_path / "private")
    out = merge(base, base, tmp_path / "out")
    assert not any(file.is_symlink() for file in out.iterdir())
    assert (out / "tokenizer_config.json").read_text() == '{"a": 1}'
    assert (out / "vocab.json").read_text() == (base / "config.json").read_text()
    assert not (out / "merges.txt").exists()
