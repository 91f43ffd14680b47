"""MBTIBench through lm-eval's own command line: a model that never answers, stored answers, and the bundled sample."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

from harness_ext.scoring.soft_labels import order_bias
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS

PARTS = {dimension.table.lower(): dimension.name for dimension in DIMENSIONS.values()}
GROUPS = (
    "mbtibench", "mbtibench_few_shot", "mbtibench_hard_zero_shot", "mbtibench_hard_few_shot", "mbtibench_few_shot_ll",
    "mbtibench_swap", "mbtibench_swap_ll", "mbtibench_null_ll", "mbtibench_psycot_ll", "mbtibench_step_by_step_1p",
    "mbtibench_psycot_1p", "mbtibench_step_by_step", "mbtibench_psycot", "mbtibench_hard_step_by_step",
    "mbtibench_hard_psycot", "mbtibench_dreaddit", "mbtibench_dreaddit_personality",
)  # fmt: skip
CONDITIONS = ("none", "hard", "soft", "soft_inverted")


def lm_eval(output: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = python("-m", "lm_eval", "run", "--output_path", str(output), "--log_samples", *arguments, **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def report(output: Path) -> dict[str, Any]:
    (file,) = output.rglob("results_*.json")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def samples(output: Path, task: str) -> list[dict[str, Any]]:
    (file,) = output.rglob(f"samples_{task}_2*.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def score(author: int) -> int:
    return 1 + (author * author) % 9


@pytest.mark.usefixtures("mirror")
def test_a_model_that_never_answers_gets_the_constant_baseline(tmp_path: Path) -> None:
    printed = lm_eval(tmp_path, "--model", "dummy", "--tasks", "mbtibench_zero_shot").stdout
    wanted = {
        "s_rmse": (2.6629, 2.6955, 2.8179, 3.0417),
        "s_mae": (2.2867, 2.3077, 2.4301, 2.5874),
        "rmse": (0.2912, 0.2978, 0.3082, 0.3215),
        "parse_failure": (1.0, 1.0, 1.0, 1.0),
    }
    results = report(tmp_path)["results"]
    for metric, values in wanted.items():
        for part, value in zip(PARTS, values, strict=True):
            assert round(results[f"mbtibench_zero_shot_{part}"][f"{metric},none"], 4) == value
            assert f"{value:.4f}" in printed
    group = report(tmp_path)["groups"]["mbtibench_zero_shot"]
    assert (round(group["s_rmse,none"], 4), round(group["s_mae,none"], 4)) == (2.8045, 2.4030)
    assert all(value == value for key, value in group.items() if key.endswith(",none") and "_stderr" not in key)
    for config in report(tmp_path)["configs"].values():
        assert round(results[config["task"]]["s_rmse,none"], 4) == config["metadata"]["chance"]


@pytest.fixture(scope="module")
def replayed(golden: Path, mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored answers to the authors' own prompts, laid out as chat messages."""
    folder = tmp_path_factory.mktemp("replayed")
    rows = []
    for author in range(1, 287):
        for part in PARTS:
            rows.append({"task": f"mbtibench_zero_shot_{part}", "id": author, "response": f"[[{score(author)}]]"})
            rows.append({"task": f"mbtibench_swap_{part}", "id": author, "response": f"[[{10 - score(author)}]]"})
        peak = [0.0 if k == score(author) else -50.0 for k in range(1, 10)]
        rows.append({"task": "mbtibench_zero_shot_ll_ei", "id": author, "loglikelihoods": peak})
        rows.append({"task": "mbtibench_swap_ll_ei", "id": author, "loglikelihoods": peak[::-1]})
    rows += stress_answers(golden)
    letters = json.loads((golden / "mbtibench" / "dreaddit.json").read_text(encoding="utf-8"))["personality"]["gpt-4o"]
    hard = [{"id": n + 1, **{name: letters[name]["hard"][n] for name in letters}} for n in range(300)]
    for name, content in (("answers", rows), ("letters", hard)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    pack = str(golden / "mbtibench" / "prompt_pack_authors.json")
    metadata = {"prompt_pack": pack, "system_role": "chat", "personality_hard": str(folder / "letters.jsonl")}
    tasks = "mbtibench_zero_shot,mbtibench_swap,mbtibench_zero_shot_ll_ei,mbtibench_swap_ll_ei,mbtibench_dreaddit"
    answers = ["--model", "replay", "--model_args", f"path={folder / 'answers.jsonl'}"]
    lm_eval(folder, *answers, "--tasks", tasks, "--apply_chat_template", "--metadata", json.dumps(metadata))
    return folder


def stress_answers(golden: Path) -> list[dict[str, Any]]:
    """The released round-1 answers: in full where the golden file has them, else as the word they were read as."""
    words = {"y": "[[yes]]", "n": "[[no]]"}
    parsed = json.loads((golden / "mbtibench" / "dreaddit.json").read_text(encoding="utf-8"))["round_1"]
    answers = {
        (condition, number): words[letter]
        for condition in CONDITIONS
        for number, letter in enumerate(parsed[condition if condition in parsed else "none"]["parsed_compat"], start=1)
    }
    lines = (golden / "mbtibench" / "dreaddit_responses_round1.jsonl").read_text(encoding="utf-8").split("\n")
    answers |= {(row["condition"], row["id"]): row["response"] for row in map(json.loads, filter(None, lines))}
    return [
        {"task": f"mbtibench_dreaddit_{condition}", "id": number, "response": text}
        for (condition, number), text in answers.items()
    ]


def test_answers_on_the_reversed_scale_score_like_answers_on_the_scale(replayed: Path) -> None:
    results = report(replayed)["results"]
    for part in PARTS:
        names = (f"mbtibench_zero_shot_{part}", f"mbtibench_swap_{part}")
        straight, swapped = (
            {key: value for key, value in results[name].items() if key.endswith(",none")} for name in names
        )
        assert straight == swapped
        p = [{row["doc"]["id"]: row["rmse"][1] for row in samples(replayed, name)} for name in names]
        assert order_bias(*p)["disagreement"] == 0


def test_peaked_likelihoods_score_like_the_written_score(replayed: Path) -> None:
    results = report(replayed)["results"]
    written = results["mbtibench_zero_shot_ei"]
    for name in ("mbtibench_zero_shot_ll_ei", "mbtibench_swap_ll_ei"):
        for metric in ("s_rmse", "s_mae", "s_rmse_9", "rmse", "bias", "spearman", "acc", "parse_failure"):
            assert results[name][f"{metric},none"] == pytest.approx(written[f"{metric},none"], abs=1e-9), metric


@pytest.mark.parametrize("condition", ["none", "hard", "soft_inverted"])
def test_released_stress_answers_score_as_computed_from_the_logs(replayed: Path, golden: Path, condition: str) -> None:
    content = json.loads((golden / "mbtibench" / "dreaddit.json").read_text(encoding="utf-8"))
    wanted = content["round_1"][condition]
    found = report(replayed)["results"][f"mbtibench_dreaddit_{condition}"]
    strict, compat = wanted["strict_invalid_is_wrong"], wanted["compat"]
    assert (found["acc,none"], found["f1,none"]) == pytest.approx((strict["acc"], strict["f1"]), abs=1e-9)
    assert (found["acc_compat,none"], found["f1_compat,none"]) == pytest.approx((compat["acc"], compat["f1"]), abs=1e-9)
    assert found["invalid,none"] == pytest.approx(wanted["n_invalid_strict"] / 300)


def test_prompts_of_a_chat_run_with_the_authors_pack_are_the_authors(replayed: Path, golden: Path) -> None:
    hashes = json.loads((golden / "mbtibench" / "prompt_hashes.json").read_text(encoding="utf-8"))
    pack = json.loads((golden / "mbtibench" / "prompt_pack_authors.json").read_text(encoding="utf-8"))

    def sent(row: dict[str, Any]) -> str:
        messages = json.loads(row["arguments"]["gen_args_0"]["arg_0"])
        messages.append({"role": "assistant", "content": pack["assistant_placeholder"]})
        return hashlib.sha256(json.dumps(messages, ensure_ascii=False, sort_keys=True).encode()).hexdigest()

    for part, dimension in PARTS.items():
        rows = samples(replayed, f"mbtibench_zero_shot_{part}")
        for author in (1, 191):
            assert sent(rows[author - 1]) == hashes["mbti_o200k80"][f"{author}|{dimension}|soft|zero-shot"]
    for condition in CONDITIONS:
        rows = samples(replayed, f"mbtibench_dreaddit_{condition}")
        for number, wanted in hashes["dreaddit_stress"][condition].items():
            assert sent(rows[int(number) - 1]) == wanted


def test_results_say_which_prompts_and_estimates_were_used(replayed: Path, golden: Path) -> None:
    configs = report(replayed)["configs"]
    pack = golden / "mbtibench" / "prompt_pack_authors.json"
    for name, config in configs.items():
        recorded = config["metadata"]["recorded"]
        assert recorded["prompt_pack"] == "mbtibench-authors"
        assert recorded["prompt_pack_sha256"] == hashlib.sha256(pack.read_bytes()).hexdigest()
        assert recorded["data"] == "real"
        assert recorded.get("truncation") == (None if "dreaddit" in name else "o200k80")
    assert configs["mbtibench_dreaddit_soft"]["metadata"]["recorded"]["personality"] == "soft--gpt-4o--zero-shot.db"
    assert configs["mbtibench_dreaddit_hard"]["metadata"]["recorded"]["letters_derived_from_scores"] is False


def test_every_variant_runs_on_the_sample_with_nothing_downloaded(tmp_path: Path) -> None:
    nowhere = {"HARNESS_EXT_MIRROR": str(tmp_path / "no mirror"), "HARNESS_EXT_CACHE": str(tmp_path / "cache")}
    arguments = ["--model", "dummy", "--tasks", ",".join(GROUPS), "--metadata", '{"data": "sample"}']
    lm_eval(tmp_path / "run", *arguments, **nowhere)
    configs = report(tmp_path / "run")["configs"]
    assert len(configs) == 72
    assert {config["metadata"]["recorded"]["data"] for config in configs.values()} == {"sample"}
    for task, config in configs.items():
        metrics = {metric["metric"] for metric in config["metric_list"]}
        found = report(tmp_path / "run")["results"][task]
        assert {f"{metric},none" for metric in metrics} <= set(found)
