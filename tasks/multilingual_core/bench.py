"""What tables know of the group of lm-eval's own tasks."""

from harness_ext.results.benches import Bench

BENCH = Bench(asks={"multilingual_core": "lm-eval's own tasks in seven languages, on pinned files"})
