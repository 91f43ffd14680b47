"""Whether a backend can be asked what a run asks, said before it starts; and what a server says that refuses."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.task import Task
from requests import RequestException

from harness_ext.errors import HarnessExtError, InputError
from harness_ext.files import FileError, parse_json
from harness_ext.models.runs.answers import leaves

_CHAT = {"LocalChatCompletion", "AnthropicChat"}
"""lm-eval's backends that send messages and get text, with all that are made from them."""
_MOST = 500
"""Characters of what a server says."""


def evaluate(original: Callable[..., Any], lm: Any, task_dict: Any, **options: Any) -> Any:
    """lm-eval's ``evaluate``, which refuses what the backend cannot do and says in one sentence what a server said.

    Raises:
        InputError: the tasks need what the backend has not, or its server refuses, fails or hangs.
    """
    backend = getattr(lm, "lm", lm)  # lm-eval's cache wraps the backend
    tasks = list(leaves(task_dict.get("tasks", task_dict)))
    _require_template(backend, bool(options.get("apply_chat_template")))
    if _chats(backend):
        _require_texts(backend, tasks)
    _require_eyes(backend, tasks)
    try:
        return original(lm=lm, task_dict=task_dict, **options)
    except HarnessExtError:
        raise
    except connection_errors() as error:
        kept = "" if lm is not backend else ", with --use_cache FILE to keep what is answered"
        raise InputError(
            f"{server(backend)} did not answer: {reason(error)}. See to the server and to --model_args, then run the "
            f"same command again{kept}."
        ) from error
    except (KeyError, TypeError, IndexError) as error:
        if frame_of(error, "parse_logprobs") is not None:
            raise InputError(
                f"{server(backend)} returns no log-probabilities of the prompt (echo), which tasks by likelihood need. "
                "Use a server that does, such as vLLM's completions, the backend hf, or the tasks that generate."
            ) from error
        raise


def _require_template(backend: Any, wanted: bool) -> None:
    """A chat server needs messages, and a chat template a tokenizer that has one."""
    if not wanted:
        if _chats(backend):
            raise InputError(f"{server(backend)} is a chat server: add --apply_chat_template.")
        return
    tokenizer = vars(backend).get("tokenizer")  # set by the backend, not loaded on demand
    in_messages = getattr(backend, "tokenized_requests", True) is False
    if not in_messages and getattr(tokenizer, "chat_template", "unknown") in (None, "", {}):
        name = getattr(tokenizer, "name_or_path", None) or type(backend).__name__
        raise InputError(
            f"{name}: the tokenizer has no chat template. Leave --apply_chat_template out, as one does for a base "
            "model, or put the template of the instruct model into its folder as chat_template.jinja."
        )


def _require_texts(backend: Any, tasks: Sequence[Task]) -> None:
    """A chat server gives no log-likelihoods of a prompt."""
    names = [str(task.task_name) for task in tasks if task.OUTPUT_TYPE != "generate_until"]
    if names:
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        others = "the other tasks of this run" if len(names) < len(tasks) else "tasks that generate"
        raise InputError(
            f"{server(backend)} is a chat server, which gives no log-likelihoods, and {', '.join(names[:4])}{more} "
            f"need them. Run {others} there (`harness-ext tasks` says which answer with text), or these with hf or a "
            "completion server that returns log-probabilities of the prompt, such as vLLM's."
        )


def _require_eyes(backend: Any, tasks: Sequence[Task]) -> None:
    """A backend that reads pictures, and all pictures of each doc: lm-eval would drop what is too much in silence."""
    seeing = [task for task in tasks if getattr(task, "MULTIMODAL", False) and task.config.doc_to_image is not None]
    if not seeing:
        return
    names = ", ".join(str(task.task_name) for task in seeing[:3])
    if not getattr(backend, "MULTIMODAL", False):
        raise InputError(
            f"{type(backend).__name__} reads no pictures, which {names} need: use hf-multimodal, vllm-vlm, replay, or "
            "local-chat-completions with --apply_chat_template."
        )
    is_server = any(kind.__name__ == "TemplateAPI" for kind in type(backend).__mro__)
    if is_server and not _chats(backend):
        raise InputError(
            f"{server(backend)} is a completion server, which gets no pictures, and {names} need them: use "
            "local-chat-completions with --apply_chat_template."
        )
    most = getattr(backend, "max_images", None)
    if not isinstance(most, int):
        return
    for task in seeing:
        shown = max((len(task.doc_to_image(doc) or ()) for doc in task.eval_docs), default=0)
        if shown > most:
            raise InputError(
                f"{task.task_name} shows {shown} pictures at a time and {type(backend).__name__} would send {most} of "
                f"them: add max_images={shown} to --model_args."
            )


def _chats(backend: Any) -> bool:
    return any(
        kind.__name__ in _CHAT and kind.__module__.startswith("lm_eval.models.") for kind in type(backend).__mro__
    )


def server(backend: Any) -> str:
    """Where a backend's server is; the backend's name where it has none."""
    return str(getattr(backend, "base_url", None) or type(backend).__name__)


def connection_errors() -> tuple[type[BaseException], ...]:
    """How it shows that a server fails, hangs or sends something else than JSON."""
    concurrent = sys.modules.get("aiohttp")
    return (
        RequestException,
        ConnectionError,
        TimeoutError,
        asyncio.TimeoutError,
        json.JSONDecodeError,
        *([concurrent.ClientError] if concurrent else []),
    )


def reason(error: BaseException) -> str:
    """What went wrong, in the server's own words where it gave any.

    >>> reason(TimeoutError("read timed out"))
    'TimeoutError: read timed out'
    """
    response = getattr(error, "response", None)  # of requests
    if response is not None:
        return f"status {response.status_code}, {said(response.text) or response.reason}"
    status = getattr(error, "status", None)  # of aiohttp
    if status:
        return f"status {status}, {said(str(getattr(error, 'message', '')))}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def said(body: str) -> str:
    """The message in the body of a refusal, on one line and of a bounded length.

    >>> said('{"error": {"message": "no such model", "type": "invalid_request_error"}}')
    'no such model'
    >>> said("<html>Bad gateway</html>")
    '<html>Bad gateway</html>'
    """
    try:
        value = parse_json(body)
    except FileError:
        value = body
    for key in ("error", "message", "detail"):
        value = value[key] if isinstance(value, dict) and key in value else value
    text = " ".join((value if isinstance(value, str) else body).split())
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"


async def raise_with_reason(response: Any) -> None:
    """Raise aiohttp's error of a refused request, with what the server said as its message."""
    if not response.ok:
        from aiohttp import ClientResponseError

        raise ClientResponseError(
            response.request_info,
            response.history,
            status=response.status,
            message=await response.text(errors="replace") or response.reason,
            headers=response.headers,
        )


def frame_of(error: BaseException, function: str) -> dict[str, Any] | None:
    """The variables of the innermost call of a function that an error came through."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == function:
            found = trace.tb_frame.f_locals
        trace = trace.tb_next
    return found
