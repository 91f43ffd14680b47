"""The suite on engines that are not ours: several processes, and OpenAI-compatible servers.

Every run asks the same tiny random model for the same tasks; what differs is who runs it.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from warm_python import QUIET, python

from harness_ext import read

pytestmark = pytest.mark.slow

CHOICES, ANSWERS = "mbtibench_zero_shot_ll_ei", "eibench_tweet_emotion"
GENERATED = "mbtibench_zero_shot_ei"
LETTERS = ["\n", *map(chr, range(32, 127))]
CHAT = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, store_tiny: Callable[..., Path]) -> Path:
    """A tiny random Llama that reads and writes single characters of ASCII."""
    signs = ["<s>", "</s>", "<unk>", *LETTERS]
    tokenizer = Tokenizer(models.BPE({sign: number for number, sign in enumerate(signs)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template=CHAT, clean_up_tokenization_spaces=False, **names
    )
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 8192}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return store_tiny(tmp_path_factory.mktemp("llama"), "LlamaForCausalLM", fast, **sizes, **ends)


def lm_eval(output: Path, *arguments: str, launcher: tuple[str, ...] = (), **environment: str) -> Path:
    sample = ["--metadata", '{"data": "sample"}', "--limit", "5", "--gen_kwargs", "max_gen_toks=12"]
    log = ["--log_samples", "--output_path", str(output)]
    run = python(*launcher, "-m", "lm_eval", "run", *arguments, *sample, *log, **environment)
    assert run.returncode == 0, run.stderr[-4000:]
    (output / "stderr.txt").write_text(run.stderr, encoding="utf-8")
    return output


def results(folder: Path) -> dict[str, dict[str, Any]]:
    (file,) = folder.rglob("results_*.json")  # one: only the first process writes
    found: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["results"]
    return {task: {key: value for key, value in row.items() if ",none" in key} for task, row in found.items()}


def samples(folder: Path, task: str) -> dict[int, Any]:
    (file,) = folder.rglob(f"samples_{task}_2*.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    assert len({row["doc_id"] for row in rows}) == len(rows)
    return {row["doc_id"]: row for row in rows}


def texts(folder: Path, task: str) -> dict[int, str]:
    return {doc: row["resps"][0][0] for doc, row in samples(folder, task).items()}


def model(name: str, checkpoint: Path) -> list[str]:
    return ["--model", name, "--model_args", f"pretrained={checkpoint},dtype=float32", "--device", "cpu"]


@pytest.fixture(scope="module")
def alone(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``hf-prefix`` in one process."""
    tasks = f"{CHOICES},{ANSWERS},{GENERATED}"
    return lm_eval(tmp_path_factory.mktemp("alone"), *model("hf-prefix", checkpoint), "--tasks", tasks)


def test_two_processes_give_the_results_of_one(checkpoint: Path, alone: Path, tmp_path: Path) -> None:
    launcher = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
    free = ("--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no")
    together = lm_eval(
        tmp_path,
        *model("hf-prefix", checkpoint),
        "--tasks",
        f"{CHOICES},{ANSWERS},{GENERATED}",
        launcher=launcher + free,
        ACCELERATE_USE_CPU="true",  # gloo; the launcher has no other way to start several processes on CPU
    )
    said = (together / "stderr.txt").read_text(encoding="utf-8")
    assert all(f"Building contexts for {CHOICES} on rank {rank}" in said for rank in (0, 1))  # neither did it all
    one, two = results(alone), results(together)
    assert one.keys() == two.keys()
    for task, row in one.items():
        assert {key: value for key, value in row.items() if value != "N/A"} == pytest.approx(
            {key: value for key, value in two[task].items() if value != "N/A"}, abs=1e-5, nan_ok=True
        ), task
    for task in (ANSWERS, GENERATED):
        assert texts(alone, task) == texts(together, task)
        assert len(texts(alone, task)) == 5


class Replica(NamedTuple):
    """A server of the model."""

    address: str
    log: Path


@pytest.fixture(scope="module")
def replicas(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    """``transformers serve`` on loopback, twice."""
    for package in ("fastapi", "uvicorn", "openai", "tenacity"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'transformers[serving]' 'lm-eval[api]'")
    program = "from transformers.cli.transformers import main; main()"
    with ExitStack() as stack:
        started, processes = [], []
        for _ in range(2):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
            started.append(Replica(f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("server") / "log.txt"))
            process = subprocess.Popen(
                [sys.executable, "-c", program, "serve", str(checkpoint), *options],
                env=os.environ | QUIET | {"TOKENIZERS_PARALLELISM": "false"},
                stdout=stack.enter_context(started[-1].log.open("w")),
                stderr=subprocess.STDOUT,
            )
            processes.append(process)
            stack.callback(process.wait, timeout=60)
            stack.callback(process.terminate)
        for replica, process in zip(started, processes, strict=True):
            wait_for(f"{replica.address}/health", process, replica.log)
        yield started


@pytest.fixture(scope="module")
def server(replicas: list[Replica]) -> str:
    """One of them."""
    return replicas[0].address


@pytest.fixture
def one_address(replicas: list[Replica]) -> Iterator[str]:
    """An address that hands requests on to the replicas in turns, as nginx does with ``upstream``."""
    turns = itertools.cycle(replicas)

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = requests.post(
                f"{next(turns).address}{self.path}", data=body, headers={"Content-Type": "application/json"}, timeout=60
            )
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(1)
    pytest.fail(f"the server did not start: {log.read_text()[-3000:]}")


def served(kind: str, path: str, server: str, checkpoint: Path) -> list[str]:
    settings = f"model={checkpoint},base_url={server}{path},num_concurrent=1,max_retries=1,max_length=8192"
    return [
        "--model",
        kind,
        "--model_args",
        f"{settings},tokenizer_backend=None,tokenized_requests=False,eos_string=</s>",
    ]


def test_replicas_behind_one_address_and_tasks_divided_give_the_answers_of_one_process(
    replicas: list[Replica], one_address: str, checkpoint: Path, alone: Path, tmp_path: Path
) -> None:
    asked = served("local-completions", "/v1/completions", one_address, checkpoint)

    for task in (ANSWERS, GENERATED):
        folder = lm_eval(tmp_path / task, *asked, "--tasks", task)
        assert texts(folder, task) == texts(alone, task)
        assert results(folder)[task] == pytest.approx(results(alone)[task], nan_ok=True)
    assert all("POST /v1/completions" in replica.log.read_text() for replica in replicas)
    joined = read(tmp_path).frame
    assert joined["model"].nunique() == 1
    assert {ANSWERS, GENERATED} <= set(joined["task"])


def test_a_chat_server_gives_the_answers_of_the_model_in_this_process(
    server: str, checkpoint: Path, tmp_path: Path
) -> None:
    tasks = ["--tasks", f"{ANSWERS},{GENERATED}", "--apply_chat_template"]
    here = lm_eval(tmp_path / "here", *model("hf-prefix", checkpoint), *tasks)
    there = lm_eval(
        tmp_path / "there", *served("local-chat-completions", "/v1/chat/completions", server, checkpoint), *tasks
    )
    for task in (ANSWERS, GENERATED):
        assert texts(there, task) == texts(here, task)
        assert results(there)[task] == pytest.approx(results(here)[task], nan_ok=True)
