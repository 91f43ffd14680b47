"""Makes lm-eval 0.4.13 find this package's tasks, models, filters and metrics without a flag (placeholder: see issue)."""
