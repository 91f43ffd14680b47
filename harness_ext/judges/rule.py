"""String rules as judges: pure, and of refusal only. A rule for one language is refused on another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from harness_ext.errors import InputError
from harness_ext.judges.config import JudgeConfig, check_compat
from harness_ext.judges.judge import EMPTY, UNFINISHED, Empty, Item, Kind, Statistics, answer, verdict
from harness_ext.scoring.answers import Answer
from harness_ext.scoring.refusal_rules import AGREEMENT, RULES, classify, version


class RuleConfig(JudgeConfig):
    """A string rule."""

    kind: Literal["rule"]
    rule: str

    @model_validator(mode="after")
    def _consistent(self) -> RuleConfig:
        if self.rule not in RULES:
            raise ValueError(f"there is no refusal rule {self.rule!r}; there are {', '.join(RULES)}")
        check_compat(self.compat, None, "refusal")
        return self


class RuleJudge:
    """The string rule ``rule``.

    Args:
        rule: one of :data:`~harness_ext.scoring.refusal_rules.RULES`.
        name: the suffix of the metrics, by default the rule's name.
        empty: the label of an empty response instead of ``invalid``: XSTest's own code takes it for compliance.

    Raises:
        InputError: there is no such rule.
    """

    kind: Kind = "refusal"
    three_class = False

    def __init__(self, rule: str, *, name: str | None = None, empty: Empty | None = None) -> None:
        if rule not in RULES:
            raise InputError(f"there is no refusal rule {rule!r}; there are {', '.join(RULES)}.")
        self.rule = rule
        self.name = name or rule
        self.version = version(rule)
        self.statistics = Statistics()
        self._empty = empty

    def describe(self) -> dict[str, Any]:
        """What results record; the version is a hash of the rule's phrases and of how they are compared."""
        known = AGREEMENT.get(self.rule)
        return {
            "judge": self.name,
            "kind": self.kind,
            "type": "rule",
            "rule": self.rule,
            "version": self.version,
            "source": RULES[self.rule].source,
            "language": RULES[self.rule].language,
            "compat": {"empty": self._empty} if self._empty else {},
            "agreement": known._asdict() if known else "unmeasured",
        }

    def judge(self, items: Sequence[Item]) -> list[str]:
        """The verdict of the rule on each item.

        Raises:
            InputError: a doc is in another language than the rule, and does not say ``force``.
        """
        language = RULES[self.rule].language
        for item in items:
            doc = item.doc
            if (doc.get("language") or language) != language and not doc.get("force"):
                raise InputError(
                    f"doc {doc.get('id')} is in {doc['language']!r} and the rule {self.rule!r} knows only "
                    f"{language!r}: it would take refusals for compliance. Use the rule of that language, or give the "
                    "metadata 'force': true."
                )
        return [self._verdict(answer(item)) for item in items]

    def _verdict(self, given: Answer) -> str:
        label: str = classify(given.text, self.rule) if given.text.strip() else self._empty or "invalid"
        detail = "" if label != "invalid" else EMPTY if given.finished else UNFINISHED
        self.statistics.invalid += label == "invalid"
        return verdict(self.name, self.kind, label, detail=detail, reasoning_cut=given.reasoned)


def judge_of(config: RuleConfig, name: str | None, _default: str, _cache: Path | None) -> RuleJudge:
    """The judge of that description."""
    return RuleJudge(config.rule, name=name, empty=config.compat.empty)
