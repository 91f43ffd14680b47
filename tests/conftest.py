"""Where the tests find real data (both folders are optional: tests skip without), the built package, small models and a
server."""

from __future__ import annotations

import functools
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# What datasets makes of a file of JSON goes here, and nothing of what is kept elsewhere is found.
_hf_home = tempfile.TemporaryDirectory(prefix="hf-home-")
os.environ["HF_HOME"] = _hf_home.name

# Before torch is loaded: threads that spin while they wait starve one another where cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A busy machine is no failure: no property has a time limit.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Do once what many tests would do again, to the same end."""
    if "lm_eval.api.task" in sys.modules:
        from lm_eval import utils
        from torch.utils import collect_env

        utils.env.from_string = functools.cache(utils.env.from_string)  # lm-eval compiles a template for every doc
        # and asks for every run what machine this is, with a dozen commands.
        collect_env.get_pretty_env_info = functools.cache(collect_env.get_pretty_env_info)
    gc.collect()
    gc.freeze()  # statsmodels collects in every call: not among the libraries and thousands of tests
    gc.set_threshold(100_000, 20, 20)  # a third of the time of a run over many docs was looking for garbage


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f"{variable} does not name a folder")
    return Path(value)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Pinned upstream files at owner/repo/commit/path."""
    return _folder("HARNESS_EXT_MIRROR")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Golden numbers of the specifications, one folder a benchmark."""
    return _folder("HARNESS_EXT_GOLDEN")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of this checkout, where the installed package can be built from."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def build_wheel() -> Callable[[Path, Path], Path]:
    """Return a function that builds the wheel of a source tree into an empty folder, downloading nothing."""

    def build(source: Path, folder: Path) -> Path:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
        (wheel,) = folder.iterdir()
        return wheel

    return build


@pytest.fixture(scope="session")
def wheel(checkout: Path, build_wheel: Callable[[Path, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(checkout, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def without_most_tasks() -> Callable[[Path], None]:
    """Return a function that leaves an environment one of the 200 folders of tasks that lm-eval brings: every process
    reads all of them, which takes five seconds."""

    def leave(environment: Path) -> None:
        (tasks,) = environment.glob("lib/python*/site-packages/lm_eval/tasks")
        for folder in tasks.iterdir():
            if folder.is_dir() and folder.name not in {"arc", "__pycache__"}:
                shutil.rmtree(folder)

    return leave


@pytest.fixture(scope="session")
def store_tiny() -> Callable[..., Path]:
    """Return a function that stores a random model of a class, tiny where nothing else is said, with a tokenizer."""

    def store(folder: Path, model: str, tokenizer: Any, **config: Any) -> Path:
        import torch
        import transformers

        sizes = {
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "vocab_size": len(tokenizer), "initializer_range": 0.3,
        }  # fmt: skip
        kind = getattr(transformers, model)
        torch.manual_seed(0)
        kind(kind.config_class(**sizes | config)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return store


@pytest.fixture(scope="session")
def store_trio() -> Callable[..., Path]:
    """Return a function that stores three random Llamas, ``aligned`` and two near it, with a tokenizer and data."""

    def store(folder: Path, *, dtype: str = "float32", layers: int = 3, **config: Any) -> Path:
        import tokenizers
        import torch
        import transformers

        letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", *sorted(letters)])}
        built = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
        built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        built.decoder = tokenizers.decoders.ByteLevel()
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=built, bos_token="<s>", eos_token="</s>")
        tokenizer.chat_template = (
            "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant] {% endif %}"
        )
        sizes = {
            "vocab_size": len(vocabulary), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": layers,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
            "bos_token_id": 0, "eos_token_id": 1,
        }  # fmt: skip
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes | config))
        model = model.to(getattr(torch, dtype))
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        for name, spread in (("aligned", 0.0), ("finetuned", 0.01), ("unaligned", 0.01)):
            for key, tensor in model.state_dict().items():
                if key.endswith("proj.weight"):
                    tensor.copy_(weights[key] + spread * torch.randn(tensor.shape).to(tensor.dtype))
            model.save_pretrained(folder / name)
            tokenizer.save_pretrained(folder / name)
        for name, verb in (("safe", "refuse"), ("calib", "add")):
            rows = [{"prompt": f"Item {n}?", "answer": f"I {verb} {'more ' * (n % 4)}{n}."} for n in range(11)]
            (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return folder

    return store


@pytest.fixture(scope="session")
def store_toy() -> Callable[..., Path]:
    """Return a function that stores the toy model of the golden runs: a random Llama of four layers over bytes."""

    def store(folder: Path) -> Path:
        import tokenizers
        import torch
        import transformers

        letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {token: number for number, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *letters])}
        built = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
        built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        built.decoder = tokenizers.decoders.ByteLevel()
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=built, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
        )
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=260, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=2048, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return store


class ChatServer:
    """An OpenAI-compatible chat server on loopback.

    ``reply`` makes the answer to a list of messages, or the status and body of a broken one; ``asked`` holds the
    messages of every request that was answered.
    """

    def __init__(self) -> None:
        self.asked: list[list[dict[str, str]]] = []
        self.reply: Callable[[list[dict[str, str]]], str | tuple[int, bytes]] = lambda messages: "ok"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = request.get("messages", request.get("prompt"))
                answer = outer.reply(asked)
                message = {"index": 0, "message": {"role": "assistant", "content": answer}}
                status, body = (200, json.dumps({"choices": [message]}).encode()) if isinstance(answer, str) else answer
                if isinstance(answer, str):
                    outer.asked.append(asked)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing: what was asked is kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/chat/completions"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    server = ChatServer()
    yield server
    server.close()
