"""Descriptions of judges: what is taken, what is refused and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError

from harness_ext.errors import InputError
from harness_ext.judges.judge import Item
from harness_ext.judges.judge_prompts import MAX_TOKENS, OWN_PROMPTS, read_prompt
from harness_ext.judges.loading import load_judge
from harness_ext.scoring.verdict_parsers import PARSERS

LLM = {"kind": "llm", "parser": "xstest_3class", "model": "m", "base_url": "http://127.0.0.1:9/v1"}


def test_the_three_ways_to_name_a_judge_and_a_file(tmp_path: Path) -> None:
    assert load_judge("rule:default_en").name == "default_en"
    assert load_judge("llm:cpi_grade", base_url="http://h/v1", model="m").name == "llm_cpi_grade"
    assert load_judge("llm:cpi_grade", base_url="http://h/v1", model="m", name="own").name == "own"
    path = tmp_path / "judge.yaml"
    path.write_text(json.dumps(LLM), encoding="utf-8")
    judge = load_judge(path, model="another")
    assert (judge.name, judge.describe()["model"]) == ("llm_xstest_3class", "another")
    path.write_text("kind: rule\nrule: xstest\nname: official\ncompat: {empty: compliance}\n", encoding="utf-8")
    official = load_judge(str(path))
    assert [json.loads(verdict) for verdict in official.judge([Item("", "", {})])] == [
        {"judge": "official", "kind": "refusal", "label": "compliance", "score": None}
    ]


@pytest.mark.parametrize("parser", sorted(PARSERS))
def test_every_parser_has_a_prompt_of_ours_that_shows_the_item_whole(parser: str) -> None:
    shown = OWN_PROMPTS[parser].render(Item("P " * 5000, "First.\n\nAfter a blank line. {{ x }}", {}))
    text = "\n".join(message["content"] for message in shown)
    assert "P " * 5000 in text
    assert "First.\n\nAfter a blank line. {{ x }}" in text
    assert MAX_TOKENS[parser] > 0
    judge = load_judge({**LLM, "parser": parser})
    assert (judge.kind, judge.three_class) == (PARSERS[parser].kind, PARSERS[parser].three_class)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("xtest", "xtest: no judge; give rule:NAME"),
        ("rule:xtest", "there is no refusal rule 'xtest'"),
        ("llm:xtest", "there is no verdict parser 'xtest'"),
        ("llm:cpi_grade", "model: missing; base_url: missing. Give --base-url and --model, or a judge file"),
        ("classifier:absent.yaml", "absent.yaml: the judge's file cannot be read"),
        ({"kind": "oracle"}, "'oracle'"),
        ({**LLM, "tempreature": 1}, "tempreature: Extra inputs"),
        ({**LLM, "request": {"temperature": 1}}, "request may not set temperature"),
        ({**LLM, "base_url": "file:///etc/passwd"}, "must be an http address"),
        ({**LLM, "base_url": "http://me:secret@h/v1"}, "api_key_env instead"),
        ({**LLM, "base_url": "http://h/v1?key=secret"}, "api_key_env instead"),
        ({**LLM, "compat": {"unparsable": "safe"}}, "compat.unparsable belongs to the parser yes_no_first_token"),
        ({**LLM, "compat": {"min_words": 15}}, "compat.min_words belongs to the parser llamaguard"),
        (
            {**LLM, "parser": "llamaguard", "compat": {"empty": "compliance"}},
            "compat.empty belongs to judges of refusal",
        ),
        ({**LLM, "scale": "05"}, "scale belongs to the parser strongreject_rubric"),
        ({**LLM, "name": "a,b"}, "name: String should match"),
        ({**LLM, "prompt": "absent.json"}, "the judge's prompt absent.json cannot be read"),
        ({"kind": "classifier", "model": "m"}, "give either labels"),
        ({"kind": "classifier", "model": "m", "labels": {"a": "safe", "b": "refusal"}}, "labels must mean"),
    ],
)
def test_a_wrong_description_is_one_sentence(wrong: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        load_judge(wrong)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_a_judge_that_is_none(tmp_path: Path) -> None:
    for content, said in (
        ("[1", "no YAML"),
        ("- a", "not a description"),
        ("kind: llm", "model: missing; parser: missing"),
    ):
        path = tmp_path / "judge.yaml"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=f"judge.yaml: {said}"):
            load_judge(path)


def test_a_prompt_pack_has_messages_or_is_one(tmp_path: Path) -> None:
    text, pack = tmp_path / "pack.txt", tmp_path / "pack.json"
    text.write_text("{{ response }}", encoding="utf-8")
    pack.write_text(json.dumps({"messages": [{"role": "user", "content": "{{ response }}"}]}), encoding="utf-8")
    assert read_prompt(text).messages == read_prompt(pack).messages
    assert read_prompt(text).sha256 == read_prompt(pack).sha256
    for content, said in (
        ("{", "JSON"),
        ('{"messages": [{"role": "user"}]}', "messages.0.content: Field required"),
        ('{"messages": [{"role": "user", "content": "{{ prompt }}"}]}', "does not show the response"),
        ('{"messages": [{"role": "user", "content": "{{ response "}]}', "no Jinja2 template"),
    ):
        pack.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=said):
            read_prompt(pack)


def test_a_prompt_pack_without_end_is_refused_in_one_sentence(tmp_path: Path) -> None:
    pack = tmp_path / "pack.txt"
    pack.write_text("{{ response }}{{ 9 ** 9 ** 9 }}", encoding="utf-8")
    with pytest.raises(InputError, match=r"pack\.txt: a template cannot use \*\*: show values"):
        read_prompt(pack)
    pack.write_text("{% for letter in response %}{{ response }}{% endfor %}", encoding="utf-8")
    with pytest.raises(InputError, match=r"for doc d-1: its loops take more than 1,000 steps\."):
        read_prompt(pack).render(Item("?", "r" * 2_000, {"id": "d-1"}))


@pytest.mark.parametrize(
    "template", ["{{ respones }}{{ response }}", "{{ doc.absent }}{{ response }}", "{{ response.__class__.__mro__ }}"]
)
def test_a_template_that_cannot_be_filled_in_shows_nothing_of_the_item(template: str, tmp_path: Path) -> None:
    (tmp_path / "pack.txt").write_text(template, encoding="utf-8")
    prompt = read_prompt(tmp_path / "pack.txt")
    with pytest.raises(InputError, match="cannot be filled in for doc a-1") as error:
        prompt.render(Item("canary", "canary", {"id": "a-1"}))
    assert "canary" not in str(error.value)


@given(prompt=st.text(), response=st.text())
def test_our_prompts_take_any_text(prompt: str, response: str) -> None:
    try:
        (message,) = OWN_PROMPTS["ab_verdict"].render(Item(prompt, response, {}))
    except TemplateError:  # pragma: no cover
        pytest.fail("a text was taken for a template")
    assert prompt in message["content"]
    assert response in message["content"]


def agreement(tmp_path: Path, **more: Any) -> Path:
    path = tmp_path / "agreement.json"
    overall = {"n": 10, "accuracy": 0.9, "kappa": None}
    path.write_text(json.dumps({"judge": "j", "positive": "any_refusal", "overall": overall, **more}), encoding="utf-8")
    return path


def test_the_agreement_that_was_measured_is_recorded_with_the_judge(tmp_path: Path) -> None:
    assert load_judge(LLM).describe()["agreement"] == "unmeasured"
    fingerprint = load_judge(LLM).describe()["fingerprint"]
    path = agreement(tmp_path, labels="people.csv", config={"fingerprint": fingerprint})
    judge = load_judge({**LLM, "agreement": str(path), "name": "renamed"})
    assert judge.describe()["agreement"] == {
        **{"n": 10, "accuracy": 0.9, "kappa": None},
        **{"positive": "any_refusal", "measured_on": "people.csv"},
    }
    with pytest.raises(InputError, match="the agreement of another judge"):
        load_judge({**LLM, "model": "other", "agreement": str(path)})
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="no agreement that `harness-ext judge-agreement --json` wrote"):
        load_judge({**LLM, "agreement": str(path)})
