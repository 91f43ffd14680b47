"""What tables know of ToMBench."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    asks={
        "tombench": "what people in a story feel, want, know, believe and mean",
        "tombench_emotion": "what people in a story feel",
    },
    sizes={"tombench_all": 2860, "tombench_emotion": 420},
)
