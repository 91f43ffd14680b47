"""Findings as text for people, as JSON for programs and as SARIF for code hosts and editors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness_ext.checks.findings import CHECKS, Finding
from harness_ext.checks.loading import Loaded
from harness_ext.checks.look import Report


def lines(report: Report) -> Iterator[str]:
    """What a person reads: for each finding the place and the mistake, why it matters, and the mend."""
    for one in report.findings:
        about = f" ({one.task})" if one.task else ""
        yield f"{shown(one.file)}:{one.line}: {one.check}: {one.what}{about}"
        yield f"    why:  {one.why}"
        yield f"    mend: {one.mend}"


def summary(report: Report) -> str:
    """One line on what was looked at."""
    counted = f"{report.files} files, {len(report.loaded)} tasks with their docs and scores"
    return f"{counted}, {len(report.left_out)} without; {len(report.findings)} findings."


def prompts(loaded: Loaded, count: int) -> Iterator[str]:
    """What the model reads of the first docs of a task, and the gold answer."""
    for number, requests in enumerate(loaded.requests[:count]):
        yield f"{loaded.file.name}, doc {number}, prompt:"
        yield str(requests[0].args[0])
        if loaded.task.OUTPUT_TYPE == "multiple_choice":
            yield f"continuations: {[one.args[1] for one in requests]!r}"
        yield f"gold answer: {loaded.targets[number]!r}"


def as_json(report: Report, count: int = 0) -> dict[str, Any]:
    """Everything about the report, for programs."""
    return {
        "findings": [vars(one) | {"file": shown(one.file)} for one in report.findings],
        "files": report.files,
        "loaded": [loaded.file.name for loaded in report.loaded],
        "left_out": report.left_out,
        "prompts": {loaded.file.name: "\n".join(prompts(loaded, count)) for loaded in report.loaded} if count else {},
    }


def as_sarif(findings: list[Finding], version: str) -> dict[str, Any]:
    """The findings in the Static Analysis Results Interchange Format 2.1.0.

    Args:
        findings: in the order of their places.
        version: of this package.
    """
    rules = [
        {
            "id": check.name,
            "shortDescription": {"text": check.looks_at},
            "fullDescription": {"text": check.why},
            "help": {"text": check.mend},
            "defaultConfiguration": {"level": "error"},
        }
        for check in CHECKS.values()
    ]
    order = {rule["id"]: number for number, rule in enumerate(rules)}
    results = [
        {
            "ruleId": one.check,
            "ruleIndex": order[one.check],
            "level": "error",
            "message": {"text": f"{one.what}. Why: {one.why} Mend: {one.mend}"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(one.file)},
                        "region": {"startLine": one.line},
                    }
                }
            ],
        }
        for one in findings
    ]
    driver = {"name": "harness-ext", "version": version, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}],
    }


def shown(path: Path) -> str:
    """A path as people and code hosts know it: from here, where it lies below."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def _uri(path: Path) -> str:
    from urllib.parse import quote

    here = Path.cwd()
    return quote(path.relative_to(here).as_posix()) if path.is_relative_to(here) else path.as_uri()
