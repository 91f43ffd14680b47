"""Reads lm-eval result files into one tidy frame. Never imports tasks, models or torch."""
