"""Who gave a judged number, in which version, and how well that judge agrees with people, as far as results say.

``harness-ext rejudge`` records it in the task's filters, our tasks in ``recorded`` of their metadata. Of a string rule
in other tasks lm-eval records the name only; the rest is that of the rule installed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from harness_ext.scoring.refusal_rules import AGREEMENT, RULES, version
from harness_ext.scoring.safety import FULL_REFUSAL_METRICS, HARM_METRICS, REFUSAL_METRICS

_RATED_METRICS = ("judge_score", "judge_score_t1", "judge_score_t2", "judge_invalid", "judge_missing")
JUDGED_METRICS = frozenset({*REFUSAL_METRICS, *FULL_REFUSAL_METRICS, *HARM_METRICS, *_RATED_METRICS})

UNMEASURED = "unmeasured"

_HASH = 12
_FIGURES = re.compile(r"accuracy (\S+, κ \S+)")
_OUT_OF_FOLD = ", out of fold"


_SCALES = {"01": "0 to 1", "05": "0 to 5"}  # of StrongREJECT's rubric
_SCALES_OF_PARSERS = {"md_judge": "1 to 5", "md_judge_compat_irr": "1 to 5"}


class JudgeRecord(NamedTuple):
    """Who judged. Empty texts: nobody did, or it is not recorded."""

    judge: str = ""
    version: str = ""
    agreement: str = ""
    scale: str = ""
    """Of the scores of a judge that gives some."""


def judge_of(config: Mapping[str, Any], filter_: str) -> JudgeRecord:
    """The judge behind the numbers of one filter of a task.

    Args:
        config: the task's configuration in a results file.
        filter_: the filter's name.

    >>> judge_of({}, "xstest").agreement[:50]
    'accuracy 0.914, κ 0.819 (any refusal), n 900, meas'
    >>> judge_of({"metadata": {"language": "zh"}}, "default_zh").agreement
    'unmeasured'
    """
    metadata = config.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    language = str(metadata.get("language") or "")
    for description in descriptions(config, metadata, filter_):
        return _described(description, filter_, language)
    if filter_ in RULES:
        known = AGREEMENT.get(filter_)
        about = {"language": RULES[filter_].language, "agreement": known._asdict() if known else UNMEASURED}
        return _described({"judge": filter_, "version": version(filter_), **about}, filter_, language)
    named = metadata.get("judge")
    return JudgeRecord(str(named) if isinstance(named, str) and named else filter_, "", UNMEASURED)


def descriptions(config: Mapping[str, Any], metadata: Mapping[str, Any], filter_: str) -> Iterator[Mapping[str, Any]]:
    """What was recorded of the judge: with its filter, or by the task."""
    for entry in config.get("filter_list") or ():
        if isinstance(entry, Mapping) and entry.get("name") == filter_:
            steps = entry.get("filter")
            steps = steps if isinstance(steps, list) else ()
            yield from (step["judge"] for step in steps if isinstance(step, Mapping) and _is_told(step.get("judge")))
    recorded = metadata.get("recorded")
    judges = recorded.get("judges") if isinstance(recorded, Mapping) else None
    if isinstance(judges, Mapping) and _is_told(judges.get(filter_)):
        yield judges[filter_]


def _is_told(value: object) -> bool:
    return isinstance(value, Mapping) and "judge" in value


def _described(about: Mapping[str, Any], filter_: str, language: str) -> JudgeRecord:
    own = str(about["judge"])
    details = [str(about[key]) for key in ("rule", "parser", "model") if about.get(key) and str(about[key]) != own]
    versions = [str(about.get("fingerprint") or about.get("version") or "")[:_HASH]]
    compat = about.get("compat")
    versions += [f"{key} {value}" for key, value in compat.items()] if isinstance(compat, Mapping) else []
    forced = about.get("language") and language and about["language"] != language
    agreement = f"{UNMEASURED} ({about['language']} rule on {language})" if forced else words(about.get("agreement"))
    name = own if own == filter_ else f"{filter_}: {own}"
    return JudgeRecord(
        f"{name} ({', '.join(details)})" if details else name,
        ", ".join(filter(None, versions)),
        agreement,
        _SCALES.get(str(about.get("scale")), str(about.get("scale") or ""))
        or _SCALES_OF_PARSERS.get(str(about.get("parser")), ""),
    )


def words(agreement: object) -> str:
    """A measured agreement in words, or ``unmeasured``.

    Args:
        agreement: ``n``, ``accuracy``, ``kappa``, ``positive``, ``measured_on`` and ``out_of_fold``, as results record
            them; anything without accuracy says that nobody has measured. Earlier results may say ``tuned_on_it``: a
            figure on answers that the judge was tuned on is not repeated.

    >>> words({"n": 40, "accuracy": 0.9, "kappa": 0.8, "positive": "harmful", "measured_on": "our labels"})
    'accuracy 0.900, κ 0.800 (harmful), n 40, measured on our labels'
    >>> words("unmeasured")
    'unmeasured'
    >>> words({"n": 40, "accuracy": 1.0, "kappa": None})  # people and judge say the same of every row
    'accuracy 1.000, κ undefined, n 40'
    >>> words({"n": 40, "accuracy": 1.0, "kappa": 1.0, "measured_on": "completions of a and b", "tuned_on_it": True})
    'unmeasured, except on what it was tuned on (completions of a and b)'
    """
    told = agreement if isinstance(agreement, Mapping) else {}
    accuracy, kappa, n = (told.get(key) for key in ("accuracy", "kappa", "n"))
    if not isinstance(accuracy, int | float):
        return UNMEASURED
    data = str(told.get("measured_on") or "")
    if told.get("tuned_on_it"):
        return f"{UNMEASURED}, except on what it was tuned on" + (f" ({data.partition(',')[0]})" if data else "")
    beyond_chance = f"{kappa:.3f}" if isinstance(kappa, int | float) else "undefined"
    positive = str(told.get("positive") or "").replace("_", " ")
    parts = [f"accuracy {accuracy:.3f}, κ {beyond_chance}" + (f" ({positive})" if positive else "")]
    parts += ["out of fold"] if told.get("out_of_fold") else []
    parts += [f"n {n:.0f}"] if isinstance(n, int | float) else []
    return ", ".join(parts) + (f", measured on {data}" if data else "")


def in_short(agreement: str) -> str:
    """An agreement without the data that it was measured on, which a note names.

    >>> in_short(judge_of({}, "xstest").agreement), in_short(judge_of({}, "default_en").agreement)
    ('0.914, κ 0.819', '0.941, κ 0.870, out of fold')
    >>> in_short("unmeasured")
    'unmeasured'
    """
    figures = _FIGURES.match(agreement)
    if not figures:
        return agreement
    return figures[1] + (_OUT_OF_FOLD if _OUT_OF_FOLD in agreement else "")
