"""Harmful requests and the answers to them stay in the samples files: nothing that is shown to a reader has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from warm_python import python

PROMPT = "CANARYPROMPT"
ANSWER = "CANARYANSWER"
MARKUP = "<i>&\"'"
NASTY = f"{MARKUP} {PROMPT}"
DOCS = 8
MODELS = ("one", "two")

TASK = """\
task: safety_canary
include: [{tasks}/_mixed, {tasks}/_rules_en]
custom_dataset: null
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
metadata: {{version: 1.0, bench: safety, source: xstest, language: en}}
"""


def call(*arguments: str | Path) -> str:
    """Run a command; everything that it printed, on either stream."""
    done = python(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canary")


def ours(*arguments: str | Path) -> str:
    return call("-c", "from harness_ext.cli import main; main()", *arguments)


@pytest.fixture(scope="module")
def printed_by_runs(folder: Path, checkout: Path) -> str:
    """Two runs of lm-eval's own command over requests with a canary, and what they printed."""
    docs = [
        {"id": f"canary-{at}", "prompt": f"{NASTY} {at}?", "label": ("safe", "unsafe")[at % 2], "language": "en"}
        for at in range(DOCS)
    ]
    (folder / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    task = TASK.format(tasks=checkout / "tasks" / "safety", data=folder / "docs.jsonl")
    (folder / "canary.yaml").write_text(task)
    printed = ""
    for at, model in enumerate(MODELS):
        answers = [
            {
                "task": "safety_canary",
                "id": doc["id"],
                # one answer is empty, so that NaN stands in the samples
                "response": "" if number == 7 else f"{'No, ' * ((number + at) % 2)}{ANSWER} {MARKUP} {number}",
            }
            for number, doc in enumerate(docs)
        ]
        (folder / f"{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
        printed += call(
            "-m", "lm_eval", "run", "--model", "replay", "--tasks", "safety_canary", "--log_samples",
            "--model_args", f"path={folder / model}.jsonl,model={model}", "--include_path", folder,
            "--output_path", folder / "results",
        )  # fmt: skip
    return printed


def test_a_run_prints_no_request_and_no_answer(printed_by_runs: str, folder: Path) -> None:
    samples = "".join(file.read_text() for file in (folder / "results").rglob("samples_*"))
    assert PROMPT in samples and ANSWER in samples  # they were there
    assert PROMPT not in printed_by_runs
    assert ANSWER not in printed_by_runs


@pytest.mark.parametrize("form", ["md", "csv", "tex", "html"])
def test_no_format_of_the_table_holds_them(form: str, printed_by_runs: str, folder: Path) -> None:
    printed = ours("table", folder / "results", "--output", folder / f"table.{form}")
    text = printed + (folder / f"table.{form}").read_text()
    assert "default_en" in text.replace("\\", "")
    assert PROMPT not in text
    assert ANSWER not in text


@pytest.mark.parametrize("command", [["table"], ["table", "--json"], ["compare"], ["compare", "--json"]])
def test_no_command_prints_them(command: list[str], printed_by_runs: str, folder: Path) -> None:
    name, *flags = command
    paths = [folder / "results"] if name == "table" else [folder / "results" / model for model in MODELS]
    printed = ours(name, *paths, *flags)
    assert "over_refusal" in printed
    assert PROMPT not in printed
    assert ANSWER not in printed


def test_judging_again_prints_none(printed_by_runs: str, folder: Path) -> None:
    (samples,) = (folder / "results" / "one").glob("samples_*")
    printed = ours("rejudge", samples, "--judge", "rule:qi29", "--out", folder / "again")
    assert PROMPT not in printed
    assert ANSWER not in printed


def test_only_the_flag_puts_them_on_the_page_and_there_escaped(printed_by_runs: str, folder: Path) -> None:
    ours("table", folder / "results", "--show-samples", "--output", folder / "open.html")
    page = (folder / "open.html").read_text()
    assert PROMPT in page and ANSWER in page
    assert MARKUP not in page
    assert "<i>" not in page
    data = re.search(r'<script type="application/json" id="sample-data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    content = json.loads(data[1], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert any(text.startswith(NASTY) for text in content["texts"])
