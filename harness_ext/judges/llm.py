"""A model behind an OpenAI-compatible server as a judge: temperature 0, several questions at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from typing import Any

from harness_ext.errors import InputError
from harness_ext.judges.cache import Found
from harness_ext.judges.endpoint import Endpoint
from harness_ext.judges.judge import Item, Kind, Statistics
from harness_ext.judges.judge_file import LlmConfig
from harness_ext.judges.judge_prompts import MAX_TOKENS, OWN_PROMPTS, Message, read_prompt
from harness_ext.judges.model_judge import read_answer
from harness_ext.scoring.verdict_parsers import PARSERS

VERSION = "2"
"""Goes up when the same answers of a model are understood in another way."""
FILTERED = "the endpoint's content filter"
API_KEY = "HARNESS_EXT_JUDGE_API_KEY"
"""Variable of the key where the judge file names none."""


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

    def rendered(self, item: Item) -> list[Message]:
        """The messages, whole."""
        return self._prompt.render(item)

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


def _cancel(futures: dict[Future[Found], int]) -> None:
    for future in futures:
        future.cancel()
