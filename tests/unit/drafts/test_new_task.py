"""``harness-ext new-task`` of every kind: what it writes is checked at once, and only the golden is missing."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from harness_ext.cli.app import app
from harness_ext.data import load_card
from harness_ext.errors import HarnessExtError

N = range(18)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def new_task(*arguments: object) -> Result:
    done = CliRunner().invoke(app, ["new-task", *map(str, arguments), "--yes"])
    if isinstance(done.exception, HarnessExtError):
        return done
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"written_{path.parent.name}", path)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def soft_labels(folder: Path) -> Path:
    path = folder / "moods.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "rater 1", "rater 2", "rater 3"])
        writer.writerows([f"Text {n}.", "joy", "joy" if n % 2 else "fear", "" if n % 5 else "fear"] for n in N)
    return path


def classes(folder: Path) -> Path:
    return lines(folder / "c.jsonl", [{"tweet": f"Text {n}.", "label": n % 3} for n in N])


def questions(folder: Path) -> Path:
    return lines(folder / "q.jsonl", [{"question": f"{n} + 1?", "answers": [str(n + 1), f"it is {n + 1}"]} for n in N])


def choices(folder: Path) -> Path:
    rows = [{"question": f"Q{n}?", "choices": [f"a{n}", f"b{n}", "c"][: 2 + n % 2], "answer": "AB"[n % 2]} for n in N]
    return lines(folder / "m.jsonl", rows)


def dialogues(folder: Path) -> Path:
    says = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    rows = [{"messages": [*says, {"role": "user", "content": f"And {n}?"}], "answer": f"No {n}."} for n in N]
    return lines(folder / "d.jsonl", rows)


def pictures(folder: Path) -> Path:
    for n in N:
        path = folder / "pictures" / ("cats" if n % 3 else "dogs") / f"{n} – ü.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (n, 0, 0)).save(path)
    return folder / "pictures"


EXPECTED = {
    soft_labels: {"id": "1", "text": "Text 0.", "labels": ["fear", "joy"], "soft_label": [2 / 3, 1 / 3], "answer": 0},
    classes: {"id": "2", "text": "Text 1.", "labels": ["0", "1", "2"], "answer": 1},
    questions: {"id": "2", "text": "1 + 1?", "answers": ["2", "it is 2"]},
    choices: {"id": "2", "text": "Q1?", "choices": ["a1", "b1", "c"], "answer": 1},
    dialogues: {"id": "2", "turns": ["Hi.", "And 1?"], "answers": ["No 1."]},
    pictures: {
        "picture": "cats/1 – ü.png",
        "answers": ["cats"],
        "text": "Which of these does the picture show: cats, dogs?",
    },
}
CHANCE = {soft_labels: None, classes: 33.3333, questions: 5.5556, choices: 50.0, dialogues: 5.5556, pictures: 66.6667}
kinds = pytest.mark.parametrize("make", EXPECTED, ids=lambda make: make.__name__)


@kinds
@pytest.mark.parametrize("passed_on", [True, False], ids=["passed on", "kept"])
def test_what_is_written_has_no_findings_and_the_docs_are_those_of_the_rows(
    make: Any, passed_on: bool, tmp_path: Path, here: Path
) -> None:
    given = make(tmp_path)
    done = new_task("trial", "--from", given, "--redistributable" if passed_on else "--not-redistributable")
    assert (done.exit_code, done.output.count("0 findings")) == (0, 2), done.output
    docs = module(here / "tasks/trial/docs.py").load()["test"]
    assert len(docs) == len(N)
    expected = EXPECTED[make]
    assert any(expected.items() <= doc.items() for doc in docs)
    card = load_card("trial", here / "data_cards")
    assert (card.redistributable, card.files[0].rows) == (passed_on, None if make is pictures else len(N))
    copied = [path for path in (here / "data_cards").rglob("*") if path.is_file() and path.suffix != ".md"]
    assert len(copied) == (len(card.files) if passed_on else 0)
    sample = (here / "tasks/trial/sample.jsonl").read_text(encoding="utf-8")
    assert ("made-up" in sample.lower()) is not passed_on
    if CHANCE[make] is not None:
        assert f"chance: {CHANCE[make]}," in (here / "tasks/trial/trial.yaml").read_text()


def test_the_written_test_fails_until_there_is_a_golden(tmp_path: Path, here: Path) -> None:
    new_task("trial", "--from", classes(tmp_path), "--redistributable")
    test = here / "tests/conformance/test_trial.py"
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    failed = subprocess.run(run, cwd=here, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "put answers into trial_answers.jsonl and their known scores into GOLDEN" in failed.stdout
    rows = [{"task": "trial", "id": str(n + 1), "loglikelihoods": [-1.0, -2.0, -3.0]} for n in N]
    lines(test.with_name("trial_answers.jsonl"), rows)
    test.write_text(test.read_text().replace("= {}", '= {"accuracy": 100 / 3}'))
    passed = subprocess.run(run, cwd=here, capture_output=True, text=True, check=False)
    assert passed.returncode == 0, passed.stdout


def test_a_package_is_made_once_and_grows(tmp_path: Path, here: Path) -> None:
    for name in ("first", "second"):
        assert new_task(name, "--from", classes(tmp_path), "--package", "aviary", "--redistributable").exit_code == 0
    assert 'aviary = "aviary"' in (here / "aviary/pyproject.toml").read_text()
    for name in ("first", "second"):
        assert (here / "aviary/aviary" / name / f"{name}.yaml").is_file()
        assert load_card(name, here / "aviary/aviary/data_cards").files[0].path == f"{name}/c.jsonl"


def test_what_is_there_is_never_overwritten(tmp_path: Path, here: Path) -> None:
    new_task("trial", "--from", classes(tmp_path))
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert "is there already" in str(new_task("trial", "--from", questions(tmp_path)).exception)
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["../trial", "Trial", "class", "trial/../x", "", "a b", "x" * 99, "hellaswag"])
def test_a_name_that_is_no_tasks_or_one_of_somebody_elses_is_refused(name: str, tmp_path: Path, here: Path) -> None:
    done = new_task(name, "--from", classes(tmp_path))
    assert isinstance(done.exception, HarnessExtError)
    assert list(here.iterdir()) == []


def test_hostile_columns_and_classes_stay_texts(tmp_path: Path, here: Path) -> None:
    column, label = '"]; import os; os.abort()  # {{1/0}} 😀', "'''\\\"{% raw %}<< name >>"
    rows = [{column: f"{{{{ {n} }}}}", "label": label if n % 2 else "b\u2028c"} for n in N]
    done = new_task("trial", "--from", lines(tmp_path / "h.jsonl", rows), "--text", column, "--redistributable")
    assert done.exit_code == 0, done.output
    docs = module(here / "tasks/trial/docs.py").load()["test"]
    assert (docs[1]["text"], docs[1]["labels"][docs[1]["answer"]]) == ("{{ 1 }}", label)


def test_annotators_who_never_agree_are_no_finding(tmp_path: Path) -> None:
    """The gold answer is the soft label itself: its likeliest class alone would score worse than an empty answer."""
    voted = ["a", "a", "b", "b", "c", "c", "a"]
    rows = [{"text": f"Text {n}."} | {f"vote_{k}": voted[(n + k) % 7] for k in range(5)} for n in N]
    done = new_task("trial", "--from", lines(tmp_path / "v.jsonl", rows), "--redistributable")
    assert done.exit_code == 0, done.output


def test_a_double_among_the_rows_is_found(tmp_path: Path) -> None:
    rows = [{"text": f"Text {n // 2}.", "label": "ab"[n % 2]} for n in N]
    done = new_task("trial", "--from", lines(tmp_path / "d.jsonl", rows))
    assert done.exit_code == 1
    assert "asked-twice" in done.output


def test_what_cannot_be_found_out_is_asked(tmp_path: Path, here: Path) -> None:
    rows = [{"x": f"Text {n}.", "y": f"Other {n}.", "label": "ab"[n % 2]} for n in N]
    given = lines(tmp_path / "a.jsonl", rows)
    done = CliRunner().invoke(app, ["new-task", "trial", "--from", str(given)], input="x\ny\ncc-by-4.0\ny\n")
    assert done.exit_code == 0, done.output
    assert load_card("trial", here / "data_cards").licence == "cc-by-4.0"
    assert json.loads((here / "tasks/trial/sample.jsonl").read_text().splitlines()[0])["text"] == "Text 0."


def test_a_file_that_is_not_there_is_refused() -> None:
    assert "is no file, no folder and no data set" in str(new_task("trial", "--from", "gone").exception)
    assert "gone.csv does not exist" in str(new_task("trial", "--from", "gone.csv").exception)
    assert "nor in the cache" in str(new_task("trial", "--from", "nobody/nothing").exception)
