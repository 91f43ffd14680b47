"""Questions to an OpenAI-compatible server: asked again when the transport fails, never when the answer is odd.

Nothing that was sent or received is ever part of an error or of the log: a server may repeat the question in its own
error message.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
import tenacity
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from harness_ext.errors import InputError
from harness_ext.files import parse_json

FIRST_WAIT = 0.5
"""Seconds before the second try; doubled before each further one, with jitter."""
LONGEST_WAIT = 60.0
LONGEST_RETRY_AFTER = 600.0
"""A server that wants a longer pause is not waited for."""
_READ_AT_ONCE = 1 << 16
_LONGEST_BODY = 8_000_000
_TRY_AGAIN = {408, 425, 429}


class _TransientError(Exception):
    """A failure after which the same request may succeed."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class TooLongError(InputError):
    """The question is longer than the model reads; others may not be."""


class _Key(AuthBase):
    """Sets the header itself, so that a .netrc file cannot put other credentials in."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _Connections(HTTPAdapter):
    """Knows the connections it makes, so that a request can be ended from outside, whatever it is waiting for.

    The time-out of a socket begins anew with every byte: a server that sends its headers byte by byte would be waited
    for without end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: list[Any] = []

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        """A pool whose connections are known."""
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        make = type(pool).ConnectionCls

        def made(*own: Any, **more: Any) -> Any:
            self._made.append(make(*own, **more))
            return self._made[-1]

        pool.ConnectionCls = made
        return pool

    def end(self) -> None:
        """End the request under way, if there is one."""
        for connection in self._made:
            with suppress(OSError):  # no longer connected
                if connection.sock is not None:
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)  # also where TLS stands above it


class Endpoint:
    """One server.

    Args:
        base_url: up to and without ``/chat/completions``.
        key: sent as bearer token; ``None`` sends none.
        timeout: seconds for one try, from the request to the end of the answer.
        retries: further tries after the first.

    Raises:
        InputError: the address is no http address, or holds credentials.
    """

    def __init__(self, base_url: str, *, key: str | None, timeout: float, retries: int) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("the judge's base_url must be an http address, such as http://127.0.0.1:8000/v1.")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise InputError("the judge's base_url holds more than an address; name a variable in api_key_env instead.")
        self._base = base_url.rstrip("/")
        self.host = parts.netloc
        self._auth = _Key(key)
        self._timeout = timeout
        self._retries = retries
        self._stopped = threading.Event()
        self._own = threading.local()
        self._counting = threading.Lock()
        self.retried = 0

    def stop(self) -> None:
        """Let the requests under way finish, wait for none again, and begin no other."""
        self._stopped.set()

    def written(self, path: str, body: Mapping[str, Any]) -> str | None:
        """What the model wrote, perhaps nothing; ``None`` if a content filter kept the question or the answer back.

        Safe to call from several threads.

        Raises:
            InputError: the server refuses, or still fails after all tries.
            TooLongError: the question alone is too long; other requests go on.
            CancelledError: another request failed for good, or :meth:`stop` was called, before an answer came.
        """
        if self._stopped.is_set():
            raise CancelledError
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TransientError),
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(self._retries + 1), tenacity.stop_when_event_set(self._stopped)
            ),
            wait=self._wait,
            sleep=tenacity.sleep_using_event(self._stopped),
            before_sleep=self._count,
            reraise=True,
        )
        try:
            return tries(self._once, f"{self._base}{path}", body)
        except TooLongError:
            raise
        except InputError:
            self.stop()
            raise
        except _TransientError as error:
            if self._stopped.is_set():
                raise CancelledError from None
            self.stop()
            raise InputError(
                f"the judge at {self.host} failed {self._retries + 1} times, the last time with {error}; the verdicts "
                "so far are kept: run again when it answers."
            ) from None

    def _count(self, _: tenacity.RetryCallState) -> None:
        with self._counting:
            self.retried += 1

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, _TransientError) else 0.0
        growing = tenacity.wait_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT)
        return max(asked, growing(state)) + tenacity.wait_random(0, FIRST_WAIT)(state)

    def _once(self, url: str, body: Mapping[str, Any]) -> str | None:
        if not hasattr(self._own, "session"):
            self._own.session, self._own.connections = requests.Session(), _Connections()
            for scheme in ("http://", "https://"):
                self._own.session.mount(scheme, self._own.connections)
        deadline = time.monotonic() + self._timeout
        watch = threading.Timer(self._timeout, self._own.connections.end)
        watch.daemon = True
        watch.start()
        try:
            with self._own.session.post(
                url, json=body, auth=self._auth, timeout=self._timeout, allow_redirects=False, stream=True
            ) as answer:
                status, content = answer.status_code, bytearray()
                if time.monotonic() > deadline:
                    raise _TransientError("a time-out")
                if status in _TRY_AGAIN or status >= 500:
                    raise _TransientError(_named(status), self._retry_after(answer.headers.get("Retry-After")))
                if status not in (200, 400):
                    raise self._refused(status)
                # What has arrived, however little: a server that sends a byte now and then must not hold a try up.
                while part := answer.raw.read1(_READ_AT_ONCE, decode_content=True):
                    content += part
                    if time.monotonic() > deadline or len(content) > _LONGEST_BODY:
                        raise _TransientError("an answer without end")
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if time.monotonic() > deadline or isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
                raise _TransientError("a time-out") from None
            if isinstance(error, (requests.exceptions.SSLError, requests.exceptions.InvalidURL)):
                raise InputError(f"the judge at {self.host} cannot be reached ({type(error).__name__}).") from None
            nobody = isinstance(error, requests.ConnectionError) and "NewConnectionError" in repr(error)
            raise _TransientError("no server at that address" if nobody else "a broken connection") from None
        finally:
            watch.cancel()
        try:
            parsed = parse_json(content.decode("utf-8-sig"), mend=True)
        except ValueError:
            parsed = None
        if status == 400:
            if _filtered(parsed):
                return None
            if _too_long(parsed):
                raise TooLongError(f"the judge at {self.host} refuses a question that is longer than it reads.")
            raise self._refused(status)
        return _written(parsed)

    def _refused(self, status: int) -> InputError:
        return InputError(
            f"the judge at {self.host} refuses with {_named(status)}; check base_url, model, api_key_env and "
            "max_tokens, and run again: the verdicts so far are kept."
        )

    def _retry_after(self, value: str | None) -> float:
        seconds = _seconds(value)
        if seconds > LONGEST_RETRY_AFTER:
            raise InputError(
                f"the judge at {self.host} wants a pause of {seconds:.0f} seconds; the verdicts so far are kept: run "
                "again later."
            )
        return seconds


def _filtered(parsed: Any) -> bool:
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return isinstance(error, dict) and "content_filter" in (error.get("code"), error.get("type"))


def _too_long(parsed: Any) -> bool:
    """Whether an error is about the length of the context, as OpenAI and vLLM word it."""
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    told = (error.get("code"), str(error.get("message")).lower()) if isinstance(error, dict) else ("", "")
    return told[0] == "context_length_exceeded" or "maximum context length" in told[1]


def _written(parsed: Any) -> str | None:
    """The text of the first choice, of a chat or a completion."""
    try:
        choice = parsed["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        filtered = choice.get("finish_reason") == "content_filter"
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _TransientError("an answer that is no chat completion") from None
    if text is not None and not isinstance(text, str):
        raise _TransientError("an answer that is no text")
    return None if filtered else text or ""


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _seconds(value: str | None) -> float:
    """Seconds that a Retry-After header asks for: a number or a date; 0 for anything else.

    >>> _seconds("1.5"), _seconds("Fri, 01 Jan 1999 00:00:00 GMT"), _seconds("soon"), _seconds("nan"), _seconds(None)
    (1.5, 0.0, 0.0, 0.0, 0.0)
    """
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
        when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
        return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, OverflowError):
        return 0.0
