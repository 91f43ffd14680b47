"""What ``import harness_ext`` gives people, and what it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import harness_ext
from harness_ext.errors import InputError

TASKS = Path(__file__).parents[1] / "e2e" / "toy_tasks"
HOSTILE = "<script>alert(1)</script>&\u202e$x$"


@pytest.fixture(scope="module")
def evaluated() -> list[dict[str, Any]]:
    """Two runs of lm-eval in this process, on a backend that answers at random."""
    from lm_eval.models.dummy import DummyLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    found = [
        harness_ext.evaluate(DummyLM(), tasks=["toy_moods"], task_manager=manager, bootstrap_iters=0) for _ in range(2)
    ]
    for name, run in zip(("first", HOSTILE), found, strict=True):
        run["config"]["model"] = name
    return found


def test_importing_it_loads_nothing_more_and_names_nothing_more() -> None:
    code = """
import json, os, sys
before = set(sys.modules)
import harness_ext
public = [name for name in vars(harness_ext) if not name.startswith("_") and name not in harness_ext.__all__]
print(json.dumps([sorted(set(sys.modules) - before - {"harness_ext"}), public, harness_ext.__all__, dir(harness_ext)]))
"""
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded, leaked, public, listed = json.loads(run.stdout)
    assert (loaded, leaked) == ([], [])
    assert public == ["Comparisons", "Results", "Table", "__version__", "compare", "evaluate", "read"]
    assert set(listed) - set(public) == {"__doc__", "__file__", "__name__", "__path__"}


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(harness_ext, name) for name in harness_ext.__all__)
    with pytest.raises(AttributeError, match="no attribute 'pandas'"):
        harness_ext.pandas  # noqa: B018


def test_what_lm_eval_returned_reads_like_its_file(evaluated: list[dict[str, Any]], tmp_path: Path) -> None:
    from lm_eval.utils import handle_non_serializable

    file = tmp_path / "results_2026-01-01T00-00-00.000001.json"
    file.write_text(json.dumps(evaluated[0], default=handle_non_serializable))
    here, there = harness_ext.read(evaluated[0]).frame, harness_ext.read(file).frame
    columns = ["model", "task", "metric", "value", "low", "high", "n", "origin"]
    assert here[columns].equals(there[columns])
    assert set(here.metric) == {"total_variation", "jensen_shannon", "soft_cross_entropy", "soft_brier"}
    measured = here[here.origin == "measured"]
    assert (measured.low < measured.value).all()


def test_a_table_as_a_frame_holds_the_numbers_of_the_tidy_frame(evaluated: list[dict[str, Any]]) -> None:
    results = harness_ext.read(*evaluated, published=False)
    (table,) = results.tables
    shown = table.to_pandas().set_index("Model").filter(like="soft_brier").iloc[:, 0]
    tidy = results.frame[results.frame.metric == "soft_brier"].set_index("model")["value"]
    assert shown.sort_index().tolist() == tidy.sort_index().tolist()
    assert len(shown) == 2


def test_a_notebook_shows_the_text_of_models_and_never_runs_it(evaluated: list[dict[str, Any]]) -> None:
    class Markup(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: set[str] = set()
            self.words: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.tags.add(tag)

        def handle_data(self, data: str) -> None:
            self.words.append(data)

    for shown in (harness_ext.read(*evaluated), harness_ext.compare(*evaluated)):
        markup = Markup()
        markup.feed(shown._repr_html_())
        assert markup.tags == {"div", "h4", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
        assert any("<script>alert(1)</script>&⟨U+202E⟩$x$" in text for text in markup.words)
        assert "mathjax_ignore" in shown._repr_html_()


def test_runs_are_compared_as_the_command_compares_their_files(evaluated: list[dict[str, Any]]) -> None:
    found = harness_ext.compare(*evaluated, metrics=["soft_brier"], draws=200)
    (line,) = found.to_pandas().to_dict("records")
    values = [run["results"]["toy_moods"]["soft_brier,none"] for run in evaluated]
    assert [line["value_a"], line["value_b"]] == values
    assert line["difference"] == pytest.approx(values[0] - values[1])
    assert line["n"] == 6


def test_a_run_alone_is_no_comparison_and_an_empty_folder_no_result(
    evaluated: list[dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="two runs or more"):
        harness_ext.compare(evaluated[0])
    with pytest.raises(InputError, match="no result of lm-eval was found"):
        harness_ext.read(tmp_path)
