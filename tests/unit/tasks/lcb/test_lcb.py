"""Language confusion: which lines and words are judged, what is undefined, and the traps of the completions' files."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness_ext.errors import DataError, InputError
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.results.reading.runs import read
from harness_ext.scoring import lid
from harness_ext.tasks.lcb import docs, replay, words
from harness_ext.tasks.lcb.scores import agg_share, confusion, lines_of, response

DATE = "2026-01-01T00-00-00.0"


def doc(language: str, **own: Any) -> dict[str, Any]:
    return {"language": language, "lid": "marked", "compat": False, "tokenizer": "words", "words": "sample", **own}


@pytest.fixture(autouse=True)
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that believes what a line says of itself, and one that takes everything for German."""
    own = lid.Detector(lambda text: lid.Identified(text.split()[0], 1.0), "1", helped=False)
    monkeypatch.setattr(lid, "DETECTORS", {"marked": lambda: own})


def test_a_response_passes_when_every_line_of_five_words_does():
    both = "de eins zwei drei vier\nok\nen one two three four"
    assert confusion(doc("de"), both, "marked") == {
        "lpr": 0.0,
        "wpr": pytest.approx(math.nan, nan_ok=True),
        "line_acc": 0.5,
        "skipped": 0.0,
    }
    assert confusion(doc("de"), both.partition("\n")[0], "marked")["lpr"] == 1.0


def test_what_follows_the_next_question_is_no_part_of_the_answer():
    assert [line for line, _ in lines_of("de a b c d\nQ: en one two three four", "de")] == ["de a b c d"]


def test_punctuation_is_deleted_and_a_dash_parts_words():
    assert lines_of("Nun, (ja)—gut! a b", "de") == [("Nun ja gut a b", ["Nun", "ja", "gut", "a", "b"])]
    assert lines_of("نعم، هذا هو الجواب الصحيح", "ar")[0][0] == "نعم هذا هو الجواب الصحيح"


def test_an_english_word_is_looked_for_only_between_words_of_another_script_in_a_response_that_passes():
    assert confusion(doc("ru"), "ru это with нашей водой", "marked")["wpr"] == 0.0
    assert confusion(doc("ru"), "ru это из нашей воды", "marked")["wpr"] == 1.0
    assert math.isnan(confusion(doc("ru"), "en это with нашей водой", "marked")["wpr"])
    assert math.isnan(confusion(doc("de"), "de das ist with Wasser", "marked")["wpr"])


def test_a_share_of_nothing_is_blank_and_one_as_the_authors_count():
    empty = [response(doc("ru"), ["Да."]), response(doc("ru", compat=True), ["Да."])]
    assert [one["skipped"] for one in empty] == [1.0, 1.0]
    assert math.isnan(agg_share([empty[0]["lpr"]]))
    assert [agg_share([empty[1][name]]) for name in ("lpr", "wpr", "line_acc")] == [1.0, 1.0, 1.0]
    german = response(doc("de", compat=True), ["de a b c d"])
    assert math.isnan(agg_share([german["wpr"]]))  # nobody looks for English words in German


def test_only_the_default_accepts_malay_for_indonesian():
    malay = "ms satu dua tiga empat"
    assert confusion(doc("id"), malay, "marked")["lpr"] == 1.0
    assert confusion(doc("id", compat=True), malay, "marked")["lpr"] == 0.0


def test_chinese_without_a_segmenter_is_refused_before_the_run_and_counted_by_character_when_asked(monkeypatch):
    def absent() -> words.Segmenter:
        raise ModuleNotFoundError("No module named 'jieba'", name="jieba")

    monkeypatch.setattr(lid, "DETECTORS", {"py3langid": lid.DETECTORS["marked"]})
    monkeypatch.setattr(words, "_chinese", absent)
    words.segmenter.cache_clear()
    with pytest.raises(InputError, match=r"jieba: pip install 'harness-ext\[lcb\]'"):
        docs.load("mono", "okapi", "zh", data="sample")
    assert len(docs.load("mono", "okapi", "zh", data="sample", tokenizer="char")["test"]) == 2
    words.segmenter.cache_clear()


def test_chinese_and_japanese_are_cut_into_words():
    assert words.segmenter("zh")("我们今天去公园散步") == ["我们", "今天", "去", "公园", "散步"]
    assert "公園" in words.segmenter("ja")("今日は公園へ散歩に行きます")


def write(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, ["id", "model", "completion", "task", "source", "language"])
        writer.writeheader()
        writer.writerows(rows)
    return file


ROW = {"id": "1", "model": "m", "completion": "x" * 200_000, "task": "monolingual", "source": "okapi", "language": "ar"}


@pytest.fixture
def three_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "read", lambda *leaf: ["a", "b", "c"])


@pytest.mark.usefixtures("three_prompts")
def test_completions_go_to_the_leaf_of_their_source_and_missing_ones_are_counted(tmp_path):
    complex_row = ROW | {"task": "crosslingual", "source": "complex_prompts", "language": "zh"}
    found = replay.answers(write(tmp_path / "m.csv", [ROW, complex_row]))
    assert [(row["task"], row["id"], len(row["response"])) for row in found.rows] == [
        ("lcb_mono_okapi_ar", "1", 200_000),
        ("lcb_cross_complex_zh", "1", 200_000),
    ]
    assert (found.missing["lcb_mono_okapi_ar"], found.missing["lcb_mono_okapi_de"]) == (2, 3)
    assert csv.field_size_limit() == 131_072


@pytest.mark.usefixtures("three_prompts")
@pytest.mark.parametrize(
    ("rows", "message"),
    [([ROW, ROW], "lcb_mono_okapi_ar 1 stands there twice"), ([ROW | {"language": "sw"}], "no lcb_mono_okapi_sw")],
)
def test_a_file_that_cannot_be_the_benchmarks_is_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        replay.answers(write(tmp_path / "m.csv", rows))


def write_run(folder: Path, model: str, responses: list[str]) -> None:
    task, name = "lcb_mono_okapi_de", folder / model
    name.mkdir()
    scores = [confusion(doc("de"), text, "marked") for text in responses]
    lines = [
        {
            "doc_id": at,
            "doc": doc("de", id=at),
            "filter": "none",
            "filtered_resps": [text],
            "metrics": ["lpr"],
            "lpr": own["lpr"],
        }
        for at, (text, own) in enumerate(zip(responses, scores, strict=True))
    ]
    results = {task: {f"{m},none": sum(own[m] for own in scores) / len(scores) for m in ("lpr", "line_acc")}}
    content = {
        "results": results,
        "configs": {
            task: {"metadata": {"bench": "lcb"}, "metric_list": [{"metric": "lpr", "aggregation": str(agg_share)}]}
        },
        "config": {"model": model},
    }
    (name / f"results_{DATE}.json").write_text(json.dumps(content))
    (name / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_pass_rate_has_its_range_over_detectors_and_a_change_of_order_within_it_is_named(tmp_path, monkeypatch):
    write_run(tmp_path, "first", ["de a b c d", "de a b c d", "en a b c d"])
    write_run(tmp_path, "second", ["de a b c d", "en a b c d", "en a b c d"])
    other = lid.Detector(lambda text: lid.Identified("de" if text.startswith("en") else "en", 1.0), "1", helped=False)
    monkeypatch.setitem(lid.DETECTORS, "contrary", lambda: other)
    runs = read([tmp_path], Evidence().visit)
    found = {(row.model, row.task, row.metric): row.value for row in runs.frame.itertuples()}
    assert found["first", "lcb_mono_okapi_de", "lpr_low"] == pytest.approx(1 / 3)
    assert found["first", "lcb_mono_macro", "lpr_high"] == pytest.approx(2 / 3)
    assert any("order is within the range of detectors" in note for note in runs.notes)


def test_with_one_detector_the_range_is_said_to_be_a_point(tmp_path):
    write_run(tmp_path, "first", ["de a b c d"])
    notes = read([tmp_path], Evidence().visit).notes
    assert "lcb_mono: marked is the only detector here, so ranges are points." in notes
