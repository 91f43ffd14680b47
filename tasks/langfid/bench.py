"""What tables know of language fidelity."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    headline="fidelity",
    usual={"lid": "py3langid"},
    asks={"langfid": "whether answers are in the language of the instruction"},
    sizes={"langfid": 100},
)
