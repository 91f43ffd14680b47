"""What tables know of this benchmark."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    headline="median_error",
    printed={"median_error": "Median error"},
    parts={"green": "Green tea", "black": "Black tea"},
    usual={"unit": "minutes"},
    asks={"steeping": "how long a tea steeps"},
    sizes={"steeping": 8},
)
