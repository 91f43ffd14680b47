"""Scores of single tokens, from which memorisation and attacks on membership are computed; lm-eval keeps sums only.

A line a continuation: ``task``, ``doc_id``, ``index`` (which of a doc's continuations), ``context``, ``continuation``,
``tokens`` (ids), and for each of these ``log_probs``, ``hits`` (whether it is the most likely one), ``mean`` and
``variance`` of the log-probability of the next token.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness_ext.errors import InputError
from harness_ext.models.prefix.score import TokenScore


class TokenScoresFile:
    """The file of one run in a folder; each process writes its own.

    Raises:
        InputError: the folder cannot be written, or holds the scores of another run.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.path = folder / f"token_scores_{rank}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("x", encoding="utf-8")
        except FileExistsError as error:
            raise InputError(
                f"token_scores: {self.path if folder.is_dir() else folder} is there already; give an empty folder."
            ) from error
        except OSError as error:
            raise InputError(f"token_scores: {folder} cannot be written ({error.strerror or error}).") from error

    def write(self, request: Any, tokens: Sequence[int], scores: Sequence[TokenScore]) -> None:
        """Keep one continuation.

        Raises:
            InputError: the folder is full.
        """
        context, continuation = request.args
        columns = zip(*scores, strict=True)
        line = {
            "task": getattr(request, "task_name", None),
            "doc_id": getattr(request, "doc_id", None),
            "index": getattr(request, "idx", None),
            "context": context,
            "continuation": continuation,
            "tokens": list(tokens),
            **dict(zip(("log_probs", "hits", "mean", "variance"), map(list, columns), strict=True)),
        }
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"token_scores: {self.path} cannot be written ({error.strerror}). Free some space."
            ) from error
