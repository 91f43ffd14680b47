"""Tasks with a configured judge through lm-eval's real command line, with a server on loopback as the judge."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

from harness_ext.leaderboards.build import tables
from harness_ext.results.reading.runs import read
from harness_ext.tasks.safety.docs import load

LEAF = "safety_advbench_judged"
MIXED = "safety_xstest_judged"
CANARIES = ("placeholder safe request", "placeholder unsafe request", "canary response")


def reply(messages: list[dict[str, str]]) -> str:
    """What the stub judge says; it is sure of nothing where the response names a garbage."""
    shown = messages[-1]["content"]
    if "garbage" in shown:
        return "I would rather not say."
    if "Write yes or no" in shown:
        return "yes" if "canary response sure" in shown else "no"
    return "3_partial_refusal" if "canary response sure" in shown else "2_full_refusal"


def response(number: int) -> str:
    if number == 0:
        return ""
    return f"canary response {('garbage', 'sure', 'no')[number % 3]} {number}\n\nwhole"


def run(folder: Path, tasks: str, judge: str, *more: str) -> subprocess.CompletedProcess[str]:
    metadata = json.dumps({"data": "sample", "judge": judge} if judge else {"data": "sample"})
    return called(
        folder, "-m", "lm_eval", "run", "--model", "replay", "--model_args", "path=answers.jsonl", "--tasks", tasks,
        "--metadata", metadata, "--output_path", "out", "--log_samples", *more,
    )  # fmt: skip


def called(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(*words, cwd=folder, NO_PROXY="127.0.0.1", HARNESS_EXT_CACHE=str(folder / "cache"))


def judge_file(folder: Path, file: str, url: str, **fields: Any) -> str:
    content = {"kind": "llm", "model": "stub", "base_url": url.removesuffix("/chat/completions"), **fields}
    (folder / file).write_text(json.dumps(content), encoding="utf-8")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {"task": task, "id": doc["id"], "response": response(number)}
        for task, part in ((LEAF, "advbench"), (MIXED, "xstest"))
        for number, doc in enumerate(load(part, data="sample")["test"])
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def outcome(folder: Path) -> dict[str, Any]:
    file = max((folder / "out").glob("**/results_*.json"), key=lambda path: path.stat().st_mtime_ns)
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def quiet(done: subprocess.CompletedProcess[str]) -> bool:
    return not any(canary in done.stdout + done.stderr for canary in CANARIES)


def test_a_judge_of_harm_gives_the_numbers_of_harm_and_a_second_run_asks_nothing(
    folder: Path, chat_server: Any
) -> None:
    chat_server.reply = reply
    judge = judge_file(folder, "judge.yaml", chat_server.url, parser="yes_no_first_token")
    done = run(folder, LEAF, judge)
    assert done.returncode == 0, done.stderr
    assert quiet(done)
    content = outcome(folder)
    values = content["results"][LEAF]
    total = len(load("advbench", data="sample")["test"])
    kinds = [("garbage", "sure", "no")[number % 3] for number in range(1, total)]
    assert values["attack_success,llm_yes_no_first_token"] == pytest.approx(
        kinds.count("sure") / (total - 1 - kinds.count("garbage"))
    )
    assert values["invalid,llm_yes_no_first_token"] == pytest.approx((1 + kinds.count("garbage")) / total)
    assert not [key for key in values if key.startswith(("unsafe_compliance", "over_refusal"))]
    recorded = content["configs"][LEAF]["metadata"]["recorded"]["judges"]["llm_yes_no_first_token"]
    assert (recorded["kind"], recorded["model"], recorded["agreement"]) == ("harm", "stub", "unmeasured")
    assert chat_server.url.split("/")[2] not in json.dumps(recorded)
    assert len(chat_server.asked) == total - 1
    (samples,) = (folder / "out").glob(f"**/samples_{LEAF}_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    assert {line["filter"] for line in lines} == {"llm_yes_no_first_token"}
    assert lines[2]["resps"][0][0].endswith("\n\nwhole")
    again = run(folder, LEAF, judge)
    assert again.returncode == 0, again.stderr
    assert len(chat_server.asked) == total - 1
    assert (
        outcome(folder)["results"][LEAF]["attack_success,llm_yes_no_first_token"]
        == values["attack_success,llm_yes_no_first_token"]
    )


def test_a_judge_of_three_classes_tells_full_refusals_from_partial_ones(folder: Path, chat_server: Any) -> None:
    chat_server.reply = reply
    done = run(folder, MIXED, judge_file(folder, "judge.yaml", chat_server.url, parser="xstest_3class", name="mine"))
    assert done.returncode == 0, done.stderr
    assert quiet(done)
    values = outcome(folder)["results"][MIXED]
    assert values["over_refusal,mine"] == 1
    assert 0 < values["over_refusal_full,mine"] < 1
    a, b = 1 - values["over_refusal_full,mine"], 1 - values["unsafe_compliance_full,mine"]
    assert values["safety_balance_full,mine"] == pytest.approx(2 * a * b / (a + b))
    assert values["safety_balance,mine"] == 0


def test_without_a_judge_or_with_one_of_another_kind_the_task_points_to_rejudge(folder: Path, chat_server: Any) -> None:
    refusal = judge_file(folder, "refusal.yaml", chat_server.url, parser="xstest_3class")
    for judge, said in (
        ("", "has no judge: give --metadata"),
        (refusal, "needs a judge of harm"),
        ("rule:xstest", "harm"),
    ):
        done = run(folder, LEAF, judge)
        assert done.returncode != 0
        last = done.stderr.strip().splitlines()[-1]
        assert said in last
        assert "harness-ext rejudge" in last
    assert chat_server.asked == []


def test_a_server_that_fails_for_good_ends_the_run_without_showing_a_prompt(folder: Path, chat_server: Any) -> None:
    chat_server.reply = lambda messages: (500, json.dumps(messages).encode())
    judge = judge_file(folder, "judge.yaml", chat_server.url, parser="yes_no_first_token", retries=1)
    done = run(folder, LEAF, judge)
    assert done.returncode != 0
    assert "failed 2 times, the last time with 500 Internal Server Error" in done.stderr.strip().splitlines()[-1]
    assert quiet(done)
    assert not list(folder.glob("out/**/results_*.json"))


def ours(folder: Path, *words: str) -> None:
    done = called(folder, "-c", "from harness_ext.cli import main; main()", *words)
    assert done.returncode == 0, done.stderr


def test_a_table_names_judge_version_and_agreement_whether_it_judged_in_the_run_or_afterwards(
    folder: Path, chat_server: Any
) -> None:
    chat_server.reply = reply
    judge = {"parser": "xstest_3class", "name": "mine"}
    file = judge_file(folder, "judge.yaml", chat_server.url, **judge)
    labelled = "people,text\nfull,canary response no\npart,canary response sure\nfull,canary response sure too\n"
    (folder / "labels.csv").write_text(labelled + "none,canary response no more\n", encoding="utf-8")
    gold = ("--gold-col", "people", "--gold-map", "full=refusal,part=partial,none=compliance")
    measured = ("--text-col", "text", "--positive", "full_refusal", "--judge", file, "--json", "agreement.json")
    ours(folder, "judge-agreement", "--labels", "labels.csv", *gold, *measured)
    judge_file(folder, "judge.yaml", chat_server.url, **judge, agreement="agreement.json")
    answers = folder / "answers.jsonl"
    rows = answers.read_text(encoding="utf-8")
    answers.write_text(rows + rows.replace(MIXED, "safety_xstest"), encoding="utf-8")
    for task, with_judge in ((MIXED, file), ("safety_xstest", "")):
        done = run(folder, task, with_judge)
        assert done.returncode == 0, done.stderr
    (samples,) = folder.glob("out/**/samples_safety_xstest_2*.jsonl")
    asked = len(chat_server.asked)
    ours(folder, "rejudge", str(samples), "--judge", file, "--out", "again")
    assert len(chat_server.asked) == asked  # the run had asked about the same answers
    (table,) = tables(read([folder / "out", folder / "again"]).frame)
    names = [column.name.split()[0] for column in table.columns]
    lines = [dict(zip(names, (cell.text for cell in line), strict=True)) for line in table.rows]
    mine = {line["Set"]: line for line in lines if line["Judge"].startswith("mine")}
    assert set(mine) == {"xstest", "xstest_judged"}
    assert mine["xstest"] | {"Set": ""} == mine["xstest_judged"] | {"Set": ""}
    fingerprint = json.loads((folder / "agreement.json").read_text(encoding="utf-8"))["config"]["fingerprint"]
    assert fingerprint[:8] in mine["xstest"]["Judge"]
    assert mine["xstest"]["Agreement"] == "0.500, κ 0.000"
    assert any("measured on labels.csv" in note and fingerprint[:12] in note for note in table.notes)
