"""Reads folders of lm-eval output (0.4.3 to 0.4.13) into the tidy frame and names every file that it could not use."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from harness_ext.errors import InputError
from harness_ext.results.reading.frame import Row, to_frame
from harness_ext.results.reading.judges import JUDGED_METRICS, JudgeRecord, judge_of
from harness_ext.results.reading.placement import bare_name, place
from harness_ext.results.reading.prompt_format import warning
from harness_ext.results.reading.pseudo_likelihood import reported_name

# lm-eval names a run after these model arguments and draws a random name when none is given.
_NAMING_ARGUMENTS = ("peft", "delta", "pretrained", "model", "path", "engine")

_ROWS_AT_ONCE = 4096

METHOD_FILE = "method.json"
"""Written by this package's methods beside the checkpoint: how it was made, and from what."""

# Choices that change what a task asks or how it is scored, and the value that goes without saying.
_SETTINGS = {
    "truncation": None,
    "gold": "em",
    "system_role": "text",
    "aliases": "on",
    "option_order": None,
    "personality": None,
    "digits_single_token": True,
}


class Problem(NamedTuple):
    """A file that was not used, or not in full, and why."""

    path: Path
    reason: str


class Reading(NamedTuple):
    """What a set of files held: the frame, the sample files beside it, and everything left out."""

    frame: pd.DataFrame
    samples: list[Path]
    problems: list[Problem]
    notes: list[str]


def read(paths: Iterable[Path]) -> Reading:
    """Read result files and folders of them.

    A run that was repeated (same model, task, settings) appears once: the newest file wins, the others are counted in
    ``notes``. Scores of ``--predict_only`` (``bypass``) are dropped and counted.

    Raises:
        InputError: a path does not exist.
    """
    frames = [to_frame([])]
    rows: list[Row] = []
    samples: list[Path] = []
    problems: list[Problem] = []
    bypassed = 0
    for path in _files(paths):
        if _stem(path).endswith(".jsonl"):
            problem = check_samples(path)
            if problem is None:
                samples.append(path)
            else:
                problems.append(problem)
            continue
        if path.name == METHOD_FILE:
            continue  # read with the results that belong to it
        if not _stem(path).endswith(".json"):
            problems.append(Problem(path, "not a result file of lm-eval"))
            continue
        try:
            content, digest = _load(path)
            found, dropped = rows_of(content, path, digest)
        except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
            problems.append(Problem(path, str(error)))
            continue
        rows += found
        bypassed += dropped
        if len(rows) >= _ROWS_AT_ONCE:  # columns need a fraction of the memory of rows
            frames.append(to_frame(rows))
            rows = []
    frame, superseded = newest(_concatenated([*frames, to_frame(rows)]))
    notes = []
    if bypassed:
        notes.append(f"{bypassed} scores of --predict_only runs (bypass) are no scores and were left out.")
    if superseded:
        notes.append(f"{superseded} numbers of repeated runs were left out: the newest run of each task is shown.")
    return Reading(frame, samples, problems, notes)


def _concatenated(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def rows_of(content: object, path: Path, digest: str = "") -> tuple[list[Row], int]:
    """The rows of one parsed result file and the number of dropped ``bypass`` scores.

    Args:
        content: the parsed file.
        path: where it is; a ``method.json`` is looked for beside it.
        digest: sha256 of the file.

    Raises:
        ValueError: the content is not a result file of lm-eval 0.4.
    """
    if not (isinstance(content, dict) and isinstance(content.get("results"), dict) and "configs" in content):
        raise ValueError("JSON, but not a result file of lm-eval (no results and configs)")
    run = _Run(content, path, digest)
    rows: list[Row] = []
    bypassed = 0
    for task, scores in content["results"].items():
        if not isinstance(scores, dict):
            raise ValueError(f"results of {task} are not a mapping of metrics")
        for key, value in scores.items():
            metric, comma, name = key.partition(",")
            if not comma or (metric.endswith("_stderr") and f"{metric.removesuffix('_stderr')},{name}" in scores):
                continue  # name, alias, sample_len, … and the errors that belong to a metric
            if metric == "bypass":
                bypassed += 1
                continue
            rows.append(run.row(task, metric, name, value, scores.get(f"{metric}_stderr,{name}")))
    if not rows and not bypassed:
        raise ValueError("a result file of lm-eval without a single score")
    return rows, bypassed


class _Run:
    """The parts of one result file that its rows share."""

    def __init__(self, content: Mapping[str, Any], path: Path, digest: str) -> None:
        config = _mapping(content, "config")
        self.content = content
        self.backend = config.get("model")
        arguments = _model_arguments(config.get("model_args"))
        method, base = _method(arguments, path)
        name = model_name(content)
        folders = [arguments[key] for key in _NAMING_ARGUMENTS if arguments.get(key)]
        self.shared = {
            "origin": "measured",
            "run": str(path),
            "run_hash": digest[:12],
            "model": name,
            "method": method,
            "base": base,
            "limit": _number(config.get("limit")),
            "lm_eval_version": str(content.get("lm_eval_version") or ""),
            "model_hash": str(config.get("model_sha") or ""),
            "chat_template_hash": str(content.get("chat_template_sha") or ""),
            "date": _number(content.get("date")),
            "note": warning(content, folders, (name, base)),
        }
        self.asked = _asked(content)
        self.groups = {
            bare_name(name): [bare_name(str(child)) for child in children]
            for name, children in _mapping(content, "group_subtasks").items()
            if isinstance(children, list) and children
        }

    def row(self, task: str, metric: str, name: str, value: object, stderr: object) -> Row:
        """One score. A group takes from its leaves what lm-eval records for leaves only."""
        if not _is_score(value):
            raise ValueError(f"{task}: {metric},{name} is {type(value).__name__}, not a number")
        plain = bare_name(task)
        leaves = list(self._leaves(plain))
        sources = [self._metadata(leaf) for leaf in (leaves or [task])]
        metadata = sources[0]
        # A group's place follows from its name and the benchmark of its leaves; part and variant are the leaves' own.
        own = {key: value for key, value in metadata.items() if key == "bench"} if leaves else metadata
        bench, variant, part = place(plain, own, self.groups)
        counts = [self._counts(leaf) for leaf in (leaves or [task])]
        judge = self._judge(leaves[0] if leaves else task, metric, name, metadata)
        return Row.model_validate(
            {
                **self.shared,
                "bench": bench,
                "variant": variant,
                "task": plain,
                "part": part,
                "level": "group" if leaves else "task",
                "metric": reported_name(metric, self.backend),
                "filter": name,
                "value": _number(value),
                "stderr": _number(stderr),
                "n": math.fsum(effective for effective, _ in counts),
                "n_total": math.fsum(original for _, original in counts),
                "data": "sample" if any(source.get("data") == "sample" for source in sources) else "real",
                "cap": self._cap(leaves[0] if leaves else task, metadata),
                "setting": ", ".join(
                    [
                        f"{key} {metadata[key]}"
                        for key, usual in _SETTINGS.items()
                        if metadata.get(key) is not None and metadata[key] != usual
                    ]
                    + self.asked
                ),
                "chance": _number(metadata.get("chance")),
                "num_fewshot": self._shots(leaves or [task]),
                "prompt_pack": _pack(metadata),
                "judge": judge.judge,
                "judge_version": judge.version,
                "judge_agreement": judge.agreement,
                "unit": judge.scale if metric == "harm_score" else "",
                "higher_is_better": self._direction(task, metric),
                "task_version": _text(self._of("versions", task)),
                "task_hash": _text(self._of("task_hashes", task)),
            }
        )

    def _judge(self, task: str, metric: str, name: str, metadata: Mapping[str, Any]) -> JudgeRecord:
        """Who gave a number; ``invalid`` is a judge's where the task has numbers that only a judge can give."""
        config = self._of("configs", task)
        keys = (key.partition(",") for key in _mapping(_mapping(self.content, "results"), task))
        judged = {own for own, _, filter_ in keys if filter_ == name} & JUDGED_METRICS
        if isinstance(config, dict) and (metric in JUDGED_METRICS or (metric == "invalid" and judged)):
            return judge_of(config, name)
        named = metadata.get("judge")
        return JudgeRecord(named if isinstance(named, str) else "")

    def _of(self, section: str, task: str) -> Any:
        values = _mapping(self.content, section)
        return values.get(task, values.get(bare_name(task)))

    def _shots(self, tasks: Sequence[str]) -> float:
        """Demonstrations in the prompt; a group has a number where its leaves agree."""
        shots = {_number(self._of("n-shot", task)) for task in tasks}
        return shots.pop() if len(shots) == 1 else math.nan

    def _cap(self, task: str, metadata: Mapping[str, Any]) -> str:
        """The task's own cap on docs; a group that runs the leaves on their split ``full`` lifts it."""
        config = self._of("configs", task)
        lifted = isinstance(config, dict) and config.get("test_split") == "full" and "cap" in metadata
        return "all" if lifted else _text(metadata.get("cap"))

    def _metadata(self, task: str) -> Mapping[str, Any]:
        config = self._of("configs", task)
        metadata = config.get("metadata") if isinstance(config, dict) else None
        # Loaders write what a run really used into ``recorded``.
        return {**metadata, **_mapping(metadata, "recorded")} if isinstance(metadata, dict) else {}

    def _leaves(self, group: str) -> Iterator[str]:
        pending, seen = list(self.groups.get(group, [])), {group}
        while pending:
            name = pending.pop(0)
            if name in seen:
                continue
            seen.add(name)
            if name in self.groups:
                pending += self.groups[name]
            else:
                yield name

    def _counts(self, task: str) -> tuple[float, float]:
        counts = self._of("n-samples", task)
        if not isinstance(counts, dict):
            return math.nan, math.nan
        return _number(counts.get("effective")), _number(counts.get("original"))

    def _direction(self, task: str, metric: str) -> bool | None:
        directions = self._of("higher_is_better", task)
        direction = directions.get(metric) if isinstance(directions, dict) else None
        return direction if isinstance(direction, bool) else None


def _asked(content: Mapping[str, Any]) -> list[str]:
    """What stood around the prompts: the chat template, and a system prompt by the start of lm-eval's hash of it."""
    system = _text(content.get("system_instruction_sha"))[:8]
    return ["chat template"] * bool(content.get("chat_template_sha")) + [f"system prompt {system}"] * bool(system)


def model_name(content: Mapping[str, Any]) -> str:
    """The model's name as a reader knows it.

    >>> model_name({"config": {"model": "hf", "model_args": "pretrained=/data/tiny,peft=/data/lora"}})
    'tiny + lora'
    >>> model_name({"config": {"model": "dummy", "model_args": {}}, "model_name": "x7kd92ba"})
    'dummy'
    """
    config = _mapping(content, "config")
    arguments = _model_arguments(config.get("model_args"))
    if not any(key in arguments for key in _NAMING_ARGUMENTS):
        return str(config.get("model") or content.get("model_source") or "unknown")
    base = next((arguments[key] for key in ("pretrained", "model", "path", "engine") if key in arguments), "")
    changes = [arguments[key] for key in ("delta", "peft") if key in arguments]
    return " + ".join(_short(name) for name in (base, *changes) if name)


def _method(arguments: Mapping[str, str], path: Path) -> tuple[str, str]:
    """Method and base model from the ``method.json`` in the model's folder or beside the result file."""
    folders = [Path(arguments[key]) for key in _NAMING_ARGUMENTS if arguments.get(key)]
    for file in (folder / METHOD_FILE for folder in (*folders, path.parent)):
        if file.is_file():
            try:
                record, _ = _load(file)
            except ValueError as error:
                raise ValueError(f"{file}, which belongs to it, is broken: {error}") from error
            if not (isinstance(record, dict) and isinstance(record.get("method"), str)):
                raise ValueError(f"{file}, which belongs to it, names no method")
            base = record.get("base")  # a name, or what our own methods write: path and checksums
            return record["method"], _short(_text(base.get("path") if isinstance(base, dict) else base))
    return "", ""


def _model_arguments(value: object) -> dict[str, str]:
    if isinstance(value, dict):
        return {str(key): str(argument) for key, argument in value.items()}
    pairs = (item.partition("=") for item in value.split(",")) if isinstance(value, str) else ()
    return {key.strip(): argument.strip() for key, _, argument in pairs}


def _pack(metadata: Mapping[str, Any]) -> str:
    """Name and short hash of a prompt pack; empty for the project's own prompts."""
    name = _text(metadata.get("prompt_pack"))
    if name in ("", "default", "harness-ext"):
        return ""
    return f"{Path(name).name} {_text(metadata.get('prompt_pack_sha256'))[:12]}".strip()


def _short(name: str) -> str:
    """A hub name stays whole, a local path is cut to its last part."""
    path = Path(name)
    return path.name if path.is_absolute() or name.startswith(".") or len(path.parts) > 2 else name


def newest(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Keep the newest of numbers that answer the same question, and count the others.

    Same question: same model, method, task, metric, filter, judge, data, cap, limit, shots, prompt pack, settings and
    task version.
    Of runs with the same start time the last path in alphabetical order wins.
    """
    question = [
        "model", "method", "base", "task", "metric", "filter", "data", "cap", "limit", "num_fewshot", "prompt_pack",
        "judge", "judge_version", "setting", "task_version", "chat_template_hash", "model_hash",
    ]  # fmt: skip
    ordered = frame.sort_values(["date", "run"], kind="stable", na_position="first")
    kept = ordered.drop_duplicates(question, keep="last").sort_index()
    return kept.reset_index(drop=True), len(frame) - len(kept)


def check_samples(path: Path) -> Problem | None:
    """Read a samples file line by line; the first line that is no sample is the problem."""
    try:
        for _ in sample_lines(path):
            pass
    except ValueError as error:
        return Problem(path, str(error))
    return None


def sample_lines(path: Path, filters: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The samples of a file, plain or gzip, one at a time; each has a ``filter``.

    Versions of lm-eval before 0.4.8 write a doc once for each filter without saying which: the k-th line of a doc
    belongs to the task's k-th filter. With several ranks docs are not in order, which does not matter here.

    Args:
        path: the file.
        filters: the names of the task's filters in their order, for files that do not name them.

    Raises:
        ValueError: a line is cut off, broken or no sample, or there is none.
    """
    number = 0
    seen: Counter[object] = Counter()
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, 1):
                sample = json.loads(line)
                if not (isinstance(sample, dict) and "doc_id" in sample):
                    raise ValueError(f"line {number} is not a sample of lm-eval (no doc_id)")
                if "filter" not in sample:
                    turn = seen[sample["doc_id"]]
                    seen[sample["doc_id"]] += 1
                    sample["filter"] = filters[turn] if turn < len(filters) else "none"
                yield sample
    except (OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"cut off or broken after line {max(number - 1, 0)}: {error}") from error
    if not number:
        raise ValueError("empty")


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Every file once, folders walked in a fixed order, hidden files and folders left alone."""
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist; give result files of lm-eval or the folder of its --output_path.")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if file.is_file() and not hidden and file not in seen:
                seen.add(file)
                yield file


def _load(path: Path) -> tuple[object, str]:
    """The parsed file and the sha256 of its text, packed or not."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    try:
        content = json.loads(raw.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"broken or cut-off JSON: {error}") from error
    if rb"\ud" in raw.lower():  # half a surrogate pair is valid JSON but no text: no table or page could hold it
        try:
            json.dumps(content, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"has half of a surrogate pair, which is no text: {error.object[error.start]!a}"
            ) from error
    return content, hashlib.sha256(raw).hexdigest()


def open_text(path: Path) -> Any:
    """A text file, plain or gzip, opened to be read."""
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz")


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _is_score(value: object) -> bool:
    return value is None or isinstance(value, int | float) or value == "N/A"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _text(value: object) -> str:
    return "" if value is None else str(value)
