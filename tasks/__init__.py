"""Registered lm-eval tasks: one folder a benchmark (YAML, prompts, README, docs.py, sample.jsonl)."""
