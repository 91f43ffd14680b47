"""The ``hf-prefix`` backend: lm-eval's ``hf`` with every shared beginning of prompts run once.

Options, limits and measurements: ``docs/backends.md``.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lm_eval.models  # noqa: F401 - lm-eval fills its registry only while it is empty: its own backends go first
import torch
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from tqdm import tqdm

from harness_ext.errors import InputError
from harness_ext.models.hf import PairEncoder, share_documents
from harness_ext.models.prefix.body import cast_body
from harness_ext.models.prefix.cache import Traits, Unsuitable, probe
from harness_ext.models.prefix.decode import SHARE, History, SharedDecoding, decode_with_encoder, is_greedy
from harness_ext.models.prefix.engine import Engine, budget, default_budget, limits_on, rows_by_trying
from harness_ext.models.prefix.head import Head, head_of
from harness_ext.models.prefix.rows import Decoding
from harness_ext.models.prefix.score import Answer, Scoring, Tally, TokenScore, score_with_encoder
from harness_ext.models.prefix.token_scores import TokenScoresFile
from harness_ext.models.prefix.tree import arrange
from harness_ext.models.prefix.walk import Walk
from harness_ext.models.runs.cache import RunCache, request_key
from harness_ext.models.runs.identity import claim, identity_of

log = logging.getLogger(__name__)

SCORING_VERSION = 1
"""Part of the identity of stored answers; one more whenever the same request may get another answer."""

_ANSWERS = {"loglikelihood": tuple[float, bool], "loglikelihood_rolling": float, "generate_until": str}
"""Forms of stored answers."""

_AUTO_CONTEXTS = 64
"""The most that ``batch_size=auto`` tries, if nothing else is said."""


@dataclass
class Spent:
    """Tokens of all requests so far."""

    calls: int = 0
    forwarded: int = 0
    """Tokens that went through the model, padding included; for generation also the new ones."""
    tree: int = 0
    """Tokens of the prompts with every shared beginning counted once: the floor."""
    plain: int = 0
    """Tokens of all distinct prompts: what ``hf`` forwards with a batch size of one."""


class PrefixLM(HFLM):  # type: ignore[misc]
    """``hf`` with shared beginnings run once; takes all of its arguments.

    Args:
        pretrained: see ``hf``.
        kv_budget: memory for the key-value caches of shared beginnings, in bytes or as text (``"2GiB"``). Default: a
            quarter of the memory that is free when the first request comes, on CPU at most 1 GiB.
        resume: a folder. Answers are kept there as they come, and a later run of the same model with the same
            settings takes them from there.
        token_scores: a folder, to which the score of every token of every continuation is written
            (:mod:`harness_ext.models.prefix.token_scores`).
        body_dtype: ``bfloat16`` or ``float16``: precision of everything but the head, with ``dtype=float32``.
        **hf_arguments: see ``hf``. ``batch_size`` is the number of prompts *without a common beginning* that are run
            together; prompts that share one are always run together as memory allows.

    Raises:
        InputError: an argument is wrong.
    """

    def __init__(
        self,
        pretrained: Any,
        *,
        kv_budget: int | str | None = None,
        resume: str | None = None,
        token_scores: str | None = None,
        body_dtype: str | None = None,
        **hf_arguments: Any,
    ) -> None:
        if token_scores and resume:
            raise InputError(
                "token_scores and resume exclude each other: stored answers have no scores of their tokens"
            )
        self._cache_bytes = None if kv_budget is None else budget(kv_budget)
        super().__init__(pretrained, **hf_arguments)
        share_documents(self)
        self._body_dtype = body_dtype
        if body_dtype is not None:
            cast_body(self.model, body_dtype)
        self.spent = Spent()
        self._found: Traits | Unsuitable | None = None
        self._head: Head | None = None
        self._contexts: int | None = None
        """Prompts without a common beginning that are run together, once that is known."""
        self._history: History | None = None
        self._token_scores: TokenScoresFile | None = None
        if token_scores:
            if not self._shares:
                raise InputError(f"token_scores needs a model whose prefixes can be shared, and here {self._found}")
            self._token_scores = TokenScoresFile(Path(token_scores), self.rank)
        self._run_cache: RunCache | None = None
        if resume:
            self._run_cache = RunCache(Path(resume), self.identity())
            self.set_cache_hook(self.cache_hook)

    # -- requests

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Answer]:
        """Log-likelihood of each continuation after its context; see lm-eval's ``LM``."""
        if self.enable_thinking:  # refused there
            super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        answers = self._stored_or("loglikelihood", requests, lambda some: self._loglikelihoods(some, disable_tqdm))
        return [(float(value), bool(greedy)) for value, greedy in answers]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of each whole text; see lm-eval's ``LM``."""
        answers = self._stored_or("loglikelihood_rolling", requests, lambda some: self._rolling(some, disable_tqdm))
        return [float(value) for value in answers]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Text after each context up to a stop sequence; see lm-eval's ``LM``."""
        return self._stored_or("generate_until", requests, lambda some: self._generations(some, disable_tqdm))

    def _stored_or(
        self, kind: str, requests: list[Instance], compute: Callable[[list[Instance]], list[Any]]
    ) -> list[Any]:
        """Stored answers where there are any, computed ones for the rest."""
        if self._run_cache is None:
            return compute(requests)
        keys = [request_key(kind, request.args) for request in requests]
        answers = self._run_cache.get(
            [key for key, request in zip(keys, requests, strict=True) if _repeatable(request.args)], _ANSWERS[kind]
        )
        missing = [index for index, key in enumerate(keys) if key not in answers]
        if self.rank == 0:  # lm-eval shows its own log messages only
            found = f"{len(requests) - len(missing)} of {len(requests)} answers found in {self._run_cache.path}"
            tqdm.write(f"{kind}: {found}", file=sys.stderr)
        try:
            computed = dict(
                zip(missing, compute([requests[index] for index in missing]) if missing else [], strict=True)
            )
        finally:
            self._run_cache.commit()  # whatever happened, what was answered stays answered
        return [computed[index] if index in computed else answers[key] for index, key in enumerate(keys)]

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Take lm-eval's hook for ``--use_cache``, and refuse a file that holds another model's answers.

        Raises:
            InputError: see :func:`harness_ext.models.runs.identity.claim`.
        """
        if isinstance(cache_hook, _Recorder):
            cache_hook = cache_hook.hook
        claim(self, cache_hook)
        super().set_cache_hook(_Recorder(cache_hook, self._run_cache) if self._run_cache is not None else cache_hook)

    def identity(self) -> dict[str, Any]:
        """What stored answers of this model depend on besides the request."""
        body = {"body_dtype": self._body_dtype} if self._body_dtype else {}
        return {**identity_of(self, "hf-prefix"), "scoring": SCORING_VERSION, **body}

    # -- log-likelihoods

    def _loglikelihoods(self, requests: list[Instance], disable_tqdm: bool) -> list[Answer]:
        encode = PairEncoder(self)
        answers: list[Answer] = [(0.0, True)] * len(requests)
        scored, empty, merged = [], 0, 0
        for index, request in enumerate(requests):
            encoded = encode(*request.args)
            if len(encoded.continuation) > self.max_length:
                raise InputError(
                    f"{_name(request)}: a continuation of {len(encoded.continuation)} tokens does not fit the model's "
                    f"{self.max_length}; leave the document out (--samples) or take a model with a longer context"
                )
            empty += not encoded.continuation
            merged += encoded.merged
            if encoded.continuation:
                scored.append((index, (request.args, encoded.context, encoded.continuation)))
            else:
                self.cache_hook.add_partial("loglikelihood", request.args, answers[index])
        if empty:
            log.warning("%d continuations have no tokens: their log-likelihood is 0", empty)
        if merged:
            log.warning(
                "%d continuations are one token with the end of their context; they are scored from the first token "
                "that differs from the context's own",
                merged,
            )
        documents = [_document(requests[index], index) for index, _ in scored]
        asked = [requests[index] for index, _ in scored]
        computed = self._loglikelihood_tokens(
            [item for _, item in scored], disable_tqdm, documents=documents, asked=asked
        )
        for (index, _), answer in zip(scored, computed, strict=True):
            answers[index] = answer
        return answers

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[Any, list[int], list[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
        documents: Sequence[Hashable] | None = None,
        asked: Sequence[Instance] | None = None,
    ) -> list[Answer]:
        """Score encoded requests; see ``HFLM``. ``documents`` names each request's document for the progress bar.

        ``asked`` are the requests themselves, by which the scores of their tokens are kept.
        """
        if not requests:
            return []
        if not self._shares:
            answers: list[Answer] = super()._loglikelihood_tokens(
                list(requests), disable_tqdm=disable_tqdm, override_bs=override_bs
            )
            return answers
        results: list[Answer | None] = [None] * len(requests)
        progress = Progress(documents or range(len(requests)), "Scoring", disabled=disable_tqdm or self.rank != 0)

        def take(index: int, answer: Answer) -> None:
            results[index] = answer
            if requests[index][0] is not None:
                self.cache_hook.add_partial("loglikelihood", requests[index][0], answer)
            progress.finish(index)

        keep = None
        if (file := self._token_scores) is not None and asked is not None:

            def keep(index: int, tokens: list[TokenScore]) -> None:
                file.write(asked[index], requests[index][2], tokens)

        scorings = [Scoring(context, continuation) for _, context, continuation in requests]
        self._score(scorings, take, progress, keep)
        return [answer for answer in results if answer is not None]

    def _rolling(self, requests: list[Instance], disable_tqdm: bool) -> list[float]:
        if not self._shares:
            stock: list[float] = super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
            return stock
        scorings: list[Scoring] = []
        owners: list[int] = []
        for index, request in enumerate(requests):
            windows = utils.get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            for context, continuation in map(utils.make_disjoint_window, windows):
                scorings.append(Scoring(context, continuation))
                owners.append(index)
        totals = [0.0] * len(requests)
        missing = [0] * len(requests)
        for owner in owners:
            missing[owner] += 1
        documents = [_document(request, index) for index, request in enumerate(requests)]
        progress = Progress(
            [documents[owner] for owner in owners], "Scoring texts", disabled=disable_tqdm or self.rank != 0
        )

        def take(window: int, answer: Answer) -> None:
            owner = owners[window]
            totals[owner] += answer[0]
            missing[owner] -= 1
            if not missing[owner]:
                self.cache_hook.add_partial("loglikelihood_rolling", requests[owner].args, totals[owner])
            progress.finish(window)

        self._score(scorings, take, progress)
        return totals

    def _score(
        self,
        scorings: list[Scoring],
        take: Callable[[int, Answer], None],
        progress: Progress,
        keep: Callable[[int, list[TokenScore]], None] | None = None,
    ) -> None:
        """Score continuations; ``take`` gets each answer as soon as it is complete."""
        engine = self._engine()
        plain, plain_lengths = 0, dict.fromkeys(range(len(scorings)), 0)

        def answer(index: int, value: Answer) -> None:
            nonlocal plain
            plain += plain_lengths[index]
            take(index, value)

        def after_call() -> None:
            progress.show(engine.work.tokens, plain)
            self._commit()

        continuations = [scoring.continuation for scoring in scorings]
        tally = Tally(continuations, answer, self.softmax_dtype or torch.float32, keep)
        longest = self.max_length
        if self.backend == "seq2seq":
            cut = [Scoring(context[-longest:], continuation[-longest:]) for context, continuation in scorings]
            plain_lengths = {index: len(one.context) + len(one.continuation) for index, one in enumerate(cut)}
            score_with_encoder(engine, cut, tally, after_call)
            self._count(engine, engine.work.tokens - engine.work.padding, sum(plain_lengths.values()))
        else:
            longer = sum(len(context) + len(continuation) > longest + 1 for context, continuation in scorings)
            if longer:
                log.warning("%d prompts are longer than %d tokens and lose their beginning", longer, longest)
            inputs = [(context + continuation)[-(longest + 1) :][:-1] for context, continuation in scorings]
            plain_lengths |= _first_lengths(inputs)
            scored = [len(scoring.continuation) for scoring in scorings]
            forest = arrange(inputs, scored, min_saving=engine.limits.min_saving)
            walk = Walk(engine, on_logits=tally.add_nodes, on_end=lambda *_: None, after_call=after_call)
            walk.run(forest.roots)
            self._count(engine, forest.tree_tokens, forest.distinct_tokens)
        progress.close()

    # -- generation

    def _generations(self, requests: list[Instance], disable_tqdm: bool) -> list[str]:
        """Answers by groups of equal arguments; what is greedy is generated once for each distinct context."""
        groups: dict[str, dict[str, list[int]]] = {}
        stock: list[int] = []
        texts = [""] * len(requests)
        for index, request in enumerate(requests):
            context, arguments = request.args
            if (
                self._shares and is_greedy(normalize_gen_kwargs(arguments, self.max_gen_toks))
            ) or self.backend == "seq2seq":
                key = json.dumps([arguments, None if _repeatable(request.args) else index], sort_keys=True)
                groups.setdefault(key, {}).setdefault(context, []).append(index)
            else:
                stock.append(index)
        documents = [_document(request, index) for index, request in enumerate(requests)]
        progress = Progress(documents, "Generating", disabled=disable_tqdm or self.rank != 0 or not groups)

        def take(owners: Sequence[int], text: str) -> None:
            first = requests[owners[0]]
            self.cache_hook.add_partial("generate_until", first.args, text)
            for owner in owners:
                texts[owner] = text
                progress.finish(owner)

        for group in groups.values():
            some = requests[next(iter(group.values()))[0]]
            self._generate(some, group, take, progress)
        progress.close()
        if stock:
            answers = super().generate_until([requests[index] for index in stock], disable_tqdm=disable_tqdm)
            for index, text in zip(stock, answers, strict=True):
                texts[index] = text
        return texts

    def _generate(
        self,
        some: Instance,
        group: dict[str, list[int]],
        take: Callable[[Sequence[int], str], None],
        progress: Progress,
    ) -> None:
        """Answers to distinct contexts, each with its requests, that have the arguments of ``some``."""
        decoding = self._decoding(some)
        if self.backend == "seq2seq":
            self._generate_with_encoder(decoding, group, take, progress)
            return
        room = self.max_length - decoding.new_tokens
        if room < 1:
            raise InputError(
                f"{_name(some)}: max_gen_toks={decoding.new_tokens} leaves no room for a prompt in {self.max_length} "
                "tokens of context; give a smaller one with --gen_kwargs max_gen_toks=N"
            )
        owners = list(group.values())
        encoded = [
            self.tok_batch_encode([text], left_truncate_len=room, truncation=self.truncation)[0][0].tolist()
            for text in group
        ]
        contexts = [tokens or [self.prefix_token_id] for tokens in encoded]
        engine = self._engine()
        plain = generated = 0

        def take_tokens(context: int, tokens: list[int]) -> None:
            nonlocal plain, generated
            generated += len(tokens)
            plain += len(contexts[context]) - 1 + len(tokens)
            take(owners[context], self._text(tokens, decoding.stop))

        def after_call() -> None:
            progress.show(engine.work.tokens, plain)
            self._commit()

        shared = SharedDecoding(engine, decoding, contexts, take_tokens, after_call, self._history)
        shared.run()
        self._count(engine, shared.tree_tokens + generated, shared.plain_tokens + generated)

    def hold_dialogues(self, texts: Sequence[str]) -> int:
        """Make room for the history of dialogues that will be about as long as these texts, and forget any before.

        Returns:
            How many of them, from the first on, may be played together; 0 where no history can be kept. From now on
            `generate_until` keeps what it has read until this is called again; without texts it keeps nothing.
        """
        self._history = None
        if not texts or self.backend == "seq2seq" or not self._shares:
            return 0
        engine = self._engine()
        assert engine.traits is not None  # noqa: S101 - for the type checker: such a model shares nothing
        self._history = History(engine.limits.cache_bytes * SHARE)
        room = self._history.limit
        for count, text in enumerate(texts):
            room -= engine.traits.size(min(len(self.tok_encode(text)), self.max_length))
            if room < 0:
                return max(1, count)
        return len(texts)

    def _generate_with_encoder(
        self,
        decoding: Decoding,
        group: dict[str, list[int]],
        take: Callable[[Sequence[int], str], None],
        progress: Progress,
    ) -> None:
        engine = self._engine()
        texts = sorted(group, key=lambda text: -len(text))
        size = engine.limits.contexts
        for batch in (texts[first : first + size] for first in range(0, len(texts), size)):
            ids, mask = self.tok_batch_encode(batch, left_truncate_len=self.max_length, truncation=self.truncation)
            for text, tokens in zip(batch, decode_with_encoder(engine, decoding, ids, mask), strict=True):
                take(group[text], self._text(tokens, decoding.stop))
            progress.show(engine.work.tokens, 0)
            self._commit()
        self._count(engine, 0, 0)

    def _decoding(self, request: Instance) -> Decoding:
        arguments = dict(normalize_gen_kwargs(request.args[1], self.max_gen_toks))
        if self.backend == "seq2seq" and "max_length" in arguments:
            raise InputError(f"{_name(request)}: max_length counts the prompt in other models; give max_gen_toks")
        eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        stop = handle_stop_sequences(arguments.pop("until", None), eos=eos)
        new_tokens = arguments.pop("max_gen_toks")
        if not arguments.get("do_sample") and not arguments.get("temperature"):
            arguments.pop("temperature", None)  # transformers warns of one that greedy decoding does not use
            arguments["do_sample"] = False
        return Decoding(stop, new_tokens, arguments)

    def _text(self, tokens: list[int], until: list[str]) -> str:
        """The answer in some new tokens, as ``HFLM`` cuts it out."""
        text_marker = self.think_end_token if isinstance(self.think_end_token, str) else None
        thinks = isinstance(self.think_end_token, int) and self.think_end_token in tokens
        if thinks:
            last = len(tokens) - 1 - tokens[::-1].index(self.think_end_token)
            tokens = tokens[last + 1 :]
        text = self.tok_decode(tokens)
        if isinstance(self.think_end_token, int):
            text = text.lstrip()
        answer: str = postprocess_generated_text(generation=text, stop=until, think_end_token=text_marker)
        return answer

    # -- what this model and machine allow

    @property
    def _shares(self) -> bool:
        """Whether this model's prefixes can be shared; asked for the first time it finds out and says so."""
        if self.backend == "seq2seq":
            return True
        if self._found is None:
            try:
                with self._autocast():
                    self._found = probe(self.model, self.device)
            except Unsuitable as reason:
                self._found = reason
                log.warning("hf-prefix works like hf for this model: %s", reason)
        return isinstance(self._found, Traits)

    def _engine(self) -> Engine:
        if self._cache_bytes is None:
            self._cache_bytes = default_budget(self.device)
        if self._head is None:
            self._head = Head() if self.mixed_precision_dtype else head_of(self.model)
        if self.batch_size != "auto":
            self._contexts = int(self.batch_size)
        engine = Engine(
            model=self.model,
            tokenizer=self.tokenizer,
            device=self.device,
            limits=limits_on(self.device, contexts=self._contexts or 1, cache_bytes=self._cache_bytes),
            autocast=self._autocast,
            traits=self._found if isinstance(self._found, Traits) else None,
            head=self._head,
        )
        if self._contexts is None:
            self._contexts = rows_by_trying(engine, self.max_batch_size or _AUTO_CONTEXTS)
            engine = replace(engine, limits=replace(engine.limits, contexts=self._contexts))
        return engine

    def _count(self, engine: Engine, tree: int, plain: int) -> None:
        self.spent.calls += engine.work.calls
        self.spent.forwarded += engine.work.tokens
        self.spent.tree += tree
        self.spent.plain += plain

    def _autocast(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = torch.autocast(
            device_type=torch.device(self.device).type,
            dtype=self.mixed_precision_dtype,
            enabled=self.mixed_precision_dtype is not None,
        )
        return context

    def _commit(self) -> None:
        if self._run_cache is not None:
            self._run_cache.commit()


class Progress:
    """Progress of some requests.

    Args:
        documents: for each request, what it belongs to; a document is done with the last of its requests.
        label: what is being done.
        disabled: show nothing.
    """

    def __init__(self, documents: Sequence[Hashable], label: str, *, disabled: bool) -> None:
        self._documents = documents
        self._missing = Counter(documents)
        self._bar: Any = tqdm(total=len(self._missing), desc=label, unit="doc", disable=disabled)

    def finish(self, request: int) -> None:
        """Count a request as answered."""
        document = self._documents[request]
        self._missing[document] -= 1
        if not self._missing[document]:
            self._bar.update(1)

    def show(self, forwarded: int, plain: int) -> None:
        """Show tokens that were forwarded, and how many fewer than the ``plain`` number this is."""
        if not self._bar.disable:
            saved = max(0, plain - forwarded)
            self._bar.set_postfix_str(f"tokens={in_short(forwarded)}, saved={in_short(saved)}", refresh=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.refresh()
        self._bar.close()


def in_short(count: int) -> str:
    """A count in at most five characters.

    >>> in_short(999), in_short(12_345), in_short(4_200_000)
    ('999', '12.3k', '4.2M')
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


class _Recorder:
    """lm-eval's cache hook, and the run cache behind it."""

    def __init__(self, hook: Any, cache: RunCache) -> None:
        self.hook = hook
        self._cache = cache

    def add_partial(self, kind: str, arguments: Any, answer: Any) -> None:
        """Keep an answer as soon as it is there."""
        self.hook.add_partial(kind, arguments, answer)
        if _repeatable(arguments):
            self._cache.put(request_key(kind, arguments), answer)


def _first_lengths(inputs: Sequence[Sequence[int]]) -> dict[int, int]:
    """The length of each distinct input, by the index of the first request that has it."""
    first: dict[tuple[int, ...], int] = {}
    for index, tokens in enumerate(inputs):
        first.setdefault(tuple(tokens), index)
    return {index: len(tokens) for tokens, index in first.items()}


def _repeatable(arguments: Any) -> bool:
    """Whether the same request gets the same answer again: all but sampled generations."""
    last = arguments[-1]
    return not (isinstance(last, dict) and bool(normalize_gen_kwargs(last).get("do_sample")))


def _document(request: Any, index: int) -> Hashable:
    """What a request belongs to, for counting documents."""
    doc = getattr(request, "doc_id", None)
    return index if doc is None else (getattr(request, "task_name", None), doc)


def _name(request: Any) -> str:
    return f"task {getattr(request, 'task_name', None)}, doc {getattr(request, 'doc_id', None)}"
