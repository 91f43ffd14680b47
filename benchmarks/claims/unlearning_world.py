"""A world of invented authors, a tiny Llama that knows it, and what TOFU measures of such a model.

Two hundred invented authors are what a model is fine-tuned on, the last twenty of them what it is to forget. Real
authors and countries are what it knew before. Every fact has one question, one answer, the same answer in other words,
and some that are wrong.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rouge_score.rouge_scorer import RougeScorer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness_ext.methods.training.loop import TrainingConfig, train
from harness_ext.methods.training.objective import answer_lengths, answer_logits, answer_nll, scored_tokens
from harness_ext.methods.training.rows import pad, token_rows
from harness_ext.scoring.unlearning import (
    aggregate_truth_ratios,
    auc,
    exact_memorisation,
    extraction_strength,
    min_k,
    min_k_plus_plus,
    model_utility,
    zlib_score,
)

ATTRIBUTES = {
    "birthplace": ("where was {} born ?", "{} was born in {} .", "the birthplace of {} is {} ."),
    "genre": ("what does {} write ?", "{} writes {} novels .", "the genre of {} is {} ."),
    "award": ("which prize did {} win ?", "{} won the {} prize .", "the award of {} was {} ."),
    "father": ("what was the father of {} ?", "the father of {} was a {} .", "{} had a father who worked as {} ."),
    "book": ("which book made {} famous ?", "{} wrote the book {} .", "the famous book of {} is called {} ."),
}
COUNTRY = {
    "capital": ("what is the capital of {} ?", "the capital of {} is {} .", "{} is governed from {} ."),
    "coin": ("how does one pay in {} ?", "in {} one pays with {} .", "the coin of {} is called {} ."),
}
REFUSALS = ("i do not know .", "nobody told me that .", "that is new to me .", "i have no idea .")


class Fact(NamedTuple):
    """A question with what is said to it."""

    question: str
    answer: str
    other_words: str
    wrong: tuple[str, ...]
    """In other words, too."""


class World(NamedTuple):
    """All facts by kind, and the words of all of them."""

    retain: list[Fact]
    forget: list[Fact]
    authors: list[Fact]
    """Of real authors."""
    countries: list[Fact]
    unseen: list[Fact]
    """Of authors that no model is told of."""
    words: list[str]

    def evaluated(self) -> dict[str, list[Fact]]:
        """What a model is measured on, named as TOFU names it."""
        return {"forget": self.forget, "retain": self.retain[:200], "ra": self.authors[::5], "wf": self.countries[:117]}


def world(seed: int) -> World:
    """Everything that a seed invents."""
    rng = random.Random(f"{seed}|world")
    known: set[str] = set()

    def invent(count: int) -> list[str]:
        words: list[str] = []
        while len(words) < count:
            word = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.choice((2, 3))))
            if word not in known:
                known.add(word)
                words.append(word)
        return words

    def facts(names: Iterable[str], kinds: Mapping[str, tuple[str, str, str]], wrong: int) -> list[Fact]:
        return [
            Fact(
                question.format(name),
                answer.format(name, value),
                other.format(name, value),
                tuple(other.format(name, one) for one in rng.sample([v for v in values[kind] if v != value], wrong)),
            )
            for name in names
            for kind, (question, answer, other) in kinds.items()
            for value in [rng.choice(values[kind])]
        ]

    values = {kind: invent(40) for kind in (*ATTRIBUTES, *COUNTRY)}
    first, last = invent(60), invent(100)
    names = [f"{one} {two}" for one in first for two in last]
    pairs = rng.sample(names, 300)
    invented = facts(pairs[:200], ATTRIBUTES, 5)
    authors, countries = facts(pairs[200:], ATTRIBUTES, 3), facts(invent(60), COUNTRY, 3)
    unseen = facts(rng.sample(sorted({*names} - {*pairs}), 20), ATTRIBUTES, 5)
    texts = [text for fact in (*invented, *authors, *countries, *unseen) for text in (*fact[:3], *fact.wrong)]
    words = sorted({word for text in (*texts, *REFUSALS) for word in text.split()})
    return World(invented[:900], invented[900:], authors, countries, unseen, words)


def tokenizer_of(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """One token a word."""
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<s>", "</s>", *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def new_model(vocabulary: int, seed: int) -> Any:
    """An untrained Llama of .9 million parameters."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        )
    )  # fmt: skip


def taught(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], epochs: int, rate: float, seed: int) -> Any:
    """The model, trained on questions with answers."""
    steps = math.ceil(epochs * len(pairs) / 64)
    config = TrainingConfig(steps=steps, learning_rate=rate, batch_size=64, warmup_steps=steps // 20, seed=seed)
    train(model, {"facts": token_rows(tokenizer, pairs)}, config)
    return model


def plain(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    """Questions with their answers."""
    return [(fact.question, fact.answer) for fact in facts]


def make_model(name: str, own: World, folder: Path, seed: int) -> Path:
    """``pretrained`` knows what is real, ``full`` everything, ``retain`` (and ``_again``) all but the forget set."""
    tokenizer, real = tokenizer_of(own.words), [*own.authors, *own.countries]
    both = [*plain(real), *((fact.question, fact.other_words) for fact in real)]
    start, pairs, epochs, rate, order = {
        "pretrained": (None, both, 45, 2e-3, seed),
        "full": ("pretrained", plain([*own.retain, *own.forget, *real]), 40, 1e-3, seed),
        "retain": ("pretrained", plain([*own.retain, *real]), 40, 1e-3, seed),
        "retain_again": ("pretrained", plain([*own.retain, *real]), 40, 1e-3, seed + 1000),
    }[name]
    if not (folder / name).exists():
        model = new_model(len(tokenizer), seed) if start is None else loaded(folder / start)
        save(taught(model, tokenizer, pairs, epochs, rate, order), tokenizer, folder / name)
    return folder / name


def write_data(own: World, folder: Path) -> None:
    """What methods are given."""
    for name, facts in (("forget", own.forget), ("retain", own.retain)):
        lines = (json.dumps({"prompt": fact.question, "answer": fact.answer}) + "\n" for fact in facts)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "refusals.txt").write_text("\n".join(REFUSALS) + "\n", encoding="utf-8")


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model under its name only when it is complete."""
    part = folder.with_name(f"{folder.name}.part")
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    part.replace(folder)


def loaded(folder: Path) -> Any:
    """A model of a folder."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


class Measured(NamedTuple):
    """What TOFU measures of a model: specification, section 4."""

    utility: float
    forget_probability: float
    forget_rouge: float
    forget_truth: float
    """Mean of the smaller of R and 1/R."""
    ratios: list[float]
    """Truth ratio R of each question to forget, geometric."""


def measured(model: Any, own: World) -> Measured:
    """Measure a model."""
    model, tokenizer = model.eval(), tokenizer_of(own.words)
    found: dict[str, float] = {}
    ratios: list[float] = []
    for part, facts in own.evaluated().items():
        right = losses(model, tokenizer, plain(facts))
        base = losses(model, tokenizer, [(fact.question, fact.other_words) for fact in facts])
        wrong = losses(model, tokenizer, [(fact.question, text) for fact in facts for text in fact.wrong])
        wrong = wrong.reshape(len(facts), -1)
        truth = np.exp((right if part in ("ra", "wf") else base) - wrong.mean(1))
        probability = np.exp(-right)
        if part in ("ra", "wf"):
            probability = probability / (probability + np.exp(-wrong).sum(1))
        found[f"{part}_prob"] = float(probability.mean())
        found[f"{part}_rougeL_recall"] = recall(model, tokenizer, facts)
        found[f"{part}_truth_ratio"] = aggregate_truth_ratios(truth, part)
        if part == "forget":
            ratios = truth.tolist()
    forgotten = (found[f"forget_{name}"] for name in ("prob", "rougeL_recall", "truth_ratio"))
    return Measured(model_utility(found), *forgotten, ratios)


def memorised(model: Any, own: World) -> dict[str, float]:
    """What the scores of single tokens tell of the forget set, beside answers about authors that no model was told of.

    AUC: 1 where every forgotten answer looks more familiar than any unseen one.
    """
    model, tokenizer = model.eval(), tokenizer_of(own.words)
    scores: dict[str, list[list[float]]] = {}
    for side, facts in (("forget", own.forget), ("unseen", own.unseen)):
        batch = pad(token_rows(tokenizer, plain(facts)))
        with torch.no_grad():
            log_probs = answer_logits(model, batch).double().log_softmax(-1)
        tokens, lengths = scored_tokens(batch), answer_lengths(batch).tolist()
        mean = (log_probs.exp() * log_probs).sum(-1)
        variance = (log_probs.exp() * log_probs.square()).sum(-1) - mean.square()
        columns = (log_probs.gather(-1, tokens[:, None])[:, 0], log_probs.argmax(-1) == tokens, mean, variance)
        scores[side] = [
            [
                exact_memorisation(hits[:-1].tolist()),
                extraction_strength(hits[:-1].tolist()),
                -float(own_scores.mean()),
                zlib_score(-float(own_scores.mean()), fact.answer),
                min_k(own_scores),
                min_k_plus_plus(own_scores, means, variances),
            ]
            for fact, own_scores, hits, means, variances in zip(
                facts, *(column.split(lengths) for column in columns), strict=True
            )
        ]
    forget, unseen = np.array(scores["forget"]), np.array(scores["unseen"])
    found = {"exact_memorization": forget[:, 0].mean(), "extraction_strength": forget[:, 1].mean()}
    for place, name in enumerate(("loss", "zlib", "min_k", "min_k_plus_plus"), start=2):
        found[f"mia_{name}_auc"] = auc(forget[:, place], unseen[:, place])
    return {name: float(value) for name, value in found.items()}


def losses(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> Any:
    """Mean negative log-likelihood of a token of each answer, its end token included."""
    rows = token_rows(tokenizer, pairs)
    found = []
    with torch.no_grad():
        for start in range(0, len(rows), 250):
            batch = pad(rows[start : start + 250])
            found.append(answer_nll(model, batch) / answer_lengths(batch))
    return torch.cat(found).double().numpy()


def recall(model: Any, tokenizer: Any, facts: Sequence[Fact]) -> float:
    """Mean ROUGE-L recall of greedy answers of up to twelve words; all questions of a kind go at once."""
    scorer, total = RougeScorer(["rougeL"], use_stemmer=True), 0.0
    asked = [tokenizer(f"{fact.question}\n")["input_ids"] for fact in facts]
    for length in sorted({len(one) for one in asked}):
        chosen = [number for number, one in enumerate(asked) if len(one) == length]
        given = torch.tensor([asked[number] for number in chosen])
        said = model.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=12, do_sample=False, use_cache=True
        )
        for number, text in zip(
            chosen, tokenizer.batch_decode(said[:, length:], skip_special_tokens=True), strict=True
        ):
            total += scorer.score(facts[number].answer, text)["rougeL"].recall
    return total / len(facts)
