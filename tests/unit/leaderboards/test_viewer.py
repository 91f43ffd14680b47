"""What a page carries of the samples: within limits, as strict JSON, nothing sensitive unasked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.leaderboards import sampled, viewer
from harness_ext.leaderboards.printable import shortened, visible
from harness_ext.leaderboards.viewer import MOST_CHARACTERS, MOST_SAMPLES, Viewer, collect, withheld
from harness_ext.results.reading.frame import to_rows
from harness_ext.results.reading.runs import read
from harness_ext.scoring.soft_labels import agg_parse_failure


def content(folder: Path, *, show_samples: bool = False) -> dict[str, Any]:
    """The viewer's data as a browser reads it: no NaN, no Infinity."""

    def refuse(name: str) -> float:
        raise ValueError(f"{name} is no JSON")

    runs = read([folder])
    found = collect(to_rows(runs.frame), runs, unlocked=show_samples)
    parsed: dict[str, Any] = json.loads(found.as_json(), parse_constant=refuse)
    return parsed


@given(text=st.text(st.characters(categories=None), max_size=50))
def test_visible_text_holds_nothing_invisible_and_can_be_encoded(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert all(sign in "\n\t" or (ord(sign) >= 0x20 and not 0x7F <= ord(sign) < 0xA0) for sign in shown)
    assert not set(shown) & set("\u202e\u2028\u2029\ufeff\u2066")
    assert visible(shown) == shown


def test_ordinary_text_of_any_script_is_left_alone() -> None:
    text = "Ångström, 日本語, العربية, 👩‍👧, a\tb\nc"
    assert visible(text) == text


@given(text=st.text(max_size=200), most=st.integers(4, 100))
def test_shortened_text_keeps_its_beginning_and_end_and_says_what_is_missing(text: str, most: int) -> None:
    short = shortened(text, most)
    if len(text) <= most:
        assert short == text
    else:
        assert short.startswith(text[: most - most // 4]) and short.endswith(text[len(text) - most // 4 :])
        assert f"{len(text) - most:,} of {len(text):,} characters left out" in short


def test_a_sample_shows_prompt_answer_parse_gold_and_scores(write_run: Any) -> None:
    sample = {"prompt": "How is she?", "answer": "Sad, I think.", "parse": "sad", "gold": "sad", "acc": 1.0}
    data = content(write_run("m", [sample, sample]))
    shown, texts = data["runs"][0]["samples"][0], data["texts"]
    assert [texts[shown[key]] for key in ("prompt", "answer", "gold")] == ["How is she?", "Sad, I think.", "sad"]
    (scored,) = shown["filters"]
    assert texts[scored["parse"]] == "sad"
    assert scored["scores"] == [["acc", "1"]]


def test_texts_that_runs_share_are_kept_once(write_run: Any) -> None:
    for model in ("a", "b"):
        folder = write_run(model, [{"prompt": "the same question", "answer": "yes"}] * 2)
    data = content(folder.parent)
    assert data["texts"].count("the same question") == data["texts"].count("yes") == 1
    assert [run["label"] for run in data["runs"]] == ["a", "b"]


def test_filters_of_a_document_are_shown_together(write_run: Any) -> None:
    judged = [{"doc_id": at, "filter": name, "parse": name} for name in ("rule", "classifier") for at in range(3)]
    data = content(write_run("m", judged))
    assert [[found["name"] for found in sample["filters"]] for sample in data["runs"][0]["samples"]] == [
        ["rule", "classifier"]
    ] * 3


def test_likelihoods_are_listed_by_option_the_likeliest_first_and_gold_is_a_label_not_an_index(write_run: Any) -> None:
    choices = {f"gen_args_{at}": {"arg_0": "Sky?", "arg_1": choice} for at, choice in enumerate((" red", " blue"))}
    likelihoods = [["-1.5", "False"], ["-0.25", "True"]]
    sample = {
        "arguments": choices,
        "resps": [[pair] for pair in likelihoods],
        "filtered_resps": likelihoods,
        "gold": "0",
    }
    data = content(write_run("m", [sample, sample]))
    shown, texts = data["runs"][0]["samples"][0], data["texts"]
    assert [(texts[label], likelihood) for label, likelihood in shown["options"]] == [("blue", -0.25), ("red", -1.5)]
    assert (texts[shown["answer"]], texts[shown["gold"]]) == ("blue", "red")
    assert shown["filters"][0]["parse"] == -1


@pytest.mark.parametrize(
    ("items", "higher", "right", "score"),
    [
        ([1.0, 0.0], True, [True, False], [1, 0]),
        ([100.0, 0.0], True, [True, False], [100, 0]),
        ([1.0, 0.0], False, [False, True], [1, 0]),
        ([0.0, 0.0], True, [False, False], [0, 0]),
        ([0.25, 1.0], True, [None, None], [0.25, 1]),
        ([1.0, 0.0], None, [None, None], [1, 0]),
        ([[0.25, 0.75], [0.5, 0.5]], False, [None, None], [0.5, 0]),  # soft labels: the distance
        ([[[1], [], 7], [[1], [1], 7]], True, [None, None], [None, None]),  # classes of a corpus metric
        ([math.nan, 1.0], True, [None, True], [None, 1]),
    ],
)
def test_a_sample_is_right_or_wrong_where_a_metric_scores_documents_all_or_nothing(
    write_run: Any, items: list[Any], higher: bool | None, right: list[bool | None], score: list[float | None]
) -> None:
    folder = write_run("m", [{"acc": item} for item in items], aggregations={"acc": len})
    (file,) = folder.glob("results_*")
    told = json.loads(file.read_text())
    told["higher_is_better"]["toy"]["acc"] = higher
    told["results"]["toy"]["acc,none"] = 0.5
    file.write_text(json.dumps(told))
    (run,) = content(folder)["runs"]
    marks = [sample["filters"][0] for sample in run["samples"]]
    assert ([mark["right"] for mark in marks], [mark["score"] for mark in marks]) == (right, score)


def test_metrics_that_count_over_documents_show_no_raw_lists(write_run: Any) -> None:
    (run,) = content(write_run("m", [{"acc": 1.0, "f1": [[1], [], 7]}] * 2, aggregations={"acc": len, "f1": len}))[
        "runs"
    ]
    assert run["samples"][0]["filters"][0]["scores"] == [["acc", "1"], ["f1", "only over all documents"]]


def test_unparsed_answers_are_marked(write_run: Any) -> None:
    samples = [{"parse_failure": 1.0}, {"parse_failure": 0.0}]
    folder = write_run("m", samples, aggregations={"parse_failure": agg_parse_failure})
    (run,) = content(folder)["runs"]
    assert [sample["filters"][0]["failed"] for sample in run["samples"]] == [True, False]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_know_become_words(write_run: Any, number: float) -> None:
    data = content(write_run("m", [{"acc": number, "prompt": str(number)}, {"acc": [number, 1.0]}][:1] * 2))
    assert data["runs"][0]["samples"][0]["filters"][0]["scores"][0][1] in ("undefined", "inf", "-inf")


def test_data_cannot_leave_the_script_element_it_stands_in(write_run: Any) -> None:
    name = "</script><script>alert(1)</script><!-- \u2028\u2029\x00 &amp;"
    nasty = name + "\ud800"
    folder = write_run(name, [{"prompt": nasty, "answer": nasty, "gold": nasty, "id": nasty}] * 2)
    runs = read([folder])
    text = collect(to_rows(runs.frame), runs).as_json()
    text.encode()
    assert not set(text) & set("<>&\u2028\u2029\x00")
    shown = json.loads(text)
    assert "</script><script>alert(1)</script><!--" in shown["texts"][0]


def test_five_megabytes_of_answer_are_cut_with_a_note(write_run: Any) -> None:
    data = content(write_run("m", [{"answer": "a" * 5_000_000 + "the end"}] * 2))
    answer = data["texts"][data["runs"][0]["samples"][0]["answer"]]
    assert len(answer) < MOST_CHARACTERS + 100
    assert "4,996,007 of 5,000,007 characters left out" in answer
    assert answer.endswith("the end")


def test_the_first_documents_of_a_long_task_are_shown_and_all_are_counted(write_run: Any) -> None:
    data = content(write_run("m", [{"answer": str(at)} for at in range(MOST_SAMPLES + 50)]))
    (run,) = data["runs"]
    assert [sample["id"] for sample in run["samples"]] == [f"d{at}" for at in range(MOST_SAMPLES)]
    assert run["total"] == MOST_SAMPLES + 50


def test_every_task_and_run_gets_its_share_of_the_page(write_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness_ext.leaderboards.viewer.MOST_BYTES", 10_000)
    for model in ("a", "b"):
        folder = write_run(model, [{"prompt": f"{model}{at}" * 50} for at in range(40)])
    counts = [len(run["samples"]) for run in content(folder.parent)["runs"]]
    assert counts[0] == counts[1] and 0 < counts[0] < 40


@pytest.mark.parametrize(
    ("metadata", "data", "shown"),
    [
        ({"source": "emobench"}, "real", True),
        ({"source": "mbtibench"}, "real", False),  # personal
        ({"source": "emocontext"}, "real", False),  # personal and harmful
        ({"source": ["emobench", "mbtibench"]}, "real", False),
        ({"source": "no_such_card"}, "real", False),
        ({"source": "../mbtibench"}, "real", False),
        ({"source": 7}, "real", False),
        ({"source": []}, "real", False),
        ({}, "real", False),
        ({}, "sample", True),
        ({"source": "mbtibench"}, "sample", True),  # written for the package: nobody's posts
        ({"source": "emocontext"}, "sample", True),
    ],
)
def test_samples_are_shown_only_where_a_card_says_that_they_are_harmless(
    metadata: dict[str, Any], data: str, shown: bool
) -> None:
    assert (withheld(metadata, data) == "") == shown


def test_withheld_samples_are_nowhere_in_the_data_until_they_are_unlocked(write_run: Any) -> None:
    folder = write_run("m", [{"prompt": "a private post"}] * 2, metadata={"source": "mbtibench"})
    (run,) = content(folder)["runs"]
    assert run["samples"] == [] and run["total"] == 2
    assert "personal" in run["why_withheld"]
    assert "a private post" not in json.dumps(content(folder))
    assert "a private post" in content(folder, show_samples=True)["texts"]


@given(
    arguments=st.recursive(
        st.none() | st.text(max_size=5) | st.floats() | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_no_form_of_request_or_answer_breaks_the_viewer(arguments: Any) -> None:
    prompt, choices = sampled.request(arguments)
    assert isinstance(prompt, str)
    assert isinstance(sampled.answer(arguments), str)
    assert all(isinstance(option.label, str) for option in sampled.options_of(arguments, choices))
    assert isinstance(sampled.gold(arguments, choices), str)
    json.dumps(viewer._by_value({"metric": arguments}), allow_nan=False)


def test_an_empty_viewer_is_valid() -> None:
    assert json.loads(Viewer(share=1).as_json()) == {"texts": [], "runs": []}


def test_files_of_old_versions_name_neither_filters_nor_metrics_and_are_shown_all_the_same(write_run: Any) -> None:
    folder = write_run("m", [{"doc_id": at, "filter": name} for at in range(2) for name in ("none", "strict")])
    (results,) = folder.glob("results_*")
    told = json.loads(results.read_text())
    told["configs"]["toy"]["filter_list"] = [{"name": "none"}, {"name": "strict"}]
    results.write_text(json.dumps(told))
    (file,) = folder.glob("samples_*")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text(
        "".join(
            json.dumps({key: value for key, value in line.items() if key not in ("filter", "metrics")}) + "\n"
            for line in lines
        )
    )
    (run,) = content(folder)["runs"]
    assert [[(found["name"], found["scores"]) for found in sample["filters"]] for sample in run["samples"]] == [
        [("none", [["acc", "1"]]), ("strict", [["acc", "1"]])]
    ] * 2


def test_a_samples_file_that_breaks_off_is_left_out(write_run: Any) -> None:
    folder = write_run("m", [{}] * 3)
    (file,) = folder.glob("samples_*")
    file.write_text(file.read_text()[:-20])
    assert content(folder)["runs"] == []
