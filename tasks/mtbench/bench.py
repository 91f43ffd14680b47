"""What tables know of MT-Bench."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    headline="fidelity",
    usual={"lid": "py3langid", "references": None},
    asks={
        "mtbench": "open questions in two turns, and whether answers stay in their language",
        "mtbench_t1": "the first turn of open questions",
    },
    sizes={"mtbench": 80, "mtbench_lb_ru": 50, "mtbench_t1_lb_ru": 50},
)
