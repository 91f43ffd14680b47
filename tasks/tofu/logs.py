"""Evaluations that other people's code wrote: TOFU's and ULD's logs, and open-unlearning's folders.

Nothing that they computed is taken over but losses and recalls: open-unlearning shifts indices where one is null, and
leaves out forget quality without retain logs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness_ext.errors import DataError
from harness_ext.files import read_json
from harness_ext.tasks.tofu.evaluations import Asked, Evaluation

_SETS = {
    "eval_log_forget.json": "forget",
    "eval_log.json": "retain",
    "eval_real_author_wo_options.json": "ra",
    "eval_real_world_wo_options.json": "wf",
}
_AGGREGATED = "eval_log_aggregated.json"
_OPEN_UNLEARNING = "TOFU_EVAL.json"
_AROUND = re.compile(r"^\s*(?:\[INST\]\s*)?(?:Question:\s*)?|(?:\s*\[/INST\]|\s*Answer:)?\s*$")


def find(path: Path) -> Path | None:
    """The log that a path is, or that its folder holds; None where it is something else.

    >>> find(Path("/no/such/place")) is None
    True
    """
    if path.is_file():
        return path if path.suffix == ".json" and not path.name.startswith("results_") else None
    names = (_OPEN_UNLEARNING, _AGGREGATED)
    return next((path / name for name in names if (path / name).is_file()), None)


def read(path: Path) -> Evaluation:
    """The evaluation in a log of TOFU's or ULD's code, or in open-unlearning's ``TOFU_EVAL.json``.

    Raises:
        DataError: the file is broken, or neither of these.
    """
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("eval_log_forget.json"), dict):
        build = _of_log
    elif isinstance(content, dict) and "forget_Q_A_PARA_Prob" in content:
        build = _of_open_unlearning
    else:
        raise DataError(f"{path}: neither a log of TOFU or ULD nor open-unlearning's {_OPEN_UNLEARNING}.")
    try:
        return build(path, content)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not built as expected ({type(error).__name__}: {error}).") from error


def question_in(prompt: str) -> str:
    r"""A question without the template around it.

    >>> question_in("Question: Who?\n"), question_in("[INST] Who? [/INST]"), question_in("Question: Who?\nAnswer:")
    ('Who?', 'Who?', 'Who?')
    """
    return _AROUND.sub("", prompt).strip()


def _of_log(path: Path, content: Mapping[str, Any]) -> Evaluation:
    sets = {name: list(_asked(content[file])) for file, name in _SETS.items() if file in content}
    return Evaluation(str(path), sets)


def _asked(columns: Mapping[str, Any]) -> Iterator[Asked]:
    """The rows of one set; columns are mappings from row numbers, in ULD's older logs lists."""
    names = ("generated_text", "avg_gt_loss", "avg_paraphrased_loss", "average_perturb_loss", "rougeL_recall")
    by_row = [dict(enumerate(columns[n])) if isinstance(columns[n], list) else columns[n] for n in names]
    for row, (prompt, *_) in by_row[0].items():
        answer, base, perturbed, recall = (column[row] for column in by_row[1:])
        yield Asked(
            question_in(prompt), prompt, float(answer), float(base), tuple(map(float, perturbed)), float(recall)
        )


def _of_open_unlearning(path: Path, content: Mapping[str, Any]) -> Evaluation:
    sets = {}
    for subset in ("forget", "retain", "ra", "wf"):
        right = _values(content, f"{subset}_Q_A_PARA_Prob") or _values(content, f"{subset}_Q_A_Prob")
        wrong, own = _values(content, f"{subset}_Q_A_PERT_Prob"), _values(content, f"{subset}_Q_A_Prob")
        said = _values(content, f"{subset}_Q_A_ROUGE")
        if right and wrong:
            sets[subset] = [
                Asked(
                    question_in(said[row]["input"]) if row in said else f"{subset} row {row}",
                    said[row]["input"] if row in said else "",
                    float(own[row]["avg_loss"]) if row in own else math.nan,
                    float(right[row]["avg_loss"]),
                    tuple(map(float, wrong[row]["avg_loss"])),
                    float(said[row]["rougeL_recall"]) if row in said else math.nan,
                )
                for row in sorted(right.keys() & wrong.keys(), key=int)
            ]
    return Evaluation(str(path), sets)


def _values(content: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Values by row; rows that are null, as open-unlearning writes what it could not compute, are no rows."""
    found = content.get(metric, {}).get("value_by_index") or {}
    return {row: value for row, value in found.items() if value and value.get("avg_loss", 0) is not None}
