"""Dialogues through lm-eval's own command and backends: a model, a chat server, and what happens when they fail."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from warm_python import python

from harness_ext.errors import InputError

EXAMPLE = Path(__file__).parents[2] / "examples" / "dialogues"
TASK = "example_two_turns"
CALLS = 8
"""Four dialogues of two turns."""
TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}</{{ message.role }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random Llama that reads bytes and has a chat template."""
    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["</s>", *alphabet])}
    bytes_ = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    bytes_.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytes_.decoder = tokenizers.decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bytes_, eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, initializer_range=0.5, bos_token_id=None, eos_token_id=0,
        pad_token_id=0,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "unfinished"


def command(
    *arguments: str, output: Path | None = None, program: tuple[str, ...] = ("-m", "lm_eval")
) -> tuple[str, ...]:
    kept = () if output is None else ("--output_path", str(output), "--log_samples")
    return (*program, "run", "--include_path", str(EXAMPLE), "--tasks", TASK, *arguments, *kept)


def started(arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def transcripts(output: Path) -> dict[str, list[str]]:
    (file,) = output.rglob("samples_*.jsonl")
    samples = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {sample["doc"]["id"]: json.loads(sample["resps"][0][0]) for sample in samples}


def played(
    backend: str, /, template: bool = True, gen_kwargs: str | None = None, **model_args: Any
) -> dict[str, list[str]]:
    manager = TaskManager(include_defaults=False, include_path=str(EXAMPLE))
    report = simple_evaluate(
        model=backend,
        model_args=model_args,
        tasks=[TASK],
        task_manager=manager,
        apply_chat_template=template,
        fewshot_as_multiturn=template,
        gen_kwargs=gen_kwargs,
        bootstrap_iters=0,
    )
    return {sample["doc"]["id"]: json.loads(sample["resps"][0][0]) for sample in report["samples"][TASK]}


def reference(folder: Path) -> dict[str, list[str]]:
    """The same dialogues, one by one, with nothing but transformers."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    found = {}
    for line in (EXAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        doc = json.loads(line)
        messages: list[dict[str, str]] = []
        for turn in doc["turns"]:
            earlier = [message["content"] for message in messages if message["role"] == "assistant"]
            text = turn.replace("{{answer_1}}", earlier[0]) if earlier else turn
            messages.append({"role": "user", "content": text})
            prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
            output = model.generate(ids, max_new_tokens=64, do_sample=False, pad_token_id=0)
            answer = tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
            messages.append({"role": "assistant", "content": answer})
        found[doc["id"]] = [message["content"] for message in messages if message["role"] == "assistant"]
    return found


@pytest.mark.parametrize("backend", ["hf", "hf-prefix"])
def test_a_model_gives_the_answers_that_it_gives_in_a_plain_loop(backend: str, tiny: Path) -> None:
    answers = played(backend, pretrained=str(tiny), dtype="float32", device="cpu", batch_size=2)
    wanted = reference(tiny)
    assert len({tuple(pair) for pair in wanted.values()}) == len(wanted)
    assert answers == wanted


@pytest.mark.parametrize("backend", ["hf", "hf-prefix"])
def test_models_without_a_template_are_played_too(backend: str, tiny: Path) -> None:
    answers = played(backend, template=False, pretrained=str(tiny), dtype="float32", device="cpu", batch_size=4)
    assert [len(pair) for pair in answers.values()] == [2] * 4
    assert not any("\nUser:" in answer for pair in answers.values() for answer in pair)


def chat(url: str, concurrent: int = 1) -> tuple[str, ...]:
    model_args = f"model=scripted,base_url={url},num_concurrent={concurrent},max_retries=1,timeout=60"
    return ("--model", "local-chat-completions", "--model_args", model_args, "--apply_chat_template")


def told(messages: list[dict[str, str]]) -> str:
    """An answer that depends on everything that was said before."""
    return f"answer to {sum(map(ord, json.dumps(messages)))}"


def test_a_killed_run_over_a_server_asks_again_only_what_was_in_flight(
    chat_server: Any, tmp_path: Path, cache: Path
) -> None:
    chat_server.reply = told
    whole = played("local-chat-completions", model="scripted", base_url=chat_server.url)
    chat_server.asked.clear()
    process = started(command(*chat(chat_server.url)))

    def kill_once(messages: list[dict[str, str]]) -> str:
        if len(chat_server.asked) == 6 and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        return told(messages)

    chat_server.reply = kill_once
    assert process.wait(timeout=300) == -signal.SIGKILL
    assert len(list(cache.glob("answers-*.sqlite"))) == 1

    done = python(*command(*chat(chat_server.url), output=tmp_path / "resumed"))
    assert done.returncode == 0, done.stderr
    assert transcripts(tmp_path / "resumed") == whole
    assert len(chat_server.asked) <= CALLS + 1
    assert len({json.dumps(messages) for messages in chat_server.asked}) == CALLS
    assert not list(cache.glob("answers-*"))


def test_a_killed_run_of_a_model_goes_on_with_the_answers_it_had(tiny: Path, tmp_path: Path, cache: Path) -> None:
    model = ("--model", "hf", "--model_args", f"pretrained={tiny},dtype=float32", "--device", "cpu")
    longer = "max_gen_toks=192,min_new_tokens=192"
    settings = ("--gen_kwargs", longer, "--apply_chat_template", "--batch_size", "1")

    def kept() -> int:
        stores = list(cache.glob("answers-*.sqlite"))
        if not stores:
            return 0
        try:
            with sqlite3.connect(f"file:{stores[0]}?mode=ro", uri=True) as connection:
                return int(connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0])
        except sqlite3.OperationalError:  # it is being made
            return 0

    process = started(command(*model, *settings))
    while kept() < 5 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    had = kept()
    assert 5 <= had < CALLS

    done = python(*command(*model, *settings, output=tmp_path / "resumed"))
    assert done.returncode == 0, done.stderr
    assert "4 of 4 answers are there from a run that did not finish" in done.stderr
    assert f"{had - 4} of 4 answers are there from a run that did not finish" in done.stderr
    assert not list(cache.glob("answers-*"))  # what was kept is gone once the run has ended well
    assert transcripts(tmp_path / "resumed") == played(
        "hf", gen_kwargs=longer, pretrained=str(tiny), dtype="float32", device="cpu", batch_size=1
    )


def broken(kind: str) -> Callable[[], str | tuple[int, bytes]]:
    def hang() -> str:
        time.sleep(9)
        return "too late"

    return {
        "500": lambda: (500, b'{"error": "out of memory"}'),
        "hang": hang,
        "half a JSON": lambda: (200, b'{"choices": [{"index": 0, "message": {"content": "so'),
    }[kind]


@pytest.mark.parametrize("concurrent", [1, 4])
@pytest.mark.parametrize("kind", ["500", "hang", "half a JSON"])
def test_a_server_that_fails_is_one_error_and_nothing_answered_is_lost(
    kind: str, concurrent: int, chat_server: Any
) -> None:
    fails = broken(kind)
    server = {"model": "scripted", "base_url": chat_server.url, "num_concurrent": concurrent, "max_retries": 1}

    def reply(messages: list[dict[str, str]]) -> str | tuple[int, bytes]:
        return fails() if len(messages) == 3 and "landlord" in messages[0]["content"] else told(messages)

    chat_server.reply = reply
    with pytest.raises(
        InputError, match=r"127\.0\.0\.1.*turn 2 was not answered.* answers are kept.*run the same"
    ) as e:
        played("local-chat-completions", timeout=4, **server)  # ample for an answer, even on a busy machine
    kept = int(str(e.value).split(" answers are kept")[0].split()[-1])
    assert kept >= 4
    chat_server.reply = told
    chat_server.asked.clear()
    answers = played("local-chat-completions", timeout=60, **server)  # more patience is no other model
    # Distinct: the client repeats a call by itself where the server has closed the connection it kept.
    assert len({json.dumps(messages) for messages in chat_server.asked}) == CALLS - kept
    assert answers["letter"][1].startswith("answer to")


def test_a_server_that_is_not_there_is_one_error(chat_server: Any) -> None:
    chat_server.close()
    with pytest.raises(InputError, match=r"turn 1 was not answered.*0 answers are kept"):
        played("local-chat-completions", model="scripted", base_url=chat_server.url, max_retries=1)


def test_without_the_hook_a_dialogue_is_refused_and_our_command_plays_it(tmp_path: Path) -> None:
    replay = ("--model", "replay", "--model_args", f"path={EXAMPLE / 'answers.jsonl'}")
    plain = ("--model", "dummy")
    refused = python(*command(*plain, output=tmp_path / "refused"), HARNESS_EXT_AUTOLOAD="0")
    assert refused.returncode != 0
    assert "take_turn" in refused.stderr
    assert not (tmp_path / "refused").exists()
    ours = ("-c", "from harness_ext.cli import main; main()")
    done = python(*command(*replay, output=tmp_path / "ours", program=ours), HARNESS_EXT_AUTOLOAD="0")
    assert done.returncode == 0, done.stderr
    assert transcripts(tmp_path / "ours")["primes"] == ["2, 3, 5", "The sum is 10."]
