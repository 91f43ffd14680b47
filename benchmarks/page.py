"""Time, memory and size of the page for a large folder of results, against plain pandas over the same files.

    python benchmarks/page.py [--runs 200] [--docs 63] [--folder FOLDER]

Each run answers the four dimensions of MBTIBench over ``--docs`` authors, in lm-eval's file layout with the prompt in
every line: 200 runs of 63 docs are 50,400 samples. Every line is measured in a process of its own. The plain page is
what one writes without this package: ``read_json`` each samples file, ``groupby().mean()``, ``to_html`` of the means
and of all samples; it has no intervals, no plots, no viewer and no limits.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness_ext.scoring.soft_labels import agg_parse_failure, agg_s_rmse, agg_spearman

DATE = "2026-05-01T10-00-00.000001"
PARTS = {"ei": "E/I", "sn": "S/N", "tf": "T/F", "jp": "J/P"}
METRICS = {"s_rmse": agg_s_rmse, "spearman": agg_spearman, "parse_failure": agg_parse_failure}


def write_runs(folder: Path, runs: int, docs: int) -> None:
    """Write the results and samples files of ``runs`` models."""
    prompts = [f"Post {at}: " + " ".join(f"word{(at * 31 + k) % 997}" for k in range(250)) for at in range(docs)]
    for number in range(runs):
        own = folder / f"model-{number:03}"
        own.mkdir(parents=True)
        rng = np.random.default_rng(number)
        results, configs = {}, {}
        for code, part in PARTS.items():
            task = f"mbtibench_zero_shot_{code}"
            gold = np.random.default_rng(1).random(docs)
            guess = np.round(np.clip(gold + rng.normal(0, 0.1 + number / 400, docs), 0, 1) * 8) / 8
            pairs = np.column_stack([gold, guess]).tolist()
            items = {"s_rmse": pairs, "spearman": pairs, "parse_failure": [0.0] * docs}
            results[task] = {"alias": task} | {f"{name},none": METRICS[name](items[name]) for name in METRICS}
            configs[task] = {
                "task": task,
                "metric_list": [{"metric": name, "aggregation": str(function)} for name, function in METRICS.items()],
                "metadata": {"version": 1.0, "source": "mbtibench", "data": "sample", "part": part},
            }
            with (own / f"samples_{task}_{DATE}.jsonl").open("w") as file:
                for at, prompt in enumerate(prompts):
                    score = round(1 + 8 * guess[at])
                    answer = f"Of the posts, number {at % 7} decides it; all in all I would say [[{score}]]."
                    line = {
                        "doc_id": at,
                        "doc": {"id": at, "soft": gold[at], "user": prompt},
                        "target": str(gold[at]),
                        "arguments": {"gen_args_0": {"arg_0": f"{part}: {prompt}", "arg_1": {"until": []}}},
                        "resps": [[answer]],
                        "filtered_resps": [answer],
                        "filter": "none",
                        "metrics": list(METRICS),
                        **{name: items[name][at] for name in METRICS},
                    }
                    file.write(json.dumps(line) + "\n")
        counts = {task: {"original": docs, "effective": docs} for task in results}
        content = {
            "results": results,
            "configs": configs,
            "n-samples": counts,
            "higher_is_better": {task: {"s_rmse": False, "spearman": True} for task in results},
            "config": {"model": "hf", "model_args": {"pretrained": f"lab/model-{number:03}"}},
            "date": float(number),
            "lm_eval_version": "0.4.13",
        }
        (own / f"results_{DATE}.json").write_text(json.dumps(content))


def read_frame(folder: Path) -> int:
    """What every table needs: read and check all files."""
    from harness_ext.results.reading.runs import read

    return len(read([folder]).frame)


def our_page(folder: Path) -> int:
    """The page with tables, intervals, plots and the viewer; its size in bytes."""
    from harness_ext.leaderboards import build, page
    from harness_ext.leaderboards.evidence import Evidence
    from harness_ext.results.reading.runs import read

    evidence = Evidence()
    runs = read([folder], evidence.visit)
    return len(page.render(runs.frame, build.tables(runs.frame), runs, evidence).encode())


def plain_page(folder: Path) -> int:
    """Means and all samples as HTML tables by pandas; the size in bytes."""
    import pandas as pd

    frames = []
    for file in sorted(folder.rglob("samples_*.jsonl")):
        frames.append(pd.read_json(file, lines=True).assign(model=file.parent.name, task=file.stem))
    samples = pd.concat(frames, ignore_index=True)
    samples["error"] = [abs(gold - guess) for gold, guess in samples.s_rmse]
    means = samples.groupby(["model", "task"]).error.mean().unstack()
    shown = samples[["model", "task", "doc_id", "arguments", "resps", "target", "error"]]
    return len(means.to_html().encode()) + len(shown.to_html().encode())


def measure(function: Callable[[Path], int], folder: Path) -> tuple[float, float, int]:
    """Seconds, peak memory of the process (MiB) and the function's number, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, folder))


def _measured(function: Callable[[Path], int], folder: Path) -> tuple[float, float, int]:
    start = time.perf_counter()
    number = function(folder)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, number


def main() -> None:
    """Print one line a way to make the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--docs", type=int, default=63)
    parser.add_argument("--folder", type=Path, help="keep the written results here; must not exist")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary) / "results"
        write_runs(folder, asked.runs, asked.docs)
        size = sum(file.stat().st_size for file in folder.rglob("*.json*")) / 1e6
        print(f"{asked.runs} runs, {asked.runs * asked.docs * len(PARTS):,} samples, {size:.0f} MB of files")
        print(f"{'':24}{'time':>10}{'memory':>12}")
        for name, function, unit in (
            ("reading all files", read_frame, "numbers"),
            ("page, reading included", our_page, "bytes"),
            ("plain pandas page", plain_page, "bytes"),
        ):
            seconds, mebibytes, number = measure(function, folder)
            print(f"{name:24}{seconds:8.1f} s{mebibytes:8.0f} MiB  {number:,} {unit}", flush=True)


if __name__ == "__main__":
    main()
