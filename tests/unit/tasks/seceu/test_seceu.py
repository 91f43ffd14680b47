"""SECEU: reading points out of answers and documents, distance, EQ and pattern."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness_ext.errors import DataError, InputError
from harness_ext.scoring.seceu import agg_eq, agg_pattern_r, agg_seceu, distance, eq_of, parse_points, score
from harness_ext.tasks.seceu import docs, scores
from harness_ext.tasks.seceu.word_files import Item, Norm, check, chinese_items, english_items, norm, text_of

OPTIONS = ("Sad", "Joyful", "Angry", "At ease")
CHINESE = ("难过", "平静", "惊讶", "快乐")
messy = (
    st.text()
    | st.text(alphabet="0123456789.,;:()/- \nSadJoyfulAngry难过平静")
    | st.lists(
        st.sampled_from(
            [*OPTIONS, *CHINESE, ":", "：", "3", "2.5", "0", "10", "-1", "(1)", "1. ", "\n", ", ", "/10", "分"]
        )
    ).map("".join)
)
points = st.lists(st.integers(0, 40).map(lambda quarter: quarter / 4), min_size=4, max_size=4).filter(any)


@given(text=messy)
@pytest.mark.parametrize("options", [OPTIONS, CHINESE])
def test_points_of_any_text_are_four_shares_of_ten_or_nothing(options: tuple[str, ...], text: str) -> None:
    found = parse_points(text, options)
    if found is not None:
        assert len(found.values) == 4
        assert all(value >= 0 for value in found.values)
        assert sum(found.values) == pytest.approx(10, abs=0.0101)


@given(values=points)
@pytest.mark.parametrize(
    "form",
    [
        "{}, {}, {}, {}",
        "[{}, {}, {}, {}]",
        "{} {} {} {}",
        "Points: {}; {}; {}; {}.",
        "{}，{}，{}，{}",
        "{}分，{}分，{}分，{}分",
        "\n{}\n{}\n{}\n{}\n",
        "(1) {}; (2) {}; (3) {}; (4) {}",
        "（1）{}（2）{}（3）{}（4）{}",
        "1. {}\n2. {}\n3. {}\n4. {}",
        "Sad: {}, Joyful: {}, Angry: {}, At ease: {}",
        "- Sad = {}\n- Joyful = {}\n- Angry = {}\n- At ease = {}",
        "**Sad**: {}/10\n**Joyful**: {}/10\n**Angry**: {}/10\n**At ease**: {}/10",
        "(1) Sad: {} (2) Joyful: {} (3) Angry: {} (4) At ease: {}",
        "1. sad – {}\n2. joyful – {}\n3. angry – {}\n4. at ease – {}",
        '{{"Sad": {}, "Joyful": {}, "Angry": {}, "At ease": {}}}',
    ],
)
def test_points_are_read_in_the_forms_that_models_write(form: str, values: list[float]) -> None:
    found = parse_points(form.format(*(f"{value:g}" for value in values)), OPTIONS)
    assert found is not None
    assert found.values == pytest.approx([10 * value / sum(values) for value in values])
    assert found.renormalised == (sum(values) != 10)


def test_named_points_come_in_the_order_of_the_options() -> None:
    found = parse_points("快乐：1，惊讶：2，平静：3，难过：4", CHINESE)
    assert found is not None
    assert found.values == (4, 3, 2, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3, 4, 3",
        "3, 4, 2, 1, 0",
        "0, 0, 0, 0",
        "5, 6, -1, 0",
        "Sad: 5, Joyful: 5",
        "9" * 500,
        "a1 b2 c3 d4",
        "1e9 1 1 1",
    ],
)
def test_answers_that_are_no_four_points_cannot_be_read(text: str) -> None:
    assert parse_points(text, OPTIONS) is None


@pytest.mark.parametrize(("text", "renormalised"), [("2.5, 2.5, 2.5, 2.51", False), ("2.5, 2.5, 2.5, 2.52", True)])
def test_only_a_rounding_error_of_the_sum_is_left_as_it_is(text: str, renormalised: bool) -> None:
    found = parse_points(text, OPTIONS)
    assert found is not None
    assert found.renormalised == renormalised


@given(
    rows=st.lists(
        st.tuples(points, points, st.floats(0.5, 5), st.booleans()).map(lambda row: (*row[:3], row[3])), min_size=1
    )
)
def test_score_equals_numpy_and_scipy_on_the_readable_answers(rows: list[Any]) -> None:
    answers = [answer if readable else None for answer, _, _, readable in rows]
    standard, template = [row[1] for row in rows], [row[2] for row in rows]
    found = score(answers, standard, template)
    kept = [i for i, answer in enumerate(answers) if answer is not None]
    if not kept:
        assert math.isnan(found.seceu)
        assert found.pattern_r is None
        return
    distances = np.linalg.norm(np.array([answers[i] for i in kept]) - np.array(standard)[kept], axis=1)
    assert found.seceu == pytest.approx(distances.mean())
    assert math.isnan(found.eq) == (len(kept) < 0.9 * len(rows))
    human = np.array(template)[kept]
    if np.ptp(distances) > 1e-6 and np.ptp(human) > 1e-6:
        assert found.pattern_r == pytest.approx(stats.pearsonr(distances, human).statistic, abs=1e-6)
    elif np.ptp(distances) == 0 or np.ptp(human) == 0:
        assert found.pattern_r is None


def test_the_mean_person_has_an_eq_of_100_and_a_closer_answer_a_higher_one() -> None:
    assert eq_of(2.79) == 100
    assert eq_of(2.79 - 0.822) == pytest.approx(115)


def test_constant_distances_have_no_pattern() -> None:
    items = [(1.0, 2.9), (1.0, 2.4)]
    assert (agg_seceu(items), agg_eq(items)) == (1.0, eq_of(1.0))
    assert math.isnan(agg_pattern_r(items))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        distance([1, 2, 3], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="longer"):
        score([[1, 2, 3, 4]], [[1, 2, 3, 4]] * 2, [1.0])


def word_file(path: Path, body: str, head: str = "") -> Path:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "word/document.xml",
            f'<?xml version="1.0"?>{head}<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/'
            f'main"><w:body>{body}</w:body></w:document>',
        )
    path.write_bytes(content.getvalue())
    return path


def test_a_word_document_keeps_tabs_and_breaks(tmp_path: Path) -> None:
    first = "<w:p><w:r><w:t>one</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r></w:p>"
    body = f"{first}<w:p><w:r><w:t>4</w:t></w:r></w:p>"
    assert text_of(word_file(tmp_path / "a.docx", body)) == "one\ttwo\nthree\n4"


def test_a_document_that_declares_entities_is_refused(tmp_path: Path) -> None:
    path = word_file(
        tmp_path / "bomb.docx", "<w:p><w:r><w:t>&a;</w:t></w:r></w:p>", '<!DOCTYPE x [<!ENTITY a "aaaa">]>'
    )
    with pytest.raises(DataError, match=r"bomb\.docx: not a readable Word document"):
        text_of(path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_word_document_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.docx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"text\.docx: not a readable Word document"):
        text_of(path)


def test_an_archive_without_a_document_and_broken_xml_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.docx", "w") as archive:
        archive.writestr("other.xml", "<a/>")
    for path in (tmp_path / "empty.docx", word_file(tmp_path / "broken.docx", "<w:p>")):
        with pytest.raises(DataError, match="not a readable Word document"):
            text_of(path)


def test_english_options_are_told_apart_by_their_marks() -> None:
    options = "(1) Worried; (2) Ill at ease: (3) Let-down ; (4) Calm"
    text = f"Title\n\nItem 1\nStory: He waits: he feels:\nOptions: {options}\n\n"
    assert english_items(text) == [Item("He waits: he feels:", ("Worried", "Ill at ease", "Let-down", "Calm"))]


def test_chinese_options_may_stand_on_the_line_of_the_story() -> None:
    first = "第一题\n她等车。她会觉得：\n期待\t兴奋\t快乐\t懊恼\n"
    second = "第十二题\n他等人，会觉得：\t爱\t感动\t快乐\t惊讶\n"
    assert chinese_items(f"标题\n\n{first}\n{second}") == [
        Item("她等车。她会觉得：", ("期待", "兴奋", "快乐", "懊恼")),
        Item("他等人，会觉得：", ("爱", "感动", "快乐", "惊讶")),
    ]


def test_the_norm_is_rows_of_four_and_a_bracketed_list() -> None:
    text = "SS\n3.56 \t3.09 \t1.78 \t1.57\n10.00\t0.00\t0.00\t0.00\nM is 2.79\n[2.92, 2.90, \n3.22]\nbelow (<0.033)"
    assert norm(text) == Norm([[3.56, 3.09, 1.78, 1.57], [10.0, 0.0, 0.0, 0.0]], [2.92, 2.90, 3.22])
    assert norm("nothing") == Norm([], [])


def test_items_and_norm_must_belong_together() -> None:
    item, row = Item("Story", OPTIONS), [4.0, 3.0, 2.0, 1.0]
    check([item] * 40, Norm([row] * 40, [2.8] * 40))
    with pytest.raises(DataError, match="expected 40 of each"):
        check([item] * 39, Norm([row] * 40, [2.8] * 40))
    for wrong_item, wrong_row in (
        (item, [4.0, 3.0, 2.0, 1.1]),
        (Item("Story", OPTIONS[:3]), row),
        (Item("", OPTIONS), row),
    ):
        with pytest.raises(DataError, match="SECEU item 40: "):
            check([item] * 39 + [wrong_item], Norm([row] * 39 + [wrong_row], [2.8] * 40))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_oracle_on_the_sample_is_at_distance_zero(language: Any) -> None:
    found = docs.load(language, data="sample")["test"]
    assert len(found) == 8
    for doc in found:
        assert scores.points(doc, [docs.target(doc)])["seceu"] == (0.0, doc["template"])


def test_an_unreadable_answer_is_counted_and_has_no_distance() -> None:
    doc = docs.load("en", data="sample")["test"][0]
    values = scores.points(doc, ["I would rather not say."])
    assert math.isnan(values["eq"][0])  # type: ignore[index]
    assert (values["parse_failure"], values["renormalised"]) == (1.0, 0.0)
    assert scores.points(doc, ["1, 1, 1, 1"])["renormalised"] == 1.0


@pytest.mark.parametrize("wrong", [{"language": "fr"}, {"data": "both"}])
def test_an_unknown_choice_is_refused_with_the_known_ones(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"{next(iter(wrong))} is .*; give '"):
        docs.load(**{"language": "en", "data": "sample"} | wrong)
