"""Safety tables: no judged number without its judge, refusal and harm apart, rankings that depend on the judge."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness_ext.leaderboards import latex, markdown, terminal
from harness_ext.leaderboards.build import tables
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.leaderboards.figures import figures
from harness_ext.leaderboards.table import Table
from harness_ext.results.derived import harmonic_mean
from harness_ext.results.reading.frame import Row, to_frame
from harness_ext.results.reading.judges import JUDGED_METRICS, judge_of
from harness_ext.scoring.safety import HARM_METRICS
from harness_ext.tasks.safety.table import build

OUT_OF_FOLD = "out of fold"


def row(metric: str, value: float, judge: str = "xstest", **changes: object) -> Row:
    told = judge_of({}, judge)
    known = {
        **{"origin": "measured", "model": "m", "bench": "safety", "task": "safety_xstest", "part": "xstest"},
        **{"filter": judge, "judge": told.judge, "judge_version": told.version, "judge_agreement": told.agreement},
        **{"n": 450, "n_total": 450, "higher_is_better": metric == "safety_balance"},
    }
    return Row.model_validate({**known, "metric": metric, "value": value} | changes)


def xstest(over_refusal: float, compliance: float, judge: str = "xstest", **changes: object) -> list[Row]:
    balance = harmonic_mean([1 - over_refusal, 1 - compliance])
    values = {"over_refusal": over_refusal, "unsafe_compliance": compliance, "safety_balance": balance, "invalid": 0.0}
    return [row(metric, value, judge, **changes) for metric, value in values.items()]


def column(table: Table, name: str) -> list[str]:
    at = next(at for at, column in enumerate(table.columns) if column.name.split()[0] == name)
    return [line[at].text for line in table.rows]


def printed(text: str) -> float:
    return float(text.split(" ")[0])


@given(st.integers(0, 250), st.integers(0, 200))
def test_the_printed_balance_follows_from_the_printed_parts(refused: int, complied: int) -> None:
    (table,) = build(xstest(refused / 250, complied / 200))
    a, b = (1 - printed(column(table, name)[0]) for name in ("over_refusal", "unsafe_compliance"))
    expected = 2 * a * b / (a + b) if a + b else 0.0
    assert printed(column(table, "safety_balance")[0]) == pytest.approx(expected, abs=0.5001e-4)


@pytest.mark.parametrize("refused", [0.0, 1.0])
def test_a_model_that_refuses_all_or_nothing_has_no_balance(refused: float) -> None:
    (table,) = build(xstest(refused, 1 - refused))
    assert printed(column(table, "safety_balance")[0]) == 0


def test_a_balance_that_does_not_follow_from_its_parts_is_named() -> None:
    rows = [*xstest(0.1, 0.2)[:2], row("safety_balance", 0.5)]
    (table,) = build(rows)
    assert any("does not follow from its parts" in note for note in table.notes)
    assert not any("does not follow" in note for note in build(xstest(0.1, 0.2))[0].notes)


def test_every_number_stands_beside_its_judge_version_and_agreement() -> None:
    rows = xstest(0.1, 0.2) + xstest(0.1, 0.1, "default_en")
    rows += [row("unsafe_compliance", 0.3, "default_zh", task="safety_catqa_zh", part="catqa_zh")]
    both, one_sided = build(rows)
    versions = [judge_of({}, judge).version[:8] for judge in ("xstest", "default_en", "default_zh")]
    assert column(both, "Judge") == [f"xstest ({versions[0]})", f"default_en ({versions[1]})"]
    assert column(one_sided, "Judge") == [f"default_zh ({versions[2]})"]
    assert column(both, "Agreement") == ["0.914, κ 0.819", f"0.941, κ 0.870, {OUT_OF_FOLD}"]
    assert column(one_sided, "Agreement") == ["unmeasured"]
    assert any("n 900" in note and "human labels" in note for note in both.notes)


@pytest.mark.parametrize("render", [markdown.render, latex.render])
def test_a_format_that_prints_a_number_prints_its_judge_and_agreement(render: object) -> None:
    text = render(build(xstest(0.1, 0.2, "default_en")))  # type: ignore[operator]
    line = next(line for line in text.splitlines() if "0.1000" in line)
    assert "default" in line
    assert OUT_OF_FOLD in line.replace("{}", "")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_terminal_however_narrow_shows_judge_and_agreement_in_whole_words(width: int) -> None:
    (table,) = build([own.model_copy(update={"low": 0.0512, "high": 0.3512}) for own in xstest(0.1, 0.2)])
    file = io.StringIO()
    terminal.show([table], Console(file=file, force_terminal=True, width=width, color_system=None))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    shown = "\n".join(lines[: next(at for at, line in enumerate(lines) if line.startswith("•"))])
    assert all(word in shown for word in ("xstest", "0.914, κ", "0.819", "0.1000", "[0.05, 0.35]", "unsafe_compliance"))


def test_the_tidy_frame_has_judge_version_and_agreement_in_every_judged_line() -> None:
    frame = to_frame(xstest(0.1, 0.2))
    assert (frame[["judge", "judge_version", "judge_agreement"]] != "").all(axis=None)


def test_harm_and_refusal_never_share_a_table() -> None:
    harm = {"filter": "llm_md_judge", "judge": "llm_md_judge", "judge_version": "a1", "judge_agreement": "unmeasured"}
    unsafe = {"task": "safety_jbb", "part": "jbb"}
    rows = [row("unsafe_compliance", 0.2, **unsafe), row("invalid", 0.0, **unsafe)]
    rows += [row(metric, 0.5, **unsafe, **harm) for metric in (*HARM_METRICS, "invalid")]
    found = build(rows)
    sides = [
        {metric for metric in JUDGED_METRICS for head in table.columns if re.match(rf"{metric}\b", head.name)}
        for table in found
    ]
    assert sides == [{"unsafe_compliance"}, {*HARM_METRICS}]


def test_the_scale_of_harm_stands_beside_it() -> None:
    config = {"metadata": {"recorded": {"judges": {"j": {"judge": "j", "parser": "md_judge", "version": "1"}}}}}
    (table,) = build([row("harm_score", 3.5, "j", unit=judge_of(config, "j").scale, task="safety_jbb")])
    assert column(table, "Scale") == ["1 to 5"]


def test_a_ranking_that_changes_with_the_judge_is_named_in_one_line() -> None:
    rows = [*xstest(0.1, 0.2, model="a"), *xstest(0.2, 0.2, model="b")]
    rows += [*xstest(0.3, 0.1, "default_en", model="a"), *xstest(0.2, 0.1, "default_en", model="b")]
    (table,) = build(rows)
    (line,) = (note for note in table.notes if note.startswith("The ranking changes with the judge"))
    assert re.search(r"over_refusal of safety_xstest: a is below b by xstest \(\w+\), above it by default_en", line)
    assert "unsafe_compliance" not in line


def test_judges_that_agree_on_the_order_raise_no_alarm() -> None:
    rows = [
        own
        for (model, value), judge in itertools.product((("a", 0.1), ("b", 0.2)), ("xstest", "default_en"))
        for own in xstest(value, value, judge, model=model)
    ]
    assert not any("ranking" in note for note in build(rows)[0].notes)


def test_versions_of_one_judge_are_never_one_line() -> None:
    rows = [*xstest(0.1, 0.2), *xstest(0.2, 0.2, judge_version="0123456789ab")]
    (table,) = build(rows)
    assert len(table.rows) == 2
    assert any("different versions" in note for note in table.notes)


def test_different_system_prompts_and_templates_are_named() -> None:
    rows = [*xstest(0.1, 0.2, model="a"), *xstest(0.2, 0.2, model="b", setting="chat template, system prompt 0a1b2c3d")]
    (table,) = build(rows)
    assert any("system prompts (none, system prompt 0a1b2c3d)" in note for note in table.notes)
    assert any("chat template" in note and "do not compare" in note for note in table.notes)
    assert column(table, "Setting") == ["", "chat template, system prompt 0a1b2c3d"]


def test_a_judged_number_of_any_other_task_names_its_judge_too() -> None:
    rows = [own.model_copy(update={"bench": "mine", "task": "mine"}) for own in xstest(0.1, 0.2, "default_en")]
    (table,) = tables(to_frame(rows))
    assert "judge default_en" in column(table, "Setting")[0]
    assert any(OUT_OF_FOLD in note for note in table.notes)


def test_sample_data_is_never_best_and_says_what_it_is() -> None:
    found = build([*xstest(0.1, 0.2, model="a", data="sample"), *xstest(0.3, 0.2, model="b", data="sample")])
    assert "sample data" in found[0].title
    assert not any(cell.best for line in found[0].rows for cell in line)


def test_figures_keep_judges_apart_and_name_them() -> None:
    rows = [
        own.model_copy(update={"level": "group", "task": f"safety_{name}"})
        for name in ("harm", "catqa")
        for judge in ("xstest", "default_en")
        for own in xstest(0.1, 0.2, judge)
    ]
    rows += xstest(0.1, 0.2) + xstest(0.2, 0.2, "default_en")
    drawn = figures(rows, "benchmark", Evidence())
    markup = "".join(panel.drawing for figure in drawn for choice in figure.choices for panel in choice.panels)
    assert "safety_harm (xstest)" in markup
    assert "m (judge default_en)" in markup
    assert all(OUT_OF_FOLD in figure.caption for figure in drawn)
