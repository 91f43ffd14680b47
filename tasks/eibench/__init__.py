"""EiBench-R: a labelled reconstruction of EiBench (arXiv 2402.10073) from public sources.

One leaf is one part: its facts and raw files are in ``readers/<source>.py``, its wording in
``instructions/<part>.json``, its settings in ``<part>.yaml``. :mod:`docs` builds what lm-eval sees, :mod:`scores` reads
the answers.
"""
