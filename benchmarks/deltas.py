"""Methods from and to disk against their plain forms that hold everything in memory, and against mergekit.

    python benchmarks/deltas.py --size tiny                       # seconds: does it run
    python benchmarks/deltas.py                                   # 1.2 billion parameters: 13 GB of disk, minutes
    python benchmarks/deltas.py --methods task_arithmetic --folder /scratch
    python benchmarks/deltas.py --size small --mergekit mergekit.venv/bin/python

Three randomly initialised bfloat16 Llamas (a base and two models near it) are written in files of 500 MB, then each
method runs in two or three forms, in this order and then in the opposite one, every time in a process of its own and
with its libraries loaded before the clock starts. The files were just written: all forms find them in the system's
cache as far as it has room.

* ``streamed``  the method as `harness-ext method run` calls it;
* ``plain``     the same arithmetic with all models loaded by transformers: merges over state dicts, IRR by ``realign``;
  saved by ``save_pretrained``;
* ``mergekit``  with ``--mergekit``, the Python of an environment that has it (README.md): the same settings,
  computed in float32 as here. It takes no checksums, looks for no NaN and reads nothing back.

``anonymous`` is the peak of memory that only this process can hold (``RssAnon``) beyond what it held before the method
began, that is, after its libraries were loaded; ``resident`` is the peak of the whole resident set (``VmHWM``), mapped
pages of files included, which the system takes back when it is short. ``bound`` is what streamed merges of K models
are allowed: K + 3 float32 arrays of the largest tensor, or of the rows that are worked on together, and 192 MiB. The
streamed form also refuses NaN, records checksums, and reads its output back to verify it. Streamed IRR rounds each
layer's weights as they are stored before the next layer sees their outputs, the plain form does not: from the second
layer on a few entries differ. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

MEBIBYTE = 2**20
SHARD_BYTES = 500 * 10**6
WEIGHTS = (0.5, 0.5)
DENSITY, DROP = 0.2, 0.5
ROLES = ("base", "finetuned", "unaligned")
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 8},
    "small": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 8,
        "num_attention_heads": 16,
        "vocab_size": 64_000,
    },
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
    },
}
RECORDS = 2  # time grows with them, memory hardly
TOKENS = 128


# -- checkpoints


def write_models(folder: Path, size: str) -> None:
    """A base and two models whose weights differ a little from it, file by file; a tokenizer and data for IRR."""
    import torch
    import transformers
    from safetensors.torch import save_file

    config = transformers.LlamaConfig(
        **SIZES[size], tie_word_embeddings=True, dtype="bfloat16", architectures=["LlamaForCausalLM"]
    )
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in transformers.LlamaForCausalLM(config).named_parameters()}
    groups: list[list[str]] = [[]]
    for name, shape in shapes.items():
        if groups[-1] and 2 * sum(shapes[other].numel() for other in groups[-1]) + 2 * shape.numel() > SHARD_BYTES:
            groups.append([])
        groups[-1].append(name)
    for seed, role in enumerate(ROLES):
        config.save_pretrained(folder / role)
        places = {}
        for number, names in enumerate(groups, start=1):
            file = f"model-{number:05}-of-{len(groups):05}.safetensors"
            places |= dict.fromkeys(names, file)
            tensors = {name: _values(name, shapes[name], seed) for name in names}
            save_file(tensors, folder / role / file, metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": places}
        (folder / role / "model.safetensors.index.json").write_text(json.dumps(index))
        _tokenizer().save_pretrained(folder / role)
    for name in ("safe", "calib"):
        rows = [{"prompt": f"Item {n}? " + "word " * 16, "answer": "thing " * 8 + str(n)} for n in range(RECORDS)]
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    print(f"{sum(map(_entries, shapes.values())) / 1e9:.3f} billion parameters in {len(groups)} files each", flush=True)


def _entries(shape: Any) -> int:
    entries: int = shape.numel()
    return entries


def _values(name: str, shape: Any, seed: int) -> Any:
    """The same base for every model, and a change of its own."""
    import torch

    def normal(key: str) -> Any:
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        return torch.randn(shape, generator=generator)

    values = torch.ones(shape) if len(shape) == 1 else normal(name).mul_(0.02)
    return (values if not seed else values.add_(normal(f"{seed} {name}"), alpha=0.001)).bfloat16()


def _tokenizer() -> Any:
    """Bytes."""
    import tokenizers
    import transformers

    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", *sorted(letters)])}
    built = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=built, bos_token="<s>", eos_token="</s>")


# -- what is measured


def streamed_merge(method: str, folder: Path, out: Path) -> None:
    """As ``harness-ext method run``."""
    from harness_ext.methods import dare, task_arithmetic, ties

    models = tuple(str(folder / role) for role in ROLES[1:])
    given = {"base": str(folder / "base"), "models": models, "weights": WEIGHTS, "out": str(out)}
    if method == "task_arithmetic":
        task_arithmetic.apply(task_arithmetic.Config(**given))
    elif method == "ties":
        ties.apply(ties.Config(**given, density=DENSITY))
    else:
        dare.apply(dare.Config(**given, drop=DROP, seed=0))


def plain_merge(method: str, folder: Path, out: Path) -> None:
    """All state dicts at once."""
    from transformers import AutoModelForCausalLM

    from harness_ext.methods import deltas

    base, *others = (AutoModelForCausalLM.from_pretrained(folder / role, dtype="auto") for role in ROLES)
    states = [other.state_dict() for other in others]
    merged = {}
    for name, value in base.state_dict().items():
        wide = value.float()
        taus = [state[name].float() - wide for state in states]
        if method == "dare":
            keeps = [deltas.keep_mask(seed, name, 0, wide.numel(), DROP).view(wide.shape) for seed in (0, 1)]
            taus = [deltas.dare(tau, keep, DROP) for tau, keep in zip(taus, keeps, strict=True)]
        if method == "ties":
            change = deltas.ties(taus, WEIGHTS, DENSITY)
        else:
            change = sum(weight * tau for weight, tau in zip(WEIGHTS, taus, strict=True))
        merged[name] = (wide + change).to(value.dtype)
    base.load_state_dict(merged)
    base.save_pretrained(out)


def mergekit_merge(method: str, folder: Path, out: Path) -> None:
    """As ``mergekit-yaml``."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    kept = {"task_arithmetic": {}, "ties": {"density": DENSITY}, "dare": {"density": 1 - DROP}}[method]
    config = {
        "merge_method": {"dare": "dare_linear"}.get(method, method),
        "base_model": str(folder / "base"),
        "models": [
            {"model": str(folder / role), "parameters": {"weight": weight, **kept}}
            for role, weight in zip(ROLES[1:], WEIGHTS, strict=True)
        ],
        "parameters": {"normalize": True, "lambda": 0.5} if method == "ties" else {"normalize": False},
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }
    options = MergeOptions(quiet=True, copy_tokenizer=False)
    run_merge(MergeConfiguration.model_validate(config), str(out), options=options)


def streamed_irr(folder: Path, out: Path) -> None:
    """As ``harness-ext method run irr``."""
    from harness_ext.methods import irr

    paths = {role: str(folder / role) for role in ROLES}
    data = {"safe_data": str(folder / "safe.jsonl"), "calib_data": str(folder / "calib.jsonl")}
    sizes = {"nsamples": RECORDS, "seqlen": TOKENS, "fisher_samples": RECORDS}
    irr.apply(irr.Config(**paths, **data, out=str(out), **sizes))


def plain_irr(folder: Path, out: Path) -> None:
    """Three models, all scores and the whole safety vector at once."""
    from transformers import AutoModelForCausalLM

    from harness_ext.methods.importance import diagonal_fisher
    from harness_ext.methods.irr import realign
    from harness_ext.methods.layers.loading import load_model
    from harness_ext.methods.training.rows import calibration_batches, load_tokenizer, safe_answer_batches

    tokenizer = load_tokenizer(folder / "base")
    safe = safe_answer_batches(tokenizer, folder / "safe.jsonl", limit=RECORDS, batch_size=8, max_tokens=1024)
    calib = calibration_batches(tokenizer, folder / "calib.jsonl", limit=RECORDS, seqlen=TOKENS, batch_size=8)
    base, finetuned = (load_model(str(folder / role)) for role in ROLES[:2])
    unaligned = AutoModelForCausalLM.from_pretrained(folder / "unaligned", dtype="auto")
    finetuned.set_attn_implementation("eager")  # as the streamed form: padding has other states with other kinds
    fisher = diagonal_fisher(base, safe, ["q_proj", "v_proj"])
    aligned, other = base.state_dict(), unaligned.state_dict()
    realign(finetuned, aligned, fisher, {name: aligned[name].float() - other[name].float() for name in fisher}, calib)
    finetuned.bfloat16().save_pretrained(out)


MERGES = {"streamed": streamed_merge, "plain": plain_merge, "mergekit": mergekit_merge}
MEASURED: dict[str, dict[str, Callable[[Path, Path], None]]] = {
    **{
        method: {form: functools.partial(merge, method) for form, merge in MERGES.items()}
        for method in ("task_arithmetic", "ties", "dare")
    },
    "irr": {"streamed": streamed_irr, "plain": plain_irr},
}


# -- measuring


def _status(key: str) -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{key}:")) * 1024


@contextlib.contextmanager
def _watched(found: dict[str, float]) -> Iterator[None]:
    """Put peak and time of the block into ``found``."""
    before, peak, done = _status("RssAnon"), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, _status("RssAnon"))

    thread = threading.Thread(target=watch)
    thread.start()
    began, used = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        found |= {"wall": time.perf_counter() - began, "processor": time.process_time() - used}
        done.set()
        thread.join()
        found |= {"anonymous": max(peak, _status("RssAnon")) - before, "resident": _status("VmHWM")}


def measure(method: str, form: str, folder: Path, out: Path) -> None:
    """Run one form of a method in this process and print what it took as JSON."""
    import safetensors.torch
    import transformers

    assert safetensors and transformers.AutoModelForCausalLM  # loaded before the clock starts
    libraries = ("mergekit.merge",) if form == "mergekit" else ("harness_ext.methods.ties", "harness_ext.methods.irr")
    for library in libraries:
        importlib.import_module(library)
    found: dict[str, float] = {}
    with _watched(found):
        MEASURED[method][form](folder, out)
    print(json.dumps(found))


def largest_difference(one: Path, other: Path) -> float:
    """Over all tensors of two checkpoints."""
    from harness_ext.methods.checkpoints.read import Folder, row_ranges

    a, b = Folder(one), Folder(other)
    return max(
        float((a.rows(name, *rows).float() - b.rows(name, *rows).float()).abs().max())
        for name in a.names
        for rows in row_ranges(a.shape(name), 64 * MEBIBYTE)
    )


def bound(folder: Path) -> float:
    """Bytes that a streamed merge of two models may hold."""
    from harness_ext.methods.checkpoints.read import CHUNK_BYTES, Folder

    base = Folder(folder / "base")
    largest = max(4 * base.tensor(name).numel() for name in base.names)
    return (len(WEIGHTS) + 3) * min(largest, CHUNK_BYTES) + 192 * MEBIBYTE


def main() -> None:
    """Write the checkpoints, measure, print a table, and delete everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="1b")
    parser.add_argument("--methods", nargs="+", choices=MEASURED, default=list(MEASURED))
    parser.add_argument(
        "--folder", type=Path, help="where checkpoints are written for a while (default: a temporary one)"
    )
    parser.add_argument("--mergekit", type=Path, help="Python of an environment with mergekit")
    parser.add_argument("--worker", nargs=2, metavar=("METHOD", "FORM"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        method, form = given.worker
        measure(method, form, given.folder, given.folder / f"{method}-{form}")
        return
    folder = Path(tempfile.mkdtemp(prefix="deltas-", dir=given.folder))
    try:
        write_models(folder, given.size)
        print(f"bound of a streamed merge: {bound(folder) / MEBIBYTE:,.0f} MiB of anonymous memory")
        print(f"{'method':<16} {'form':<9} {'anonymous':>10} {'resident':>10} {'wall':>8} {'processor':>10}")
        for method in given.methods:
            forms = [form for form in MEASURED[method] if form != "mergekit" or given.mergekit]
            took: dict[str, float] = dict.fromkeys(forms, 0.0)
            for form in [*forms, *reversed(forms)]:
                shutil.rmtree(folder / f"{method}-{form}", ignore_errors=True)
                python = str(given.mergekit) if form == "mergekit" else sys.executable
                command = [python, __file__, "--folder", str(folder), "--worker", method, form]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{method:<16} {form:<9} failed: {done.stderr.strip().splitlines()[-1:]}")
                    continue
                found = json.loads(done.stdout.splitlines()[-1])
                took[form] += found["processor"]
                memory = (f"{found[kind] / MEBIBYTE:>6,.0f} MiB" for kind in ("anonymous", "resident"))
                print(
                    f"{method:<16} {form:<9}",
                    *memory,
                    f"{found['wall']:>6.1f} s {found['processor']:>8.1f} s",
                    flush=True,
                )
            ours, *others = outs = [folder / f"{method}-{form}" for form in forms]
            for form, other in zip(forms[1:], others, strict=True):
                if ours.is_dir() and other.is_dir() and took[form]:
                    ratio, difference = took["streamed"] / took[form], largest_difference(ours, other)
                    print(f"{method:<16} streamed takes {ratio:.2f} of {form}; largest difference {difference:.2g}")
            for out in outs:
                shutil.rmtree(out, ignore_errors=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
