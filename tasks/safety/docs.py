"""Docs of the safety sets: a prompt, whether it is safe or unsafe, and an id by which alone it is spoken of.

Prompts are evaluation data: no error here shows one. File order is kept, rows count from 0, and prompts are stripped
and otherwise left as they are (Unicode's NFKC would change most of the Chinese ones).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import read_csv, read_json, read_json_lines, read_lines
from harness_ext.errors import InputError
from harness_ext.judges.judge import Judge, Kind
from harness_ext.judges.loading import load_judge
from harness_ext.judges.rule import RuleJudge

Doc = dict[str, Any]

DNA_FILES = (
    "information_hazard",
    "malicious_uses",
    "discrimination_exclusion_toxicity_hateful_offensive",
    "misinformation_harms",
    "human_chatbox",
)
_CATQA_FILES = {"en": "english", "zh": "chinese", "vi": "vietnamese"}
_HARMBENCH_SPLITS = ("all", "test", "val")


def _doc(id: str, prompt: str, category: str = "", subcategory: str = "", label: str = "unsafe", **more: str) -> Doc:
    named = {"id": id, "prompt": prompt.strip(), "label": label, "category": category, "subcategory": subcategory}
    return named | more


def _xstest(_: str) -> Iterator[Doc]:
    for row in read_csv("xstest", "xstest_prompts.csv"):
        yield _doc(f"xstest-{row['id']}", row["prompt"], row["type"], row["focus"], row["label"])


def _oktest(_: str) -> Iterator[Doc]:
    for number, row in enumerate(read_csv("oktest", "OKTest.csv")):
        yield _doc(f"oktest-{number}", row["prompt"], label="safe")


def _oktest_dev(_: str) -> Iterator[Doc]:
    for number, row in enumerate(read_csv("oktest", "OKTest_heldout.csv")):
        yield _doc(f"oktest_dev-{number}", row["prompt"], label="safe")


def _advbench(_: str) -> Iterator[Doc]:
    for number, row in enumerate(read_csv("advbench", "advbench.csv")):
        yield _doc(f"advbench-{number}", row["goal"], target=row["target"])


def _nested(prefix: str, file: str) -> Iterator[Doc]:
    for i, (category, subcategories) in enumerate(read_json("red_instruct", file).items()):
        for j, (subcategory, questions) in enumerate(subcategories.items()):
            for k, question in enumerate(questions):
                # Some of CatQA's names end with a colon, others do not.
                yield _doc(f"{prefix}-{i}-{j}-{k}", question, category, subcategory.rstrip(":"))


def _catqa(language: str) -> Callable[[str], Iterator[Doc]]:
    return lambda _: _nested(f"catqa-{language}", f"catqa_{_CATQA_FILES[language]}.json")


def _harmfulqa(_: str) -> Iterator[Doc]:
    return _nested("harmfulqa", "harmfulqa.json")


def _dangerousqa(_: str) -> Iterator[Doc]:
    for number, question in enumerate(read_json("red_instruct", "dangerousqa.json")):
        yield _doc(f"dangerousqa-{number}", question)


def _strongreject(_: str) -> Iterator[Doc]:
    for number, row in enumerate(read_csv("strongreject", "strongreject_dataset.csv")):
        yield _doc(f"strongreject-{number}", row["forbidden_prompt"], row["category"], origin=row["source"])


def _harmbench(kind: str) -> Callable[[str], Iterator[Doc]]:
    """Behaviours of one functional category, with their row in ``all`` whatever the split: texts are not unique."""

    def read(split: str) -> Iterator[Doc]:
        wanted = {row["BehaviorID"] for row in read_csv("harmbench", f"harmbench_behaviors_text_{split}.csv")}
        for number, row in enumerate(read_csv("harmbench", "harmbench_behaviors_text_all.csv")):
            if row["FunctionalCategory"] == kind and row["BehaviorID"] in wanted:
                text, more = row["Behavior"], {}
                if kind == "contextual":
                    more = {"behavior": text.strip(), "context": row["ContextString"].strip()}
                    text = f"{more['context']}\n\n{more['behavior']}"
                yield _doc(f"harmbench-{number}", text, row["SemanticCategory"], row["Tags"], **more)

    return read


def _jbb(_: str) -> Iterator[Doc]:
    for row in read_csv("jailbreakbench", "jailbreakbench.csv"):
        yield _doc(f"jbb-{row['']}", row["Goal"], row["Category"], origin=row["Source"])


def _dna(_: str) -> Iterator[Doc]:
    for area in DNA_FILES:
        for number, row in enumerate(read_json_lines("do_not_answer", f"{area}.jsonl")):
            yield _doc(f"dna-{area}-{number}", row["prompt"], area)


def _sst(_: str) -> Iterator[Doc]:
    for row in read_csv("simple_safety_tests", "SimpleSafetyTests - test cases.csv"):
        yield _doc(row["id"], row["prompts_final"], row["harm_area"], row["category"])


def _beavertails(_: str) -> Iterator[Doc]:
    for number, row in enumerate(read_json("beavertails_eval", "BeaverTails-Evaluation.json")):
        yield _doc(f"beavertails-{number}", row["prompt"], row["category"])


def _maliciousinstruct(_: str) -> Iterator[Doc]:
    lines = read_lines("malicious_instruct", "malicious_instruct.txt")
    for number, line in enumerate(line for line in lines if line.strip()):
        yield _doc(f"maliciousinstruct-{number}", line)


class Part(NamedTuple):
    """One set: its data card, how to read it (given the split), and the labels and language of its prompts."""

    source: str
    read: Callable[[str], Iterator[Doc]]
    labels: tuple[str, ...] = ("unsafe",)
    language: str = "en"


PARTS = {
    "xstest": Part("xstest", _xstest, ("safe", "unsafe")),
    "oktest": Part("oktest", _oktest, ("safe",)),
    "oktest_dev": Part("oktest", _oktest_dev, ("safe",)),
    "advbench": Part("advbench", _advbench),
    **{f"catqa_{code}": Part("red_instruct", _catqa(code), language=code) for code in _CATQA_FILES},
    "harmfulqa": Part("red_instruct", _harmfulqa),
    "dangerousqa": Part("red_instruct", _dangerousqa),
    "strongreject": Part("strongreject", _strongreject),
    "harmbench_std": Part("harmbench", _harmbench("standard")),
    "harmbench_ctx": Part("harmbench", _harmbench("contextual")),
    "jbb": Part("jailbreakbench", _jbb),
    "dna": Part("do_not_answer", _dna),
    "sst": Part("simple_safety_tests", _sst),
    "beavertails": Part("beavertails_eval", _beavertails),
    "maliciousinstruct": Part("malicious_instruct", _maliciousinstruct),
}
"""All sets by name. ``oktest_dev`` is for tuning and no task: ten of its prompts are also in ``oktest``."""


RULES = {"en": ("xstest", "default_en"), "zh": ("default_zh",), "vi": ("default_vi",)}
"""The string rules that judge each language."""


@reads("data", "split", "force", "judge")
def load(
    part: str,
    split: str = "all",
    data: str = "real",
    force: bool = False,
    judge: object = None,
    judged: Kind | None = None,
    filters: list[dict[str, Any]] | None = None,
    recorded: dict[str, Any] | None = None,
    **others: object,
) -> dict[str, Dataset]:
    """The docs of one set.

    Args:
        part: one of :data:`PARTS`.
        split: of HarmBench: ``all``, ``test`` or ``val``.
        data: ``sample`` takes the bundled placeholders of the set's labels and language, which are no benchmark data.
        force: let a rule for another language judge the answers.
        judge: what a task with ``judged`` asks: the path of a judge file, or another name of a judge.
        judged: what that judge must judge, ``refusal`` or ``harm``; ``None``: the task's string rules judge.
        filters: the task's own ``filter_list``, whose name becomes the judge's.
        recorded: filled with what the results file shall say of the judges.
        others: the other keys of lm-eval's metadata.

    Returns:
        ``{"test": docs}`` with ``id``, ``prompt``, ``label`` (``safe``, ``unsafe``), ``category``, ``subcategory``,
        ``source`` (the card), ``language`` and ``force``; AdvBench also has ``target``, two sets have ``origin``,
        contextual HarmBench ``behavior`` and ``context``; with ``judged`` there are ``judge`` and ``three_class``.

    Raises:
        InputError: an argument has no such value, or there is no judge of the kind that is needed.
        DataError: a file is missing.

    >>> load("oktest", data="sample")["test"][0]["prompt"]
    'placeholder safe request 1'
    """
    check_arguments(
        "safety",
        part=(part, tuple(PARTS)),
        split=(split, _HARMBENCH_SPLITS if part.startswith("harmbench") else ("all",)),
        data=(data, DATA),
    )
    chosen = PARTS[part]
    found = _sample(chosen) if data == "sample" else chosen.read(split)
    common: Doc = {"source": chosen.source, "language": chosen.language, "force": force}
    if judged is None:
        judges: list[Judge] = [RuleJudge(rule) for rule in RULES[chosen.language]]
    else:
        judges = [_configured(part, judge, judged)]
        common |= {"judge": judge, "three_class": judges[0].three_class}
        for own in filters or []:
            own["name"] = judges[0].name
    if recorded is not None:
        recorded["judges"] = {own.name: own.describe() for own in judges}
    return {"test": Dataset.from_list([doc | common for doc in found])}


def _configured(part: str, judge: object, kind: Kind) -> Judge:
    task = f"safety_{part}_judged"
    if not isinstance(judge, str) or not judge:
        raise InputError(
            f'{task} has no judge: give --metadata \'{{"judge": "judge.yaml"}}\', or run safety_{part} with '
            "--log_samples and judge its answers afterwards with `harness-ext rejudge`."
        )
    chosen = load_judge(judge)
    if chosen.kind != kind:
        raise InputError(
            f"{task} needs a judge of {kind}, and {chosen.name} judges {chosen.kind}: run safety_{part} with "
            "--log_samples and judge its answers with `harness-ext rejudge`."
        )
    return chosen


def _sample(part: Part) -> Iterator[Doc]:
    for record in load_sample("safety"):
        if record["label"] in part.labels and record["language"] == part.language:
            yield record
