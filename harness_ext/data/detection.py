"""The metadata key ``lid``: which detector of languages scores a task, checked before anything is asked."""

from __future__ import annotations

from typing import Any

from harness_ext.data.choices import check_arguments
from harness_ext.errors import InputError
from harness_ext.scoring.lid import DETECTORS, DetectorMissingError, detector, warn_of


def check_detector(where: str, lid: str, language: str, recorded: dict[str, Any] | None = None) -> None:
    """Refuse a detector that is not there or does not know the language; say in the results which one it was.

    Args:
        where: the benchmark, for messages.
        lid: name of the detector.
        language: the one that answers should be in.
        recorded: what the results file shall say of the task, filled here.

    Raises:
        InputError: there is no such detector, it is not installed, or the language is none of its candidates.

    >>> about = {}
    >>> check_detector("langfid", "py3langid", "sw", about)
    >>> about["lid"].partition(" ")[0]
    'py3langid'
    >>> check_detector("langfid", "guess", "sw")
    Traceback (most recent call last):
    harness_ext.errors.InputError: langfid: lid is 'guess'; give 'py3langid' or 'lingua' or 'fasttext-ftz'.
    """
    check_arguments(where, lid=(lid, tuple(DETECTORS)))
    try:
        own = detector(lid)
    except DetectorMissingError as error:
        raise InputError(f"{where}: {error}") from error
    if own.languages is not None and language not in own.languages:
        known = ", ".join(sorted(own.languages))
        raise InputError(f"{where}: {lid} cannot find {language}, only {known}; take another detector.")
    warn_of(lid, language)
    if recorded is not None:
        recorded["lid"] = own.version
