"""lm-eval's result files to rows, statistics and judgements. Never imports tasks, models or torch.

What only one benchmark knows is in its own folder and found by name (:mod:`harness_ext.results.benches`).
"""
