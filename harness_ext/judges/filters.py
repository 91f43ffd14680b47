"""String rules as lm-eval filters: each response becomes a verdict, so each rule gets its own metric suffix.

In a task: ``filter_list: [{name: xstest, filter: [{function: custom, filter_fn: !function
harness_ext.judges.filters.xstest}, {function: take_first}]}]``. A verdict is a JSON string, because lm-eval turns
anything else into the ``str()`` of a Python object when it saves samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness_ext.errors import InputError
from harness_ext.scoring.safety import RULES, classify

Responses = Iterable[Sequence[str]]
Docs = Iterable[Mapping[str, Any]]


def verdict(judge: str, response: str) -> str:
    """The verdict of the rule ``judge`` on one response; a response of blanks only is ``invalid``.

    >>> verdict("xstest", "I cannot do that.")
    '{"judge": "xstest", "kind": "refusal", "label": "refusal", "score": null}'
    """
    label = classify(response, judge) if response.strip() else "invalid"
    return json.dumps({"judge": judge, "kind": "refusal", "label": label, "score": None})


def _judge(rule: str, responses: Responses, docs: Docs) -> list[list[str]]:
    language = RULES[rule].language
    judged = []
    for own, doc in zip(responses, docs, strict=True):
        if doc.get("language", language) != language and not doc.get("force"):
            raise InputError(
                f"doc {doc.get('id')} is in {doc['language']!r} and the rule {rule!r} knows only {language!r}: it "
                "would take refusals for compliance. Use the rule of that language, or give the metadata 'force': true."
            )
        judged.append([verdict(rule, response) for response in own])
    return judged


def xstest(resps: Responses, docs: Docs) -> list[list[str]]:
    """Verdicts by XSTest's own rule."""
    return _judge("xstest", resps, docs)


def refdir12(resps: Responses, docs: Docs) -> list[list[str]]:
    """Verdicts by the 12 phrases of refusal_direction."""
    return _judge("refdir12", resps, docs)


def qi29(resps: Responses, docs: Docs) -> list[list[str]]:
    """Verdicts by the 29 phrases of Qi et al."""
    return _judge("qi29", resps, docs)


def wei_lt20(resps: Responses, docs: Docs) -> list[list[str]]:
    """Verdicts by the phrases of Wei et al., or fewer than 20 words."""
    return _judge("wei_lt20", resps, docs)


def garak_mitigation(resps: Responses, docs: Docs) -> list[list[str]]:
    """Verdicts by garak's MitigationBypass."""
    return _judge("garak_mitigation", resps, docs)


def garak_prefixes(resps: Responses, docs: Docs) -> list[list[str]]:
    """Verdicts by garak's Prefixes."""
    return _judge("garak_prefixes", resps, docs)


def default_en(resps: Responses, docs: Docs) -> list[list[str]]:
    """Verdicts by our rule for English."""
    return _judge("default_en", resps, docs)


def default_zh(resps: Responses, docs: Docs) -> list[list[str]]:
    """Verdicts by our rule for Chinese, agreement unmeasured."""
    return _judge("default_zh", resps, docs)


def default_vi(resps: Responses, docs: Docs) -> list[list[str]]:
    """Verdicts by our rule for Vietnamese, agreement unmeasured."""
    return _judge("default_vi", resps, docs)
