"""Make the README's pictures: a table in a terminal and the page, of the newest runs of a folder.

    harness-ext demo && python docs/screenshots.py

The same results give the same pictures, with the same Chromium and fonts. Needs the extra dev and a Chromium of the
system.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-c", "from harness_ext.cli import main; main()", "table"]
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--force-color-profile=srgb", "--font-render-hinting=none"]
COLUMNS = 144
WIDTH = 1280
MOST_BYTES = 150_000


def terminal(results: Path, lines: int) -> str:
    """The beginning of what ``harness-ext table RESULTS`` shows on a terminal, as SVG."""
    said = subprocess.run(  # noqa: S603
        [*COMMAND, str(results)],
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi("\n".join(said.splitlines()[:lines])), soft_wrap=True)
    return console.export_svg(title=f"harness-ext table {results.name}", unique_id="table")


def photograph(browser: Browser, url: str, picture: Path, *, height: int) -> None:
    """Write what a browser shows; fail where the picture is too large for a README."""
    page = browser.new_page(viewport={"width": WIDTH, "height": height}, color_scheme="light", reduced_motion="reduce")
    page.goto(url)
    page.wait_for_timeout(500)
    page.screenshot(path=picture, animations="disabled")
    page.close()
    with Image.open(picture) as full:
        full.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(picture, optimize=True)
    size = picture.stat().st_size
    print(f"{picture}: {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(f"{picture} has more than {MOST_BYTES:,} bytes; choose results with fewer rows")


def main() -> None:
    """Write docs/table.png and docs/page.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results/demo"), help="default: %(default)s")
    parser.add_argument("--lines", type=int, default=46, help="of the terminal; default: %(default)s")
    given = parser.parse_args()
    if not given.results.is_dir():
        sys.exit(f"{given.results} is no folder: run harness-ext demo first, or name a folder of results")
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        svg, page = Path(made) / "table.svg", Path(made) / "page.html"
        drawn = terminal(given.results, given.lines)
        svg.write_text(drawn, encoding="utf-8")
        across, down = map(float, re.findall(r'viewBox="0 0 (\S+) (\S+)"', drawn)[0])
        write = [*COMMAND, str(given.results), "--output", str(page)]
        subprocess.run(write, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        photograph(browser, svg.as_uri(), HERE / "table.png", height=round(WIDTH * down / across))
        photograph(browser, page.as_uri(), HERE / "page.png", height=800)
        browser.close()


if __name__ == "__main__":
    main()
