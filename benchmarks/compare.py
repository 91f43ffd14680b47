"""Processor time of ``harness-ext compare`` on two large runs, against pandas and scipy by hand.

    python benchmarks/compare.py [--docs 14000] [--draws 10000]

Both sides start as a process of their own, read the same samples and end with a 95 % BCa interval of the paired
difference in accuracy and the p-value of a paired permutation test, with the same seed: the numbers must be equal.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

DATE = "2026-05-01T10-00-00.000001"

BY_HAND = """
import json, sys
import numpy as np, pandas as pd
from scipy import stats
a, b = (pd.read_json(file, lines=True).set_index("doc_id").acc for file in sys.argv[1:3])
draws, both = int(sys.argv[3]), pd.concat([a, b], axis=1, join="inner").to_numpy().T
mean = lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis)
seed = lambda: np.random.default_rng(0)
found = stats.bootstrap(both, mean, paired=True, n_resamples=draws, batch=50, rng=seed()).confidence_interval
p = stats.permutation_test(both, mean, permutation_type="samples", n_resamples=draws, batch=50, rng=seed()).pvalue
print(json.dumps([found.low, found.high, p]))
"""


def write_run(folder: Path, docs: int, right: float) -> Path:
    """One run on a toy task in lm-eval's layout; its samples file is returned."""
    folder.mkdir()
    rng = random.Random(right)
    values = [float(rng.random() < right) for _ in range(docs)]
    lines = [
        {"doc_id": at, "doc": {"id": f"d{at}", "question": "words of a question " * 20}, "target": "yes",
         "arguments": {"gen_args_0": {"arg_0": "words of a question " * 20, "arg_1": " yes"}},
         "resps": [[["-1.5", "False"]]], "filtered_resps": [["-1.5", "False"]], "doc_hash": f"h{at}",
         "prompt_hash": f"p{at}", "filter": "none", "metrics": ["acc"], "acc": value}
        for at, value in enumerate(values)
    ]  # fmt: skip
    samples = folder / f"samples_toy_{DATE}.jsonl"
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    content = {
        "results": {"toy": {"alias": "toy", "acc,none": sum(values) / docs}},
        "configs": {"toy": {"task": "toy", "metric_list": [{"metric": "acc", "aggregation": "mean"}]}},
        "n-samples": {"toy": {"original": docs, "effective": docs}},
        "config": {"model": "hf", "model_args": f"pretrained={folder.name}"},
    }
    (folder / f"results_{DATE}.json").write_text(json.dumps(content))
    return samples


def seconds(command: list[str]) -> tuple[float, str]:
    """Processor time of a command, with its children, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, printed


def main() -> None:
    """Write two runs, compare them both ways and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=int, default=14_000)
    parser.add_argument("--draws", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        first, second = (
            write_run(Path(temporary) / name, options.docs, right) for name, right in (("a", 0.62), ("b", 0.64))
        )
        program = "from harness_ext.cli import main; main()"
        runs = [str(first.parent), str(second.parent)]
        ours, printed = seconds(
            [sys.executable, "-c", program, "compare", *runs, "--json", "--draws", str(options.draws)]
        )
        plain, by_hand = seconds([sys.executable, "-c", BY_HAND, str(first), str(second), str(options.draws)])
    (line,) = json.loads(printed)["comparisons"]
    low, high, p = json.loads(by_hand)
    assert abs(line["low"] - low) < 1e-9 and abs(line["high"] - high) < 1e-9 and abs(line["p"] - p) < 1e-9
    print(f"two runs of {options.docs} docs, {options.draws} draws: difference in [{low:.4f}, {high:.4f}], p {p:.4f}")
    print(f"harness-ext compare {ours:8.1f} CPU-s")
    print(f"pandas and scipy    {plain:8.1f} CPU-s, {plain / ours:.1f} times as much")


if __name__ == "__main__":
    main()
