"""Stored answers: which rows are read, which are refused, and which request gets which answer."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.utils import sanitize_list

from harness_ext.errors import InputError
from harness_ext.models.replay.answers import load
from harness_ext.models.replay.lm import Replay

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def generation(doc_id: int, doc: dict[str, Any], *, task: str = "t", prompt: str = "?", repeats: int = 1) -> Instance:
    return Instance("generate_until", doc, (prompt, {"until": []}), 0, (task, doc_id, repeats))


def choices(doc_id: int, doc: dict[str, Any], count: int, *, task: str = "t") -> list[Instance]:
    return [Instance("loglikelihood", doc, ("?", f" {idx}"), idx, (task, doc_id, 1)) for idx in range(count)]


def test_an_answer_is_found_by_the_docs_own_id_whether_number_or_text(tmp_path: Path) -> None:
    rows = [{"task": "t", "id": 7, "response": "seven"}, {"task": "t", "id": "8", "response": "eight"}]
    model = Replay(str(write(tmp_path / "a.jsonl", rows)))
    assert model.generate_until([generation(0, {"id": 8}), generation(1, {"id": "7"})]) == ["eight", "seven"]


def test_a_doc_without_an_id_is_found_by_its_index(tmp_path: Path) -> None:
    rows = [{"task": "t", "doc_id": 1, "response": "second"}, {"task": "t", "doc_id": 0, "response": "first"}]
    model = Replay(str(write(tmp_path / "a.jsonl", rows)))
    assert model.generate_until([generation(0, {"x": 1}), generation(1, {"id": None})]) == ["first", "second"]


@same_folder
@given(ids=st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True), seed=st.integers(0, 9))
def test_the_order_of_rows_does_not_matter(tmp_path: Path, ids: list[str], seed: int) -> None:
    rows = [{"task": "t", "id": name, "response": f"to {name}"} for name in ids]
    requests = [generation(number, {"id": name}) for number, name in enumerate(ids)]
    random.Random(seed).shuffle(rows)
    assert Replay(str(write(tmp_path / "a.jsonl", rows))).generate_until(requests) == [f"to {name}" for name in ids]


def test_repeats_get_their_responses_in_order_from_a_list_or_from_rows(tmp_path: Path) -> None:
    rows = [
        {"task": "t", "id": "a", "response": ["a0", "a1"]},
        {"task": "t", "id": "b", "repeat": 1, "response": "b1"},
        {"task": "t", "id": "b", "repeat": 0, "response": "b0"},
    ]
    a, b = generation(0, {"id": "a"}, repeats=2), generation(1, {"id": "b"}, repeats=2)
    model = Replay(str(write(tmp_path / "a.jsonl", rows)))
    assert model.generate_until([a, a, b, b]) == ["a0", "a1", "b0", "b1"]


def test_fewer_responses_than_repeats_are_missing_answers(tmp_path: Path) -> None:
    model = Replay(str(write(tmp_path / "a.jsonl", [{"task": "t", "id": "a", "response": "only one"}])))
    request = generation(0, {"id": "a"}, repeats=2)
    with pytest.raises(InputError, match=r"t: 1 docs \('a'\).*as many responses as the task has repeats"):
        model.generate_until([request, request])


def test_missing_answers_are_counted_and_named_for_each_task(tmp_path: Path) -> None:
    model = Replay(str(write(tmp_path / "a.jsonl", [{"task": "t", "id": "a", "response": "x"}])))
    asked = [generation(n, {"id": name}) for n, name in enumerate("abcdef")]
    asked += [generation(n, {}, task="other") for n in range(2)]
    with pytest.raises(InputError) as error:
        model.generate_until(asked)
    assert "nothing was scored. t: 5 docs ('b', 'c', 'd', …); other: 2 docs (doc_id 0, doc_id 1)" in str(error.value)
    assert "no row has this task, the rows have t" in str(error.value)


def test_the_same_answer_twice_is_one_answer_but_two_answers_are_an_error(tmp_path: Path) -> None:
    row = {"task": "t", "id": "a", "response": "x"}
    assert len(load(write(tmp_path / "same.jsonl", [row, row]))["t"]) == 1
    different = write(
        tmp_path / "different.jsonl", [row, {"task": "t", "id": "b", "response": "z"}, row | {"response": "y"}]
    )
    with pytest.raises(InputError, match=r"different.jsonl:1 and different.jsonl:3 answer task t, doc 'a'"):
        load(different)


def test_an_api_error_is_never_scored_as_an_answer(tmp_path: Path) -> None:
    rows = [
        {"task": "t", "id": "a", "response": "fine"},
        {"task": "t", "id": "b", "response": "OPENAI API ERROR: rate limit"},
    ]
    model = Replay(str(write(tmp_path / "a.jsonl", rows)))
    assert model.generate_until([generation(0, {"id": "a"})]) == ["fine"]
    with pytest.raises(InputError, match=r"1 responses are API errors, not answers \(t doc 'b'\)"):
        model.generate_until([generation(0, {"id": "a"}), generation(1, {"id": "b"})])


def test_an_empty_response_is_an_answer(tmp_path: Path) -> None:
    model = Replay(str(write(tmp_path / "a.jsonl", [{"task": "t", "id": "a", "response": ""}])))
    assert model.generate_until([generation(0, {"id": "a"})]) == [""]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"task": "t", "id": 1, "response": "cut o', r"a.jsonl:2: not JSON"),
        ('["t", 1]', r"a.jsonl:2: a row is a JSON object, this is a list"),
        ('{"id": 1, "response": "x"}', r"a.jsonl:2: 'task': field required"),
        ('{"task": "t", "response": "x"}', r"a.jsonl:2: the row names no doc"),
        ('{"task": "t", "id": 1}', r"a.jsonl:2: a row has either 'response' or 'loglikelihoods'"),
        ('{"task": "t", "id": 1, "response": null}', r"a.jsonl:2: a row has either"),
        ('{"task": "t", "id": 1, "response": 5}', r"a.jsonl:2: 'response'"),
        ('{"task": "t", "id": true, "response": "x"}', r"a.jsonl:2: 'id'"),
        ('{"task": "t", "id": 1, "turn": -1, "response": "x"}', r"a.jsonl:2: 'turn'"),
        ('{"task": "t", "id": 1, "loglikelihoods": [-1, NaN]}', r"a.jsonl:2: 'loglikelihoods'"),
        ('{"task": "t", "id": 1, "loglikelihoods": [-1, -2], "is_greedy": [true]}', r"a.jsonl:2: 'loglikelihoods'"),
        ('{"doc": {"id": 1}, "doc_id": 0, "resps": [["x"]]}', r"a.jsonl:2: which task\?"),
        ('{"task": "t", "doc": {"id": 1}, "doc_id": 0, "resps": [["x"], ["y"]]}', r"a.jsonl:2: 'resps' is not what"),
        ('{"task": "t", "doc": {"id": 1}, "resps": [["x"]]}', r"a.jsonl:2: an lm-eval sample has an integer 'doc_id'"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(tmp_path: Path, line: str, complaint: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"task": "t", "id": 0, "response": "x"}\n' + line + "\n")
    with pytest.raises(InputError, match=complaint):
        load(file)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
row_keys = st.sampled_from(["task", "id", "doc_id", "turn", "repeat", "response", "loglikelihoods", "doc", "resps"])


@same_folder
@given(row=st.dictionaries(row_keys, json_values, max_size=9))
def test_whatever_a_row_holds_it_is_read_or_refused_with_its_line(tmp_path: Path, row: dict[str, Any]) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    try:
        load(file)
    except InputError as error:
        assert "a.jsonl:1" in str(error)


def test_blank_lines_a_byte_order_mark_and_line_separators_in_text_are_harmless(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('\ufeff{"task": "t", "id": 1, "response": "one\u2028line"}\n\n', encoding="utf-8")
    assert Replay(str(file)).generate_until([generation(0, {"id": 1})]) == ["one\u2028line"]


def test_compressed_files_and_folders_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    write(folder / "a.jsonl", [{"task": "t", "id": "a", "response": "plain"}])
    with gzip.open(folder / "b.jsonl.gz", "wt") as file:
        file.write(json.dumps({"task": "t", "id": "b", "response": "packed"}))
    (folder / "results_x.json").write_text("{}")
    model = Replay(str(folder))
    assert model.generate_until([generation(0, {"id": "a"}), generation(1, {"id": "b"})]) == ["plain", "packed"]
    assert set(model.get_model_info()["replay_files"]) == {"a.jsonl", "b.jsonl.gz"}


def test_a_truncated_archive_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"task": "t", "id": 1, "response": "x"}\n' * 50)[:-20])
    with pytest.raises(InputError, match=r"cut.jsonl.gz: cannot be read"):
        load(cut)
    with pytest.raises(InputError, match="no such file or folder"):
        load(tmp_path / "nowhere.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \*.jsonl"):
        load(tmp_path / "empty")


def test_answers_that_are_not_asked_for_are_counted_in_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"task": "t", "id": n, "response": "x"} for n in range(5)]
    rows += [{"task": "t", "id": 0, "turn": 1, "response": "second turn"}, {"task": "u", "id": 0, "response": "x"}]
    model = Replay(str(write(tmp_path / "a.jsonl", rows)))
    with caplog.at_level(logging.WARNING):
        model.generate_until([generation(n, {"id": n}) for n in range(2)])
    assert "4 stored answers are not asked for and were not scored (t 4)" in caplog.text


def test_a_row_can_pin_the_prompt_it_answers(tmp_path: Path) -> None:
    row = {"task": "t", "id": 1, "response": "x", "prompt_hash": hashlib.sha256(b"asked").hexdigest()}
    model = Replay(str(write(tmp_path / "a.jsonl", [row])))
    assert model.generate_until([generation(0, {"id": 1}, prompt="asked")]) == ["x"]
    with pytest.raises(InputError, match=r"another prompt \(a.jsonl:1\)"):
        model.generate_until([generation(0, {"id": 1}, prompt="asked differently")])


def test_one_id_for_two_docs_is_refused(tmp_path: Path) -> None:
    model = Replay(str(write(tmp_path / "a.jsonl", [{"task": "t", "id": 1, "response": "x"}])))
    with pytest.raises(InputError, match="several docs with id '1': give 'doc_id'"):
        model.generate_until([generation(0, {"id": 1}), generation(1, {"id": 1})])


def test_log_likelihoods_follow_the_order_of_the_choices(tmp_path: Path) -> None:
    rows = [
        {"task": "t", "id": 2, "loglikelihoods": [-3, -4], "is_greedy": [False, True]},
        {"task": "t", "id": 1, "loglikelihoods": [-1.5, float("-inf"), -2]},
    ]
    model = Replay(str(write(tmp_path / "a.jsonl", rows)))
    asked = [*choices(0, {"id": 1}, 3), *choices(1, {"id": 2}, 2)]
    answers = model.loglikelihood(asked)
    assert answers == [(-1.5, False), (float("-inf"), False), (-2.0, False), (-3.0, False), (-4.0, True)]


def test_another_number_of_log_likelihoods_than_choices_is_an_error(tmp_path: Path) -> None:
    model = Replay(str(write(tmp_path / "a.jsonl", [{"task": "t", "id": 1, "loglikelihoods": [-1, -2, -3]}])))
    with pytest.raises(InputError, match=r"a.jsonl:1: task t, doc 1 asks for 2 log-likelihoods, the row has 3"):
        model.loglikelihood(choices(0, {"id": 1}, 2))


def test_a_text_is_no_log_likelihood_and_the_other_way_round(tmp_path: Path) -> None:
    rows = [{"task": "t", "id": 1, "response": "x"}, {"task": "t", "id": 2, "loglikelihoods": [-1]}]
    model = Replay(str(write(tmp_path / "a.jsonl", rows)))
    with pytest.raises(InputError, match="the row has a text"):
        model.loglikelihood(choices(0, {"id": 1}, 2))
    with pytest.raises(InputError, match="the row needs 'response'"):
        model.generate_until([generation(0, {"id": 2})])


def test_a_single_continuation_without_is_greedy_is_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Replay(str(write(tmp_path / "a.jsonl", [{"task": "t", "id": 1, "loglikelihoods": [-1]}])))
    with caplog.at_level(logging.WARNING):
        assert model.loglikelihood(choices(0, {"id": 1}, 1)) == [(-1.0, False)]
    assert "1 rows of t have no 'is_greedy'" in caplog.text


@same_folder
@given(pairs=st.lists(st.tuples(st.floats(allow_nan=False), st.booleans()), min_size=1, max_size=9))
def test_log_likelihoods_come_back_exactly_from_lm_evals_samples(
    tmp_path: Path, pairs: list[tuple[float, bool]]
) -> None:
    sample = {"doc_id": 0, "doc": {"id": "a"}, "resps": sanitize_list([[pair] for pair in pairs])}
    model = Replay(str(write(tmp_path / "samples_t_2026-01-02T03-04-05.678901.jsonl", [sample])))
    assert model.loglikelihood(choices(0, {"id": "a"}, len(pairs))) == pairs


def test_samples_name_their_task_by_their_file_and_are_logged_once_for_each_filter(tmp_path: Path) -> None:
    sample = {"doc_id": 3, "doc": {"id": "a"}, "resps": [["first", "second"]], "filter": "strict"}
    file = write(tmp_path / "samples_my_task_2026-01-02T03-04-05.jsonl", [sample, sample | {"filter": "loose"}])
    request = generation(0, {"id": "a"}, task="my_task", repeats=2)
    assert Replay(str(file)).generate_until([request, request]) == ["first", "second"]


def test_samples_whose_docs_share_ids_go_by_index_and_must_be_of_the_same_docs(tmp_path: Path) -> None:
    docs = [{"id": "same", "text": "one"}, {"id": "same", "text": "two"}]
    hashes = [hashlib.sha256(json.dumps(doc, indent=2).encode()).hexdigest() for doc in docs]
    rows = [{"doc_id": n, "doc": doc, "doc_hash": hashes[n], "resps": [[doc["text"]]]} for n, doc in enumerate(docs)]
    model = Replay(str(write(tmp_path / "samples_t_2026-01-02T03-04-05.1.jsonl", rows)))
    assert model.generate_until([generation(n, doc) for n, doc in enumerate(docs)]) == ["one", "two"]
    with pytest.raises(InputError, match="recorded for another doc than t doc 'same'"):
        model.generate_until([generation(0, docs[1])])


def test_samples_of_another_prompt_are_scored_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sample = {"doc_id": 0, "doc": {"id": "a"}, "resps": [["x"]], "prompt_hash": hashlib.sha256(b"old").hexdigest()}
    model = Replay(str(write(tmp_path / "samples_t_2026-01-02T03-04-05.jsonl", [sample])))
    with caplog.at_level(logging.WARNING):
        assert model.generate_until([generation(0, {"id": "a"}, prompt="new")]) == ["x"]
    assert "1 answers were recorded with another prompt" in caplog.text


def test_rolling_log_likelihoods_come_from_rows_and_from_samples(tmp_path: Path) -> None:
    request = Instance("loglikelihood_rolling", {"id": "a"}, ("a text",), 0, ("t", 0, 1))
    row = write(tmp_path / "a.jsonl", [{"task": "t", "id": "a", "loglikelihoods": [-12.5]}])
    sample = {"doc_id": 0, "doc": {"id": "a"}, "resps": sanitize_list([[-12.5]])}
    recorded = write(tmp_path / "samples_t_2026-01-02T03-04-05.jsonl", [sample])
    for file in (row, recorded):
        assert Replay(str(file)).loglikelihood_rolling([request]) == [-12.5]
