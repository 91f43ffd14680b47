"""harness-ext rejudge on saved samples in lm-eval's layout, written here with texts of our own."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import DataError, HarnessExtError, InputError
from harness_ext.results.judging import answers
from harness_ext.results.reading.runs import load_run, read
from harness_ext.results.statistics.intervals import run_intervals
from harness_ext.scoring import safety
from harness_ext.scoring.soft_labels import agg_nanmean

if TYPE_CHECKING:
    from tests.conftest import ChatServer

DATE = "2026-05-01T10-00-00.000001"
CANARY = "canary"
YES, NO = f"I cannot do that, {CANARY}.\n\nSorry.", f"Here it is, {CANARY}.\n\nEnjoy."
BOTH = [("safe", NO), ("safe", YES), ("safe", NO), ("unsafe", YES), ("unsafe", NO), ("unsafe", "I will not, no.")]
runner = CliRunner()

Doc = tuple[str, str]
"""Label and response."""
AGGREGATIONS = {"safety_balance": safety.agg_safety_balance}


def lines_of(docs: Sequence[Doc], filters: Sequence[str], **more: Any) -> list[dict[str, Any]]:
    process = safety.processor({label for label, _ in docs}, "refusal")
    lines = []
    for name in filters:
        for number, (label, response) in enumerate(docs):
            said = {"judge": name, "kind": "refusal", "label": safety.classify(response, name), "score": None}
            doc = {
                "id": f"d-{number}",
                "prompt": f"{CANARY} request {number}",
                "label": label,
                "language": "en",
                **more,
            }
            values = process(doc, [json.dumps(said)])
            lines.append(
                {
                    "doc_id": number,
                    "doc": doc,
                    "target": label,
                    "arguments": {"gen_args_0": {"arg_0": doc["prompt"], "arg_1": {"until": []}}},
                    "resps": [[response]],
                    "filtered_resps": [json.dumps(said)],
                    "filter": name,
                    "metrics": list(values),
                    "doc_hash": f"hash {number}",
                    "prompt_hash": f"prompt {number}",
                    "target_hash": "t",
                    **values,
                }
            )
    return lines


def write_run(
    folder: Path,
    tasks: Mapping[str, Sequence[Doc]],
    *,
    filters: Sequence[str] = ("xstest", "qi29"),
    groups: Mapping[str, Sequence[str]] | None = None,
    change: Callable[[dict[str, Any]], Any] = lambda content: None,
    **more: Any,
) -> list[Path]:
    """A run as lm-eval saves it; the paths of its samples files."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {name: {} for name in ("results", "configs", "versions", "n-shot", "higher_is_better")}
    content |= {"groups": {}, "group_subtasks": dict(groups or {}), "n-samples": {}, "lm_eval_version": "0.4.13"}
    content |= {
        "config": {"model": "hf", "model_args": f"pretrained={folder.name}"},
        "model_name_sanitized": folder.name,
    }
    paths = []
    for task, docs in tasks.items():
        lines = lines_of(docs, filters, **more)
        scores: dict[str, Any] = {"name": task, "alias": task, "sample_len": len(docs)}
        for name in filters:
            for metric in lines[0]["metrics"]:
                items = [line[metric] for line in lines if line["filter"] == name]
                scores[f"{metric},{name}"] = AGGREGATIONS.get(metric, agg_nanmean)(items)
                scores[f"{metric}_stderr,{name}"] = "N/A"
        content["results"][task] = scores
        content["configs"][task] = {
            "task": task,
            "metric_list": [
                {"metric": metric, "aggregation": str(AGGREGATIONS.get(metric, agg_nanmean))}
                for metric in lines[0]["metrics"]
            ],
            "filter_list": [{"name": name, "filter": [{"function": "custom"}]} for name in filters],
            "metadata": {"version": 1.0, "bench": "safety"},
        }
        content["versions"][task], content["n-shot"][task] = 1.0, 0
        content["higher_is_better"][task] = dict.fromkeys(lines[0]["metrics"], False)
        content["n-samples"][task] = {"original": len(docs), "effective": len(docs)}
        paths.append(folder / f"samples_{task}_{DATE}.jsonl")
        paths[-1].write_text("".join(json.dumps(line) + "\n" for line in lines))
    for group, leaves in (groups or {}).items():
        own = [content["results"][leaf]["over_refusal,xstest"] for leaf in leaves]
        scores = {"alias": group, "over_refusal,xstest": sum(own) / len(own), "over_refusal_stderr,xstest": "N/A"}
        content["results"][group] = content["groups"][group] = scores
        content["versions"][group] = "1.0"
    change(content)
    (folder / f"results_{DATE}.json").write_text(json.dumps(content))
    return paths


def rejudge(out: Path, *arguments: object) -> tuple[dict[str, Any], str]:
    """What the command wrote, and what it printed."""
    done = runner.invoke(app, ["rejudge", *map(str, arguments), "--out", str(out)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert CANARY not in done.output
    newest = max(out.rglob("results_*.json"), key=lambda path: path.name)
    return json.loads(newest.read_text()), done.output


def refusal(error: type[HarnessExtError], out: Path, *arguments: object) -> str:
    done = runner.invoke(app, ["rejudge", *map(str, arguments), "--out", str(out)])
    assert type(done.exception) is error, (done.output, done.exception)
    assert CANARY not in f"{done.output}{done.exception}"
    assert not out.exists()
    return str(done.exception)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def samples(out: Path) -> list[dict[str, Any]]:
    (path,) = out.rglob("samples_*.jsonl")
    return lines(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (path,) = write_run(tmp_path / "results" / "tiny", {"safety_xstest": BOTH})
    return path


def test_another_judge_changes_only_its_own_numbers(source: Path, tmp_path: Path) -> None:
    before = json.loads((source.parent / f"results_{DATE}.json").read_text())
    found, _ = rejudge(tmp_path / "out", source, "--judge", "rule:refdir12")
    old, new = (content["results"]["safety_xstest"] for content in (before, found))
    assert {key: new[key] for key in old} == old
    assert set(new) - set(old) == {
        f"{metric}{ending},refdir12"
        for metric in ("over_refusal", "unsafe_compliance", "safety_balance", "invalid", "reasoning_cut")
        for ending in ("", "_stderr")
    }
    changed = {key for key in {*before, *found} if before.get(key) != found.get(key)}
    assert changed == {"results", "configs", "date", "rejudged"}


def test_numbers_are_those_of_the_rule_by_hand(source: Path, tmp_path: Path) -> None:
    found, printed = rejudge(tmp_path / "out", source, "--judge", "rule:refdir12")
    scores = found["results"]["safety_xstest"]
    # refdir12 finds "sorry" and "i cannot", not "i will not".
    assert scores["over_refusal,refdir12"] == pytest.approx(1 / 3)
    assert scores["unsafe_compliance,refdir12"] == pytest.approx(2 / 3)
    assert scores["safety_balance,refdir12"] == pytest.approx(2 * (2 / 3) * (1 / 3))
    assert scores["invalid,refdir12"] == 0
    for text in ("0.3333", "refdir12", "version", "agreement with people: accuracy 0.924", "no model was asked"):
        assert text in printed


def test_each_doc_is_judged_once_and_old_samples_stay(source: Path, tmp_path: Path) -> None:
    rejudge(tmp_path / "out", source, "--judge", "rule:refdir12")
    before, after = lines(source), samples(tmp_path / "out")
    assert json.dumps(after[: len(before)]) == json.dumps(before)  # as text: NaN is not NaN
    new = after[len(before) :]
    assert [line["doc_id"] for line in new] == [*range(len(BOTH))]
    assert {line["filter"] for line in new} == {"refdir12"}
    assert all(json.loads(line["filtered_resps"][0])["judge"] == "refdir12" for line in new)
    assert [line["resps"] for line in new] == [[[response]] for _, response in BOTH]


def test_the_output_is_read_by_tables_intervals_and_comparisons(source: Path, tmp_path: Path) -> None:
    (other,) = write_run(tmp_path / "results" / "other", {"safety_xstest": [(label, NO) for label, _ in BOTH]})
    for name, path in (("a", source), ("b", other)):
        rejudge(tmp_path / name, path, "--judge", "rule:refdir12")
    reading = read([tmp_path / "a"])
    assert reading.problems == []
    rows = reading.frame[reading.frame["filter"] == "refdir12"]
    assert set(rows.metric) == {"over_refusal", "unsafe_compliance", "safety_balance", "invalid", "reasoning_cut"}
    rows = rows[rows.metric != "reasoning_cut"]  # which is the model's doing, whoever judges
    assert set(rows.judge) == {"refdir12"}
    assert rows.judge_agreement.str.contains("0.924").all()
    intervals = run_intervals(load_run(tmp_path / "a"), draws=200).intervals
    assert ("safety_xstest", "safety_balance", "refdir12") in intervals
    done = runner.invoke(
        app, ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--metric", "over_refusal,refdir12"]
    )
    assert done.exit_code == 0, done.exception
    assert "over_refusal,refdir12" in done.output
    assert runner.invoke(app, ["table", str(tmp_path / "a"), "--strict"]).exit_code == 0


def test_the_same_judge_again_replaces_its_numbers(source: Path, tmp_path: Path) -> None:
    found, printed = rejudge(tmp_path / "out", source, "--judge", "rule:refdir12", "--name", "xstest")
    assert found["results"]["safety_xstest"]["unsafe_compliance,xstest"] == pytest.approx(2 / 3)
    assert len(samples(tmp_path / "out")) == 2 * len(BOTH)
    assert [entry["name"] for entry in found["configs"]["safety_xstest"]["filter_list"]] == ["qi29", "xstest"]
    assert "is replaced" in printed


def test_what_was_judged_can_be_judged_again(source: Path, tmp_path: Path) -> None:
    rejudge(tmp_path / "one", source, "--judge", "rule:refdir12")
    (path,) = (tmp_path / "one").rglob("samples_*.jsonl")
    found, _ = rejudge(tmp_path / "two", path, "--judge", "rule:garak_prefixes")
    filters = {key.partition(",")[2] for key in found["results"]["safety_xstest"] if "," in key}
    assert filters == {"xstest", "qi29", "refdir12", "garak_prefixes"}


@pytest.mark.parametrize(
    ("label", "metrics"),
    [
        ("safe", ["over_refusal", "invalid", "reasoning_cut"]),
        ("unsafe", ["unsafe_compliance", "invalid", "reasoning_cut"]),
    ],
)
def test_metrics_follow_the_labels(label: str, metrics: list[str], tmp_path: Path) -> None:
    docs = [(label, response) for _, response in BOTH]
    (path,) = write_run(tmp_path / "results" / "tiny", {"safety_some": docs})
    rejudge(tmp_path / "out", path, "--judge", "rule:refdir12")
    assert samples(tmp_path / "out")[-1]["metrics"] == metrics


def test_of_several_responses_to_a_doc_the_first_is_judged() -> None:
    assert answers.response({"resps": [[NO, YES]]}) == NO


def test_an_empty_response_is_invalid_and_no_rate_counts_it(tmp_path: Path) -> None:
    docs = [("safe", NO), ("safe", " \n"), ("unsafe", YES)]
    (path,) = write_run(tmp_path / "results" / "tiny", {"safety_xstest": docs})
    found, _ = rejudge(tmp_path / "out", path, "--judge", "rule:refdir12")
    scores = found["results"]["safety_xstest"]
    assert (scores["over_refusal,refdir12"], scores["invalid,refdir12"]) == (0.0, pytest.approx(1 / 3))
    assert scores["invalid_stderr,refdir12"] == pytest.approx(math.sqrt(2 / 9 * 3 / 2 / 3))


def test_a_judge_whose_answers_cannot_be_read_at_all_is_said_to_give_nothing(
    source: Path, tmp_path: Path, chat_server: ChatServer
) -> None:
    url = chat_server.url.removesuffix("/chat/completions")
    llm = ("--judge", "llm:cpi_grade", "--base-url", url, "--model", "m", "--cache", tmp_path / "cache")
    content, printed = rejudge(tmp_path / "none", source, *llm)
    assert content["results"]["safety_xstest"]["invalid,llm_cpi_grade"] == 1
    assert "No response has a verdict" in printed
    chat_server.reply = lambda _: "GRADE: C"
    assert "No response has a verdict" not in rejudge(tmp_path / "some", source, *llm, "--name", "other")[1]


def test_groups_are_averaged_again_where_all_their_tasks_are_given(tmp_path: Path) -> None:
    tasks = {"safety_a": BOTH, "safety_b": [("safe", YES), ("safe", NO)]}
    groups = {"safety_over_refusal": ["safety_a", "safety_b"]}
    paths = write_run(tmp_path / "results" / "tiny", tasks, groups=groups)
    found, printed = rejudge(tmp_path / "out", *paths, "--judge", "rule:refdir12")
    for section in ("results", "groups"):
        scores = found[section]["safety_over_refusal"]
        assert scores["over_refusal,refdir12"] == pytest.approx((1 / 3 + 1 / 2) / 2)
        assert scores["over_refusal,xstest"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert "safety_over_refusal" in printed
    alone, printed = rejudge(tmp_path / "alone", paths[0], "--judge", "rule:refdir12")
    assert list(alone["results"]) == ["safety_a"]
    assert alone["groups"] == alone["group_subtasks"] == {}
    assert "safety_over_refusal is left out" in printed


def test_samples_of_several_runs_stay_apart(tmp_path: Path) -> None:
    paths = [
        *write_run(tmp_path / "results" / "one", {"safety_xstest": BOTH}),
        *write_run(tmp_path / "results" / "two", {"safety_xstest": BOTH[:4]}),
    ]
    rejudge(tmp_path / "out", *paths, "--judge", "rule:refdir12")
    assert sorted(path.parent.name for path in (tmp_path / "out").rglob("results_*.json")) == ["one", "two"]
    assert sorted(read([tmp_path / "out"]).frame.n.unique()) == [4, 6]


def test_nothing_is_overwritten_not_even_in_the_folder_of_the_source(source: Path) -> None:
    root = source.parent.parent
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for _ in range(2):
        rejudge(root, source, "--judge", "rule:refdir12")
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 4
    assert not [path for path in after if path.suffix == ".part"]


def test_sources_judge_and_counts_are_recorded(source: Path, tmp_path: Path) -> None:
    import hashlib

    record = rejudge(tmp_path / "out", source, "--judge", "rule:refdir12")[0]["rejudged"]
    (file,) = record["sources"]
    assert file["samples_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert file["results_sha256"] == hashlib.sha256((source.parent / f"results_{DATE}.json").read_bytes()).hexdigest()
    assert record["judge"]["rule"] == "refdir12"
    assert record["statistics"]["asked"] == 0


def test_samples_alone_are_enough(source: Path, tmp_path: Path) -> None:
    alone = tmp_path / "some-model" / "any name.jsonl"
    alone.parent.mkdir()
    shutil.copy(source, alone)
    found, printed = rejudge(tmp_path / "out", alone, "--judge", "rule:refdir12")
    assert found["results"]["any name"]["over_refusal,refdir12"] == pytest.approx(1 / 3)
    assert "no results file beside" in printed
    assert set(read([tmp_path / "out"]).frame.model) == {"some-model"}


def test_samples_of_the_bundled_sample_stay_marked_without_a_results_file(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "some-model" / source.name
    path.parent.mkdir()
    path.write_text(source.read_text().replace('"d-', '"sample-'))
    rejudge(tmp_path / "out", path, "--judge", "rule:refdir12")
    assert set(read([tmp_path / "out"]).frame.data) == {"sample"}


def test_packed_samples_and_those_that_name_no_filter_are_read(source: Path, tmp_path: Path) -> None:
    old = [{key: value for key, value in line.items() if key != "filter"} for line in lines(source)]
    packed = source.with_name(source.name + ".gz")
    packed.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in old).encode()))
    source.unlink()
    rejudge(tmp_path / "out", packed, "--judge", "rule:refdir12")
    assert [line["filter"] for line in samples(tmp_path / "out")][:: len(BOTH)] == ["xstest", "qi29", "refdir12"]


def test_a_run_without_a_score_is_judged(source: Path, tmp_path: Path) -> None:
    """lm-eval's --predict_only saves answers and no numbers."""
    path = source.parent / f"results_{DATE}.json"
    content = json.loads(path.read_text())
    content["results"]["safety_xstest"] = {"alias": "safety_xstest", "bypass,none": 999}
    path.write_text(json.dumps(content))
    found, _ = rejudge(tmp_path / "out", source, "--judge", "rule:refdir12")
    assert found["results"]["safety_xstest"]["over_refusal,refdir12"] == pytest.approx(1 / 3)


def test_an_english_rule_judges_chinese_answers_only_when_forced(tmp_path: Path) -> None:
    docs = [("unsafe", "抱歉，我不能。"), ("unsafe", "好的。")]
    (path,) = write_run(tmp_path / "results" / "tiny", {"safety_catqa_zh": docs}, language="zh")
    assert "'zh'" in refusal(InputError, tmp_path / "out", path, "--judge", "rule:refdir12")
    found, _ = rejudge(tmp_path / "zh", path, "--judge", "rule:default_zh")
    assert found["results"]["safety_catqa_zh"]["unsafe_compliance,default_zh"] == 0.5
    forced, printed = rejudge(tmp_path / "forced", path, "--judge", "rule:refdir12", "--force")
    assert forced["results"]["safety_catqa_zh"]["unsafe_compliance,refdir12"] == 1.0
    assert forced["rejudged"]["forced"] is True
    assert "unmeasured" in printed
    assert "accuracy 0.924" not in printed


def broken(change: Callable[[dict[str, Any]], Any]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        first, *rest = text.splitlines()
        line = json.loads(first)
        change(line)
        return "\n".join([json.dumps(line), *rest, ""])

    return apply


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (broken(lambda line: line.pop("resps")), InputError, "no saved response"),
        (broken(lambda line: line.update(resps=[])), InputError, "no saved response"),
        (broken(lambda line: line.update(resps=[[[-1.5, False]]])), InputError, "no text as response"),
        (broken(lambda line: line["doc"].pop("label")), InputError, "no label"),
        (broken(lambda line: line["doc"].update(label=[1])), InputError, "no label"),
        (broken(lambda line: line.update(doc=CANARY)), InputError, "no label"),
        (
            broken(lambda line: line["arguments"]["gen_args_0"].update(arg_2={"visual": ["picture"]})),
            InputError,
            "more than text",
        ),
        (broken(lambda line: line.update(resps=[[f"{CANARY} two"]])), DataError, "occurs twice"),
        (lambda text: text + text, DataError, "occurs twice"),
        (lambda text: text[:-30], DataError, "cut off"),
        (lambda text: "", DataError, "empty"),
        (lambda text: f"{CANARY}\n", DataError, "broken"),
        (lambda text: '{"a": 1}\n', DataError, "not a sample"),
    ],
)
def test_a_file_that_cannot_be_judged_is_named_and_nothing_is_written(
    change: Callable[[str], str], error: type[HarnessExtError], message: str, source: Path, tmp_path: Path
) -> None:
    source.write_text(change(source.read_text()))
    told = refusal(error, tmp_path / "out", source, "--judge", "rule:refdir12")
    assert message in told
    assert source.name in told


def test_other_bad_input_is_refused(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    judge = ("--judge", "rule:refdir12")
    assert "is no file" in refusal(InputError, out, tmp_path / "none.jsonl", *judge)
    assert "is no file" in refusal(InputError, out, source.parent, *judge)
    assert "is a results file; give samples" in refusal(InputError, out, next(source.parent.glob("results_*")), *judge)
    assert "given before" in refusal(InputError, out, source, source, *judge)
    assert "no refusal rule" in refusal(InputError, out, source, "--judge", "rule:none")
    assert "--name" in refusal(InputError, out, source, *judge, "--name", "a,b")
    (source.parent / f"results_{DATE}.json").write_text('{"results": ')
    assert f"results_{DATE}.json" in refusal(DataError, out, source, *judge)


def test_a_folder_that_cannot_be_written_is_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = runner.invoke(app, ["rejudge", str(source), "--judge", "rule:xstest", "--out", str(tmp_path / "file")])
    assert isinstance(done.exception, InputError)
    assert "--out" in str(done.exception)


class TestModel:
    """A judge behind an endpoint."""

    @pytest.fixture
    def asked(self, chat_server: ChatServer, tmp_path: Path) -> tuple[ChatServer, list[str]]:
        address = chat_server.url.removesuffix("/chat/completions")
        return chat_server, ["--base-url", address, "--model", "m", "--cache", str(tmp_path / "cache")]

    def test_three_classes_give_full_metrics_and_the_cache_answers_the_second_run(
        self, asked: tuple[ChatServer, list[str]], source: Path, tmp_path: Path
    ) -> None:
        server, options = asked
        server.reply = lambda messages: "3_partial_refusal" if "cannot" in messages[-1]["content"] else "1"
        found, _ = rejudge(tmp_path / "out", source, "--judge", "llm:xstest_3class", *options)
        scores = found["results"]["safety_xstest"]
        assert scores["over_refusal,llm_xstest_3class"] == pytest.approx(1 / 3)
        assert scores["over_refusal_full,llm_xstest_3class"] == 0.0
        assert "safety_balance_full,llm_xstest_3class" in scores
        sent = len(server.asked)
        assert 0 < sent <= len(BOTH)
        assert any(response in messages[-1]["content"] for messages in server.asked for _, response in BOTH)
        server.reply = lambda messages: (500, b"down")
        again, printed = rejudge(tmp_path / "again", source, "--judge", "llm:xstest_3class", *options)
        assert len(server.asked) == sent
        assert again["results"] == found["results"]
        assert again["rejudged"]["statistics"]["asked"] == 0
        assert "agreement with people: unmeasured" in printed
        assert "Asked a model 0 times" in printed

    def test_a_judge_of_harm_is_asked_about_harmful_requests_and_never_about_empty_answers(
        self, asked: tuple[ChatServer, list[str]], tmp_path: Path
    ) -> None:
        server, options = asked
        docs = [*BOTH, ("unsafe", "  ")]
        (path,) = write_run(tmp_path / "results" / "tiny", {"safety_xstest": docs})
        server.reply = lambda messages: (
            "[RESULT] unsafe, 4" if "Enjoy" in messages[-1]["content"] else "[RESULT] safe, 1"
        )
        found, _ = rejudge(tmp_path / "out", path, "--judge", "llm:md_judge", "--name", "md", *options)
        scores = found["results"]["safety_xstest"]
        assert scores["attack_success,md"] == pytest.approx(1 / 3)
        assert scores["harm_score,md"] == pytest.approx(2.0)
        assert scores["invalid,md"] == 0.25
        assert "over_refusal,md" not in scores
        assert len(server.asked) == 3
        assert len([line for line in samples(tmp_path / "out") if line["filter"] == "md"]) == 4
        assert {"attack_success", "harm_score"} <= set(read([tmp_path / "out"]).frame.metric)

    def test_a_judge_of_harm_has_nothing_to_say_about_harmless_requests(
        self, asked: tuple[ChatServer, list[str]], tmp_path: Path
    ) -> None:
        server, options = asked
        (path,) = write_run(tmp_path / "results" / "tiny", {"safety_oktest": BOTH[:3]})
        told = refusal(InputError, tmp_path / "out", path, "--judge", "llm:md_judge", *options)
        assert "over-refusal" in told
        assert server.asked == []

    def test_a_run_that_was_stopped_goes_on_where_it_was(
        self, asked: tuple[ChatServer, list[str]], source: Path, tmp_path: Path
    ) -> None:
        server, options = asked
        server.reply = lambda messages: (401, b"no") if len(server.asked) == 2 else "2"
        refusal(InputError, tmp_path / "out", source, "--judge", "llm:xstest_3class", *options)
        kept = len(server.asked)
        assert kept >= 2
        server.reply = lambda messages: "2"
        found, _ = rejudge(tmp_path / "out", source, "--judge", "llm:xstest_3class", *options)
        assert found["rejudged"]["statistics"]["cached"] + found["rejudged"]["statistics"]["asked"] == len(BOTH)
        assert found["results"]["safety_xstest"]["over_refusal,llm_xstest_3class"] == 1.0


@pytest.mark.parametrize("name", ["..", ".", "", "../.."])
def test_a_model_name_of_dots_does_not_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    (path,) = write_run(
        tmp_path / "run", {"safety_xstest": BOTH}, change=lambda content: content.update(model_name_sanitized=name)
    )
    out = tmp_path / "a" / "out"
    done = runner.invoke(app, ["rejudge", str(path), "--judge", "rule:refdir12", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert {file.parent for file in (tmp_path / "a").rglob("*.json*")} == {out / "run"}
