"""EQ-Bench v2: reading scores out of answers, and the score of a set of four."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.tasks import TaskManager
from lm_eval.tasks.eq_bench.utils import calculate_score_fullscale

from harness_ext.errors import DataError, InputError
from harness_ext.scoring.eqbench import (
    agg_eqbench,
    agg_percent_parseable,
    distance,
    parse_scores,
    score_answer,
    sections,
)
from harness_ext.tasks.eqbench_v2 import docs, scores

NAMES = ("Traurig", "Wütend", "Mitfühlend", "Überrascht")
REFERENCE = dict(zip(NAMES, (0.0, 6.0, 3.0, 10.0), strict=True))
DOC: dict[str, Any] = {"emotions": list(NAMES), "reference": list(REFERENCE.values()), "language": "de"}
line = st.builds(
    "{}{}{}{}".format,
    st.sampled_from([*NAMES, "Joy", ""]),
    st.sampled_from([":", ": ", " : ", ":\n", "："]),
    st.one_of(st.integers(-3, 12), st.floats(0, 11), st.just("nine"), st.just("9" * 400)),
    st.sampled_from(["", "/10", "\n", ", ", "**"]),
)
messy = st.text() | st.lists(line, max_size=8).map("\n".join)


def answer(values: dict[str, float]) -> str:
    return "\n".join(f"{name}: {value:g}" for name, value in values.items())


@given(text=messy, mode=st.sampled_from(["strict", "compat"]))
def test_any_text_has_a_finite_score_of_at_most_100(text: str, mode: Any) -> None:
    score, parsed = score_answer(text, REFERENCE, mode)
    assert math.isfinite(score)
    assert score <= 100
    assert parsed == (parse_scores(text, NAMES, mode) is not None)
    assert parsed or score == 0
    if mode == "strict":
        assert score > -200


@given(text=st.text() | st.lists(line, max_size=8).map("\n".join))
def test_compat_scores_are_those_of_lm_eval(text: str) -> None:
    upstream = {f"emotion{i}": name for i, name in enumerate(NAMES, 1)} | {
        f"emotion{i}_score": str(value) for i, value in enumerate(REFERENCE.values(), 1)
    }
    reference = calculate_score_fullscale({"reference_answer_fullscale": repr(upstream)}, [text])
    score, parsed = score_answer(text, REFERENCE, "compat")
    if math.isfinite(reference["eqbench"]):  # 400 digits make an infinite number, for us an unreadable one
        assert score == pytest.approx(reference["eqbench"])
        assert 100 * parsed == reference["percent_parseable"]
    else:
        assert not parsed


@given(values=st.lists(st.integers(0, 10), min_size=4, max_size=4), other=st.integers(0, 10))
def test_the_last_score_of_an_emotion_counts(values: list[int], other: int) -> None:
    wanted = dict(zip(NAMES, map(float, values), strict=True))
    for mode in ("strict", "compat"):
        assert parse_scores(f"{NAMES[0]}: {other}\n{answer(wanted)}", NAMES, mode) == wanted  # type: ignore[arg-type]


@given(values=st.lists(st.floats(0, 10).map(lambda x: round(x, 2)), min_size=4, max_size=4))
def test_decimals_are_read_unless_compat_cuts_them_off(values: list[float]) -> None:
    wanted = dict(zip(NAMES, values, strict=True))
    text = "\n".join(f"{name}: {value:.2f}" for name, value in wanted.items())
    assert parse_scores(text, NAMES) == wanted
    assert parse_scores(text, NAMES, "compat") == {name: float(int(value)) for name, value in wanted.items()}


@pytest.mark.parametrize(
    "text",
    [
        "",
        answer(dict.fromkeys(NAMES[:3], 3.0)),
        answer(dict.fromkeys(NAMES, 3.0) | {"Joy": 3.0}),
    ],
    ids=["empty", "one missing", "one too many"],
)
def test_an_answer_without_exactly_the_four_emotions_scores_zero(text: str) -> None:
    assert score_answer(text, REFERENCE) == score_answer(text, REFERENCE, "compat") == (0.0, False)


WRITTEN = {
    "bold names": "**{}:** {}\n**{}:** {}\n**{}:** {}\n**{}:** {}",
    "a list": "- **{}**: {}\n- **{}**: {}\n- **{}**: {}\n- **{}**: {}",
    "numbers in front": "1. {}: {}\n2. {}: {}\n3. {}: {}\n4. {}: {}",
    "a table": "| Emotion | Score |\n|---|---|\n| {} | {} |\n| {} | {} |\n| {} | {} |\n| {} | {} |",
    "a total": "{}: {}\n{}: {}\n{}: {}\n{}: {}\n\n**Gesamt:** 19/40",
    "bold scores": "{}: **{}**\n{}: **{}**\n{}: **{}**\n{}: **{}**",
    "a mean": "{}: {}\n{}: {}\n{}: {}\n{}: {}\nDurchschnitt: 4.75",
    "tags": "<b>{}</b>: {}<br>\n<b>{}</b>: {}<br/>\n<b>{}</b>: {}<br />\n<b>{}</b>: {}",
    "dashes": "{} - {}\n{} – {}\n{} — {}\n{} - {}",
    "arrows": "{} → {}\n{} -> {}\n{} → {}\n{} -> {}",
    "JSON": '{{"{}": {}, "{}": {}, "{}": {}, "{}": {}}}',
}


@pytest.mark.parametrize("spelling", [str, str.lower, str.upper], ids=["as asked", "lower case", "upper case"])
@pytest.mark.parametrize("form", WRITTEN)
def test_markdown_lists_case_and_a_total_are_read_except_in_compat(form: str, spelling: Any) -> None:
    pairs = [part for name, value in REFERENCE.items() for part in (spelling(name), f"{value:g}")]
    text = WRITTEN[form].format(*pairs)
    assert score_answer(text, REFERENCE) == (100.0, True)
    assert spelling is str or score_answer(text, REFERENCE, "compat") == (0.0, False)


def test_full_width_digits_and_colons_are_read() -> None:
    digits = str.maketrans("0123456789:", "０１２３４５６７８９：")
    assert parse_scores(answer(REFERENCE).translate(digits), NAMES) == REFERENCE


def test_a_value_above_ten_is_a_failure_except_in_compat() -> None:
    text = answer(REFERENCE | {"Traurig": 60.0})
    assert score_answer(text, REFERENCE) == (0.0, False)
    assert score_answer(text, REFERENCE, "compat").score == pytest.approx(100 - 7.477 * 60)


def test_a_name_of_several_words_is_read_whole_except_in_compat() -> None:
    reference = {"Sehr froh": 5.0, "Müde": 1.0, "Froh": 2.0, "Stolz": 3.0}
    assert parse_scores(answer(reference), reference) == reference
    assert parse_scores(answer(reference), reference, "compat") is None


@given(difference=st.floats(0, 10))
def test_the_distance_grows_from_zero_and_costs_more_than_the_difference_nowhere_but_around_five(
    difference: float,
) -> None:
    assert 0 <= distance(difference) <= max(difference, 0.06)
    assert distance(difference) <= distance(min(10.0, difference + 0.5)) + 1e-9


@pytest.mark.parametrize(
    ("language", "critique", "revised"),
    [
        ("en", "Critique: hm.", "Revised scores:"),
        ("de", "Kritik: hm.", "Überarbeitete Bewertung:"),
        ("de", "Kritik: hm.", "Überarbeitete Punktzahlen:"),
        ("en", "**Critique:** Fear: 9", "**Revised scores:**"),
    ],
)
def test_sections(language: Any, critique: str, revised: str) -> None:
    first, second = sections(f"First\n{critique}\n\n{revised}\nSecond", language)
    assert first.strip("*\n") == "First"
    assert second.strip(":*\n") == "Second"


def test_an_answer_without_headings_is_first_and_revised_at_once() -> None:
    text = answer(REFERENCE)
    assert sections(text) == (text, text)


@given(text=messy)
def test_sections_of_any_text_are_parts_of_it(text: str) -> None:
    for language in ("en", "de"):
        first, revised = sections(text, language)  # type: ignore[arg-type]
        assert text.startswith(first)
        assert text.endswith(revised)


def test_the_better_pass_is_reported_with_its_own_share_of_readable_answers() -> None:
    items = [(90.0, True, 50.0, True), (0.0, False, 60.0, True)]
    assert (agg_eqbench(items), agg_percent_parseable(items)) == (55.0, 100.0)
    assert agg_percent_parseable([(90.0, True, 0.0, False)]) == 100.0
    for aggregate in (agg_eqbench, agg_percent_parseable):
        with pytest.raises(ValueError, match="no answers"):
            aggregate([])


def test_one_readable_pass_is_no_parse_failure() -> None:
    text = f"Alle gleich.\n\nKritik: zu hoch.\n\nÜberarbeitete Bewertung:\n{answer(REFERENCE)}"
    values = scores.revised(DOC, [text])
    assert values["eqbench"] == (0.0, False, 100.0, True)
    assert (values["eqbench_first"], values["eqbench_revised"], values["parse_failure"]) == (0.0, 100.0, 0.0)
    assert scores.revised(DOC, ["Traurig"])["parse_failure"] == 1.0


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("form", ["revised", "short"])
def test_the_sample_asks_for_the_lines_that_an_oracle_answers(language: Any, form: str) -> None:
    manager = TaskManager(
        include_path=str(Path(docs.__file__).parent), include_defaults=False, metadata={"data": "sample"}
    )
    leaf = f"eqbench_v2_{language}" if form == "revised" else f"eqbench_v2_short_{language}"
    (task,) = manager.load(leaf)["tasks"].values()
    found = list(task.test_docs())
    assert len(found) >= 6
    for doc in found:
        text = task.doc_to_text(doc)
        assert "\n".join(f"{name}: ..." for name in doc["emotions"]) in text
        assert ("Critique" in text or "Kritik" in text) == (form == "revised")
        assert doc["situation"].split("\n")[0] in text
        values = getattr(scores, form)(doc, [docs.target(doc)])
        assert values["parse_failure"] == 0
        assert values["eqbench"] == (100.0 if form == "short" else (100.0, True, 100.0, True))


@pytest.mark.parametrize("wrong", [{"language": "fr"}, {"data": "both"}])
def test_an_unknown_choice_is_refused_with_the_known_ones(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"{next(iter(wrong))} is .*; give '"):
        docs.load(**{"language": "en", "data": "sample"} | wrong)


def test_a_prompt_of_another_build_is_refused() -> None:
    raw = {f"emotion{i}": name for i, name in enumerate(NAMES, 1)} | {f"emotion{i}_score": 5 for i in range(1, 5)}
    with pytest.raises(DataError, match="question 9: no dialogue"):
        docs.question_of("9", {"prompt": "Rate the emotions of Ann.", "reference_answer_fullscale": raw})


@pytest.mark.parametrize("content", ["{}", '{"raw_results": {}}', '{"raw_results": {"1": {}}}', "[]"])
def test_a_result_file_without_answers_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(DataError, match="no answers to score"):
        list(docs.stored_answers(path))


def test_stored_answers_become_replay_rows(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"raw_results": {"1": {"raw_inference": {"7": "Joy: 3"}}}}))
    assert list(docs.stored_answers(path)) == [{"task": "eqbench_v2_en", "id": "7", "response": "Joy: 3"}]
