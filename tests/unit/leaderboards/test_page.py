"""The page as a file: one policy, nothing unescaped, nothing from elsewhere, what was left out is said."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import InputError
from harness_ext.leaderboards import build, page
from harness_ext.leaderboards.build import with_published
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.results.reading.frame import Row, to_frame
from harness_ext.results.reading.runs import Problem, Runs, read
from harness_ext.scoring.soft_labels import agg_s_rmse

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'<!-- \u202e\x00\u2028 {{ 7*7 }}"
VOID = {"meta", "link", "input", "br"}


class Document(HTMLParser):
    """Elements with their attributes, and the text of each script and style."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: list[tuple[str, dict[str, str], str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "style"):
            self.raw.append((tag, attributes, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            tag, attributes, text = self.raw.pop()
            self.raw.append((tag, attributes, text + data))
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def rendered(*folders: Path, problems: Sequence[Problem] = (), **settings: Any) -> str:
    evidence = Evidence()
    runs = read(folders, evidence.visit)
    runs.problems.extend(problems)
    return page.render(runs.frame, build.tables(runs.frame), runs, evidence, **settings)


def drawn(frame: pd.DataFrame) -> str:
    """The page of numbers without files."""
    return page.render(frame, build.tables(frame), Runs(), Evidence())


@pytest.fixture
def nasty(write_run: Any) -> str:
    sample = {"prompt": NASTY, "answer": NASTY, "gold": NASTY, "id": NASTY, "parse": NASTY}
    return rendered(
        write_run(NASTY, [sample] * 3, task="toy"),
        write_run("ordinary", [{"s_rmse": [0.1, 0.9]}] * 3, task="toy_soft", aggregations={"s_rmse": agg_s_rmse}),
        problems=[Problem(Path(NASTY), NASTY)],
    )


def test_elements_are_closed_and_ids_are_unique(nasty: str) -> None:
    document = Document(nasty)
    assert document.open == []
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_only_the_pages_own_script_and_style_are_there_and_the_policy_names_exactly_them(nasty: str) -> None:
    document = Document(nasty)
    kinds = [(tag, attributes.get("type", "")) for tag, attributes, _ in document.raw]
    assert sorted(kinds) == [("script", ""), ("script", "application/json"), ("style", "")]
    (policy,) = [meta["content"] for meta in document.all("meta") if meta.get("http-equiv")]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for (tag, attributes, text), rule in zip(
        document.raw, map(rules.get, ("style-src", "", "script-src")), strict=True
    ):
        if "type" not in attributes:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert rule == f"'sha256-{digest}'", tag
    assert "unsafe" not in policy


def test_nothing_of_a_model_or_file_is_markup(nasty: str) -> None:
    document = Document(nasty)
    assert document.all("img") == []
    assert not [attributes for _, attributes in document.elements if any(name.startswith("on") for name in attributes)]
    assert "alert(1)" not in re.sub(r"&lt;script&gt;alert\(1\)|\\u003cscript\\u003ealert\(1\)", "", nasty).replace(
        "onerror=alert(1)", ""
    )
    assert "{{ 7*7 }}" in document.text and "49" not in document.text


def test_control_characters_are_shown_and_nothing_moves_other_text(nasty: str) -> None:
    assert not set(nasty) & {chr(code) for code in (*range(9), *range(11, 32), 0x7F, 0x202E, 0x2028)}
    assert "⟨U+202E⟩" in nasty and "␀" in nasty


def test_the_page_refers_to_nothing_outside_itself(nasty: str) -> None:
    for tag, attributes in Document(nasty).elements:
        for name in ("src", "href", "action", "srcset", "data"):
            if name in attributes:
                assert attributes[name].startswith(("#", "data:,")), (tag, attributes)
        assert "style" not in attributes  # the policy would block it
    assert "url(" not in nasty and "@import" not in nasty


def test_the_same_results_give_the_same_page(write_run: Any) -> None:
    folder = write_run("m", [{"acc": 1.0}, {"acc": 0.0}])
    assert rendered(folder) == rendered(folder)


def test_sensitive_text_is_nowhere_on_the_page_until_it_is_unlocked(write_run: Any) -> None:
    sample = {"prompt": "a private post", "answer": "a private answer", "gold": "a private label"}
    folder = write_run("m", [sample] * 3, metadata={"source": "mbtibench"})
    closed, unlocked = rendered(folder), rendered(folder, show_samples=True)
    assert "a private" not in closed
    assert "holds personal text" in closed and "--show-samples" in closed
    assert closed.count("0 of 3 samples") == 1
    assert all(f"a private {word}" in unlocked for word in ("post", "answer", "label"))
    assert "holds personal text" not in unlocked


def test_tables_and_notes_of_the_terminal_are_all_on_the_page(write_run: Any) -> None:
    frame = read([write_run("m", [{"acc": 1.0}, {"acc": 0.0}]).parent]).frame
    text = Document(drawn(frame)).text
    for table in build.tables(frame):
        for row in table.rows:
            assert all(cell.text in text for cell in row)
        assert all(note in text for note in table.notes)


def test_published_numbers_alone_make_no_figure_but_a_table() -> None:
    row = Row(origin="published", model="gpt", bench="toy", task="toy", metric="acc", value=0.5)
    document = Document(drawn(to_frame([row])))
    assert len(document.all("table")) == 1
    assert document.all("figure") == [] and "Samples" not in document.text


def test_runs_without_samples_have_bars_without_intervals(write_run: Any) -> None:
    folder = write_run("m", [{"acc": 1.0}, {"acc": 0.0}] * 20)
    with_samples = rendered(folder)
    for file in folder.glob("samples_*"):
        file.unlink()
    without = rendered(folder)
    assert 'class="interval"' in with_samples and 'class="interval"' not in without
    assert 'class="bar s0"' in without and "bootstrap" not in without


def test_more_runs_than_fit_a_figure_are_counted_and_all_are_in_the_table(write_run: Any) -> None:
    for at in range(15):
        folder = write_run(f"model-{at:02}", [{"acc": at / 15}] * 3)
    html = rendered(folder.parent)
    assert "The first 12 of 15 runs" in html
    assert all(f"<bdi>model-{at:02}</bdi>" in html for at in range(15))


def test_soft_labels_of_real_results_are_drawn_beside_published_models(write_run: Any) -> None:
    samples = [{"s_rmse": [at / 20, at / 25]} for at in range(20)]
    for variant in ("zero_shot", "few_shot"):
        for code in ("ei", "sn", "tf", "jp"):
            folder = write_run(
                "m",
                samples,
                task=f"mbtibench_{variant}_{code}",
                metadata={"source": "mbtibench"},
                aggregations={"s_rmse": agg_s_rmse},
            )
    evidence = Evidence()
    runs = read([folder.parent], evidence.visit)
    frame = with_published(runs.frame)
    html = page.render(frame, build.tables(frame), runs, evidence)
    assert html.count('aria-label="Predicted and gold labels: ') == 8
    assert html.count('aria-label="Gold against predictions: ') == 8
    assert "By way of asking" in html and "Grey: published models." in html


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["table", *map(str, arguments)])


def test_the_command_writes_a_page_and_says_how_large_it_is(write_run: Any, tmp_path: Path) -> None:
    folder = write_run("m", [{"acc": 1.0}] * 3)
    done = command(folder, "--output", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    size = (tmp_path / "page.html").stat().st_size
    assert f"page.html ({size / 1000:.1f} kB)" in done.stderr.replace("\n", "")


def test_the_command_keeps_sensitive_samples_back_unless_told(write_run: Any, tmp_path: Path) -> None:
    folder = write_run("m", [{"prompt": "a private post"}] * 3, metadata={"source": "mbtibench"})
    for arguments, shown in (((), False), (("--show-samples",), True)):
        assert command(folder, "--output", tmp_path / "page.html", *arguments).exit_code == 0
        assert ("a private post" in (tmp_path / "page.html").read_text()) == shown


def test_files_that_could_not_be_used_are_named_on_the_page(write_run: Any, tmp_path: Path) -> None:
    folder = write_run("m", [{"acc": 1.0}] * 3)
    (folder / "results_broken<b>.json").write_text("{")
    assert command(folder, "--output", tmp_path / "page.html").exit_code == 0
    text = Document((tmp_path / "page.html").read_text()).text
    assert "results_broken<b>.json could not be used" in text


def test_an_unknown_ending_is_refused_with_the_known_ones(write_run: Any, tmp_path: Path) -> None:
    done = command(write_run("m", [{"acc": 1.0}] * 3), "--output", tmp_path / "page.pdf")
    assert isinstance(done.exception, InputError)
    assert all(ending in str(done.exception) for ending in (".md", ".csv", ".tex", ".html"))
    assert not (tmp_path / "page.pdf").exists()


def test_sections_are_named_by_what_their_tables_share_and_sample_data_comes_last(write_run: Any) -> None:
    for task, metadata in (("b_toy", {"source": "emobench"}), ("a_toy", {"source": "emobench", "data": "sample"})):
        folder = write_run("m", [{"acc": 1.0}] * 3, task=task, metadata=metadata)
    html = rendered(folder.parent)
    titles = re.findall(r'<h2 id="section-\d+-title">([^<]*)', html)
    assert [title.strip() for title in titles] == ["b_toy", "a_toy"]
    assert html.count("sample data: no benchmark scores</span>") == 1


@pytest.mark.parametrize("date", [-1e300, 1e300, 1e12])
def test_an_impossible_date_of_a_run_is_left_out(write_run: Any, date: float) -> None:
    frame = read([write_run("m", [{"acc": 1.0}] * 3)]).frame
    assert "1 January 1970" in drawn(frame.assign(date=1.0))
    assert "1 result file · lm-eval" in drawn(frame.assign(date=date))
