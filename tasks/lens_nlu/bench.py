"""What tables know of the understanding tasks."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    headline="acc",
    usual={"compat": False, "letters": "latin", "n": None},
    asks={
        "lens_nlu": "understanding in seven languages, as the authors of Lens ask",
        **{f"lens_nlu_{form}xcopa": "cause or effect of what happened" for form in ("", "ll_")},
        **{f"lens_nlu_{form}xwinograd": "what a left-out word refers to" for form in ("", "ll_")},
        **{f"lens_nlu_{form}xstorycloze": "how a story goes on" for form in ("", "ll_")},
        **{f"lens_nlu_{form}{name}": "knowledge" for form in ("", "ll_") for name in ("m_mmlu", "kmmlu", "jmmlu")},
    },
    sizes={
        **{f"lens_nlu_{form}xcopa": 500 for form in ("", "ll_")},
        **{f"lens_nlu_{form}xwinograd_en": 2325 for form in ("", "ll_")},
        **{f"lens_nlu_{form}xwinograd_ja": 959 for form in ("", "ll_")},
        **{f"lens_nlu_{form}xstorycloze": 1511 for form in ("", "ll_")},
        **{f"lens_nlu_{form}jmmlu_ja": 7097 for form in ("", "ll_")},
    },
)
