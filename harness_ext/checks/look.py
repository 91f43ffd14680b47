"""Looks at tasks: finds their files, asks every check about them, and says what could not be looked at."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.tasks._index import Kind, TaskIndex

from harness_ext._autoload import task_folders
from harness_ext.checks.cards import CardFile
from harness_ext.checks.files import Place, TaskFile, read
from harness_ext.checks.findings import CHECKS, Finding
from harness_ext.checks.findings import Kind as Subject
from harness_ext.checks.loading import Doc, Failure, Loaded, is_loadable, load
from harness_ext.checks.lock import Entry, Locked, entry_of, read_lock
from harness_ext.checks.samples import SampleFile
from harness_ext.checks.scores import Played
from harness_ext.checks.suites import Suite
from harness_ext.errors import InputError

for _module in ("configs", "metadata", "docs", "prompts"):  # those that nothing here needs by name
    importlib.import_module(f"harness_ext.checks.{_module}")

_UPSTREAM = Path(lm_eval.tasks.__file__).parent


@dataclass
class Report:
    """What was found, and what was looked at."""

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    loaded: list[Loaded] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Tasks whose docs and scores were not looked at, with the reason."""


@dataclass(frozen=True)
class Chosen:
    """Files to look at, and the folders of benchmarks that they live in."""

    files: Sequence[TaskFile]
    roots: Sequence[Path]


def choose(names: Collection[str] = (), include_path: Collection[Path] = ()) -> Chosen:
    """The files of tasks by name.

    Args:
        names: of tasks, groups, tags or benchmark folders, or paths of YAML files; empty: all of ``include_path``, or
            all tasks of installed packages without it.
        include_path: folders of benchmarks beside those of installed packages.

    Raises:
        InputError: a name is nothing's.
    """
    given = [path.resolve() for path in include_path]
    if wrong := [path for path in given if not path.is_dir()]:
        raise InputError(f"{wrong[0]} is no folder; give --include-path the folder that holds a folder a benchmark.")
    installed = list(dict.fromkeys(Path(folder).resolve() for folder in task_folders()))
    if not names:
        roots = given or installed
        return Chosen(_read(path for root in roots for path in _yaml_files(root)), roots)
    chosen: dict[Path, Path] = {}
    for name in names:
        found = _named(name, [*given, *installed])
        if not found:
            raise InputError(
                f"there is no task, group, tag, benchmark or file {name!r}. `lm_eval ls tasks` lists all; "
                "tasks of your own need --include-path."
            )
        chosen |= found
    return Chosen(_read(sorted(chosen)), list(dict.fromkeys(chosen.values())))


def _read(paths: Iterable[Path]) -> list[TaskFile]:
    with _quiet():
        return [read(path) for path in paths]


def _named(name: str, roots: Sequence[Path]) -> dict[Path, Path]:
    """Files of a name, each with the root that it lives under."""
    path = Path(name)
    if path.suffix == ".yaml" and path.is_file():
        path = path.resolve()
        root = next((one for one in (*roots, _UPSTREAM) if path.is_relative_to(one)), path.parent.parent)
        return {path: root}
    for root in roots:
        if (root / name).is_dir() and path.name == name:
            return dict.fromkeys(_yaml_files(root / name), root)
    for root in (*roots, _UPSTREAM):
        found = _below(name, _index(root))
        if found:
            return dict.fromkeys(found, root)
    return {}


def _below(name: str, index: Mapping[str, Any]) -> set[Path]:
    """Files of a task, of a group and its members, or of the tasks of a tag."""
    found: set[Path] = set()
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        entry = index.get(waiting.pop())
        if entry is None or entry.name in seen:
            continue
        seen.add(entry.name)
        if entry.yaml_path is not None:
            found.add(Path(entry.yaml_path))
        if entry.kind is Kind.TAG:
            waiting += entry.tags
        elif entry.kind is Kind.GROUP:
            members = (entry.cfg or {}).get("task") or []
            for one in [members] if isinstance(members, str) else members:
                waiting.append(one if isinstance(one, str) else one.get("group") or one.get("task"))
    return found


@cache
def _index(root: Path) -> Mapping[str, Any]:
    with _quiet():
        index: Mapping[str, Any] = TaskIndex.build([root])
    return index


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.yaml") if "__pycache__" not in path.parts)


def look(
    chosen: Chosen,
    *,
    metadata: Mapping[str, Any] | None = None,
    records: Sequence[Doc] | None = None,
    progress: Callable[[Iterable[TaskFile]], Iterable[TaskFile]] = lambda files: files,
) -> Report:
    """Ask every check about the files.

    Args:
        chosen: what to look at.
        metadata: what lm-eval's ``--metadata`` would tell the loaders; a folder with a ``sample.jsonl`` is loaded with
            ``{"data": "sample"}`` unless ``data`` is given.
        records: stand in for the docs of every split, where the data of a task is not at hand.
        progress: wraps the files that are loaded, to show how far it is.
    """
    report = Report(files=len(chosen.files))
    report.left_out |= {
        file.name: f"its functions cannot be imported without {file.missing}" for file in chosen.files if file.missing
    }
    with _quiet():
        for root in chosen.roots:
            files = [file for file in chosen.files if file.path.is_relative_to(root)]
            _look_at_files(report, root, files)
        broken = {one.task for one in report.findings if one.check == "unknown-key"}  # lm-eval stops at one
        for file in progress([file for file in chosen.files if is_loadable(file) and file.name not in broken]):
            _look_at_task(report, file, metadata or {}, records)
    report.findings.sort(key=lambda one: (str(one.file), one.line, one.check, one.what))
    return report


def _look_at_files(report: Report, root: Path, files: Sequence[TaskFile]) -> None:
    """What needs no docs: YAML, names, groups, samples and cards."""
    foreign = root == _UPSTREAM
    cards = _card_files(root)
    house = any(follows_conventions(file) for file in files)
    suite = Suite(files, () if foreign else _upstream_names(), None if cards is None else set(cards), house)
    for file in files:
        report.findings += _ask("file", file, house=follows_conventions(file), file=file)
    report.findings += _ask("suite", suite, house=house)
    for folder in dict.fromkeys(file.path.parent for file in files):
        for path in sorted(folder.glob("sample*.jsonl")):
            report.findings += _ask("sample", SampleFile(path), house=house)
    used = {str(file.metadata.get("source")) for file in files}
    for source, path in (cards or {}).items():
        if source in used and path.parent.parent in (root, root.parent):
            report.findings += _ask("card", CardFile(path), house=house)


def _look_at_task(report: Report, file: TaskFile, metadata: Mapping[str, Any], records: Sequence[Doc] | None) -> None:
    """What needs docs: the task is loaded, its prompts are built and answers that need no model are scored."""
    house = follows_conventions(file)
    loaded: Loaded | None = None
    doing = "loading"
    try:
        loaded = load(file, _switches(file) | dict(metadata), records)
        doing = "building prompts"
        if not loaded.docs:
            raise ValueError("there are no docs to evaluate")
        _ = loaded.requests, loaded.questions, loaded.targets
        report.loaded.append(loaded)
        report.findings += _ask("task", loaded, house=house, file=file)
        doing = "scoring"
        report.findings += _ask("scores", Played(loaded), house=house, file=file)
    except InputError as error:  # the loader asks for an argument of a run, such as a judge
        report.left_out[file.name] = " ".join(str(error).split())
    except Exception as error:  # the task's own code
        if records is not None and "larger than population" in str(error):
            report.left_out[file.name] = "it draws more examples than there are docs in --docs; give more"
        elif doing == "loading" and not _own_data(file) and records is None:
            report.left_out[file.name] = f"its data is not at hand ({type(error).__name__}); give --docs"
        else:
            report.findings += _ask("failure", Failure(file, doing, error), house=house, file=file)
    if records is None and (lock := read_lock(file.path.parent)) is not None:
        now = entry_of(file, None if doing == "loading" or metadata else loaded)
        report.findings += _ask("lock", Locked(file, lock.get(file.name), now), house=house, file=file)


def entries(chosen: Chosen) -> dict[Path, dict[str, Entry]]:
    """For each folder its tasks as they are now, for a lock file."""
    found: dict[Path, dict[str, Entry]] = {}
    with _quiet():
        for file in filter(is_loadable, chosen.files):
            try:
                loaded = load(file, _switches(file))
                entry = entry_of(file, loaded)
            except Exception:  # check says why; its scoring can be locked all the same
                entry = entry_of(file, None)
            found.setdefault(file.path.parent, {})[file.name] = entry
    return found


def _switches(file: TaskFile) -> dict[str, Any]:
    return {"data": "sample"} if (file.path.parent / "sample.jsonl").is_file() else {}


def follows_conventions(file: TaskFile) -> bool:
    """Whether a task is written for this package: its folder has ``metadata.bench`` somewhere, or cards beside it."""
    return _has_bench(file.path.parent)


@cache
def _has_bench(folder: Path) -> bool:
    if any((above / "data_cards").is_dir() for above in (folder.parent, folder.parent.parent)):
        return True
    return any(b"bench:" in path.read_bytes() for path in folder.glob("*.yaml"))


def _own_data(file: TaskFile) -> bool:
    return "custom_dataset" in file.config or "data_files" in (file.config.get("dataset_kwargs") or {})


def _card_files(root: Path) -> dict[str, Path] | None:
    """Cards by source: those beside a folder of benchmarks and ours; ``None`` where it keeps none."""
    own = next((folder for folder in (root / "data_cards", root.parent / "data_cards") if folder.is_dir()), None)
    if own is None:
        return None
    import harness_ext.data_cards

    ours = Path(harness_ext.data_cards.__path__[0])
    return {path.stem: path for folder in (ours, own) for path in sorted(folder.glob("*.md"))}


def is_taken(name: str) -> bool:
    """Whether lm-eval or an installed package has a task, group or tag of that name."""
    roots = [_UPSTREAM, *(Path(folder).resolve() for folder in task_folders())]
    return any(name in _index(root) for root in dict.fromkeys(roots))


def _upstream_names() -> Collection[str]:
    return _index(_UPSTREAM).keys()


def _ask(kind: Subject, subject: Any, *, house: bool, file: TaskFile | None = None) -> Iterator[Finding]:
    """Every finding of the checks of a kind about a subject, but those that its file accepts."""
    for check in CHECKS.values():
        if check.kind != kind or (check.house and not house) or (file is not None and check.name in file.accepted):
            continue
        for found in check.run(subject):
            about = file or found.of
            if about is not None and check.name in about.accepted:
                continue
            if found.file is not None or about is None:
                place = Place(found.file or Path(), found.line)
            else:
                place = about.place(found.key)
            task = about.name if about else ""
            yield Finding(check.name, place.file, place.line, found.what, check.why, check.mend, task)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep lm-eval's own log and progress bars out of the report."""
    import datasets

    before, bars = logging.root.manager.disable, datasets.is_progress_bar_enabled()
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    try:
        with redirect_stdout(sys.stderr):  # what a task's code prints is no part of the report
            yield
    finally:
        logging.disable(before)
        if bars:
            datasets.enable_progress_bars()
