"""What tables know of EiBench-R."""

from harness_ext.results.benches import Bench

BENCH = Bench(headline="ei_score", usual={"aliases": "on"})
