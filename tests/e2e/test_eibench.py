"""EiBench-R through lm-eval's own command line: a few-shot run on the sample, and a real released prediction file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from warm_python import python

from harness_ext.data import fetch, load_sample
from harness_ext.tasks.eibench.readers import part_of


def lm_eval(output: Path, *arguments: str) -> dict[str, Any]:
    done = python("-m", "lm_eval", "run", "--output_path", str(output), *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = output.rglob("results_*.json")
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return report


def test_the_sample_runs_with_few_shot_examples_and_says_that_it_is_the_sample(tmp_path: Path) -> None:
    rows = [{"task": doc["task"], "id": doc["id"], "response": doc["meta"]["answer"]} for doc in load_sample("eibench")]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("\n".join(map(json.dumps, rows)))
    report = lm_eval(
        tmp_path / "out",
        *("--model", "replay", "--model_args", f"path={answers}", "--tasks", "eibench", "--num_fewshot", "2"),
        *("--metadata", '{"data": "sample"}', "--log_samples"),
    )
    assert {name: group["ei_score,none"] for name, group in report["groups"].items() if name == "eibench"} == {
        "eibench": 100
    }
    assert {config["metadata"]["data"] for config in report["configs"].values()} == {"sample"}
    (samples,) = (tmp_path / "out").rglob("samples_eibench_cee_2*.jsonl")
    prompt = json.loads(samples.read_text().split("\n")[0])["arguments"]["gen_args_0"]["arg_0"]
    assert prompt.count("Output:") == 3
    assert prompt.endswith("\nOutput:")


def test_released_tweeteval_predictions_score_what_their_authors_measured(tmp_path: Path, mirror: Path) -> None:
    labels = part_of("tweet_emotion").labels
    numbers = fetch("tweeteval", "predictions/emotion.txt").read_text().split()
    answers = tmp_path / "answers.jsonl"
    answers.write_text(
        "\n".join(
            json.dumps({"task": "eibench_tweet_emotion", "id": f"test_{i}", "response": labels[int(number)]})
            for i, number in enumerate(numbers)
        )
    )
    report = lm_eval(
        tmp_path / "out",
        *("--model", "replay", "--model_args", f"path={answers}", "--tasks", "eibench_tweet_emotion"),
        *("--metadata", '{"cap": "all"}'),
    )
    assert round(report["results"]["eibench_tweet_emotion"]["ei_score,none"], 4) == 79.8272
