"""What tables know of EiBench-R."""

from harness_ext.results.benches import Bench, Mean
from harness_ext.tasks.eibench.aspects import EI_ASPECTS

BENCH = Bench(
    headline="ei_score",
    usual={"aliases": "on", "option_order": None},
    means=(
        Mean(
            "ei_aspect_macro",
            "ei_score",
            {f"eibench_{part}": 1 / len(EI_ASPECTS) / len(parts) for parts in EI_ASPECTS.values() for part in parts},
            groups=("eibench", "eibench_few_shot", "eibench_full"),
        ),
    ),
)
