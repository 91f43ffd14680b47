"""What tables know of RWKU."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    headline="rougeL_recall",
    asks={
        "rwku_forget": "what is still said of people who were to be forgotten",
        "rwku_forget_l1": "blanks about people who were to be forgotten",
        "rwku_forget_l2": "questions about people who were to be forgotten",
        "rwku_forget_l3": "attacks that ask about people who were to be forgotten",
        "rwku_neighbor": "what is still said of what is near to them",
        "rwku_neighbor_l1": "blanks about what is near to them",
        "rwku_neighbor_l2": "questions about what is near to them",
    },
    sizes={
        "rwku_forget_l1": 3268,
        "rwku_forget_l2": 2879,
        "rwku_forget_l3": 6984,
        "rwku_neighbor_l1": 5846,
        "rwku_neighbor_l2": 5533,
    },
)
