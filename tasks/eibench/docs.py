"""Docs of EiBench-R: records of a part with an instruction, capped, as lm-eval reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeVar

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.errors import InputError
from harness_ext.scoring.options import hashed_choice
from harness_ext.tasks.eibench.parts import Part, Record, Split
from harness_ext.tasks.eibench.readers import part_of

Doc = dict[str, Any]
_DEFAULT_CAP = 500
_T = TypeVar("_T")


@cache
def wording(name: str) -> Any:
    """The instructions of a part, or of its twin."""
    file = resources.files("harness_ext.tasks.eibench") / "instructions" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def instruction(part: Part, id: str) -> tuple[int, str]:
    """The paraphrase that a doc is asked with: its number and text, chosen by a hash of the doc's id.

    >>> instruction(part_of("cee"), "tr_9708_4")[0]
    1
    """
    texts = wording(part.name)
    number = hashed_choice(part.leaf, id, len(texts))
    return number, texts[number].replace("{labels}", ", ".join(map(part.show, part.labels)))


def doc_of(record: Record, leaf: str, aspect: str, asked: tuple[int, str], labels: Sequence[str], **meta: Any) -> Doc:
    """A record as the doc of a leaf, with the number and the text of the instruction it is asked with."""
    return {
        "id": record.id,
        "aspect": aspect,
        "task": leaf,
        "instruction_id": asked[0],
        "instruction": asked[1],
        "input": record.input,
        "target": record.target,
        "gold": record.gold,
        "labels": list(labels),
        "refs": list(record.refs),
        "meta": {"answer": record.answer, **meta, **record.meta},
    }


def _doc(part: Part, record: Record) -> Doc:
    asked, labels = instruction(part, record.id), record.labels or part.labels
    return doc_of(record, part.leaf, part.aspect, asked, labels, cluster=record.cluster or record.id)


def read(part: str, split: Split) -> list[Doc]:
    """All docs of a split, uncapped and in file order, with nothing but ``id``, ``target`` and ``gold``.

    Args:
        part: name of a part, with or without ``eibench_``.
        split: ``test`` or ``dev``.

    Raises:
        InputError: there is no such part or split.
        DataError: a file of the part's source is missing.
    """
    known = part_of(part)
    if split not in known.splits:
        raise InputError(f"{known.leaf} has no split {split!r}; it has {', '.join(known.splits)}.")
    return [{"id": r.id, "target": r.target, "gold": r.gold} for r in known.read(split)]


def keep(items: Sequence[_T], ids: Sequence[str], leaf: str, cap: int | str) -> list[_T]:
    """The ``cap`` items whose ids have the smallest hashes, in their own order.

    Args:
        items: the items.
        ids: the id of each.
        leaf: task name, salt of the hash, so that two leaves over the same ids keep different docs.
        cap: how many, or ``"all"``.

    Raises:
        InputError: ``cap`` is neither a positive number nor ``"all"``.

    >>> keep(["a", "b", "c"], ["1", "2", "3"], "eibench_cee", 2)
    ['a', 'b']
    """
    if cap == "all":
        return list(items)
    if isinstance(cap, bool) or not str(cap).isdecimal() or int(cap) < 1:
        raise InputError(f'cap is {cap!r}; give a positive number or "all", e.g. --metadata \'{{"cap": "all"}}\'.')
    order = sorted(range(len(items)), key=lambda i: hashlib.sha256(f"{leaf}:{ids[i]}".encode()).hexdigest())
    return [items[i] for i in sorted(order[: int(cap)])]


def _docs(part: Part, split: Split, cap: int | str) -> list[Doc]:
    records = part.read(split)
    return [_doc(part, record) for record in keep(records, [r.id for r in records], part.leaf, cap)]


def _sample(part: Part, split: Split) -> list[Doc]:
    docs = [doc for doc in load_sample("eibench") if doc["task"] == part.leaf]
    return [doc for doc in docs if doc["id"].startswith("sample_dev_") == (split == "dev")]


@reads("cap", "data", "aliases", "option_order")
def load(
    part: str,
    *,
    cap: int | str = _DEFAULT_CAP,
    data: Literal["real", "sample"] = "real",
    aliases: Literal["on", "off"] = "on",
    form: Literal["answer", "letter", "yes_no"] = "answer",
    option_order: Literal["file", "hashed"] = "file",
    **others: object,
) -> dict[str, Dataset]:
    """Datasets of a part: ``test`` (capped), ``full`` (all of test) and, where the source has one, ``dev``.

    Args:
        part: name of the part.
        cap: docs of ``test``: the number with the smallest id hashes, or ``"all"``.
        data: ``"sample"`` takes the records bundled with the package, which are no benchmark data.
        aliases: ``"off"`` accepts only the labels themselves.
        form: ``"letter"`` asks for the bare letter of an option; ``"yes_no"`` asks about every label, option or
            candidate of a doc by itself.
        option_order: ``"hashed"`` puts the options of EmoBench into the order of a hash; other parts have none.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value.
        DataError: a file of the part's source is missing.
    """
    known = part_of(part)
    check_arguments(
        known.leaf,
        data=(data, DATA),
        aliases=(aliases, ("on", "off")),
        option_order=(option_order, ("file", "hashed")),
    )
    if option_order == "hashed" and known.reordered:
        if data == "sample":
            raise InputError(f"{known.leaf}: the bundled records have one order of options; leave option_order out.")
        known = replace(known, read=known.reordered)
    if data == "sample":
        test = full = _sample(known, "test")
        splits = {"test": test, "full": full, "dev": _sample(known, "dev")}
    else:
        full = _docs(known, "test", "all")
        splits = {"test": keep(full, [doc["id"] for doc in full], known.leaf, cap), "full": full}
        if "dev" in known.splits:
            splits["dev"] = _docs(known, "dev", "all")
    return {
        name: Dataset.from_list(_shaped(known, docs, form, aliases == "on")) for name, docs in splits.items() if docs
    }


def _shaped(part: Part, docs: Sequence[Doc], form: str, aliases: bool) -> list[Doc]:
    marked = [doc | {"meta": {**doc["meta"], "aliases": aliases}} for doc in docs]
    if form == "answer":
        return marked
    twin: Mapping[str, Any] = wording(f"{part.name}_ll")
    texts = twin["instructions"]
    reworded = [doc | {"instruction": texts[doc["instruction_id"] % len(texts)]} for doc in marked]
    if form == "letter":
        return reworded
    return [question for doc in reworded for question in _questions(part, doc, twin["question"])]


def _questions(part: Part, doc: Doc, question: str) -> list[Doc]:
    """One yes/no doc for each candidate of a doc, the shared text first so that backends can reuse it."""
    asked = []
    for number, (candidate, true) in enumerate(_candidates(part, doc)):
        answer = "yes" if true else "no"
        asked.append(
            doc
            | {
                "id": f"{doc['id']}?{number}",
                "input": f"{doc['input']}\nQuestion: {question.replace('{candidate}', candidate)}",
                "target": answer,
                "gold": [int(true)],
                "labels": ["no", "yes"],
                "meta": {"answer": answer, "of": doc["id"], "candidate": number, "cluster": doc["meta"]["cluster"]},
            }
        )
    return asked


def _candidates(part: Part, doc: Doc) -> list[tuple[str, bool]]:
    """What a doc can be asked about and whether it is true: labels, or numbers from 1."""
    if part.labels:
        return [(part.show(label), label in doc["gold"]) for label in part.labels]
    if "utterances" in doc["meta"]:
        return [(str(n), n in doc["gold"]) for n in range(1, doc["meta"]["utterances"] + 1)]
    return [(str(k + 1), k in doc["gold"]) for k in range(doc["meta"]["options"])]


def answer(doc: Mapping[str, Any]) -> str:
    """The gold answer as few-shot examples show it.

    >>> answer({"meta": {"answer": "not ironic"}})
    'not ironic'
    """
    return str(doc["meta"]["answer"])


def choices(doc: Mapping[str, Any]) -> list[str]:
    """The labels as they stand for choice, in label order.

    >>> choices({"task": "eibench_tweet_irony", "labels": ["non_irony", "irony"]})
    ['not ironic', 'ironic']
    """
    part = part_of(doc["task"])
    return [part.show(label) for label in doc["labels"]]


def choice_number(doc: Mapping[str, Any]) -> int:
    """Index of the gold label among :func:`choices`.

    >>> choice_number({"target": "joy", "labels": ["anger", "joy"]})
    1
    """
    return list(doc["labels"]).index(doc["target"])
