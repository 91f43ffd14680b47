"""Odd requests: a defined result or one clear error each, and nothing that was computed is lost."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
import transformers
from lm_eval.api.instance import Instance

from harness_ext.errors import InputError
from harness_ext.models.hf import PairEncoder
from harness_ext.models.prefix.lm import PrefixLM, Progress


@pytest.fixture
def lm(checkpoint: Any) -> PrefixLM:
    return PrefixLM(checkpoint("llama"), device="cpu", dtype="float32")


def ask(*arguments: Any, kind: str = "loglikelihood", doc: int = 0) -> Instance:
    return Instance(kind, {}, arguments, 0, metadata=("odd", doc, 1))


def reference(lm: PrefixLM, context: list[int], continuation: list[int]) -> float:
    """The likelihood of tokens, from one forward pass over all of them."""
    with torch.no_grad():
        logits = lm.model(torch.tensor([context + continuation])).logits[0].log_softmax(-1)
    places = range(len(context) - 1, len(context) + len(continuation) - 1)
    return float(sum(logits[place, token] for place, token in zip(places, continuation, strict=True)))


def test_a_prompt_longer_than_the_context_loses_its_beginning_with_a_warning(
    lm: PrefixLM, caplog: pytest.LogCaptureFixture
) -> None:
    words = "the cat sat on the mat " * 100
    ((value, _),) = lm.loglikelihood([ask(words, " and")], disable_tqdm=True)
    tokens = lm.tok_encode(words + " and")
    first = len(lm.tok_encode(words.rstrip()))
    kept = tokens[-(lm.max_length + 1) :]
    continuation = tokens[first:]
    assert value == pytest.approx(reference(lm, kept[: -len(continuation)], continuation), abs=1e-4)
    assert f"1 prompts are longer than {lm.max_length} tokens" in caplog.text


def test_a_continuation_longer_than_the_context_is_an_error_before_anything_runs(lm: PrefixLM) -> None:
    requests = [ask("the cat", " sat"), ask("the", " cat" * 1000, doc=7)]
    with pytest.raises(InputError, match=r"task odd, doc 7: a continuation of \d+ tokens does not fit"):
        lm.loglikelihood(requests, disable_tqdm=True)
    assert lm.spent.forwarded == 0


@pytest.mark.parametrize("context", ["", " ", "\n\n"])
def test_an_empty_context_is_the_prefix_token(lm: PrefixLM, context: str) -> None:
    ((value, _),) = lm.loglikelihood([ask(context, "cat sat")], disable_tqdm=True)
    tokens = lm.tok_encode(context + "cat sat", add_special_tokens=False)
    assert value == pytest.approx(reference(lm, [lm.prefix_token_id], tokens), abs=1e-4)


def test_an_empty_continuation_has_likelihood_one(lm: PrefixLM, caplog: pytest.LogCaptureFixture) -> None:
    answers = lm.loglikelihood([ask("the cat", ""), ask("", ""), ask("the", " cat")], disable_tqdm=True)
    assert answers[:2] == [(0.0, True), (0.0, True)]
    assert answers[2][0] < 0
    assert "2 continuations have no tokens" in caplog.text


def test_a_continuation_that_merges_into_the_context_is_scored_where_tokens_part(
    lm: PrefixLM, caplog: pytest.LogCaptureFixture
) -> None:
    # " hill" is one token, " hil" several: "the hil" has more tokens than "the hill".
    context, continuation = "the hil", "l"
    before, whole = lm.tok_encode(context), lm.tok_encode(context + continuation)
    assert len(whole) <= len(before)  # nothing is left behind the context's tokens: hf fails here
    ((value, _),) = lm.loglikelihood([ask(context, continuation)], disable_tqdm=True)
    shared = next(place for place in range(len(whole)) if whole[place] != before[place])
    assert value == pytest.approx(reference(lm, whole[:shared], whole[shared:]), abs=1e-4)
    assert "1 continuations are one token with the end of their context" in caplog.text


def test_a_first_token_that_merges_away_is_scored_after_the_prefix_token(lm: PrefixLM) -> None:
    encode = PairEncoder(lm)
    assert lm.tok_encode("th") != lm.tok_encode("the")[:1]
    encoded = encode("th", "e")
    assert encoded.context + encoded.continuation == [lm.prefix_token_id, *lm.tok_encode("the")]
    assert encoded.merged


def test_pairs_are_encoded_as_by_lm_eval(lm: PrefixLM, requests: Any) -> None:
    encode = PairEncoder(lm)
    for request in requests.choices:
        if request.args[0]:
            encoded = encode(*request.args)
            assert (encoded.context, encoded.continuation) == lm._encode_pair(*request.args)


def test_a_limit_that_leaves_no_room_for_a_prompt_is_an_error(lm: PrefixLM) -> None:
    with pytest.raises(InputError, match="max_gen_toks=5000 leaves no room for a prompt in 192 tokens"):
        lm.generate_until([ask("the", {"until": [], "max_gen_toks": 5000}, kind="generate_until")], disable_tqdm=True)


def test_max_length_is_refused_where_it_means_something_else(checkpoint: Any) -> None:
    lm = PrefixLM(checkpoint("t5"), device="cpu", dtype="float32")
    with pytest.raises(InputError, match="give max_gen_toks"):
        lm.generate_until([ask("the", {"until": [], "max_length": 9}, kind="generate_until")], disable_tqdm=True)


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_prompt_is_continued_from_the_prefix_token(lm: PrefixLM, text: str) -> None:
    (answer,) = lm.generate_until(
        [ask(text, {"until": [], "max_gen_toks": 6}, kind="generate_until")], disable_tqdm=True
    )
    ids = torch.tensor([lm.tok_encode(text) or [lm.prefix_token_id]])
    output = lm.model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=2)
    assert answer == lm.tok_decode(output[0, ids.shape[1] :].tolist())


def test_no_requests_have_no_answers(lm: PrefixLM) -> None:
    assert lm.loglikelihood([], disable_tqdm=True) == []
    assert lm.loglikelihood_rolling([], disable_tqdm=True) == []
    assert lm.generate_until([], disable_tqdm=True) == []


def test_an_empty_text_has_likelihood_one(lm: PrefixLM) -> None:
    assert lm.loglikelihood_rolling([ask("", kind="loglikelihood_rolling")], disable_tqdm=True) == [0.0]


@pytest.mark.parametrize("budget", ["much", "-1", 0, "0GiB"])
def test_a_budget_that_is_no_size_is_an_error(checkpoint: Any, budget: Any) -> None:
    with pytest.raises(InputError, match=r"kv_budget=.*like 2GiB"):
        PrefixLM(checkpoint("llama"), device="cpu", kv_budget=budget)


def test_thinking_models_are_refused_for_likelihoods(checkpoint: Any) -> None:
    lm = PrefixLM(checkpoint("llama"), device="cpu", enable_thinking=True, think_end_token="true")
    with pytest.raises(ValueError, match="enable_thinking=True is not compatible"):
        lm.loglikelihood([ask("the", " cat")], disable_tqdm=True)


@pytest.mark.parametrize("end", ["the", "5"])
def test_thinking_is_cut_out_as_in_hf(checkpoint: Any, requests: Any, end: str) -> None:
    from lm_eval.models.huggingface import HFLM

    expected = HFLM(checkpoint("llama"), device="cpu", dtype="float32", think_end_token=end)
    lm = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32", think_end_token=end)
    asked = [
        ask(request.args[0], {"until": [], "max_gen_toks": 24}, kind="generate_until") for request in requests.prompts
    ]
    assert lm.generate_until(asked, disable_tqdm=True) == expected.generate_until(asked, disable_tqdm=True)


def test_what_was_answered_before_an_error_is_kept(checkpoint: Any, requests: Any, tmp_path: Any) -> None:
    lm = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32", resume=str(tmp_path))
    whole = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32")
    expected = whole.loglikelihood(requests.choices, disable_tqdm=True)
    lm._shares  # noqa: B018
    calls = 0

    def fail(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise RuntimeError("out of memory")

    hook = lm.model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        lm.loglikelihood(requests.choices, disable_tqdm=True)
    hook.remove()
    stored = len(lm._run_cache)
    assert 0 < stored < len(requests.choices)
    answers = lm.loglikelihood(requests.choices, disable_tqdm=True)
    assert [value for value, _ in answers] == pytest.approx([value for value, _ in expected], abs=1e-5)
    assert lm.spent.plain < whole.spent.plain


@pytest.mark.parametrize("architecture", ["llama", "t5", "mamba"])
def test_a_second_run_computes_nothing(architecture: str, checkpoint: Any, requests: Any, tmp_path: Any) -> None:
    first = PrefixLM(checkpoint(architecture), device="cpu", dtype="float32", resume=str(tmp_path))
    second = PrefixLM(checkpoint(architecture), device="cpu", dtype="float32", resume=str(tmp_path), batch_size=4)
    called = []
    second.model.register_forward_pre_hook(lambda *_: called.append(1))
    for kind, asked in (
        ("loglikelihood", requests.choices),
        ("loglikelihood_rolling", requests.texts),
        ("generate_until", requests.prompts),
    ):
        answers = getattr(first, kind)(asked, disable_tqdm=True)
        assert getattr(second, kind)(asked, disable_tqdm=True) == answers
    assert not called


def test_another_model_computes_everything_anew(checkpoint: Any, requests: Any, tmp_path: Any) -> None:
    first = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32", resume=str(tmp_path))
    first.loglikelihood(requests.choices[:8], disable_tqdm=True)
    other = PrefixLM(checkpoint("llama", 1), device="cpu", dtype="float32", resume=str(tmp_path))
    alone = PrefixLM(checkpoint("llama", 1), device="cpu", dtype="float32")
    assert other.loglikelihood(requests.choices[:8], disable_tqdm=True) == alone.loglikelihood(
        requests.choices[:8], disable_tqdm=True
    )


def test_sampled_answers_are_never_taken_from_an_earlier_run(checkpoint: Any, tmp_path: Any) -> None:
    arguments = {"until": [], "max_gen_toks": 8, "do_sample": True, "temperature": 1.0}
    lm = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32", resume=str(tmp_path))
    transformers.set_seed(1)
    drawn = {
        lm.generate_until([ask("the cat", arguments, kind="generate_until")], disable_tqdm=True)[0] for _ in range(4)
    }
    assert len(drawn) > 1
    assert len(lm._run_cache) == 0


def test_progress_counts_a_document_with_the_last_of_its_requests(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress([("t", 1), ("t", 2), ("t", 1)], "Scoring", disabled=False)
    progress.finish(0)
    progress.finish(1)
    progress.show(1500, 4000)
    progress.close()
    shown = capsys.readouterr().err
    assert "1/2" in shown
    assert "tokens=1.5k, saved=2.5k" in shown


def test_a_run_shows_documents_and_tokens(
    lm: PrefixLM, requests: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    lm.loglikelihood(requests.choices[:40])
    shown = capsys.readouterr().err
    assert "5/5" in shown
    assert f"tokens={lm.spent.forwarded}" in shown or "tokens=1." in shown
    assert "saved=" in shown
