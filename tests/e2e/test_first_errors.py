"""The errors that people meet first are one sentence with the way out, against a real server and real libraries."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from warm_python import python

from harness_ext._autoload import task_folders
from harness_ext.errors import DataError, InputError

TOY_TASKS = Path(__file__).parent / "toy_tasks"
CHAT = "local-chat-completions"


@pytest.fixture(scope="module")
def manager() -> TaskManager:
    return TaskManager(include_defaults=False, include_path=str(TOY_TASKS))


@pytest.fixture
def ask(manager: TaskManager) -> Callable[..., Any]:
    def run(backend: str, /, *tasks: str, template: bool = True, **model_args: Any) -> Any:
        return simple_evaluate(
            model=backend,
            model_args=model_args,
            tasks=list(tasks),
            task_manager=manager,
            apply_chat_template=template,
            bootstrap_iters=0,
        )

    return run


def test_likelihood_tasks_are_refused_by_a_chat_server_before_it_is_asked(ask: Any, chat_server: Any) -> None:
    with pytest.raises(InputError, match=r"chat server, which gives no log-likelihoods, and toy_completion need") as e:
        ask(CHAT, "toy_capitals", "toy_completion", model="any", base_url=chat_server.url)
    assert "Run the other tasks of this run there" in str(e.value)
    assert not chat_server.asked


def test_a_chat_server_needs_the_chat_template(ask: Any, chat_server: Any) -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1.* is a chat server: add --apply_chat_template"):
        ask(CHAT, "toy_capitals", template=False, model="any", base_url=chat_server.url)
    assert not chat_server.asked


@pytest.mark.parametrize("concurrent", [1, 3])
@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b'{"error": {"message": "model \'any\' is not loaded", "type": "invalid"}}', "model 'any' is not loaded"),
        (422, b'{"detail": "max_tokens is too large"}', "max_tokens is too large"),
        (500, b"CUDA out of memory\nin layer 7", "CUDA out of memory in layer 7"),
        (502, b"", "Bad Gateway"),
    ],
)
def test_a_server_that_refuses_is_quoted(
    status: int, body: bytes, reason: str, concurrent: int, ask: Any, chat_server: Any
) -> None:
    chat_server.reply = lambda messages: (status, body)
    server = {"base_url": chat_server.url, "num_concurrent": concurrent, "max_retries": 1}
    with pytest.raises(InputError, match=rf"127\.0\.0\.1.* did not answer: status {status}, ") as e:
        ask(CHAT, "toy_capitals", model="any", **server)
    assert f"status {status}, {reason}. See to the server" in str(e.value)


def test_what_a_server_says_is_bounded(ask: Any, chat_server: Any) -> None:
    chat_server.reply = lambda messages: (500, b"x" * 1_000_000)
    with pytest.raises(InputError) as e:
        ask(CHAT, "toy_capitals", model="any", base_url=chat_server.url, max_retries=1)
    assert 500 < len(str(e.value)) < 1000


def test_a_server_that_is_not_there_is_named(ask: Any, chat_server: Any) -> None:
    chat_server.close()
    with pytest.raises(InputError, match=r"127\.0\.0\.1.* did not answer: ConnectionError"):
        ask(CHAT, "toy_capitals", model="any", base_url=chat_server.url, max_retries=1)


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory, store_tiny: Callable[..., Path]) -> Path:
    """A random model over bytes, without a chat template."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*alphabet, "</s>"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    own = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>")
    return store_tiny(tmp_path_factory.mktemp("base"), "LlamaForCausalLM", own, eos_token_id=256, bos_token_id=None)


@pytest.mark.parametrize("backend", ["hf", "hf-prefix"])
def test_a_chat_template_that_the_model_lacks_is_said(backend: str, ask: Any, base_model: Path) -> None:
    with pytest.raises(InputError, match=r"no chat template\. Leave --apply_chat_template out.*chat_template\.jinja"):
        ask(backend, "toy_capitals", pretrained=str(base_model), device="cpu")


def test_a_completion_server_without_prompt_log_probabilities_is_said(
    ask: Any, base_model: Path, chat_server: Any
) -> None:
    answer = {"choices": [{"index": 0, "text": "Paris", "logprobs": None}]}  # ``echo`` and ``logprobs`` are ignored
    chat_server.reply = lambda prompt: (200, json.dumps(answer).encode())
    model = {"model": str(base_model), "base_url": chat_server.url, "tokenizer_backend": "huggingface"}
    with pytest.raises(InputError, match=r"returns no log-probabilities of the prompt \(echo\)"):
        ask("local-completions", "toy_completion", template=False, max_retries=1, **model)


def test_missing_data_is_said_with_the_three_ways_to_provide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_EXT_MIRROR", raising=False)
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"Three ways to provide it: .*harness-ext data fetch seceu"):
        simple_evaluate(model="dummy", tasks=["seceu_en"], bootstrap_iters=0)


def test_our_tasks_load_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        manager = TaskManager(include_path=task_folders()[0], include_defaults=False, metadata={"data": "sample"})
        assert len(manager.load(["mbtibench", "eibench", "seceu"])["tasks"]) == 31
    assert [record.getMessage() for record in caplog.records] == []


WITHOUT = """
import sys
sys.modules[{package!r}] = None  # as if it were not installed
from lm_eval.__main__ import cli_evaluate
sys.argv = ["lm_eval", *sys.argv[1:]]
cli_evaluate()
"""


def test_a_missing_extra_is_named_with_the_command_that_brings_it() -> None:
    program = [sys.executable, "-c", WITHOUT.format(package="torch"), "--model", "hf", "--model_args", "pretrained=x"]
    task = ["--tasks", "toy_capitals", "--include_path", str(TOY_TASKS)]
    done = subprocess.run([*program, *task], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: this backend needs torch, which is not installed: pip install 'harness-ext[hf]'."
    )


def test_a_model_that_cannot_be_found_is_named() -> None:
    done = python(
        "-m", "lm_eval", "--model", "hf", "--model_args", "pretrained=nobody/no-such-model", "--tasks", "toy_capitals",
        "--include_path", str(TOY_TASKS),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: the model 'nobody/no-such-model' cannot be loaded: ")
    assert "Traceback" not in done.stderr
