"""``harness-ext tasks`` as a user meets it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lm_eval._cli import HarnessCLI
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.data import load_card
from harness_ext.errors import InputError
from harness_ext.results.catalogue import catalogue


def out(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["tasks", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def facts(*arguments: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(out(*arguments, "--json"))}


def names(text: str) -> list[str]:
    return [line.split("\t")[0] for line in text.splitlines() if "\t" in line][1:]


def test_groups_come_first_and_no_task_of_a_group_is_listed() -> None:
    listed = names(out())
    known = catalogue()
    assert listed[0] == "eibench"
    assert {name for name in known if known[name].kind == "group"} <= set(listed)
    assert "eibench_meld" not in listed
    assert "safety_advbench_nll" in listed  # in no group


def test_a_part_of_a_name_a_question_a_source_or_a_language_finds() -> None:
    assert "eibench_meld" in names(out("meld"))
    assert "eibench_tweet_irony" in names(out("ironic"))
    assert "eibench_cee" in names(out("reccon"))
    chinese = names(out("zh"))
    assert "tombench_all_zh" in chinese
    assert "mbtibench" not in chinese


def test_a_full_name_shows_what_it_runs_and_how() -> None:
    text = out("seceu")
    assert "docs:     80" in text
    assert names(text) == ["seceu_en", "seceu_zh"]
    assert "lm_eval --model hf --model_args pretrained=MODEL --tasks seceu " in text
    assert '--metadata \'{"data": "sample"}\'' in text


@pytest.mark.parametrize("name", ["mbtibench", "safety_judged", "eibench_gi"])
def test_the_commands_are_ones_that_lm_eval_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = facts(name)[name]["run"]
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        assert HarnessCLI().parse_args().tasks in (name, [name])
        assert ('"judge": "judge.yaml"' in command) == (name == "safety_judged")
    assert ['"data": "sample"' in command for command in commands] == (
        [False] if name == "eibench_gi" else [False, True]
    )


def test_json_has_numbers() -> None:
    row = facts("mbtibench_zero_shot")["mbtibench_zero_shot"]
    assert row["kind"] == "group"
    assert row["metrics"] == {"s_rmse": False}
    assert row["chance"] == [2.6629, 2.6955, 2.8179, 3.0417]  # the paper's Baseline row
    assert row["docs"] == 4 * 286
    assert row["answers"] == ["text"]
    assert row["licences"] == [load_card("mbtibench").hub.license]
    assert facts("mbtibench_zero_shot_ll")["mbtibench_zero_shot_ll"]["answers"] == ["likelihood"]


def test_it_says_whether_the_data_is_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path))
    monkeypatch.delenv("HARNESS_EXT_MIRROR", raising=False)
    card = load_card("seceu")
    tested = [card.file(name) for name in card.splits.get("test", card.names)]
    assert facts("seceu")["seceu"]["data"] == "missing"
    for number, file in enumerate(tested, start=1):
        copy = tmp_path / "data" / file.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
        assert facts("seceu")["seceu"]["data"] == ("here" if number == len(tested) else "partly here")


def test_a_typo_gets_the_nearest_names() -> None:
    with pytest.raises(InputError, match=r"no task is called 'mbtibnch'.*near to it: mbtibench.*harness-ext tasks"):
        CliRunner().invoke(app, ["tasks", "mbtibnch"], catch_exceptions=False)


def test_listing_loads_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['harness-ext', 'tasks']\n"
        "from harness_ext.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'lm_eval', 'pandas', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
