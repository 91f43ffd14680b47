"""A Python that has imported the large libraries and read lm-eval's own YAML, and forks for every command.

Both take longer than most commands. Each runs in a process and folder of its own as under ``subprocess.run``, and
nothing of this package is prepared for it but the line that every interpreter starts with. Where the start of a process
is what is tested, ``subprocess.run`` stays.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
QUIET = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
LATE = {"HARNESS_EXT_CACHE", "HARNESS_EXT_MIRROR", "OPENAI_API_KEY", "NO_PROXY", "COLUMNS"}
"""What nothing looks at before a command begins."""
OURS = {
    *("PYTEST_CURRENT_TEST", "KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK", "TORCHINDUCTOR_CACHE_DIR"),
    "HF_XET_HIGH_PERFORMANCE",
}
"""What pytest and libraries set in this process, for themselves: scikit-learn, transformers, lm-eval."""

_ready: list[tuple[Mapping[str, str], subprocess.Popen[str]]] = []
"""The process that forks, once there is one, and its environment."""


def python(
    *arguments: object, cwd: Path | None = None, timeout: float = 600, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run([sys.executable, *arguments], …)`` gives; for ``-m module …`` and ``-c program …``.

    Args:
        arguments: of the interpreter.
        cwd: where it runs.
        timeout: seconds after which it is killed.
        environment: what is added to this process's own; where it is not only of ``LATE``, a fresh interpreter is
            started, since a library may look at it when it is imported.
    """
    words = [str(argument) for argument in arguments]
    own = {name: value for name, value in os.environ.items() if name not in OURS} | QUIET | environment
    early, late = ({name: own[name] for name in own if (name in LATE) is kind} for kind in (False, True))
    own_start = bool(environment.keys() - LATE)
    if not _ready and not own_start:
        command = [sys.executable, __file__]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        _ready.append((early, subprocess.Popen(command, env=early, start_new_session=True, **pipes)))
    if own_start or _ready[0][0] != early:
        return subprocess.run(
            [sys.executable, *words], cwd=cwd, env=own, capture_output=True, text=True, timeout=timeout, check=False
        )
    server = _ready[0][1]
    assert server.stdin and server.stdout
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder) / name for name in ("out", "err"))
        asked = {"words": words, "cwd": str(cwd or Path.cwd()), "out": str(out), "err": str(err), "environment": late}
        server.stdin.write(f"{json.dumps(asked)}\n")
        server.stdin.flush()
        ready, _, _ = select.select([server.stdout], [], [], timeout)
        if not ready:
            os.killpg(server.pid, signal.SIGKILL)
            _ready.clear()
            raise subprocess.TimeoutExpired(words, timeout)
        code = int(server.stdout.readline())
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
    return subprocess.CompletedProcess([sys.executable, *words], code, *texts)


def _serve() -> None:
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import peft  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401

    _read_tasks()
    _describe_the_machine()
    gc.collect()
    gc.freeze()  # or every command would copy the memory of the libraries to look for what is not used any more
    for line in iter(sys.stdin.readline, ""):
        asked = json.loads(line)
        if not (child := os.fork()):
            return _become(asked)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def _read_tasks() -> None:
    """Read the 14,000 files that lm-eval reads whenever it starts; each is handed out once, as it was read."""
    from lm_eval.tasks import _index

    read, known = _index.load_yaml, {}
    for folder in (Path(_index.__file__).parent, CHECKOUT / "tasks"):
        for path in _index.TaskIndex._iter_yaml_files(folder):
            with suppress(Exception):  # lm-eval passes over it, too
                known[path] = read(path, resolve_func=False, recursive=True)

    def load_yaml(path: Path, *, resolve_func: bool, recursive: bool) -> Any:
        known_already = path in known and recursive and not resolve_func
        return known.pop(path) if known_already else read(path, resolve_func=resolve_func, recursive=recursive)

    _index.load_yaml = load_yaml


def _describe_the_machine() -> None:
    """Ask once, with the commands that this takes, what lm-eval writes into the results of every run."""
    from torch.utils import collect_env

    said = collect_env.get_pretty_env_info()
    collect_env.get_pretty_env_info = lambda: said


def _become(asked: Mapping[str, Any]) -> None:
    """Run one command, as the interpreter would; its end is the end of this process."""
    written = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for descriptor, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], written),
        (2, asked["err"], written),
    ):
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    os.chdir(asked["cwd"])
    os.environ.update(asked["environment"])
    kind, what, *rest = asked["words"]
    sys.argv, sys.path[0] = [kind, *rest], "" if kind == "-c" else asked["cwd"]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    _serve()
