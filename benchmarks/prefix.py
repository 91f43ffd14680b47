"""Stock ``hf`` against ``hf-prefix``: the same requests, one process, one model, in turns.

    python benchmarks/prefix.py                                   # demo model, single precision, one thread
    python benchmarks/prefix.py --cases header short --runs 5
    python benchmarks/prefix.py --device cuda --dtype bfloat16 --random-llama 1b --batch-size auto

Cases:

* ``mbtibench``  MBTIBench's likelihood tasks with their own prompts, four dimensions of the first 8 authors. Real
  records if the data layer finds them (``HARNESS_EXT_MIRROR``), else the bundled sample, which is shorter.
* ``eibench``    EiBench's likelihood tasks, the first 4 docs of six of them; records as above.
* ``header``     60 questions with four lettered answers behind one five-shot header.
* ``answers``    6 questions with four answers of several words behind the same header.
* ``dialogue``   a dialogue of 12 turns about one text, every turn scored after the turns before it. The answers are
  scripted, as in a recorded dialogue.
* ``psycot``     a PsyCoT dialogue of MBTIBench, played for real: 12 questions about one author, every answer generated
  and put into the history of the next turn.
* ``short``      short prompts that share nothing: what sharing costs where there is nothing to share.
* ``generate``   greedy answers to 16 questions behind the five-shot header.
* ``short_N``    32 short prompts that share nothing, with answers of N tokens to score.
* ``write_N``    32 short prompts that share nothing, with greedy answers of N tokens.
* ``decode``     one short prompt and a greedy answer of 64 tokens: what a token takes.
* ``uneven``     48 short prompts whose answers end at a comma: some at once, some after 64 tokens.

For each case and backend: the median time of the runs, in which the backends take turns in going first, and the median
of the ratios within a run (processor seconds of this process on CPU, which another process can hardly disturb; wall
seconds on an accelerator), tokens that went into the model, counted at the model, the peak of memory beyond the loaded
model, and the largest difference between the two backends' answers. ``floor`` is the
number of tokens when every shared beginning counts once. ``--peer PYTHON FOLDER`` also runs the cases that write
without a stop sequence with CTranslate2 (README.md), in turns with the others; ``--body-dtype bfloat16`` runs
``hf-prefix`` with all but the head in 16 bits, whose memory is then that of both models.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
if "--device" not in sys.argv:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import transformers
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness_ext.data import load_sample
from harness_ext.models.dialogues.filter import has_dialogues
from harness_ext.models.dialogues.player import Player
from harness_ext.models.prefix.lm import PrefixLM

LLAMAS: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "heads": 8, "kv": 4},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "heads": 32, "kv": 8},
    "3b": {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "heads": 24, "kv": 8},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "heads": 32, "kv": 8},
}
VOCABULARY = 128_256


# -- requests


class Requests(NamedTuple):
    """Requests, and for dialogues the tasks that say how they go on."""

    instances: list[Instance]
    dialogues: Mapping[str, Any] = MappingProxyType({})


def words(rng: random.Random, count: int) -> str:
    """Invented words, in which hardly any two texts agree for long."""
    syllables = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu an er in os um".split()  # noqa: SIM905
    return " ".join("".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(count))


def scoring(task: str, doc: int, context: str, continuation: str) -> Instance:
    """A request to score a continuation."""
    return Instance("loglikelihood", {"id": doc}, (context, continuation), doc, metadata=(task, doc, 1))


def five_shots(rng: random.Random) -> str:
    """A few-shot header of some 300 tokens."""
    shots = [f"Situation: {words(rng, 20)}.\nFeeling: {words(rng, 2)}\n\n" for _ in range(5)]
    return "Read the situation and name the feeling.\n\n" + "".join(shots)


def task_requests(names: list[str], limit: int) -> Requests:
    """The requests that lm-eval makes of tasks: of the real records, else of the bundled sample."""
    from lm_eval.tasks import TaskManager

    import harness_ext.tasks
    from harness_ext.errors import HarnessExtError

    folder = Path(next(iter(harness_ext.tasks.__path__))) / names[0].split("_")[0]

    def build(metadata: dict[str, Any]) -> Requests:
        manager = TaskManager(include_path=str(folder), include_defaults=False, metadata=metadata)
        tasks = manager.load(names)["tasks"]
        for task in tasks.values():
            task.build_all_requests(limit=limit, rank=0, world_size=1)
        dialogues = {name: task for name, task in tasks.items() if has_dialogues(task)}
        return Requests([request for task in tasks.values() for request in task.instances], dialogues)

    try:
        return build({})
    except HarnessExtError as error:
        print(f"{names[0]}: the bundled sample instead of the real records ({error})", file=sys.stderr)
        return build({"data": "sample"})


def mbtibench(_: random.Random) -> Requests:
    """Four dimensions of the first eight authors."""
    return task_requests([f"mbtibench_zero_shot_ll_{part}" for part in ("ei", "sn", "tf", "jp")], limit=8)


def eibench(_: random.Random) -> Requests:
    """Choices of one to many words, four docs of each kind."""
    names = ("ed_emotion", "emobench_ea", "emobench_eu_cause", "ed_response", "goemotions", "esc_strategy")
    return task_requests([f"eibench_{name}_ll" for name in names], limit=4)


def psycot(_: random.Random) -> Requests:
    """Twelve questions about one author, each behind the answers before it, which are cut after 16 tokens."""
    requests = task_requests(["mbtibench_psycot_ei"], limit=1)
    for request in requests.instances:
        prompt, arguments = request.args
        request.arguments = (prompt, {**arguments, "max_gen_toks": 16})
    return requests


def header(rng: random.Random) -> Requests:
    """Lettered answers behind one header."""
    shots = five_shots(rng)
    return Requests(
        [
            scoring("header", doc, shots + question, f" {letter}")
            for doc in range(60)
            for question in [f"Situation: {words(rng, 20)}.\nFeeling:"]
            for letter in "ABCD"
        ]
    )


def answers(rng: random.Random) -> Requests:
    """Answers of several words behind one header."""
    shots = five_shots(rng)
    return Requests(
        [
            scoring("answers", doc, shots + question, " " + words(rng, count))
            for doc in range(6)
            for question in [f"Situation: {words(rng, 20)}.\nFeeling:"]
            for count in (2, 3, 3, 4)
        ]
    )


def dialogue(rng: random.Random) -> Requests:
    """Turns that are scored after all turns before them."""
    requests = []
    for doc in range(1):
        history = f"Text: {words(rng, 100)}.\n"
        for _ in range(12):
            history += f"Question: {words(rng, 8)}?\nAnswer:"
            requests += [scoring("dialogue", doc, history, f" {letter}") for letter in "ABCD"]
            history += f" B. {words(rng, 8)}.\n"
    return Requests(requests)


def short(rng: random.Random) -> Requests:
    """Nothing in common."""
    return Requests([scoring("short", doc, words(rng, rng.randint(2, 12)), " " + words(rng, 1)) for doc in range(64)])


def generate(rng: random.Random) -> Requests:
    """Greedy answers behind one header."""
    shots = five_shots(rng)
    arguments = {"until": ["\n\n"], "max_gen_toks": 16, "do_sample": False}
    prompts = [f"{shots}Situation: {words(rng, 20)}.\nFeeling:" for _ in range(16)]
    return Requests(
        [
            Instance("generate_until", {"id": doc}, (prompt, arguments), doc, metadata=("generate", doc, 1))
            for doc, prompt in enumerate(prompts)
        ]
    )


def short_answers(rng: random.Random, tokens: int) -> Requests:
    """Nothing in common, and answers of so many words (of one token each in most vocabularies)."""
    ends = "".join(rng.choices([" the", " of", " and", " to", " in", " is", " that", " for"], k=tokens))
    return Requests([scoring("short", doc, words(rng, rng.randint(2, 12)), ends) for doc in range(32)])


def written(rng: random.Random, tokens: int) -> Requests:
    """Greedy answers of so many tokens to prompts that have nothing in common."""
    arguments = {"until": [], "max_gen_toks": tokens, "do_sample": False}
    return Requests(
        [
            Instance(
                "generate_until",
                {"id": doc},
                (words(rng, rng.randint(2, 12)), arguments),
                doc,
                metadata=("write", doc, 1),
            )
            for doc in range(32)
        ]
    )


def decode(rng: random.Random) -> Requests:
    """One long answer."""
    arguments = {"until": [], "max_gen_toks": 64, "do_sample": False}
    return Requests([Instance("generate_until", {"id": 0}, (words(rng, 8), arguments), 0, metadata=("decode", 0, 1))])


def uneven(rng: random.Random) -> Requests:
    """Answers of very different lengths."""
    arguments = {"until": [","], "max_gen_toks": 64, "do_sample": False}
    prompts = [f"{words(rng, 1)} said that {words(rng, 2)}" for _ in range(48)]
    return Requests(
        [
            Instance("generate_until", {"id": doc}, (prompt, arguments), doc, metadata=("uneven", doc, 1))
            for doc, prompt in enumerate(prompts)
        ]
    )


CASES: dict[str, Callable[[random.Random], Requests]] = {
    case.__name__: case
    for case in (mbtibench, eibench, header, answers, dialogue, psycot, short, generate, decode, uneven)
}
for _tokens in (1, 2, 3, 4, 8):
    CASES[f"short_{_tokens}"] = partial(short_answers, tokens=_tokens)
    CASES[f"write_{_tokens}"] = partial(written, tokens=_tokens)


# -- models


def random_llama(size: str, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """A Llama of real size with random weights, and a tokenizer, made without a download."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    shape = dict(LLAMAS[size])
    heads, kv = shape.pop("heads"), shape.pop("kv")
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, num_attention_heads=heads, num_key_value_heads=kv, max_position_embeddings=8192, **shape
    )
    torch.manual_seed(0)
    with torch.device(device):
        torch.set_default_dtype(dtype)
        model = transformers.LlamaForCausalLM(config).eval()
        torch.set_default_dtype(torch.float32)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    texts = [json.dumps(row, ensure_ascii=False) for row in load_sample("mbtibench")]
    tokenizer.train_from_iterator(texts + [words(random.Random(seed), 200) for seed in range(20)], trainer)
    return model, transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def stored_model(path: str | None, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """A checkpoint, by default the demo's model."""
    if path is None:
        from harness_ext.locations import cache_folder
        from harness_ext.models.demo_models import BASE, prepare

        path = str(prepare(BASE, cache_folder(), lambda line: print(line, file=sys.stderr)))
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype).to(device).eval()
    return model, transformers.AutoTokenizer.from_pretrained(path)


# -- measuring


class TokenCount:
    """Counts the tokens that go into a model."""

    def __init__(self, model: Any) -> None:
        self.tokens = 0
        self.watch(model)

    def watch(self, model: Any) -> None:
        """Count those of another model, too."""
        model.register_forward_pre_hook(self._add, with_kwargs=True)

    def _add(self, _: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.tokens += (named["input_ids"] if "input_ids" in named else positional[0]).numel()


@contextmanager
def measured(device: str, count: TokenCount) -> Iterator[dict[str, float]]:
    """Seconds, tokens and the peak of memory in MB beyond what was taken before."""
    on_cuda = device.startswith("cuda")
    found: dict[str, float] = {}
    count.tokens = 0
    if on_cuda:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before, clock = torch.cuda.memory_allocated(), time.perf_counter
    else:
        Path("/proc/self/clear_refs").write_text("5")  # starts the peak of resident memory anew
        before, clock = resident("VmRSS"), time.process_time
    start = clock()
    yield found
    if on_cuda:
        torch.cuda.synchronize()
    found["seconds"] = clock() - start
    found["tokens"] = count.tokens
    found["peak_mb"] = ((torch.cuda.max_memory_allocated() if on_cuda else resident("VmHWM")) - before) / 1e6
    found["total_mb"] = (torch.cuda.max_memory_allocated() if on_cuda else resident("VmHWM")) / 1e6


class Peer:
    """CTranslate2 in a process of its own."""

    def __init__(self, python: str, folder: str, tokenizer: Any, together: int) -> None:
        script = Path(__file__).with_name("ctranslate2_peer.py")
        self._process = subprocess.Popen(
            [python, str(script), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._tokenizer = tokenizer
        self._together = together

    def seconds(self, requests: Sequence[Instance]) -> float:
        """Processor seconds for greedy answers of full length."""
        assert self._process.stdin and self._process.stdout
        prompts = [self._tokenizer.convert_ids_to_tokens(self._tokenizer(one.args[0]).input_ids) for one in requests]
        count = requests[0].args[1]["max_gen_toks"]
        print(json.dumps([prompts, count, self._together]), file=self._process.stdin, flush=True)
        found = json.loads(self._process.stdout.readline())
        if set(found["new tokens"]) != {count}:
            print(f"CTranslate2 ended some answers before {count} tokens", file=sys.stderr)
        return float(found["seconds"])


def resident(field: str) -> int:
    """Bytes of resident memory: ``VmRSS`` now, ``VmHWM`` at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{field}: not in /proc/self/status (this benchmark measures memory on Linux)")


def difference(left: list[Any], right: list[Any], lengths: Sequence[int]) -> str:
    """The largest difference of log-likelihoods, and a token's on average and at most, or how many texts differ."""
    if left and isinstance(left[0], str):
        return f"{sum(a != b for a, b in zip(left, right, strict=True))} of {len(left)} texts"
    found = [abs(a[0] - b[0]) for a, b in zip(left, right, strict=True)]
    each = [one / length for one, length in zip(found, lengths, strict=True)]
    return f"{max(found):.1e} ({statistics.fmean(each):.1e}, at most {max(each):.1e} a token)"


def compare(
    case: str, backends: dict[str, Any], count: TokenCount, device: str, runs: int, peer: Peer | None
) -> dict[str, Any]:
    """Run a case on all backends in turns."""
    requests, dialogues = CASES[case](random.Random(case))  # seeded by the name
    row: dict[str, Any] = {"case": case, "requests": len(requests)}
    answers: dict[str, list[Any]] = {}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in backends}
    for turn in range(runs):
        # Who goes first changes with every run: what the machine does meanwhile then hits both alike.
        for name, lm in list(backends.items())[:: 1 if turn % 2 == 0 else -1]:
            if name == "hf-prefix":
                lm.spent = type(lm.spent)()
            with measured(device, count) as numbers:
                if dialogues:
                    answers[name] = Player(lm, dialogues).generate_until(requests)
                else:
                    answers[name] = getattr(lm, requests[0].request_type)(requests, disable_tqdm=True)
            found[name].append(numbers)
            if name == "hf-prefix":
                row["floor"] = lm.spent.tree
        if peer and requests[0].request_type == "generate_until" and requests[0].args[1]["until"] == []:
            found.setdefault("peer", []).append({"seconds": peer.seconds(requests)})
    pairs = zip(found["hf-prefix"], found["hf"], strict=True)
    row["ratio"] = statistics.median(shared["seconds"] / stock["seconds"] for shared, stock in pairs)
    for name, numbers_of_runs in found.items():
        for key in numbers_of_runs[0]:
            row[f"{name} {key}"] = statistics.median(numbers[key] for numbers in numbers_of_runs)
    if requests[0].request_type == "generate_until" and requests[0].args[1]["until"] == []:
        row["new"] = len(requests) * requests[0].args[1]["max_gen_toks"]
    row["difference"] = difference(
        answers["hf"],
        answers["hf-prefix"],
        [len(backends["hf"].tok_encode(str(request.args[1]), add_special_tokens=False)) for request in requests],
    )
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The numbers as a Markdown table."""
    lines = [
        "| case | requests | hf s | hf-prefix s | hf-prefix / hf | CTranslate2 s | ms a new token "
        "| hf tokens | hf-prefix tokens | floor | over floor | hf peak MB | hf-prefix peak MB | difference |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        stock, shared, peer = row["hf seconds"], row["hf-prefix seconds"], row.get("peer seconds")
        each = [f"{1000 * one / row['new']:.0f}" for one in (stock, shared, peer) if one] if "new" in row else []
        lines.append(
            f"| {row['case']} | {row['requests']} | {stock:.2f} | {shared:.2f} | {row['ratio']:.2f} "
            f"| {'' if peer is None else f'{peer:.2f}'} | {' / '.join(each)} "
            f"| {row['hf tokens']:,.0f} | {row['hf-prefix tokens']:,.0f} | {row['floor']:,} "
            f"| {row['hf-prefix tokens'] / row['floor']:.3f} "
            f"| {row['hf total_mb']:,.0f} (+{row['hf peak_mb']:,.0f}) "
            f"| {row['hf-prefix total_mb']:,.0f} (+{row['hf-prefix peak_mb']:,.0f}) | {row['difference']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--runs", type=int, default=3, help="runs of each case and backend")
    parser.add_argument("--model", help="a checkpoint; default: the demo's model")
    parser.add_argument("--random-llama", choices=LLAMAS, help="a Llama of this size with random weights instead")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    # With auto hf tries out the largest batch of full length first, which counts: long on CPU.
    parser.add_argument("--batch-size", default="1", help="for both backends: a number or auto")
    parser.add_argument("--kv-budget", help="for hf-prefix, for example 2GiB")
    parser.add_argument("--body-dtype", help="for hf-prefix, for example bfloat16")
    parser.add_argument("--peer", nargs=2, metavar=("PYTHON", "FOLDER"), help="CTranslate2 and a converted model")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    dtype = getattr(torch, chosen.dtype)
    model, tokenizer = (
        random_llama(chosen.random_llama, chosen.device, dtype)
        if chosen.random_llama
        else stored_model(chosen.model, chosen.device, dtype)
    )
    batch_size = chosen.batch_size if chosen.batch_size == "auto" else int(chosen.batch_size)
    arguments = {"tokenizer": tokenizer, "batch_size": batch_size, "dtype": chosen.dtype, "device": chosen.device}
    backends = {"hf": HFLM(model, **arguments), "hf-prefix": PrefixLM(model, kv_budget=chosen.kv_budget, **arguments)}
    other = copy.deepcopy(model) if chosen.body_dtype else None
    count = TokenCount(model)
    if other is not None:
        backends["hf-prefix"] = PrefixLM(other, kv_budget=chosen.kv_budget, body_dtype=chosen.body_dtype, **arguments)
        count.watch(other)
    peer = Peer(*chosen.peer, tokenizer, batch_size) if chosen.peer else None
    for lm in backends.values():  # the first call of anything is slow
        lm.loglikelihood(short(random.Random(0)).instances[:2], disable_tqdm=True)
    rows = []
    for case in chosen.cases:
        rows.append(compare(case, backends, count, chosen.device, chosen.runs, peer))
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(
        f"\n{model.config.model_type}, {model.num_parameters():,} parameters, {chosen.dtype}, {chosen.device}, "
        f"batch size {chosen.batch_size}, {torch.get_num_threads()} threads, median of {chosen.runs}\n\n{table(rows)}"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
