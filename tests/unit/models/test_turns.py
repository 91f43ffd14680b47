"""What a dialogue is, and what a backend is asked when it is played."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import lm_eval.evaluator
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from harness_ext.errors import InputError
from harness_ext.models.dialogues.filter import TakeTurn
from harness_ext.models.dialogues.player import TurnRequest
from harness_ext.models.dialogues.turns import answers_of, conversation, fill, plain_text, transcript, turns_of
from harness_ext.models.plan import announced, task_plans
from harness_ext.models.runs.identity import identity

EXAMPLE = Path(__file__).parents[3] / "examples" / "dialogues"


class Scripted(LM):
    """A backend that numbers its answers within each dialogue and keeps what it was asked."""

    def __init__(self, fail_at: int | None = None, tell: bool = True) -> None:
        super().__init__()
        self.plan = SimpleNamespace(fail_at=fail_at, tell=tell, answered=0)
        self.calls: list[list[Instance]] = []

    @property
    def answered(self) -> int:
        return int(self.plan.answered)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        self.calls.append(requests)
        answers = []
        for request in requests:
            if self.answered == self.plan.fail_at:
                raise RuntimeError("the machine is gone")
            self.plan.answered += 1
            answers.append(f" reply to {request.doc['id']} in turn {getattr(request, 'turn', 'none')}")
            if self.plan.tell:
                self.cache_hook.add_partial("generate_until", request.args, answers[-1])
        return answers

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        assert add_generation_prompt
        return json.dumps(chat_history)

    @property
    def tokenizer_name(self) -> str:
        return "scripted"


def first_metric(doc: dict[str, Any], results: Sequence[Any]) -> dict[str, float]:
    return {"answered": float(bool(results[0]))}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "unfinished"


def talk(docs: list[dict[str, Any]], **changes: Any) -> Any:
    """A task of these dialogues, as lm-eval loads it."""
    config = {
        "task": "talk",
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(docs)},
        "test_split": "test",
        "output_type": "generate_until",
        "description": "Be brief.",
        "doc_to_text": lambda doc: doc["turns"][0]["user"] if isinstance(doc["turns"][0], dict) else doc["turns"][0],
        "doc_to_target": "",
        "generation_kwargs": {"until": [], "max_gen_toks": 32, "do_sample": False},
        "filter_list": [{"name": "none", "filter": [{"function": "take_turn"}, {"function": "take_first"}]}],
        "process_results": first_metric,
        "metric_list": [{"metric": "answered", "aggregation": "mean", "higher_is_better": True}],
        "num_fewshot": 0,
        **changes,
    }
    return TaskManager(include_defaults=False).load([config])["tasks"]


def play(lm: LM, docs: list[dict[str, Any]], template: bool = True, **changes: Any) -> dict[str, Any]:
    tasks = talk(docs, **changes)
    report: dict[str, Any] = evaluate(
        lm=lm, task_dict=tasks, apply_chat_template=template, fewshot_as_multiturn=True, bootstrap_iters=0
    )
    return report


DOCS = [{"id": "a", "turns": ["a1", "a2", "a3"]}, {"id": "b", "turns": ["b1", "b2"]}]


def messages(request: Instance) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in json.loads(request.args[0])]


# -- docs


@pytest.mark.parametrize(
    ("doc", "complaint"),
    [
        ({}, "this doc has None"),
        ({"turns": []}, r"this doc has \[\]"),
        ({"turns": "one text"}, "this doc has 'one text'"),
        ({"turns": ["a", ""]}, "turn 2, user"),
        ({"turns": ["a", None]}, "turn 2"),
        ({"turns": [{"user": "a", "stop": "."}]}, "turn 1, stop"),
        ({"turns": [{"user": "a", "max_gen_toks": 0}]}, "turn 1, max_gen_toks"),
        ({"turns": ["see {{answer_1}}", "b"]}, "turn 1 has a slot {{answer_1}}, but no answer is given before it"),
        ({"turns": ["a", "b", "{{answer_3}}"]}, "turn 3 has a slot {{answer_3}}, but answers 1 to 2 are given"),
        ({"turns": ["a", "{{answer_0}}"]}, "turn 2 has a slot {{answer_0}}"),
    ],
)
def test_turns_that_cannot_be_played_are_named(doc: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=f"task t, doc 3.*{complaint}"):
        turns_of(doc, "task t, doc 3")


@given(st.lists(st.text(min_size=1).filter(lambda text: "{{" not in text), min_size=1))
def test_turns_without_slots_are_kept_as_they_are(texts: list[str]) -> None:
    assert [turn.user for turn in turns_of({"turns": texts}, "here")] == texts


@given(st.lists(st.text(), min_size=2, max_size=2))
def test_slots_are_filled_once_and_with_the_answer_as_it_is(answers: list[str]) -> None:
    assert fill("{{answer_2}}|{{answer_1}}|{answer_1}", answers) == f"{answers[1]}|{answers[0]}|{{answer_1}}"


@given(st.lists(st.text(), min_size=1))
def test_a_transcript_holds_every_answer(answers: list[str]) -> None:
    text = transcript(answers)
    assert answers_of(text) == answers
    assert TakeTurn().apply([[text]], [{}]) == [[answers[-1]]]
    assert TakeTurn(turn="all").apply([[text]], [{}]) == [[answers]]
    assert TakeTurn(turn=len(answers)).apply([[text, text]], [{}]) == [[answers[-1]] * 2]


@given(st.text())
def test_what_is_no_transcript_is_refused_and_never_scored(text: str) -> None:
    try:
        answers = answers_of(text)
    except InputError as error:
        assert "turns of this task were not played" in str(error)
    else:
        assert json.loads(text) == answers


@pytest.mark.parametrize("turn", [0, -1, "first", 1.5])
def test_a_filter_for_no_turn_is_refused(turn: Any) -> None:
    with pytest.raises(InputError, match="take_turn: turn is"):
        TakeTurn(turn=turn)


def test_a_turn_that_a_dialogue_does_not_have_is_an_error() -> None:
    with pytest.raises(InputError, match="turn 3 is asked for, a dialogue has 2 turns"):
        TakeTurn(turn=3).apply([['["a", "b"]']], [{}])


@given(st.lists(st.text(min_size=1).filter(lambda text: "{{" not in text), min_size=2, max_size=5), st.data())
def test_a_plain_conversation_continues_the_one_before_it(texts: list[str], data: st.DataObject) -> None:
    """So that a model's state for the earlier turns stays valid, and answers enter word by word."""
    turns, answers = turns_of({"turns": texts}, "here"), [data.draw(st.text()) for _ in texts[1:]]
    opening = [{"role": "system", "content": "S\n\n"}, {"role": "user", "content": texts[0]}]
    told = [plain_text(conversation(opening, turns, answers[:number])) for number in range(len(texts))]
    for earlier, answer, later in zip(told, answers, told[1:], strict=False):
        assert later.startswith(earlier + answer)


# -- playing


def test_each_turn_is_one_batch_and_holds_the_whole_history_word_by_word() -> None:
    lm = Scripted()
    report = play(lm, DOCS)
    assert [[request.doc["id"] for request in call] for call in lm.calls] == [["a", "b"], ["a", "b"], ["a"]]
    assert messages(lm.calls[2][0]) == [
        ("system", "Be brief."),
        ("user", "a1"),
        ("assistant", " reply to a in turn 0"),
        ("user", "a2"),
        ("assistant", " reply to a in turn 1"),
        ("user", "a3"),
    ]
    a, b = report["samples"]["talk"]
    assert json.loads(a["resps"][0][0]) == [f" reply to a in turn {turn}" for turn in range(3)]
    assert a["filtered_resps"] == [" reply to a in turn 2"]
    assert b["filtered_resps"] == [" reply to b in turn 1"]


def test_without_a_template_roles_are_marked_and_end_an_answer() -> None:
    lm = Scripted()
    report = play(lm, DOCS[1:], template=False)
    first, second = (call[0].args for call in lm.calls)
    assert first[0] == "Be brief.\n\nUser: b1\n\nAssistant:"
    assert second[0] == first[0] + " reply to b in turn 0\n\nUser: b2\n\nAssistant:"
    assert first[1]["until"] == second[1]["until"] == ["\nUser:"]
    assert report["samples"]["talk"][0]["arguments"][0][0] == first[0]  # what was asked, not what lm-eval built


def test_a_turn_can_have_its_own_end() -> None:
    turns = [{"user": "Think.", "until": ["."], "max_gen_toks": 8}, {"user": "Say.", "until": None}]
    lm = Scripted()
    play(lm, [{"id": "a", "turns": turns}])
    assert [call[0].args[1] for call in lm.calls] == [
        {"until": ["."], "max_gen_toks": 8, "do_sample": False},
        {"until": [], "max_gen_toks": 32, "do_sample": False},
    ]


def test_a_slot_gets_the_earlier_answer() -> None:
    lm = Scripted()
    play(lm, [{"id": "a", "turns": ["one", "two, after {{answer_1}}"]}])
    assert messages(lm.calls[1][0])[-1] == ("user", "two, after  reply to a in turn 0")


def test_repeats_are_dialogues_of_their_own() -> None:
    lm = Scripted()
    play(lm, DOCS[1:], repeats=2, filter_list=[{"name": "none", "filter": [{"function": "take_turn"}]}])
    asked = [request for call in lm.calls for request in call]
    assert all(isinstance(request, TurnRequest) for request in asked)
    assert [(request.turn, request.repeat) for request in asked] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_task_without_the_filter_is_asked_once_as_ever() -> None:
    lm = Scripted()
    play(lm, DOCS, filter_list=None)
    assert [len(call) for call in lm.calls] == [2]
    assert not isinstance(lm.calls[0][0], TurnRequest)


@pytest.mark.parametrize(
    ("docs", "changes", "complaint"),
    [
        ([*DOCS, {"id": "c", "turns": ["{{answer_1}}"]}], {}, "talk, doc 2: turn 1 has a slot"),
        (DOCS, {"num_fewshot": 1}, "neither few-shot examples"),
        (DOCS, {"gen_prefix": "So"}, "nor a gen_prefix"),
        (DOCS, {"doc_to_text": "Something else"}, "talk, doc 0: doc_to_text is not the first of the doc's turns"),
    ],
)
def test_a_dialogue_that_cannot_be_played_is_refused_before_anything_is_asked(
    docs: list[dict[str, Any]], changes: dict[str, Any], complaint: str
) -> None:
    lm = Scripted()
    with pytest.raises(InputError, match=complaint):
        play(lm, docs, **changes)
    assert not lm.calls


def test_the_plan_of_a_run_counts_every_turn() -> None:
    plans = []
    with announced(lambda lm, loaded: plans.extend(task_plans(loaded.get("tasks", loaded)))):
        lm_eval.evaluator.evaluate(lm=Scripted(), task_dict=talk(DOCS, repeats=2), bootstrap_iters=0)
    assert [(plan.docs, plan.requests) for plan in plans] == [(2, 10)]


# -- what a crash leaves


@pytest.mark.parametrize("fail_at", range(5))
def test_a_failed_run_goes_on_where_it_ended(fail_at: int, own_cache: Path) -> None:
    whole = play(Scripted(), DOCS)["samples"]
    lm = Scripted(fail_at)
    with pytest.raises(RuntimeError, match="the machine is gone"):
        play(lm, DOCS)
    lm = Scripted()
    assert play(lm, DOCS)["samples"] == whole
    assert lm.answered == 5 - fail_at
    assert not list(own_cache.iterdir())  # the run has ended well: the next one asks again


def test_a_backend_that_tells_nothing_loses_the_turn_it_was_in() -> None:
    lm = Scripted(fail_at=3, tell=False)
    with pytest.raises(RuntimeError):
        play(lm, DOCS)
    lm = Scripted()
    play(lm, DOCS)
    assert lm.answered == 3  # both second turns and the third


@pytest.mark.parametrize(
    "other", [{"generation_kwargs": {"until": [], "max_gen_toks": 16}}, {"description": "Be long."}, {"task": "walk"}]
)
def test_kept_answers_belong_to_one_prompt_its_settings_and_its_task(other: dict[str, Any]) -> None:
    lm = Scripted(fail_at=4)
    with pytest.raises(RuntimeError):
        play(lm, DOCS)
    lm = Scripted()
    play(lm, DOCS, **other)
    assert lm.answered == 5


def test_kept_answers_belong_to_one_backend_with_its_settings() -> None:
    lm = Scripted()
    known = identity(lm)
    lm.model = "another"
    assert identity(lm) != known
    lm.model = None
    lm.timeout, lm.auth_token = 5, "secret"  # a server may be given more time, or a new password
    del lm.model
    assert identity(lm) == known
    assert "secret" not in json.dumps(identity(lm))


def test_a_folder_that_cannot_be_written_costs_only_the_safety(
    own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_cache.parent.write_text("a file, not a folder")
    report = play(Scripted(), DOCS)
    assert report["results"]["talk"]["answered,none"] == 1.0
    assert "a crash of this run will lose its dialogues" in caplog.text


# -- stored answers


def test_the_example_is_scored_from_rows_by_turn_and_from_its_own_samples(tmp_path: Path) -> None:
    from harness_ext.models.replay.lm import Replay

    manager = TaskManager(include_defaults=False, include_path=str(EXAMPLE))

    def run(path: Path) -> dict[str, Any]:
        tasks = manager.load("example_two_turns")["tasks"]
        report: dict[str, Any] = evaluate(lm=Replay(str(path)), task_dict=tasks, bootstrap_iters=0)
        return report

    report = run(EXAMPLE / "answers.jsonl")
    scores = {
        key: value
        for key, value in report["results"]["example_two_turns"].items()
        if key in ("turn_1,none", "turn_2,none")
    }
    assert scores == {"turn_1,none": 1.0, "turn_2,none": 0.75}
    file = tmp_path / "samples_example_two_turns_2026-01-01T00-00-00.000000.jsonl"
    samples = report["samples"]["example_two_turns"]
    file.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    again = run(file)
    assert [one["resps"] for one in again["samples"]["example_two_turns"]] == [one["resps"] for one in samples]


def test_a_missing_turn_of_stored_answers_is_named(tmp_path: Path) -> None:
    from harness_ext.models.replay.lm import Replay

    rows = (EXAMPLE / "answers.jsonl").read_text().splitlines()
    (tmp_path / "answers.jsonl").write_text("\n".join(rows[:-1]))
    tasks = TaskManager(include_defaults=False, include_path=str(EXAMPLE)).load("example_two_turns")["tasks"]
    with pytest.raises(InputError, match=r"example_two_turns: 1 docs \('primes' turn 1\)"):
        evaluate(lm=Replay(str(tmp_path / "answers.jsonl")), task_dict=tasks, bootstrap_iters=0)
