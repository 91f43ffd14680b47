"""Pseudo-log-likelihoods against a loop that masks one token at a time, on tiny encoders of many kinds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from harness_ext import _autoload
from harness_ext.errors import InputError
from harness_ext.models.hf import share_documents
from harness_ext.models.mlm.checkpoint import is_encoder, positions, require_encoder
from harness_ext.models.mlm.copies import Passage, masked_copy
from harness_ext.models.mlm.lm import MaskedLM
from harness_ext.models.prefix.lm import PrefixLM
from harness_ext.models.runs.identity import IDENTITY_KEY

SPECIAL = ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>"]
TEXTS = [
    "The gardeners watered seventeen tulips, and unwatered eleven others.",
    "Watering gardens is unremarkable; rearranging them is remarkable!",
    "A remarkable gardener rearranged the watered tulips again and again.",
]
PAIRS = [
    ("The gardeners watered", " seventeen tulips"),
    ("The gardeners watered ", "unremarkable others, again"),
    ("The garden", "ers watered"),  # glued: one word with the context
    ("", "Watering gardens"),
    ("Is the gardener remarkable?", " yes"),
]
PIECES: dict[str, tuple[Callable[[], Any], Any]] = {
    "wordpiece": (lambda: models.WordPiece(unk_token="<unk>"), pre_tokenizers.BertPreTokenizer()),
    "byte_bpe": (lambda: models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "unigram": (lambda: models.Unigram(), pre_tokenizers.Metaspace()),
}
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
ENCODERS = {
    "bert": (transformers.BertConfig, "wordpiece", SMALL),
    "electra": (transformers.ElectraConfig, "wordpiece", SMALL | {"embedding_size": 16}),
    "distilbert": (
        transformers.DistilBertConfig,
        "wordpiece",
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 64, "pad_token_id": 0}
        | {"initializer_range": 0.3},
    ),
    "roberta": (transformers.RobertaConfig, "byte_bpe", SMALL),
    "modernbert": (
        transformers.ModernBertConfig,
        "byte_bpe",
        SMALL | {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "local_attention": 8},
    ),
    "xlm-roberta": (transformers.XLMRobertaConfig, "unigram", SMALL),
}


def tokenizer_of(kind: str) -> Any:
    make, split = PIECES[kind]
    tokenizer = Tokenizer(make())
    tokenizer.pre_tokenizer = split
    if kind == "wordpiece":
        tokenizer.normalizer = normalizers.BertNormalizer()
    options: dict[str, Any] = {"vocab_size": 70, "special_tokens": SPECIAL, "show_progress": False}
    if kind == "byte_bpe":
        options |= {"vocab_size": 270, "initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
    trainer = {"wordpiece": trainers.WordPieceTrainer, "byte_bpe": trainers.BpeTrainer}.get(kind)
    if trainer is None:
        trainer, options = trainers.UnigramTrainer, options | {"unk_token": "<unk>"}
    tokenizer.train_from_iterator(TEXTS, trainer(**options))
    tokenizer.post_processor = processors.TemplateProcessing(
        "<cls> $A <sep>", special_tokens=[("<cls>", 2), ("<sep>", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def encoder(name: str) -> tuple[Any, Any]:
    config, kind, settings = ENCODERS[name]
    tokenizer = tokenizer_of(kind)
    torch.manual_seed(0)
    model = transformers.AutoModelForMaskedLM.from_config(config(vocab_size=len(tokenizer), **settings))
    return model.eval(), tokenizer


@pytest.fixture(scope="module", params=ENCODERS)
def loaded(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return encoder(request.param)


@pytest.fixture(scope="module")
def bert() -> tuple[Any, Any]:
    return encoder("bert")


def mlm(loaded: tuple[Any, Any], **arguments: Any) -> MaskedLM:
    model, tokenizer = loaded
    return MaskedLM(model, tokenizer=tokenizer, **arguments)


def asked(*arguments: tuple[str, ...], kind: str = "loglikelihood") -> list[Instance]:
    return [Instance(kind, {}, one, index, metadata=("toy", index, 1)) for index, one in enumerate(arguments)]


def one_at_a_time(loaded: tuple[Any, Any], context: str, text: str, within_word: bool) -> tuple[float, bool]:
    """The definition: full logits of one unpadded sequence for each token of the text behind those of its context."""
    model, tokenizer = loaded
    encoding = tokenizer(text)
    ids, words = encoding["input_ids"], encoding.word_ids()
    first = len(tokenizer(context.rstrip())["input_ids"]) - 1
    targets = range(first, len(ids) - 1)
    assert len(targets) > 0
    total, greedy = 0.0, True
    for target in targets:
        hidden = {target}
        if within_word:
            hidden |= {other for other in targets if other > target and words[other] == words[target]}
        masked = [tokenizer.mask_token_id if index in hidden else token for index, token in enumerate(ids)]
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([masked])).logits[0, target].double().log_softmax(-1)
        total += float(scores[ids[target]])
        greedy &= int(scores.argmax()) == ids[target]
    return total, greedy


@pytest.mark.parametrize("pll", ["original", "within_word_l2r"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_continuations_score_as_the_definition_says_at_every_batch_size(loaded, pll, batch_size):
    lm = mlm(loaded, pll=pll, batch_size=batch_size)
    for (context, continuation), answer in zip(PAIRS, lm.loglikelihood(asked(*PAIRS), disable_tqdm=True), strict=True):
        value, greedy = one_at_a_time(loaded, context, context + continuation, pll == "within_word_l2r")
        assert answer[0] == pytest.approx(value, abs=1e-4), (context, continuation)
        assert answer[1] is greedy


@pytest.mark.parametrize("pll", ["original", "within_word_l2r"])
def test_whole_texts_score_as_the_definition_says(loaded, pll):
    lm = mlm(loaded, pll=pll, batch_size=16)
    requests = asked(*((text,) for text in TEXTS), kind="loglikelihood_rolling")
    for text, value in zip(TEXTS, lm.loglikelihood_rolling(requests, disable_tqdm=True), strict=True):
        assert value == pytest.approx(one_at_a_time(loaded, "", text, pll == "within_word_l2r")[0], abs=1e-4)


def test_the_variants_differ_where_a_word_has_several_tokens(bert):
    requests = asked(("The", " rearrangement"))
    original, within = (
        mlm(bert, pll=pll).loglikelihood(requests, True)[0][0] for pll in ("original", "within_word_l2r")
    )
    assert abs(original - within) > 0.01


@given(
    words=st.lists(st.sampled_from([0, 0, 1, 2, None]), min_size=1, max_size=12).map(
        lambda words: sorted(words, key=lambda word: -1 if word is None else word)
    ),
    data=st.data(),
)
def test_masks_hide_the_target_and_never_anything_before_it(words, data):
    tokens = list(range(10, 10 + len(words)))
    first = data.draw(st.integers(0, len(words) - 1))
    place = data.draw(st.integers(first, len(words) - 1))
    passage = Passage(tokens, words, first)
    framed = {"mask": 0, "before": [1], "after": [2]}
    original = masked_copy(passage, place, variant="original", **framed)
    assert original.tokens == [1, *tokens[:place], 0, *tokens[place + 1 :], 2]
    within = masked_copy(passage, place, variant="within_word_l2r", **framed)
    assert within.tokens[: place + 1] == [1, *tokens[:place]]
    assert within.tokens[original.position] == 0
    assert within.target == original.target == tokens[place]
    for index in range(place + 1, len(words)):
        same = words[place] is not None and words[index] == words[place]
        assert within.tokens[index + 1] == (0 if same else tokens[index])


def test_an_empty_text_and_an_empty_continuation_score_zero(bert):
    lm = mlm(bert)
    assert lm.loglikelihood_rolling(asked(("",), kind="loglikelihood_rolling"), True) == [0.0]
    assert lm.loglikelihood(asked(("The garden", ""), ("", "")), True) == [(0.0, True), (0.0, True)]


def test_a_long_context_loses_its_beginning_and_this_is_said(bert, caplog):
    context, continuation = "tulips again and " * 10 + "again", " and"
    lm = mlm(bert, max_length=12)
    with caplog.at_level(logging.WARNING, logger="harness_ext"):
        ((value, _),) = lm.loglikelihood(asked((context, continuation)), True)
    assert "1 contexts are too long for 10 tokens: their beginnings are cut" in caplog.text
    targets = len(lm.tok_encode("and"))
    kept = lm.tok_encode(context + continuation)[-10:]
    expected = 0.0
    for place in range(10 - targets, 10):
        ids = torch.tensor([[2, *kept[:place], 4, *kept[place + 1 :], 3]])
        with torch.no_grad():
            expected += float(bert[0](input_ids=ids).logits[0, place + 1].log_softmax(-1)[kept[place]])
    assert value == pytest.approx(expected, abs=1e-4)


def test_a_continuation_that_cannot_fit_is_an_error_that_names_the_document(bert):
    with pytest.raises(InputError, match=r"task toy, doc 0: a continuation of \d+ tokens does not fit the model's 10"):
        mlm(bert, max_length=12).loglikelihood(asked(("The", " tulips" * 30)), True)


def test_a_long_text_is_scored_in_windows_without_overlap(bert):
    lm = mlm(bert, max_length=12, batch_size=5)
    text = " ".join(TEXTS)
    tokens = lm.tok_encode(text)
    expected = 0.0
    for start in range(0, len(tokens), 10):
        window = tokens[start : start + 10]
        for index, token in enumerate(window):
            ids = torch.tensor([[2, *window[:index], 4, *window[index + 1 :], 3]])
            with torch.no_grad():
                expected += float(bert[0](input_ids=ids).logits[0, index + 1].log_softmax(-1)[token])
    (value,) = lm.loglikelihood_rolling(asked((text,), kind="loglikelihood_rolling"), True)
    assert value == pytest.approx(expected, abs=1e-3)


def test_max_length_is_the_smallest_of_what_user_tokenizer_and_positions_allow(bert):
    assert mlm(bert).max_length == 64
    assert mlm(bert, max_length=500).max_length == 64
    assert mlm(bert, max_length=20).max_length == 20
    roberta, byte_bpe = encoder("roberta")
    assert positions(roberta, byte_bpe) == 63  # padding_idx 0: position 0 is never used
    byte_bpe.model_max_length = 30
    assert positions(roberta, byte_bpe) == 30
    relative = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=-1), named_modules=lambda: [])
    assert positions(relative, SimpleNamespace(model_max_length=10**30)) == 512


def test_logits_are_computed_at_one_position_of_each_sequence(bert):
    shapes = []
    handle = bert[0].cls.predictions.decoder.register_forward_hook(lambda _, __, logits: shapes.append(logits.shape))
    try:
        mlm(bert, batch_size=4).loglikelihood(asked(PAIRS[0]), True)
    finally:
        handle.remove()
    assert shapes
    assert {shape[1] for shape in shapes} == {1}


def test_half_precision_models_are_scored_in_single_precision(bert):
    model, tokenizer = encoder("bert")
    lm = mlm((model.to(torch.bfloat16), tokenizer), batch_size=3)
    many = asked(
        *[("The gardeners watered", f" {word}") for word in ("tulips", "seventeen", "eleven", "again", "others")]
    )
    values = [value for value, _ in lm.loglikelihood(many, True)]
    assert any(float(torch.tensor(value).bfloat16()) != value for value in values)


def test_generating_is_refused_in_one_sentence(bert):
    lm = mlm(bert)
    with pytest.raises(InputError, match="a masked language model cannot generate, as toy ask for"):
        lm.generate_until(asked(("The", {}), kind="generate_until"))
    tasks = {"a": SimpleNamespace(OUTPUT_TYPE="multiple_choice"), "b": SimpleNamespace(OUTPUT_TYPE="generate_until")}
    with pytest.raises(InputError, match="as b ask for"):
        lm.refuse_tasks(tasks)
    del tasks["b"]
    lm.refuse_tasks(tasks)


def test_unknown_variants_and_unsuitable_tokenizers_are_refused(bert):
    with pytest.raises(InputError, match="pll=both: the variants are original and within_word_l2r"):
        mlm(bert, pll="both")
    tokenizer = tokenizer_of("wordpiece")
    tokenizer.mask_token = None
    with pytest.raises(InputError, match="no mask token"):
        mlm((bert[0], tokenizer))


def test_a_checkpoint_without_its_head_is_refused(bert, tmp_path):
    model, tokenizer = bert
    model.bert.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"weights of BertForMaskedLM are missing \(cls\.predictions"):
        MaskedLM(str(tmp_path), device="cpu")


def test_a_saved_checkpoint_scores_as_the_model_in_memory(loaded, tmp_path):
    model, tokenizer = loaded
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    lm = MaskedLM(str(tmp_path), device="cpu", batch_size=8)
    here, there = (one.loglikelihood(asked(*PAIRS), True) for one in (mlm(loaded, batch_size=8), lm))
    assert [value for value, _ in here] == pytest.approx([value for value, _ in there], abs=1e-5)


def test_decoders_are_refused():
    with pytest.raises(InputError, match="is no masked language model but of type gpt2: use --model hf-prefix or hf"):
        require_encoder(transformers.GPT2Config())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (transformers.RobertaConfig(), True),
        (transformers.ModernBertConfig(), True),
        (transformers.RobertaConfig(is_decoder=True), False),
        (transformers.LlamaConfig(), False),
        (transformers.T5Config(), False),
        (transformers.PretrainedConfig(auto_map={"AutoModelForMaskedLM": "m.M"}), True),
        (transformers.PretrainedConfig(auto_map={"AutoModelForMaskedLM": "m.M", "AutoModelForCausalLM": "m.C"}), False),
    ],
)
def test_encoders_are_told_from_decoders(config, expected):
    assert is_encoder(config) is expected


@pytest.fixture
def hooked() -> Iterator[None]:
    original = HFLM._get_backend
    if not hasattr(original, "__wrapped__"):
        _autoload._refuse_encoders(__import__("lm_eval.models.huggingface", fromlist=["HFLM"]))
    yield
    HFLM._get_backend = original


@pytest.mark.usefixtures("hooked")
@pytest.mark.parametrize("backend", [HFLM, PrefixLM])
def test_backends_for_decoders_refuse_an_encoder_and_name_the_right_one(bert, backend):
    with pytest.raises(InputError, match="use --model hf-mlm"):
        backend(pretrained=bert[0], tokenizer=bert[1])


@pytest.mark.usefixtures("hooked")
def test_hf_still_takes_a_decoder_of_the_same_family(bert):
    config = transformers.BertConfig(vocab_size=len(bert[1]), is_decoder=True, **SMALL)
    HFLM(pretrained=transformers.BertLMHeadModel(config), tokenizer=bert[1])


class Recorded(dict[str, Any]):
    filename = "answers.db"


def test_stored_answers_belong_to_one_model_and_one_variant(bert):
    kept: list[tuple[Any, ...]] = []
    stored = Recorded()
    hook = SimpleNamespace(dbdict=stored, add_partial=lambda *answer: kept.append(answer))
    lm = mlm(bert)
    lm.set_cache_hook(hook)
    answers = lm.loglikelihood(asked(*PAIRS), True)
    lm.loglikelihood_rolling(asked((TEXTS[0],), kind="loglikelihood_rolling"), True)
    assert {one[1]: one[2] for one in kept if one[0] == "loglikelihood"} == dict(zip(PAIRS, answers, strict=True))
    assert [one[1] for one in kept if one[0] == "loglikelihood_rolling"] == [(TEXTS[0],)]
    mlm(bert).set_cache_hook(hook)  # the same model again
    with pytest.raises(InputError, match="holds answers of another model or other settings"):
        mlm(bert, pll="within_word_l2r").set_cache_hook(hook)
    del stored[IDENTITY_KEY]
    stored["an answer of who knows whom"] = 1
    with pytest.raises(InputError, match="holds answers of another model"):
        mlm(bert).set_cache_hook(hook)


@pytest.mark.parametrize(("processes", "world_size", "expected"), [(2, 1, (1, 2)), (2, 2, (0, 2)), (1, 1, (0, 1))])
def test_processes_share_documents_unless_lm_eval_has_split_them(processes, world_size, expected):
    accelerator = SimpleNamespace(num_processes=processes, process_index=1)
    lm = SimpleNamespace(accelerator=accelerator, world_size=world_size, _rank=0, _world_size=world_size)
    share_documents(lm)
    assert (lm._rank, lm._world_size) == expected
