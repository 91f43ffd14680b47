"""Language identification with a detector of the test's own: what is asked, what is decided, what is never believed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.data.detection import check_detector
from harness_ext.errors import InputError
from harness_ext.scoring import fidelity, lid

SEEN: list[str] = []


def by_first_letter(text: str) -> lid.Identified:
    """A detector that is sure of everything."""
    SEEN.append(text)
    return lid.Identified({"d": "deu", "m": "ms", "e": "eng"}.get(text.strip()[:1], "zxx"), 1.0)


FAKE = lid.Detector(by_first_letter, "fake 1")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(lid.DETECTORS, "fake", lambda: FAKE)
    SEEN.clear()
    return "fake"


@given(st.text())
def test_any_text_has_a_language_or_none(text):
    assert lid.identify(text, FAKE).code
    assert lid.language_of_answer(text, FAKE)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("안녕하세요", "ko"),
        ("カタカナのみ", "ja"),
        ("漢字漢字漢字漢字漢字の", "zxx"),  # kana are less than a tenth: left to the detector
        ("এটি বাংলা", "bn"),
        ("ৰ ৱ অসমীয়া", "zxx"),  # letters of Assamese: left to the detector
        ("สวัสดี", "th"),
        ("12 + 7 = 19", lid.UNKNOWN),
        ("eine", "en"),
    ],
)
def test_a_script_of_one_language_decides_and_all_else_is_asked_and_mapped(text, code):
    found = lid.identify(text, FAKE).code
    assert found == (lid.UNKNOWN if code == "zxx" else code)


def test_a_long_text_is_what_most_of_its_parts_are_whatever_their_order():
    parts = ["d" + "x" * 1500] * 3 + ["e" + "x" * 1500] * 2
    orders = [" ".join(random.Random(seed).sample(parts, 5)) for seed in range(5)]
    assert {lid.identify(text, FAKE).code for text in orders} == {"deu"}
    assert all(max(map(len, lid.parts(text))) <= lid.LONGEST_PART for text in orders)
    votes = Counter(lid.identify(part, FAKE).code for part in lid.parts(orders[0]))
    assert votes == {"deu": 3, "en": 2}
    # A word longer than a part is cut; nothing is shown twice or left out.
    assert "".join(lid.parts("y" * 5000)) == "y" * 5000


def test_a_score_of_one_is_no_certainty(fake):
    assert lid.identify("english words", fake) == lid.Identified("en", 1.0)
    assert lid.language_of_answer("eh", fake) == lid.UNKNOWN  # two letters decide nothing, however sure it is
    assert fidelity.fidelity_of("eh", "en", fake).undecided == 1.0


def test_malay_counts_for_indonesian_and_nothing_else_for_another(fake):
    assert fidelity.fidelity_of("melayu juga", "id", fake).fidelity == 1.0
    assert fidelity.fidelity_of("melayu juga", "de", fake).fidelity == 0.0
    assert fidelity.fidelity_of("english words", "id", fake) == (0.0, 1.0, 0.0)
    assert fidelity.fidelity_of("english words", "en", fake).off_target_en == 0.0


def test_code_and_special_tokens_are_not_shown_to_a_detector(fake):
    lid.language_of_answer("<|im_start|>deutsche Worte</s>\n```python\nprint('english')\n```\n<end_of_turn>", fake)
    assert SEEN == ["deutsche Worte"]
    assert lid.cleaned("``` never ends") == ""


def test_a_detector_that_is_not_there_is_named_with_its_extra(monkeypatch):
    def absent() -> lid.Detector:
        raise ModuleNotFoundError("No module named 'lingua'", name="lingua")

    monkeypatch.setitem(lid.DETECTORS, "lingua", absent)
    assert "lingua" not in set(lid.installed())
    with pytest.raises(InputError, match=r"pip install 'harness-ext\[lid\]'"):
        check_detector("langfid", "lingua", "sw")


def test_a_language_that_is_no_candidate_is_refused_before_anything_is_asked(monkeypatch):
    monkeypatch.setitem(lid.DETECTORS, "few", lambda: FAKE._replace(languages=frozenset({"de"})))
    with pytest.raises(InputError, match="few cannot find sw, only de"):
        check_detector("langfid", "few", "sw")


def test_the_small_fasttext_model_warns_of_swahili():
    with pytest.warns(UserWarning, match="short Swahili"):
        lid.warn_of("fasttext-ftz", "sw")
