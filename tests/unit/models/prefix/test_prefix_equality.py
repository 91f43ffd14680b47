"""hf-prefix against hf: the same answers where caches are shared, whatever the batch size and the budget."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
import transformers
from lm_eval.models.huggingface import HFLM

from harness_ext.models.prefix.cache import Traits, Unsuitable
from harness_ext.models.prefix.lm import PrefixLM

DECODERS = ("llama", "gpt2", "gemma3", "qwen3", "qwen3next", "llama4")
SETTINGS: list[dict[str, Any]] = [
    {"batch_size": 1},
    {"batch_size": 3},
    {"batch_size": "auto"},
    {"batch_size": 3, "kv_budget": "200kB"},  # some beginnings fit
    {"batch_size": 1, "kv_budget": 1},  # none does
]


def stock(folder: str, **arguments: Any) -> HFLM:
    return HFLM(folder, device="cpu", dtype="float32", **arguments)


def prefix(folder: str, **arguments: Any) -> PrefixLM:
    return PrefixLM(folder, device="cpu", dtype="float32", **arguments)


TOLERANCE = {"qwen3next": 1e-3}
"""In nats; linear attention adds up whole sequences in blocks, which a cache shifts."""


def assert_close(left: list[tuple[float, bool]], right: list[tuple[float, bool]], tolerance: float = 1e-4) -> None:
    assert [value for value, _ in left] == pytest.approx([value for value, _ in right], abs=tolerance, rel=0)
    assert [greedy for _, greedy in left] == [greedy for _, greedy in right]


@pytest.fixture(scope="module")
def expected(checkpoint: Any, requests: Any) -> Any:
    """Answers of stock hf, computed once for an architecture."""
    known: dict[str, tuple[Any, Any, Any]] = {}

    def answers(architecture: str) -> tuple[Any, Any, Any]:
        if architecture not in known:
            lm = stock(checkpoint(architecture))
            known[architecture] = (
                lm.loglikelihood(requests.choices, disable_tqdm=True),
                lm.loglikelihood_rolling(requests.texts, disable_tqdm=True),
                [] if lm.backend == "seq2seq" else lm.generate_until(requests.prompts, disable_tqdm=True),
            )
        return known[architecture]

    return answers


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("architecture", DECODERS)
def test_answers_equal_those_of_hf(
    architecture: str, settings: dict[str, Any], checkpoint: Any, requests: Any, expected: Any
) -> None:
    lm = prefix(checkpoint(architecture), **settings)
    choices, texts, answers = expected(architecture)
    found = lm.loglikelihood(requests.choices, disable_tqdm=True)
    assert_close(found, choices, TOLERANCE.get(architecture, 1e-4))
    assert isinstance(lm._found, Traits), lm._found  # otherwise hf was compared with itself
    # hf adds up its summands in single precision: a text of 400 tokens loses a few units in the last place.
    assert lm.loglikelihood_rolling(requests.texts, disable_tqdm=True) == pytest.approx(texts, rel=1e-6)
    assert lm.generate_until(requests.prompts, disable_tqdm=True) == answers


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"batch_size": 4}, {"batch_size": "auto"}], ids=str)
def test_an_encoder_decoder_model_scores_as_in_hf(
    settings: dict[str, Any], checkpoint: Any, requests: Any, expected: Any
) -> None:
    lm = prefix(checkpoint("t5"), **settings)
    choices, texts, _ = expected("t5")
    assert_close(lm.loglikelihood(requests.choices, disable_tqdm=True), choices)
    assert lm.loglikelihood_rolling(requests.texts, disable_tqdm=True) == pytest.approx(texts, rel=1e-6)


def test_an_encoder_reads_each_context_once(checkpoint: Any, requests: Any) -> None:
    lm = prefix(checkpoint("t5"), batch_size=4)
    read: list[tuple[int, ...]] = []
    lm.model.get_encoder().register_forward_pre_hook(
        lambda module, args, named: read.extend(
            tuple(row[mask.bool()].tolist())
            for row, mask in zip(named["input_ids"], named["attention_mask"], strict=True)
        ),
        with_kwargs=True,
    )
    lm.loglikelihood(requests.choices, disable_tqdm=True)
    assert len(read) == len(set(read)) == len({request.args[0].rstrip() for request in requests.choices})


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_encoder_decoder_model_generates_as_many_new_tokens_as_allowed(
    batch_size: int, checkpoint: Any, requests: Any, tokenizer: Any
) -> None:
    lm = prefix(checkpoint("t5"), batch_size=batch_size)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(checkpoint("t5")).eval()
    wanted = []
    for request in requests.prompts:
        text, arguments = request.args
        ids = tokenizer(text, return_tensors="pt").input_ids[:, -lm.max_length :]
        output = model.generate(ids, max_new_tokens=arguments["max_gen_toks"], do_sample=False)
        answer = tokenizer.decode(output[0], skip_special_tokens=True)
        until = arguments["until"]
        for stop in [until] if isinstance(until, str) else until:
            answer = answer.split(stop)[0]
        wanted.append(answer)
    assert lm.generate_until(requests.prompts, disable_tqdm=True) == wanted
    assert any(wanted)


def test_a_model_without_key_value_cache_works_as_in_hf_and_says_so_once(
    checkpoint: Any, requests: Any, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="harness_ext"):
        lm = prefix(checkpoint("mamba"))
        choices, texts, answers = expected("mamba")
        assert_close(lm.loglikelihood(requests.choices, disable_tqdm=True), choices)
        assert lm.loglikelihood_rolling(requests.texts, disable_tqdm=True) == texts
        assert lm.generate_until(requests.prompts, disable_tqdm=True) == answers
    assert isinstance(lm._found, Unsuitable)
    assert [record.message for record in caplog.records if "like hf" in record.message] == [
        "hf-prefix works like hf for this model: it takes no key-value cache"
    ]


def test_a_model_whose_cache_gives_other_results_is_not_trusted(checkpoint: Any, requests: Any, expected: Any) -> None:
    lm = prefix(checkpoint("llama"))

    def forget(module: Any, args: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        past = named.get("past_key_values")
        if past is not None and past.get_seq_length():
            for layer in past.layers:
                layer.values = torch.zeros_like(layer.values)
        return args, named

    lm.model.register_forward_pre_hook(forget, with_kwargs=True)
    assert_close(lm.loglikelihood(requests.choices, disable_tqdm=True), expected("llama")[0])
    assert "other results from a cache" in str(lm._found)


def test_long_beginnings_run_in_pieces(
    checkpoint: Any, requests: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness_ext.models.prefix import lm as prefix_lm

    usual = prefix_lm.limits_on

    def small(*args: Any, **named: Any) -> Any:
        from dataclasses import replace

        return replace(usual(*args, **named), row_tokens=7, logit_bytes=5 * 8 * 320)

    monkeypatch.setattr(prefix_lm, "limits_on", small)
    lm = prefix(checkpoint("gemma3"))
    sizes: list[int] = []
    choices, texts, answers = expected("gemma3")
    lm._shares  # noqa: B018 - the probe is not counted
    hook = lambda module, args, named: sizes.append(named["input_ids"].numel())  # noqa: E731
    handle = lm.model.register_forward_pre_hook(hook, with_kwargs=True)
    assert_close(lm.loglikelihood(requests.choices, disable_tqdm=True), choices)
    assert lm.loglikelihood_rolling(requests.texts, disable_tqdm=True) == pytest.approx(texts, rel=1e-6)
    assert max(sizes) <= 7
    handle.remove()
    assert lm.generate_until(requests.prompts, disable_tqdm=True) == answers


@pytest.mark.parametrize("batch_size", [1, "auto"])
def test_no_more_tokens_are_run_than_the_prompts_share(batch_size: Any, checkpoint: Any, tokenizer: Any) -> None:
    from lm_eval.api.instance import Instance

    lm = prefix(checkpoint("llama"), batch_size=batch_size)
    header = "the cat sat on the mat and the dog ran over the hill " * 4
    requests = [
        Instance("loglikelihood", {}, (f"{header}{word} {word} ran over the {word} hill", f" {choice}"), 0)
        for word in ("cat", "dog", "mat", "hill", "sad", "happy")
        for choice in ("true", "false", "sad")
    ]
    counted = 0

    def count(module: Any, args: Any, named: dict[str, Any]) -> None:
        nonlocal counted
        counted += named["input_ids"].numel()

    assert lm._shares
    lm._engine()  # what is tried out before the first request is not counted
    lm.model.register_forward_pre_hook(count, with_kwargs=True)
    lm.loglikelihood(requests, disable_tqdm=True)
    assert counted == lm.spent.forwarded <= 1.05 * lm.spent.tree < 0.5 * lm.spent.plain


def test_sampled_and_beam_answers_are_left_to_hf(checkpoint: Any, requests: Any) -> None:
    sampled = {"until": [], "max_gen_toks": 5, "do_sample": True, "temperature": 1.0}
    beams = {"until": [], "max_gen_toks": 5, "num_beams": 2, "do_sample": False}
    some = requests.prompts[:3]
    for arguments in (sampled, beams):
        asked = [type(request)("generate_until", {}, (request.args[0], arguments), 0) for request in some]
        torch.manual_seed(1)
        wanted = stock(checkpoint("llama")).generate_until(asked, disable_tqdm=True)
        torch.manual_seed(1)
        assert prefix(checkpoint("llama")).generate_until(asked, disable_tqdm=True) == wanted


def test_a_greedy_prompt_that_is_asked_for_repeatedly_is_answered_once(checkpoint: Any, requests: Any) -> None:
    lm = prefix(checkpoint("llama"))
    answers = lm.generate_until([requests.prompts[0]] * 3, disable_tqdm=True)
    forwarded = lm.spent.forwarded
    once = prefix(checkpoint("llama"))
    assert answers == once.generate_until(requests.prompts[:1], disable_tqdm=True) * 3
    assert forwarded == once.spent.forwarded


@pytest.mark.parametrize("kind", ["lora", "prompt_tuning"])
def test_adapters_answer_as_in_hf(kind: str, checkpoint: Any, requests: Any, tmp_path: Any) -> None:
    peft = pytest.importorskip("peft")
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint("llama"))
    config = (
        peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
        if kind == "lora"
        else peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    )
    torch.manual_seed(5)
    adapted = peft.get_peft_model(model, config)
    adapted.save_pretrained(tmp_path)
    base = prefix(checkpoint("llama")).loglikelihood(requests.choices, disable_tqdm=True)
    expected = stock(checkpoint("llama"), peft=str(tmp_path)).loglikelihood(requests.choices, disable_tqdm=True)
    lm = prefix(checkpoint("llama"), peft=str(tmp_path))
    assert_close(lm.loglikelihood(requests.choices, disable_tqdm=True), expected)
    assert isinstance(lm._found, Traits if kind == "lora" else Unsuitable)
    assert [value for value, _ in expected] != pytest.approx([value for value, _ in base], abs=1e-3)


def test_weights_in_sixteen_bits_are_scored_in_single_precision(checkpoint: Any, requests: Any) -> None:
    folder = checkpoint("llama")
    lm = PrefixLM(folder, device="cpu", dtype="bfloat16")
    values = [value for value, _ in lm.loglikelihood(requests.choices, disable_tqdm=True)]
    exact = [value for value, _ in prefix(folder).loglikelihood(requests.choices, disable_tqdm=True)]
    assert isinstance(lm._found, Traits)
    assert values == pytest.approx(exact, rel=0.05, abs=0.5)
    # Sixteen bits cannot hold these values: a softmax in that precision would have rounded them.
    assert any(float(torch.tensor(value, dtype=torch.bfloat16)) != value for value in values)
