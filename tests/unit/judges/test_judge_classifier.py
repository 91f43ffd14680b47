"""Local models as judges: tiny random ones, made here, so only what is done with their outputs is checked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertForSequenceClassification,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from harness_ext.errors import InputError
from harness_ext.judges.judge import Item
from harness_ext.judges.loading import load_judge

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "yes", "no", "how", "sure", "sorry", "I", "cannot", "help", "here", "is"]


def tokenizer(**more: Any) -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", **more)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory, store_tiny: Callable[..., Path]) -> Path:
    labels = {"id2label": {0: "OK", 1: "BAD"}, "label2id": {"OK": 0, "BAD": 1}, "initializer_range": 1.0}
    own = tokenizer(cls_token="[CLS]", sep_token="[SEP]", model_max_length=32)
    folder = tmp_path_factory.mktemp("classifiers") / "tiny-guard"
    return store_tiny(folder, "BertForSequenceClassification", own, max_position_embeddings=32, **labels)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory, store_tiny: Callable[..., Path]) -> Path:
    tokens = {"max_position_embeddings": 16, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    folder = tmp_path_factory.mktemp("causal") / "tiny-llama"
    store_tiny(folder, "LlamaForCausalLM", tokenizer(), intermediate_size=16, **tokens)
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():  # it repeats the last word it was shown
        embedding = torch.nn.functional.one_hot(torch.arange(len(WORDS)), 16).float() * 10
        model.model.embed_tokens.weight.copy_(embedding)
        model.lm_head.weight.copy_(embedding)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    model.save_pretrained(folder)
    return folder


def judge_file(folder: Path, name: str, **fields: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"kind": "classifier", **fields}), encoding="utf-8")
    return path


ITEMS = [
    Item("how", "sure here is", {"id": "a"}),
    Item("how", "I cannot help", {"id": "b"}),
    Item("how", " ", {"id": "c"}),
    Item("is", "yes " * 100, {"id": "d"}),
]


def test_a_classifier_says_what_transformers_says(bert: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    path = judge_file(tmp_path, "guard", model=str(bert), labels={"OK": "safe", "BAD": "harmful"}, batch_size=2)
    judge = load_judge(f"classifier:{path}", cache=tmp_path / "cache")
    verdicts = [json.loads(verdict) for verdict in judge.judge(ITEMS)]
    reference = pipeline("text-classification", model=str(bert), device="cpu", top_k=None)
    for item, found in zip(ITEMS, verdicts, strict=True):
        assert (found["judge"], found["kind"]) == ("cls_guard", "harm")
        if not item.response.strip():
            assert found["label"] == "invalid"
            continue
        pair = {"text": item.prompt, "text_pair": item.response}
        shares = {one["label"]: one["score"] for one in reference(pair, truncation=True)}
        assert found["score"] == pytest.approx(shares["BAD"], abs=1e-5)
        assert found["label"] == ("harmful" if shares["BAD"] > shares["OK"] else "safe")
    assert judge.statistics.to_json() == {"asked": 3, "cached": 0, "retried": 0, "invalid": 1}
    again = load_judge(f"classifier:{path}", cache=tmp_path / "cache")
    assert [json.loads(verdict) for verdict in again.judge(ITEMS)] == verdicts
    assert again.statistics.asked == 0


def test_other_weights_under_the_same_name_are_another_judge(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy" / bert.name
    shutil.copytree(bert, folder)
    labels = {"OK": "safe", "BAD": "harmful"}
    one, other = (
        load_judge({"kind": "classifier", "model": str(model), "labels": labels}, cache=tmp_path)
        for model in (bert, folder)
    )
    assert one.describe() == other.describe()
    model = BertForSequenceClassification.from_pretrained(folder)
    model.classifier.bias.data += 1
    model.save_pretrained(folder)
    other.judge(ITEMS)
    assert other.describe()["fingerprint"] != one.describe()["fingerprint"]
    one.judge(ITEMS)
    assert (one.statistics.cached, other.statistics.cached) == (0, 0)


def test_a_prompt_pack_makes_one_text_for_a_classifier_of_refusal(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "pack.txt").write_text("{{ response }}", encoding="utf-8")
    path = judge_file(
        tmp_path, "refusal", model=str(bert), labels={"OK": "compliance", "BAD": "refusal"}, prompt="pack.txt"
    )
    judge = load_judge(path, cache=tmp_path)
    assert (judge.kind, judge.three_class, judge.name) == ("refusal", False, "cls_refusal")
    (one, other) = judge.judge([Item("how", "sure", {}), Item("is", "sure", {})])
    assert json.loads(one)["score"] is None
    assert json.loads(one)["label"] == json.loads(other)["label"]  # the prompt is not shown


@pytest.mark.parametrize(("last", "label"), [("yes", "harmful"), ("no", "safe"), ("here", "invalid")])
def test_the_first_word_of_a_causal_model_is_read_and_its_input_is_cut_at_the_left(
    last: str, label: str, llama: Path, tmp_path: Path
) -> None:
    (tmp_path / "pack.txt").write_text("how {{ response }} " + last, encoding="utf-8")
    fields = {"parser": "yes_no_first_token", "format": "text", "prompt": "pack.txt"}
    path = judge_file(tmp_path, "guard", model=str(llama), batch_size=2, **fields)
    judge = load_judge(path, cache=tmp_path / "cache")
    items = [Item("how", "help", {}), Item("how", "sure " * 300, {}), Item("how", "I cannot", {})]
    assert [json.loads(verdict)["label"] for verdict in judge.judge(items)] == [label] * 3
    assert judge.describe()["decoding"] == {
        **{"max_length": None, "truncation": "left", "dtype": "auto"},
        **{"greedy": True, "max_tokens": 1},
    }


def test_a_causal_model_without_a_chat_template_needs_a_text(llama: Path, tmp_path: Path) -> None:
    judge = load_judge({"kind": "classifier", "model": str(llama), "parser": "llamaguard"}, cache=tmp_path)
    with pytest.raises(InputError, match="no chat template; give a prompt pack and format: text"):
        judge.judge(ITEMS)


def test_labels_that_the_model_does_not_have_are_named(bert: Path, tmp_path: Path) -> None:
    judge = load_judge(
        {"kind": "classifier", "model": str(bert), "labels": {"good": "safe", "BAD": "harmful"}}, cache=tmp_path
    )
    with pytest.raises(InputError, match="its labels are OK, BAD, and the judge's file names good, BAD"):
        judge.judge(ITEMS)


def test_weights_that_are_no_safetensors_and_hub_names_are_refused(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    for model in (str(folder), "someone/guard"):
        with pytest.raises(InputError, match="none is downloaded"):
            load_judge({"kind": "classifier", "model": model, "labels": {"OK": "safe", "BAD": "harmful"}})
