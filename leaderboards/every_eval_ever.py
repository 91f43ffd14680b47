"""Results as records of Every Eval Ever 0.3 (https://github.com/evaleval/every_eval_ever), samples beside them.

One record holds the numbers of one benchmark in one results file, derived scores too. What lm-eval's own file leaves
open is taken from the task and from the samples: the direction, how many docs entered a metric, the interval, who
judged and how well, and when the value of one doc is right.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import harness_ext
from harness_ext.data import load_card
from harness_ext.errors import DataError, HarnessExtError, InputError
from harness_ext.leaderboards import sampled
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.leaderboards.viewer import withheld
from harness_ext.results.reading import identity
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.judges import descriptions
from harness_ext.results.reading.placement import bare_name
from harness_ext.results.reading.reader import groups_of, leaves_of, load
from harness_ext.results.reading.runs import Runs, TaskRun
from harness_ext.results.statistics.bootstrap import CONFIDENCE, SEED
from harness_ext.results.statistics.intervals import DRAWS

SCHEMA = "0.3.0"

_RULES = ("majority_vote", "average", "weighted_average", "median")
"""How the schema lets several judges come to one score."""
_SAMPLES_ONLY = "_parsed"
"""Ends the names of metrics that leave out docs whose third value says that the answer could not be parsed."""
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_SLOT = re.compile(r"\{\{answer_(\d+)\}\}")

Key = tuple[str, str, str, str]
"""Results file, task, metric and filter of a number."""


class Rule(NamedTuple):
    """When the value of one doc is right."""

    says: str
    of: Callable[[Any], tuple[float, bool]]
    """The doc's score, and whether it is right."""


@dataclass
class Looked:
    """What samples say of numbers, noted while they are read."""

    evidence: Evidence
    docs: dict[Key, int]
    """How many docs entered a metric."""
    rules: dict[Key, Rule]
    derived: set[Key]

    @classmethod
    def new(cls) -> Looked:
        """Nothing seen yet."""
        return cls(Evidence(), {}, {}, set())

    def visit(self, rows: Sequence[Row], runs: Runs) -> tuple[Sequence[Row | None], Sequence[Row]]:
        """Intervals and derived rows as in every table; see :func:`~harness_ext.results.reading.runs.read`."""
        for row in rows:
            scores = runs.scores(row) if row.level == "task" else None
            if scores and row.metric in scores.items:
                items = [item for item in scores.items[row.metric] if _entered(item, row.metric)]
                self.docs[_key(row)] = len(items)
                if rule := rule_of(items, higher_is_better=row.higher_is_better is not False):
                    self.rules[_key(row)] = rule
        for row in rows:
            leaves = runs.leaves(row) if row.level == "group" else ()
            counts = [self.docs.get((row.run, leaf, row.metric, row.filter)) for leaf in leaves]
            if counts and None not in counts:
                self.docs[_key(row)] = sum(count or 0 for count in counts)
        found, more = self.evidence.visit(rows, runs)
        self.derived |= {_key(row) for row in more}
        return found, more


def _key(row: Row) -> Key:
    return row.run, row.task, row.metric, row.filter


def _entered(item: Any, metric: str) -> bool:
    """Whether a doc's value is part of the metric: defined, and parsed where the metric is of parsed answers."""
    values = item if isinstance(item, list) else [item]
    undefined = any(value is None or (isinstance(value, float) and math.isnan(value)) for value in values)
    return not undefined and not (metric.endswith(_SAMPLES_ONLY) and values[2:] == [True])


def rule_of(items: Sequence[Any], *, higher_is_better: bool) -> Rule | None:
    """When a doc is right, from what its metric's values look like; None where they do not say it.

    >>> rule = rule_of([0.0, 0.5, 1.0], higher_is_better=False)
    >>> rule.says, rule.of(0.0), rule.of(0.5)
    ('the value is 0, the best there is', (0.0, True), (0.5, False))
    >>> rule_of([["yes", "no"], ["no", "no"]], higher_is_better=True).of(["no", "no"])
    (1.0, True)
    >>> rule_of([[0.25, 0.75]], higher_is_better=False).of([0.25, 0.75])
    (0.5, False)
    >>> rule_of([3.5, 80.0], higher_is_better=True) is None
    True
    """
    if not items:
        return None
    if all(_is_number(item) for item in items):
        top = 100.0 if {*items} <= {0, 100} and 100 in items else 1.0
        best = top if higher_is_better else 0.0
        if not all(0 <= item <= top for item in items):
            return None
        return Rule(f"the value is {best:g}, the best there is", lambda item: (float(item), item == best))
    pairs = [item[:2] for item in items if isinstance(item, list) and len(item) in (2, 3)]
    if len(pairs) != len(items):
        return None
    if all(isinstance(part, float) for pair in pairs for part in pair):
        says = "gold and prediction are equal; the score is the distance between them"
        return Rule(says, lambda item: (abs(item[0] - item[1]), item[0] == item[1] and item[2:] != [True]))
    if all(isinstance(part, str | int) for pair in pairs for part in pair):
        return Rule("gold and answer are the same class", lambda item: (float(item[0] == item[1]), item[0] == item[1]))
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


class Record(NamedTuple):
    """One record, and where it and its samples belong below the folder that is written to."""

    path: PurePosixPath
    content: dict[str, Any]
    samples: Callable[[], Iterator[dict[str, Any]]]
    """The lines of the file beside it; none without samples that may be passed on."""


class Exported(NamedTuple):
    """All records of some runs, and what they leave out."""

    records: list[Record]
    notes: list[str]


def records(runs: Runs, looked: Looked, *, organization: str, now: float, unlocked: bool = False) -> Exported:
    """The records of all numbers that were measured.

    Args:
        runs: read with ``looked.visit``.
        looked: what it saw.
        organization: who ran the evaluation, and made models that are no names of the Hub.
        now: seconds since 1970.
        unlocked: take samples of personal, harmful or unknown sources, too.

    Raises:
        InputError: there is no result, or a task cannot be exported; nothing is left out in silence.
        DataError: a file could not be read.
    """
    if runs.problems:
        raise DataError(f"{runs.problems[0]}. Mend or move it away: an export leaves nothing out.")
    rows = [row for row in to_rows(runs.frame) if row.origin == "measured"]
    if not rows:
        raise InputError("no result of lm-eval was found; give the folder of its --output_path.")
    refused: dict[str, str] = {}
    notes: list[str] = []
    found: list[Record] = []
    ordered = sorted(rows, key=lambda row: (row.run, row.bench))  # stable: the file's order within
    for (run, _), own in groupby(ordered, key=lambda row: (row.run, row.bench)):
        content, _ = load(Path(run))
        assert isinstance(content, dict)  # noqa: S101 - it was read before
        of_file = _File(content, runs, looked, organization, now, unlocked=unlocked)
        try:
            found.append(of_file.record(list(own), notes))
        except _RefusedError as error:
            refused |= error.tasks
    if refused:
        told = "; ".join(f"{task}: {reason}" for task, reason in refused.items())
        raise InputError(
            f"nothing was exported, because the schema has no place for these tasks: {told}. Give results without them."
        )
    return Exported(found, list(dict.fromkeys(notes)))


class _RefusedError(Exception):
    def __init__(self, tasks: Mapping[str, str]) -> None:
        super().__init__()
        self.tasks = dict(tasks)


class _File:
    """One results file."""

    def __init__(
        self, content: Mapping[str, Any], runs: Runs, looked: Looked, organization: str, now: float, *, unlocked: bool
    ) -> None:
        self.content, self.runs, self.looked = content, runs, looked
        self.organization, self.now, self.unlocked = organization, now, unlocked
        self.configs = {bare_name(task): config for task, config in content["configs"].items()}
        self.groups = groups_of(content)

    def record(self, rows: Sequence[Row], notes: list[str]) -> Record:
        first = rows[0]
        model = self._model(first)
        stamp = str(int(self.now))
        folder = PurePosixPath("data", *map(_component, (first.bench, *model["id"].split("/", 1))))
        name = str(uuid.UUID(bytes=hashlib.sha256(f"{first.run_hash} {first.bench}".encode()).digest()[:16], version=4))
        of_maker = model["id"].startswith(f"{self.organization}/")
        head: dict[str, Any] = {
            "schema_version": SCHEMA,
            "evaluation_id": f"{first.bench}.{first.run_hash}/{model['id']}/{stamp}",
            "retrieved_timestamp": stamp,
            **({"evaluation_timestamp": str(int(first.date))} if math.isfinite(first.date) else {}),
            "source_metadata": {
                "source_name": "lm-evaluation-harness with harness-ext",
                "source_type": "evaluation_run",
                "source_organization_name": self.organization,
                "evaluator_relationship": "first_party" if of_maker else "third_party",
            },
            "eval_library": {
                "name": "lm_eval",
                "version": first.lm_eval_version or "unknown",
                "additional_details": {"harness_ext": harness_ext.__version__},
            },
            "model_info": model,
        }
        results: list[dict[str, Any]] = []
        left_out: list[str] = []
        refused = dict.fromkeys((row.task for row in rows), "of none of its metrics the task states a direction")
        for row in rows:
            if row.higher_is_better is None:
                left_out.append(f"{row.metric}: neither higher nor lower is better")
                continue
            refused.pop(row.task, None)
            if not math.isfinite(row.value):
                left_out.append(f"{row.metric},{row.filter} of {row.task}: undefined or not finite")
                continue
            try:
                results.append(self._result(row))
            except InputError as error:
                raise _RefusedError({row.task: str(error)}) from error
        if refused:
            raise _RefusedError(refused)
        if left_out:
            told = "; ".join(dict.fromkeys(left_out))
            head["source_metadata"]["additional_details"] = {"left_out": told}
            notes.append(f"{first.bench}: the schema has no place for some numbers, which are left out. {told}.")
        shown = self._with_samples(rows, notes)
        path = folder / f"{name}.json"
        return Record(path, head | {"evaluation_results": results}, lambda: self._samples(shown, head))

    def _model(self, row: Row) -> dict[str, Any]:
        config = self.content["config"] if isinstance(self.content.get("config"), dict) else {}
        arguments = identity.arguments_of(config.get("model_args"), under="model_args")
        local = "pretrained" in arguments and "base_url" not in arguments
        about = {"method": row.method, "base": row.base, "revision": row.model_hash, "backend": config.get("model")}
        model: dict[str, Any] = {
            "name": row.model,
            "id": row.model if "/" in row.model else f"{self.organization}/{row.model}",
            "additional_details": {
                "deployment_type": "self_deployed" if local else "unknown",
                "model_availability": "unknown",
                **_texts(about),
            },
        }
        return model | {"developer": model["id"].partition("/")[0]}

    def _result(self, row: Row) -> dict[str, Any]:
        leaf = next(leaves_of(row.task, self.groups), row.task)
        config = self.configs.get(leaf, {})
        docs, rule = self.looked.docs.get(_key(row)), self.looked.rules.get(_key(row))
        derived = _key(row) in self.looked.derived
        uncertainty: dict[str, Any] = {} if docs is None else {"num_samples": docs}
        if math.isfinite(row.stderr):
            uncertainty["standard_error"] = {"value": row.stderr}
        if math.isfinite(row.low) and math.isfinite(row.high):
            uncertainty["confidence_interval"] = {
                "lower": row.low,
                "upper": row.high,
                "confidence_level": CONFIDENCE,
                "method": f"bootstrap over docs (BCa, else percentile), seed {SEED}",
            }
            uncertainty["num_bootstrap_samples"] = DRAWS
        about = {
            "level": row.level,
            "derived": "by harness-ext from other scores of the run" if derived else "",
            "task_version": row.task_version,
            "docs_of_the_task": _whole(row.n),
            "docs_before_limit": _whole(row.n_total),
            "limit": _whole(row.limit),
            "data": "sample records of the package, never a benchmark score" if row.data == "sample" else "",
            "note": row.note,
        }
        return {
            "evaluation_result_id": _result_id(row),
            "evaluation_name": row.task,
            "source_data": self._source(row, config),
            "metric_config": {
                "evaluation_description": f"{row.metric} of {row.task}, filter {row.filter}",
                "metric_id": f"{row.bench}.{row.metric}",
                "metric_name": row.metric,
                **({"metric_unit": row.unit} if row.unit else {}),
                "lower_is_better": not row.higher_is_better,
                **self._judges(row, config),
                "additional_details": _texts(
                    {
                        "filter": row.filter,
                        "judge": row.judge,
                        "judge_version": row.judge_version,
                        "judge_agreement": row.judge_agreement,
                        "is_correct": rule.says if rule else "the values of single docs do not say it: no sample rows",
                    }
                ),
            },
            "score_details": {
                "score": row.value,
                "details": _texts(about),
                **({"uncertainty": uncertainty} if uncertainty else {}),
            },
            "generation_config": self._generation(row, config),
        }

    def _generation(self, row: Row, config: Mapping[str, Any]) -> dict[str, Any]:
        asked = config.get("generation_kwargs")
        asked = dict(asked) if isinstance(asked, dict) else {}
        names = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_gen_toks": "max_tokens"}
        arguments = {name: asked.pop(key) for key, name in names.items() if _is_number(asked.get(key))}
        about = {key: json.dumps(value, default=str) for key, value in asked.items()}
        about |= {"setting": row.setting, "prompt_pack": row.prompt_pack, "num_fewshot": _whole(row.num_fewshot)}
        return {"generation_args": arguments, "additional_details": _texts(about)}

    def _source(self, row: Row, config: Mapping[str, Any]) -> dict[str, Any]:
        if row.data == "sample":
            return {"dataset_name": f"{row.bench}: sample records of the package", "source_type": "other"}
        named = identity.switches(self.content, config).get("source")
        names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
        try:
            cards = [load_card(str(name)) for name in names]
        except HarnessExtError:  # the card of a package that is not installed here
            cards = []
        if cards and all(card.homepage for card in cards):
            about = {f"licence of {card.source}": card.licence for card in cards}
            urls = [str(card.homepage) for card in cards]
            return {"dataset_name": ", ".join(names), "source_type": "url", "url": urls, "additional_details": about}
        path = config.get("dataset_path")
        if isinstance(path, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", path):
            split = config.get("test_split") or config.get("validation_split")
            return {
                "dataset_name": row.bench,
                "source_type": "hf_dataset",
                "hf_repo": path,
                **_texts({"hf_split": split}),
            }
        return {"dataset_name": row.bench, "source_type": "other"}

    def _judges(self, row: Row, config: Mapping[str, Any]) -> dict[str, Any]:
        """The models that judged; a rule is no model, and is named among the details."""
        metadata = config.get("metadata")
        told = (
            list(descriptions(config, metadata if isinstance(metadata, dict) else {}, row.filter)) if row.judge else []
        )
        models = [own for own in told if own.get("model")]
        if not models:
            return {}
        rule = next((own["combined_by"] for own in models if own.get("combined_by")), None)
        if len(models) > 1 and rule not in _RULES:
            raise InputError(f"{row.metric} of several judges with no rule among {', '.join(_RULES)} (combined_by)")
        return {
            "llm_scoring": {
                "judges": [_judge(own) for own in models],
                "input_prompt": json.dumps(models[0].get("prompt", "not recorded")),
                **({"aggregation_method": rule} if rule in _RULES else {}),
            }
        }

    def _with_samples(self, rows: Sequence[Row], notes: list[str]) -> list[tuple[TaskRun, list[Row]]]:
        """The tasks whose samples go beside the record, each with the numbers that single docs have a value for."""
        found: dict[str, tuple[TaskRun, list[Row]]] = {}
        for row in rows:
            task = self.runs.task(row) if row.level == "task" else None
            if task is None or _key(row) not in self.looked.rules or not math.isfinite(row.value):
                continue
            reason = "" if self.unlocked else withheld(task.switches, row.data)
            if reason:
                notes.append(f"{row.task}: its samples are left out, because {reason}; --show-samples exports them.")
            else:
                found.setdefault(row.task, (task, []))[1].append(row)
        return list(found.values())

    def _samples(self, shown: Sequence[tuple[TaskRun, list[Row]]], head: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for task, rows in shown:
            for line in replace(task, rows={(row.metric, row.filter): row for row in rows}).lines():
                own = [
                    row for row in rows if row.filter == line["filter"] and _entered(line.get(row.metric), row.metric)
                ]
                asked = _interaction(line) if own else {}
                for row in own:
                    score, right = self.looked.rules[_key(row)].of(line[row.metric])
                    turns = {"num_turns": len(asked["messages"]) // 2} if "messages" in asked else {}
                    yield {
                        "schema_version": SCHEMA,
                        "evaluation_id": head["evaluation_id"],
                        "model_id": head["model_info"]["id"],
                        "evaluation_name": row.task,
                        "evaluation_result_id": _result_id(row),
                        **asked,
                        "evaluation": {"score": score, "is_correct": bool(right), **turns},
                    }


def _result_id(row: Row) -> str:
    place = (row.family, row.part) if row.level == "group" else ()
    return "/".join([row.task, *filter(None, place), row.metric, row.filter])


def _interaction(line: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked and answered of one doc."""
    doc = line["doc"] if isinstance(line.get("doc"), dict) else {}
    prompt, choices = sampled.request(line.get("arguments"))
    options = sampled.options_of(line.get("resps"), choices)
    gold = sampled.gold(line.get("target"), choices)
    picked = sampled.options_of(line.get("filtered_resps"), choices)
    answers = _turns(line.get("resps")) if isinstance(doc.get("turns"), list) else []
    told: dict[str, Any] = {
        "sample_id": str(doc.get("id", line["doc_id"])),
        "sample_hash": hashlib.sha256(json.dumps([prompt, gold]).encode()).hexdigest(),
        "interaction_type": "multi_turn" if answers else "single_turn",
        "input": {
            "raw": prompt,
            "reference": [gold],
            **({"choices": [own.strip() for own in choices]} if options else {}),
        },
    }
    last = 0
    if answers:
        told["messages"] = _messages(doc["turns"], answers)
        last = len(told["messages"]) - 1
    else:
        told["output"] = {"raw": [options[0].label if options else sampled.answer(line.get("resps"))]}
    told["answer_attribution"] = [
        {
            "turn_idx": last,
            "source": f"messages[{last}].content" if answers else "output.raw",
            "extracted_value": picked[0].label if picked else sampled.plain(line.get("filtered_resps")),
            "extraction_method": "likeliest option" if picked else f"filter {line['filter']}",
            "is_terminal": True,
        }
    ]
    return told


def _turns(responses: object) -> list[str]:
    """The answers of the first dialogue of a doc, which is saved as one list in JSON."""
    whole = sampled.answers(responses)
    try:
        told = json.loads(whole[0]) if whole and isinstance(whole[0], str) else []
    except ValueError:
        return []
    return told if isinstance(told, list) and all(isinstance(answer, str) for answer in told) else []


def _messages(turns: Sequence[Any], answers: Sequence[str]) -> list[dict[str, Any]]:
    said = [turn if isinstance(turn, str) else str(turn.get("user", "")) for turn in turns]
    found = []
    for number, answer in enumerate(answers):
        filled = _SLOT.sub(lambda slot: answers[int(slot[1]) - 1], said[number]) if number < len(said) else ""
        found += [("user", filled), ("assistant", answer)]
    return [{"turn_idx": at, "role": role, "content": text} for at, (role, text) in enumerate(found)]


def _judge(told: Mapping[str, Any]) -> dict[str, Any]:
    name = str(told["model"])
    about = {key: json.dumps(told[key]) for key in ("parser", "fingerprint", "agreement", "compat") if told.get(key)}
    decoding = told.get("decoding")
    temperature = decoding.get("temperature") if isinstance(decoding, dict) else None
    unknown = {"deployment_type": "unknown", "model_availability": "unknown"}
    return {
        "model_info": {"name": name, "id": name, "additional_details": unknown},
        **({"temperature": temperature} if _is_number(temperature) else {}),
        "additional_details": about,
    }


def _component(name: str) -> str:
    """A name as one part of a path that every system can have."""
    plain = _NOT_IN_NAMES.sub("_", name).rstrip(". ")
    return f"_{plain}" if plain in ("", "data") else plain


def _whole(number: float) -> str:
    return f"{number:g}" if math.isfinite(number) else ""


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """The values that there are, as the schema's texts."""
    return {key: str(value) for key, value in values.items() if value not in (None, "")}
