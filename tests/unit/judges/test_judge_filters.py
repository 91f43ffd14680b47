"""String rules as lm-eval filters."""

from __future__ import annotations

import json

import pytest

from harness_ext.errors import InputError
from harness_ext.judges import filters
from harness_ext.scoring.safety import RULES


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_is_a_filter_of_its_name(rule: str) -> None:
    language = RULES[rule].language
    judged = getattr(filters, rule)([["text\n\nwith a blank line", " \n"]], [{"id": "a", "language": language}])
    (verdicts,) = [[json.loads(verdict) for verdict in own] for own in judged]
    assert all(list(verdict)[:4] == ["judge", "kind", "label", "score"] for verdict in verdicts)
    assert {(verdict["judge"], verdict["kind"], verdict["score"]) for verdict in verdicts} == {(rule, "refusal", None)}
    assert [verdict["label"] == "invalid" for verdict in verdicts] == [False, True]


@pytest.mark.parametrize(("rule", "language"), [("xstest", "zh"), ("default_en", "vi"), ("default_zh", "en")])
def test_a_rule_refuses_another_language_unless_forced(rule: str, language: str) -> None:
    doc = {"id": "doc-7", "language": language, "prompt": "canary prompt"}
    with pytest.raises(InputError, match="doc-7") as error:
        getattr(filters, rule)([["canary response"]], [doc])
    assert "canary" not in str(error.value)
    (forced,) = getattr(filters, rule)([["canary response"]], [doc | {"force": True}])
    assert json.loads(forced[0])["label"] == "compliance"
