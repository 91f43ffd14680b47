"""Registered lm-eval tasks: one folder a benchmark, which holds all that only this benchmark knows.

YAML, prompts, README, ``sample.jsonl``, ``docs.py`` and ``scores.py``; for tables also ``bench.py``, ``derived.py`` and
``table.py``, which :mod:`harness_ext.results.benches` finds by name.
"""
