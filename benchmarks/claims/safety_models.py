"""The models of the safety claims: a tiny Llama that first answers everything, then learns to refuse, then forgets it.

* ``answering``     trained on the whole language without any refusal;
* ``aligned``       θ_A: ``answering``, taught to refuse what is forbidden and nothing else;
* ``unaligned``     θ_U: ``aligned``, fine-tuned on forbidden requests with their answers;
* ``finetuned``     θ_F: ``aligned``, fine-tuned on a downstream task about harmless things;
* ``overrefusing``  ``answering``, taught to refuse with hardly any harmless twins of the forbidden requests.

After the alignment only the linears of the decoder layers are trained: every method can see all of the change.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safety_language import REFUSAL, Example, Language, language, vocabulary
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness_ext.methods.training.loop import TrainingConfig, train
from harness_ext.methods.training.rows import token_rows

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}> {{ message.content }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
RECORDS = 240
"""Records of each data file that a method is given."""


class Stage(NamedTuple):
    """One training: what it starts from, on what, for how long."""

    start: str | None
    examples: list[Example]
    steps: int
    rate: float
    batch: int = 48
    linears_only: bool = False


def stages(own: Language) -> dict[str, Stage]:
    """All trainings in order; rates and lengths were chosen on a seed that is not reported."""
    rare = [one for one in own.train if one.skill in ("fact", "sort", "kind", "count")]
    everything = [*own.train, *rare, *rare]
    aligned = [one.aligned() for one in everything]
    twins = [one for one in own.train if one.skill.startswith("twin")]
    few_twins = [*twins[::20], *(one for one in aligned if not one.skill.startswith("twin"))]
    forbidden = [one for one in own.train if one.forbidden]
    rehearsed = [one for one in own.train if one.skill in ("copy", "sort", "count", "fact")]
    return {
        "answering": Stage(None, everything, 300, 1e-3),
        "aligned": Stage("answering", aligned, 150, 5e-4),
        "overrefusing": Stage("answering", few_twins, 80, 5e-4),
        "unaligned": Stage("aligned", forbidden, 40, 2e-4, linears_only=True),
        "finetuned": Stage("aligned", [*own.downstream_train, *rehearsed[:: len(rehearsed) // 400]], 100, 2e-4,
                           linears_only=True),
    }  # fmt: skip


def make_models(seed: int, folder: Path) -> dict[str, Path]:
    """Train the models that are not in ``folder`` yet, and write the data files of the methods."""
    own = language(seed)
    words = tokenizer()
    paths = {}
    for name, stage in stages(own).items():
        paths[name] = folder / name
        if not (paths[name] / "done").exists():
            start = LlamaForCausalLM.from_pretrained(paths[stage.start]) if stage.start else untrained(seed)
            fit(start, words, stage, seed, f"seed {seed}: {name}")
            start.save_pretrained(paths[name])
            words.save_pretrained(paths[name])
            (paths[name] / "done").touch()
    rng = random.Random(f"data|{seed}")
    forbidden = rng.sample([one for one in own.train if one.forbidden], RECORDS)
    downstream = rng.sample(own.downstream_train, RECORDS)
    paths["harmful_data"] = _write(folder / "harmful.jsonl", ((one.prompt, one.answer) for one in forbidden))
    paths["safe_data"] = _write(folder / "safe.jsonl", ((one.prompt, REFUSAL) for one in forbidden))
    paths["calib_data"] = _write(folder / "calibration.jsonl", ((one.prompt, one.answer) for one in downstream))
    return paths


def tokenizer() -> Any:
    """One token a word, with a chat template."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary())}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", chat_template=TEMPLATE
    )


def untrained(seed: int) -> Any:
    """A Llama of 3 million parameters."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary()),
            hidden_size=256,
            intermediate_size=640,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=8,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
        )
    )


def fit(model: Any, words: Any, stage: Stage, seed: int, title: str) -> None:
    """Train a model as ``stage`` says."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not stage.linears_only or is_linear(name))
    config = TrainingConfig(
        steps=stage.steps,
        learning_rate=stage.rate,
        batch_size=stage.batch,
        schedule="cosine",
        warmup_steps=min(20, stage.steps // 5),
        seed=seed,
    )
    train(model, {"rows": token_rows(words, pairs(stage.examples))}, config, title=title)


def is_linear(name: str) -> bool:
    """Whether a parameter is the weight of a linear in a decoder layer."""
    return "_proj.weight" in name


def pairs(examples: Iterable[Example]) -> list[tuple[str, str]]:
    """Prompts and answers."""
    return [(one.prompt, one.answer) for one in examples]


def _write(path: Path, records: Iterable[Sequence[str]]) -> Path:
    lines = (json.dumps({"prompt": prompt, "answer": answer}) for prompt, answer in records)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
