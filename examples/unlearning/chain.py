"""Unlearning from beginning to end, on authors who were invented for it.

    python examples/unlearning/chain.py runs

A small model is taught TOFU's bundled authors (``full``), another one all but those that are to be forgotten
(``retain``). RKLD and NPO make ``full`` forget. lm-eval asks all four, and two commands compare them. Every command is
printed; put a model of yours in the place of ``start``, leave out the metadata, and they are those of a study.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
from pathlib import Path

SAMPLE = json.dumps({"data": "sample"})


def run(*words: object) -> None:
    """Print a command and run it."""
    command = [str(word) for word in words]
    print(f"$ {shlex.join(command)}", flush=True)
    subprocess.run(command, check=True)


def method(name: str, out: Path, **settings: object) -> None:
    """Run a method, 32 rows a step; a blank stands before an answer, as where lm-eval asks for it."""
    told = {**settings, "out": out, "separator": "blank", "batch_size": 32, "accumulation": 1}
    run("harness-ext", "method", "run", name, *(part for key in told for part in ("--set", f"{key}={told[key]}")))


def make_start(folder: Path, texts: list[str]) -> Path:
    """A random Llama and a tokenizer that knows the words of the texts."""
    import tokenizers
    import torch
    import transformers

    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = ["<unk>", "<s>", "</s>"]
    made.train_from_iterator(texts, tokenizers.trainers.WordLevelTrainer(special_tokens=special))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=4, bos_token_id=1, eos_token_id=2, tie_word_embeddings=True,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    """Make the models, unlearn, evaluate, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="new folder, for everything that is made")
    parser.add_argument("--epochs", type=int, default=80, help="of the first training; default: %(default)s")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True)

    rows = {name: folder / f"{name}.jsonl" for name in ("full", "forget", "retain")}
    forget, retain = "tofu_forget10_generate", "tofu_utility_generate"
    # What was to be forgotten, and what was to be kept, is what is asked: both were trained on.
    asked = ("--split", "test", "--allow-evaluated", "--metadata", SAMPLE)
    run("harness-ext", "pairs", forget, retain, *asked, "--out", rows["full"])
    lines = rows["full"].read_text(encoding="utf-8").splitlines(keepends=True)
    for name, task in (("forget", forget), ("retain", retain)):
        own = [line for line in lines if json.loads(line)["task"] == task]
        rows[name].write_text("".join(own), encoding="utf-8")

    records = [json.loads(line) for line in lines]
    start = make_start(folder / "start", [record[field] for record in records for field in ("prompt", "answer")])
    for name in ("full", "retain"):
        method("fine_tuning", folder / name, model=start, train_data=rows[name], lr=3e-3, epochs=options.epochs)
    forgetting = {"model": folder / "full", "forget_data": rows["forget"], "epochs": 10}
    method("rkld", folder / "rkld", **forgetting, lr=1e-3, suppression=64)
    method("npo", folder / "npo", **forgetting, lr=5e-4, retain_data=rows["retain"])

    results = folder / "results"
    for name in ("full", "retain", "rkld", "npo"):
        run(
            "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={folder / name},dtype=float32",
            "--device", "cpu", "--tasks", "tofu_10", "--metadata", SAMPLE, "--batch_size", "32", "--log_samples",
            "--output_path", results / name,
        )  # fmt: skip
    for name in ("rkld", "npo"):
        run("harness-ext", "forget-quality", results / name, "--retain", results / "retain")
    run("harness-ext", "table", results, "--output", folder / "table.csv")


if __name__ == "__main__":
    main()
