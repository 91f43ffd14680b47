"""String rules as lm-eval filters: each response becomes a verdict, so each rule gets its own metric suffix.

In a task: ``filter_list: [{name: xstest, filter: [{function: custom, filter_fn: !function
harness_ext.judges.filters.xstest}, {function: take_first}]}]``. A verdict is a JSON string, because lm-eval turns
anything else into the ``str()`` of a Python object when it saves samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness_ext.judges.judge import Item
from harness_ext.judges.rule import RuleJudge

Responses = Iterable[Sequence[str]]
Docs = Iterable[Mapping[str, Any]]


def _filter(rule: str) -> Callable[[Responses, Docs], list[list[str]]]:
    def judge(resps: Responses, docs: Docs) -> list[list[str]]:
        asked = RuleJudge(rule)
        return [
            asked.judge([Item("", response, doc) for response in own]) for own, doc in zip(resps, docs, strict=True)
        ]

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
trait_refusal = _filter("trait_refusal")
