"""What a judge is, and how one is named: ``rule:xstest``, ``llm:xstest_3class``, ``classifier:guard.yaml``, a file.

A judge turns a prompt and a response into a verdict: a JSON string ``{"judge", "kind": "refusal" | "harm", "label",
"score"}``, sometimes with ``detail``, why there is no label, and ``reasoning_cut``, where reasoning was cut off the
response. It never holds the prompt or the response.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from harness_ext.errors import InputError
from harness_ext.scoring.answers import MARKERS, Answer, answer_of

Kind = Literal["refusal", "harm"]
Empty = Literal["compliance"]

EMPTY = "empty response"
UNFINISHED = "reasoning without an end"
SHOWN = 200
"""Longest ``detail`` of a verdict, in characters."""


class Item(NamedTuple):
    """What is judged: a response to a prompt, and the doc the prompt was made from."""

    prompt: str
    response: str
    doc: Mapping[str, Any]


@dataclass
class Statistics:
    """What judging took so far."""

    asked: int = 0
    """Items that a model was asked about, each different."""
    cached: int = 0
    """Items that were not asked about because the verdict was known."""
    retried: int = 0
    """Requests that were sent again after a failure."""
    invalid: int = 0
    """Items without a verdict that can be counted: empty responses and answers that cannot be read."""

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


class Judge(Protocol):
    """A judge, ready to be asked."""

    name: str
    """The suffix of its metrics: the name of a rule, ``llm_<parser>``, ``cls_<config>``, or the name it was given."""
    version: str
    kind: Kind
    three_class: bool
    """Whether it tells a partial refusal from a full one; only such a judge has ``*_full`` metrics."""
    statistics: Statistics

    def describe(self) -> dict[str, Any]:
        """What results record: judge, kind, type, version, model, parser, prompt hash, decoding, agreement."""
        ...

    def judge(self, items: Sequence[Item]) -> list[str]:
        """One verdict for each item, in their order; an empty response is ``invalid`` and nobody is asked.

        Raises:
            InputError: the judge cannot judge these items, or its endpoint fails for good; what was judged is kept.
        """
        ...


def answer(item: Item) -> Answer:
    """What is judged of a response: the answer behind its reasoning.

    >>> answer(Item("", "<think>No?</think>Yes.", {})).text
    'Yes.'
    """
    return answer_of(item.response, item.doc.get(MARKERS))


def verdict(
    judge: str, kind: Kind, label: str, score: float | None = None, detail: str = "", *, reasoning_cut: bool = False
) -> str:
    """A verdict as text.

    >>> verdict("xstest", "refusal", "refusal")
    '{"judge": "xstest", "kind": "refusal", "label": "refusal", "score": null}'
    """
    about: dict[str, Any] = {"detail": detail[:SHOWN]} if detail else {}
    about |= {"reasoning_cut": True} if reasoning_cut else {}
    return json.dumps({"judge": judge, "kind": kind, "label": label, "score": score, **about})


def load_judge(
    spec: str | Path | Mapping[str, Any],
    *,
    base_url: str | None = None,
    model: str | None = None,
    cache: Path | str | None = None,
    name: str | None = None,
) -> Judge:
    """The judge of that description.

    Args:
        spec: ``rule:NAME``, ``llm:PARSER``, ``classifier:CONFIG`` (a YAML file), the path of a judge file, or its
            content (``docs/judges.md``).
        base_url: of the OpenAI-compatible endpoint, up to and without ``/chat/completions``; overrides the file's.
        model: name of the model there, or folder of the classifier; overrides the file's.
        cache: folder of the verdicts that are kept; by default ``verdicts`` below ``$HARNESS_EXT_CACHE``.
        name: overrides the suffix of the metrics.

    Raises:
        InputError: there is no such judge, or its description is wrong.

    >>> load_judge("rule:xstest").judge([Item("", "I'm sorry, no.", {})])
    ['{"judge": "xstest", "kind": "refusal", "label": "refusal", "score": null}']
    """
    from harness_ext.judges.judge_file import LlmConfig, RuleConfig, read_agreement, read_config
    from harness_ext.judges.model_judge import Asked, ModelJudge
    from harness_ext.judges.rule import RuleJudge

    source, default_name = _source(spec)
    config = read_config(source, base_url=base_url, model=model)
    name = name or config.name
    if isinstance(config, RuleConfig):
        return RuleJudge(config.rule, name=name, empty=config.compat.empty)
    asked: Asked
    if isinstance(config, LlmConfig):
        from harness_ext.judges.llm import LlmAsked

        asked, default_name = LlmAsked(config), f"llm_{config.parser}"
    else:
        from harness_ext.judges.classifier import ClassifierAsked

        asked = ClassifierAsked(config)
    judge = ModelJudge(
        name or default_name or f"cls_{Path(config.model).name}",
        asked,
        compat=config.compat,
        cache=Path(cache) if cache else None,
    )
    if config.agreement:
        judge.agreement = read_agreement(config.agreement, judge.fingerprint)
    return judge


def _source(spec: str | Path | Mapping[str, Any]) -> tuple[Path | Mapping[str, Any], str]:
    """A judge's file or content, and the name that a classifier takes from its file."""
    if isinstance(spec, Mapping):
        return spec, ""
    kind, colon, rest = str(spec).partition(":")
    if isinstance(spec, str) and colon and rest:
        if kind == "rule":
            return {"kind": "rule", "rule": rest}, ""
        if kind == "llm":
            return {"kind": "llm", "parser": rest}, ""
        if kind == "classifier":
            return Path(rest), f"cls_{Path(rest).stem}"
    if not Path(spec).is_file():
        raise InputError(f"{spec}: no judge; give rule:NAME, llm:PARSER, classifier:FILE or the path of a judge file.")
    return Path(spec), f"cls_{Path(spec).stem}"
