"""Tiny random models of several architectures, stored as checkpoints, and requests that share beginnings."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from lm_eval.api.instance import Instance
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CONTEXT = 192
"""Tokens that the tiny models can look at."""
WINDOW = 12
"""Sliding window of those that have one: far shorter than the prompts."""

WORDS = ["the", "cat", "sat", "on", "mat", "and", "dog", "ran", "over", "hill", "true", "false", "happy", "sad"]

_SPECIAL = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
}
_SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]
_LINEAR: dict[str, Any] = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}


def _gpt2(vocabulary: int) -> Any:
    return transformers.GPT2Config(
        vocab_size=vocabulary, n_embd=32, n_layer=3, n_head=4, n_positions=CONTEXT, **_SPECIAL
    )


def _t5(vocabulary: int) -> Any:
    return transformers.T5Config(
        vocab_size=vocabulary, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=2,
        n_positions=CONTEXT, **_SPECIAL,
    )  # fmt: skip


def _of(config: str, **more: Any) -> Callable[[int], Any]:
    return lambda vocabulary: getattr(transformers, config)(vocab_size=vocabulary, **_SHAPE, **_SPECIAL, **more)


ARCHITECTURES: dict[str, tuple[Callable[[int], Any], str]] = {
    "llama": (_of("LlamaConfig"), "LlamaForCausalLM"),
    "gpt2": (_gpt2, "GPT2LMHeadModel"),
    "gemma3": (_of("Gemma3TextConfig", sliding_window=WINDOW, layer_types=_SLIDING), "Gemma3ForCausalLM"),
    "qwen3": (_of("Qwen3Config"), "Qwen3ForCausalLM"),
    "t5": (_t5, "T5ForConditionalGeneration"),
    # Caches that can be branched, but not cut into rows: linear attention, attention in fixed chunks.
    "qwen3next": (_of("Qwen3NextConfig", **_LINEAR), "Qwen3NextForCausalLM"),
    "llama4": (
        _of("Llama4TextConfig", attention_chunk_size=WINDOW, num_local_experts=2, intermediate_size_mlp=48),
        "Llama4ForCausalLM",
    ),
    # A recurrent state instead of keys and values.
    "mamba": (
        lambda vocabulary: transformers.MambaConfig(
            vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, state_size=8, **_SPECIAL
        ),
        "MambaForCausalLM",
    ),
}


class Requests(NamedTuple):
    """What a run asks of a model."""

    choices: list[Instance]
    texts: list[Instance]
    prompts: list[Instance]


def instance(kind: str, task: str, doc: int, *arguments: Any) -> Instance:
    return Instance(kind, {"id": doc}, arguments, 0, metadata=(task, doc, 1))


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A byte-level tokenizer that knows few whole words, so that texts merge and split in many ways."""
    built = Tokenizer(models.BPE())
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    built.train_from_iterator([" ".join(WORDS)] * 20, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


@pytest.fixture(scope="session")
def checkpoint(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return a function that stores a tiny random model of an architecture, once, and returns its folder."""
    made: dict[tuple[str, int], str] = {}

    def store(architecture: str, seed: int = 0) -> str:
        if (architecture, seed) not in made:
            config, name = ARCHITECTURES[architecture]
            torch.manual_seed(seed)
            model = getattr(transformers, name)(config(len(tokenizer)))
            for parameter in model.parameters():
                if parameter.dim() > 1:  # spread, so that likelihoods and greedy answers differ from each other
                    torch.nn.init.normal_(parameter, std=0.25)
            folder = str(tmp_path_factory.mktemp(f"{architecture}-{seed}"))
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[architecture, seed] = folder
        return made[architecture, seed]

    return store


@pytest.fixture(scope="session")
def requests() -> Requests:
    """Three levels of sharing, prompts that share nothing, ones that are too long, and empty contexts."""
    rng = random.Random(3)

    def text(count: int) -> str:
        return " ".join(rng.choices(WORDS, k=count))

    header = text(25)
    choices = []
    for doc in range(5):
        post = f"{header} {text(rng.randint(4, 20))}"
        for _ in range(2):
            question = f"{post} {text(rng.randint(3, 9))}"
            choices += [
                instance("loglikelihood", "shared", doc, question, choice)
                for choice in (" true", " false", " happy sad", " happy dog ran")
            ]
    for doc in range(6):
        question = text(rng.randint(2, 12))
        choices += [
            instance("loglikelihood", "own", doc, question, " true"),
            instance("loglikelihood", "own", doc, question + " ", "the hill"),
        ]
    choices += [instance("loglikelihood", "long", doc, text(2 * CONTEXT), " " + text(3)) for doc in range(2)]
    choices.append(instance("loglikelihood", "empty", 0, "", text(3)))
    texts = [instance("loglikelihood_rolling", "texts", length, text(length)) for length in (1, 20, 90, 2 * CONTEXT)]
    greedy = {"until": ["the", " dog"], "max_gen_toks": 16, "do_sample": False}
    prompts = [
        instance("generate_until", "shots", doc, f"{header} {text(rng.randint(2, 7))}", greedy) for doc in range(6)
    ]
    prompts += [
        instance("generate_until", "alone", doc, text(rng.randint(1, 9)), {"until": [], "max_gen_toks": 9})
        for doc in range(4)
    ]
    prompts.append(instance("generate_until", "one", 0, "a", {"until": "cat", "max_gen_toks": 5}))
    prompts.append(instance("generate_until", "long", 0, text(2 * CONTEXT), greedy))
    return Requests(choices, texts, prompts)
