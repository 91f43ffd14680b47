"""Time and memory of reading 10,000 result files and 200 MB of samples, against a plain pandas loop over them.

    python benchmarks/read_results.py [--files 10000] [--megabytes 200] [--folder FOLDER]

The folder holds one result file a model and a samples file for every tenth. Both sides end with one data frame of all
scores and have looked at every line of the samples. Each is measured in a process of its own.
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
from typing import NamedTuple

METRICS = ("acc", "macro_f1", "parse_failure")
DATE = "2026-05-01T10-00-00"


class Measured(NamedTuple):
    """Seconds, memory above what the process had before (MiB) and the scores that were read."""

    seconds: float
    mebibytes: float
    scores: int


def write_folder(folder: Path, files: int, megabytes: int) -> None:
    """Write ``files`` result files and about ``megabytes`` MB of samples in lm-eval's layout."""
    line = {"doc": {"text": "word " * 150}, "resps": [["joy"]], "filter": "none", "metrics": list(METRICS)}
    text = json.dumps(line | dict.fromkeys(METRICS, 1.0))[1:] + "\n"
    lines = max(1, megabytes * 1_000_000 // (len(text) * max(1, files // 10)))
    samples = "".join(f'{{"doc_id": {doc}, {text}' for doc in range(lines))
    for number in range(files):
        own = folder / f"model-{number:05}"
        own.mkdir(parents=True)
        tasks = ("toy_a", "toy_b")
        scores = {f"{metric},none": number / files for metric in METRICS}
        scores |= {f"{metric}_stderr,none": "N/A" for metric in METRICS}
        content = {
            "results": {task: {"alias": task, **scores} for task in tasks},
            "group_subtasks": {"toy": list(tasks)},
            "configs": {task: {"task": task, "metadata": {"version": 1.0}} for task in tasks},
            "n-samples": {task: {"original": 100, "effective": 100} for task in tasks},
            "config": {"model": "hf", "model_args": {"pretrained": f"org/model-{number:05}"}, "limit": None},
            "date": float(number),
            "pretty_env_info": "x" * 5000,
        }
        (own / f"results_{DATE}.{number:06}.json").write_text(json.dumps(content))
        if number % 10 == 0:
            (own / f"samples_toy_a_{DATE}.{number:06}.jsonl").write_text(samples)


def ours(folder: Path) -> int:
    """Read the folder with this package."""
    from harness_ext.leaderboards.evidence import Evidence
    from harness_ext.results.reading.runs import read

    reading = read([folder], Evidence().visit)
    assert not reading.problems
    return len(reading.frame)


def plain(folder: Path) -> int:
    """Read the folder as one does without this package: every file into a data frame, then all of them into one."""
    import pandas as pd

    frames = []
    for file in folder.rglob("results_*.json"):
        content = json.loads(file.read_text())
        frame = pd.DataFrame.from_dict(content["results"], orient="index")
        frames.append(
            frame.melt(id_vars=["alias"], ignore_index=False).assign(
                model=content["config"]["model_args"]["pretrained"]
            )
        )
    scores = pd.concat(frames)
    for file in folder.rglob("samples_*.jsonl"):
        len(pd.read_json(file, lines=True))
    return int((~scores.variable.str.contains("_stderr")).sum())


def measured(work: Callable[[Path], int], folder: Path) -> Measured:
    """Run in a fresh process and measure there."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (work, folder))


def _measure(work: Callable[[Path], int], folder: Path) -> Measured:
    import pandas  # noqa: F401 - not part of what is measured

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before, start = peak(), time.process_time()
    scores = work(folder)
    return Measured(time.process_time() - start, peak() - before, scores)


def main() -> None:
    """Write the folder if it is not there, read it both ways and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="keep the files here and read them again next time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "runs"
        if not folder.exists():
            write_folder(folder, options.files, options.megabytes)
        print(f"{options.files} result files, {options.megabytes} MB of samples")
        for name, work in (("harness_ext.results.reading.runs", ours), ("plain pandas", plain)):
            found = measured(work, folder)
            print(f"{name:<28}{found.seconds:8.1f} CPU-s {found.mebibytes:8.0f} MiB {found.scores:8} scores")


if __name__ == "__main__":
    main()
