"""A run that was stopped goes on, on a backend that knows nothing of it; and what a run took."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from harness_ext.errors import InputError
from harness_ext.models.runs.cache import RunCache
from harness_ext.models.runs.resume import Keeper, _identity
from harness_ext.models.runs.usage import Meter, Prices, cost

WORDS = {"generate_until": "text", "loglikelihood": (-1.5, True), "loglikelihood_rolling": -2.5}


class Backend(LM):  # type: ignore[misc]
    """Remembers what it is asked; ``broken`` tasks stop it."""

    def __init__(self, temperature: float = 0.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.asked: Any = []
        self.broken: Any = ()
        self.answer: Callable[[str, Instance], Any] = lambda kind, request: WORDS[kind]

    def _reply(self, kind: str, requests: Any) -> list[Any]:
        if any(request.task_name in self.broken for request in requests):
            raise ConnectionError("gone")
        self.asked.append([(request.task_name, request.args[0]) for request in requests])
        return [self.answer(kind, request) for request in requests]

    def generate_until(self, requests: Any) -> list[str]:
        return self._reply("generate_until", requests)

    def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
        return self._reply("loglikelihood", requests)

    def loglikelihood_rolling(self, requests: Any) -> list[float]:
        return self._reply("loglikelihood_rolling", requests)


def requests_of(task: str, *prompts: Any, kind: str = "generate_until") -> list[Instance]:
    rest = {"generate_until": ({"until": ["."]},), "loglikelihood": (" yes",), "loglikelihood_rolling": ()}[kind]
    return [Instance(kind, {}, (prompt, *rest), 0, (task, at, 1)) for at, prompt in enumerate(prompts)]


def kept(folder: Path, backend: Backend) -> Keeper:
    return Keeper(backend, RunCache(folder, {"model": "m"}))


@pytest.mark.parametrize("kind", list(WORDS))
def test_tasks_that_ended_are_not_asked_again_after_a_crash_in_a_later_one(kind: str, tmp_path: Path) -> None:
    asked = [*requests_of("first", "a", "b", kind=kind), *requests_of("second", "c", kind=kind)]
    crashing, whole = Backend(), Backend()
    crashing.broken = ("second",)
    with pytest.raises(ConnectionError):
        getattr(kept(tmp_path, crashing), kind)(asked)
    assert getattr(kept(tmp_path, whole), kind)(asked) == [WORDS[kind]] * 3
    assert whole.asked == [[("second", "c")]]


def test_answers_stand_in_the_order_of_the_requests_whatever_the_order_of_their_tasks(tmp_path: Path) -> None:
    backend = Backend()
    backend.answer = lambda kind, request: f"{request.task_name} {request.args[0]}"
    first, second = requests_of("x", "1", "2"), requests_of("y", "3", "4")
    mixed = [first[0], second[0], first[1], second[1]]
    expected = ["x 1", "y 3", "x 2", "y 4"]
    assert kept(tmp_path, backend).generate_until(mixed) == expected
    assert kept(tmp_path, Backend()).generate_until(mixed) == expected


def test_repeats_of_one_prompt_keep_answers_of_their_own(tmp_path: Path) -> None:
    backend = Backend()
    answers = iter("pqrs")
    backend.answer = lambda *_: next(answers)
    (request,) = requests_of("sampled", "prompt")
    assert kept(tmp_path, backend).generate_until([request] * 3) == ["p", "q", "r"]
    assert kept(tmp_path, Backend()).generate_until([request] * 3) == ["p", "q", "r"]
    assert kept(tmp_path, backend).generate_until([request] * 4) == ["p", "q", "r", "s"]


def test_another_prompt_setting_or_kind_is_asked(tmp_path: Path) -> None:
    kept(tmp_path, Backend()).generate_until(requests_of("t", "a"))
    other = requests_of("t", "a")
    other[0].arguments = ("a", {"until": ["\n"]})
    backend = Backend()
    kept(tmp_path, backend).generate_until([*requests_of("t", "b"), *other])
    kept(tmp_path, backend).loglikelihood(requests_of("t", "a", kind="loglikelihood"))
    assert sum(map(len, backend.asked)) == 3


def test_what_is_no_log_likelihood_is_not_kept(tmp_path: Path) -> None:
    broken, asked = Backend(), requests_of("t", "a", "b", "c", kind="loglikelihood")
    values = iter([math.nan, -math.inf, 1.0])
    broken.answer = lambda *_: (next(values), False)
    kept(tmp_path, broken).loglikelihood(asked)
    mended = Backend()
    assert kept(tmp_path, mended).loglikelihood(asked)[1] == (-math.inf, False)
    assert mended.asked == [[("t", "a"), ("t", "c")]]


def test_models_that_differ_in_a_setting_never_share_an_answer(tmp_path: Path) -> None:
    caches = [RunCache(tmp_path, _identity(Backend(temperature))) for temperature in (0.0, 0.5)]
    for cache in caches:
        cache.close()
    one, other = (cache.path for cache in caches)
    assert one != other
    one.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="given under other settings"):
        for temperature in (0.0, 0.5):
            RunCache(tmp_path, _identity(Backend(temperature)))


class Picture:
    """Like an image: pixels and nothing that JSON can hold."""

    mode, size = "RGB", (1, 1)

    def __init__(self, pixels: bytes) -> None:
        self.tobytes = lambda: pixels


def test_pictures_are_told_apart_by_their_pixels(tmp_path: Path) -> None:
    def asked(pixels: bytes) -> list[Instance]:
        return [Instance("generate_until", {}, ("p", {}, {"visual": [Picture(pixels)]}), 0, ("t", 0, 1))]

    backend = Backend()
    for pixels in (b"red", b"red", b"blu"):
        kept(tmp_path, backend).generate_until(asked(pixels))
    assert len(backend.asked) == 2
    with pytest.raises(InputError, match="cannot be told from another"):
        kept(tmp_path, backend).generate_until(asked(b""))


def test_characters_are_counted_where_nobody_knows_tokens() -> None:
    meter = Meter(Backend())
    meter.generate_until(requests_of("t", "four", "sixsix"))
    meter.loglikelihood(requests_of("t", "four", kind="loglikelihood"))
    used = meter.usage()
    assert (used["requests"], used["input"], used["output"]) == (3, 4 + 6 + len("four yes"), 2 * len("text"))
    assert used["unit"] == used["counted_by"] == "characters"


def test_tokens_are_the_tokenizers_where_there_is_one() -> None:
    backend = Backend()
    backend.tokenizer = lambda texts, add_special_tokens: {"input_ids": [text.split() for text in texts]}
    meter = Meter(backend)
    meter.generate_until(requests_of("t", "two words", "two words", "and three more"))
    used = meter.usage()
    assert (used["input"], used["output"], used["unit"], used["counted_by"]) == (7, 3, "tokens", "tokenizer")


def test_an_answer_as_long_as_its_task_allows_counts_as_cut() -> None:
    backend = Backend()
    backend.tokenizer = lambda texts, add_special_tokens: {"input_ids": [text.split() for text in texts]}
    said = {"short": "one two", "long": "one two three", "free": "one two three"}
    backend.answer = lambda _, request: said[request.args[0]]
    meter = Meter(backend)
    for task, prompt, limits in (
        ("t", "short", {"max_gen_toks": 3}),
        ("t", "long", {"max_gen_toks": 3}),
        ("u", "free", {}),
    ):
        meter.generate_until([Instance("generate_until", {}, (prompt, limits), 0, (task, 0, 1))])
    assert meter.usage()["cut"] == {"t": {"answers": 2, "cut": 1}}  # nobody says how long an answer of u may be
    backend.max_gen_toks = 3
    meter.generate_until([Instance("generate_until", {}, ("free", {}), 0, ("u", 0, 1))])
    assert meter.usage()["cut"]["u"] == {"answers": 1, "cut": 1}


def test_no_answer_is_called_cut_where_nobody_knows_tokens() -> None:
    meter = Meter(Backend())
    meter.generate_until([Instance("generate_until", {}, ("prompt", {"max_gen_toks": 1}), 0, ("t", 0, 1))])
    assert "cut" not in meter.usage()


def test_a_tokenizer_that_would_have_to_be_loaded_is_left_alone() -> None:
    class Lazy(Backend):
        @property
        def tokenizer(self) -> Any:
            raise OSError("offline")

    meter = Meter(Lazy())
    meter.generate_until(requests_of("t", "four"))
    assert meter.usage()["counted_by"] == "characters"


@pytest.mark.parametrize(("told", "by"), [([11, 13], "server"), ([11, None], "characters")])
def test_a_servers_own_counts_come_first_if_it_gives_them_for_every_answer(told: list[Any], by: str) -> None:
    class Server(Backend):
        @staticmethod
        def parse_generations(outputs: Any, **_: Any) -> list[str]:
            return ["text"]

        def generate_until(self, requests: Any) -> list[str]:
            sent = [{"usage": count and {"prompt_tokens": count, "completion_tokens": 2}} for count in told]
            return [self.parse_generations(outputs=one, contexts=[])[0] for one in sent]

    meter = Meter(Server())
    meter.generate_until(requests_of("t", "a", "b"))
    used = meter.usage()
    assert used["counted_by"] == by
    if by == "server":
        assert (used["input"], used["output"]) == (24, 4)
    assert "parse_generations" not in vars(meter.lm)


def test_the_cost_is_that_of_a_price_list() -> None:
    assert cost({"input": 1_500_000, "output": 250_000}, Prices(3.0, 15.0)) == pytest.approx(4.5 + 3.75)
