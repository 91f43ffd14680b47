"""Language identification on 12,160 real strings, and on strings of our own, against the recorded counts."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness_ext.scoring import lid

COLUMNS = {
    "py3langid": "py3langid (default: script pre-check + macro map)",
    "lingua": "lingua restricted to 17 languages, no pre-check",
    "fasttext-ftz": "fasttext-ftz (argmax, no threshold, no pre-check)",
}
TATOEBA = {"ara": "ar", "ben": "bn", "cmn": "zh", "jpn": "ja", "kor": "ko", "swh": "sw"}
SEVEN = ("en", "zh", "ja", "ko", "ar", "bn", "sw")


@pytest.fixture(scope="module")
def strings(mirror: Path) -> list[tuple[str, str, str]]:
    """(where from, language, text)."""
    return list(_strings(mirror))


def _one(mirror: Path, pattern: str) -> Path:
    (found,) = mirror.glob(pattern)
    return found


def _lines(file: Path) -> list[str]:
    return file.read_bytes().decode().removesuffix("\n").split("\n")


def _strings(mirror: Path) -> Iterator[tuple[str, str, str]]:
    english: set[str] = set()
    folder = _one(mirror, "facebookresearch/LASER/*/data/tatoeba/v1")
    for code, language in TATOEBA.items():
        english |= {line.strip() for line in _lines(folder / f"tatoeba.{code}-eng.eng")}
        yield from (("tatoeba", language, line) for line in _lines(folder / f"tatoeba.{code}-eng.{code}"))
    yield from (("tatoeba", "en", line) for line in sorted(english)[::5][:1000])
    lens = _one(mirror, "circle-hit/Lens/*")
    aya = lens / "Probing/datasets/aya_en_zh_ja_ar_ko_bn_sw_300/test.jsonl"
    for row in map(json.loads, _lines(aya)):
        yield from (("aya", language, " ".join(row[language].split())) for language in SEVEN)
    alpaca = lens / "Manipulation/datasets/language_pull_data_alpaca_safe_200/train.json"
    for row in json.loads(alpaca.read_bytes())["Instances"][:100]:
        yield from (("alpaca", language, row[f"input_{language}"]) for language in SEVEN)
    for language in ("bn", "en", "ja", "sw", "zh"):
        file = _one(mirror, f"google-research/url-nlp/*/mgsm/mgsm_{language}.tsv")
        yield from (("mgsm", language, line.split("\t")[0]) for line in _lines(file))
    for language in ("ar", "en", "zh"):
        data = json.loads(_one(mirror, f"google-deepmind/xquad/*/xquad.{language}.json").read_bytes())["data"]
        yield from (("xquad_ctx", language, each["context"]) for article in data for each in article["paragraphs"])
    for language in ("sw", "zh"):
        file = _one(mirror, f"cambridgeltl/xcopa/*/data/{language}/test.{language}.jsonl")
        yield from (("xcopa", language, json.loads(line)["premise"]) for line in _lines(file))


@pytest.fixture(scope="module")
def known(golden: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((golden / "multilingual" / "lid.json").read_bytes())
    return found


def test_there_are_as_many_strings_as_were_counted(strings, known):
    counted: dict[str, Counter[str]] = {}
    for source, language, _ in strings:
        counted.setdefault(source, Counter())[language] += 1
    assert {source: dict(own) for source, own in counted.items()} == known["rows"]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_detector_is_right_as_often_as_recorded(name, strings, known):
    if name not in set(lid.installed()):
        pytest.skip(f"{name} is not installed")
    right: dict[str, Counter[str]] = {}
    for source, language, text in strings:
        right.setdefault(source, Counter())[language] += lid.accepts(language, lid.identify(text, name).code)
    total = sum(own.total() for own in right.values())
    recorded = known["correct"][COLUMNS[name]]
    assert abs(total - recorded["total"]) <= 5, {source: dict(own) for source, own in right.items()}
    off = [abs(count - recorded[source][language]) for source, own in right.items() for language, count in own.items()]
    assert sum(off) <= 5


def test_strings_of_our_own_are_identified_exactly(golden):
    own = json.loads((golden / "multilingual" / "lid_strings.json").read_bytes())
    found = [(row["text"], lid.identify(row["text"]).code) for row in own["identify_default"]]
    assert found == [(row["text"], row["lang"]) for row in own["identify_default"]]
    assert [lid.language_of_answer(text) for text in own["fidelity_undecided"]] == [lid.UNKNOWN] * 7


def test_a_long_answer_is_what_most_of_its_parts_are_in_any_order_and_again(strings):
    german, english = ([t for s, lang, t in strings if (s, lang) == ("xquad_ctx", want)] for want in ("ar", "en"))
    long = " ".join(german)[:12_500] + " " + " ".join(english)[:7_500]
    votes = Counter(lid.identify(part).code for part in lid.parts(long))
    assert votes.most_common(1)[0][0] == lid.identify(long).code == "ar"
    some = random.Random(0).sample([text for _, _, text in strings], 300)
    first = {text: lid.identify(text) for text in some}
    assert {text: lid.identify(text) for text in reversed(some)} == first
