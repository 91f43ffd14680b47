"""Whether a chat model was asked as one: without its chat template, a model's refusals say little."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness_ext.files import FileError, is_file, read_json

_CHAT_NAME = re.compile(
    r"(?:^|[-_/. ])(?:chat|instruct(?:ion)?|it|rlhf|dpo|assistant|vicuna|alpaca|tulu|zephyr)(?:$|[-_/. \d])",
    re.IGNORECASE,
)
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
STORED = "stored answers: how the model was asked is not recorded"


def warning(content: Mapping[str, Any], folders: Iterable[str], names: Iterable[str]) -> str:
    """What a reader must know about how the model was asked; empty if there is nothing.

    Args:
        content: a results file.
        folders: where the model's files may be.
        names: of the model, and of the model it was made from.

    >>> warning({"chat_template_sha": None}, [], ["org/model-7b-chat"])
    'a chat model (by its name) asked without --apply_chat_template'
    >>> warning({"chat_template_sha": "4f1c"}, [], ["org/model-7b-chat"]), warning({}, [], ["gpt2"])
    ('', '')
    """
    backend = str(content.get("model_source") or "")
    if content.get("chat_template_sha") or "chat" in backend:
        return ""
    if backend == "replay":
        return STORED
    if any(_has_template(Path(folder)) for folder in folders):
        evidence = "it has a chat template"
    elif any(_CHAT_NAME.search(name) for name in names):
        evidence = "by its name"
    else:
        return ""
    return f"a chat model ({evidence}) asked without --apply_chat_template"


def _has_template(folder: Path) -> bool:
    """Whether the files of a local model hold a chat template."""
    if any(is_file(folder / name) for name in _TEMPLATE_FILES):
        return True
    try:
        settings = read_json(folder / "tokenizer_config.json")
    except FileError:
        return False
    return isinstance(settings, dict) and bool(settings.get("chat_template"))
