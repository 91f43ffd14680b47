"""What tables know of the repaired XCOPA."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    headline="acc",
    asks={"fixed_xcopa": "cause or effect of what happened, in eleven languages"},
    sizes={"fixed_xcopa": 500},
)
