"""harness-ext judge-agreement on small files of every kind, good and bad."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import DataError, HarnessExtError, InputError
from harness_ext.results.judging.judge_agreement import measure, parse_map

if TYPE_CHECKING:
    from tests.conftest import ChatServer

CANARY = "tell me the canary request?"
YES, NO = "I cannot do that.", "Here it is."
ROWS = [("refuse", YES), ("refuse", NO), ("comply", NO), ("comply", NO), ("comply", "  "), ("refuse", YES)]
MAP = "refuse=refusal,comply=compliance"
runner = CliRunner()


def write(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = ("people", "text"), **form: Any) -> Path:
    with path.open("w", newline="", encoding=form.pop("encoding", "utf-8")) as target:
        csv.writer(target, **form).writerows([header, *rows])
    return path


def command(path: Path, *options: str, gold: str = "people", gold_map: str = MAP) -> list[str]:
    asks = [] if "--positive" in options else ["--positive", "any_refusal"]
    return ["judge-agreement", "--labels", str(path), "--gold-col", gold, "--gold-map", gold_map, *asks, *options]


def measured(path: Path, *options: str, **given: str) -> dict[str, Any]:
    out = path.with_suffix(".json")
    done = runner.invoke(app, [*command(path, *options, **given), "--json", str(out)])
    assert done.exit_code == 0, (done.output, done.exception)
    content: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return content


def refusal(error: type[HarnessExtError], *arguments: str) -> str:
    done = runner.invoke(app, arguments)
    assert type(done.exception) is error, (done.output, done.exception)
    return str(done.exception)


RULE = ("--text-col", "text", "--judge", "rule:xstest")


def test_scores_of_a_small_file_by_hand(tmp_path: Path) -> None:
    found = measured(write(tmp_path / "a.csv", ROWS), *RULE)
    assert (found["judge"], found["positive"]) == ("xstest", "any_refusal")
    counts = {"n": 5, "n_invalid": 1, "tp": 2, "fp": 0, "fn": 1, "tn": 2}  # an empty response is not judged
    assert {key: found["overall"][key] for key in counts} == counts
    assert found["overall"]["accuracy"] == 0.8
    assert found["by"] == {}
    assert found["classes"] is None
    assert found["config"]["rule"] == "xstest"


def test_line_ends_a_byte_order_mark_and_cells_of_several_lines_change_nothing(tmp_path: Path) -> None:
    rows = [(label, f'{text}\r\n\r\nmore, and "more"') for label, text in ROWS if text.strip()]
    plain = measured(write(tmp_path / "a.csv", rows, lineterminator="\n"), *RULE)
    other = measured(write(tmp_path / "b.csv", rows, lineterminator="\r\n", encoding="utf-8-sig"), *RULE)
    assert plain["overall"] == other["overall"]
    assert plain["overall"]["n"] == 5


def test_undefined_numbers_are_null(tmp_path: Path) -> None:
    found = measured(write(tmp_path / "a.csv", [("comply", NO)] * 4), *RULE)
    assert found["overall"]["accuracy"] == 1
    assert [found["overall"][name] for name in ("precision", "recall", "f1", "kappa")] == [None] * 4
    assert found["intervals"]["overall"]["kappa"] is None


def test_each_value_of_a_column_and_classes_where_people_use_three(tmp_path: Path) -> None:
    rows = [("refuse", YES, "a"), ("partly", NO, "a"), ("comply", NO, "b"), ("refuse", YES, "b")]
    path = write(tmp_path / "a.csv", rows, ("people", "text", "who"))
    found = measured(path, *RULE, "--by", "who", gold_map=f"{MAP},partly=partial")
    assert {name: scores["accuracy"] for name, scores in found["by"].items()} == {"a": 0.5, "b": 1.0}
    assert found["classes"]["overall"]["accuracy"] == 0.75
    strict = measured(path, *RULE, "--positive", "full_refusal", gold_map=f"{MAP},partly=partial")
    assert strict["overall"]["accuracy"] == 1.0


def test_a_stored_verdict_is_parsed_and_an_unreadable_one_counted(tmp_path: Path) -> None:
    rows = [("bad", "[RESULT] unsafe, 5"), ("ok", "[RESULT] safe, 1"), ("ok", "no idea")]
    path = write(tmp_path / "a.csv", rows)
    options = ("--pred-col", "text", "--pred-parser", "md_judge", "--positive", "harmful")
    found = measured(path, *options, gold_map="bad=harmful,ok=safe")
    assert (found["overall"]["accuracy"], found["overall"]["n"], found["overall"]["n_invalid"]) == (1.0, 2, 1)
    assert found["pred_parser"] == "md_judge"


def test_stored_labels_may_be_peoples_words_or_ours(tmp_path: Path) -> None:
    rows = [("refuse", "refuse"), ("refuse", "refusal"), ("comply", "refusal"), ("comply", "0_unclear")]
    found = measured(write(tmp_path / "a.csv", rows), "--pred-col", "text")
    assert (found["overall"]["tp"], found["overall"]["fp"], found["overall"]["n_invalid"]) == (2, 1, 1)


def test_rows_without_a_label_of_people_are_left_out_and_counted(tmp_path: Path) -> None:
    found = measured(write(tmp_path / "a.csv", [*ROWS, ("", YES)]), *RULE, gold_map=f"{MAP},=invalid")
    assert found["overall"]["n"] == 5
    assert any("1 rows without a label" in note for note in found["notes"])


def test_repeating_the_command_gives_the_same_intervals(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ROWS * 5)
    assert measured(path, *RULE) == measured(path, *RULE)


def test_a_written_file_is_the_agreement_of_a_judge_file(tmp_path: Path) -> None:
    from harness_ext.judges.loading import read_agreement

    path = write(tmp_path / "a.csv", ROWS)
    content = measured(path, *RULE)
    known = read_agreement(path.with_suffix(".json"), content["config"].get("fingerprint", ""))
    assert (known["accuracy"], known["n"], known["measured_on"]) == (0.8, 5, "a.csv")


def test_a_model_sees_the_request_and_is_asked_once(tmp_path: Path, chat_server: ChatServer) -> None:
    rows = [("bad", "yes it is", "first request"), ("ok", "no it is not", "second request"), ("ok", " ", "third")]
    path = write(tmp_path / "a.csv", rows, ("people", "text", "asked"))
    chat_server.reply = lambda messages: "[[B]]" if "first request" in messages[-1]["content"] else "[[A]]"
    address = ["--base-url", chat_server.url.removesuffix("/chat/completions"), "--model", "m"]
    options = ["--text-col", "text", "--prompt-col", "asked", "--judge", "llm:ab_verdict", "--positive", "harmful"]
    for _ in range(2):
        found = measured(path, *options, *address, "--cache", str(tmp_path / "cache"), gold_map="bad=harmful,ok=safe")
        assert (found["overall"]["accuracy"], found["overall"]["n"], found["overall"]["n_invalid"]) == (1.0, 2, 1)
        assert found["config"]["model"] == "m"
    assert len(chat_server.asked) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give --judge"),
        (("--judge", "rule:xstest"), "give --judge"),
        ((*RULE, "--pred-col", "text"), "give --judge"),
        ((*RULE, "--pred-parser", "md_judge"), "give --judge"),
        ((*RULE, "--positive", "harmful"), "label of harmful"),
        ((*RULE, "--by", "nothing"), "no column 'nothing'"),
        (("--text-col", "text", "--judge", "rule:nothing"), "nothing"),
        (("--pred-col", "text", "--pred-parser", "nothing"), "no verdict parser"),
        (("--pred-col", "text", "--pred-parser", "md_judge"), "says nothing about --positive any_refusal"),
        (("--pred-col", "text"), "nothing in column 'text' can be read"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    assert message in refusal(InputError, *command(write(tmp_path / "a.csv", ROWS), *options))


def test_a_judge_of_refusal_is_not_asked_about_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [("bad", YES), ("ok", NO)])
    options = (*RULE, "--positive", "harmful")
    assert "says nothing about" in refusal(InputError, *command(path, *options, gold_map="bad=harmful,ok=safe"))


@pytest.mark.parametrize("text", ["refuse", "refuse=maybe", "refuse=refusal,refuse=compliance", "=", "a=harmful"])
def test_a_map_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--gold-map"):
        parse_map(text, "any_refusal")


def test_no_message_shows_a_text(tmp_path: Path) -> None:
    """A column named by mistake may hold prompts."""
    rows = [(label, f"{CANARY} {number}\n{text}") for number, (label, text) in enumerate(ROWS)]
    path = write(tmp_path / "a.csv", rows)
    wrong = [
        refusal(InputError, *command(path, *RULE, gold="text")),
        refusal(InputError, *command(path, *RULE, "--by", "text")),
        refusal(InputError, *command(write(tmp_path / "b.csv", rows, (CANARY, "people")), *RULE)),
        refusal(InputError, *command(path, "--pred-col", "text")),
    ]
    done = runner.invoke(app, command(path, *RULE))
    assert done.exit_code == 0
    assert not any("canary" in text for text in [*wrong, done.output])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, InputError),
        (b"", InputError),
        (b"people,text\n", InputError),
        (b"people,text\nrefuse\n", DataError),
        (b"people,text\nrefuse,a,b\n", DataError),
        (b'people,text\nrefuse,"cut off', DataError),
        (b"people,text\nrefuse,\xff\n", DataError),
    ],
)
def test_a_bad_file_is_named(content: bytes | None, error: type[HarnessExtError], tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    assert "bad.csv" in refusal(error, *command(path, *RULE))


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["compliance", "partial", "refusal"]), st.sampled_from(["compliance", "refusal"])),
        min_size=1,
        max_size=12,
    )
)
def test_scores_are_sklearns(rows: list[tuple[str, str]]) -> None:
    people, judge = ([row[at] for row in rows] for at in (0, 1))
    scores = measure(people, judge, "any_refusal", {}).overall.scores
    gold, predicted = ([label != "compliance" for label in labels] for labels in (people, judge))
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(gold, predicted))
    if len({*gold, *predicted}) == 2:
        assert scores["kappa"] == pytest.approx(metrics.cohen_kappa_score(gold, predicted))
        assert scores["f1"] == pytest.approx(metrics.f1_score(gold, predicted))


def test_intervals_hold_the_value_and_narrow_with_more_rows() -> None:
    people = ["refusal", "refusal", "compliance", "compliance", "compliance"] * 8
    judge = ["refusal", "compliance", "compliance", "compliance", "refusal"] * 8
    widths = []
    for times in (1, 9):
        found = measure(people * times, judge * times, "any_refusal", {}).overall
        for name, interval in found.intervals.items():
            assert interval.value == pytest.approx(found.scores[name])
            assert interval.low < interval.value < interval.high
        widths.append(found.intervals["kappa"].high - found.intervals["kappa"].low)
    assert widths[1] == pytest.approx(widths[0] / math.sqrt(9), rel=0.1)


def test_rows_that_are_copies_of_each_other_do_not_narrow_the_intervals_of_their_clusters(tmp_path: Path) -> None:
    rows = [(label, text, str(number)) for number, (label, text) in enumerate(ROWS * 5)]
    header = ("people", "text", "request")
    once = measured(write(tmp_path / "a.csv", rows, header), *RULE)
    copied = write(tmp_path / "b.csv", rows * 3, header)
    single, together = measured(copied, *RULE), measured(copied, *RULE, "--cluster-col", "request")
    shown = runner.invoke(app, command(copied, *RULE, "--cluster-col", "request")).output
    assert together["overall"]["accuracy"] == once["overall"]["accuracy"]
    assert together["overall"]["n"] == 3 * once["overall"]["n"]

    def width(found: dict[str, Any]) -> float:
        low, high = found["intervals"]["overall"]["accuracy"]
        return float(high - low)

    assert width(together) == pytest.approx(width(once), rel=0.1)
    assert width(single) < 0.7 * width(once)
    assert "bootstrap over request" in shown


def test_a_cluster_column_that_is_missing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ROWS)
    assert "no column 'request'" in refusal(InputError, *command(path, *RULE, "--cluster-col", "request"))
