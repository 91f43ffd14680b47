"""Every task that generates: scored by the answer and not by the reasoning before it, and by any text in good time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager

from harness_ext.models.dialogues.filter import has_dialogues
from harness_ext.models.dialogues.turns import transcript
from harness_ext.scoring.answers import MARKERS

FOLDER = Path(__file__).parents[3] / "tasks"
JUDGE = {"judge": "rule:refdir12"}
MANAGER = TaskManager(include_defaults=False, include_path=FOLDER, metadata={"data": "sample", **JUDGE})
OWN = {MARKERS: ["{ponder}", "{/ponder}"]}
SENTENCES = {
    "ar": "هذه جملة قصيرة باللغة العربية عن الطقس.",
    "bn": "এটি আবহাওয়া সম্পর্কে একটি ছোট বাংলা বাক্য।",
    "de": "Das ist ein kurzer deutscher Satz über das Wetter.",
    "en": "This is a short English sentence about the weather.",
    "es": "Esta es una frase corta en español sobre el tiempo.",
    "fr": "Ceci est une phrase courte en français sur le temps.",
    "hi": "यह मौसम के बारे में हिन्दी में एक छोटा वाक्य है।",
    "id": "Ini adalah kalimat pendek dalam bahasa Indonesia tentang cuaca.",
    "it": "Questa è una breve frase in italiano sul tempo.",
    "ja": "これは天気についての短い日本語の文です。",
    "ko": "이것은 날씨에 관한 짧은 한국어 문장 입니다.",
    "pl": "To jest krótkie zdanie po polsku o pogodzie.",
    "pt": "Esta é uma frase curta em português sobre o tempo.",
    "ru": "Это короткое предложение о погоде на русском языке.",
    "sw": "Hii ni sentensi fupi ya Kiswahili kuhusu hali ya hewa.",
    "tr": "Bu, hava durumu hakkında kısa bir Türkçe cümledir.",
    "vi": "Đây là một câu ngắn bằng tiếng Việt về thời tiết.",
    "zh": "这是一个关于天气的简短的中文句子。",
}
"""Answers where no doc has a right one but a language."""
ANSWERS = {
    "safety": ("I'm sorry, I cannot. 我无法。 Tôi không thể.", "Sure! Do it."),
    "mbtibench": ("[[7]] CHOICE: A [[yes]]", "[[2]] CHOICE: B [[no]]"),
}


def wanted(name: str) -> bool:
    """Whether a task may generate. Where the judge must be one of harm, it is a model, and the filter the same."""
    entry = MANAGER.task_index[name]
    return entry.cfg.get("output_type") != "multiple_choice" and "_judged_harm" not in entry.yaml_path.read_text()


LEAVES = [name for name in MANAGER.all_subtasks if wanted(name)]


@cache
def load(name: str) -> Task:
    (task,) = MANAGER.load(name)["tasks"].values()
    return task


def generating() -> list[str]:
    return [name for name in LEAVES if load(name).OUTPUT_TYPE == "generate_until"]


def values(task: Task, doc: dict[str, Any], response: str) -> dict[str, dict[str, Any]]:
    """What each filter of the task makes of a response: metric values by filter."""
    request = Instance("generate_until", doc, ("prompt", {}), 0, (task.task_name, 0, 1))
    request.resps = [transcript(["[[5]]", response]) if has_dialogues(task) else response]
    found = {}
    for ensemble in task._filters:
        ensemble.apply([request])
        own = request.filtered_resps[ensemble.name]
        alone = has_dialogues(task) or not isinstance(own, list)
        found[ensemble.name] = task.process_results(doc, [own] if alone else own)
    return found


def told(scores: dict[str, dict[str, Any]], cut: float) -> str:
    """The values as text, in which NaN is NaN, without the note that the response was cut, which must be there."""
    assert all(own["reasoning_cut"] == cut for own in scores.values())
    return repr({name: {k: v for k, v in own.items() if k != "reasoning_cut"} for name, own in scores.items()})


def pair(task: Task, docs: list[dict[str, Any]], position: int) -> tuple[str, str]:
    """A right answer to a doc and a wrong one."""
    bench = str(task.task_name).partition("_")[0]
    if bench in ANSWERS:
        return ANSWERS[bench]
    if bench in ("lcb", "langfid", "mtbench"):
        language = docs[position]["language"]
        return SENTENCES[language], SENTENCES["de" if language == "en" else "en"]
    right, *others = (str(task.doc_to_target(doc)) for doc in (docs[position], *docs))
    return right, next((other for other in others if other != right), "wrong")


def test_most_tasks_generate() -> None:
    assert len(generating()) > 100


@pytest.mark.parametrize("name", LEAVES)
def test_a_trace_changes_nothing_and_without_an_end_it_is_an_empty_answer(name: str) -> None:
    task = load(name)
    if task.OUTPUT_TYPE != "generate_until":
        pytest.skip("scored by likelihood")
    docs = list(task.eval_docs)[:8]
    seen = []
    for position, doc in enumerate(docs):
        right, wrong = pair(task, docs, position)
        alone, nothing = told(values(task, doc, right), 0), told(values(task, doc, ""), 0)
        assert told(values(task, doc, f"<think>\n{wrong}\n</think>\n\n{right}"), 1) == alone
        assert told(values(task, doc, f"<think>\n{right}"), 1) == nothing
        marked = doc | OWN
        assert told(values(task, marked, f"{{ponder}}{wrong}{{/ponder}}{right}"), 1) == alone
        seen += [alone != nothing, alone != told(values(task, doc, wrong), 0)]
    assert any(seen[::2])  # or the comparison would say nothing
    assert any(seen[1::2])


def test_the_metadata_writes_own_markers_into_every_doc() -> None:
    metadata = {"data": "sample", **JUDGE, **OWN}
    manager = TaskManager(include_defaults=False, include_path=FOLDER, metadata=metadata)
    by_loader = {load(name).config.custom_dataset: name for name in generating()}
    assert len(by_loader) > 8
    for name in by_loader.values():
        (task,) = manager.load(name)["tasks"].values()
        assert all(doc[MARKERS] == OWN[MARKERS] for doc in task.eval_docs), name
        assert not any(MARKERS in doc for doc in load(name).eval_docs), name


def scored() -> Iterator[tuple[str, Callable[[str], Any]]]:
    """Each way of scoring a response once: a function, its filters, and a doc of the first task that has them."""
    seen = set()
    for name in generating():
        task = load(name)
        function = task.config.process_results
        ways = (function.__module__, function.__name__, *(ensemble.name for ensemble in task._filters))
        if ways not in seen:
            seen.add(ways)
            doc = next(iter(task.eval_docs))
            yield name, lambda text, task=task, doc=doc: values(task, doc, text)


UNITS = (" ", "\n", "1", "[", "{", '"', "*", "a", "y", "A ", "joy ", "Answer: ", "- ", "the ", "</think>")
SIZES = 2_000, 8_000
QUICK, LARGEST_RATIO, TRIES = 0.02, 8.0, 4
"""As in tests/unit/scoring/test_growth.py; overlap with a reference takes longer than reading."""


def test_no_text_makes_scoring_slow() -> None:
    def seconds(score: Callable[[str], Any], text: str) -> float:
        start = time.process_time()
        score(text)
        return time.process_time() - start

    slow = []
    for name, score in scored():
        for unit in UNITS:
            short, long = (unit * (size // len(unit)) for size in SIZES)
            tries = ((seconds(score, long), seconds(score, short)) for _ in range(TRIES))
            if all(after >= QUICK and after >= LARGEST_RATIO * before for after, before in tries):
                slow.append((name, unit))
    assert slow == []
