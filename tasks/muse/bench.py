"""What tables know of MUSE."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    headline="rougeL_f1",
    asks={
        "muse_news_knowmem_forget": "what is still known of news that were to be forgotten",
        "muse_news_knowmem_retain": "what is still known of other news",
    },
    sizes={"muse_news_knowmem_forget": 100, "muse_news_knowmem_retain": 100},
)
