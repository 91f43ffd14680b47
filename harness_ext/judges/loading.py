"""From the name or the file of a judge to the judge: ``rule:xstest``, ``llm:md_judge``, ``classifier:guard.yaml``.

A file is checked whole before anything is judged; what it may say is described in ``docs/judges.md``. A new kind of
judge is a module with a description and a function that makes the judge, and a line in :data:`KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from harness_ext.errors import InputError
from harness_ext.files import MOST_SETTINGS, FileError, is_file, parse_yaml, read_json, read_text
from harness_ext.judges import classifier, llm, rule
from harness_ext.judges.config import JudgeConfig
from harness_ext.judges.judge import Judge
from harness_ext.judges.model_judge import ModelJudge


class Kind(NamedTuple):
    """One kind of judge."""

    config: type[JudgeConfig]
    judge_of: Callable[[Any, str | None, str, Path | None], Judge]
    """Makes the judge of a description, a name (if one was given), the name its file suggests, and a cache."""
    named_by: str = ""
    """The field that ``kind:VALUE`` gives; empty: the value is a file."""


KINDS: Mapping[str, Kind] = {
    "rule": Kind(rule.RuleConfig, rule.judge_of, named_by="rule"),
    "llm": Kind(llm.LlmConfig, llm.judge_of, named_by="parser"),
    "classifier": Kind(classifier.ClassifierConfig, classifier.judge_of),
}

_OPTIONS = {"base_url": "--base-url", "model": "--model"}


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

    >>> from harness_ext.judges.judge import Item
    >>> load_judge("rule:xstest").judge([Item("", "I'm sorry, no.", {})])
    ['{"judge": "xstest", "kind": "refusal", "label": "refusal", "score": null}']
    """
    source = _source(spec)
    config = _read(source, {"base_url": base_url, "model": model})
    default = f"cls_{source.stem}" if isinstance(source, Path) else ""
    judge = KINDS[config.kind].judge_of(config, name or config.name, default, Path(cache) if cache else None)
    if config.agreement and isinstance(judge, ModelJudge):
        judge.agreement = read_agreement(config.agreement, judge.fingerprint)
    return judge


def _source(spec: str | Path | Mapping[str, Any]) -> Path | Mapping[str, Any]:
    """A judge's file or content."""
    if isinstance(spec, Mapping):
        return spec
    kind, _, rest = str(spec).partition(":")
    if isinstance(spec, str) and rest and kind in KINDS:
        return {"kind": kind, KINDS[kind].named_by: rest} if KINDS[kind].named_by else Path(rest)
    if not is_file(spec):
        raise InputError(f"{spec}: no judge; give rule:NAME, llm:PARSER, classifier:FILE or the path of a judge file.")
    return Path(spec)


def _read(source: Path | Mapping[str, Any], override: Mapping[str, Any]) -> JudgeConfig:
    """A judge's description; paths in a file are relative to it, those that override it are not."""
    where, content = (str(source), _loaded(source)) if isinstance(source, Path) else ("the judge", dict(source))
    given = {name: value for name, value in override.items() if value is not None}
    kind = KINDS.get(str(content.get("kind")))
    if kind is None:
        raise InputError(f"{where}: kind is {content.get('kind')!r}; give {' or '.join(map(repr, KINDS))}.")
    try:
        config = kind.config.model_validate(content | given)
    except ValidationError as error:
        raise InputError(f"{where}: {_all_of(error)}.{_way_out(error)}") from None
    beside = config.beside(source.parent) if isinstance(source, Path) else {}
    return config.model_copy(update={name: value for name, value in beside.items() if name not in given})


def _loaded(path: Path) -> dict[str, Any]:
    try:
        text = read_text(path, most=MOST_SETTINGS)
    except FileError as error:
        raise InputError(f"{path}: the judge's file cannot be read ({error}).") from error
    try:
        content = parse_yaml(text)
    except FileError as error:
        raise InputError(f"{path}: no YAML ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a description of a judge; see docs/judges.md.")
    return content


def _all_of(error: ValidationError) -> str:
    said = []
    for one in error.errors():
        place = ".".join(map(str, one["loc"]))
        message = "missing" if one["type"] == "missing" else one["msg"].removeprefix("Value error, ")
        said.append(f"{place}: {message}" if place else message)
    return "; ".join(said)


def _way_out(error: ValidationError) -> str:
    """Where what is missing is given: on the command line too, if that has an option for it."""
    missing = {str(one["loc"][-1]) for one in error.errors() if one["type"] == "missing"}
    options = [option for name, option in _OPTIONS.items() if name in missing]
    return f" Give {' and '.join(options)}, or a judge file that says it (docs/judges.md)." if options else ""


def read_agreement(path: Path, fingerprint: str) -> dict[str, Any]:
    """What is known of a judge's agreement with people, from the file ``judge-agreement --json`` wrote.

    Args:
        path: the file.
        fingerprint: of the judge; that in the file, if there is one, must be the same.

    Raises:
        InputError: the file cannot be read, is of another form, or is about another judge.
    """
    try:
        content = read_json(path)
        overall = content["overall"]
        found = {
            "n": int(overall["n"]),
            "accuracy": float(overall["accuracy"]),
            "kappa": None if overall["kappa"] is None else float(overall["kappa"]),
            "positive": str(content["positive"]),
            "measured_on": str(content.get("labels", path.name)),
        }
        measured = content.get("config", {}).get("fingerprint", fingerprint)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path}: no agreement that `harness-ext judge-agreement --json` wrote ({type(error).__name__})."
        ) from error
    if measured != fingerprint:
        raise InputError(
            f"{path}: the agreement of another judge; measure this one with `harness-ext judge-agreement`."
        )
    return found
