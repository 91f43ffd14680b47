"""Docs of TOFU: questions about authors, their answers, paraphrased and wrong ones.

What is wrong with the files is said in ``data_cards/tofu.md`` and mended here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.row_counts import json_lists
from harness_ext.data.rows import read_json, read_json_lines, read_text
from harness_ext.errors import DataError, InputError
from harness_ext.files import FileError, json_lines
from harness_ext.scoring.unlearning import TruthRatio
from harness_ext.tasks.tofu.tokens import WORDS, Scored, scored_by

log = logging.getLogger(__name__)

Part = Literal["forget01", "forget05", "forget10", "utility"]
Form = Literal["choices", "generate", "mia"]
Subset = Literal["forget", "retain", "ra", "wf", "holdout"]
Compat = Literal["tofu_phi", "tofu_llama2", "open_unlearning"]
QuestionKey = Literal["question", "paraphrased_question"]

PROMPT = "Question: {}\nAnswer:"
"""What the model reads; a blank follows, and the answer."""
LLAMA_2 = "[INST] {} [/INST]"
"""The markers of Llama-2's chat format, right behind which TOFU's authors put the answer."""

SHARES: Mapping[str, int] = {"forget01": 1, "forget05": 5, "forget10": 10}
"""Percent of the authors that are to be forgotten."""

_QUESTIONS = 4000
_FILES: Mapping[Subset, str] = {
    "retain": "retain_perturbed.json", "ra": "real_authors_perturbed.json", "wf": "world_facts_perturbed.json",
}  # fmt: skip
_UTILITY: tuple[Subset, ...] = ("retain", "ra", "wf")


def full() -> list[dict[str, str]]:
    """All 4,000 questions in order, 20 an author; the file is four JSON lists one after another.

    Raises:
        DataError: the file is missing or not built as expected.
    """
    rows = [row for part in json_lists(read_text("tofu", "full.json")) for row in part]
    if len(rows) != _QUESTIONS:
        raise DataError(f"full.json: {len(rows)} questions, expected {_QUESTIONS} (data_cards/tofu.md).")
    return rows


def train_split(name: str) -> list[dict[str, str]]:
    """What a model is trained on: ``full``, ``retain90``, ``forget10`` and so on, in the order of ``full.json``.

    Raises:
        InputError: there is no such split.
        DataError: the file is missing or not built as expected.
    """
    rows = full()
    kind, share = name[:-2], name[-2:]
    if name == "full":
        return rows
    if name in SHARES:
        return rows[len(rows) * (100 - SHARES[name]) // 100 :]
    if kind == "retain" and share in ("90", "95", "99"):
        return rows[: len(rows) * int(share) // 100]
    raise InputError(f"tofu has no split {name!r}; give full, retain90, retain95, retain99, {', '.join(SHARES)}.")


def read(subset: Subset, part: str = "") -> list[dict[str, Any]]:
    """The rows of a set that is evaluated, in the file's order.

    Args:
        subset: which set.
        part: ``forget01``, ``forget05`` or ``forget10``, for the sets ``forget`` and ``holdout``.
    """
    if subset in ("ra", "wf"):
        return read_json_lines("tofu", _FILES[subset])
    name = {"forget": f"{part}_perturbed.json", "holdout": f"holdout{part[-2:]}.json"}.get(subset)
    found: list[dict[str, Any]] = read_json("tofu", name or _FILES[subset])
    return found


def _sampled(subset: Subset, part: str) -> list[dict[str, Any]]:
    """Of the bundled world: the smaller forget and holdout sets are the last rows of the larger ones, as in TOFU."""
    rows = [record for record in load_sample("tofu") if record["subset"] == subset]
    if part in SHARES:
        rows = rows[-max(5, len(rows) * SHARES[part] // 10) :]
    return rows


def _rows(subset: Subset, part: str, data: str, size: int | None) -> list[tuple[str, dict[str, Any]]]:
    """Rows with their ids; ids of the forget sets count within the set, as in the authors' logs."""
    rows = _sampled(subset, part) if data == "sample" else read(subset, part)
    prefix = f"{'' if data == 'real' else 'sample_'}{part if subset == 'forget' else subset}"
    return [(f"{prefix}_{number}", row) for number, row in enumerate(rows[:size])]


def _choices(row: Mapping[str, Any], subset: Subset) -> list[str]:
    """The answer, the answer that wrong ones are held against where it is another one, and the wrong ones."""
    base = [row["paraphrased_answer"]] if subset in ("forget", "retain") else []
    return [row["answer"], *base, *row["perturbed_answer"]]


def _read(question: str, compat: Compat | None, how: Scored | None, system_prompt: str | None) -> tuple[str, str]:
    """What the model reads, and what stands before every answer and is scored with it (source: TOFU's and
    open-unlearning's configurations)."""
    if compat == "tofu_phi":
        return f"Question: {question}\n", "Answer: "
    if compat == "tofu_llama2":
        return LLAMA_2.format(question), ""
    if compat == "open_unlearning":
        if how is None or how.chat is None:
            raise InputError(
                "tofu: compat open_unlearning asks with the chat template of the tokenizer, and none is known. Give "
                "one: --metadata '{\"tokenizer\": …}'."
            )
        return how.chat(question, system_prompt), ""
    return PROMPT.format(question), " "


def _doc(
    id: str, row: Mapping[str, Any], subset: Subset, form: Form, read: tuple[str, str], how: Scored | None
) -> dict[str, Any]:
    context, lead = read
    doc: dict[str, Any] = {"id": id, "subset": subset, "answer": row["answer"], "context": context}
    if form == "generate":
        return doc
    # lm-eval moves white space from the end of a context into what it scores: it is scored alone, too, and subtracted.
    doc["context"] = context.rstrip()
    space = context[len(doc["context"]) :]
    answers = _choices(row, subset) if form == "choices" else [row["answer"]]
    scored = [f"{lead}{answer}{how.end if how else ''}" for answer in answers]
    doc["n_tokens"] = [how.count(context, text) for text in scored] if how else []
    if how and space:
        how.count(doc["context"], space)  # which refuses a tokenizer that joins them
    doc["choices"] = [f"{space}{text}" for text in scored] + ([space] if space else [])
    doc["unscored"] = space
    return doc | (
        {"base": int(subset in ("forget", "retain"))} if form == "choices" else {"member": subset == "forget"}
    )


@reads("data", "ds_size", "truth_ratio", "compat", "system_prompt", "question_key", "tokenizer", "retain_results")
def load(
    part: Part,
    form: Form,
    data: Literal["real", "sample"] = "real",
    ds_size: int | None = None,
    truth_ratio: TruthRatio = "geometric",
    compat: Compat | None = None,
    system_prompt: str | None = None,
    question_key: QuestionKey = "question",
    tokenizer: str | None = None,
    retain_results: str | None = None,
    pretrained: object = None,
    revision: object = None,
    **others: object,
) -> dict[str, Dataset]:
    """One doc a question.

    Args:
        part: which set is to be forgotten, or the three sets of the utility.
        form: what is asked: answers to choose from, an answer to write, or the answer's likelihood alone.
        data: ``sample`` takes the bundled world.
        ds_size: take the first so many of every set, 300 as TOFU's scripts do.
        truth_ratio: its definition.
        compat: ask with the template of TOFU's authors or with the tokenizer's chat template, as open-unlearning does;
            for ``form="generate"``, score the raw text, as both do.
        system_prompt: for ``compat="open_unlearning"``, whose configuration has one.
        question_key: ask the paraphrased question, where a set has it.
        tokenizer: counts tokens, where the model's own is not known.
        retain_results: results of a model that was trained without the forget set; tables hold this run against it.
        pretrained: the model's own tokenizer.
        revision: of the model.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value, or the retain model was not asked a question.
        DataError: a file is missing or not built as expected.
    """
    check_arguments(
        "tofu",
        part=(part, get_args(Part)),
        data=(data, DATA),
        truth_ratio=(truth_ratio, get_args(TruthRatio)),
        compat=(compat, (None, *get_args(Compat))),
        question_key=(question_key, get_args(QuestionKey)),
    )
    if ds_size is not None and not (isinstance(ds_size, int) and ds_size > 0):
        raise InputError(f"tofu: ds_size is {ds_size!r}; give a number of rows, or null for all.")
    if system_prompt and compat != "open_unlearning":
        raise InputError("tofu: system_prompt is of compat open_unlearning alone; else take --system_instruction.")
    how = None
    if form != "generate" or compat == "open_unlearning":
        how = scored_by(tokenizer or pretrained, None if tokenizer else revision) or (
            WORDS if data == "sample" else None
        )
        if how is None:
            log.warning(
                "tofu: no tokenizer is known, so answers cannot be scored. Give --metadata '{\"tokenizer\": …}'."
            )
    subsets: Sequence[Subset] = (
        _UTILITY if part == "utility" else ("forget", "holdout") if form == "mia" else ("forget",)
    )
    docs = [
        {"question": question, **_doc(id, row, subset, form, _read(question, compat, how, system_prompt), how)}
        | ({"truth_ratio_definition": truth_ratio} if form == "choices" else {"compat": compat or ""})
        for subset in subsets
        for id, row in _rows(subset, part, data, ds_size)
        for question in [row.get(question_key) or row["question"]]
    ]
    if retain_results and form == "choices" and part != "utility":
        _require_answered(docs, Path(retain_results), f"tofu_{part}")
    return {"test": Dataset.from_list(docs)}


def _require_answered(docs: Sequence[Mapping[str, Any]], results: Path, task: str) -> None:
    """Refuse results of a retain model that lack a question: found out after the run, that would cost the run."""
    files = [results] if results.is_file() else sorted(results.rglob(f"samples_{task}_*.jsonl"))
    if not files:
        raise InputError(
            f"tofu: retain_results {results} holds no samples_{task}_*.jsonl; evaluate the retain model on {task} with "
            "--log_samples first."
        )
    answered = set()
    for file in files:
        try:
            answered |= {line["doc"]["question"] for _, line in json_lines(file)}
        except (FileError, KeyError, TypeError) as error:
            raise DataError(f"{file}: no samples of {task} ({error}).") from error
    missing = [doc["question"] for doc in docs if doc["question"] not in answered]
    if missing:
        examples = "; ".join(repr(question[:80]) for question in missing[:5])
        raise InputError(
            f"tofu: retain_results {results} lacks {len(missing)} of {len(docs)} questions of {task}: {examples}. "
            "Evaluate the retain model on the same set."
        )
