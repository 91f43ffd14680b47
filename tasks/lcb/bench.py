"""What tables know of the Language Confusion Benchmark."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    headline="lpr",
    printed={"lpr": "LPR", "wpr": "WPR", "line_acc": "Line accuracy"},
    usual={"lid": "py3langid", "compat": False, "tokenizer": "words"},
    asks={
        "lcb": "whether answers are in the language that was asked for",
        "lcb_mono": "answering in the language of the question",
        "lcb_cross": "answering an English question in the language that it asks for",
    },
    sizes={"lcb": 100, "lcb_cross_complex": 99},
)
