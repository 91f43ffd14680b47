"""Processor time of language identification on 100,000 strings, and of the confusion metrics on all stored completions.

    HARNESS_EXT_MIRROR=../shared/mirror python benchmarks/language_identification.py

The strings are Tatoeba's sentences and MGSM's questions, repeated. Beside ``identify`` stands the plain loop over the
detector that it asks, without scripts and macro languages: their ratio holds on any machine.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable

from harness_ext.data import fetch, load_card
from harness_ext.data.rows import read_lines
from harness_ext.scoring import lid
from harness_ext.tasks.lcb.replay import answers
from harness_ext.tasks.lcb.scores import response

N = 100_000


def strings() -> list[str]:
    """Sentences and questions, 100,000 of them."""
    names = [file.name for file in load_card("tatoeba").files if not file.name.endswith(".eng")]
    own = [line for name in names for line in read_lines("tatoeba", name)]
    own += [
        line.split("\t")[0]
        for language in ("bn", "en", "ja", "sw", "zh")
        for line in read_lines("mgsm", f"mgsm_{language}.tsv")
    ]
    return list(itertools.islice(itertools.cycle(own), N))


def seconds(act: Callable[[str], object], texts: Iterable[str]) -> float:
    """Processor time of one call for each text."""
    start = time.process_time()
    for text in texts:
        act(text)
    return time.process_time() - start


def main() -> None:
    """Print the times."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    texts = strings()
    plain = LanguageIdentifier.from_model_file(MODEL_FILE)
    lid.identify("The model is loaded.")
    loop = seconds(plain.classify, texts)
    own = seconds(lambda text: lid.identify(text), texts)
    answer = seconds(lambda text: lid.language_of_answer(text), texts)
    print(f"{N} strings, plain loop: {loop:.1f} s")
    print(f"identify: {own:.1f} s, ratio {own / loop:.2f}; of answers: {answer:.1f} s, ratio {answer / loop:.2f}")
    rows = answers(fetch("lcb", "outputs/llama-3-instruct.csv")).rows
    about = {"lid": lid.DEFAULT, "compat": False, "tokenizer": "words", "words": "lcb"}
    response({"language": "ja", **about}, ["モデルを読み込む。"])
    response({"language": "zh", **about}, ["加载模型。"])
    start = time.process_time()
    for row in rows:
        response({"language": row["task"].rpartition("_")[2], **about}, [row["response"]])
    print(f"{len(rows)} completions: confusion metrics {time.process_time() - start:.1f} s")


if __name__ == "__main__":
    main()
