"""Prompt packs: the rendering rule, this project's own pack, and what is refused."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.errors import InputError
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS
from harness_ext.tasks.mbtibench.prompts import (
    build,
    build_dreaddit_stress,
    build_item,
    load_pack,
    questionnaire,
    render,
)

POSTS = "Post 1: The kettle sings and I let it.; Post 2: {{posts}} and {{first_name}} are not inserted.; "
OWN = load_pack().content
SINGLE = ("zero-shot", "few-shot", "step-by-step-1p", "psycot-1p")


def shared_start(texts: list[str]) -> str:
    """The longest text that all of ``texts`` begin with."""
    end = next((n for n, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1), None)
    return min(texts, key=len)[:end]


each_dimension = pytest.mark.parametrize("dimension", DIMENSIONS)


@given(st.dictionaries(st.sampled_from(["a", "b.c", "d_1"]), st.text()), st.lists(st.text(alphabet="x {}"), max_size=4))
def test_values_are_inserted_verbatim_and_never_scanned_again(values: dict[str, str], between: list[str]) -> None:
    pieces = [text for text in between if "{{" not in text and "}}" not in text]
    template = "|".join(pieces) + "".join("|{{" + name + "}}" for name in values)
    assert render(template, values) == "|".join(pieces) + "".join(f"|{value}" for value in values.values())


def test_a_placeholder_without_value_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"\{\{nothing\}\} has no value here; there are dim, posts"):
        render("{{nothing}}", {"posts": "", "dim": ""})


@each_dimension
@pytest.mark.parametrize("method", SINGLE)
def test_posts_stand_before_anything_that_differs_between_dimensions(method: str, dimension: str) -> None:
    texts = [build(OWN, method, "soft", name, "kaggle", POSTS)[1]["content"] for name in DIMENSIONS]
    shared = shared_start(texts)
    assert shared.endswith(POSTS) or POSTS in shared
    assert len({build(OWN, method, "soft", name, "kaggle", POSTS)[0]["content"] for name in DIMENSIONS}) == 1
    asked = build(OWN, method, "soft", dimension, "kaggle", POSTS)[1]["content"]
    assert asked.startswith(shared) and len(asked) > len(shared)


@each_dimension
def test_items_and_final_question_of_psycot_share_the_posts_with_zero_shot(dimension: str) -> None:
    zero_shot = build(OWN, "zero-shot", "soft", dimension, "x", POSTS)
    item = build_item(OWN, dimension, 3, POSTS)
    assert item[0] == zero_shot[0]
    assert POSTS in shared_start([zero_shot[1]["content"], item[1]["content"]])


@each_dimension
def test_score_question_names_both_poles_the_range_and_the_format(dimension: str) -> None:
    names = DIMENSIONS[dimension]
    for method in SINGLE:
        question = build(OWN, method, "soft", dimension, "x", "")[1]["content"]
        last = question[question.rindex("1 is clearly") :]
        assert last.startswith(f"1 is clearly {names.first_name}, 9 is clearly {names.second_name}")
        assert "[[score]]" in last


@each_dimension
def test_swapped_question_is_the_same_with_the_poles_exchanged(dimension: str) -> None:
    names = DIMENSIONS[dimension]
    straight = build(OWN, "zero-shot", "soft", dimension, "x", POSTS)[1]["content"]
    swapped = build(OWN, "zero-shot", "soft", dimension, "x", POSTS, swapped=True)[1]["content"]
    exchanged = straight.replace(names.first_name, "#").replace(names.second_name, names.first_name)
    assert swapped == exchanged.replace("#", names.second_name) != straight


def test_swapped_demonstrations_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be swapped"):
        build(OWN, "few-shot", "soft", "E/I", "x", POSTS, swapped=True)


@each_dimension
def test_demonstrations_show_both_poles_of_the_dimension_in_the_format_that_is_asked_for(dimension: str) -> None:
    names = DIMENSIONS[dimension]
    text = build(OWN, "few-shot", "soft", dimension, "x", POSTS)[1]["content"]
    cue = f"{names.first_name} (1) to {names.second_name} (9):"
    scores = [int(text[at + len(cue) :].strip()[2]) for at in range(len(text)) if text.startswith(cue + " [[", at)]
    assert len(scores) == 2
    assert sorted(score > 5 for score in scores) == [False, True]
    assert text.endswith(cue)


@each_dimension
def test_questionnaire_is_keyed_and_balanced(dimension: str) -> None:
    items = questionnaire(OWN, dimension)
    assert len(items) == {"E/I": 11, "S/N": 14, "T/F": 14, "J/P": 11}[dimension]
    for item in items:
        assert sorted(item["option_to_pole"].values()) == sorted(DIMENSIONS[dimension].poles)
        assert item["unsure_option"] == "C"
        assert all(f"{letter}: " in item["text"] for letter in "ABC")
    first = sum(item["option_to_pole"]["A"] == DIMENSIONS[dimension].first for item in items)
    assert abs(first - len(items) / 2) <= 0.5


def test_option_a_means_the_first_pole_in_exactly_half_of_all_items() -> None:
    keyed = [item["option_to_pole"]["A"] == d.first for d in DIMENSIONS.values() for item in questionnaire(OWN, d.name)]
    assert (sum(keyed), len(keyed)) == (25, 50)


@each_dimension
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_multi_turn_prompts_have_the_papers_number_of_calls(dimension: str, kind: str) -> None:
    calls = {"step-by-step": 2, "psycot": len(questionnaire(OWN, dimension)) + 1}
    for method, number in calls.items():
        roles = [message["role"] for message in build(OWN, method, kind, dimension, "x", POSTS)]
        assert roles == ["system", *["user", "assistant"] * number]


def test_hard_prompts_offer_a_and_b_and_never_a_score() -> None:
    for method in ("zero-shot", "few-shot"):
        text = build(OWN, method, "hard", "T/F", "x", POSTS)[1]["content"]
        assert "A: Thinking or B: Feeling" in text
        assert "[[" not in text


def test_stress_prompt_has_personality_only_where_it_is_given() -> None:
    lines = "60.0% Extraversion, 40.0% Introversion\n"
    with_lines, without = (build_dreaddit_stress(OWN, "Post: …", given)[1]["content"] for given in (lines, None))
    assert lines in with_lines
    assert "personality" not in without
    assert shared_start([with_lines, without]).startswith("Post: …")


def test_pack_is_identified_by_the_hash_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "pack.json"
    file.write_text(json.dumps({"schema": "prompt-pack/1", "bench": "mbtibench", "name": "mine", "methods": {}}))
    pack = load_pack(str(file))
    assert pack.label == f"mine sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "prompt-pack/1", "bench": "continual"}'])
def test_a_file_that_is_no_pack_of_this_benchmark_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pack.json"
    file.write_text(content)
    with pytest.raises(InputError, match="is not"):
        load_pack(str(file))


def test_a_missing_pack_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read .*give a file or 'default'"):
        load_pack(str(tmp_path / "pack.json"))


def test_a_method_or_source_that_the_pack_lacks_is_named() -> None:
    with pytest.raises(InputError, match=r"'harness-ext' has no methods\.tree-of-thought\.soft"):
        build(OWN, "tree-of-thought", "soft", "E/I", "x", POSTS)
    methods = {"few-shot": {"soft": OWN["methods"]["few-shot"]["soft"], "shots_by_source": {"kaggle": []}}}
    with pytest.raises(InputError, match="'sample', only for kaggle"):
        build({**OWN, "methods": {**OWN["methods"], **methods}}, "few-shot", "soft", "E/I", "sample", POSTS)


def test_a_pack_cannot_multiply_the_posts_until_the_memory_is_full() -> None:
    assert render("{{posts}}" * 2, {"posts": "x" * 400_000}) == "x" * 800_000
    with pytest.raises(InputError, match="a text has more than 1,048,576 characters"):
        render("{{posts}}" * 100_000, {"posts": "x" * 400_000})


def test_a_pack_cannot_ask_items_without_end() -> None:
    pack = copy.deepcopy(OWN)
    pack["methods"]["psycot"]["items"]["E/I"] *= 100
    with pytest.raises(InputError, match="items for E/I, more than 200"):
        build(pack, "psycot", "soft", "E/I", "kaggle", POSTS)
