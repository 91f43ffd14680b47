"""A model behind an OpenAI-compatible server as a judge: temperature 0, several questions at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from harness_ext.errors import InputError
from harness_ext.judges.cache import Found
from harness_ext.judges.config import ModelConfig
from harness_ext.judges.endpoint import Endpoint
from harness_ext.judges.judge import Item, Kind, Statistics
from harness_ext.judges.judge_prompts import MAX_TOKENS, OWN_PROMPTS, Message, read_prompt
from harness_ext.judges.model_judge import ModelJudge, read_answer
from harness_ext.scoring.verdict_parsers import PARSERS

VERSION = "2"
"""Goes up when the same answers of a model are understood in another way."""
FILTERED = "the endpoint's content filter"
API_KEY = "HARNESS_EXT_JUDGE_API_KEY"
"""Variable of the key where the judge file names none."""

_ASKED = {"messages", "model", "n", "prompt", "stream", "temperature"}


class LlmConfig(ModelConfig):
    """A model behind an OpenAI-compatible server."""

    kind: Literal["llm"]
    parser: str
    base_url: str
    """Up to and without ``/chat/completions``."""
    api_key_env: str | None = None
    """Variable that holds the key; if it is not given, ``HARNESS_EXT_JUDGE_API_KEY`` where that is set."""
    timeout: float = Field(60.0, gt=0)
    """Seconds for one try."""
    retries: int = Field(6, ge=0, le=100)
    concurrency: int = Field(8, ge=1, le=256)
    request: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request, such as ``seed``; null leaves ``max_tokens`` out."""

    @model_validator(mode="after")
    def _request_is_ours(self) -> LlmConfig:
        if taken := sorted(_ASKED & self.request.keys()):
            raise ValueError(f"request may not set {', '.join(taken)}")
        return self


class LlmAsked:
    """The model that a judge file of the kind ``llm`` describes.

    Raises:
        InputError: the variable of the key is not set, or the prompt or the address is none.
    """

    def __init__(self, config: LlmConfig) -> None:
        parser = PARSERS[config.parser]
        self.kind: Kind = parser.kind
        self.three_class = parser.three_class
        self.version = VERSION + (f".{config.version}" if config.version else "")
        self._config = config
        self._prompt = read_prompt(config.prompt) if config.prompt else OWN_PROMPTS[config.parser]
        if config.format == "text":
            self._prompt.require_one_message()
        if config.api_key_env and not os.environ.get(config.api_key_env):
            raise InputError(f"the judge's key: the variable {config.api_key_env} (api_key_env) is not set.")
        self._endpoint()

    def about(self) -> dict[str, Any]:
        """Model, parser, hash of the prompt, decoding."""
        config = self._config
        return {
            "type": "llm",
            "model": config.model,
            "parser": config.parser,
            "prompt": {"name": self._prompt.name, "sha256": self._prompt.sha256},
            "format": config.format,
            "decoding": {"temperature": 0, "max_tokens": self._max_tokens, **config.request},
            **({"scale": config.scale} if config.parser == "strongreject_rubric" else {}),
            **({"reasoning_markers": list(config.reasoning_markers)} if config.reasoning_markers else {}),
        }

    def rendered(self, item: Item, *, fenced: bool = True) -> list[Message]:
        """The messages, whole."""
        return self._prompt.render(item, fenced=fenced)

    def found(self, shown: Sequence[list[Message]], statistics: Statistics) -> Iterator[list[tuple[int, Found]]]:
        """Ask about each, ``concurrency`` at a time.

        Raises:
            InputError: the server refuses or fails for good; what it answered before and meanwhile was yielded.
        """
        endpoint = self._endpoint()
        failure: InputError | None = None
        pool = ThreadPoolExecutor(self._config.concurrency, thread_name_prefix="judge")
        try:
            futures = {pool.submit(self._ask, endpoint, messages): number for number, messages in enumerate(shown)}
            for future in as_completed(futures):
                try:
                    yield [(futures[future], future.result())]
                except CancelledError:
                    continue
                except InputError as error:
                    failure = failure or error
                    endpoint.stop()
                    _cancel(futures)
        finally:
            endpoint.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            statistics.retried += endpoint.retried
        if failure:
            raise failure

    def _ask(self, endpoint: Endpoint, messages: list[Message]) -> Found:
        config = self._config
        chat = config.format == "chat"
        asked = {"messages": messages} if chat else {"prompt": messages[0]["content"]}
        body = {"model": config.model, **asked, "temperature": 0, "max_tokens": self._max_tokens, **config.request}
        body = {name: value for name, value in body.items() if value is not None}
        answer = endpoint.written("/chat/completions" if chat else "/completions", body)
        if answer is None:
            return Found("invalid", detail=FILTERED)
        return read_answer(config.parser, answer, config.scale, config.reasoning_markers)

    @property
    def _max_tokens(self) -> int:
        return self._config.max_tokens or MAX_TOKENS[self._config.parser]

    def _endpoint(self) -> Endpoint:
        config = self._config
        return Endpoint(
            config.base_url,
            key=os.environ.get(config.api_key_env or API_KEY) or None,
            timeout=config.timeout,
            retries=config.retries,
        )


def judge_of(config: LlmConfig, name: str | None, _default: str, cache: Path | None) -> ModelJudge:
    """The judge of that description."""
    return ModelJudge(name or f"llm_{config.parser}", LlmAsked(config), compat=config.compat, cache=cache)


def _cancel(futures: dict[Future[Found], int]) -> None:
    for future in futures:
        future.cancel()
