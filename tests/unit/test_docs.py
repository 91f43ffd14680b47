"""Pages of the site: every file they link to is one of them."""

from __future__ import annotations

import importlib.util
import posixpath
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("site_of_docs", ROOT / "docs" / "site.py")
assert SPEC and SPEC.loader
site = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(site)
PAGES = site._pages()


@pytest.mark.parametrize("source", [source for source in PAGES if source.endswith(".md")])
def test_a_page_links_only_to_pages_of_the_site(source: str) -> None:
    text = site._relinked((ROOT / source).read_text(encoding="utf-8"), source, PAGES)
    targets = [target for target, _ in re.findall(r"\]\(([^)\s#]+)(#[^)\s]*)?\)", text) if ":" not in target]
    here = posixpath.dirname(PAGES[source])
    assert {posixpath.normpath(posixpath.join(here, target)) for target in targets} <= set(PAGES.values())


@pytest.mark.parametrize("source", [source for source in PAGES if source.endswith(".md")])
def test_a_page_links_only_to_files_that_are_there(source: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / source).read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s#]+)", text) if not re.match(r"\w+:", target)]
    assert [target for target in targets if not (ROOT / source).parent.joinpath(target).exists()] == []


def test_examples_in_docstrings_are_shown_as_code() -> None:
    shown = site._DOCTEST.sub(site._fenced, '    Text.\n\n    >>> a[0]\n    1\n    >>> b\n    """\n')
    assert shown == '    Text.\n\n    ```pycon\n    >>> a[0]\n    1\n    >>> b\n    ```\n    """\n'
