"""What tables know of the proxies of general ability."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    asks={
        "eibench_gi": "what a method loses of general ability beside emotional intelligence",
        "eibench_gi_affect": "two affect tasks: no general ability, so apart",
        "eibench_gi_boolq": "yes or no to a question about a passage",
        "eibench_gi_cb": "whether a text entails, contradicts or leaves open a statement",
        "eibench_gi_commonsenseqa": "common sense, one of five answers",
        "eibench_gi_copa": "the likelier cause or effect of two",
        "eibench_gi_emotion875": "one of six emotions of a sentence",
        "eibench_gi_quoref": "a question about who is meant in a passage",
        "eibench_gi_rte": "whether a text entails a statement",
        "eibench_gi_sciq": "a science question",
        "eibench_gi_sst2": "whether a film review is good or bad",
        "eibench_gi_wic": "whether a word means the same in two sentences",
    },
    sizes={
        "eibench_gi_boolq": 3270,
        "eibench_gi_cb": 56,
        "eibench_gi_commonsenseqa": 100,
        "eibench_gi_copa": 100,
        "eibench_gi_emotion875": 100,
        "eibench_gi_quoref": 100,
        "eibench_gi_rte": 277,
        "eibench_gi_sciq": 100,
        "eibench_gi_sst2": 872,
        "eibench_gi_wic": 638,
    },
)
