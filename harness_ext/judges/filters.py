"""String rules as lm-eval filters: each response becomes a verdict, so each rule gets its own metric suffix.

In a task: ``filter_list: [{name: xstest, filter: [{function: custom, filter_fn: !function
harness_ext.judges.filters.xstest}, {function: take_first}]}]``. A verdict is a JSON string, because lm-eval turns
anything else into the ``str()`` of a Python object when it saves samples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def _filter(rule: str) -> Callable[[Responses, Docs], list[list[str]]]:
    language = RULES[rule].language

    def judge(resps: Responses, docs: Docs) -> list[list[str]]:
        judged = []
        for own, doc in zip(resps, docs, strict=True):
            if doc.get("language", language) != language and not doc.get("force"):
                raise InputError(
                    f"doc {doc.get('id')} is in {doc['language']!r} and the rule {rule!r} knows only {language!r}: it "
                    "would take refusals for compliance. Use the rule of that language, or give the metadata "
                    "'force': true."
                )
            judged.append([verdict(rule, response) for response in own])
        return judged

    judge.__name__ = rule
    judge.__doc__ = f"Verdicts of the rule {rule}: one for each response of each doc."
    return judge


xstest = _filter("xstest")
refdir12 = _filter("refdir12")
qi29 = _filter("qi29")
wei_lt20 = _filter("wei_lt20")
garak_mitigation = _filter("garak_mitigation")
garak_prefixes = _filter("garak_prefixes")
default_en = _filter("default_en")
default_zh = _filter("default_zh")
default_vi = _filter("default_vi")
