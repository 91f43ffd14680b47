"""Build the documentation as a static site that loads nothing from elsewhere: guides, benchmarks, gallery, API.

    make docs    # build/site/html/index.html

The pages are those of the repository, with their links turned into links of the site; the reference comes from
docstrings, read and not imported; the gallery is drawn from runs of lm-eval's dummy model on the bundled samples. A
warning of mkdocs is an error. Needs the extra docs.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "site"
PAGES = BUILD / "pages"
PACKAGE = BUILD / "package"

REFERENCE = ("metrics", "scoring", "data", "judges", "replies", "models", "results", "leaderboards", "methods")
"""Rooms whose modules have a page each, beside what `harness_ext.__all__` lists."""
GALLERY = {"MBTIBench": "mbtibench_zero_shot_ll", "EmoBench": "emobench", "Safety": "safety_over_refusal"}

_LINK = re.compile(r"(?<=\])\(([^)\s#]+)(#[^)\s]*)?\)")
_TARGETLESS = re.compile(r"\[((?:[^\]\[]|\[[^\]]*\])*)\]\(\)")


_ROLE = re.compile(r":(?:class|func|data|mod|meth|attr):`~?([^`]+)`")
_DOCTEST = re.compile(r"^( +)>>> .*\n(?:\1(?!\"\"\").*\S.*\n)*", re.MULTILINE)


def main() -> None:
    """Build the site from nothing."""
    shutil.rmtree(BUILD, ignore_errors=True)
    pages = _pages()
    for source, page in pages.items():
        target = PAGES / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if page.endswith(".md"):
            target.write_text(_relinked((ROOT / source).read_text(encoding="utf-8"), source, pages), encoding="utf-8")
        else:
            shutil.copy(ROOT / source, target)
    _package()
    config = _config(pages, _reference(), _gallery())
    (BUILD / "mkdocs.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(BUILD / "mkdocs.yml")]
    subprocess.run(command, check=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})  # noqa: S603
    print(f"Built {BUILD / 'html' / 'index.html'}")


def _pages() -> dict[str, str]:
    """The site's page or picture for each file of the repository that becomes one."""
    pages = {"README.md": "index.md", "CONTRIBUTING.md": "extending/contributing.md", "CHANGELOG.md": "changelog.md"}
    for pattern in ("docs/*.md", "docs/*.png"):
        pages |= {f"docs/{file.name}": f"guides/{file.name}" for file in sorted(ROOT.glob(pattern))}
    for file in sorted(ROOT.glob("docs/extending/*.md")):
        pages[f"docs/extending/{file.name}"] = f"extending/{file.name}"
    for kind in ("tasks", "examples"):
        for file in sorted(ROOT.glob(f"{kind}/*/README.md")):
            pages[f"{kind}/{file.parent.name}/README.md"] = f"{kind}/{file.parent.name}.md"
    return pages


def _relinked(text: str, source: str, pages: dict[str, str]) -> str:
    """A page with links to other pages of the site; what has no page of its own is named and not linked."""
    here = posixpath.dirname(pages[source])

    def link(found: re.Match[str]) -> str:
        address, anchor = found[1], found[2] or ""
        if re.match(r"\w+:", address):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), address))
        page = pages.get(path) or pages.get(f"{path}/README.md")
        return f"({posixpath.relpath(page, here or '.')}{anchor})" if page else "()"

    return _TARGETLESS.sub(r"\1", _LINK.sub(link, text))


def _package() -> None:
    """The package as it is installed, for the docstrings."""
    inside = PACKAGE / "harness_ext"
    without = shutil.ignore_patterns("__pycache__", "templates")
    shutil.copytree(ROOT / "harness_ext", inside, ignore=without)
    for room in ("methods", "leaderboards"):
        shutil.copytree(ROOT / room, inside / room, ignore=without)
    for file in inside.rglob("*.py"):
        text = _ROLE.sub(r"`\1`", file.read_text(encoding="utf-8"))
        file.write_text(_DOCTEST.sub(_fenced, text), encoding="utf-8")


def _fenced(doctest: re.Match[str]) -> str:
    indent = doctest[1]
    return f"{indent}```pycon\n{doctest[0]}{indent}```\n"


def _reference() -> list[object]:
    """Write a page for each public module; returns their part of the navigation."""
    navigation: list[object] = [{"harness_ext": _module_page("harness_ext.api")}]
    for room in REFERENCE:
        files = sorted((PACKAGE / "harness_ext" / room).rglob("*.py"))
        files = [file for file in files if (file.parent / "__init__.py").exists()]
        names = [".".join(file.relative_to(PACKAGE).with_suffix("").parts) for file in files]
        names = [name.removesuffix(".__init__") for name in names]
        pages = [{name.removeprefix("harness_ext."): _module_page(name)} for name in names if "._" not in name]
        navigation.append({room: pages})
    return navigation


def _module_page(name: str) -> str:
    page = f"reference/{name}.md"
    (PAGES / "reference").mkdir(exist_ok=True)
    (PAGES / page).write_text(f"# {name.removeprefix('harness_ext.')}\n\n::: {name}\n", encoding="utf-8")
    return page


def _gallery() -> str:
    """Run the dummy model on samples and show the tables and the page; returns the gallery's page."""
    results = BUILD / "results"
    tasks = ",".join(GALLERY.values())
    told = ["--metadata", '{"data": "sample"}', "--output_path", str(results), "--log_samples"]
    command = ("-c", "from harness_ext.cli import main; main()")
    _run(*command, "run", "--model", "dummy", "--tasks", tasks, *told)
    folder = PAGES / "gallery"
    folder.mkdir()
    _run(*command, "table", str(results), "-o", str(folder / "tables.md"), "-o", str(folder / "page.html"))
    tables = (folder / "tables.md").read_text(encoding="utf-8")
    (folder / "tables.md").unlink()
    (folder / "index.md").write_text(
        "# Gallery\n\nWhat `harness-ext table` draws of lm-eval's `dummy` model, which answers at random, on the\n"
        "bundled samples: they show the form, and are never scores.\n\n"
        f"[The same as one page, with plots and samples](page.html){{ target=_blank }}\n\n{tables}",
        encoding="utf-8",
    )
    return "gallery/index.md"


def _run(*arguments: str) -> None:
    quiet = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(  # noqa: S603
        [sys.executable, *arguments], env=os.environ | quiet, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)


def _config(pages: dict[str, str], reference: list[object], gallery: str) -> dict[str, object]:
    def of(folder: str) -> list[str]:
        return sorted(page for page in pages.values() if page.startswith(f"{folder}/") and page.endswith(".md"))

    options = {
        "docstring_style": "google",
        "show_root_heading": False,
        "show_source": False,
        "members_order": "source",
        "filters": ["!^_"],
        "show_signature_annotations": True,
    }
    return {
        "site_name": "harness-ext",
        "docs_dir": str(PAGES),
        "site_dir": str(BUILD / "html"),
        "use_directory_urls": False,  # a folder of files that a browser opens without a server
        "theme": {"name": "material", "font": False, "features": ["navigation.indexes", "navigation.prune"]},
        "plugins": [
            "search",
            {"mkdocstrings": {"handlers": {"python": {"paths": [str(PACKAGE)], "options": options}}}},
        ],
        "markdown_extensions": ["tables", "fenced_code", "attr_list", "admonition", {"toc": {"permalink": True}}],
        "validation": {"links": {"anchors": "warn", "unrecognized_links": "warn"}, "omitted_files": "warn"},
        "nav": [
            {"Home": "index.md"},
            {"Guides": of("guides")},
            {"Extending": of("extending")},
            {"Benchmarks": of("tasks")},
            {"Examples": of("examples")},
            {"Gallery": gallery},
            {"Reference": reference},
            {"Changelog": "changelog.md"},
        ],
    }


if __name__ == "__main__":
    main()
