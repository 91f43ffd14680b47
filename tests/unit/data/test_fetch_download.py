"""Downloads from a real HTTP server that breaks off, lies, refuses and hangs."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness_ext.data.downloading import DownloadError, Patience, download
from harness_ext.errors import DataError

QUICK = Patience(attempts=3, first_pause_s=0.01, connect_timeout_s=5, read_timeout_s=5)

FETCH = """
import sys
from pathlib import Path
from harness_ext.data import fetch
print("started", flush=True)
print(fetch("toy", "data.txt", cards=Path(sys.argv[1])))
"""


def quickly(toy: Any, patience: Patience = QUICK) -> Path:
    entry = toy.entry
    download(entry.url, toy.cached, size=entry.bytes, sha256=entry.sha256, patience=patience)
    return toy.cached


def leave_part(toy: Any, content: bytes) -> None:
    toy.part.parent.mkdir(parents=True)
    toy.part.write_bytes(content)


def start(toy: Any, prelude: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", prelude + FETCH, toy.cards], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_download_lands_in_the_cache_laid_out_as_a_mirror_and_leaves_no_part(toy: Any, server: Any) -> None:
    assert toy.fetch() == toy.cached
    assert toy.cached.read_bytes() == toy.content
    assert [file.name for file in toy.cached.parent.iterdir()] == ["data.txt"]
    toy.fetch()
    assert server.asked == 1


def test_a_connection_that_drops_half_way_is_resumed_where_it_stopped(toy: Any, server: Any) -> None:
    half = len(toy.content) // 2
    server.script = [server.send_first(half)]
    assert toy.fetch().read_bytes() == toy.content
    assert server.asked == 2
    arrived = int(server.ranges[1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < arrived <= half
    assert server.tags == [None, '"tag"']


def test_a_killed_download_is_resumed_by_the_next_process(toy: Any, server: Any) -> None:
    sent, release = threading.Event(), threading.Event()

    def hang() -> None:
        sent.set()
        release.wait(30)

    server.script = [server.send_first(len(toy.content) // 2, hang)]
    process = start(toy)
    try:
        assert sent.wait(30)
        while not toy.part.exists() or toy.part.stat().st_size == 0:
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate()
        release.set()
    assert not toy.cached.exists()
    assert toy.fetch().read_bytes() == toy.content
    assert server.ranges[0] is None
    assert server.ranges[1].startswith("bytes=")


def test_a_server_that_ignores_ranges_makes_it_start_over(toy: Any, server: Any) -> None:
    leave_part(toy, toy.content[:1000])
    server.script = [server.ignore_range]
    assert quickly(toy).read_bytes() == toy.content
    assert server.ranges == ["bytes=1000-"]


def test_an_entity_that_changed_since_makes_it_start_over(toy: Any, server: Any) -> None:
    leave_part(toy, toy.content[:1000])
    toy.part.with_name("data.txt.part.etag").write_text('"older"')
    assert quickly(toy).read_bytes() == toy.content
    assert server.tags == ['"older"']
    assert server.asked == 1


def test_a_range_that_the_server_refuses_makes_it_start_over(toy: Any, server: Any) -> None:
    leave_part(toy, toy.content[:1000])
    server.script = [server.send_status(416)]
    assert quickly(toy).read_bytes() == toy.content
    assert server.ranges == ["bytes=1000-", None]


def test_a_part_of_something_else_is_not_built_upon_twice(toy: Any, server: Any) -> None:
    leave_part(toy, b"Z" * 1000)
    assert quickly(toy).read_bytes() == toy.content
    assert server.ranges == ["bytes=1000-", None]


def test_a_part_that_is_already_whole_needs_no_request(toy: Any, server: Any) -> None:
    leave_part(toy, toy.content)
    assert quickly(toy).read_bytes() == toy.content
    assert server.asked == 0


def test_a_part_that_is_too_long_is_dropped(toy: Any, server: Any) -> None:
    leave_part(toy, toy.content + b"more")
    assert quickly(toy).read_bytes() == toy.content
    assert server.ranges == [None]


def test_another_file_of_the_right_size_is_refused_and_kept_aside(toy: Any, server: Any) -> None:
    server.content = b"X" + toy.content[1:]
    with pytest.raises(DataError, match=r"toy: data\.txt .* the server sent another file .*sha256 is .* Licence: MIT"):
        toy.fetch()
    assert not toy.cached.exists()
    assert toy.cached.with_name("data.txt.rejected").read_bytes() == server.content
    server.content = toy.content
    assert toy.fetch().read_bytes() == toy.content


def test_more_bytes_than_expected_are_refused(toy: Any, server: Any) -> None:
    server.content = toy.content * 2
    with pytest.raises(DownloadError, match=f"more than the expected {len(toy.content)} bytes"):
        quickly(toy)
    assert list(toy.cached.parent.iterdir()) == []


def test_fewer_bytes_than_expected_are_refused_after_some_attempts(toy: Any, server: Any) -> None:
    server.content = toy.content[:500]
    with pytest.raises(DownloadError, match=r"attempts\)"):
        quickly(toy)
    assert server.asked == 3
    assert not toy.cached.exists()


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(toy: Any, server: Any, status: int) -> None:
    server.script = [server.send_status(status)] * 9
    with pytest.raises(DownloadError, match=f"the server answered {status}"):
        quickly(toy)
    assert server.asked == 1


def test_a_missing_page_names_the_url_and_the_other_ways(toy: Any, server: Any) -> None:
    server.script = [server.send_status(404)]
    with pytest.raises(DataError) as caught:
        toy.fetch()
    for part in (toy.entry.url, "404", "MIT in toy letters", "set HARNESS_EXT_MIRROR", "put the file at"):
        assert part in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_temporary_failure_is_tried_again_but_not_for_ever(toy: Any, server: Any, status: int) -> None:
    server.script = [server.send_status(status, Retry_After="0"), server.send_status(status)]
    assert quickly(toy).read_bytes() == toy.content
    assert server.asked == 3
    toy.cached.unlink()
    server.script = [server.send_status(status)] * 9
    with pytest.raises(DownloadError, match=rf"the server answered {status} \(3 attempts\)"):
        quickly(toy)
    assert server.asked == 6


def test_a_silent_server_times_out_and_what_had_arrived_is_kept(toy: Any, server: Any) -> None:
    release = threading.Event()
    server.script = [server.send_first(70_000, lambda: release.wait(30))]
    with pytest.raises(DownloadError, match=r"\(1 attempts\)"):
        quickly(toy, Patience(attempts=1, read_timeout_s=0.2))
    release.set()
    assert toy.content.startswith(toy.part.read_bytes())
    assert quickly(toy).read_bytes() == toy.content


def test_a_server_that_trickles_is_asked_again(toy: Any, server: Any) -> None:
    release = threading.Event()

    def trickle(handler: Any, content: bytes) -> None:
        def drop_by_drop() -> None:
            at = 1000
            while not release.wait(0.02):  # never silent, so that no time-out of the socket would notice
                handler.wfile.write(content[at : at + 1])
                handler.wfile.flush()
                at += 1

        with contextlib.suppress(OSError):
            server.send_first(1000, drop_by_drop)(handler, content)

    server.script = [trickle]
    patience = Patience(attempts=2, first_pause_s=0.01, read_timeout_s=30, slowest=10_000, slow_s=0.3)
    assert quickly(toy, patience).read_bytes() == toy.content
    release.set()
    assert server.asked == 2
    assert server.ranges[1].startswith("bytes=1")


@pytest.mark.parametrize("status", [501, 505])
def test_what_a_server_will_never_do_is_asked_once(toy: Any, server: Any, status: int) -> None:
    server.script = [server.send_status(status)] * 9
    with pytest.raises(DownloadError, match=f"the server answered {status}"):
        quickly(toy)
    assert server.asked == 1


def test_an_impossible_connection_is_tried_once(toy: Any, server: Any) -> None:
    url = toy.entry.url.replace("http://", "https://")  # a server that speaks no TLS never will
    with pytest.raises(DownloadError, match=r"impossible \(SSLError\)$"):
        download(url, toy.cached, size=1, sha256="0" * 64, patience=QUICK)


def test_a_server_that_sends_in_circles_is_asked_once(toy: Any, server: Any) -> None:
    server.script = [server.send_status(302, Location=f"/{number}") for number in range(90)]
    with pytest.raises(DownloadError, match=r"impossible \(TooManyRedirects\)$"):
        quickly(toy)
    assert len(server.script) > 40


@pytest.mark.parametrize("name", ["data.txt.part", "data.txt.part.etag", "data.txt"])
def test_a_link_in_the_cache_is_not_followed(toy: Any, server: Any, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("keep me")
    toy.cached.parent.mkdir(parents=True)
    toy.cached.with_name(name).symlink_to(outside)
    assert quickly(toy).read_bytes() == toy.content
    assert outside.read_text() == "keep me"
    assert not toy.cached.is_symlink()


def test_nobody_listening_is_a_failed_connection(toy: Any, server: Any) -> None:
    url = toy.entry.url
    server.stop()
    with pytest.raises(DownloadError, match=r"the connection failed \(ConnectionError\)"):
        download(url, toy.cached, size=1, sha256="0" * 64, patience=QUICK)


def test_of_two_processes_one_downloads_and_the_other_waits(toy: Any, server: Any) -> None:
    release = threading.Event()

    def slowly(handler: Any, content: bytes) -> None:
        release.wait(60)
        server.ignore_range(handler, content)

    server.script = [slowly, slowly]
    processes = [start(toy), start(toy)]
    said = threading.Event()
    errors: list[str] = []

    def listen(process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            errors.append(line)
            said.set()

    listeners = [threading.Thread(target=listen, args=(process,)) for process in processes]
    for listener in listeners:
        listener.start()
    assert said.wait(60), "one process must say that it waits for the other"
    release.set()
    for process, listener in zip(processes, listeners, strict=True):
        assert process.stdout is not None
        assert process.stdout.read().split() == ["started", str(toy.cached)]
        assert process.wait() == 0
        listener.join()
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()
    assert errors == ["waiting for another process that downloads data.txt\n"]
    assert toy.cached.read_bytes() == toy.content
    assert server.asked == 1


def test_a_disk_with_too_little_room_is_said_before_anything_is_written(toy: Any, server: Any, mounted: Any) -> None:
    with mounted(toy.cache, "size=64k"):
        with pytest.raises(DataError) as caught:
            toy.fetch()
        assert f"no room in {toy.cached.parent}: {len(toy.content)} more bytes are needed" in str(caught.value)
        assert "HARNESS_EXT_CACHE" in str(caught.value)
        assert not toy.part.exists()
    assert server.asked == 0


def test_a_disk_that_fills_up_keeps_what_arrived_and_resumes_later(toy: Any, server: Any) -> None:
    limit = 100_000
    prelude = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    pytest.importorskip("resource")
    process = start(toy, prelude)
    _, error = process.communicate()
    assert process.returncode != 0
    missing = len(toy.content) - limit
    assert f"DataError: data.txt: no room in {toy.cached.parent}: {missing} more bytes are needed. The {limit}" in error
    assert toy.part.stat().st_size == limit
    assert toy.fetch().read_bytes() == toy.content
    assert server.ranges == [None, f"bytes={limit}-"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(("slow", "shown"), [(True, True), (False, False)])
def test_a_slow_download_shows_a_bar_on_a_terminal_and_a_fast_one_shows_nothing(
    toy: Any, server: Any, slow: bool, shown: bool
) -> None:
    import fcntl
    import termios

    def slowly(handler: Any, content: bytes) -> None:
        def pause_and_finish() -> None:
            time.sleep(5)  # a bar comes after two seconds of the client, which may be late on a busy machine
            handler.wfile.write(content[100_000:])

        server.send_first(100_000, pause_and_finish)(handler, content)

    server.script = [slowly] if slow else []
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # a new one has no columns to draw in
    command = [sys.executable, "-c", FETCH, toy.cards]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, text=True) as process:
        os.close(end)
        printed = b""
        with contextlib.suppress(OSError):  # Linux reports the other end's closing as an error
            while piece := os.read(terminal, 4096):
                printed += piece
        os.close(terminal)
    assert process.returncode == 0
    assert (b"data.txt" in printed) == shown, printed
    assert shown or printed == b""
    assert server.asked == 1
