"""One layer at a time gives what the whole model gives, for architectures that differ in all that is around layers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.importance import diagonal_fisher
from harness_ext.methods.irr import hessian
from harness_ext.methods.layers import fisher
from harness_ext.methods.layers.decoder import DecoderLayers
from harness_ext.methods.layers.loading import empty_model, load_model

SIZES = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
ARCHITECTURES: dict[str, Any] = {
    "llama": lambda: transformers.LlamaConfig(**SIZES),
    "qwen3": lambda: transformers.Qwen3Config(**SIZES, head_dim=8),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **SIZES, head_dim=8, sliding_window=4, layer_types=["sliding_attention", "full_attention", "sliding_attention"]
    ),
    "mistral": lambda: transformers.MistralConfig(**SIZES, sliding_window=4),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=40, n_embd=32, n_layer=3, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**{k: v for k, v in SIZES.items() if k != "num_key_value_heads"}),
}


def model_of(name: str) -> Any:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(ARCHITECTURES[name](), attn_implementation="eager").eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Three rows of nine tokens, two of them padded on the left."""
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[0, :3] = mask[2, :1] = 0
    ids = torch.randint(3, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids.masked_fill(mask == 0, 2), "attention_mask": mask}


def states_of_all(layers: DecoderLayers, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    states = [layers.embed(batch)]
    for index in range(len(layers)):
        states.append(layers.run(index, batch, states[-1]))
    return states


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layers_run_alone_give_the_models_own_states(name: str, batch: dict[str, torch.Tensor]) -> None:
    model = model_of(name)
    states = states_of_all(DecoderLayers(model), batch)
    with torch.no_grad():
        expected = model(**batch, output_hidden_states=True, use_cache=False).hidden_states
    for own, theirs in zip(states[:-1], expected[:-1], strict=True):  # the last one of the model is normed
        torch.testing.assert_close(own, theirs, atol=1e-5, rtol=1e-5)


def test_the_model_is_as_before(batch: dict[str, torch.Tensor]) -> None:
    model = model_of("llama")
    with torch.no_grad():
        before = model(**batch).logits
        states_of_all(DecoderLayers(model), batch)
        assert torch.equal(model(**batch).logits, before)


def test_hessians_are_those_of_the_inputs_of_each_linear(batch: dict[str, torch.Tensor]) -> None:
    model = model_of("llama")
    layers = DecoderLayers(model)
    states = [layers.run(0, batch, layers.embed(batch))]
    inputs: dict[str, torch.Tensor] = {}
    for name, module in layers.linears(1).items():
        module.register_forward_pre_hook(lambda _, args, name=name: inputs.__setitem__(name, args[0]))
    with torch.no_grad():
        model(**batch)
    keep = batch["attention_mask"].bool()
    for include_padding in (True, False):
        found = layers.hessians(1, [batch], states, ["q_proj", "v_proj", "down_proj"], include_padding=include_padding)
        assert [name.split(".")[-2] for name in found] == ["q_proj", "v_proj", "down_proj"]
        for name, values in found.items():
            rows = inputs[name] if include_padding else [x[k] for x, k in zip(inputs[name], keep, strict=True)]
            torch.testing.assert_close(values, hessian(rows), atol=1e-4, rtol=1e-4)


def test_the_quirk_lets_full_rows_see_ahead_and_no_others(batch: dict[str, torch.Tensor]) -> None:
    model = model_of("llama")
    causal = states_of_all(DecoderLayers(model), batch)
    ahead = states_of_all(DecoderLayers(model, full_rows_see_ahead=True), batch)
    open_mask = torch.zeros(1, 1, 9, 9)
    with torch.no_grad():
        expected = model(
            batch["input_ids"][1:2], attention_mask=open_mask, output_hidden_states=True, use_cache=False
        ).hidden_states
    torch.testing.assert_close(ahead[2][1:2], expected[2], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(ahead[1][1], causal[1][1], atol=1e-3)
    torch.testing.assert_close(ahead[2][[0, 2]], causal[2][[0, 2]])


def test_the_quirk_refuses_a_kind_of_attention_without_additive_masks(batch: dict[str, torch.Tensor]) -> None:
    model = transformers.AutoModelForCausalLM.from_config(ARCHITECTURES["llama"](), attn_implementation="sdpa").eval()
    layers = DecoderLayers(model, full_rows_see_ahead=True)
    with pytest.raises(InputError, match="eager"):
        layers.run(0, batch, layers.embed(batch))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_loss_and_the_gradients_behind_layers_run_alone_are_the_models_own(
    name: str, batch: dict[str, torch.Tensor]
) -> None:
    model = model_of(name)
    layers = DecoderLayers(model)
    labelled = {**batch, "labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}
    before = states_of_all(layers, batch)[-2].requires_grad_()
    loss = layers.loss(labelled, layers.run(len(layers) - 1, batch, before, gradients=True))
    weights = [module.weight for module in layers.linears(len(layers) - 1).values()] or [layers.modules[-1].ln_1.weight]
    own = torch.autograd.grad(loss, weights)
    expected = model(**labelled, use_cache=False).loss
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-5)
    for one, other in zip(own, torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("batches", [3, 4])
def test_the_fisher_pass_reads_each_layer_once_a_batch_and_scores_as_the_whole_model_does(
    batches: int, batch: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_of("llama").save_pretrained(tmp_path)
    mask = batch["attention_mask"]
    texts = [batch["input_ids"].roll(rows, 0) for rows in range(batches)]
    given = [{"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)} for ids in texts]
    read: Counter[str] = Counter()
    load = fisher.load_weights

    def counted(model: Any, checkpoint: Any, names: list[str], device: torch.device) -> None:
        read.update(names)
        load(model, checkpoint, names, device)

    monkeypatch.setattr(fisher, "load_weights", counted)
    device = torch.device("cpu")
    layers = DecoderLayers(empty_model(str(tmp_path), device))
    targets = {index: list(layers.linears(index, ["q_proj", "down_proj"])) for index in range(len(layers))}
    found = fisher.layerwise_fisher(layers, open_checkpoint(tmp_path), given, targets, device)
    whole = load_model(str(tmp_path))
    whole.set_attn_implementation("eager")  # other kinds give padding other states
    expected = diagonal_fisher(whole, given, ["q_proj", "down_proj"])
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
        assert read[name] == 4
