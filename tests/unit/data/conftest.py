"""A source of data made up on the spot and a real HTTP server on the loopback interface that can misbehave."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness_ext.data import Card, CardFile, fetch, load_card

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"".join(b"line %d of a file\n" % number for number in range(20_000))

Behaviour = Callable[[BaseHTTPRequestHandler, bytes], None]


def send_all(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """What a good server does, with ranges."""
    wanted = handler.headers.get("Range")
    tag = handler.headers.get("If-Range")
    if wanted and tag in {None, '"tag"'}:
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            send_status(416)(handler, content)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        content = content[start:]
    else:
        handler.send_response(200)
    handler.send_header("ETag", '"tag"')
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def send_first(count: int, then: Callable[[], object] = lambda: None) -> Behaviour:
    """Promise everything, send ``count`` bytes, call ``then`` and hang up."""

    def behave(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("ETag", '"tag"')
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:count])
        handler.wfile.flush()
        then()
        handler.close_connection = True

    return behave


def send_status(status: int, **headers: str) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def ignore_range(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


class Loopback:
    """Serves ``content`` at any path; ``script`` holds the behaviours of the next requests, then all goes well."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.script: list[Behaviour] = []
        self.ranges: list[str | None] = []
        self.tags: list[str | None] = []
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with lock:
                    outer.ranges.append(self.headers.get("Range"))
                    outer.tags.append(self.headers.get("If-Range"))
                    behave = outer.script.pop(0) if outer.script else send_all
                behave(self, outer.content)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is no news
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    # What tests put into a script.
    send_first = staticmethod(send_first)
    send_status = staticmethod(send_status)
    ignore_range = staticmethod(ignore_range)

    @property
    def asked(self) -> int:
        return len(self.ranges)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Toy:
    """A card ``toy`` with one file, whose URL is on the loopback server."""

    def __init__(self, folder: Path, server: Loopback) -> None:
        self.cards = folder / "cards"
        self.cards.mkdir()
        self.mirror = folder / "mirror"
        self.cache = folder / "cache"
        self.content = CONTENT
        self.path = f"owner/repo/{COMMIT}/sub/data.txt"
        (self.cards / "toy.md").write_text(
            f"""---
pretty_name: Toy
license: mit
language: [en]
x-harness-ext:
  homepage: https://example.org
  licence: MIT in toy letters
  redistributable: true
  sensitive: []
  citation: nobody
  splits: {{test: [data.txt]}}
  fields: {{line: a line}}
  files:
    - name: data.txt
      path: {self.path}
      url: {server.address}/{self.path}
      sha256: "{hashlib.sha256(CONTENT).hexdigest()}"
      bytes: {len(CONTENT)}
      rows: 20000
---
Lines.
""",
            encoding="utf-8",
        )

    @property
    def card(self) -> Card:
        return load_card("toy", self.cards)

    @property
    def entry(self) -> CardFile:
        return self.card.file("data.txt")

    @property
    def cached(self) -> Path:
        return self.cache / "data" / self.path

    @property
    def part(self) -> Path:
        return self.cached.with_name("data.txt.part")

    def fetch(self) -> Path:
        return fetch("toy", "data.txt", cards=self.cards)

    def put(self, root: Path, content: bytes = CONTENT) -> Path:
        file = root / self.path
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        return file


@pytest.fixture
def server() -> Iterator[Loopback]:
    loopback = Loopback(CONTENT)
    yield loopback
    loopback.stop()


@pytest.fixture
def toy(tmp_path: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Toy:
    for variable in ("HARNESS_EXT_MIRROR", "HARNESS_EXT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    source = Toy(tmp_path, server)
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(source.cache))
    return source


@pytest.fixture
def mounted() -> Callable[[Path, str], AbstractContextManager[None]]:
    """``mounted(folder, options)`` keeps a small memory file system at ``folder``; skips where that is not allowed."""

    @contextmanager
    def mount(folder: Path, options: str) -> Iterator[None]:
        if os.name != "posix" or os.geteuid() != 0:
            pytest.skip("only root may mount a file system")
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting a file system is not allowed here: {done.stderr.strip()}")
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)

    return mount
