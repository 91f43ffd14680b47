"""Peak memory of every method of unlearning, beside that of plain gradient ascent.

    python benchmarks/unlearning_memory.py

Every method runs in a process of its own on the same random Llama of 65 million parameters; printed is the most that
the process ever held (``peak_rss_bytes`` of its ``method.json``), as a multiple of gradient ascent's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

METHODS = {
    "gradient_ascent": [],
    "npo": [],
    "undial": [],
    "rkld": ["augment_epochs=1"],
    "npo with NLL": ["retain_data=retain.jsonl"],
    "npo with KL": ["retain_data=retain.jsonl", "retain_loss=kl"],
    "rkld with KL": ["augment_epochs=1", "retain_data=retain.jsonl", "retain_loss=kl"],
    "graddiff": ["retain_data=retain.jsonl"],
    "ga_kl": ["retain_data=retain.jsonl"],
    "simnpo": ["retain_data=retain.jsonl"],
    "dpo": ["retain_data=retain.jsonl", "refusals=refusals.txt"],
    "idk": ["retain_data=retain.jsonl", "refusals=refusals.txt"],
    "wga": ["retain_data=retain.jsonl"],
    "satimp": ["retain_data=retain.jsonl"],
    "rmu": ["retain_data=retain.jsonl", "trained=all"],
}


def make_inputs(folder: Path) -> None:
    """A random model with a tokenizer of words, and data."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = ["</s>", *(f"w{number}" for number in range(7999))]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="</s>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>").save_pretrained(folder / "model")
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words), hidden_size=768, intermediate_size=2048, num_hidden_layers=8,
            num_attention_heads=12, eos_token_id=0, bos_token_id=None, tie_word_embeddings=True,
        )
    ).save_pretrained(folder / "model")  # fmt: skip
    for place, name in enumerate(("forget", "retain")):
        texts = [" ".join(words[1 + (place * 999 + 37 * n + k) % 7999] for k in range(60)) for n in range(16)]
        lines = [json.dumps({"prompt": f"w{n}", "answer": text}) + "\n" for n, text in enumerate(texts)]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    (folder / "refusals.txt").write_text("w1 w2 w3\n")


def peak(folder: Path, name: str) -> int:
    """Bytes that a method held at most."""
    settings = ["model=model", "forget_data=forget.jsonl", f"out=out-{name}", "epochs=1", "batch_size=4"]
    options = [part for setting in (*settings, *METHODS[name]) for part in ("--set", setting)]
    code = "from harness_ext.cli import main; main()"
    command = [sys.executable, "-c", code, "method", "run", name.partition(" ")[0], *options]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    held: int = json.loads((folder / f"out-{name}" / "method.json").read_text())["peak_rss_bytes"]
    return held


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_inputs(folder)
        first = 0
        for name in METHODS:
            held = peak(folder, name)
            first = first or held
            print(f"{name:>16} {held / 2**20:8.0f} MiB {held / first:6.3f}", flush=True)


if __name__ == "__main__":
    main()
