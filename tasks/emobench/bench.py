"""What tables know of EmoBench."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    usual={"option_order": None},
    asks={
        "emobench": "understanding emotions, and acting on them",
        "emobench_ea": "what to do or say in a scenario",
        "emobench_eu": "emotion and cause in a scenario with a twist",
    },
    sizes={"emobench": 200},
)
