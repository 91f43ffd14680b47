"""Refusals by a named string rule, for `evaluate.load`; see :mod:`harness_ext.scoring.refusal_rules`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import datasets

from harness_ext.metrics import module
from harness_ext.scoring.refusal_rules import classify, version


class Refusals(module.Module):
    """The share of responses that refuse, by a rule such as ``xstest``; the rule's version is part of the result."""

    inputs: ClassVar = {"predictions": datasets.Value("string")}

    def _compute(self, predictions: Sequence[str], rule: str = "xstest") -> dict[str, float | str]:
        refused = [classify(response, rule) == "refusal" for response in predictions]
        return {"refusal_rate": sum(refused) / len(refused), "rule": rule, "rule_version": version(rule)}
