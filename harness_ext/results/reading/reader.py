"""Reads one results file of lm-eval (0.4.3 to 0.4.13) into the rows of the tidy frame."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness_ext.files import is_file, parse_json, read_text
from harness_ext.results.benches import declared
from harness_ext.results.reading import identity
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.judges import JUDGED_METRICS, JudgeRecord, judge_of
from harness_ext.results.reading.placement import bare_name, place
from harness_ext.results.reading.prompt_format import warning
from harness_ext.results.reading.pseudo_likelihood import reported_name

# lm-eval names a run after these model arguments and draws a random name when none is given.
_NAMING_ARGUMENTS = ("peft", "delta", "pretrained", "model", "path", "engine")

METHOD_FILE = "method.json"
"""Written by this package's methods beside the checkpoint: how it was made, and from what."""


class LeftOut(NamedTuple):
    """What a results file holds beside its rows."""

    bypassed: int
    """Scores of ``--predict_only``, which are no scores."""
    odd: list[str]
    """Metrics whose value is no number, each with the reason."""


def rows_of(content: object, path: Path, digest: str = "") -> tuple[list[Row], LeftOut]:
    """The rows of one parsed result file, and what was left out.

    Args:
        content: the parsed file.
        path: where it is; a ``method.json`` is looked for beside it.
        digest: sha256 of the file.

    Raises:
        ValueError: the content is not a result file of lm-eval 0.4, or holds no score.
    """
    if not (isinstance(content, dict) and isinstance(content.get("results"), dict)):
        raise ValueError("JSON, but not a result file of lm-eval (no results and configs)")
    if "configs" not in content:
        if "versions" in content and "config" in content:
            raise ValueError(
                "a result file of lm-eval 0.3, which is not read; run its tasks with lm-eval 0.4.3 or newer"
            )
        raise ValueError("JSON, but not a result file of lm-eval (no results and configs)")
    _refuse_other_forms(content)
    run = _Run(content, path, digest)
    rows: list[Row] = []
    left_out = LeftOut(0, [])
    for task, scores in content["results"].items():
        if not isinstance(scores, dict):
            raise ValueError(f"results of {task} are not a mapping of metrics")
        for key, value in scores.items():
            metric, comma, name = key.partition(",")
            if not comma or (metric.endswith("_stderr") and f"{metric.removesuffix('_stderr')},{name}" in scores):
                continue  # name, alias, sample_len, … and the errors that belong to a metric
            if metric == "bypass":
                left_out = left_out._replace(bypassed=left_out.bypassed + 1)
            elif not _is_score(value):
                left_out.odd.append(f"{task}: {metric},{name} is {type(value).__name__}, not a number")
            else:
                rows.append(run.row(task, metric, name, value, scores.get(f"{metric}_stderr,{name}")))
    if not rows and left_out.odd:
        raise ValueError(left_out.odd[0])
    if not rows and not left_out.bypassed:
        raise ValueError("a result file of lm-eval without a single score")
    return rows, left_out


_FORMS: Mapping[str, type] = {
    **dict.fromkeys(("config", "versions", "n-shot", "task_hashes"), object),
    **{"configs": dict, "groups": dict, "n-samples": dict, "higher_is_better": dict, "group_subtasks": list},
}
"""Parts of a results file that are mappings, and what they hold for each task where that must be of one form."""


def _refuse_other_forms(content: Mapping[str, Any]) -> None:
    """Refuse a file in which what is said of the tasks has another form than lm-eval's: it would be half understood."""
    for part, form in _FORMS.items():
        told = content.get(part, {})
        if not isinstance(told, dict):
            raise ValueError(f"{part} is a {type(told).__name__}, not a mapping")
        for task, own in told.items():
            if not isinstance(own, form):
                raise ValueError(f"{part} of {task} is a {type(own).__name__}, not a {form.__name__}")
    for task, config in content["configs"].items():
        for key in ("filter_list", "metric_list"):
            listed = config.get(key) or []
            if not (isinstance(listed, list) and all(isinstance(entry, dict) for entry in listed)):
                raise ValueError(f"{key} of {task} is no list of mappings")


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
            "run_hash": digest[: identity.HASH],
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
        self.identity = identity.digest((name, method, base), identity.of_run(content))
        self.groups = groups_of(content)
        self._told: dict[str, Row] = {}
        self._switches: dict[str, Mapping[str, Any]] = {}
        self._records: dict[str, list[tuple[str, str]]] = {}

    def row(self, task: str, metric: str, name: str, value: object, stderr: object) -> Row:
        """One score. A group takes from its leaves what lm-eval records for leaves only."""
        if task not in self._told:
            self._told[task] = self._row_of(task)
        told = self._told[task]
        leaf = next(self._leaves(told.task), task)
        judge = self._judge(leaf, metric, name, self._metadata(leaf))
        return told.model_copy(
            update={
                "metric": reported_name(metric, self.backend),
                "filter": name,
                "value": _number(value),
                "stderr": _number(stderr),
                "judge": judge.judge,
                "judge_version": judge.version,
                "judge_agreement": judge.agreement,
                "unit": judge.scale if metric == "harm_score" else "",
                "higher_is_better": self._direction(task, metric),
            }
        )

    def _row_of(self, task: str) -> Row:
        """What all scores of a task or group share."""
        plain = bare_name(task)
        leaves = list(self._leaves(plain))
        sources = [self._metadata(leaf) for leaf in (leaves or [task])]
        metadata = sources[0]
        # A group's place follows from its name and the benchmark of its leaves; part and variant are the leaves' own.
        own = {key: value for key, value in metadata.items() if key == "bench"} if leaves else metadata
        bench, variant, part = place(plain, own, self.groups)
        counts = [self._counts(leaf) for leaf in (leaves or [task])]
        switches = [
            f"{key} {metadata[key]}"
            for key, usual in declared(bench).usual.items()
            if metadata.get(key) is not None and metadata[key] != usual
        ]
        return Row.model_validate(
            {
                **self.shared,
                "identity": identity.digest(self.identity, *map(self._record, leaves or [task])),
                "bench": bench,
                "variant": variant,
                "task": plain,
                "part": part,
                "level": "group" if leaves else "task",
                "metric": "",
                "value": math.nan,
                "n": math.fsum(effective for effective, _ in counts),
                "n_total": math.fsum(original for _, original in counts),
                "data": "sample" if any(source.get("data") == "sample" for source in sources) else "real",
                "cap": self._cap(leaves[0] if leaves else task, metadata),
                "setting": ", ".join(switches + self.asked),
                "chance": _number(metadata.get("chance")),
                "num_fewshot": self._shots(leaves or [task]),
                "prompt_pack": _pack(metadata),
                "task_version": _text(self._of("versions", task)),
                "task_hash": _text(self._of("task_hashes", task)),
            }
        )

    def _judge(self, task: str, metric: str, name: str, metadata: Mapping[str, Any]) -> JudgeRecord:
        """Who gave a number; ``invalid`` is a judge's where the task has numbers that only a judge can give."""
        config = self._of("configs", task)
        if isinstance(config, dict) and (
            metric in JUDGED_METRICS
            or (metric == "invalid" and any(f"{own},{name}" in self._scores(task) for own in JUDGED_METRICS))
        ):
            return judge_of(config, name)
        named = metadata.get("judge")
        return JudgeRecord(named if isinstance(named, str) else "")

    def _scores(self, task: str) -> Mapping[str, Any]:
        return _mapping(_mapping(self.content, "results"), task)

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
        if task not in self._switches:
            config = self._of("configs", task)
            self._switches[task] = identity.switches(self.content, config) if isinstance(config, dict) else {}
        return self._switches[task]

    def _record(self, task: str) -> list[tuple[str, str]]:
        """What is recorded of a task, which the groups above it are made of, too."""
        if task not in self._records:
            told = identity.of_task(self.content, self._key(task))
            self._records[task] = [item for item in told if item[0] != "task_hash"]
        return self._records[task]

    def _leaves(self, group: str) -> Iterator[str]:
        return leaves_of(group, self.groups)

    def _key(self, task: str) -> str:
        """The name under which the file records a task."""
        return task if task in _mapping(self.content, "configs") else bare_name(task)

    def _counts(self, task: str) -> tuple[float, float]:
        counts = self._of("n-samples", task)
        if not isinstance(counts, dict):
            return math.nan, math.nan
        return _number(counts.get("effective")), _number(counts.get("original"))

    def _direction(self, task: str, metric: str) -> bool | None:
        directions = self._of("higher_is_better", task)
        direction = directions.get(metric) if isinstance(directions, dict) else None
        return direction if isinstance(direction, bool) else None


def groups_of(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """The children of every group of a results file, by bare names."""
    return {
        bare_name(name): [bare_name(str(child)) for child in children]
        for name, children in _mapping(content, "group_subtasks").items()
        if isinstance(children, list) and children
    }


def leaves_of(group: str, groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The tasks below a group, each once, however many subgroups it is in; none for a task."""
    pending, seen = list(groups.get(group, [])), {group}
    while pending:
        name = pending.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if name in groups:
            pending += groups[name]
        else:
            yield name


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
    return " + ".join(short(name) for name in (base, *changes) if name)


def _method(arguments: Mapping[str, str], path: Path) -> tuple[str, str]:
    """Method and base model from the ``method.json`` in the model's folder or beside the result file."""
    folders = [Path(arguments[key]) for key in _NAMING_ARGUMENTS if arguments.get(key)]
    for file in (folder / METHOD_FILE for folder in (*folders, path.parent)):
        if is_file(file):
            try:
                record, _ = load(file)
            except ValueError as error:
                raise ValueError(f"{file}, which belongs to it, is broken: {error}") from error
            if not (isinstance(record, dict) and isinstance(record.get("method"), str)):
                raise ValueError(f"{file}, which belongs to it, names no method")
            base = record.get("base")  # a name, or what our own methods write: path and checksums
            return record["method"], short(_text(base.get("path") if isinstance(base, dict) else base))
    return "", ""


def _model_arguments(value: object) -> dict[str, str]:
    arguments = identity.arguments_of(value, under="model_args")
    return {name: str(argument) for name, argument in arguments.items()}


def _pack(metadata: Mapping[str, Any]) -> str:
    """Name and short hash of a prompt pack; empty for the project's own prompts."""
    name = _text(metadata.get("prompt_pack"))
    if name in ("", "default", "harness-ext"):
        return ""
    return f"{Path(name).name} {_text(metadata.get('prompt_pack_sha256'))[:12]}".strip()


def short(name: str) -> str:
    """A hub name stays whole, a local path is cut to its last part.

    >>> short("meta/llama"), short("/data/models/llama"), short("./llama")
    ('meta/llama', 'llama', 'llama')
    """
    path = Path(name)
    local = path.is_absolute() or name.startswith((".", "~")) or len(path.parts) > 2 or path.is_dir()
    return path.name if local else name


def load(path: Path) -> tuple[object, str]:
    """The parsed JSON file and the sha256 of its text, packed or not.

    Raises:
        FileError: it cannot be read, or is no JSON.
    """
    text = read_text(path)
    return parse_json(text), hashlib.sha256(text.encode()).hexdigest()


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _is_score(value: object) -> bool:
    return value is None or isinstance(value, int | float) or value == "N/A"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _text(value: object) -> str:
    return "" if value is None else str(value)
