"""Intervals, tests and comparisons of runs."""
