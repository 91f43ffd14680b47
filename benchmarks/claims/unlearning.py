"""Do RKLD and its baselines do what the papers say, on models that fit a CPU?

    python benchmarks/claims/unlearning.py                       # seeds 0 to 2 on two cores, under 40 minutes
    python benchmarks/claims/unlearning.py --seeds 0 --out build/claims/try

A seed invents its own world and trains a model of it, one that never saw what is to be forgotten, and a second such
one (:mod:`unlearning_world`); every method is tried with several learning rates (:mod:`unlearning_arms`) and measured
after three of its ten epochs. A method's line is its best utility among the epochs that pass (forget quality at least
.05): a choice on what is measured, the same for all. The chosen models are then taught a tenth of the forget set again,
and rounded to eight bits. What is done is not done again. ``table.md``, ``scores.json`` and ``front-seed-N.svg`` are in
``--out``.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import transformers
from sklearn.metrics import roc_auc_score
from unlearning_arms import EPOCHS, Arm, arms
from unlearning_world import (
    Measured,
    loaded,
    make_model,
    measured,
    memorised,
    plain,
    taught,
    tokenizer_of,
    world,
    write_data,
)  # fmt: skip

from harness_ext.methods import registry
from harness_ext.scoring.unlearning import forget_quality

PASSES = 0.05
"""Forget quality from which on the literature speaks of significant forgetting."""
FAITHFUL = 24
"""Models of which half saw the forget set."""

Score = dict[str, Any]
"""Fields of `Measured`, with the forget quality ``p`` and the distance ``D`` in place of the ratios."""


def scored(model: Any, seed: int, folder: Path) -> Score:
    """What is measured of a model of a seed."""
    found = measured(model, world(seed))
    retain = Measured(**json.loads((folder / "retain.json").read_text())).ratios
    quality = forget_quality(found.ratios, retain)
    return {**found._asdict(), "p": quality.p, "D": quality.D} | {"ratios": None}


def prepared(seed: int, folder: Path) -> dict[str, Score]:
    """Make the seed's models and measure them."""
    own = world(seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_data(own, folder)
    for name in ("pretrained", "full", "retain"):
        make_model(name, own, folder, seed)
    retain = measured(loaded(folder / "retain"), own)
    (folder / "retain.json").write_text(json.dumps(retain._asdict()))
    return {name: scored(loaded(folder / name), seed, folder) for name in ("full", "retain")}


def control(name: str, seed: int, folder: Path) -> Score:
    """A model that is only compared."""
    return scored(loaded(make_model(name, world(seed), folder, seed)), seed, folder)


def tried(name: str, arm: Arm, seed: int, folder: Path) -> dict[str, Any]:
    """Run an arm, measure its epochs, and keep the model of the best."""
    out = kept(name, folder)
    for left in out.parent.glob(f"{out.name}*"):
        shutil.rmtree(left)
    out.parent.mkdir(exist_ok=True)
    data = "train_data" if arm.method == "fine_tuning" else "forget_data"
    own = {"model": str(folder / "full"), data: str(folder / "forget.jsonl"), **arm.settings}
    subtracted = own.pop("subtracted", None)
    if "refusals" in own:
        own["refusals"] = str(folder / own["refusals"])
    if arm.retains:
        own["retain_data"] = str(folder / "retain.jsonl")
    method = registry.load(arm.method)
    began = time.process_time()
    method.apply(method.config(out=str(out), epochs=10, batch_size=32, accumulation=1, keep=list(EPOCHS), **own))
    if subtracted is not None:
        _subtract(subtracted, out, folder)
    seconds = time.process_time() - began
    epochs = {str(epoch): scored(loaded(Path(f"{out}-epoch-{epoch}")), seed, folder) for epoch in EPOCHS}
    best = chosen(epochs)
    notes = json.loads((out / "method.json").read_text())["notes"]
    shutil.rmtree(out)
    Path(f"{out}-epoch-{best}").rename(out)
    for left in out.parent.glob(f"{out.name}-epoch-*"):
        shutil.rmtree(left)
    told = {"seconds": seconds, "increment_mean": notes.get("increment_mean")}
    return {"family": arm.family, "epochs": epochs, "best": best, **told}


def kept(name: str, folder: Path) -> Path:
    """Where the model of an arm's best epoch is."""
    return folder / "arms" / name.replace(" ", "_").replace("/", "_")


def attacked(name: str, seed: int, folder: Path) -> dict[str, Score]:
    """What is measured of an arm's model after relearning a tenth of the forget set, and in eight bits."""
    after = {}
    relearning = {"forget_data": str(folder / "forget.jsonl"), "epochs": 5, "lr": 3e-4, "warmup_epochs": 0.0}
    for kind, settings in (("relearn", relearning), ("eight_bit", {})):
        method, out = registry.load(kind), Path(f"{kept(name, folder)}-{kind}")
        shutil.rmtree(out, ignore_errors=True)
        method.apply(method.config(model=str(kept(name, folder)), out=str(out), **settings))
        after[kind] = scored(loaded(out), seed, folder)
        shutil.rmtree(out)
    return after


def _subtract(times: float, out: Path, folder: Path) -> None:
    """Put the full model, less what every kept epoch changed in it, in the place of these epochs: task arithmetic."""
    method = registry.load("task_arithmetic")
    for epoch in EPOCHS:
        tuned, less = Path(f"{out}-epoch-{epoch}"), Path(f"{out}-less")
        method.apply(method.config(base=str(folder / "full"), models=[str(tuned)], weights=[-times], out=str(less)))
        shutil.rmtree(tuned)
        less.rename(tuned)


def chosen(epochs: Mapping[Any, Score]) -> Any:
    """The epoch of the highest utility among those that pass; where none does, that of the highest forget quality."""
    passing = [epoch for epoch, score in epochs.items() if score["p"] >= PASSES]
    if passing:
        return max(passing, key=lambda epoch: epochs[epoch]["utility"])
    return max(epochs, key=lambda epoch: epochs[epoch]["p"])


def shortly_taught(number: int, seed: int, folder: Path) -> Score:
    """The retain model, taught the forget set besides (an even number) or not, in an order and a length of its own."""
    own, tokenizer = world(seed), tokenizer_of(world(seed).words)
    drawn = random.Random(f"{seed}|{number}").sample(own.retain, 2 * len(own.forget))
    facts = drawn if number % 2 else [*own.forget, *drawn[: len(own.forget)]]
    model = taught(loaded(folder / "retain"), tokenizer, plain(facts), 3 + number // 2, 1e-3, 100 + number)
    return {**scored(model, seed, folder), **memorised(model, own)}


FAITHFULNESS: Mapping[str, Callable[[Score], float]] = {
    "forget probability": lambda score: score["forget_probability"],
    "forget ROUGE-L recall": lambda score: score["forget_rouge"],
    "truth ratio, its distance from 1": lambda score: -score["forget_truth"],
    "forget quality (KS distance)": lambda score: score["D"],
    "exact memorisation": lambda score: score["exact_memorization"],
    "extraction strength": lambda score: score["extraction_strength"],
    "AUC of the attack by loss": lambda score: score["mia_loss_auc"],
    "AUC of the attack by zlib": lambda score: score["mia_zlib_auc"],
    "AUC of the attack by min-k (and privleak)": lambda score: score["mia_min_k_auc"],
    "AUC of the attack by min-k++": lambda score: score["mia_min_k_plus_plus_auc"],
    "model utility": lambda score: score["utility"],
}
"""Metric → what should be higher for a model that saw the forget set."""


def line(found: Mapping[str, Any], family: str) -> Score | None:
    """The chosen epoch of the best arm of a family: the highest utility that passes, or else the highest quality."""
    own = {name: arm["epochs"][arm["best"]] for name, arm in found["arms"].items() if arm["family"] == family}
    if not own:
        return None
    best = chosen(own)
    arm = found["arms"][best]
    return {**own[best], "arm": best, "epoch": arm["best"], "last": arm["epochs"][max(arm["epochs"], key=int)], **arm}


def lines_of(found: Mapping[str, Any]) -> dict[str, Score]:
    """Family → its line."""
    families = dict.fromkeys(arm.family for arm in arms().values())
    return {family: shown for family in families if (shown := line(found, family))}


def passing_utility(found: Mapping[str, Any], family: str) -> float:
    """Utility of a family's line; minus infinity if it does not pass, so that whatever passes is better."""
    own = line(found, family)
    return own["utility"] if own and own["p"] >= PASSES else -math.inf


class Claim(NamedTuple):
    """A sentence, the families that it needs, and whether it holds in a seed."""

    text: str
    needs: tuple[str, ...]
    holds: Callable[[Mapping[str, Any]], bool]


CLAIMS = (
    Claim("the metric tells the full model apart (forget quality below 1e-20)", (),
          lambda seed: seed["models"]["full"]["p"] < 1e-20),
    Claim("it does not tell a second model apart that never saw the forget set (above .05)", ("retain_again",),
          lambda seed: seed["models"]["retain_again"]["p"] > PASSES),
    Claim("gradient ascent loses more than 40 % of utility by its last epoch", ("GA",),
          lambda seed: line(seed, "GA")["last"]["utility"] < 0.6 * seed["models"]["full"]["utility"]),
    Claim("RKLD passes with at least 1.05 times the utility of GA", ("RKLD", "GA"),
          lambda seed: passing_utility(seed, "RKLD") >= 1.05 * passing_utility(seed, "GA")
          and passing_utility(seed, "RKLD") > 0),
    Claim("RKLD passes with more utility than NPO", ("RKLD", "NPO"),
          lambda seed: passing_utility(seed, "RKLD") > passing_utility(seed, "NPO")),
    Claim("the reverse divergence forgets better than the forward one with the same teacher", ("RKLD", "FKLD"),
          lambda seed: line(seed, "RKLD")["p"] > line(seed, "FKLD")["p"]),
    Claim("RKLD with the paper's α 8 passes", ("RKLD, α 8",),
          lambda seed: line(seed, "RKLD, α 8")["p"] >= PASSES),
    Claim("RKLD passes with more utility than gradient difference, which sees the retain set", ("RKLD", "GradDiff"),
          lambda seed: passing_utility(seed, "RKLD") > passing_utility(seed, "GradDiff")),
    Claim("RKLD+RT passes with more utility than every other method",
          tuple(dict.fromkeys(arm.family for arm in arms().values())),
          lambda seed: passing_utility(seed, "RKLD+RT") == max(
              passing_utility(seed, arm.family) for arm in arms().values())),
)  # fmt: skip


def ranks(values: Mapping[str, float]) -> dict[str, int]:
    """Name → its place, the highest first.

    >>> ranks({"a": 1.0, "b": 2.0})
    {'b': 1, 'a': 2}
    """
    return {name: place for place, name in enumerate(sorted(values, key=lambda name: -values[name]), start=1)}


def report(seeds: Mapping[int, Mapping[str, Any]]) -> str:
    """Tables, collapses and claims of all seeds, as Markdown."""
    text = [
        f"Seeds {', '.join(map(str, seeds))}. Forget quality: log10 p of the two-sided KS test of truth ratios",
        f"(geometric, n = m = 100) against the retain model; {PASSES} is {math.log10(PASSES):.2f}. Where p passes, the",
        "epoch and setting of the highest utility are shown, otherwise those of the highest p.",
    ]
    for seed, found in seeds.items():
        text += [
            "",
            f"Seed {seed}",
            "",
            "| model | utility | log10 p | D | forget P | forget R-L | setting, epoch | utility at 10 |",
        ]
        text += ["| --- |" + " ---: |" * 5 + " --- | ---: |"]
        for name, score in found["models"].items():
            text.append(f"| {name} | {_cells(score)} |  |  |")
        own = lines_of(found)
        for shown in own.values():
            name = f"{shown['arm']}, {shown['epoch']}"
            text.append(f"| {shown['family']} | {_cells(shown)} | {name} | {shown['last']['utility']:.3f} |")
        half = found["models"]["full"]["utility"] / 2
        for name, arm in found["arms"].items():
            if fallen := [epoch for epoch, score in arm["epochs"].items() if score["utility"] < half]:
                text.append(
                    f"\ncollapse: {name}: utility below half of the full model's after epoch {', '.join(fallen)}"
                )
        text += ["", *_robustness(own)]
        if "faithfulness" in found:
            text += ["", *_faithfulness(found["faithfulness"])]
    text += ["", "| claim | held in |", "| --- | ---: |"]
    for claim in CLAIMS:
        able = [
            found for found in seeds.values() if all(one in found["models"] or line(found, one) for one in claim.needs)
        ]
        if able:
            held = sum(claim.holds(found) for found in able)
            text.append(f"| {'' if held == len(able) else '**failed**: '}{claim.text} | {held} of {len(able)} seeds |")
    used = sum(arm["seconds"] for found in seeds.values() for arm in found["arms"].values())
    return "\n".join([*text, "", f"{used:.0f} processor seconds in methods."]) + "\n"


def _cells(score: Score) -> str:
    quality = math.log10(score["p"]) if score["p"] else -math.inf
    return (
        f"{score['utility']:.3f} | {quality:.2f} | {score['D']:.2f} | {score['forget_probability']:.3f} | "
        f"{score['forget_rouge']:.3f}"
    )


def _robustness(own: Mapping[str, Score]) -> list[str]:
    """What becomes of the chosen models, and of their ranks by KS distance, where forgotten things are looked for."""
    text = ["| chosen model | D | after relearning | in eight bits | rank | after relearning | in eight bits |"]
    text += ["| --- |" + " ---: |" * 6]
    distances = {
        "now": {family: score["D"] for family, score in own.items()},
        **{
            kind: {family: score["after"][kind]["D"] for family, score in own.items()}
            for kind in ("relearn", "eight_bit")
        },
    }
    places = {kind: ranks({family: -one for family, one in each.items()}) for kind, each in distances.items()}
    for family in own:
        cells = [f"{each[family]:.2f}" for each in distances.values()] + [str(each[family]) for each in places.values()]
        text.append(f"| {family} | {' | '.join(cells)} |")
    return text


def _faithfulness(models: Mapping[str, Score]) -> list[str]:
    saw = [int(number) % 2 == 0 for number in models]
    text = [f"| metric | AUC over {len(models)} models, half of which saw the forget set |", "| --- | ---: |"]
    for name, value in FAITHFULNESS.items():
        text.append(f"| {name} | {roc_auc_score(saw, [value(score) for score in models.values()]):.2f} |")
    return text


def front(found: Mapping[str, Any], seed: int) -> str:
    """All measured epochs of a seed as SVG: forget quality (log10 p, cut at -20) across, utility up, with the front."""
    points = [
        (max(-20.0, math.log10(score["p"] or 1e-99)), score["utility"], arm["family"])
        for arm in found["arms"].values()
        for score in arm["epochs"].values()
    ]
    best = [one for one in points if not any(o[0] >= one[0] and o[1] >= one[1] and o[:2] != one[:2] for o in points)]
    families = list(dict.fromkeys(arm.family for arm in arms().values()))

    def place(x: float, y: float) -> tuple[float, float]:
        return 50 + (x + 20) / 20 * 620, 400 - y / 0.85 * 360

    def colour(family: str) -> str:
        return f"hsl({families.index(family) * 360 // len(families)} 70% 42%)"

    marks = [
        f'<g><circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour(family)}"/><text x="{x:.1f}" y="{y + 2.5:.1f}" '
        f'font-size="7" fill="white" text-anchor="middle">{families.index(family) + 1}</text>'
        f"<title>{escape(family)}</title></g>"
        for *at, family in points
        for x, y in [place(*at)]
    ]
    names = [
        f'<text x="690" y="{30 + 18 * number}" fill="{colour(family)}">{number} {escape(family)}</text>'
        for number, family in enumerate(families, start=1)
    ]
    line_of = " ".join(f"{x:.1f},{y:.1f}" for *at, _ in sorted(best) for x, y in [place(*at)])
    limit, _ = place(math.log10(PASSES), 0)
    ticks = [f'<text x="{place(x, 0)[0]:.0f}" y="418">{x}</text>' for x in (-20, -15, -10, -5, 0)]
    ticks += [f'<text x="20" y="{place(0, y)[1]:.0f}">{y}</text>' for y in (0.2, 0.4, 0.6, 0.8)]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 440" font-family="sans-serif" font-size="12">'
        f"<title>Unlearning, seed {seed}: model utility against forget quality, with the Pareto front</title>"
        '<path d="M50,40V400H670" fill="none" stroke="#888"/>'
        f'<path d="M{limit:.0f},40V400" stroke="#bbb" stroke-dasharray="4"/>{"".join(ticks)}'
        f'<polyline points="{line_of}" fill="none" stroke="#333"/>{"".join(marks)}{"".join(names)}'
        '<text x="300" y="435">forget quality, log10 p</text><text x="50" y="30">model utility</text></svg>\n'
    )


def _keep(file: Path, found: Mapping[str, Any]) -> None:
    part = file.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1), encoding="utf-8")
    part.replace(file)


def run_seeds(seeds: Sequence[int], out: Path, processes: int) -> dict[int, dict[str, Any]]:
    """Do what is not done yet, and return everything."""
    files = {seed: out / f"seed-{seed}" / "scores.json" for seed in seeds}
    found: dict[int, dict[str, Any]] = {
        seed: json.loads(file.read_text()) if file.exists() else {"arms": {}} for seed, file in files.items()
    }
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs: dict[Future[Any], tuple[int, tuple[str, ...]]] = {}

        def submit(seed: int, place: tuple[str, ...], function: Callable[..., Any], *arguments: Any) -> None:
            """Have something done, unless its result is at its place in the seed's scores already."""
            inner = found[seed]
            for key in place:
                if key not in inner:
                    jobs[pool.submit(function, *arguments, seed, files[seed].parent)] = (seed, place)
                    return
                inner = inner[key]

        def collect(then: Callable[[int], None] = lambda seed: None) -> None:
            """Keep what is done, as it comes; ``then`` follows a seed's models."""
            while jobs:
                for done in wait(jobs, return_when=FIRST_COMPLETED).done:
                    seed, (*outer, key) = jobs.pop(done)
                    inner = found[seed]
                    for one in outer:
                        inner = inner.setdefault(one, {})
                    inner[key] = done.result()
                    _keep(files[seed], found[seed])
                    print(f"seed {seed}: {' '.join([*outer, key])}", flush=True)
                    if key == "models":
                        then(seed)

        def try_all(seed: int) -> None:
            for name, arm in arms().items():
                submit(seed, ("arms", name), tried, name, arm)

        for seed in seeds:
            submit(seed, ("models",), prepared)
            if "models" in found[seed]:
                try_all(seed)
        collect(try_all)
        for seed, own in found.items():
            for name in dict.fromkeys(shown["arm"] for shown in lines_of(own).values()):
                submit(seed, ("arms", name, "after"), attacked, name)
        for number in range(FAITHFUL):
            submit(seeds[0], ("faithfulness", str(number)), shortly_taught, number)
        for seed in seeds:
            submit(seed, ("models", "retain_again"), control, "retain_again")
        collect()
    for seed, own in found.items():  # in the order of the arms, whichever was done first
        found[seed] = {**own, "arms": {name: own["arms"][name] for name in arms() if name in own["arms"]}}
    return found


def main() -> None:
    """Run what is asked for and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/claims/unlearning"), help="default: %(default)s")
    options = parser.parse_args()
    transformers.logging.disable_progress_bar()
    found = run_seeds(options.seeds, options.out, options.processes)
    for seed, own in found.items():
        (options.out / f"front-seed-{seed}.svg").write_text(front(own, seed), encoding="utf-8")
    text = report(found)
    (options.out / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
