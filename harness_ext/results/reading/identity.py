"""What a results file records of a run: two results are the same run only if all of it is the same.

Left out are time, machine and order, which say nothing about what was measured.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

Record = tuple[tuple[str, str], ...]
"""Everything recorded, by name, in the order of the names."""

_ELSEWHERE = frozenset(
    {
        "results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples",
        "task_hashes", "samples", "config",
        # names for what is recorded in full beside them; lm-eval invents one for a model without a name
        "model_name", "model_name_sanitized", "model_source", "chat_template", "system_instruction",
    }
)  # fmt: skip
_HASHED = ("chat_template", "system_instruction")
"""Texts beside which lm-eval writes a hash; where it is missing they count themselves."""
_TIME_AND_MACHINE = frozenset(
    {
        "date", "start_time", "end_time", "total_evaluation_time_seconds", "pretty_env_info", "git_hash",
        "upper_git_hash", "device", "batch_size", "batch_sizes", "max_batch_size", "config_source", "usage",
    }
)  # fmt: skip
INCIDENTAL = frozenset({"replay_files", "replay_answers", "rejudged", "lm_eval_version", "transformers_version"})
"""Part of a run's identity, but not of what was asked: stored answers to other tasks, where verdicts were given
afterwards (their judges have columns of their own), versions of the engine."""


CONSEQUENCES = frozenset({"docs", "task_hash"})
"""What follows from other differences: named only where nothing else is recorded."""


def is_seed(name: str) -> bool:
    """Whether something recorded is a seed.

    >>> [name for name in ("random_seed", "seed", "model") if is_seed(name)]
    ['random_seed', 'seed']
    """
    return name == "seed" or name.endswith("_seed")


HASH = 12
"""Characters of a file's sha256 that rows keep."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_LONGEST = 60  # characters of a value that is written out


def of_run(content: Mapping[str, Any]) -> Record:
    """What is recorded of a whole run: model, its arguments, generation arguments, seeds, limit, templates, versions.

    >>> of_run({"date": 1.0, "lm_eval_version": "0.4.13", "config": {"model": "hf", "model_args": "revision=step1"}})
    (('lm_eval_version', '0.4.13'), ('model', 'hf'), ('revision', 'step1'))
    """
    config = content.get("config")
    config = config if isinstance(config, dict) else {}
    found = {name: value for name, value in content.items() if name not in _ELSEWHERE}
    found |= {name: content[name] for name in _HASHED if content.get(name) and not content.get(f"{name}_sha")}
    found |= {name: value for name, value in config.items() if name not in ("model_args", "gen_kwargs")}
    for arguments in ("gen_kwargs", "model_args"):
        found |= arguments_of(config.get(arguments), under=arguments)
    return _record(found)


def of_task(content: Mapping[str, Any], task: str) -> Record:
    """What is recorded of one task of a run: its configuration with every switch, version, demonstrations, docs."""
    config = _of(content, "configs", task)
    config = config if isinstance(config, dict) else {}
    found = {name: value for name, value in config.items() if name not in ("metadata", "task", "task_alias")}
    found |= {"metadata": config.get("metadata")} if not isinstance(config.get("metadata"), dict) else {}
    found |= switches(content, config)
    for section, name in (("versions", "version"), ("n-shot", "demonstrations"), ("n-samples", "docs")):
        if (value := _of(content, section, task)) is not None:
            found[name] = value
    found["direction of metrics"] = _of(content, "higher_is_better", task)
    found["task_hash"] = _of(content, "task_hashes", task)
    return _record(found)


def sources(content: Mapping[str, Any]) -> set[str]:
    """The results files that a rejudged one was made from, by the start of their sha256 as rows have it.

    >>> sources({"rejudged": {"sources": [{"samples": "samples_x.jsonl", "results_sha256": "0a1b2c3d4e5f60"}]}})
    {'0a1b2c3d4e5f'}
    """
    told = content.get("rejudged")
    files = told.get("sources") if isinstance(told, dict) else None
    named = [file.get("results_sha256") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    return {name[:HASH] for name in named if isinstance(name, str) and name}


def switches(content: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a task and what its loader recorded, without the model arguments that lm-eval mixes in."""
    metadata = config.get("metadata")
    if not isinstance(metadata, dict):
        return {}
    recorded = metadata.get("recorded")
    run = content.get("config")
    mixed_in = arguments_of(run.get("model_args"), under="model_args") if isinstance(run, dict) else {}
    told = {
        name: value
        for name, value in metadata.items()
        if name != "recorded" and not (name in mixed_in and str(mixed_in[name]) == str(value))
    }
    return told | (recorded if isinstance(recorded, dict) else {})


def arguments_of(value: object, *, under: str) -> dict[str, Any]:
    """Arguments of the command line, which lm-eval records as a mapping or as the text that was typed.

    >>> arguments_of("pretrained=gpt2,dtype=float16", under="model_args")
    {'pretrained': 'gpt2', 'dtype': 'float16'}
    """
    if isinstance(value, dict):
        return {str(name): argument for name, argument in value.items()}
    if isinstance(value, str):
        pairs = (item.partition("=") for item in value.split(",") if item.strip())
        return {name.strip(): argument.strip() for name, _, argument in pairs}
    return {} if value is None else {under: value}


def digest(*records: Iterable[object]) -> str:
    """A short name for the whole of some records."""
    return hashlib.sha256(repr(records).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def differing(records: Iterable[Record]) -> tuple[str, ...]:
    """The names under which records do not all hold the same, in the order in which they come.

    >>> differing([(("limit", "10"), ("seed", "1")), (("seed", "1"),), (("limit", "20"), ("seed", "1"))])
    ('limit',)
    """
    told = [dict(record) for record in dict.fromkeys(records)]
    names = dict.fromkeys(name for record in told for name in record)
    return tuple(name for name in names if len({record.get(name) for record in told}) > 1)


def words(record: Record, names: Iterable[str], source: str) -> list[str]:
    """What a record holds under some names, for people; a long value is named by the results file that has it.

    >>> words((("doc_to_text", "x" * 99), ("revision", "step1")), ["revision", "doc_to_text", "limit"], "0a1b2c3d")
    ['revision step1', 'doc_to_text of 0a1b2c3d']
    """
    told = dict(record)
    found = [(name, told[name]) for name in names if name in told]
    return [f"{name} {value}" if len(value) <= _LONGEST else f"{name} of {source}" for name, value in found]


def _record(found: Mapping[str, Any]) -> Record:
    kept = {
        name: _plain(value)
        for name, value in found.items()
        if name not in _TIME_AND_MACHINE and value is not None and value not in ("", [], {})
    }
    return tuple(sorted(kept.items()))


def _plain(value: object) -> str:
    """A value as text, without the memory addresses that lm-eval writes for functions."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return _ADDRESS.sub("", text)


def _of(content: Mapping[str, Any], section: str, task: str) -> Any:
    values = content.get(section)
    return values.get(task) if isinstance(values, dict) else None
