"""The training loop in processes of its own: killed at any time, and two of them at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

SCRIPT = """
import os
import sys
from pathlib import Path
import torch
from accelerate import PartialState
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from harness_ext.methods.losses import fkld
from harness_ext.methods.training.loop import TrainingConfig, train
from harness_ext.methods.training.objective import Objective, answer_logits, answer_tokens, nll_of
from harness_ext.methods.training.reference import StoredTokens

folder, accumulation = Path(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=2, attention_dropout=float(sys.argv[3]),
))
rows = {
    "forget": [{"input_ids": list(range(3, 6 + n % 7)), "labels": [-100, *range(4, 6 + n % 7)]} for n in range(23)],
    "retain": [{"input_ids": list(range(9 + n % 5, 20)), "labels": [-100, *range(10 + n % 5, 20)]} for n in range(9)],
}
reference = StoredTokens(folder / f"logits-{os.environ.get('RANK', 0)}", rows["retain"], 32)
reference.fill(model, 4)
kept = Objective(
    {"kept": 2.0},
    lambda batch: {"kept": answer_tokens(batch["retain"])},
    lambda model, batch: {
        "kept": fkld(answer_logits(model, batch["retain"]), reference(batch["retain"]), reduction="sum")
    },
)
config = TrainingConfig(
    steps=40, learning_rate=1e-2, batch_size=3, accumulation=accumulation, checkpoint_every=7, warmup_steps=5
)
train(model, rows, config, objective=nll_of(forget=-0.1, retain=0.5) + kept, folder=folder)
if PartialState().is_main_process:
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "final.safetensors")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def launch(script: Path, folder: Path, accumulation: int, dropout: float, *launcher: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *launcher, str(script), str(folder), str(accumulation), str(dropout)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def test_a_killed_run_continues_to_the_very_same_weights_and_curve(script, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(launch(script, whole, 2, 0.2))
    process = launch(script, killed, 2, 0.2)
    while not list(killed.glob("checkpoint-*")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    assert not (killed / "final.safetensors").exists()
    finish(launch(script, killed, 2, 0.2))
    one, other = load_file(whole / "final.safetensors"), load_file(killed / "final.safetensors")
    assert [name for name in one if not one[name].equal(other[name])] == []
    assert (whole / "losses.csv").read_bytes() == (killed / "losses.csv").read_bytes()
    assert (whole / "losses.svg").read_bytes() == (killed / "losses.svg").read_bytes()


def test_two_processes_train_like_one_with_twice_the_micro_batches(script, tmp_path):
    finish(launch(script, tmp_path / "one", 2, 0.0))
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    finish(launch(script, tmp_path / "two", 1, 0.0, *two))
    one, other = (load_file(tmp_path / name / "final.safetensors") for name in ("one", "two"))
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-4
    losses = [
        [float(line.split(",")[1]) for line in (tmp_path / name / "losses.csv").read_text().splitlines()[1:]]
        for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
