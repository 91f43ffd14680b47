"""What a run would cost a model in tokens, told before any weights are loaded.

Three numbers a task, a group and a run: tokens as they are asked for, tokens of the prompts that differ, and tokens
with every shared beginning counted once, which is what a cache of prefixes can come down to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import lm_eval.models  # noqa: F401 - lm-eval fills its registry only while it is empty
import torch
from lm_eval.api import registry
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from harness_ext.errors import InputError
from harness_ext.models.hf import PairEncoder
from harness_ext.models.plan import announced, calls, table_of
from harness_ext.models.prefix.tree import arrange
from harness_ext.models.runs.usage import new_tokens

_OF_THE_TOKENIZER = (
    *("revision", "tokenizer", "subfolder", "trust_remote_code", "use_fast_tokenizer", "add_bos_token"),
    *("prefix_token_id", "max_length", "backend", "chat_template_args", "enable_thinking", "think_end_token"),
)
"""Arguments of backends, under the names that ``hf`` gives them, on which the tokens of a prompt depend."""


class TokensOnly(HFLM):  # type: ignore[misc]
    """lm-eval's ``hf`` whose model has shapes and no weights: it encodes and answers nothing."""

    def _create_model(self, *_: Any, trust_remote_code: bool | None = False, **__: Any) -> None:
        with torch.device("meta"):
            self._model = self.AUTO_MODEL_CLASS.from_config(self.config, trust_remote_code=bool(trust_remote_code))

    @classmethod
    def in_place_of(cls, backend: str, arguments: Mapping[str, Any]) -> TokensOnly:
        """A model with the tokenizer that the arguments of any backend name.

        Raises:
            InputError: they name none, or it cannot be loaded.
        """
        named = next((arguments[key] for key in ("pretrained", "tokenizer", "model") if arguments.get(key)), None)
        if named is None:
            raise InputError(f"--plan counts tokens, and {backend} has no tokenizer. Give pretrained=FOLDER for one.")
        kept = {key: arguments[key] for key in _OF_THE_TOKENIZER if key in arguments}
        try:
            return cls(str(named), device="cpu", dtype="float32", **kept)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"--plan counts tokens, and {named} cannot be opened for it: {reason}") from error


class Prompts(NamedTuple):
    """What a model reads for a task."""

    docs: int
    requests: int
    """Calls, repeats and turns included."""
    tokens: Sequence[Sequence[int]]
    """One prompt a request, without the last token of a continuation, which nothing is predicted from."""
    new_tokens: int
    """Most tokens that are written."""


class Cost(NamedTuple):
    """What some tasks cost a model that is asked for all of them together."""

    name: str
    docs: int
    requests: int
    asked: int
    """Tokens of all prompts."""
    distinct: int
    """Tokens of the prompts that differ."""
    tree: int
    """Tokens with every shared beginning counted once."""
    new_tokens: int


def cost(name: str, prompts: Sequence[Prompts]) -> Cost:
    """Add tasks up; what several of them begin with counts once.

    >>> cost("toy", [Prompts(1, 2, [[1, 2, 3], [1, 2, 4]], 0), Prompts(1, 1, [[1, 2, 3]], 8)])
    Cost(name='toy', docs=2, requests=3, asked=9, distinct=6, tree=4, new_tokens=8)
    """
    tokens = [each for own in prompts for each in own.tokens]
    forest = arrange(tokens, [0] * len(tokens))
    docs, requests, new = (
        sum(getattr(own, column) for own in prompts) for column in ("docs", "requests", "new_tokens")
    )
    return Cost(name, docs, requests, sum(map(len, tokens)), forest.distinct_tokens, forest.tree_tokens, new)


def prompts_of(lm: Any, task: Any) -> Prompts:
    """Encode the built requests of a task as ``hf`` does."""
    encode = PairEncoder(lm)
    tokens = [
        each
        for request in task.instances
        for each in _encoded(lm, encode, request)
        for _ in range(request.repeats or 1)
    ]
    repeated = sum(calls(task, request) for request in task.instances)
    new = sum(calls(task, request) * (new_tokens(request) or 0) for request in task.instances)
    return Prompts(len({request.doc_id for request in task.instances}), repeated, tokens, new)


def _encoded(lm: Any, encode: PairEncoder, request: Instance) -> Iterator[Sequence[int]]:
    longest = lm.max_length
    if request.request_type == "loglikelihood":
        context, continuation, _ = encode(*request.args)
        if continuation:
            yield (context + continuation)[-(longest + 1) : -1]
    elif request.request_type == "loglikelihood_rolling":
        windows = get_rolling_token_windows(lm.tok_encode(request.args[0]), lm.prefix_token_id, longest, 1)
        for context, continuation in map(make_disjoint_window, windows):
            yield (context + continuation)[:-1]
    else:
        tokens = lm.tok_encode(str(request.args[0])) or [lm.prefix_token_id]
        yield tokens[-max(1, longest - (new_tokens(request) or lm.max_gen_toks)) :]


def costs(lm: Any, task_dict: Mapping[str, Any]) -> list[Cost]:
    """One line a task, a group and, if there are several tasks outside of one group, the run."""
    tasks = {name: task for name, task in task_dict["tasks"].items() if task.instances}
    own = {name: prompts_of(lm, task) for name, task in tasks.items()}
    together = {
        name: [leaf for task in group.get_all_tasks() if (leaf := str(task.task_name)) in own]
        for name, group in task_dict.get("groups", {}).items()
    }
    if len(own) > 1 and not any(len(leaves) == len(own) for leaves in together.values()):
        together["all"] = list(own)
    lines = [cost(name, [prompts]) for name, prompts in own.items()]
    return lines + [cost(name, [own[leaf] for leaf in leaves]) for name, leaves in together.items() if leaves]


def describe(lines: Sequence[Cost]) -> str:
    """The costs as text.

    >>> print(describe([Cost("toy", 2, 4, 1200, 900, 400, 0)]))
      task or group  docs  requests  tokens asked  distinct  in the prefix tree  new tokens
      toy               2         4         1,200       900                 400           -
    """
    rows: list[tuple[str, ...]] = [
        ("task or group", "docs", "requests", "tokens asked", "distinct", "in the prefix tree", "new tokens")
    ]
    for line in lines:
        new = f"<= {line.new_tokens:,}" if line.new_tokens else "-"
        rows.append((line.name, *(f"{number:,}" for number in line[1:-1]), new))
    return "\n".join(table_of(rows, left=1))


class _ToldError(Exception):
    """Ends a run whose costs are told."""


@contextmanager
def instead_of_asking(say: Callable[[str], None]) -> Iterator[None]:
    """Make an lm-eval run call ``say(text)`` with its costs where it would load a model and ask it."""

    class Backend:
        """Stands for whichever backend is named."""

        @staticmethod
        def create_from_arg_obj(arguments: Mapping[str, Any], *_: Any, **__: Any) -> TokensOnly:
            return TokensOnly.in_place_of(asked_for[-1], arguments)

        @staticmethod
        def create_from_arg_string(arguments: str, *_: Any, **__: Any) -> TokensOnly:
            from lm_eval.utils import simple_parse_args_string

            return TokensOnly.in_place_of(asked_for[-1], simple_parse_args_string(arguments))

    def get_model(name: str) -> type[Backend]:
        if name not in registry.model_registry:  # an engine that is not installed is known as well
            original(name)
        asked_for.append(name)
        return Backend

    def told(lm: Any, task_dict: Mapping[str, Any]) -> None:
        say(describe(costs(lm, task_dict)))
        raise _ToldError

    asked_for: list[str] = []
    original = registry.get_model
    registry.get_model = get_model
    try:
        with announced(told):
            yield
    except _ToldError:
        pass
    finally:
        registry.get_model = original
