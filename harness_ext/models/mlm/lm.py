"""The ``hf-mlm`` backend: pseudo-log-likelihoods of masked language models (BERT and its relatives).

A masked language model predicts a token from both sides, so a text has no probability under it. The usual stand-in is
the pseudo-log-likelihood: every token is masked in turn and the log-probabilities of the hidden tokens are added up. It
ranks answers to one question well; it is not comparable with the log-likelihood of a causal model.

What users see: ``docs/backends.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import lm_eval.models  # noqa: F401 - lm-eval fills its registry only while it is empty: its own backends go first
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tqdm import tqdm

from harness_ext.errors import InputError
from harness_ext.models.hf import PairEncoder, padded, share_documents
from harness_ext.models.mlm.checkpoint import MaskedLMLoader, positions, require_encoder
from harness_ext.models.mlm.copies import VARIANTS, Copy, Passage, Variant, masked_copy
from harness_ext.models.runs.identity import claim, identity_of

log = logging.getLogger(__name__)


@dataclass
class _Score:
    """A request and what has been read of it so far."""

    request: Instance
    passages: list[Passage]
    total: float = 0.0
    greedy: bool = True
    missing: int = field(init=False)
    """Tokens that are still to be scored."""

    def __post_init__(self) -> None:
        self.missing = sum(len(one.tokens) - one.first for one in self.passages)


class MaskedLM(HFLM):  # type: ignore[misc]
    """Pseudo-log-likelihood of encoders; takes the arguments of ``hf`` but ``backend``.

    Args:
        pretrained: see ``hf``.
        pll: ``original`` (Salazar et al. 2020) or ``within_word_l2r`` (Kauf and Ivanova 2023), which does not let a
            word's later tokens give away its earlier ones.
        **hf_arguments: see ``hf``. ``batch_size`` counts masked copies, one for each token that is scored; results do
            not depend on it. ``max_length`` can shorten what the model takes, not lengthen it.

    Raises:
        InputError: an argument is wrong, or the checkpoint is no masked language model.
    """

    AUTO_MODEL_CLASS = MaskedLMLoader

    def __init__(self, pretrained: Any, *, pll: str = "original", **hf_arguments: Any) -> None:
        if pll not in VARIANTS:
            raise InputError(f"pll={pll}: the variants are {' and '.join(VARIANTS)}")
        self.pll = cast(Variant, pll)
        super().__init__(pretrained, **hf_arguments)
        share_documents(self)
        self._at_once: int | None = None
        tokenizer = self.tokenizer
        if tokenizer.mask_token_id is None:
            raise InputError(f"{self.pretrained}: the tokenizer has no mask token, so nothing can be masked")
        if pll == "within_word_l2r" and not tokenizer.is_fast:
            raise InputError(
                f"pll=within_word_l2r: {type(tokenizer).__name__} does not say which tokens are one word; use "
                "pll=original, or a checkpoint with a tokenizer.json"
            )
        self._before = _ids(tokenizer.cls_token_id, tokenizer.bos_token_id)
        self._after = _ids(tokenizer.sep_token_id, tokenizer.eos_token_id)

    def _get_backend(self, config: Any, *_: Any, **__: Any) -> None:
        require_encoder(config)
        self.backend = "causal"  # lm-eval's other branch encodes context and continuation apart

    # -- requests

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Pseudo-log-likelihood of each continuation, its context unmasked; see lm-eval's ``LM``.

        The flag says whether the likeliest token at every mask is the hidden one.

        Raises:
            InputError: a continuation is longer than the model takes.
        """
        encode = PairEncoder(self)
        scores, shortened, empty = [], 0, 0
        for request in requests:
            context, continuation = request.args
            targets = len(encode(context, continuation).continuation)
            tokens, words = self._encoded(context + continuation)
            if targets > self._room:
                raise InputError(
                    f"task {request.task_name}, doc {request.doc_id}: a continuation of {targets} tokens does not fit "
                    f"the model's {self._room}; leave the document out (--samples) or take a model with more positions"
                )
            shortened += len(tokens) > self._room
            empty += not targets
            tokens, words = tokens[-self._room :], words[-self._room :]
            scores.append(_Score(request, [Passage(tokens, words, first=len(tokens) - targets)]))
        if shortened:
            log.warning("%d contexts are too long for %d tokens: their beginnings are cut", shortened, self._room)
        if empty:
            log.warning("%d continuations have no tokens: their log-likelihood is 0", empty)
        self._run(scores, "loglikelihood", disable_tqdm)
        return [(score.total, score.greedy) for score in scores]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Pseudo-log-likelihood of each whole text, cut into windows of what the model takes, without overlap."""
        scores = []
        for request in requests:
            tokens, words = self._encoded(request.args[0])
            windows = [slice(start, start + self._room) for start in range(0, len(tokens), self._room)]
            scores.append(_Score(request, [Passage(tokens[one], words[one], first=0) for one in windows]))
        self._run(scores, "loglikelihood_rolling", disable_tqdm)
        return [score.total for score in scores]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> NoReturn:
        """Refused.

        Raises:
            InputError: always.
        """
        raise InputError(_cannot_generate(sorted({str(request.task_name) for request in requests})))

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Take lm-eval's hook for ``--use_cache``, and refuse a file that holds another model's answers."""
        claim(self, cache_hook)
        super().set_cache_hook(cache_hook)

    def identity(self) -> dict[str, Any]:
        """What stored answers of this model depend on besides the request."""
        return {**identity_of(self, "hf-mlm"), "pll": self.pll}

    def refuse_tasks(self, tasks: Mapping[str, Any]) -> None:
        """Refuse, before anything is asked, a list of tasks in which some generate.

        Raises:
            InputError: some do.
        """
        generating = sorted(name for name, task in tasks.items() if task.OUTPUT_TYPE == "generate_until")
        if generating:
            raise InputError(_cannot_generate(generating))

    # -- tokens

    @property
    def max_length(self) -> int:
        """Tokens that the model takes, special ones included."""
        own = positions(self.model, self.tokenizer)
        return min(own, self._max_length) if self._max_length else own

    @property
    def prefix_token_id(self) -> int | None:
        """The special token in front of every text."""
        return self._before[0] if self._before else None

    @property
    def eot_token_id(self) -> int | None:
        """The special token behind every text."""
        return self._after[0] if self._after else None

    @property
    def _room(self) -> int:
        room = self.max_length - len(self._before) - len(self._after)
        if room < 1:
            raise InputError(f"max_length={self.max_length} leaves no room for a token between the special ones")
        return room

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **_: Any
    ) -> list[int]:
        """Ids of a text, without special tokens whatever is asked for: they are put around the scored sequence."""
        tokens = self._encoded(string)[0]
        return tokens[-left_truncate_len:] if left_truncate_len else tokens

    def _encoded(self, text: str) -> tuple[list[int], Sequence[int | None]]:
        """Token ids, and the word of each."""
        encoding = self.tokenizer(text, add_special_tokens=False, verbose=False)  # longer than the model takes is fine
        tokens: list[int] = encoding["input_ids"]
        return tokens, encoding.word_ids() if self.tokenizer.is_fast else [None] * len(tokens)

    # -- scoring

    def _run(self, scores: list[_Score], kind: str, disable_tqdm: bool) -> None:
        """Score all tokens, batched across requests; a request's answer is handed on when it is complete."""
        work = [
            (score, passage, place)
            for score in scores
            for passage in score.passages
            for place in range(passage.first, len(passage.tokens))
        ]
        for score in scores:
            if not score.missing:
                self.cache_hook.add_partial(kind, score.request.args, _answer(score, kind))
        work.sort(key=lambda one: -len(one[1].tokens))  # equal lengths side by side; the largest batch comes first
        size = self._copies_at_once()
        hidden = disable_tqdm or self.rank != 0
        with tqdm(total=len(work), desc="Scoring, one sequence a token", unit="tok", disable=hidden) as bar:
            for start in range(0, len(work), size):
                batch = work[start : start + size]
                predicted = self._predicted([self._masked(passage, place) for _, passage, place in batch])
                for (score, _, _), (value, greedy) in zip(batch, predicted, strict=True):
                    score.total += value
                    score.greedy &= greedy
                    score.missing -= 1
                    if not score.missing:
                        self.cache_hook.add_partial(kind, score.request.args, _answer(score, kind))
                bar.update(len(batch))

    def _masked(self, passage: Passage, place: int) -> Copy:
        mask = self.tokenizer.mask_token_id
        return masked_copy(passage, place, variant=self.pll, mask=mask, before=self._before, after=self._after)

    def _copies_at_once(self) -> int:
        if self._at_once is None:
            given = self.batch_size
            self._at_once = int(self._detect_batch_size() if given == "auto" else given)
        return self._at_once

    def _predicted(self, batch: list[Copy]) -> list[tuple[float, bool]]:
        """For each copy the log-probability of its target, and whether that is the likeliest token."""
        ids, attention = padded([copy.tokens for copy in batch], self.tokenizer.pad_token_id)
        places = torch.tensor([copy.position for copy in batch], device=self.device)
        targets = torch.tensor([copy.target for copy in batch], device=self.device)
        precision = self.mixed_precision_dtype
        with (
            torch.no_grad(),
            torch.autocast(self.device.type, dtype=precision, enabled=precision is not None),
            _logits_only_at(self.model, places),
        ):
            logits = self.model(input_ids=ids.to(self.device), attention_mask=attention.to(self.device)).logits
        if logits.shape[1] != 1:  # the head computes them in a way of its own
            logits = logits[torch.arange(len(batch), device=logits.device), places.to(logits.device), None]
        scores = torch.log_softmax(logits[:, 0], dim=-1, dtype=self.softmax_dtype or torch.float32)
        values = scores.gather(-1, targets.to(scores.device)[:, None])[:, 0].tolist()
        greedy = (scores.argmax(-1) == targets.to(scores.device)).tolist()
        return list(zip(values, greedy, strict=True))


@contextmanager
def _logits_only_at(model: Any, places: torch.Tensor) -> Iterator[None]:
    """Let the last layer of a model see one position of each sequence: its vocabulary makes it the largest."""
    last = model.get_output_embeddings()
    if last is None or not hasattr(last, "register_forward_pre_hook"):
        yield
        return

    def select(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = arguments[0]
        if hidden.ndim != 3 or hidden.shape[0] != len(places):  # a model that dropped the padding itself
            return arguments
        rows = torch.arange(len(places), device=hidden.device)
        return (hidden[rows, places.to(hidden.device), None], *arguments[1:])

    handle = last.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


def _answer(score: _Score, kind: str) -> float | tuple[float, bool]:
    return (score.total, score.greedy) if kind == "loglikelihood" else score.total


def _ids(*candidates: int | None) -> list[int]:
    """The first id that a tokenizer has."""
    return [one for one in candidates if one is not None][:1]


def _cannot_generate(tasks: Sequence[str]) -> str:
    return (
        f"hf-mlm: a masked language model cannot generate, as {', '.join(tasks)} ask for; leave them out, take their "
        "_ll variants, or use a model with a decoder"
    )
