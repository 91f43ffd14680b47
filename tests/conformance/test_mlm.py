"""Pseudo-log-likelihoods of the golden files: a tiny BERT, its pairs, and texts of the mirror."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from harness_ext.models.mlm.lm import MaskedLM

FOLDER = "circle-hit/SAPT/52a52b920324c656bdb6dac08e43dc600ba22f21/CL_Benchmark"
VARIANTS = ("original", "within_word_l2r")


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "architectures" / "pll.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def documents(mirror: Path) -> dict[str, list[str]]:
    """Texts without their frame, each once, in the order of the file."""

    def inputs(file: str) -> list[str]:
        content = json.loads((mirror / FOLDER / file / "test.json").read_text(encoding="utf-8"))
        return [row["input"] for row in content["Instances"]]

    reviews = [text.removeprefix("Text: ").strip() for text in inputs("Long_Sequence/sst2")]
    news = [text.strip() for text in inputs("SuperNI/task1290_xsum_summarization")]
    stories = [
        text.split("story: ", 1)[1].split("\n selected sentence:")[0].strip()
        for text in inputs("SuperNI/task748_glucose_reverse_cause_event_detection")
    ]
    found = {"reviews": reviews, "news": news, "stories": stories}
    return {name: list(dict.fromkeys(texts)) for name, texts in found.items()}


def model(golden: Path, expected: dict[str, Any], **arguments: Any) -> MaskedLM:
    return MaskedLM(str(golden / "architectures" / expected["model"]), device="cpu", dtype="float32", **arguments)


def requests(kind: str, arguments: list[tuple[str, ...]]) -> list[Instance]:
    return [Instance(kind, {}, one, index, metadata=("golden", index, 1)) for index, one in enumerate(arguments)]


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("pll", VARIANTS)
def test_golden_pairs(golden, expected, pll, batch_size):
    lm = model(golden, expected, pll=pll, batch_size=batch_size)
    assert lm.max_length - 2 == expected["usable_tokens"]
    pairs = requests("loglikelihood", [(pair["context"], pair["continuation"]) for pair in expected["pairs"]])
    for pair, (value, greedy) in zip(expected["pairs"], lm.loglikelihood(pairs, True), strict=True):
        assert value == pytest.approx(pair[pll]["loglikelihood"], abs=1e-3)
        assert greedy is pair[pll]["is_greedy"]


@pytest.mark.parametrize("pll", VARIANTS)
def test_golden_texts(golden, expected, documents, pll):
    texts = []
    for row in expected["rolling"]:
        corpus, _, number = (row["document"] or "").rstrip("]").partition("[")
        text = documents[corpus][int(number)] if corpus else row["text"]
        assert hashlib.sha256(text.encode()).hexdigest() == row["sha256"]
        texts.append((text,))
    lm = model(golden, expected, pll=pll, batch_size=32)
    values = lm.loglikelihood_rolling(requests("loglikelihood_rolling", texts), True)
    for row, value in zip(expected["rolling"], values, strict=True):
        assert value == pytest.approx(row[pll], abs=1e-3)


@pytest.mark.parametrize("corpus", ["stories", "reviews"])
def test_golden_bits_per_byte(golden, expected, documents, corpus):
    row = expected["ood_lm"][corpus]
    texts = documents[corpus][: row["first_docs"]]
    lm = model(golden, expected, batch_size=32)
    values = lm.loglikelihood_rolling(requests("loglikelihood_rolling", [(text,) for text in texts]), True)
    size = sum(len(text.encode()) for text in texts)
    assert -sum(values) / size / math.log(2) == pytest.approx(row["bits_per_byte"], rel=1e-5)
