"""A full disk in files that safetensors writes itself: one sentence, and nothing that loads."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness_ext.errors import HarnessExtError
from harness_ext.methods import irr, safe_lora

resource = pytest.importorskip("resource", reason="files have no limit there")


def limited(size: int, method: Any, config: Any) -> str:
    """What a method says that may write no file of more than ``size`` bytes, as on a full disk: in a process that is
    forked, with a pipe for what is printed."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        with os.fdopen(writing, "w") as sys.stdout, Path(os.devnull).open("w") as sys.stderr:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            try:
                method.apply(config)
            except HarnessExtError as error:
                print(error, flush=True)
            finally:
                os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


@pytest.fixture(scope="module")
def trio(store_trio: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_trio(tmp_path_factory.mktemp("trio"), layers=2)


def test_scores_that_do_not_fit_end_in_a_sentence(trio: Path, tmp_path: Path) -> None:
    config = irr.Config(
        base=str(trio / "aligned"),
        finetuned=str(trio / "finetuned"),
        unaligned=str(trio / "unaligned"),
        safe_data=str(trio / "safe.jsonl"),
        calib_data=str(trio / "calib.jsonl"),
        out=str(tmp_path / "out"),
    )
    said = limited(1000, irr, config)
    assert "cannot be written (File too large). Free some space and repeat the command" in said
    assert not (tmp_path / "out").exists() and not list(tmp_path.rglob("config.json"))


def test_an_adapter_that_does_not_fit_ends_in_a_sentence_and_leaves_nothing(trio: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    import transformers

    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(trio / "aligned")
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    peft.get_peft_model(model, lora).save_pretrained(tmp_path / "adapter")
    paths = {"base": trio / "unaligned", "aligned": trio / "aligned", "adapter": tmp_path / "adapter"}
    settings = {name: str(path) for name, path in {**paths, "out": tmp_path / "out"}.items()}
    said = limited(1000, safe_lora, safe_lora.Config(**settings))
    assert "adapter_model.safetensors cannot be written (File too large). Free some space or" in said
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
