"""What a results file says of its judges, of how a model was asked, and what the safety sets add up to."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from harness_ext.judges.judge import load_judge
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.results.judging.judged_metrics import judged_metrics
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.judges import judge_of
from harness_ext.results.reading.runs import read
from harness_ext.results.statistics.comparability import NotComparableError
from harness_ext.results.statistics.compare import plan
from harness_ext.scoring.refusal_rules import AGREEMENT, RULES
from harness_ext.tasks.safety.derived import HARM_SETS

DATE = "2026-05-01T10-00-00.000001"
Doc = tuple[str, str, Mapping[str, str]]
"""Label, request, and what each judge says of the answer."""


def recorded(rule: str, **changes: object) -> dict[str, Any]:
    return {**load_judge(f"rule:{rule}").describe(), **changes}


def write(
    folder: Path,
    tasks: Mapping[str, Sequence[Doc]],
    judges: Mapping[str, Mapping[str, Any]] | None = None,
    **changes: object,
) -> Path:
    """A run in lm-eval's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = {}
    configs = {}
    for task, docs in tasks.items():
        names, lines = list(docs[0][2]), []
        results[task] = {"alias": task}
        for name in names:
            verdicts = [
                json.dumps({"judge": name, "kind": "refusal", "label": said[name], "score": None})
                for _, _, said in docs
            ]
            metrics = judged_metrics("refusal", [label for label, _, _ in docs], verdicts)
            results[task] |= {f"{metric},{name}": how.aggregation(how.items) for metric, how in metrics.items()}
            for number, (label, prompt, _) in enumerate(docs):
                doc = {"id": f"{task}-{number}", "prompt": prompt, "label": label}
                items = {metric: how.items[number] for metric, how in metrics.items()}
                lines.append({"doc_id": number, "doc": doc, "filter": name, "metrics": list(metrics), **items})
        configs[task] = {
            "metric_list": [{"metric": metric, "aggregation": how.recorded} for metric, how in metrics.items()],
            "filter_list": [{"name": name} for name in names],
            "metadata": {"bench": "safety", "recorded": {"judges": dict(judges or {})}},
        }
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"samples_{task}_{DATE}.jsonl").write_text(text)
    content = {
        **{"results": results, "configs": configs, "lm_eval_version": "0.4.13", "date": 1.0},
        **{"config": {"model": "hf", "model_args": {"pretrained": "tiny"}}, "model_source": "hf"},
        "n-samples": {task: {"original": len(docs), "effective": len(docs)} for task, docs in tasks.items()},
    }
    (folder / f"results_{DATE}.json").write_text(json.dumps(content | changes))
    return folder


def docs(*labels: str, judge: str = "xstest", prefix: str = "request") -> list[Doc]:
    return [("unsafe", f"{prefix} {number}", {judge: label}) for number, label in enumerate(labels)]


def with_safety_suites(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    runs = read([folder], Evidence().visit)
    return runs.frame, runs.notes


def suites(folder: Path) -> list[Row]:
    frame, _ = with_safety_suites(folder)
    return [row for row in to_rows(frame) if row.level == "group"]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_what_is_recorded_of_a_rule_and_what_is_installed_say_the_same(rule: str) -> None:
    config = {"metadata": {"recorded": {"judges": {rule: recorded(rule)}}}}
    assert judge_of(config, rule) == judge_of({}, rule)
    assert ("unmeasured" in judge_of({}, rule).agreement) == (rule not in AGREEMENT)


def test_a_rejudged_filter_says_who_judged_under_its_name() -> None:
    steps = [{"function": "harness-ext rejudge", "judge": recorded("qi29", judge="second")}]
    found = judge_of({"filter_list": [{"name": "second", "filter": steps}]}, "second")
    assert found.judge == "second (qi29)"
    assert found.version == recorded("qi29")["version"]
    assert found.agreement.startswith("accuracy 0.908")


def test_a_judge_that_takes_empty_answers_for_compliance_is_another_version() -> None:
    about = recorded("xstest", compat={"empty": "compliance"})
    found = judge_of({"metadata": {"recorded": {"judges": {"xstest": about}}}}, "xstest")
    assert found.version.endswith("empty compliance")


def test_an_english_rule_forced_on_another_language_is_unmeasured() -> None:
    assert judge_of({"metadata": {"language": "zh"}}, "xstest").agreement == "unmeasured (en rule on zh)"


def test_a_judge_of_whom_nothing_is_recorded_is_unmeasured() -> None:
    assert judge_of({"metadata": {"judge": "judge.yaml"}}, "someone")[:3] == ("judge.yaml", "", "unmeasured")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_args": {"pretrained": "org/some-7b-chat-hf"}}, "a chat model (by its name)"),
        ({"model_args": {"pretrained": "org/some-2b-it"}}, "a chat model (by its name)"),
        ({"model_args": {"pretrained": "org/some-7b"}}, ""),
        ({"model_args": {"pretrained": "org/titan"}}, ""),
    ],
)
def test_a_chat_model_without_its_template_is_flagged(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    write(tmp_path, {"safety_jbb": docs("refusal")}, config={"model": "hf", **changes})
    note = read([tmp_path]).frame.note[0]
    assert note.startswith(expected) and bool(note) == bool(expected)
    write(tmp_path, {"safety_jbb": docs("refusal")}, config={"model": "hf", **changes}, chat_template_sha="1f")
    assert read([tmp_path]).frame.note[0] == ""


@pytest.mark.parametrize("file", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_local_model_with_a_chat_template_is_a_chat_model_whatever_its_name(file: str, tmp_path: Path) -> None:
    model = tmp_path / "merged"
    model.mkdir()
    (model / file).write_text('{"chat_template": "x"}')
    write(
        tmp_path / "run", {"safety_jbb": docs("refusal")}, config={"model": "hf", "model_args": f"pretrained={model}"}
    )
    assert "it has a chat template" in read([tmp_path / "run"]).frame.note[0]


def test_runs_under_different_system_prompts_are_two_lines_and_both_kept(tmp_path: Path) -> None:
    write(tmp_path / "a", {"safety_jbb": docs("refusal")})
    write(tmp_path / "b", {"safety_jbb": docs("refusal")}, system_instruction_sha="0a1b2c3d4e5f")
    frame = read([tmp_path]).frame
    assert set(frame.setting) == {"", "system prompt 0a1b2c3d"}


def test_runs_under_different_system_prompts_are_not_compared(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a", {"safety_jbb": docs("refusal", "refusal")})]
    paths.append(write(tmp_path / "b", {"safety_jbb": docs("refusal", "refusal")}, system_instruction_sha="0a1b2c3d4e"))
    with pytest.raises(NotComparableError, match="system prompt 0a1b2c3d"):
        plan(paths)


def test_runs_of_another_judge_or_version_are_not_compared(tmp_path: Path) -> None:
    paths = []
    for name, judge in (("a", recorded("xstest")), ("b", recorded("xstest", version="000000000000"))):
        paths.append(write(tmp_path / name, {"safety_jbb": docs("refusal", "refusal")}, {"xstest": judge}))
    with pytest.raises(NotComparableError, match=r"judged by xstest \(\w+\) in .* and by xstest \(000000000000\)"):
        plan(paths)


def test_a_comparison_names_its_judges_and_their_agreement(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, {"safety_jbb": docs("refusal", "compliance")}) for name in "ab"]
    assert any("Judge xstest, version" in note and "accuracy 0.914" in note for note in plan(paths).notes)


def test_the_suite_of_harm_has_the_sets_of_its_group() -> None:
    file = resources.files("harness_ext.tasks") / "safety" / "safety_harm.yaml"
    assert yaml.safe_load(file.read_text())["task"] == [f"safety_{part}" for part in HARM_SETS]


def test_a_request_that_sets_share_counts_once_in_the_rate_over_distinct_requests(tmp_path: Path) -> None:
    tasks = {f"safety_{part}": docs("refusal", "refusal", prefix=part) for part in HARM_SETS}
    tasks["safety_jbb"] = docs("compliance", "compliance", prefix="shared")
    tasks["safety_advbench"] = [
        ("unsafe", "  Shared 0!", {"xstest": "compliance"}),
        ("unsafe", "shared  1", {"xstest": "refusal"}),
        ("unsafe", "own", {"xstest": "invalid"}),
    ]
    found = {row.metric: row for row in suites(write(tmp_path, tasks))}
    assert found["unsafe_compliance"].value == pytest.approx(statistics.fmean([1.0, 0.5] + [0.0] * 10))
    assert found["unsafe_compliance_micro"].value == pytest.approx(3 / 24)  # the invalid one says nothing
    assert found["unsafe_compliance_distinct"].value == pytest.approx((1 + 0.5) / 22)
    assert (found["unsafe_compliance_micro"].n, found["unsafe_compliance_distinct"].n) == (25, 23)
    assert all(row.low <= row.value <= row.high for row in found.values())
    assert all(row.judge == "xstest" and "accuracy" in row.judge_agreement for row in found.values())


def test_a_suite_with_a_missing_set_has_no_mean_and_says_so(tmp_path: Path) -> None:
    tasks = {f"safety_{part}": docs("refusal", prefix=part) for part in HARM_SETS[:-1]}
    frame, notes = with_safety_suites(write(tmp_path, tasks))
    assert not (frame.level == "group").any()
    assert any("safety_maliciousinstruct" in note for note in notes)


def test_the_macro_over_languages_names_the_judge_of_each(tmp_path: Path) -> None:
    said = {"en": "refusal", "zh": "compliance", "vi": "compliance"}
    tasks = {
        f"safety_catqa_{code}": docs(label, "refusal", judge=f"default_{code}", prefix=code)
        for code, label in said.items()
    }
    (macro,) = suites(write(tmp_path, tasks))
    assert macro.value == pytest.approx(statistics.fmean([0, 0.5, 0.5]))
    assert macro.judge == "default_en + default_zh + default_vi"
    assert macro.judge_agreement.count("unmeasured") == 2
    assert "default_en: accuracy 0.953" in macro.judge_agreement


def test_without_samples_numbers_stay_and_have_no_interval(tmp_path: Path) -> None:
    folder = write(tmp_path, {"safety_jbb": docs("refusal", "compliance")})
    next(folder.glob("samples*")).unlink()
    frame, _ = with_safety_suites(folder)
    assert frame.low.isna().all()
    assert frame[frame.metric == "unsafe_compliance"].value.tolist() == [0.5]
