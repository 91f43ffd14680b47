"""Does Lens do what its abstracts say, on a model that fits a CPU?

    python benchmarks/claims/lens.py                                     # the toy, seeds 0 to 2, minutes on two cores
    python benchmarks/claims/lens.py --model FOLDER --languages zh sw    # a real model, one seed

The toy is a random Llama over bytes with the released texts: Aya for probing and the first hundred instructions, of
which every tenth is measured. Real models are measured in the same way. ``table.md`` and ``space-<arm>.svg``, the
instructions in the plane of the first two specific directions before and after, are in ``--out``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import tokenizers
import torch
import transformers

from harness_ext.methods import lens
from harness_ext.methods.lens import texts
from harness_ext.methods.lens.probing import hidden_states, last_states, mean_states, prompt_tokens
from harness_ext.methods.lens.space import FILE, LanguageSpace, load_space
from harness_ext.methods.training.reference import still
from harness_ext.methods.training.rows import pad

LANGUAGES = ("zh", "ja", "ko", "ar", "sw", "bn")
EVERY = 10
"""Of the instructions, so many to one that is measured."""
TOY = {"lr": 3e-3, "epochs": 2}
ARMS: Mapping[str, Mapping[str, Any]] = {
    "lens": {},
    "λ .5": {"scale": dict.fromkeys(LANGUAGES, 0.5)},
    "w_agnostic 0": {"w_agnostic": 0.0},
    "w_spec 0": {"w_spec": 0.0},
    "w_retain 0": {"w_retain": 0.0},
    "retain last": {"retain_pooling": "last"},
    "retain both, central detached": {"retain_pooling": "both", "detach_central": True},
}
COLOURS = ("#2f6cae", "#c2621b", "#2f8557", "#7b52a6", "#b03a48", "#1f8391", "#86692f")


class Read(NamedTuple):
    """Hidden states of instructions by language, and the mean states of the central one."""

    last: Mapping[str, torch.Tensor]
    mean: torch.Tensor


class Measured(NamedTuple):
    """One model against the one it was made from; squares are means over instructions and dimensions."""

    specific: float
    """What is missing of λ·delta, summed over languages."""
    agnostic: float
    """Distance to the central language along the shared direction, summed over languages."""
    retain: float
    """How far the central language's mean state moved."""
    cosine: float
    """Of the way that a language moved in the specific subspace and its delta, mean over languages."""
    ratio: float
    """How much of delta was moved, mean over languages: λ where the method does what it says."""
    central: float
    """How far the central language's last state moved, Euclidean."""
    targets: float
    """The same of the other languages, mean."""


def toy(folder: Path, seed: int) -> Path:
    """A random Llama of four layers over bytes."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *letters])}
    built = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = tokenizers.decoders.ByteLevel()
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=260, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    return folder


def read(folder: Path, config: lens.Config) -> Read:
    """The states of every tenth benign instruction."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    languages = config.all_languages()
    rows = texts.parallel_texts(texts.training_file(config.train_texts), languages, "benign")[::EVERY]
    last, mean = {}, torch.zeros(())
    with still(model) as before:
        for language in languages:
            ids = [
                prompt_tokens(tokenizer, row[language], config.train_system, config.max_source_length) for row in rows
            ]
            batch = pad([{"input_ids": own} for own in ids])
            states = hidden_states(before, batch, config.layer)
            last[language] = last_states(states, batch["attention_mask"])
            if language == config.central:
                mean = mean_states(states, batch["attention_mask"])
    return Read(last, mean)


def measured(space: LanguageSpace, before: Read, after: Read, config: lens.Config) -> Measured:
    """What the training did."""
    specific, agnostic = lens.lens_terms(space, after.last, before.last, config.scale)
    rows = len(after.mean)
    moved = {language: space.project(after.last[language] - before.last[language]) for language in config.languages}
    ways = [(moved[language], space.delta[language]) for language in config.languages]
    lengths = {
        language: (after.last[language] - before.last[language]).norm(dim=-1).mean().item() for language in after.last
    }
    return Measured(
        specific=sum(one.item() for one in specific.values()) / rows,
        agnostic=sum(one.item() for one in agnostic.values()) / rows,
        retain=lens.space.retain_term(after.mean, before.mean).item() / rows,
        cosine=statistics.fmean(torch.cosine_similarity(way, delta, dim=-1).nanmean().item() for way, delta in ways),
        ratio=statistics.fmean((way @ delta / delta.norm() ** 2).mean().item() for way, delta in ways),
        central=lengths[config.central],
        targets=statistics.fmean(lengths[language] for language in config.languages),
    )


def figure(space: LanguageSpace, before: Read, after: Read, title: str) -> str:
    """Instructions in the plane of the first two specific directions, before and after, as SVG."""
    plane = space.specific[:, :2]
    if plane.shape[1] < 2:
        plane = torch.stack([plane[:, 0], space.agnostic / space.agnostic.norm()], dim=1)
    panels = [{name: (own @ plane).numpy() for name, own in one.last.items()} for one in (before, after)]
    every = np.concatenate([points for panel in panels for points in panel.values()])
    low, high = every.min(0), every.max(0)
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 400" font-family="sans-serif" font-size="12">',
        '<rect width="760" height="400" fill="#fff"/>', f'<text x="20" y="22" font-size="14">{title}</text>',
    ]  # fmt: skip
    for side, (panel, words) in enumerate(zip(panels, ("before", "after"), strict=True)):
        left = 20 + 370 * side
        lines.append(f'<rect x="{left}" y="50" width="350" height="320" fill="none" stroke="#c3c9ce"/>')
        lines.append(f'<text x="{left}" y="44" fill="#5a6670">{words}</text>')
        for (name, points), colour in zip(panel.items(), COLOURS, strict=False):
            scaled = (points - low) / np.maximum(high - low, 1e-9)
            places = [(left + 15 + 320 * x, 355 - 290 * y) for x, y in scaled]
            lines += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}" fill-opacity=".75"/>' for x, y in places
            ]
            x, y = np.mean(places, axis=0)
            lines.append(f'<text x="{x + 6:.1f}" y="{y - 6:.1f}" fill="{colour}" font-weight="600">{name}</text>')
    return "\n".join([*lines, "</svg>"])


def arm(name: str, model: Path, out: Path, settings: Mapping[str, Any]) -> tuple[Measured, Measured, dict[str, Any]]:
    """Train one arm, and measure the model before and after."""
    config = lens.Config(model=str(model), out=str(out), train_subset="benign", **settings)
    started = time.process_time()
    if not out.exists():
        lens.apply(config)
    notes = json.loads((out / "method.json").read_text())
    cost = {"seconds": time.process_time() - started, "steps": notes["notes"]["total_steps"], "total": notes["total"]}
    space = load_space(out / FILE, {})
    before, after = read(model, config), read(out, config)
    (out.parent / f"space-{out.name}.svg").write_text(figure(space, before, after, f"Lens: {name}"))
    return measured(space, before, before, config), measured(space, before, after, config), cost


def table(found: Mapping[str, Sequence[tuple[Measured, Measured, dict[str, Any]]]]) -> str:
    """One line an arm, mean over seeds (least to most)."""
    names = Measured._fields
    lines = [f"| arm | {' | '.join(names)} | steps | CPU s |", f"|---|{'--:|' * (len(names) + 2)}"]
    start = [before for before, _, _ in next(iter(found.values()))]
    lines.append(f"| before | {' | '.join(_spread([getattr(one, name) for one in start]) for name in names)} | | |")
    for label, runs in found.items():
        cells = [_spread([getattr(after, name) for _, after, _ in runs]) for name in names]
        cost = [run[2] for run in runs]
        seconds = statistics.fmean(one["seconds"] for one in cost)
        lines.append(f"| {label} | {' | '.join(cells)} | {cost[0]['steps']} | {seconds:.0f} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    """Run the arms of all seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/claims/lens"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", type=Path, help="a real model in place of the toy")
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--lr", type=float, help="of a real model; Lens's own by default")
    chosen = parser.parse_args()
    found: dict[str, list[tuple[Measured, Measured, dict[str, Any]]]] = {}
    for seed in chosen.seeds:
        folder = chosen.out / f"seed-{seed}"
        model = chosen.model or (folder / "model" if (folder / "model").exists() else toy(folder / "model", seed))
        for label in chosen.arms:
            settings = {**({} if chosen.model else TOY), **({"lr": chosen.lr} if chosen.lr else {}), **ARMS[label]}
            if "scale" in settings:
                settings["scale"] = {name: one for name, one in settings["scale"].items() if name in chosen.languages}
            out = folder / label.replace(" ", "-").replace(",", "").replace("λ", "lambda")
            settings |= {"languages": tuple(chosen.languages), "seed": seed}
            found.setdefault(label, []).append(arm(label, model, out, settings))
            print(f"seed {seed}, {label}: {found[label][-1][1]}", flush=True)
    text = table(found)
    (chosen.out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
