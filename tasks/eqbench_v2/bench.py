"""What tables know of EQ-Bench v2."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    asks={
        "eqbench_v2": "how strongly the people of a dialogue feel: scores, critique, revised scores",
        "eqbench_v2_short": "how strongly the people of a dialogue feel: scores alone",
    },
    sizes={"eqbench_v2": 171},
)
