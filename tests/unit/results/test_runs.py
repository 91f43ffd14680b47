"""Results are read once: how often files are opened, what is the same run, and what is named."""

from __future__ import annotations

import copy
import gzip
import io
import json
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import InputError
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import GroupRun, load_run, read
from harness_ext.results.statistics.compare import compare

DATE = "2026-05-01T10-00-0{}.000001"


def content(**changes: Any) -> dict[str, Any]:
    """A small results file with everything that lm-eval records."""
    found = {
        "results": {"toy": {"alias": "toy", "acc,none": 0.5, "acc_stderr,none": 0.05}},
        "group_subtasks": {"toy": []},
        "configs": {
            "toy": {
                "task": "toy",
                "doc_to_text": "{{text}}",
                "metric_list": [{"metric": "acc", "aggregation": "mean"}],
                "generation_kwargs": {"until": ["."]},
                "filter_list": [{"name": "none"}],
                "metadata": {"version": 1.0, "split": "all"},
            }
        },
        "versions": {"toy": 1.0},
        "n-shot": {"toy": 0},
        "higher_is_better": {"toy": {"acc": True}},
        "n-samples": {"toy": {"original": 2, "effective": 2}},
        "config": {
            "model": "vllm",
            "model_args": {"pretrained": "org/model", "revision": "step1", "dtype": "bfloat16"},
            "limit": None,
            "gen_kwargs": {"temperature": 0.0},
            "random_seed": 0,
            "fewshot_seed": 1234,
            "model_sha": "abc",
            "batch_size": 8,
            "device": "cuda:0",
        },
        "date": 1.0,
        "lm_eval_version": "0.4.13",
        "chat_template_sha": None,
        "system_instruction_sha": None,
        "task_hashes": {"toy": "1a2b"},
        "total_evaluation_time_seconds": "12",
        "pretty_env_info": "a machine",
    }
    return found | changes


def write(folder: Path, told: dict[str, Any], number: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"results_{DATE.format(number)}.json"
    file.write_text(json.dumps(told))
    return file


def log(folder: Path, task: str, values: list[float], number: int = 1) -> Path:
    file = folder / f"samples_{task}_{DATE.format(number)}.jsonl"
    lines = [{"doc_id": at, "doc": {"id": at}, "filter": "none", "acc": value} for at, value in enumerate(values)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each file is opened to be read, by its name."""
    found: Counter[str] = Counter()
    real = io.open

    def counting(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if isinstance(file, str | Path) and "w" not in mode:
            found[Path(file).name] += 1
        return real(file, mode, *rest, **named)

    monkeypatch.setattr(io, "open", counting)
    monkeypatch.setattr("builtins.open", counting)
    yield found


def soft_run(folder: Path, variant: str, number: int) -> None:
    names = {f"mbtibench_{variant}_{code}": part for code, part in {"ei": "E/I", "sn": "S/N"}.items()}
    told = content(
        results={task: {"s_rmse,none": 2.0} for task in names},
        configs={task: {"metadata": {"bench": "mbtibench", "part": part}} for task, part in names.items()},
    )
    write(folder, told, number)
    for task in names:
        lines = [
            {"doc_id": at, "doc": {"id": at, "source": "kaggle"}, "filter": "none", "s_rmse": [at / 9, 0.5]}
            for at in range(10)
        ]
        file = folder / f"samples_{task}_{DATE.format(number)}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ((), 1),
        (("--details",), 1),
        (("--json",), 1),
        (("-o", "page.html"), 1),  # it may show none of these
        (("-o", "page.html", "--details", "--show-samples"), 2),
    ],
)
def test_every_file_is_opened_once_and_samples_once_more_for_the_page(
    tmp_path: Path, opened: Counter[str], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], most: int
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    write(folder, content(), 1)
    log(folder, "toy", [1.0, 0.0])
    log(folder, "gone", [1.0])  # nobody's results
    soft_run(folder, "zero_shot", 2)
    soft_run(folder, "swap", 3)
    opened.clear()
    done = CliRunner().invoke(app, ["table", str(folder), *options])
    assert done.exit_code == 0, done.output
    results = {name: times for name, times in opened.items() if name.startswith("results_")}
    samples = {name: times for name, times in opened.items() if name.startswith("samples_")}
    assert len(results) == 3 and set(results.values()) == {1}
    assert len(samples) == 6 and max(samples.values()) == most


def test_scores_of_documents_are_dropped_when_their_model_is_done(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, content(config={"model_args": {"pretrained": f"m{number}"}}), number)
        log(tmp_path, "toy", [1.0, 0.0], number)
    seen = []

    def visit(rows: Any, runs: Any) -> Any:
        scores = runs.scores(rows[0])
        seen.append((rows[0].model, scores.items["acc"], len(runs._scores)))
        return rows, []

    runs = read([tmp_path], visit)
    assert seen == [("m1", [1.0, 0.0], 1), ("m2", [1.0, 0.0], 1)]
    assert not runs._scores


def fields(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every leaf of nested mappings."""
    for name, own in value.items():
        if isinstance(own, dict) and own:
            yield from fields(own, (*path, name))
        else:
            yield (*path, name)


CHANGED = st.sampled_from(list(fields(content()))).flatmap(
    lambda path: st.tuples(st.just(path), st.sampled_from(["other", 7, 7.5, True, ["x"], {"x": 1}, None]))
)
NOT_READ = {("results",), ("configs",), ("config",), ("group_subtasks", "toy"), ("configs", "toy", "task")}


@given(changed=CHANGED)
def test_a_change_of_anything_recorded_gives_two_rows_or_a_named_reason(
    tmp_path_factory: pytest.TempPathFactory, changed: tuple[tuple[str, ...], Any]
) -> None:
    path, value = changed
    told = copy.deepcopy(content())
    place = told
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    folder = tmp_path_factory.mktemp("identity")
    first, second = write(folder / "a", content()), write(folder / "b", told)
    runs = read([folder])
    rows = runs.frame[runs.frame.metric == "acc"]
    named = " ".join([*runs.notes, *(f"{problem.path} {problem.reason}" for problem in runs.problems)])
    if len(rows) == 2:
        shown = rows[["model", "method", "task", "setting", "prompt_pack", "num_fewshot", "cap", "data"]].astype(str)
        assert len(shown.drop_duplicates()) == 2, (path, value, shown.to_dict("records"))
    else:
        assert str(first) in named or str(second) in named


def test_a_repeat_is_left_out_by_name(tmp_path: Path) -> None:
    older = write(tmp_path / "a", content(date=1.0))
    newer = write(tmp_path / "b", content(date=2.0, total_evaluation_time_seconds="99"))
    runs = read([tmp_path])
    assert runs.frame.run.tolist() == [str(newer)]
    assert runs.notes == [f"{older} was left out with 1 numbers: {newer} repeats it and is newer."]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([{"revision": "step1000"}, {"revision": "step143000"}], ["revision step1000", "revision step143000"]),
        ([{}, {"lora_local_path": "/a/lora1"}], ["", "lora_local_path /a/lora1"]),
        ([{}, {"load_in_4bit": True}], ["", "load_in_4bit true"]),
    ],
)
def test_runs_of_one_name_say_what_tells_them_apart(
    tmp_path: Path, arguments: list[dict[str, Any]], words: list[str]
) -> None:
    for number, own in enumerate(arguments):
        config = {"model": "vllm", "model_args": {"pretrained": "org/model", **own}}
        write(tmp_path, content(config=config, date=float(number)), number)
    assert read([tmp_path]).frame.setting.tolist() == words


@pytest.mark.parametrize("text", ["chat_template", "system_instruction"])
def test_a_text_without_its_hash_tells_two_runs_apart(text: str, tmp_path: Path) -> None:
    for number, said in enumerate(("Be brief.", "Be kind.")):
        write(tmp_path, content(date=float(number)) | {text: said, f"{text}_sha": None}, number)
    assert read([tmp_path]).frame.setting.tolist() == [f"{text} Be brief.", f"{text} Be kind."]


def test_a_switch_that_nobody_declared_keeps_two_runs_apart(tmp_path: Path) -> None:
    for number, split in enumerate(("all", "val")):
        told = content()
        told["configs"]["toy"]["metadata"]["split"] = split
        told["n-samples"]["toy"]["original"] = told["n-samples"]["toy"]["effective"] = 2 + number
        told["task_hashes"]["toy"] = split * 9
        write(tmp_path, told, number)
    assert read([tmp_path]).frame.setting.tolist() == ["split all", "split val"]


def test_model_arguments_that_lm_eval_mixes_into_metadata_are_no_switches(tmp_path: Path) -> None:
    for number, path in enumerate(("answers_a", "answers_b")):
        told = content(config={"model": "replay", "model_args": {"path": path, "model": f"m{number}"}})
        told["configs"]["toy"]["metadata"] |= {"path": path, "model": f"m{number}"}
        write(tmp_path, told, number)
    frame = read([tmp_path]).frame
    assert frame.model.tolist() == ["m0", "m1"]
    assert frame.setting.tolist() == ["", ""]


def test_a_folder_that_mixes_settings_is_no_single_run(tmp_path: Path) -> None:
    write(tmp_path, content(), 1)
    other = content(results={"other": {"acc,none": 0.5}}, configs={"other": {}})
    other["config"]["limit"] = 10
    write(tmp_path, other, 2)
    with pytest.raises(InputError, match=r"mixes runs that differ in limit: .*\(none of these\).*\(limit 10\)"):
        load_run(tmp_path)


def test_one_text_or_list_among_the_metrics_drops_only_that_metric(tmp_path: Path) -> None:
    told = content(
        results={"good": {"acc,none": 0.5}, "odd": {"score,none": "np.float64(0.5)"}}, configs={"good": {}, "odd": {}}
    )
    file = write(tmp_path, told)
    runs = read([tmp_path])
    assert runs.frame.task.tolist() == ["good"]
    assert runs.problems == [(file, "odd: score,none is str, not a number")]


def test_samples_in_the_results_file_are_read_by_tables_and_comparisons(tmp_path: Path) -> None:
    samples = [{"doc_id": at, "doc": {"q": at}, "arguments": [], "acc": float(at % 2)} for at in range(20)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(content(samples={"toy": samples})))
    runs = read([tmp_path / "a"], Evidence().visit)
    assert runs.frame.low[0] < 0.5 < runs.frame.high[0]
    assert set(load_run(tmp_path / "a").tasks) == {"toy"}
    (line,) = compare([tmp_path / "a" / "results.json", tmp_path / "b"])
    assert (line.n, line.difference) == (20, 0.0)


def test_results_of_lm_eval_0_3_are_refused_with_the_true_reason(tmp_path: Path) -> None:
    old = {"results": {"arc": {"acc": 0.5}}, "versions": {"arc": 0}, "config": {"model": "hf-causal"}}
    (tmp_path / "old.json").write_text(json.dumps(old))
    (problem,) = read([tmp_path]).problems
    assert problem.reason.startswith("a result file of lm-eval 0.3, which is not read")


@pytest.mark.parametrize("indent", [None, 2])
def test_samples_as_one_json_list_are_called_so(tmp_path: Path, indent: int | None) -> None:
    (tmp_path / "samples_toy.jsonl").write_text(json.dumps([{"doc_id": 0}], indent=indent))
    (problem,) = read([tmp_path]).problems
    assert problem.reason.startswith("samples written as one JSON list")


def test_a_bent_gzip_file_is_named(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(json.dumps(content()).encode() * 20))
    raw[30] ^= 0xFF
    for name in ("results_x.json.gz", "samples_x.jsonl.gz"):
        (tmp_path / name).write_bytes(raw)
    assert len(read([tmp_path]).problems) == 2


def test_two_runs_of_one_doc_with_an_image_answered_the_same_docs(tmp_path: Path) -> None:
    for name, address in (("a", "0x7f01"), ("b", "0x7f02")):
        write(tmp_path / name, content())
        lines = [
            {
                "doc_id": at,
                "doc": {"q": at, "image": f"<PIL.Image at {address}>"},
                "doc_hash": f"{address}-{at}",
                "prompt_hash": "p",
                "filter": "none",
                "acc": float(at % 2),
            }
            for at in range(4)
        ]
        file = tmp_path / name / f"samples_toy_{DATE.format(1)}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (line,) = compare([tmp_path / "a", tmp_path / "b"])
    assert line.n == 4


@pytest.mark.parametrize(
    ("questions", "rows"), [(("same", "same"), 1), (("same", "other"), 2), ((None, None), 1), (("same", None), 1)]
)
def test_runs_about_images_repeat_each_other_where_their_docs_are_the_same(
    tmp_path: Path, questions: tuple[str | None, str | None], rows: int
) -> None:
    """lm-eval's hash of the task covers the address of the image."""
    for number, question in enumerate(questions):
        told = content(task_hashes={"toy": f"0x7f0{number}"}, date=float(number))
        told["configs"]["toy"]["doc_to_image"] = f"<function picture at 0x7f0{number}>"
        write(tmp_path, told, number)
        if question:
            doc = {"q": question, "image": f"<PIL.Image at 0x7f0{number}>"}
            lines = [{"doc_id": at, "doc": doc, "prompt_hash": "p", "filter": "none", "acc": at} for at in (0, 1)]
            file = tmp_path / f"samples_toy_{DATE.format(number)}.jsonl"
            file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(read([tmp_path]).frame) == rows


def test_several_seeds_are_one_row_with_mean_and_spread_on_request(tmp_path: Path) -> None:
    for number, value in enumerate((0.4, 0.5, 0.9)):
        told = content(results={"toy": {"acc,none": value}})
        told["config"]["random_seed"] = number
        write(tmp_path, told, number)
    assert read([tmp_path]).frame.setting.tolist() == ["random_seed 0", "random_seed 1", "random_seed 2"]
    (row,) = read([tmp_path], seeds="mean").frame.itertuples()
    assert (row.value, row.std) == pytest.approx((0.6, statistics.stdev([0.4, 0.5, 0.9])))
    assert (row.setting, row.run) == ("mean of 3 seeds", "")
    done = CliRunner().invoke(app, ["table", str(tmp_path), "--seeds", "mean", "--format", "md"])
    assert "0.6000 (sd 0.2646)" in done.stdout


@pytest.fixture
def before_and_after(tmp_path: Path) -> Path:
    """A model and what became of it, on the same docs: right on 12 of 30, then on 21, of which 9 are new."""
    values = {"org/base": [1.0] * 12 + [0.0] * 18, "org/tuned": [1.0] * 21 + [0.0] * 9}
    for number, (model, own) in enumerate(values.items()):
        told = content(results={"toy": {"acc,none": sum(own) / 30}})
        told["config"]["model_args"] = {"pretrained": model, "revision": f"r{number}"}
        write(tmp_path, told, number)
        log(tmp_path, "toy", own, number)
    return tmp_path


@pytest.mark.parametrize("base", ["org/base", "nobody"])
def test_the_difference_to_the_base_has_its_paired_interval(before_and_after: Path, base: str) -> None:
    done = CliRunner().invoke(app, ["table", str(before_and_after), "--base", base, "--format", "csv"])
    if base == "nobody":
        assert isinstance(done.exception, InputError)
        assert "there are org/base, org/tuned" in str(done.exception)
        return
    (row,) = [row for row in pd.read_csv(io.StringIO(done.stdout)).itertuples() if row.model == "org/tuned"]
    change = np.array([0.0] * 12 + [1.0] * 9 + [0.0] * 9)
    expected = stats.bootstrap((change,), np.mean, method="BCa", rng=1).confidence_interval
    assert (row.delta_low, row.delta_high) == pytest.approx(tuple(expected), abs=0.04)
    text = CliRunner().invoke(app, ["table", str(before_and_after), "--base", base, "--format", "md"]).stdout
    assert f"+0.3000 \\[{row.delta_low:+.2f}, {row.delta_high:+.2f}\\]" in text


def test_a_base_may_be_named_as_the_table_prints_it(tmp_path: Path) -> None:
    for number, revision in enumerate(("step1", "step2")):
        told = content(results={"toy": {"acc,none": 0.5 + number / 10}})
        told["config"]["model_args"] = {"pretrained": "org/model", "revision": revision}
        write(tmp_path, told, number)
    name = "org/model (revision step1)"
    done = CliRunner().invoke(app, ["table", str(tmp_path), "--base", name, "--format", "md"])
    assert done.exit_code == 0, done.output
    assert "+0.1000" in next(line for line in done.stdout.splitlines() if "step2" in line)


def test_a_local_path_is_shortened_wherever_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "base").mkdir(parents=True)
    tuned = tmp_path / "models" / "tuned"
    tuned.mkdir()
    (tuned / "method.json").write_text(json.dumps({"method": "ties", "base": {"path": "models/base", "sha256": {}}}))
    for number, name in enumerate(("models/base", "models/tuned")):
        told = content(results={"toy": {"acc,none": 0.5 + number / 10}})
        told["config"]["model_args"] = {"pretrained": name}
        write(tmp_path / "runs", told, number)
    frame = read([tmp_path / "runs"]).frame
    assert list(zip(frame.model, frame.base, strict=True)) == [("base", ""), ("tuned", "base")]
    done = CliRunner().invoke(app, ["table", "runs", "--format", "md"])
    assert "+0.1000" in done.stdout


def test_a_groups_mean_is_over_the_tasks_that_report_its_metric() -> None:
    measure = ("ei_score", "none")

    def row(value: float) -> Row:
        return Row(
            origin="measured", model="m", bench="b", task="t", metric=measure[0], filter="none", value=value, n=4
        )

    tasks: Any = {name: SimpleNamespace(rows={measure: row(value)}) for name, value in (("a", 10.0), ("b", 30.0))}
    tasks["reply"] = SimpleNamespace(rows={})
    group = GroupRun(("a", "reply", "b"), {measure: row(20.0)})
    assert group.reporting(measure, tasks) == ["a", "b"]
    assert group.weightings(measure, tasks) == [(0.5, 0.5), (0.5, 0.5)]
    assert group.reporting(measure, {}) == [
        "a",
        "reply",
        "b",
    ]  # of a task that nothing is known of, nothing is left out
