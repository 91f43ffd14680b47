"""The one error type that reaches a user: a sentence that names the thing, the place and the way out."""


class HarnessExtError(Exception):
    """Shown as one line without a traceback; ``exit_code`` is the process's exit code.

    Exit codes: 1 the command ran and the answer is no (a check failed), 2 the input is wrong, 3 data is missing or
    broken.
    """

    exit_code = 1


class InputError(HarnessExtError):
    """Something the user gave is wrong: an option, a file's content, a name."""

    exit_code = 2


class DataError(HarnessExtError):
    """Data is missing, broken or does not match its card."""

    exit_code = 3
