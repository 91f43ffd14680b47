"""One pinned file over HTTP: streamed to ``<target>.part``, resumed after a break, checked, then moved into place."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from harness_ext.data.checksums import different_digests
from harness_ext.files import sha256_of

if TYPE_CHECKING:
    import requests

_log = logging.getLogger(__name__)
_PIECE = 1 << 15
_SHOW_PROGRESS_AFTER_S = 2.0


class DownloadError(Exception):
    """The server did not give us the file; the text says why and needs no more context than the file's name."""


class _TryAgainError(Exception):
    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Patience:
    """How long to insist: ``attempts`` requests, with pauses that double from ``first_pause_s`` in between."""

    attempts: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    slowest: float = 1024.0
    """Bytes a second; a server that stays below this for ``slow_s`` is asked again."""
    slow_s: float = 60.0


def download(url: str, target: Path, *, size: int, sha256: str, patience: Patience | None = None) -> None:
    """Put the file of ``size`` bytes with digest ``sha256`` at ``target``, whole or not at all.

    Bytes that arrived before a break stay in ``<target>.part`` and the next request, in this or a later process, asks
    only for the rest. A file that arrives whole but wrong is kept beside the target as ``<target>.rejected``. The
    caller makes sure that no other process downloads to the same target.

    Raises:
        DownloadError: the server does not have the file, has another one, or keeps failing.
        OSError: the file cannot be stored; ``ENOSPC`` when the disk has less room than the file needs.
    """
    patience = patience or Patience()
    part = _Part(target, size)
    for attempt in range(1, patience.attempts + 1):
        try:
            _one_attempt(url, part, sha256, patience)
        except _TryAgainError as problem:
            if attempt == patience.attempts:
                raise DownloadError(f"{problem} ({attempt} attempts)") from problem
            pause = max(problem.wait_s, patience.first_pause_s * 2 ** (attempt - 1))
            _log.info("%s: %s; attempt %d follows", target.name, problem, attempt + 1)
            time.sleep(min(pause, patience.longest_pause_s))
        else:
            return


class _Part:
    """What has arrived so far, and the server's strong entity tag for it."""

    def __init__(self, target: Path, size: int) -> None:
        self.target = target
        self.size = size
        self.file = target.with_name(target.name + ".part")
        self._tag_file = target.with_name(target.name + ".part.etag")

    def arrived(self) -> int:
        """Bytes that can be built upon; a part longer than the file cannot, and a link leads out of the cache."""
        for own in (self.file, self._tag_file):
            if own.is_symlink():
                own.unlink()
        arrived = self.file.stat().st_size if self.file.is_file() else 0
        if arrived > self.size:
            self.discard()
            return 0
        return arrived

    def tag(self) -> str | None:
        return self._tag_file.read_text(encoding="latin-1") if self._tag_file.is_file() else None

    def remember_tag(self, tag: str | None) -> None:
        if tag and tag.startswith('"'):  # only a strong tag may stand in If-Range (RFC 9110, section 13.1.5)
            self._tag_file.write_text(tag, encoding="latin-1")
        else:
            self._tag_file.unlink(missing_ok=True)

    def discard(self) -> None:
        self.file.unlink(missing_ok=True)
        self._tag_file.unlink(missing_ok=True)

    def reject(self) -> Path:
        rejected = self.target.with_name(self.target.name + ".rejected")
        self.file.replace(rejected)
        self._tag_file.unlink(missing_ok=True)
        return rejected

    def accept(self) -> None:
        self.file.replace(self.target)
        self._tag_file.unlink(missing_ok=True)


def _one_attempt(url: str, part: _Part, sha256: str, patience: Patience) -> None:
    arrived_earlier = part.arrived()
    if arrived_earlier < part.size:
        arrived_earlier = _receive(url, part, arrived_earlier, patience)
    seen = sha256_of(part.file)
    if seen == sha256:
        part.accept()
    elif arrived_earlier:
        part.discard()
        raise _TryAgainError("what an interrupted download had left does not fit the rest")
    else:
        kept = part.reject()
        raise DownloadError(f"the server sent another file (kept as {kept}): {different_digests(seen, sha256)}")


def _receive(url: str, part: _Part, arrived: int, patience: Patience) -> int:
    """Append to the part what is missing; return how many of its bytes are from earlier attempts."""
    import requests
    import urllib3

    final = (  # asking again gives the same
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.TooManyRedirects,
        urllib3.exceptions.DecodeError,
    )
    _check_room(part, arrived)
    headers = {"Accept-Encoding": "identity", "User-Agent": "harness-ext"}
    if arrived:
        headers["Range"] = f"bytes={arrived}-"
        if tag := part.tag():
            headers["If-Range"] = tag
    timeout = (patience.connect_timeout_s, patience.read_timeout_s)
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            arrived = _start_of_body(response, part, arrived)
            part.remember_tag(response.headers.get("ETag"))
            received = _store(response, part, arrived, patience)
    except final as error:
        raise DownloadError(f"the connection is impossible ({type(error).__name__})") from error
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise _TryAgainError("the server did not answer in time") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _TryAgainError(f"the connection failed ({type(error).__name__})") from error
    if arrived + received < part.size:
        raise _TryAgainError(f"the connection ended after {arrived + received} of {part.size} bytes")
    return arrived


def _start_of_body(response: requests.Response, part: _Part, arrived: int) -> int:
    """Offset in the file at which the response's body starts."""
    status = response.status_code
    if status == 200:  # also the answer to a Range that the server ignores, or to an If-Range that no longer holds
        return 0
    if status == 206 and arrived:
        if response.headers.get("Content-Range", "").startswith(f"bytes {arrived}-"):
            return arrived
        part.discard()
        raise _TryAgainError("the server sent another part than the one asked for")
    if status == 416 and arrived:
        part.discard()
        raise _TryAgainError("the server cannot continue where the download had stopped")
    if status in {408, 425, 429} or (status >= 500 and status not in {501, 505}):
        raise _TryAgainError(f"the server answered {status}", _retry_after(response))
    raise DownloadError(f"the server answered {status} {response.reason}".strip())


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _store(response: requests.Response, part: _Part, start: int, patience: Patience) -> int:
    received, since, received_since = 0, time.monotonic(), 0
    with part.file.open("ab" if start else "wb") as stream, _bar(part, start) as bar:
        while piece := response.raw.read1(_PIECE, decode_content=True):
            received, received_since = received + len(piece), received_since + len(piece)
            if (passed := time.monotonic() - since) > patience.slow_s:
                if received_since < patience.slowest * passed:
                    raise _TryAgainError(f"the server sends less than {patience.slowest:.0f} bytes a second")
                since, received_since = time.monotonic(), 0
            if start + received > part.size:
                stream.close()
                part.discard()
                raise DownloadError(f"the server sent more than the expected {part.size} bytes")
            stream.write(piece)
            stream.flush()
            bar.update(len(piece))
        os.fsync(stream.fileno())
    return received


def _check_room(part: _Part, arrived: int) -> None:
    part.target.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(part.target.parent).free < part.size - arrived:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part.file))


def _bar(part: _Part, start: int) -> tqdm[Any]:
    """On a terminal's stderr, and only when the download takes longer than a moment."""
    size = {"total": part.size, "initial": start, "unit": "B", "unit_scale": True}
    return tqdm(desc=part.target.name, **size, leave=False, disable=None, delay=_SHOW_PROGRESS_AFTER_S)
