"""CTranslate2 as a peer of ``benchmarks/prefix.py``, in an environment of its own (README.md); nothing of ours is here.

Takes the folder of a converted model. Each line it reads is a JSON list: prompts as lists of tokens, how many new
tokens, and how many prompts go together. Each line it writes holds the processor seconds and the numbers of new tokens.
"""

from __future__ import annotations

import json
import sys
import time

import ctranslate2


def main() -> None:
    """Answer until the input ends."""
    generator = ctranslate2.Generator(sys.argv[1], device="cpu", compute_type="float32", intra_threads=1)
    for line in sys.stdin:
        prompts, new_tokens, together = json.loads(line)
        began = time.process_time()
        results = generator.generate_batch(
            prompts,
            max_batch_size=together,
            max_length=new_tokens,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        lengths = [len(result.sequences[0]) for result in results]
        print(json.dumps({"seconds": time.process_time() - began, "new tokens": lengths}), flush=True)


if __name__ == "__main__":
    main()
