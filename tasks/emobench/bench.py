"""What tables know of EmoBench."""

from harness_ext.results.benches import Bench

BENCH = Bench(usual={"option_order": None})
