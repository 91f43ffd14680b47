"""Safety and over-safety: does a model comply with harmful requests, and does it refuse harmless ones?

:mod:`docs` turns the released sets into docs; the judges are filters (:mod:`harness_ext.judges.filters`).
"""
