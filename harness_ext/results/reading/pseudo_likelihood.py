"""Names for numbers that are no likelihoods: those made from pseudo-log-likelihoods of an encoder.

An encoder sees both sides of each token, so its perplexity of a text is far below a decoder's and means something
else. Under another name the two never meet in a column or a comparison. Which answer scores higher is a fair question
to both: accuracies keep their names.
"""

from __future__ import annotations

import re
from typing import Any

SUFFIX = "_pll"
_BACKEND = "hf-mlm"
_OF_A_TEXT = re.compile(r"(^|_)(perplexity|ppl|bits_per_byte|nats_per_byte)$")


def reported_name(metric: str, backend: Any) -> str:
    """What a metric of lm-eval is called in tables.

    Args:
        metric: lm-eval's name.
        backend: what the run gave as ``--model``.

    >>> reported_name("word_perplexity", "hf-mlm"), reported_name("word_perplexity", "hf")
    ('word_perplexity_pll', 'word_perplexity')
    >>> reported_name("acc", "hf-mlm")
    'acc'
    """
    return metric + SUFFIX if backend == _BACKEND and _OF_A_TEXT.search(metric) else metric
