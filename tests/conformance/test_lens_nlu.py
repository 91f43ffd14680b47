"""The understanding tasks on the released files: counts, defects and prompts against the recorded ones."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness_ext.tasks.fixed_xcopa import docs as fixed
from harness_ext.tasks.lens_nlu import docs
from harness_ext.tasks.lens_nlu.readers import XCOPA_LANGUAGES, jmmlu, xcopa, xwinograd


@pytest.fixture(scope="module")
def known(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "multilingual/tasks.json").read_bytes())
    return content


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("split", ["test", "val"])
def test_xcopa_asks_for_the_wrong_side_as_often_as_counted_and_never_once_corrected(split, known):
    chinese = {row["idx"]: row["question"] for row in xcopa("zh", split=split)}
    for language in XCOPA_LANGUAGES:
        stock = [row["question"] != chinese[row["idx"]] for row in xcopa(language, split=split, corrected=False)]
        if language in known["xcopa_question_mismatch_vs_zh"][split]:
            assert sum(stock) == known["xcopa_question_mismatch_vs_zh"][split][language], language
        rows = xcopa(language, split=split)
        assert all(row["question"] == chinese[row["idx"]] for row in rows)
        assert dict(Counter(str(row["label"]) for row in rows)) == known["xcopa_label_counts"][split]
    if split == "test":
        assert Counter(chinese.values()) == {"cause": 250, "effect": 250}


@pytest.mark.usefixtures("mirror")
def test_a_premise_keeps_its_last_letter(known):
    without = {
        language: sum(not unicodedata.category(row["premise"].strip()[-1]).startswith("P") for row in xcopa(language))
        for language in XCOPA_LANGUAGES
    }
    counted = known["xcopa_premise_without_final_punctuation"]["test"]
    assert without == {language: counted.get(language, counted["others"]) for language in XCOPA_LANGUAGES}
    thai = fixed.load("th")["test"]
    assert thai["premise"][:] == [row["premise"].strip() for row in xcopa("th")]
    italian = fixed.load("it")["test"]
    assert italian["premise"][:] == [row["premise"].strip()[:-1] for row in xcopa("it")]


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("language", ["en", "jp"])
def test_every_winograd_schema_is_found_in_its_sentence(language, known):
    rows = xwinograd(language)
    joined = ["\x01".join((row["sentence"], row["option1"], row["option2"], str(row["label"] + 1))) for row in rows]
    about = known["xwinograd"][language]
    assert (len(rows), sum(row["label"] == 0 for row in rows)) == (about["n"], about["answer_1"])
    assert hashlib.sha256("\0".join(joined).encode()).hexdigest()[:16] == about["sha16"]


@pytest.mark.usefixtures("mirror")
def test_jmmlu_has_its_questions_letters_and_equal_options(known):
    rows = jmmlu()
    letters = Counter("ABCD"[row["label"]] for row in rows)
    equal = sum(len({row[letter].strip() for letter in "ABCD"}) < 4 for row in rows)
    about = known["jmmlu"]
    assert (len(rows), dict(letters)) == (about["rows"], about["answers"])
    assert equal == about["rows_with_two_equal_options"]
    assert not any(row["question"].startswith("\ufeff") for row in rows)


def test_rows_are_drawn_as_the_authors_draw_them(known):
    about = known["lens_sampling"]
    chosen = docs.drawn(about["n"], about["k"])
    assert (chosen[:10], sum(chosen), len(set(chosen))) == (about["first10"], about["sum"], about["k"])
    assert docs.drawn(959, 1000) == list(range(959))


@pytest.mark.usefixtures("mirror")
def test_the_authors_prompts_are_rendered_as_they_render_them(known, golden):
    pack = str(golden / "multilingual/prompt_pack_lens_authors.json")
    asked = docs.load("xcopa", "zh", compat=True, prompt_pack=pack)["test"]
    texts = "\0".join(asked["text"])
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == known["lens_prompt_hash"]["xcopa_zh"]
    assert all("causeWhat" in text or "effectWhat" in text for text in asked["text"])
    mended = docs.load("xcopa", "zh", prompt_pack=pack)["test"]
    assert all("cause What" in text or "effect What" in text for text in mended["text"])
    assert asked["label"][:] == mended["label"][:]


@pytest.mark.usefixtures("mirror")
def test_a_model_that_always_prefers_c_scores_nothing_only_where_c_competes(replay_scores):
    rows = range(500)
    four, two = ({str(row): liked for row in rows} for liked in ([-2.0, -2.5, -1.0, -3.0], [-2.0, -2.5]))
    assert replay_scores({"lens_nlu_ll_xcopa_zh": four}, compat=True)["lens_nlu_ll_xcopa_zh"]["acc"] == 0.0
    assert replay_scores({"lens_nlu_ll_xcopa_zh": two})["lens_nlu_ll_xcopa_zh"]["acc"] == 0.5
