"""Result files of every supported lm-eval become the same rows, and what is not one is named."""

import gzip
import json
import math
import shutil
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.errors import InputError
from harness_ext.results.reading.frame import COLUMNS, Row, to_frame, to_rows
from harness_ext.results.reading.placement import place
from harness_ext.results.reading.reader import model_name, rows_of
from harness_ext.results.reading.repeats import newest
from harness_ext.results.reading.runs import load_run, read
from harness_ext.results.reading.samples import sample_lines

FIXTURES = Path(__file__).parent / "lm_eval_results"
VERSIONS = ("0.4.3", "0.4.5", "0.4.7", "0.4.8", "0.4.9.2", "0.4.9.2-file", "0.4.11", "0.4.12", "0.4.12-limit", "0.4.13")


def results_file(version: str) -> Path:
    return next(file for file in (FIXTURES / version).rglob("*.json"))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_gives_the_same_leaf_rows(version: str) -> None:
    reading = read([FIXTURES / version])
    assert not reading.problems
    assert len(reading.samples) == 2
    leaves = reading.frame[reading.frame.level == "task"]
    assert set(zip(leaves.task, leaves.part, leaves.metric, leaves["filter"], strict=True)) == {
        ("toy_choose", "toy_choose", "acc", "none"),
        ("toy_choose", "toy_choose", "acc_norm", "none"),
        ("toy_write", "writing", "distance", "strict"),
        ("toy_write", "writing", "distance", "lenient"),
        ("toy_write", "writing", "parse_failure", "strict"),
        ("toy_write", "writing", "parse_failure", "lenient"),
    }
    assert set(leaves.bench) == {"toy"}
    assert set(leaves.model) == {"dummy"}
    docs = 2 if "limit" in version else 3
    assert set(leaves.n) == {docs}
    assert set(leaves.n_total) == {3}
    distance = leaves[leaves.metric == "distance"]
    assert distance.stderr.isna().all()  # lm-eval writes "N/A" for an aggregation of one's own
    assert not distance.higher_is_better.any()


@pytest.mark.parametrize("version", VERSIONS)
def test_values_are_those_of_the_file(version: str) -> None:
    content = json.loads(results_file(version).read_text())
    for row in read([FIXTURES / version]).frame.itertuples():
        assert row.value == content["results"][row.task][f"{row.metric},{row.filter}"]


def test_a_limited_run_keeps_its_limit() -> None:
    assert set(read([FIXTURES / "0.4.12-limit"]).frame["limit"]) == {2}
    assert read([FIXTURES / "0.4.12"]).frame["limit"].isna().all()


def test_bypass_is_dropped_and_counted() -> None:
    reading = read([FIXTURES / "0.4.13-predict"])
    assert reading.frame.empty
    assert tuple(reading.frame.columns) == COLUMNS
    assert "2 scores of --predict_only" in reading.notes[0]
    assert not reading.problems


def test_the_newest_of_repeated_runs_counts_and_the_others_are_counted() -> None:
    one, both = read([FIXTURES / "0.4.9.2"]), read([FIXTURES / "0.4.9.2", FIXTURES / "0.4.9.2-file"])
    assert len(both.frame) == len(one.frame)
    assert set(both.frame.run) == {str(results_file("0.4.9.2-file"))}
    older, newer = results_file("0.4.9.2"), results_file("0.4.9.2-file")
    assert both.notes == [f"{older} was left out with {len(one.frame)} numbers: {newer} repeats it and is newer."]


def test_runs_with_different_settings_are_not_repetitions() -> None:
    reading = read([FIXTURES / "0.4.12", FIXTURES / "0.4.12-limit"])
    assert not reading.notes
    assert len(reading.frame) == 2 * len(read([FIXTURES / "0.4.12"]).frame)


def test_gzip_is_read_like_plain_text(tmp_path: Path) -> None:
    for file in (FIXTURES / "0.4.13").rglob("*.json*"):
        (tmp_path / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    packed, plain = read([tmp_path]), read([FIXTURES / "0.4.13"])
    assert not packed.problems
    assert len(packed.samples) == 2
    pd.testing.assert_frame_equal(packed.frame.drop(columns="run"), plain.frame.drop(columns="run"))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A good run beside a corrupt JSON, a truncated JSONL and a foreign file."""
    shutil.copytree(FIXTURES / "0.4.13", tmp_path / "good")
    (tmp_path / "results_corrupt.json").write_text('{"results": {"toy"')
    whole = next(file for file in (FIXTURES / "0.4.13").rglob("samples_toy_write*")).read_text()
    (tmp_path / "samples_cut.jsonl").write_text(whole[:-40])
    (tmp_path / "notes.txt").write_text("lunch at noon")  # nobody asked for it
    return tmp_path


def test_what_cannot_be_used_is_named_with_its_reason(damaged: Path) -> None:
    reading = read([damaged])
    assert {problem.path.name: problem.reason.partition(":")[0] for problem in reading.problems} == {
        "results_corrupt.json": "broken or cut-off JSON",
        "samples_cut.jsonl": "cut off or broken after line 5",
    }
    assert len(reading.frame) == 7


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "not a result file"),
        ({"results": {}}, "not a result file"),
        ({"results": {}, "configs": {}}, "without a single score"),
        ({"results": {"t": {"acc": 0.5, "acc_stderr": 0.1}}, "configs": {}}, "without a single score"),
        ({"results": {"t": [1]}, "configs": {}}, "not a mapping"),
        ({"results": {"t": {"acc,none": {"a": 1}}}, "configs": {}}, "dict, not a number"),
    ],
)
def test_json_that_is_no_result_says_why(content: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rows_of(content, Path("x.json"))


def test_a_gzip_file_that_ends_early_is_named(tmp_path: Path) -> None:
    (tmp_path / "samples_x.jsonl.gz").write_bytes(gzip.compress(b'{"doc_id": 0}\n' * 9)[:-9])
    (tmp_path / "results_x.json.gz").write_bytes(b"no gzip")
    reasons = {problem.path.name: problem.reason for problem in read([tmp_path]).problems}
    assert set(reasons) == {"samples_x.jsonl.gz", "results_x.json.gz"}


def test_a_file_that_was_asked_for_is_named_whatever_it_is(damaged: Path) -> None:
    (problem,) = read([damaged / "notes.txt"]).problems
    assert problem == (damaged / "notes.txt", "not a result file of lm-eval")


def test_a_missing_path_is_an_error() -> None:
    with pytest.raises(InputError, match="does not exist"):
        read([Path("nowhere")])


def test_hidden_files_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.json").write_text("{")
    (tmp_path / ".DS_Store").write_text("x")
    assert not read([tmp_path]).problems


def test_a_file_given_twice_is_read_once() -> None:
    twice = read([FIXTURES / "0.4.13", results_file("0.4.13")])
    assert not twice.notes


def result(**changes: object) -> dict[str, object]:
    content: dict[str, object] = {
        "results": {"mbtibench_zero_shot_ei": {"s_rmse,none": 2.5, "s_rmse_stderr,none": "N/A", "spearman,none": None}},
        "configs": {"mbtibench_zero_shot_ei": {"metadata": {"version": 1.0}}},
        "config": {"model": "hf", "model_args": {"pretrained": "gpt2"}},
        "date": 1.0,
    }
    return {**content, **changes}


def test_undefined_scores_stay_rows_without_a_value() -> None:
    rows, _ = rows_of(result(), Path("x.json"))
    assert {row.metric: math.isnan(row.value) for row in rows} == {"s_rmse": False, "spearman": True}


def test_sample_data_is_marked_also_in_the_group_above() -> None:
    content = result(
        results={"ei": {"s_rmse,none": 2.5}, "mbti": {"s_rmse,none": 2.5}},
        configs={"ei": {"metadata": {"data": "sample"}}},
        group_subtasks={"mbti": ["ei"]},
    )
    rows, _ = rows_of(content, Path("x.json"))
    assert {(row.task, row.level, row.data) for row in rows} == {("ei", "task", "sample"), ("mbti", "group", "sample")}


def test_what_a_loader_recorded_is_the_setting() -> None:
    recorded = {"prompt_pack": "authors", "prompt_pack_sha256": "ab" * 32, "truncation": "o200k80", "gold": "em"}
    content = result(configs={"mbtibench_zero_shot_ei": {"metadata": {"prompt_pack": "p.json", "recorded": recorded}}})
    rows, _ = rows_of(content, Path("x.json"))
    assert (rows[0].prompt_pack, rows[0].setting) == ("authors abababababab", "truncation o200k80")


@pytest.mark.parametrize("base", ["/models/llama", {"path": "/models/llama", "sha256": {"weights": "ab"}}])
def test_the_models_method_file_names_method_and_base(tmp_path: Path, base: object) -> None:
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "method.json").write_text(json.dumps({"method": "rkld", "base": base}))
    content = result(config={"model": "hf", "model_args": f"pretrained={tmp_path / 'merged'},dtype=float32"})
    rows, _ = rows_of(content, Path("x.json"))
    assert (rows[0].model, rows[0].method, rows[0].base) == ("merged", "rkld", "llama")
    (tmp_path / "merged" / "method.json").write_text("{")
    with pytest.raises(ValueError, match=r"method\.json"):
        rows_of(content, Path("x.json"))


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"model": "hf", "model_args": "pretrained=meta/llama,peft=/home/me/lora"}, "meta/llama + lora"),
        ({"model": "local-chat-completions", "model_args": "model=gpt-4o,base_url=http://x/v1"}, "gpt-4o"),
        ({"model": "vllm", "model_args": {"pretrained": "/models/qwen", "tensor_parallel_size": 2}}, "qwen"),
        ({"model": "dummy", "model_args": ""}, "dummy"),
        ({}, "unknown"),
    ],
)
def test_models_are_called_what_readers_call_them(config: dict[str, object], name: str) -> None:
    assert model_name({"config": config, "model_name": "qdpv68r5"}) == name


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("mbtibench", ("mbtibench", "", "")),
        ("mbtibench_zero_shot", ("mbtibench", "zero_shot", "")),
        ("mbtibench_hard_psycot_jp", ("mbtibench", "hard_psycot", "J/P")),
        ("mbtibench_dreaddit_soft_inverted", ("mbtibench", "dreaddit_soft_inverted", "")),
        ("mbtibench_dreaddit_personality_sn", ("mbtibench", "dreaddit_personality", "S/N")),
        ("eibench", ("eibench", "", "")),
        ("eibench_cee", ("eibench", "", "cee")),
        ("eibench_esc_response_ll", ("eibench", "ll", "esc_response")),
        ("unheard_of", ("unheard_of", "", "")),
    ],
)
def test_task_names_are_placed_by_the_naming_rule(task: str, expected: tuple[str, str, str]) -> None:
    assert place(task, {}, {}) == expected


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.sampled_from("abcd"), max_size=3)))
def test_groups_that_contain_each_other_do_not_hang(groups: dict[str, list[str]]) -> None:
    assert place("a", {}, groups).bench in {"a", "b", "c", "d"}


scores = st.one_of(
    st.none(), st.floats(), st.integers(-9, 9), st.just("N/A"), st.text(max_size=3), st.lists(st.floats())
)
names = st.text("abc,_:", max_size=8) | st.sampled_from(["acc,none", "acc_stderr,none", "alias", "bypass,none"])


@given(
    st.dictionaries(names, st.dictionaries(names, scores, max_size=4) | scores, max_size=4),
    st.dictionaries(names, st.dictionaries(names, scores) | scores, max_size=3),
    st.dictionaries(names, st.lists(names, max_size=3) | scores, max_size=3),
)
def test_any_result_mapping_is_rows_or_a_reason(results: object, configs: object, groups: object) -> None:
    content = {"results": results, "configs": configs, "group_subtasks": groups, "n-samples": configs}
    try:
        rows, _ = rows_of(content, Path("x.json"))
    except ValueError:
        return
    assert all(isinstance(row, Row) for row in rows)


def test_frames_and_rows_convert_both_ways() -> None:
    frame = read([FIXTURES / "0.4.13"]).frame
    pd.testing.assert_frame_equal(to_frame(to_rows(frame)), frame)


def test_an_empty_frame_has_nothing_to_supersede() -> None:
    frame, notes = newest(to_frame([]))
    assert frame.empty
    assert notes == []


@pytest.mark.parametrize("version", VERSIONS)
def test_samples_of_every_version_belong_to_their_filters(version: str) -> None:
    run = load_run(FIXTURES / version)
    scores = run.tasks["toy_write"].scores()
    assert list(scores) == ["strict", "lenient"]
    docs = 2 if "limit" in version else 3
    for found in scores.values():
        assert found.items["parse_failure"] == [1.0] * docs
        assert sorted(found.numbers) == [str(number) for number in range(docs)]


def test_docs_of_several_ranks_may_come_in_any_order(tmp_path: Path) -> None:
    lines = [{"doc_id": number, "acc": 1.0} for number in (0, 2, 0, 2, 1, 1)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = [(sample["doc_id"], sample["filter"]) for sample in sample_lines(tmp_path / "samples.jsonl", ("a", "b"))]
    assert found == [(0, "a"), (2, "a"), (0, "b"), (2, "b"), (1, "a"), (1, "b")]


def test_samples_are_checked_without_holding_them_in_memory(tmp_path: Path) -> None:
    line = json.dumps({"doc_id": 0, "doc": "x" * 100_000}) + "\n"
    (tmp_path / "samples_big.jsonl").write_text(line * 200)
    tracemalloc.start()
    reading = read([tmp_path])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not reading.problems
    assert peak < len(line) * 20  # of 200 lines


def test_a_file_with_half_a_surrogate_pair_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    text = results_file("0.4.13").read_text()
    (tmp_path / "results_good.json").write_text(text)
    content = json.loads(text)
    content["model_name"] = "bad\ud800"
    (tmp_path / "results_bad.json").write_text(json.dumps(content))
    reading = read([tmp_path])
    assert len(reading.frame)
    (problem,) = reading.problems
    assert problem.path.name == "results_bad.json"
    assert "surrogate" in problem.reason
